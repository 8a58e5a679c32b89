//! What a write is as a message.

use serde::{Deserialize, Serialize};
use tenfour_proto::modbus::Write;

use super::image::Unit;

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
