//! A new store in a database, with all that another one holds.

use std::rc::Rc;

use tenfour_store::ledger::{PlacedRun, cost, source_word};
use tenfour_store::{CopyError, Import, Record};
use tokio_postgres::types::ToSql;

use crate::address::Address;
use crate::error::{PostgresError, Trouble};
use crate::pack::{self, Entry, Pack};
use crate::runs::{self, RunColumns};
use crate::schema;
use crate::session::{Sent, Session, pipeline};

/// So many rows, or bytes of messages, go on their way together.
const ROWS: usize = 4_096;
const BYTES: u64 = 8 * 1024 * 1024;

/// The sequences of the database go on behind the numbers that were brought; and sizes are counted once.
const END: &str = r#"
SELECT setval(pg_get_serial_sequence('sender', 'id'), max(id)) FROM sender HAVING max(id) IS NOT NULL;
SELECT setval(pg_get_serial_sequence('stream', 'id'), max(id)) FROM stream HAVING max(id) IS NOT NULL;
SELECT setval(pg_get_serial_sequence('cursor', 'id'), max(id)) FROM cursor HAVING max(id) IS NOT NULL;
UPDATE mailbox SET counted = since.last, bytes = since.bytes, synthetic = since.synthetic
  FROM (SELECT mailbox, max(last) AS last, sum(bytes)::bigint AS bytes, sum(synthetic)::bigint AS synthetic
          FROM pack GROUP BY mailbox) AS since
 WHERE mailbox.id = since.mailbox
"#;

/// A store that another one is copied into, in one transaction. What is not [finished](Self::finish) leaves nothing behind.
pub struct PostgresImport {
    session: Session,
    packs: Vec<(i64, Pack)>,
    bytes: u64,
    runs: Vec<(i64, PlacedRun)>,
    producers: Vec<Producer>,
}

struct Producer {
    number: i64,
    sender: i32,
    producer: [u8; 16],
    kind: i16,
    forgotten: i64,
    used: i64,
}

impl PostgresImport {
    /// Begins. `None`: the database has a store already. Must not be called where tasks run, nor anything else of it.
    ///
    /// # Errors
    ///
    /// The database is not there, is of another encoding, or does not allow it.
    pub fn create(address: &Address) -> Result<Option<Self>, PostgresError> {
        let Some(mut session) = schema::create(address)? else {
            return Ok(None);
        };
        // What is brought may come slowly.
        let patient = "SET LOCAL idle_in_transaction_session_timeout = 0";
        let prepared = session
            .run(async { Ok(session.client().batch_execute(patient).await?) })
            .and_then(|()| session.prepare(&[pack::INSERT, runs::INSERT]));
        prepared.map_err(|trouble| schema::refusal(address, trouble))?;
        Ok(Some(PostgresImport {
            session,
            packs: Vec::new(),
            bytes: 0,
            runs: Vec::new(),
            producers: Vec::new(),
        }))
    }

    /// Also a list of keys (`authorized_keys`, `tokens`, `invitations`), as it is.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn put_key_list(&mut self, name: &str, content: &str) -> Result<(), CopyError> {
        self.execute(
            "INSERT INTO access(name, content, version) VALUES ($1, $2, 1)",
            &[&name, &content],
        )
    }

    /// All of it is there: from here on it is a store, on each machine on which the database promises it.
    ///
    /// # Errors
    ///
    /// When the database fails. It is not known then whether there is a store.
    pub fn finish(mut self) -> Result<(), CopyError> {
        self.flush()?;
        let session = &self.session;
        session.run_patiently(async {
            session.client().batch_execute(END).await?;
            session.commit().await
        })?;
        Ok(())
    }

    fn execute(&mut self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<(), CopyError> {
        let session = &self.session;
        session.run_patiently(async {
            session.client().execute(sql, parameters).await?;
            Ok(())
        })?;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), CopyError> {
        let (session, rows) = (&self.session, RunColumns::of(&self.runs));
        let producers = &self.producers;
        session.run_patiently(async {
            if !producers.is_empty() {
                insert(session, producers).await?;
            }
            let mut writing: Vec<Sent<'_>> = Vec::new();
            if !self.runs.is_empty() {
                writing.push(Box::pin(rows.insert(session)));
            }
            writing.extend(self.packs.iter().map(|(time, pack)| pack.insert(session, time)));
            pipeline(writing).await
        })?;
        self.producers.clear();
        self.runs.clear();
        self.packs.clear();
        self.bytes = 0;
        Ok(())
    }

    fn flush_if_many(&mut self) -> Result<(), CopyError> {
        let rows = self.runs.len().max(self.producers.len()).max(self.packs.len());
        if rows >= ROWS || self.bytes >= BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Messages that lie side by side and were stored at one time are one row.
    fn put_message(
        &mut self,
        mailbox: i64,
        offset: u64,
        time: i64,
        entry: Entry,
        synthetic: u64,
    ) -> Result<(), CopyError> {
        let bytes = entry.body.len() as u64;
        let fits = self.packs.last().is_some_and(|(of, pack)| {
            *of == time
                && pack.mailbox == mailbox
                && pack.last + 1 == offset
                && pack.takes(bytes, synthetic > 0)
        });
        if !fits {
            self.flush_if_many()?;
            self.packs.push((time, Pack::new(mailbox)));
        }
        if let Some((_, pack)) = self.packs.last_mut() {
            pack.push(offset, entry, synthetic);
        }
        self.bytes += bytes;
        Ok(())
    }
}

async fn insert(session: &Session, producers: &[Producer]) -> Result<(), Trouble> {
    fn column<T>(producers: &[Producer], value: impl Fn(&Producer) -> T) -> Vec<T> {
        producers.iter().map(value).collect()
    }
    let ids: Vec<&[u8]> = producers.iter().map(|one| &one.producer[..]).collect();
    session
        .client()
        .execute(
            "INSERT INTO stream(id, sender, stream, kind, epoch, used, gone) OVERRIDING SYSTEM VALUE
             SELECT id, sender, stream, kind, 0, used, gone
               FROM unnest($1::bigint[], $2::integer[], $3::bytea[], $4::smallint[], $5::bigint[], $6::bigint[])
                 AS new(id, sender, stream, kind, used, gone)",
            &[
                &column(producers, |one| one.number),
                &column(producers, |one| one.sender),
                &ids,
                &column(producers, |one| one.kind),
                &column(producers, |one| one.used),
                &column(producers, |one| one.forgotten),
            ],
        )
        .await?;
    Ok(())
}

fn small(number: i64, what: &'static str) -> Result<i32, CopyError> {
    i32::try_from(number).map_err(|_| CopyError::too_large(what))
}

impl Import for PostgresImport {
    fn put(&mut self, record: Record) -> Result<(), CopyError> {
        match record {
            Record::Store { id, created, hours } => self.execute(
                "UPDATE store SET id = $1, created = to_timestamp($2::bigint / 1000000.0), hours = $3",
                &[&&id[..], &created, &hours],
            ),
            Record::Mailbox {
                number,
                name,
                maker,
                gone,
                is_removed,
            } => self.execute(
                "INSERT INTO mailbox(id, name, maker, gone, removed, counted, bytes, synthetic)
                 VALUES ($1, $2, $3, $4, $5, 0, 0, 0)",
                &[
                    &small(number, "a mailbox")?,
                    &name.as_str(),
                    &maker.map(|maker| maker.to_string()),
                    &(gone as i64),
                    &is_removed,
                ],
            ),
            Record::Sender { number, sender } => self.execute(
                "INSERT INTO sender(id, name) OVERRIDING SYSTEM VALUE VALUES ($1, $2)",
                &[&small(number, "a sender")?, &sender.to_string()],
            ),
            Record::Producer {
                number,
                sender,
                producer,
                kind,
                forgotten,
                used,
            } => {
                self.producers.push(Producer {
                    number,
                    sender: small(sender, "a sender")?,
                    producer: *producer.as_bytes(),
                    kind: i16::try_from(kind).map_err(|_| CopyError::strange("the kind of a stream"))?,
                    forgotten: forgotten as i64,
                    used,
                });
                self.flush_if_many()
            }
            Record::Run { producer, run } => {
                small(run.mailbox, "a mailbox")?;
                self.runs.push((producer, run));
                self.flush_if_many()
            }
            Record::Message {
                mailbox,
                producer,
                checksum,
                item,
            } => {
                small(mailbox, "a mailbox")?;
                let synthetic = if item.sender.is_synthetic() {
                    cost(item.sequence, &item.message)
                } else {
                    0
                };
                let entry = Entry {
                    source: item.source.as_ref().and_then(source_word).map(Rc::from),
                    origin: item.origin.as_ref().map(ToString::to_string),
                    ..Entry::of(producer, item.sequence, checksum, &item.message)
                };
                self.put_message(mailbox, item.offset, item.time, entry, synthetic)
            }
            Record::Age { mailbox, hours, last } => self.execute(
                "INSERT INTO age(mailbox, hours, last) VALUES ($1, $2, $3)",
                &[&small(mailbox, "a mailbox")?, &hours, &(last as i64)],
            ),
            Record::Cursor {
                number,
                mailbox,
                name,
                committed,
                used,
            } => self.execute(
                "INSERT INTO cursor(id, mailbox, name, floor, next, used) OVERRIDING SYSTEM VALUE
                 VALUES ($1, $2, $3, $4::bigint, $4::bigint + 1, $5)",
                &[
                    &small(number, "a cursor")?,
                    &mailbox.as_str(),
                    &name.as_str(),
                    &(committed as i64),
                    &used,
                ],
            ),
            Record::Ack {
                cursor,
                offset,
                state,
            } => self.execute(
                "INSERT INTO given(cursor, \"offset\", attempts, done) VALUES ($1, $2, $3, $4)",
                &[
                    &small(cursor, "a cursor")?,
                    &(offset as i64),
                    &i32::try_from(state.attempts).unwrap_or(i32::MAX),
                    &state.done,
                ],
            ),
            Record::Reply {
                producer,
                sequence,
                hours,
                checksum,
                reply,
            } => self.execute(
                "INSERT INTO reply(stream, sequence, hours, code, sum, body) VALUES ($1, $2, $3, $4, $5, $6)",
                &[
                    &producer,
                    &(sequence as i64),
                    &hours,
                    &reply.code.map(i16::from),
                    &i64::from(checksum),
                    &&reply.body[..],
                ],
            ),
        }
    }
}

impl std::fmt::Debug for PostgresImport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PostgresImport")
    }
}
