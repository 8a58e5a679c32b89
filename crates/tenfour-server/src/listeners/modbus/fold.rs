//! What all writes of a mailbox come to, for each of its units.
//!
//! The messages are the truth; the registers in memory are what they come to. From time to time those of a unit are written
//! down as a message of `modbus/UNIT/registers`, so that a start has to read what came since. Units that share a mailbox share
//! the walk through it.

use std::collections::{HashMap, HashSet};

use tenfour_proto::native::ReadFrom;
use tenfour_proto::{Item, Listener};

use super::device::Device;
use super::image::{Snapshot, Unit};
use super::record::Record;
use crate::reading::mailbox_reader::{BYTES, Broken, ITEMS, MailboxReader};

/// Messages after which registers are written down: what a start has to read for a unit at most, about.
pub(super) const WRITES: u64 = 4_096;

/// The units of one mailbox.
#[derive(Default)]
pub(super) struct Fold {
    /// A unit that is here has all of its writes up to `upto`; nothing is kept for one that was never written to.
    units: HashMap<u8, Unit>,
    /// Units whose writes are in `units`, if there were any; all of them if a walk has begun with the first message.
    known: Known,
    upto: u64,
    /// Up to here the registers of a unit are written down.
    saved: HashMap<u8, u64>,
}

enum Known {
    Some(HashSet<u8>),
    All,
}

impl Default for Known {
    fn default() -> Self {
        Known::Some(HashSet::new())
    }
}

impl Known {
    fn is_nobody(&self) -> bool {
        matches!(self, Known::Some(units) if units.is_empty())
    }

    fn has(&self, unit: u8) -> bool {
        match self {
            Known::Some(units) => units.contains(&unit),
            Known::All => true,
        }
    }
}

impl Fold {
    /// Those that were never written are 0.
    pub(super) fn registers(&self, number: u8, address: u16, quantity: u16) -> Vec<u16> {
        let nothing = || vec![0; usize::from(quantity)];
        let unit = self.units.get(&number);
        unit.map_or_else(nothing, |unit| unit.registers.get(address, quantity))
    }

    /// Those that were never written are off.
    pub(super) fn coils(&self, number: u8, address: u16, quantity: u16) -> Vec<bool> {
        let nothing = || vec![false; usize::from(quantity)];
        let unit = self.units.get(&number);
        unit.map_or_else(nothing, |unit| unit.coils.get(address, quantity))
    }

    /// Reads what is not in the registers of a unit yet.
    pub(super) async fn catch_up(&mut self, device: &Device, number: u8) -> Result<(), Broken> {
        if !self.known.has(number) {
            self.learn(device, number).await?;
        }
        let mut upto = self.upto;
        let walked = walk(device, number, &mut upto, u64::MAX, |write| {
            if self.known.has(write.unit) {
                write.apply(self.units.entry(write.unit).or_default());
            }
        });
        let walked = walked.await;
        self.upto = upto;
        walked?;
        let saved = self.saved.get(&number).copied().unwrap_or(0);
        if self.upto - saved >= WRITES {
            self.save(device, number).await;
        }
        Ok(())
    }

    /// Makes a unit known: of what was written down last and what came since, or of all that there is.
    async fn learn(&mut self, device: &Device, number: u8) -> Result<(), Broken> {
        let Some(snapshot) = written_down(device, number).await? else {
            return self.learn_all(device, number).await;
        };
        if self.known.is_nobody() {
            self.upto = snapshot.upto;
        }
        let mut unit = snapshot.unit();
        let mut upto = snapshot.upto;
        walk(device, number, &mut upto, self.upto, |write| {
            if write.unit == number {
                write.apply(&mut unit);
            }
        })
        .await?;
        // It may be ahead of the others, who then are not behind it for long.
        self.upto = self.upto.min(upto);
        self.saved.insert(number, snapshot.upto);
        self.units.insert(number, unit);
        if let Known::Some(known) = &mut self.known {
            known.insert(number);
        }
        Ok(())
    }

    /// One walk for all units that nobody has asked for yet.
    async fn learn_all(&mut self, device: &Device, number: u8) -> Result<(), Broken> {
        let is_first = self.known.is_nobody();
        let end = if is_first { u64::MAX } else { self.upto };
        let mut others: HashMap<u8, Unit> = HashMap::new();
        let mut upto = 0;
        walk(device, number, &mut upto, end, |write| {
            if !self.known.has(write.unit) {
                write.apply(others.entry(write.unit).or_default());
            }
        })
        .await?;
        if is_first {
            self.upto = upto;
        }
        self.units.extend(others);
        self.known = Known::All;
        Ok(())
    }

    async fn save(&mut self, device: &Device, number: u8) {
        let Some(unit) = self.units.get(&number) else {
            return;
        };
        let snapshot = Snapshot::of(unit, self.upto);
        let json = serde_json::to_string(&snapshot).unwrap_or_default();
        // When there is no room, it is tried again at the next look.
        if device
            .deposit(None, Device::snapshots(number), json)
            .await
            .is_ok()
        {
            self.saved.insert(number, self.upto);
        }
    }
}

/// Reads the writes of the mailbox of a unit behind `upto`, as far as `end`, and raises it.
async fn walk(
    device: &Device,
    number: u8,
    upto: &mut u64,
    end: u64,
    mut apply: impl FnMut(&Record),
) -> Result<(), Broken> {
    if *upto >= end {
        return Ok(());
    }
    let from = ReadFrom::Offset(*upto + 1);
    let mut reader = MailboxReader::begin(&device.context.broker, &device.mailbox(number), from).await?;
    while *upto < end {
        let items = reader.read(ITEMS, BYTES).await?;
        let Some(last) = items.last() else { break };
        for item in items.iter().filter(|item| item.offset <= end && is_ours(item)) {
            if let Ok(write) = serde_json::from_slice::<Record>(&item.message.body) {
                apply(&write);
            }
        }
        *upto = last.offset.min(end);
    }
    Ok(())
}

/// The registers of a unit as they were written down last.
async fn written_down(device: &Device, number: u8) -> Result<Option<Snapshot>, Broken> {
    let newest = ReadFrom::Last(1);
    let mut reader = MailboxReader::begin(&device.context.broker, &Device::snapshots(number), newest).await?;
    let newest = reader.read(1, BYTES).await?.pop().filter(is_ours);
    Ok(newest.and_then(|item| serde_json::from_slice(&item.message.body).ok()))
}

/// Only what came by Modbus is a write: others may send to the mailbox too.
fn is_ours(item: &Item) -> bool {
    item.source
        .is_some_and(|source| source.listener == Listener::Modbus)
}
