//! What was written last: the fold of a unit's mailbox.
//!
//! The messages are the truth; the registers in memory are what they come to. From time to time that is written down as
//! a message of `modbus/UNIT/registers`, so that a start has to read what came since.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use tenfour_proto::modbus::Write;
use tenfour_proto::native::ReadFrom;
use tenfour_proto::{Item, Listener};
use tokio::sync::OwnedMutexGuard;

use super::device::Device;
use crate::reading::mailbox_reader::{BYTES, Broken, ITEMS, MailboxReader};
use tenfour_identity::lock;

/// Writes after which the registers are written down: what a start has to read for a unit at most, about.
const WRITES: u64 = 4_096;

/// Registers or coils of a unit.
const ADDRESSES: usize = 0x1_0000;

/// A write as a message.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    unit: u8,
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
}

/// All units that somebody has asked for.
pub(super) struct Units {
    pub(super) device: Device,
    entries: Mutex<HashMap<u8, Entry>>,
}

#[derive(Default)]
struct Entry {
    unit: Arc<tokio::sync::Mutex<Unit>>,
    /// Since the registers were looked at.
    writes: u64,
}

/// Registers and coils of a unit.
#[derive(Default)]
pub(super) struct Unit {
    /// Absent while nothing was ever written.
    image: Option<Box<Image>>,
    /// Up to here the messages are in it.
    upto: u64,
    /// Up to here they are written down.
    saved: u64,
    loaded: bool,
}

struct Image {
    registers: [u16; ADDRESSES],
    coils: [bool; ADDRESSES],
}

/// The registers as a message: stretches that are not zero.
#[derive(Default, Serialize, Deserialize)]
struct Snapshot {
    upto: u64,
    registers: Vec<(u16, Vec<u16>)>,
    coils: Vec<(u16, Vec<bool>)>,
}

impl Units {
    /// Nothing is looked at before somebody asks.
    pub(super) fn new(device: Device) -> Self {
        Units {
            device,
            entries: Mutex::default(),
        }
    }

    /// A unit with all that is stored by now.
    pub(super) async fn current(&self, number: u8) -> Result<OwnedMutexGuard<Unit>, Broken> {
        let unit = Arc::clone(&lock(&self.entries).entry(number).or_default().unit);
        let mut unit = unit.lock_owned().await;
        unit.catch_up(&self.device, number).await?;
        Ok(unit)
    }

    /// True when it is time to look at the registers.
    fn count_write(&self, number: u8) -> bool {
        let mut units = lock(&self.entries);
        let entry = units.entry(number).or_default();
        entry.writes += 1;
        if entry.writes < WRITES {
            return false;
        }
        entry.writes = 0;
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

impl Unit {
    async fn catch_up(&mut self, device: &Device, number: u8) -> Result<(), Broken> {
        if !self.loaded {
            self.load(device, number).await?;
            self.loaded = true;
        }
        let from = ReadFrom::Offset(self.upto + 1);
        let mut reader = MailboxReader::begin(&device.context.broker, &device.mailbox(number), from).await?;
        loop {
            let items = reader.read(ITEMS, BYTES).await?;
            let Some(last) = items.last() else { break };
            items.iter().for_each(|item| self.apply(number, item));
            self.upto = last.offset;
        }
        if self.upto - self.saved >= WRITES {
            self.save(device, number).await;
        }
        Ok(())
    }

    /// What was written down last.
    async fn load(&mut self, device: &Device, number: u8) -> Result<(), Broken> {
        let mut reader = MailboxReader::begin(
            &device.context.broker,
            &Device::snapshots(number),
            ReadFrom::Last(1),
        )
        .await?;
        let newest = reader.read(1, BYTES).await?.pop();
        let newest = newest.filter(is_ours).map(|item| item.message.body);
        let Some(Ok(snapshot)) = newest.map(|body| serde_json::from_slice::<Snapshot>(&body)) else {
            return Ok(());
        };
        for (address, values) in &snapshot.registers {
            self.set(|image| &mut image.registers, *address, values);
        }
        for (address, values) in &snapshot.coils {
            self.set(|image| &mut image.coils, *address, values);
        }
        (self.upto, self.saved) = (snapshot.upto, snapshot.upto);
        Ok(())
    }

    async fn save(&mut self, device: &Device, number: u8) {
        let Some(image) = &self.image else { return };
        let snapshot = Snapshot {
            upto: self.upto,
            registers: stretches(&image.registers),
            coils: stretches(&image.coils),
        };
        let json = serde_json::to_string(&snapshot).unwrap_or_default();
        // When there is no room, it is tried again at the next look.
        if device
            .deposit(None, Device::snapshots(number), json)
            .await
            .is_ok()
        {
            self.saved = self.upto;
        }
    }

    /// Only what came by Modbus is a write; units may share a mailbox.
    fn apply(&mut self, number: u8, item: &Item) {
        if !is_ours(item) {
            return;
        }
        let write = serde_json::from_slice::<Record>(&item.message.body);
        let Some(write) = write.ok().filter(|write| write.unit == number) else {
            return;
        };
        match &write.values {
            Values::Registers(values) => self.set(|image| &mut image.registers, write.address, values),
            Values::Coils(values) => self.set(|image| &mut image.coils, write.address, values),
        }
    }

    fn set<T: Copy>(&mut self, part: impl Fn(&mut Image) -> &mut [T; ADDRESSES], address: u16, values: &[T]) {
        let image = self.image.get_or_insert_with(|| {
            Box::new(Image {
                registers: [0; ADDRESSES],
                coils: [false; ADDRESSES],
            })
        });
        let first = usize::from(address);
        if let Some(place) = part(image).get_mut(first..first + values.len()) {
            place.copy_from_slice(values);
        }
    }

    /// Those that were never written are 0.
    pub(super) fn registers(&self, address: u16, quantity: u16) -> Vec<u16> {
        self.get(|image| &image.registers, address, quantity)
    }

    /// Those that were never written are off.
    pub(super) fn coils(&self, address: u16, quantity: u16) -> Vec<bool> {
        self.get(|image| &image.coils, address, quantity)
    }

    fn get<T: Copy + Default>(
        &self,
        part: impl Fn(&Image) -> &[T; ADDRESSES],
        address: u16,
        quantity: u16,
    ) -> Vec<T> {
        let (first, count) = (usize::from(address), usize::from(quantity));
        self.image
            .as_deref()
            .and_then(|image| part(image).get(first..first + count))
            .map_or_else(|| vec![T::default(); count], <[T]>::to_vec)
    }
}

fn is_ours(item: &Item) -> bool {
    item.source
        .is_some_and(|source| source.listener == Listener::Modbus)
}

fn stretches<T: Copy + Default + PartialEq>(all: &[T; ADDRESSES]) -> Vec<(u16, Vec<T>)> {
    let mut found: Vec<(u16, Vec<T>)> = Vec::new();
    for (address, value) in (0..=u16::MAX).zip(all) {
        if *value == T::default() {
            continue;
        }
        match found.last_mut() {
            Some((first, values)) if usize::from(*first) + values.len() == usize::from(address) => {
                values.push(*value);
            }
            _ => found.push((address, vec![*value])),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_is_what_was_there() {
        let mut all = Box::new([0u16; ADDRESSES]);
        for (address, value) in [(0, 1), (1, 2), (7, 9), (65_534, 3), (65_535, 4)] {
            all[address] = value;
        }
        assert_eq!(
            stretches(&all),
            [(0, vec![1, 2]), (7, vec![9]), (65_534, vec![3, 4])]
        );
        let mut unit = Unit::default();
        for (address, values) in stretches(&all) {
            unit.set(|image| &mut image.registers, address, &values);
        }
        assert_eq!(unit.image.unwrap().registers, *all);
    }

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
