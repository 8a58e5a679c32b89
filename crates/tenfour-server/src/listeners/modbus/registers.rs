//! What was written last: the units that somebody asks for, and what a write is as a message.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use tenfour_identity::lock;
use tenfour_proto::MailboxName;
use tenfour_proto::modbus::Write;
use tokio::sync::OwnedMutexGuard;

use super::device::Device;
use super::fold::{Fold, WRITES};
use super::image::Unit;
use crate::reading::mailbox_reader::Broken;

/// A write as a message.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) unit: u8,
    function: u8,
    address: u16,
    values: Values,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Values {
    Coils(Vec<bool>),
    Registers(Vec<u16>),
}

impl Record {
    pub(super) fn of(unit: u8, write: &Write) -> Self {
        let (function, address, values) = match write {
            Write::Coils {
                function,
                address,
                values,
            } => (*function, *address, Values::Coils(values.clone())),
            Write::Registers {
                function,
                address,
                values,
            } => (*function, *address, Values::Registers(values.clone())),
        };
        Record {
            unit,
            function,
            address,
            values,
        }
    }

    /// On one line.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(super) fn apply(&self, unit: &mut Unit) {
        match &self.values {
            Values::Registers(values) => unit.registers.set(self.address, values),
            Values::Coils(values) => unit.coils.set(self.address, values),
        }
    }
}

/// All units that somebody has asked for.
pub(super) struct Units {
    pub(super) device: Device,
    folds: Mutex<HashMap<MailboxName, Arc<tokio::sync::Mutex<Fold>>>>,
    /// Writes to a unit since its registers were looked at.
    writes: Mutex<HashMap<u8, u64>>,
}

impl Units {
    /// Nothing is looked at before somebody asks.
    pub(super) fn new(device: Device) -> Self {
        Units {
            device,
            folds: Mutex::default(),
            writes: Mutex::default(),
        }
    }

    /// The units of a mailbox; this one with all that is stored by now.
    pub(super) async fn current(&self, number: u8) -> Result<OwnedMutexGuard<Fold>, Broken> {
        let mailbox = self.device.mailbox(number);
        let fold = Arc::clone(lock(&self.folds).entry(mailbox).or_default());
        let mut fold = fold.lock_owned().await;
        fold.catch_up(&self.device, number).await?;
        Ok(fold)
    }

    /// True when it is time to look at the registers.
    fn count_write(&self, number: u8) -> bool {
        let mut writes = lock(&self.writes);
        let count = writes.entry(number).or_default();
        *count += 1;
        if *count < WRITES {
            return false;
        }
        *count = 0;
        true
    }
}

/// A write is stored. Nobody may ever read registers; then they are folded now and then all the same.
pub(super) fn written(units: &Arc<Units>, number: u8) {
    if units.count_write(number) {
        let units = Arc::clone(units);
        tokio::spawn(async move {
            // What is wrong is in the log.
            let _ = units.current(number).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_of_a_write() {
        let registers = Write::Registers {
            function: 16,
            address: 40,
            values: vec![1, 65_535],
        };
        let json = Record::of(3, &registers).json();
        assert_eq!(
            json,
            r#"{"unit":3,"function":16,"address":40,"values":[1,65535]}"#
        );
        let coils = Write::Coils {
            function: 5,
            address: 0,
            values: vec![true],
        };
        let json = Record::of(255, &coils).json();
        assert_eq!(json, r#"{"unit":255,"function":5,"address":0,"values":[true]}"#);
        assert_eq!(
            serde_json::from_str::<Record>(&json).unwrap(),
            Record::of(255, &coils)
        );
    }
}
