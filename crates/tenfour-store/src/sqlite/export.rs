//! All that is in the file, for a store of another kind.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, Row};
use tenfour_proto::{CursorName, MailboxName, ProducerId, Reply, Sender};

use super::columns::{MAKER, OFFSET_MASK, message_key};
use super::message_row::{MESSAGES, item};
use super::row_error::RowError;
use crate::checksum::reply_sum;
use crate::cursor::AckState;
use crate::ledger::{PlacedRun, Policy};
use crate::{CopyError, Import, ReadError, Record};

impl From<rusqlite::Error> for CopyError {
    fn from(error: rusqlite::Error) -> Self {
        CopyError::Failed(error.into())
    }
}

impl From<RowError> for CopyError {
    fn from(error: RowError) -> Self {
        CopyError::Failed(Box::new(ReadError::from(error)))
    }
}

/// Gives everything, as it is at one moment, as long as it is wanted.
pub(super) fn export(
    connection: &Connection,
    into: &mut dyn Import,
    wanted: &AtomicBool,
) -> Result<(), CopyError> {
    let moment = connection.unchecked_transaction()?;
    let mut export = Export {
        connection: &moment,
        into,
        wanted,
    };
    export.head()?;
    let mailboxes = export.mailboxes()?;
    export.producers()?;
    export.runs()?;
    for (number, name) in &mailboxes {
        export.messages(*number, name)?;
    }
    export.rest()
}

struct Export<'a> {
    connection: &'a Connection,
    into: &'a mut dyn Import,
    wanted: &'a AtomicBool,
}

impl Export<'_> {
    fn put(&mut self, record: Record) -> Result<(), CopyError> {
        if !self.wanted.load(Ordering::Relaxed) {
            return Err(CopyError::Failed("nobody wants it any more".into()));
        }
        self.into.put(record)
    }

    /// A record of each row.
    fn all(
        &mut self,
        sql: &str,
        record: impl Fn(&Row<'_>) -> Result<Record, CopyError>,
    ) -> Result<(), CopyError> {
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query(())?;
        while let Some(row) = rows.next()? {
            self.put(record(row)?)?;
        }
        Ok(())
    }

    fn head(&mut self) -> Result<(), CopyError> {
        self.all("SELECT id, created, hours FROM store", |row| {
            Ok(Record::Store {
                id: row.get(0)?,
                created: row.get(1)?,
                hours: row.get(2)?,
            })
        })
    }

    fn mailboxes(&mut self) -> Result<Vec<(i64, MailboxName)>, CopyError> {
        let mut statement = self.connection.prepare(&format!(
            "SELECT id, name, gone, id IN (SELECT mailbox FROM removed), {MAKER} FROM mailbox ORDER BY id"
        ))?;
        let mut rows = statement.query(())?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            let number = row.get(0)?;
            let name: MailboxName = parsed(row, 1, "the name of a mailbox")?;
            all.push((number, name.clone()));
            let maker: Option<String> = row.get(4)?;
            self.put(Record::Mailbox {
                number,
                name,
                maker: maker.and_then(|maker| maker.parse().ok()),
                gone: row.get::<_, i64>(2)?.unsigned_abs(),
                is_removed: row.get(3)?,
            })?;
        }
        Ok(all)
    }

    fn producers(&mut self) -> Result<(), CopyError> {
        self.all("SELECT id, name FROM sender ORDER BY id", |row| {
            Ok(Record::Sender {
                number: row.get(0)?,
                sender: parsed::<Sender>(row, 1, "a sender")?,
            })
        })?;
        self.all(
            "SELECT id, sender, stream, kind, mark, used FROM stream ORDER BY id",
            |row| {
                let kind = row.get(3)?;
                let mark = row.get::<_, i64>(4)?.unsigned_abs();
                Ok(Record::Producer {
                    number: row.get(0)?,
                    sender: row.get(1)?,
                    producer: ProducerId::from_bytes(row.get(2)?),
                    kind,
                    forgotten: if kind == Policy::FORGOTTEN { mark } else { 0 },
                    used: row.get(5)?,
                })
            },
        )
    }

    fn runs(&mut self) -> Result<(), CopyError> {
        let placed = |row: &Row<'_>| -> rusqlite::Result<PlacedRun> {
            Ok(PlacedRun {
                first: row.get::<_, i64>(1)?.unsigned_abs(),
                count: row.get::<_, i64>(2)?.unsigned_abs(),
                mailbox: row.get(3)?,
                offset: row.get::<_, i64>(4)?.unsigned_abs(),
            })
        };
        let mut last = self.connection.prepare(
            "SELECT id, first, count, mailbox, offset FROM stream WHERE first IS NOT NULL ORDER BY id",
        )?;
        let mut earlier = self.connection.prepare(
            "SELECT stream, first, count, mailbox, offset FROM run WHERE stream = ?1 ORDER BY first",
        )?;
        let mut streams = last.query(())?;
        while let Some(stream) = streams.next()? {
            let producer: i64 = stream.get(0)?;
            let mut rows = earlier.query([producer])?;
            while let Some(row) = rows.next()? {
                let run = placed(row)?;
                self.put(Record::Run { producer, run })?;
            }
            let run = placed(stream)?;
            self.put(Record::Run { producer, run })?;
        }
        Ok(())
    }

    fn messages(&mut self, number: i64, name: &MailboxName) -> Result<(), CopyError> {
        let mut producers = HashMap::new();
        let mut statement = self.connection.prepare(MESSAGES)?;
        let (first, last) = (
            message_key(number, 0),
            message_key(number, OFFSET_MASK.unsigned_abs()),
        );
        let mut rows = statement.query((first, last, i64::MAX))?;
        while let Some(row) = rows.next()? {
            let item = item(self.connection, &mut producers, name, row)?;
            self.put(Record::Message {
                mailbox: number,
                producer: row.get(1)?,
                checksum: row.get(4)?,
                item,
            })?;
        }
        Ok(())
    }

    /// Ages, cursors and replies.
    fn rest(&mut self) -> Result<(), CopyError> {
        self.all("SELECT mailbox, hours, last FROM age", |row| {
            Ok(Record::Age {
                mailbox: row.get(0)?,
                hours: row.get(1)?,
                last: row.get::<_, i64>(2)?.unsigned_abs(),
            })
        })?;
        self.all("SELECT id, mailbox, name, floor, used FROM cursor", |row| {
            Ok(Record::Cursor {
                number: row.get(0)?,
                mailbox: parsed(row, 1, "the mailbox of a cursor")?,
                name: parsed::<CursorName>(row, 2, "the name of a cursor")?,
                committed: row.get::<_, i64>(3)?.unsigned_abs(),
                used: row.get(4)?,
            })
        })?;
        self.all("SELECT cursor, offset, attempts, done FROM given", |row| {
            Ok(Record::Ack {
                cursor: row.get(0)?,
                offset: row.get::<_, i64>(1)?.unsigned_abs(),
                state: AckState {
                    attempts: row.get(2)?,
                    done: row.get(3)?,
                },
            })
        })?;
        let mut statement = self
            .connection
            .prepare("SELECT stream, sequence, hours, code, checksum, body FROM reply ORDER BY id")?;
        let mut rows = statement.query(())?;
        while let Some(row) = rows.next()? {
            let (producer, sequence) = (row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs());
            let mut reply = Reply::new(row.get::<_, Vec<u8>>(5)?);
            reply.code = row.get(3)?;
            let checksum = row.get(4)?;
            // One that is damaged is none, here as where it is read.
            if reply_sum(producer, sequence, &reply) == checksum {
                let hours = row.get(2)?;
                self.put(Record::Reply {
                    producer,
                    sequence,
                    hours,
                    checksum,
                    reply,
                })?;
            }
        }
        Ok(())
    }
}

/// A word of a row, as what it must be.
fn parsed<T: std::str::FromStr>(row: &Row<'_>, column: usize, what: &'static str) -> Result<T, CopyError> {
    let word = row.get_ref(column)?.as_str().ok();
    word.and_then(|word| word.parse().ok())
        .ok_or_else(|| CopyError::strange(what))
}
