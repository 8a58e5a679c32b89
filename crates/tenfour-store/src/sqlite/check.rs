//! Reads a whole store, and says what is wrong with it.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use tenfour_proto::{MailboxName, ProducerId};

use super::columns::{LAST_OFFSET, OFFSET_MASK, message_key};
use super::connection::guard;
use super::message_row::{KnownProducer, MESSAGES, item};
use super::open::{check_schema, check_version, judge_header};
use super::producers;
use super::row_error::RowError;
use super::schema;
use crate::OpenError;
use crate::check::{Checked, Finding};
use crate::file_identity::behind_links;
use crate::store_files::log_of;

/// Rows of one look: a transaction must not make the log of a running server long.
const ROWS: i64 = 10_000;

/// One mailbox, as its row says.
struct Mailbox {
    id: i64,
    name: MailboxName,
    last: u64,
    /// Up to here messages were deleted, by whoever may.
    gone: u64,
    /// Bytes that are written down, up to the offset `counted`.
    bytes: u64,
    counted: u64,
}

/// Looks at everything in the store at `path`: SQLite's structures, the checksum of each message, offsets without a
/// gap, marks that lead to their messages and know them all, cursors, sizes. Changes nothing, and may run beside the
/// server. `found` is told what is wrong, `looked` after each piece how many messages were looked at.
///
/// # Errors
///
/// When it cannot be opened or read at all.
pub fn check(
    path: &Path,
    found: impl FnMut(&Finding),
    looked: impl FnMut(u64),
) -> Result<Checked, OpenError> {
    let path = &behind_links(path)?;
    let sqlite = |source| OpenError::sqlite(path, source);
    if let Err(source) = std::fs::metadata(path) {
        return Err(OpenError::Io {
            path: path.to_owned(),
            source,
        });
    }
    judge_header(path, &schema::STORE)?;
    let (connection, version) = match open(path, "") {
        // The index of the log takes room. Without a log nothing is in need of one.
        Err(error) if error.is_full() && is_without_log(path) => open(path, "?immutable=1"),
        opened => opened,
    }?;
    check_schema(path, &connection, &schema::STORE, version)?;
    // All of it at one moment, whatever a server beside it does. Its log cannot begin anew until this ends.
    let moment = connection.unchecked_transaction().map_err(sqlite)?;
    let mut check = Check {
        connection: &moment,
        checked: Checked::default(),
        found,
        looked,
    };
    check.all().map_err(sqlite)?;
    Ok(check.checked)
}

fn open(path: &Path, how: &str) -> Result<(Connection, u32), OpenError> {
    let sqlite = |source| OpenError::sqlite(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = if how.is_empty() {
        Connection::open_with_flags(path, flags)
    } else {
        // https://www.sqlite.org/uri.html
        let name = path
            .to_string_lossy()
            .replace('%', "%25")
            .replace('?', "%3f")
            .replace('#', "%23");
        Connection::open_with_flags(format!("file:{name}{how}"), flags | OpenFlags::SQLITE_OPEN_URI)
    };
    let connection = connection.map_err(sqlite)?;
    guard(&connection).map_err(sqlite)?;
    connection.busy_timeout(Duration::from_secs(10)).map_err(sqlite)?;
    let version = check_version(path, &connection, &schema::STORE)?;
    Ok((connection, version))
}

fn is_without_log(path: &Path) -> bool {
    std::fs::metadata(log_of(path)).map_or(true, |log| log.len() == 0)
}

struct Check<'a, F, L> {
    connection: &'a Connection,
    checked: Checked,
    found: F,
    looked: L,
}

impl<F: FnMut(&Finding), L: FnMut(u64)> Check<'_, F, L> {
    fn all(&mut self) -> rusqlite::Result<()> {
        self.file()?;
        let mailboxes = self.mailboxes()?;
        for mailbox in &mailboxes {
            self.mailbox(mailbox)?;
        }
        self.homeless(&mailboxes)?;
        self.high_water_marks(&mailboxes)?;
        self.cursors(&mailboxes)
    }

    fn say(&mut self, finding: Finding) {
        self.checked.findings += 1;
        (self.found)(&finding);
    }

    /// Structures, and that each index has what its table has.
    fn file(&mut self) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare("PRAGMA integrity_check(100)")?;
        let lines: Vec<String> = statement
            .query_map((), |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for line in lines.into_iter().filter(|line| line != "ok") {
            self.say(Finding::File(line));
        }
        Ok(())
    }

    fn mailboxes(&mut self) -> rusqlite::Result<Vec<Mailbox>> {
        let mut statement = self.connection.prepare(&format!(
            "SELECT id, name, {LAST_OFFSET}, bytes, counted, gone FROM mailbox ORDER BY id"
        ))?;
        let mut rows = statement.query(())?;
        let mut mailboxes = Vec::new();
        let mut malformed = Vec::new();
        while let Some(row) = rows.next()? {
            let name: String = row.get(1)?;
            match name.parse() {
                Ok(name) => mailboxes.push(Mailbox {
                    id: row.get(0)?,
                    name,
                    last: row.get::<_, i64>(2)?.unsigned_abs(),
                    bytes: row.get::<_, i64>(3)?.unsigned_abs(),
                    counted: row.get::<_, i64>(4)?.unsigned_abs(),
                    gone: row.get::<_, i64>(5)?.unsigned_abs(),
                }),
                Err(error) => malformed.push(format!("mailbox `{}`: {error}", name.escape_debug())),
            }
        }
        for text in malformed {
            self.say(Finding::File(text));
        }
        self.checked.mailboxes = mailboxes.len() as u64;
        Ok(mailboxes)
    }

    /// Each message: as it was written, where it should be, and known to its producer.
    fn mailbox(&mut self, mailbox: &Mailbox) -> rusqlite::Result<()> {
        let mut known: HashMap<i64, KnownProducer> = HashMap::new();
        let mut expected = mailbox.gone + 1;
        let mut counted = 0;
        let mut next = 1;
        let end = message_key(mailbox.id, OFFSET_MASK.unsigned_abs());
        let connection = self.connection;
        let mut statement = connection.prepare(MESSAGES)?;
        loop {
            let mut rows = statement.query((message_key(mailbox.id, next), end, ROWS))?;
            let mut any = false;
            while let Some(row) = rows.next()? {
                any = true;
                let offset = (row.get::<_, i64>(0)? & OFFSET_MASK).unsigned_abs();
                if offset < next {
                    // A damaged tree could be walked through for ever.
                    self.say(Finding::File(format!(
                        "the messages of {} are not in order",
                        mailbox.name
                    )));
                    return Ok(());
                }
                if offset <= mailbox.gone {
                    self.say(Finding::Deleted {
                        mailbox: mailbox.name.clone(),
                        offset,
                    });
                } else if offset > expected {
                    self.say(Finding::Missing {
                        mailbox: mailbox.name.clone(),
                        first: expected,
                        last: offset - 1,
                    });
                }
                expected = expected.max(offset + 1);
                next = offset + 1;
                self.checked.messages += 1;
                match item(connection, &mut known, &mailbox.name, row) {
                    Ok(item) => {
                        let bytes = item.message.body.len() as u64;
                        self.checked.bytes += bytes;
                        if offset <= mailbox.counted {
                            counted += bytes;
                        }
                        // A dead letter has the identity of its first place.
                        if item.sequence > 0 && item.origin.is_none() {
                            self.marked(mailbox, row.get(1)?, item.producer, item.sequence, offset)?;
                        }
                    }
                    Err(RowError::Sqlite(error)) => return Err(error),
                    Err(RowError::Damaged { .. }) => {
                        // Its length may be right all the same.
                        let length = row.get_ref(5)?.as_blob().map_or(0, <[u8]>::len) as u64;
                        if offset <= mailbox.counted {
                            counted += length;
                        }
                        self.say(Finding::Damaged {
                            mailbox: mailbox.name.clone(),
                            offset,
                        });
                    }
                }
            }
            (self.looked)(self.checked.messages);
            if !any {
                break;
            }
        }
        if counted != mailbox.bytes {
            self.say(Finding::Size {
                mailbox: mailbox.name.clone(),
                counted: mailbox.bytes,
                found: counted,
            });
        }
        Ok(())
    }

    fn marked(
        &mut self,
        mailbox: &Mailbox,
        row: i64,
        producer: ProducerId,
        sequence: u64,
        offset: u64,
    ) -> rusqlite::Result<()> {
        let run = match producers::by_row(self.connection, row)? {
            // Only its messages are left.
            None => return Ok(()),
            Some(state) => match state.last_run.filter(|run| run.offset_of(sequence).is_some()) {
                Some(run) => Some(run),
                None => producers::earlier_run(self.connection, row, sequence)?,
            },
        };
        let is_known =
            run.is_some_and(|run| run.mailbox == mailbox.id && run.offset_of(sequence) == Some(offset));
        if !is_known {
            self.say(Finding::Unmarked {
                mailbox: mailbox.name.clone(),
                offset,
                producer,
            });
        }
        Ok(())
    }

    /// Messages whose mailbox has no row.
    fn homeless(&mut self, mailboxes: &[Mailbox]) -> rusqlite::Result<()> {
        let mut statement = self
            .connection
            .prepare("SELECT id >> 48, count(*) FROM message GROUP BY id >> 48")?;
        let groups: Vec<(i64, i64)> = statement
            .query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (number, count) in groups {
            if !mailboxes.iter().any(|mailbox| mailbox.id == number) {
                self.say(Finding::Homeless {
                    number,
                    count: count.unsigned_abs(),
                });
            }
        }
        Ok(())
    }

    /// Each run leads to its messages: its ends are looked at, what lies between is in the offsets.
    fn high_water_marks(&mut self, mailboxes: &[Mailbox]) -> rusqlite::Result<()> {
        let mut runs = self.connection.prepare(
            "SELECT stream.id, stream.stream, stream.mark, r.first, r.count, r.mailbox, r.offset, r.is_last FROM
             (SELECT id AS stream, first, count, mailbox, offset, 1 AS is_last FROM stream WHERE first IS NOT NULL
              UNION ALL SELECT stream, first, count, mailbox, offset, 0 FROM run) AS r
             JOIN stream ON stream.id = r.stream",
        )?;
        let mut rows = runs.query(())?;
        let mut wrong = Vec::new();
        while let Some(row) = rows.next()? {
            let number = |column| Ok::<_, rusqlite::Error>(row.get::<_, i64>(column)?.unsigned_abs());
            let (producer, id): (i64, [u8; 16]) = (row.get(0)?, row.get(1)?);
            let (high_water_mark, first, count, offset) = (number(2)?, number(3)?, number(4)?, number(6)?);
            let (mailbox, is_last): (i64, bool) = (row.get(5)?, row.get(7)?);
            let last = (first + count).saturating_sub(1);
            let place = mailboxes.iter().find(|known| known.id == mailbox);
            let ends_at_mark = !is_last || last == high_water_mark;
            let leads = |sequence: u64, offset: u64| self.leads_to(mailbox, offset, producer, sequence);
            let is_sound = count > 0
                && ends_at_mark
                && place.is_some_and(|place| offset + count - 1 <= place.last)
                && leads(first, offset)?
                && leads(last, offset + count - 1)?;
            if !is_sound {
                wrong.push(Finding::FalseMark {
                    producer: ProducerId::from_bytes(id),
                    first,
                    last,
                });
            }
        }
        drop(rows);
        for finding in wrong {
            self.say(finding);
        }
        let producers: i64 = self
            .connection
            .query_row("SELECT count(*) FROM stream", (), |row| row.get(0))?;
        self.checked.producers = producers.unsigned_abs();
        Ok(())
    }

    /// That message lies there, or nothing does any more.
    fn leads_to(&self, mailbox: i64, offset: u64, producer: i64, sequence: u64) -> rusqlite::Result<bool> {
        let found = self
            .connection
            .prepare_cached("SELECT stream = ?2 AND sequence = ?3 FROM message WHERE id = ?1")?
            .query_row((message_key(mailbox, offset), producer, sequence as i64), |row| {
                row.get(0)
            })
            .optional()?;
        // What is missing has been said.
        Ok(found.unwrap_or(true))
    }

    fn cursors(&mut self, mailboxes: &[Mailbox]) -> rusqlite::Result<()> {
        let mut statement = self
            .connection
            .prepare("SELECT mailbox, name, floor FROM cursor")?;
        let cursors: Vec<(String, String, i64)> = statement
            .query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (mailbox, name, committed) in cursors {
            let (Ok(mailbox), Ok(name)) = (mailbox.parse::<MailboxName>(), name.parse()) else {
                self.say(Finding::File(format!("a cursor of `{}`", mailbox.escape_debug())));
                continue;
            };
            let place = mailboxes.iter().find(|known| known.name == mailbox);
            let committed = committed.unsigned_abs();
            if committed > place.map_or(0, |place| place.last) {
                self.say(Finding::Ahead {
                    mailbox,
                    name,
                    committed,
                });
            }
        }
        Ok(())
    }
}
