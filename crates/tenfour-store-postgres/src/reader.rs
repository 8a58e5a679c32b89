//! Reading the database, on a connection of its own.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tenfour_proto::{CursorName, Item, MailboxName, ProducerId, Reply, Sender};
use tenfour_store::{
    CURSOR_HOURS, CopyError, CursorInfo, Import, MailboxInfo, Position, ReadError, Reader, ServerInfo,
    SqliteImport,
};
use tokio_postgres::Row;

use crate::address::Address;
use crate::error::Trouble;
use crate::hours::Clock;
use crate::pack::Stored;
use crate::session::Session;
use crate::sql::{last_offset, pack_columns};
use crate::streams::{self, Streams};
use crate::{cursors, export, lane, replies};

/// Packs that are looked at in one go, as far as their bodies are wanted.
const PACKS: i64 = 256;

/// Packs from an offset on, until those before have the bytes.
const READ: &str = concat!(
    "SELECT ",
    pack_columns!(),
    " FROM (SELECT pack.*, sum(bytes) OVER (ORDER BY last) - bytes AS before FROM pack
           WHERE mailbox = (SELECT id FROM mailbox WHERE name = $1) AND last >= $2 ORDER BY last LIMIT $3) AS packs
    WHERE before < $4::bigint ORDER BY last"
);

const LAST: &str = concat!("SELECT ", last_offset!(), " FROM mailbox WHERE name = $1");

/// The time of the pack that holds an offset, or of the next one, and its first and last offset.
const TIME_AT: &str = "SELECT time, last - count + 1, last FROM pack
    WHERE mailbox = (SELECT id FROM mailbox WHERE name = $1) AND last >= $2 ORDER BY last LIMIT 1";

const MAILBOXES: &str = concat!(
    "SELECT name, (SELECT last - count + 1 FROM pack WHERE mailbox = mailbox.id ORDER BY last LIMIT 1), ",
    last_offset!(),
    " FROM mailbox WHERE NOT removed AND coalesce(name = $1, true) ORDER BY name"
);

const SIZES: &str = "SELECT name, mailbox.bytes + coalesce(
        (SELECT sum(pack.bytes)::bigint FROM pack WHERE pack.mailbox = mailbox.id AND last > counted), 0)
    FROM mailbox WHERE NOT removed";

const CURSORS: &str =
    "SELECT mailbox, name, floor, (SELECT count(*) FROM given WHERE given.cursor = cursor.id AND done),
        $2 - used >= $3
    FROM cursor WHERE coalesce(mailbox = $1, true) ORDER BY mailbox, name";

const SERVERS: &str =
    "SELECT name, software, promise, (extract(epoch FROM since) * 1000000)::bigint, extract(epoch FROM now() - seen)::bigint, id = $1
       FROM lane ORDER BY id";

const STATEMENTS: &[&str] = &[
    READ,
    LAST,
    TIME_AT,
    MAILBOXES,
    SIZES,
    CURSORS,
    SERVERS,
    replies::FIND,
    streams::SELECT,
];

/// A connection that only reads.
pub(crate) struct PostgresReader {
    address: Address,
    lane: i64,
    /// None when it was lost.
    session: Option<Session>,
    streams: Streams,
    hours: Clock,
    /// Where backups are made.
    backups: Option<PathBuf>,
}

impl PostgresReader {
    pub(crate) fn open(
        address: &Address,
        lane: i64,
        hours: Clock,
        backups: Option<PathBuf>,
    ) -> Result<Self, Trouble> {
        Ok(PostgresReader {
            address: address.clone(),
            lane,
            session: Some(lane::connect(address, lane, STATEMENTS)?),
            streams: Streams::default(),
            hours,
            backups,
        })
    }

    /// Reads, once more where the connection was lost.
    fn ask<T>(
        &mut self,
        work: impl Fn(&Session, &mut Streams, i64) -> Result<T, Trouble>,
    ) -> Result<T, ReadError> {
        let hours = self.hours.now();
        if let Some(session) = self.session.take() {
            match work(&session, &mut self.streams, hours) {
                Err(Trouble::Lost(why)) => tracing::debug!(why, "a reader's connection is lost"),
                done => {
                    self.session = Some(session);
                    return Ok(done?);
                }
            }
        }
        let session = lane::connect(&self.address, self.lane, STATEMENTS)?;
        let done = work(&session, &mut self.streams, hours)?;
        self.session = Some(session);
        Ok(done)
    }

    /// Packs from an offset on.
    fn packs(
        &mut self,
        mailbox: &MailboxName,
        from: u64,
        packs: i64,
        bytes: u64,
    ) -> Result<Vec<Row>, ReadError> {
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.ask(|session, streams, _| {
            session.run(async {
                let statement = session.statement(READ)?;
                // The sum of the database is a `numeric`, and would be compared as one.
                let rows = session
                    .client()
                    .query(statement, &[&mailbox.as_str(), &from, &packs, &bytes])
                    .await?;
                for row in &rows {
                    streams.know(session, Stored::of(row)?.streams()).await?;
                }
                Ok(rows)
            })
        })
    }
}

impl Reader for PostgresReader {
    fn read(
        &mut self,
        mailbox: &MailboxName,
        from: u64,
        items: usize,
        bytes: u64,
    ) -> Result<Vec<Item>, ReadError> {
        let mut found = Vec::new();
        let (mut next, mut total) = (from, 0);
        while found.len() < items && total < bytes.max(1) {
            let packs = i64::try_from(items - found.len()).unwrap_or(PACKS).min(PACKS);
            let rows = self.packs(mailbox, next, packs, bytes.max(1) - total)?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                let pack = Stored::of(row).map_err(|error| ReadError::Failed(error.into()))?;
                for offset in pack.first().max(next)..=pack.last {
                    if found.len() >= items || total >= bytes.max(1) {
                        return Ok(found);
                    }
                    match self.streams.item(mailbox, &pack, offset) {
                        Ok(item) => {
                            total += item.message.body.len() as u64;
                            found.push(item);
                        }
                        // What came before is whole, and is given first.
                        Err(_) if !found.is_empty() => return Ok(found),
                        Err(error) => return Err(error),
                    }
                }
                next = pack.last + 1;
            }
        }
        Ok(found)
    }

    fn last_offset(&mut self, mailbox: &MailboxName) -> Result<u64, ReadError> {
        self.ask(|session, _, _| {
            session.run(async {
                let row = session
                    .client()
                    .query_opt(session.statement(LAST)?, &[&mailbox.as_str()])
                    .await?;
                let last: Option<i64> = row.map(|row| row.try_get(0)).transpose()?;
                Ok(last.map_or(0, i64::unsigned_abs))
            })
        })
    }

    fn first_since(&mut self, mailbox: &MailboxName, time: i64) -> Result<u64, ReadError> {
        let (mut low, mut high) = (1, self.last_offset(mailbox)? + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let found = self.ask(|session, _, _| {
                session.run(async {
                    let statement = session.statement(TIME_AT)?;
                    let row = session
                        .client()
                        .query_opt(statement, &[&mailbox.as_str(), &(middle as i64)])
                        .await?;
                    let Some(row) = row else { return Ok(None) };
                    let offset = |column| Ok::<_, Trouble>(row.try_get::<_, i64>(column)?.unsigned_abs());
                    Ok(Some((row.try_get::<_, i64>(0)?, offset(1)?, offset(2)?)))
                })
            })?;
            match found {
                Some((stored, _, last)) if stored < time => low = last + 1,
                Some((_, first, _)) => high = middle.min(first),
                None => high = middle,
            }
        }
        Ok(low)
    }

    fn cursors(&mut self) -> Result<Vec<CursorInfo>, ReadError> {
        self.cursors_where(None)
    }

    fn cursors_of(&mut self, mailbox: &MailboxName) -> Result<Vec<CursorInfo>, ReadError> {
        self.cursors_where(Some(mailbox))
    }

    fn position(&mut self, mailbox: &MailboxName, name: &CursorName) -> Result<Option<Position>, ReadError> {
        self.ask(|session, _, _| session.run(cursors::position(session, mailbox, name)))
    }

    fn reply(
        &mut self,
        sender: &Sender,
        producer: ProducerId,
        sequence: u64,
    ) -> Result<Option<Reply>, ReadError> {
        self.ask(|session, _, hours| session.run(replies::find(session, sender, producer, sequence, hours)))
    }

    fn sizes(&mut self) -> Result<Vec<(MailboxName, u64)>, ReadError> {
        let rows = self.ask(|session, _, _| {
            session.run(async { Ok(session.client().query(session.statement(SIZES)?, &[]).await?) })
        })?;
        let size = |row: &Row| {
            let name = row.try_get::<_, &str>(0).ok()?.parse().ok()?;
            Some((name, row.try_get::<_, i64>(1).ok()?.unsigned_abs()))
        };
        Ok(rows.iter().filter_map(size).collect())
    }

    fn mailboxes(&mut self) -> Result<Vec<MailboxInfo>, ReadError> {
        self.mailboxes_where(None)
    }

    fn mailbox(&mut self, name: &MailboxName) -> Result<Option<MailboxInfo>, ReadError> {
        Ok(self.mailboxes_where(Some(name))?.pop())
    }

    fn servers(&mut self) -> Result<Vec<ServerInfo>, ReadError> {
        let lane = self.lane;
        let rows = self.ask(|session, _, _| {
            session.run(async {
                Ok(session
                    .client()
                    .query(session.statement(SERVERS)?, &[&lane])
                    .await?)
            })
        })?;
        let info = |row: &Row| {
            Some(ServerInfo {
                name: row.try_get(0).ok()?,
                software: row.try_get(1).ok()?,
                promise: row.try_get(2).ok()?,
                since: row.try_get(3).ok()?,
                silent: row.try_get::<_, i64>(4).ok()?.unsigned_abs(),
                is_own: row.try_get(5).ok()?,
            })
        };
        Ok(rows.iter().filter_map(info).collect())
    }

    fn export(&mut self, into: &mut dyn Import, wanted: &AtomicBool) -> Result<(), CopyError> {
        self.export_all(into, wanted)
    }

    fn copy(&mut self, wanted: &Arc<AtomicBool>) -> Result<File, CopyError> {
        let folder = self.backups.clone().ok_or(CopyError::NoFile)?;
        let bytes = self.ask(|session, _, _| {
            session.run(async {
                Ok(session
                    .client()
                    .query_one(SIZE, &[])
                    .await?
                    .try_get::<_, i64>(0)?)
            })
        });
        let bytes = bytes.map_err(|error| CopyError::Failed(error.into()))?;
        let mut import = SqliteImport::create_unnamed(&folder, bytes.unsigned_abs())?;
        self.export_all(&mut import, wanted)?;
        import.finish()
    }
}

/// Bytes of a file for each byte of the messages, and of the indexes of the database, about.
const SIZE: &str = "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'tenfour'::regnamespace";

impl PostgresReader {
    /// Gives everything, on a connection of its own that is done with afterwards.
    fn export_all(&mut self, into: &mut dyn Import, wanted: &AtomicBool) -> Result<(), CopyError> {
        let session = lane::connect(&self.address, self.lane, &[streams::SELECT])?;
        export::export(&session, &mut Streams::default(), into, wanted)?;
        // What was visible is replicated when a write behind it is.
        session.run(lane::see(&session, self.lane))?;
        Ok(())
    }

    /// All mailboxes, or that of a name.
    fn mailboxes_where(&mut self, name: Option<&MailboxName>) -> Result<Vec<MailboxInfo>, ReadError> {
        let name = name.map(MailboxName::as_str);
        let rows = self.ask(|session, _, _| {
            session.run(async {
                let statement = session.statement(MAILBOXES)?;
                Ok(session.client().query(statement, &[&name]).await?)
            })
        })?;
        let info = |row: &Row| {
            let last = row.try_get::<_, i64>(2).ok()?.unsigned_abs();
            let first = row.try_get::<_, Option<i64>>(1).ok()?;
            Some(MailboxInfo {
                name: row.try_get::<_, &str>(0).ok()?.parse().ok()?,
                first: first.map_or(last + 1, i64::unsigned_abs),
                last,
            })
        };
        Ok(rows.iter().filter_map(info).collect())
    }

    /// All cursors, or those of a mailbox.
    fn cursors_where(&mut self, mailbox: Option<&MailboxName>) -> Result<Vec<CursorInfo>, ReadError> {
        let mailbox = mailbox.map(MailboxName::as_str);
        let rows = self.ask(|session, _, hours| {
            session.run(async {
                let statement = session.statement(CURSORS)?;
                Ok(session
                    .client()
                    .query(statement, &[&mailbox, &hours, &CURSOR_HOURS])
                    .await?)
            })
        })?;
        let info = |row: &Row| {
            Some(CursorInfo {
                mailbox: row.try_get::<_, &str>(0).ok()?.parse().ok()?,
                name: row.try_get::<_, &str>(1).ok()?.parse().ok()?,
                committed: row.try_get::<_, i64>(2).ok()?.unsigned_abs(),
                done: row.try_get::<_, i64>(3).ok()?.unsigned_abs(),
                expired: row.try_get(4).ok()?,
            })
        };
        Ok(rows.iter().filter_map(info).collect())
    }
}
