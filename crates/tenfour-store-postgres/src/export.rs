//! All that is in the database at one moment, for a store of another kind.

use std::sync::atomic::{AtomicBool, Ordering};

use tenfour_proto::{CursorName, MailboxName, ProducerId, Sender};
use tenfour_store::ledger::PlacedRun;
use tenfour_store::{AckState, CopyError, Import, Record};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::error::Trouble;
use crate::pack::Stored;
use crate::replies;
use crate::runs::placed;
use crate::session::Session;
use crate::sql::pack_columns;
use crate::streams::Streams;

/// A snapshot that lasts; whoever takes it in may be slow.
const BEGIN: &str =
    "SET idle_in_transaction_session_timeout = 0; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Rows of one look.
const ROWS: i64 = 10_000;

/// Packs of one look; each may have a megabyte, or one large message.
const PACKS: i64 = 16;

const PRODUCERS: &str = "SELECT id, sender::bigint, stream, kind::bigint, gone, used FROM stream
    WHERE id > $1 ORDER BY id LIMIT $2";

const RUNS: &str = "SELECT first, count, mailbox, \"offset\", stream FROM run
    WHERE (stream, first) > ($1, $2) ORDER BY stream, first LIMIT $3";

const MESSAGES: &str = concat!(
    "SELECT ",
    pack_columns!(),
    " FROM pack WHERE mailbox = $1 AND last > $2 ORDER BY last LIMIT $3"
);

/// What readers have begun with; and what is all done without being said: it was drawn, and is in no block any more.
const ACKS: &str =
    "SELECT cursor, \"offset\", attempts, done FROM given JOIN cursor ON cursor.id = given.cursor
     WHERE \"offset\" > floor
    UNION ALL
    SELECT id, n, 1, true FROM cursor, generate_series(floor + 1, next - 1) AS n
     WHERE NOT EXISTS (SELECT 1 FROM block WHERE cursor = cursor.id AND n BETWEEN first AND last)
       AND NOT EXISTS (SELECT 1 FROM given WHERE given.cursor = cursor.id AND \"offset\" = n)";

impl From<Trouble> for CopyError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Full => CopyError::Full,
            other => CopyError::Failed(other.text().into()),
        }
    }
}

impl From<tokio_postgres::Error> for Missing {
    fn from(error: tokio_postgres::Error) -> Self {
        Missing(CopyError::from(Trouble::from(error)))
    }
}

/// A column that could not be read.
struct Missing(CopyError);

impl From<Missing> for CopyError {
    fn from(missing: Missing) -> Self {
        missing.0
    }
}

/// Gives everything, as long as it is wanted.
pub(crate) fn export(
    session: &Session,
    streams: &mut Streams,
    into: &mut dyn Import,
    wanted: &AtomicBool,
) -> Result<(), CopyError> {
    session.run(async { Ok(session.client().batch_execute(BEGIN).await?) })?;
    let mut export = Export {
        session,
        into,
        wanted,
    };
    export.head()?;
    let mailboxes = export.mailboxes()?;
    export.producers()?;
    export.runs()?;
    for (number, name) in &mailboxes {
        export.messages(streams, *number, name)?;
    }
    export.rest()?;
    session.run(async { Ok(session.client().batch_execute("COMMIT").await?) })?;
    Ok(())
}

struct Export<'a> {
    session: &'a Session,
    into: &'a mut dyn Import,
    wanted: &'a AtomicBool,
}

type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Export<'_> {
    fn rows(&self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, CopyError> {
        if !self.wanted.load(Ordering::Relaxed) {
            return Err(CopyError::Failed("nobody wants it any more".into()));
        }
        let asked = async { Ok(self.session.client().query(sql, parameters).await?) };
        Ok(self.session.run(asked)?)
    }

    /// A record of each row.
    fn all(
        &mut self,
        sql: &str,
        record: impl Fn(&Row) -> Result<Record, CopyError>,
    ) -> Result<(), CopyError> {
        for row in self.rows(sql, &[])? {
            self.into.put(record(&row)?)?;
        }
        Ok(())
    }

    fn head(&mut self) -> Result<(), CopyError> {
        self.all(
            "SELECT id, (extract(epoch FROM created) * 1000000)::bigint, hours FROM store",
            |row| {
                let id: &[u8] = get(row, 0)?;
                Ok(Record::Store {
                    id: id
                        .try_into()
                        .map_err(|_| CopyError::strange("the id of the store"))?,
                    created: get(row, 1)?,
                    hours: get(row, 2)?,
                })
            },
        )
    }

    fn mailboxes(&mut self) -> Result<Vec<(i32, MailboxName)>, CopyError> {
        let mut all = Vec::new();
        for row in self.rows(
            "SELECT id, name, maker, gone, removed FROM mailbox ORDER BY id",
            &[],
        )? {
            let number: i32 = get(&row, 0)?;
            let name: MailboxName = parsed(&row, 1, "the name of a mailbox")?;
            all.push((number, name.clone()));
            let maker: Option<&str> = get(&row, 2)?;
            self.into.put(Record::Mailbox {
                number: number.into(),
                name,
                maker: maker.and_then(|maker| maker.parse().ok()),
                gone: count(&row, 3)?,
                is_removed: get(&row, 4)?,
            })?;
        }
        Ok(all)
    }

    fn producers(&mut self) -> Result<(), CopyError> {
        let mut last = 0_i64;
        loop {
            let rows = self.rows(
                "SELECT id::bigint, name FROM sender WHERE id > $1 ORDER BY id LIMIT $2",
                &[&i32::try_from(last).unwrap_or(i32::MAX), &ROWS],
            )?;
            let Some(end) = rows.last() else { break };
            last = get(end, 0)?;
            for row in &rows {
                self.into.put(Record::Sender {
                    number: get(row, 0)?,
                    sender: parsed::<Sender>(row, 1, "a sender")?,
                })?;
            }
        }
        last = 0;
        loop {
            let rows = self.rows(PRODUCERS, &[&last, &ROWS])?;
            let Some(end) = rows.last() else { return Ok(()) };
            last = get(end, 0)?;
            for row in &rows {
                let producer: &[u8] = get(row, 2)?;
                let producer = producer
                    .try_into()
                    .map_err(|_| CopyError::strange("a stream's id"))?;
                self.into.put(Record::Producer {
                    number: get(row, 0)?,
                    sender: get(row, 1)?,
                    producer: ProducerId::from_bytes(producer),
                    kind: get(row, 3)?,
                    forgotten: count(row, 4)?,
                    used: get(row, 5)?,
                })?;
            }
        }
    }

    fn runs(&mut self) -> Result<(), CopyError> {
        let mut last = (0_i64, 0_i64);
        // What lies side by side is one: a commit writes down only what it has added.
        let mut open: Option<(i64, PlacedRun)> = None;
        loop {
            let rows = self.rows(RUNS, &[&last.0, &last.1, &ROWS])?;
            let Some(end) = rows.last() else { break };
            last = (get(end, 4)?, get(end, 0)?);
            for row in &rows {
                let (producer, run): (i64, _) = (get(row, 4)?, placed(row, 0)?);
                match &mut open {
                    Some((of, last)) if *of == producer && last.is_followed_by(&run) => {
                        last.count += run.count;
                    }
                    _ => {
                        if let Some((producer, run)) = open.replace((producer, run)) {
                            self.into.put(Record::Run { producer, run })?;
                        }
                    }
                }
            }
        }
        match open {
            Some((producer, run)) => self.into.put(Record::Run { producer, run }),
            None => Ok(()),
        }
    }

    fn messages(&mut self, streams: &mut Streams, number: i32, name: &MailboxName) -> Result<(), CopyError> {
        let mut last = 0_i64;
        loop {
            let rows = self.rows(MESSAGES, &[&number, &last, &PACKS])?;
            let Some(end) = rows.last() else { return Ok(()) };
            last = get(end, 0)?;
            for row in &rows {
                let pack = Stored::of(row).map_err(Missing::from)?;
                self.session.run(streams.know(self.session, pack.streams()))?;
                for offset in pack.first()..=pack.last {
                    let item = streams.item(name, &pack, offset);
                    let item = item.map_err(|error| CopyError::Failed(Box::new(error)))?;
                    let Some(entry) = pack.get(offset) else { continue };
                    self.into.put(Record::Message {
                        mailbox: number.into(),
                        producer: entry.stream,
                        checksum: entry.sum,
                        item,
                    })?;
                }
            }
        }
    }

    /// Ages, cursors and replies.
    fn rest(&mut self) -> Result<(), CopyError> {
        self.all("SELECT mailbox::bigint, hours, last FROM age", |row| {
            Ok(Record::Age {
                mailbox: get(row, 0)?,
                hours: get(row, 1)?,
                last: count(row, 2)?,
            })
        })?;
        self.all(
            "SELECT id::bigint, mailbox, name, floor, used FROM cursor",
            |row| {
                Ok(Record::Cursor {
                    number: get(row, 0)?,
                    mailbox: parsed(row, 1, "the mailbox of a cursor")?,
                    name: parsed::<CursorName>(row, 2, "the name of a cursor")?,
                    committed: count(row, 3)?,
                    used: get(row, 4)?,
                })
            },
        )?;
        self.all(ACKS, |row| {
            Ok(Record::Ack {
                cursor: get::<i32>(row, 0)?.into(),
                offset: count(row, 1)?,
                state: AckState {
                    attempts: get::<i32>(row, 2)?.unsigned_abs(),
                    done: get(row, 3)?,
                },
            })
        })?;
        let mut last = 0_i64;
        loop {
            let rows = self.rows(
                "SELECT stream, code, sum, body, sequence, hours, at FROM reply WHERE at > $1 ORDER BY at LIMIT $2",
                &[&last, &PACKS],
            )?;
            let Some(end) = rows.last() else { return Ok(()) };
            last = get(end, 6)?;
            for row in &rows {
                let sequence = count(row, 4)?;
                // One that is damaged is none, here as where it is read.
                if let Some(reply) = replies::checked(row, sequence)? {
                    self.into.put(Record::Reply {
                        producer: get(row, 0)?,
                        sequence,
                        hours: get(row, 5)?,
                        checksum: get::<i64>(row, 2)? as u32,
                        reply,
                    })?;
                }
            }
        }
    }
}

fn get<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, Missing> {
    Ok(row.try_get(column)?)
}

/// A `bigint` that is none below zero.
fn count(row: &Row, column: usize) -> Result<u64, Missing> {
    Ok(get::<i64>(row, column)?.unsigned_abs())
}

/// A word of a row, as what it must be.
fn parsed<T: std::str::FromStr>(row: &Row, column: usize, what: &'static str) -> Result<T, CopyError> {
    let word: &str = get(row, column)?;
    word.parse().map_err(|_| CopyError::strange(what))
}
