//! What a client can read of the server: `docs/modbus-map.md` is the map.

use tenfour_proto::MailboxName;
use tenfour_store::{MailboxInfo, ReadError};

use super::device::Device;
use crate::context::Context;
use crate::reading::mailbox_reader::{Broken, unbroken};
use crate::status::lag;
use tenfour_identity::clock::wall_clock;

/// Version of the map.
const VERSION: u16 = 1;

/// Where the registers of the store's id begin: far behind the mailboxes, whose number differs.
pub(super) const STORE: u16 = 1_000;

/// Stands for a number that is not there.
const NONE: u32 = u32::MAX;

/// What is known of a mailbox.
struct Watched {
    last: u64,
    kept: u64,
    /// Seconds since the last message.
    age: Option<u64>,
    /// Of the slowest cursor.
    lag: Option<u64>,
    cursors: u64,
}

/// Input registers: ten of the server, ten for the unit's mailbox, ten for each that is watched.
pub(super) async fn registers(device: &Device, unit: u8) -> Result<Vec<u16>, Broken> {
    let watched = watch(device, unit).await?;
    let context = &device.context;
    let uptime = wall_clock().saturating_sub(context.since) / 1_000_000;
    let refused: u64 = context.counters.iter().map(|(_, count)| count).sum();
    let mut registers = vec![VERSION, u16::from(works(context))];
    for number in [
        u64::try_from(uptime).unwrap_or(0),
        context.broker.latency().messages(),
        refused,
        context.connections.all().len() as u64,
    ] {
        put(&mut registers, Some(number));
    }
    for mailbox in &watched {
        put(&mut registers, Some(mailbox.last));
        put(&mut registers, Some(mailbox.kept));
        put(&mut registers, mailbox.age);
        put(&mut registers, mailbox.lag);
        put(&mut registers, Some(mailbox.cursors));
    }
    Ok(registers)
}

/// The store's id in eight registers: offsets count within one store.
pub(super) fn store(device: &Device) -> Vec<u16> {
    let id = device.context.broker.store_id();
    id.chunks_exact(2)
        .map(|pair| pair.iter().fold(0, |word, byte| word << 8 | u16::from(*byte)))
        .collect()
}

/// Discrete inputs: the store works; then for the unit's mailbox, and each that is watched: messages wait there for a
/// reader.
pub(super) async fn discrete(device: &Device, unit: u8) -> Result<Vec<bool>, Broken> {
    let watched = watch(device, unit).await?;
    let waiting = watched
        .iter()
        .map(|mailbox| mailbox.lag.is_some_and(|lag| lag > 0));
    Ok(std::iter::once(works(&device.context)).chain(waiting).collect())
}

fn works(context: &Context) -> bool {
    !*context.broker.failed().borrow()
}

/// The lower 32 bits, the higher word first; a number beyond is a clock that goes round.
fn put(registers: &mut Vec<u16>, number: Option<u64>) {
    let number = number.map_or(NONE, |number| number as u32);
    registers.push((number >> 16) as u16);
    registers.push(number as u16);
}

async fn watch(device: &Device, unit: u8) -> Result<Vec<Watched>, Broken> {
    let names: Vec<MailboxName> = std::iter::once(device.mailbox(unit))
        .chain(device.config.watch.iter().cloned())
        .collect();
    let now = wall_clock();
    let read = device.context.broker.read(move |reader| {
        let mut watched = Vec::with_capacity(names.len());
        for name in &names {
            let (info, cursors) = (reader.mailbox(name)?, reader.cursors_of(name)?);
            let info = info.as_ref();
            let last = info.map_or(0, |info| info.last);
            let newest = match last {
                0 => None,
                last => reader.read(name, last, 1, 1)?.pop(),
            };
            watched.push(Watched {
                last,
                kept: info.map_or(0, MailboxInfo::kept),
                age: newest.map(|item| u64::try_from(now.saturating_sub(item.time) / 1_000_000).unwrap_or(0)),
                lag: cursors.iter().map(|cursor| lag(cursor, info)).max(),
                cursors: cursors.len() as u64,
            });
        }
        Ok::<_, ReadError>(watched)
    });
    unbroken(read.await)
}
