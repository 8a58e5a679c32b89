//! What one commit appends to one mailbox, as one row.

use std::rc::Rc;

use bytes::Bytes;
use tenfour_proto::{MailboxName, Message};
use tokio_postgres::Row;

use crate::session::{Sent, Session};

/// Most messages in one.
const MESSAGES: usize = 1_024;

/// About so many bytes of bodies; a larger message is alone.
const BYTES: u64 = 1024 * 1024;

pub(crate) const INSERT: &str =
    "INSERT INTO pack(mailbox, last, count, time, streams, sequences, sums, bodies, sources, types,
        names, asks, origins, bytes, synthetic)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";

/// A message on its way into a pack.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) stream: i64,
    pub(crate) sequence: u64,
    pub(crate) sum: u32,
    pub(crate) source: Option<Rc<str>>,
    pub(crate) origin: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) asks: bool,
    pub(crate) body: Bytes,
}

impl Entry {
    /// A message that came in natively, at its first place.
    pub(crate) fn of(stream: i64, sequence: u64, sum: u32, message: &Message) -> Self {
        Entry {
            stream,
            sequence,
            sum,
            source: None,
            origin: None,
            content_type: message.content_type.as_ref().map(|word| word.as_str().to_owned()),
            name: message.name.as_ref().map(|word| word.as_str().to_owned()),
            asks: message.asks,
            body: message.body.clone(),
        }
    }
}

/// Messages of one mailbox, up to offset `last` without a gap.
#[derive(Debug)]
pub(crate) struct Pack {
    pub(crate) mailbox: i64,
    pub(crate) last: u64,
    pub(crate) bytes: u64,
    pub(crate) synthetic: u64,
    pub(crate) entries: Vec<Entry>,
}

impl Pack {
    pub(crate) fn new(mailbox: i64) -> Self {
        Pack {
            mailbox,
            last: 0,
            bytes: 0,
            synthetic: 0,
            entries: Vec::new(),
        }
    }

    /// There is room for one more message of that size. Those of senders without a key have packs of their own, which may go
    /// where those of the others may not.
    pub(crate) fn takes(&self, bytes: u64, is_synthetic: bool) -> bool {
        let is_alike = (self.synthetic > 0) == is_synthetic;
        is_alike && self.entries.len() < MESSAGES && self.bytes + bytes <= BYTES
    }

    pub(crate) fn push(&mut self, offset: u64, entry: Entry, synthetic: u64) {
        self.last = offset;
        self.bytes += entry.body.len() as u64;
        self.synthetic += synthetic;
        self.entries.push(entry);
    }

    /// The message at that offset, if it is here.
    pub(crate) fn get(&self, mailbox: i64, offset: u64) -> Option<&Entry> {
        let before = self.last - self.entries.len() as u64;
        let index = offset.checked_sub(before + 1)?;
        self.entries
            .get(usize::try_from(index).ok()?)
            .filter(|_| self.mailbox == mailbox)
    }

    /// Sends it to the database.
    pub(crate) fn insert<'a>(&'a self, session: &'a Session, time: &'a i64) -> Sent<'a> {
        Box::pin(async move {
            let entries = &self.entries;
            let column = |value: fn(&Entry) -> Option<&str>| short(entries.iter().map(value).collect());
            let streams = short(entries.iter().map(|entry| Some(entry.stream)).collect());
            let sequences: Vec<i64> = entries.iter().map(|entry| entry.sequence as i64).collect();
            let sums: Vec<i32> = entries.iter().map(|entry| entry.sum as i32).collect();
            let bodies: Vec<&[u8]> = entries.iter().map(|entry| &entry.body[..]).collect();
            let asks = short(entries.iter().map(|entry| entry.asks.then_some(true)).collect());
            session
                .client()
                .execute(
                    session.statement(INSERT)?,
                    &[
                        &(self.mailbox as i32),
                        &(self.last as i64),
                        &(entries.len() as i32),
                        time,
                        &streams,
                        &rising(sequences),
                        &sums,
                        &bodies,
                        &column(|entry| entry.source.as_deref()),
                        &column(|entry| entry.content_type.as_deref()),
                        &column(|entry| entry.name.as_deref()),
                        &asks,
                        &column(|entry| entry.origin.as_deref()),
                        &(self.bytes as i64),
                        &(self.synthetic as i64),
                    ],
                )
                .await?;
            Ok(())
        })
    }
}

/// Nothing for nothing but nulls, and one for all that are the same.
fn short<T: PartialEq>(mut all: Vec<Option<T>>) -> Option<Vec<Option<T>>> {
    let first = all.first()?;
    if all.iter().all(|one| one == first) {
        if first.is_none() {
            return None;
        }
        all.truncate(1);
    }
    Some(all)
}

/// The first for all that rise by one from a sequence on; 0 for all without one.
fn rising(mut all: Vec<i64>) -> Vec<i64> {
    let first = all.first().copied().unwrap_or(0);
    let step = i64::from(first != 0);
    let expected = (0..).map(|index| first + index * step);
    if all.iter().zip(expected).all(|(one, expected)| *one == expected) {
        all.truncate(1);
    }
    all
}

/// A pack as it was read.
pub(crate) struct Stored<'a> {
    pub(crate) last: u64,
    pub(crate) count: u64,
    pub(crate) time: i64,
    streams: Vec<i64>,
    sequences: Vec<i64>,
    sums: Vec<i32>,
    bodies: Vec<&'a [u8]>,
    sources: Option<Vec<Option<&'a str>>>,
    types: Option<Vec<Option<&'a str>>>,
    names: Option<Vec<Option<&'a str>>>,
    asks: Option<Vec<Option<bool>>>,
    origins: Option<Vec<Option<&'a str>>>,
}

/// One message of it.
pub(crate) struct StoredEntry<'a> {
    pub(crate) offset: u64,
    pub(crate) time: i64,
    pub(crate) stream: i64,
    pub(crate) sequence: u64,
    pub(crate) sum: u32,
    pub(crate) source: Option<&'a str>,
    pub(crate) origin: Option<&'a str>,
    content_type: Option<&'a str>,
    name: Option<&'a str>,
    pub(crate) asks: bool,
    pub(crate) body: &'a [u8],
}

impl<'a> Stored<'a> {
    /// From its columns, in the order of [`INSERT`], without the mailbox and the sizes.
    pub(crate) fn of(row: &'a Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Stored {
            last: row.try_get::<_, i64>(0)? as u64,
            count: row.try_get::<_, i32>(1)?.unsigned_abs().into(),
            time: row.try_get(2)?,
            streams: row.try_get(3)?,
            sequences: row.try_get(4)?,
            sums: row.try_get(5)?,
            bodies: row.try_get(6)?,
            sources: row.try_get(7)?,
            types: row.try_get(8)?,
            names: row.try_get(9)?,
            asks: row.try_get(10)?,
            origins: row.try_get(11)?,
        })
    }

    pub(crate) fn first(&self) -> u64 {
        (self.last + 1).saturating_sub(self.count)
    }

    pub(crate) fn streams(&self) -> impl Iterator<Item = i64> {
        self.streams.iter().copied()
    }

    /// The message at that offset; `None` also if the row lacks a part of it.
    pub(crate) fn get(&self, offset: u64) -> Option<StoredEntry<'a>> {
        let index = usize::try_from(offset.checked_sub(self.first())?).ok()?;
        let sequence = match (&self.sequences[..], self.count) {
            ([first], 2..) if *first > 0 => first + index as i64,
            ([first], _) => *first,
            (all, _) => *all.get(index)?,
        };
        Some(StoredEntry {
            offset,
            time: self.time,
            stream: one_of(&self.streams, index)?,
            sequence: sequence as u64,
            sum: *self.sums.get(index)? as u32,
            source: word(&self.sources, index)?,
            origin: word(&self.origins, index)?,
            content_type: word(&self.types, index)?,
            name: word(&self.names, index)?,
            asks: word(&self.asks, index)? == Some(true),
            body: self.bodies.get(index)?,
        })
    }
}

fn one_of<T: Copy>(all: &[T], index: usize) -> Option<T> {
    match all {
        [one] => Some(*one),
        all => all.get(index).copied(),
    }
}

fn word<T: Copy>(all: &Option<Vec<Option<T>>>, index: usize) -> Option<Option<T>> {
    all.as_ref().map_or(Some(None), |all| one_of(all, index))
}

impl StoredEntry<'_> {
    /// The message as it was sent, if its words are what they must be.
    pub(crate) fn message(&self, mailbox: &MailboxName) -> Option<Message> {
        let mut message = Message::new(mailbox.clone(), Bytes::copy_from_slice(self.body));
        message.content_type = self.content_type.map(str::parse).transpose().ok()?;
        message.name = self.name.map(str::parse).transpose().ok()?;
        message.asks = self.asks;
        Some(message)
    }

    /// It has the same content.
    pub(crate) fn is_same(&self, message: &Message) -> bool {
        is_same(self.body, self.asks, self.content_type, self.name, message)
    }
}

impl Entry {
    /// It has the same content.
    pub(crate) fn is_same(&self, message: &Message) -> bool {
        let (content_type, name) = (self.content_type.as_deref(), self.name.as_deref());
        is_same(&self.body, self.asks, content_type, name, message)
    }
}

fn is_same(
    body: &[u8],
    asks: bool,
    content_type: Option<&str>,
    name: Option<&str>,
    message: &Message,
) -> bool {
    body == message.body
        && asks == message.asks
        && content_type == message.content_type.as_ref().map(|word| word.as_str())
        && name == message.name.as_ref().map(|word| word.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_is_written_once() {
        assert_eq!(short::<i64>(vec![None, None]), None);
        assert_eq!(short(vec![Some(1), Some(1)]), Some(vec![Some(1)]));
        assert_eq!(short(vec![Some(1), None]), Some(vec![Some(1), None]));
        assert_eq!(rising(vec![7, 8, 9]), [7]);
        assert_eq!(rising(vec![0, 0, 0]), [0]);
        assert_eq!(rising(vec![7, 8, 10]), [7, 8, 10]);
        assert_eq!(rising(vec![0, 1]), [0, 1]);
    }
}
