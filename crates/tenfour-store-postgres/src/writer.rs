//! What a server has of the store, and the frame of every transaction.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tenfour_store::StoreError;
use tenfour_store::ledger::{Mailboxes, Quota};

use crate::address::Address;
use crate::durability::Demand;
use crate::error::Trouble;
use crate::hours::Hours;
use crate::key_lists::Known;
use crate::lane::{BE_SEEN, Lane, SEEN};
use crate::mailboxes::{ALL, place};
use crate::news::Words;
use crate::producers::Counts;
use crate::retention::Retention;
use crate::session::{PAUSE, Session};
use crate::sizes::Sizes;
use crate::streams::Streams;

/// Others may be in the way so often; after that it is not they.
const ATTEMPTS: u32 = 50;

/// So many packs are added up at each look at the mailboxes; of more the sum is written down.
const UNCOUNTED: u64 = 512;

/// The writer of one server: its place in the database, and what it knows of it.
pub(crate) struct Writer {
    pub(crate) address: Address,
    pub(crate) demand: Demand,
    pub(crate) id: [u8; 16],
    /// All that is prepared on a connection.
    pub(crate) statements: &'static [&'static str],
    /// None while the database is lost.
    pub(crate) session: Option<Session>,
    pub(crate) lane: Lane,
    pub(crate) mailboxes: Mailboxes,
    pub(crate) sizes: Sizes,
    pub(crate) quota: Quota,
    pub(crate) retention: Retention,
    pub(crate) hours: Hours,
    pub(crate) counts: Counts,
    pub(crate) streams: Streams,
    /// For other servers.
    pub(crate) words: Words,
    pub(crate) key_lists: Known,
    /// Where backups are made.
    pub(crate) backups: Option<PathBuf>,
    /// Nothing is waited for any more.
    pub(crate) stopping: Arc<AtomicBool>,
    /// It was said that the database is not safe enough any more.
    pub(crate) said_unsafe: bool,
    pub(crate) has_failed: bool,
}

impl Writer {
    /// Does a piece of work in a transaction, until it is known what became of it. The work begins the transaction, says what
    /// it comes to, and then ends it: if nobody can tell whether it has ended, the lane can.
    pub(crate) fn transaction<T>(
        &mut self,
        mut work: impl FnMut(&mut Self, &Session, &mut Option<T>) -> Result<(), Trouble>,
    ) -> Result<T, Trouble> {
        let mut attempts = 0;
        loop {
            let session = match self.session.take() {
                Some(session) => session,
                None => {
                    self.recover()?;
                    continue;
                }
            };
            let mut plan = None;
            let trouble = match (work(self, &session, &mut plan), plan.take()) {
                (Ok(()), Some(plan)) => {
                    self.lane.number += 1;
                    self.session = Some(session);
                    return Ok(plan);
                }
                (Ok(()), None) => Trouble::Failed("a transaction without an outcome".into()),
                (Err(trouble), kept) => {
                    plan = kept;
                    trouble
                }
            };
            self.forget();
            match trouble {
                Trouble::Again if attempts < ATTEMPTS => {
                    attempts += 1;
                    if session.roll_back().is_ok() {
                        self.session = Some(session);
                        // What others have done is why.
                        self.beside(Self::look_at_mailboxes)?;
                    }
                }
                Trouble::Lost(why) => {
                    tracing::warn!(database = %self.address, why, "the database is lost; nothing is acknowledged until it is known what became of the last commit");
                    drop(session);
                    if self.recover()?
                        && let Some(plan) = plan
                    {
                        return Ok(plan);
                    }
                }
                other => {
                    if session.roll_back().is_ok() {
                        self.session = Some(session);
                    }
                    return Err(other);
                }
            }
        }
    }

    /// What was counted in a transaction that did not end is not true.
    fn forget(&mut self) {
        self.counts = Counts::default();
        self.mailboxes = Mailboxes::default();
    }

    /// After this nothing more is taken.
    pub(crate) fn failed(&mut self, trouble: Trouble) -> StoreError {
        self.has_failed = true;
        trouble.into()
    }

    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.has_failed {
            Err(StoreError::Poisoned)
        } else {
            Ok(())
        }
    }

    /// What is not done now may be done later; `later` says so.
    pub(crate) fn unless_full<T>(&mut self, done: Result<T, Trouble>, later: T) -> Result<T, StoreError> {
        match done {
            Ok(done) => Ok(done),
            Err(trouble @ (Trouble::Full | Trouble::Unsafe(_))) => {
                self.say(&trouble);
                self.look_again()?;
                Ok(later)
            }
            // It can be done by another server, or by this one when it is started again.
            Err(Trouble::Lost(_)) if self.stopping.load(Ordering::Relaxed) => Ok(later),
            Err(trouble) => Err(self.failed(trouble)),
        }
    }

    /// The mailboxes were forgotten with a transaction.
    pub(crate) fn look_again(&mut self) -> Result<(), StoreError> {
        let looked = self.beside(Self::look_at_mailboxes);
        looked.map(drop).map_err(|trouble| self.failed(trouble))
    }

    /// Does something outside a transaction. `None`: the database is lost, and the next transaction finds out what is the matter.
    pub(crate) fn beside<T>(
        &mut self,
        work: impl FnOnce(&mut Self, &Session) -> Result<T, Trouble>,
    ) -> Result<Option<T>, Trouble> {
        let Some(session) = self.session.take() else {
            return Ok(None);
        };
        match work(self, &session) {
            Ok(done) => {
                self.session = Some(session);
                Ok(Some(done))
            }
            Err(Trouble::Lost(why)) => {
                tracing::debug!(why, "the database is lost");
                Ok(None)
            }
            Err(trouble) => Err(trouble),
        }
    }

    pub(crate) fn say(&mut self, trouble: &Trouble) {
        match trouble {
            Trouble::Unsafe(why) if !std::mem::replace(&mut self.said_unsafe, true) => {
                tracing::error!(database = %self.address, why, "the database is not safe enough any more; nothing is accepted until it is");
            }
            Trouble::Full => {
                tracing::warn!(database = %self.address, "the database has no room, nothing was stored")
            }
            _ => {}
        }
    }

    /// Finds the primary, and what became of the last commit: true if it has happened. Waits as long as it takes.
    pub(crate) fn recover(&mut self) -> Result<bool, Trouble> {
        for attempt in 0.. {
            if self.stopping.load(Ordering::Relaxed) {
                return Err(Trouble::Lost(
                    "the server stops while the database is lost".to_owned(),
                ));
            }
            match self.recover_at(attempt) {
                Ok((session, number)) => {
                    if number < self.lane.number {
                        return Err(Trouble::Failed(
                            "the database went back: it lacks commits that it had acknowledged".into(),
                        ));
                    }
                    let has_happened = number > self.lane.number;
                    match self.look_at_mailboxes(&session) {
                        Ok(()) => {}
                        Err(Trouble::Lost(_)) => continue,
                        Err(other) => return Err(other),
                    }
                    self.lane.number = number;
                    self.session = Some(session);
                    tracing::info!(database = %self.address, "the database is there again");
                    return Ok(has_happened);
                }
                Err(Trouble::Lost(why)) => {
                    tracing::debug!(database = %self.address, why, "the database is not there yet");
                    std::thread::sleep(PAUSE);
                }
                Err(other) => return Err(other),
            }
        }
        Err(Trouble::Again)
    }

    /// Ends what an older connection of this lane may still do, behind all that it has done.
    fn recover_at(&mut self, attempt: usize) -> Result<(Session, i64), Trouble> {
        let session = Session::connect(&self.address, attempt, self.statements)?;
        let (id, token) = (self.lane.id, &self.lane.token[..]);
        let (epoch, number) = session.run(async {
            session.begin().await?;
            let raised = session
                .client()
                .query_opt(
                    "UPDATE lane SET epoch = epoch + 1, seen = now() WHERE id = $1 AND token = $2 RETURNING epoch",
                    &[&id, &token],
                )
                .await?;
            let Some(raised) = raised else {
                return Err(Trouble::Fenced);
            };
            let last = session
                .client()
                .query_one("SELECT coalesce(max(number), 0) FROM done WHERE lane = $1", &[&id])
                .await?;
            session.commit().await?;
            Ok((raised.try_get(0)?, last.try_get(0)?))
        })?;
        self.lane.epoch = epoch;
        self.address.is_primary(session.host());
        Ok((session, number))
    }

    /// Says now and then that this server is there, and forgets old commits.
    pub(crate) fn be_seen(&mut self) -> Result<(), Trouble> {
        if self.lane.seen.elapsed() < SEEN || self.session.is_none() {
            return Ok(());
        }
        self.lane.seen = Instant::now();
        let (id, number) = (self.lane.id, self.lane.number);
        let seen = self.beside(|_, session| {
            session.run(async {
                let client = session.client();
                client.execute(BE_SEEN, &[&id]).await?;
                let old = "DELETE FROM done WHERE lane = $1 AND number < $2";
                client.execute(old, &[&id, &number]).await?;
                Ok(())
            })
        });
        seen.map(drop)
    }

    /// Reads now and then whether somebody was let in, or is not any more.
    pub(crate) fn look_at_key_lists(&mut self) -> Result<(), Trouble> {
        if self.key_lists.is_due() {
            self.beside(|writer, session| writer.key_lists.look(session))?;
        }
        Ok(())
    }

    /// Reads how all mailboxes are.
    pub(crate) fn look_at_mailboxes(&mut self, session: &Session) -> Result<(), Trouble> {
        let rows = session.run(async { Ok(session.client().query(session.statement(ALL)?, &[]).await?) })?;
        let mut mailboxes = Mailboxes::default();
        let mut sizes = Sizes::default();
        for row in &rows {
            place(&mut mailboxes, row)?;
            let size = |column| Ok::<_, Trouble>(row.try_get::<_, i64>(column)?.unsigned_abs());
            let mailbox = row.try_get::<_, i32>(0)?.into();
            sizes.set(mailbox, size(5)?, size(6)?);
            if size(7)? >= UNCOUNTED {
                sizes.uncounted.push(mailbox);
            }
        }
        sizes.looked = Some(Instant::now());
        (self.mailboxes, self.sizes) = (mailboxes, sizes);
        Ok(())
    }

    /// Reads something, with a write of our own: what others have committed may be visible before it is replicated, and is when
    /// ours is.
    pub(crate) fn read<T>(
        &mut self,
        mut work: impl FnMut(&mut Self, &Session) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        loop {
            let read = self.transaction(|store, session, plan| {
                session.run(store.lane.begin(session, None))?;
                *plan = Some(work(store, session)?);
                session.run(store.lane.end(session))
            });
            match read {
                // Whoever makes room is waited for.
                Err(Trouble::Full) => std::thread::sleep(PAUSE),
                read => return read,
            }
        }
    }
}

impl Drop for Writer {
    /// Nobody will ask for it any more.
    fn drop(&mut self) {
        let id = self.lane.id;
        // Where tasks run nothing may wait; others remove the lane in a day.
        if tokio::runtime::Handle::try_current().is_err()
            && let Some(session) = self.session.take()
        {
            let gone = session.run(async {
                session
                    .client()
                    .execute("DELETE FROM done WHERE lane = $1", &[&id])
                    .await?;
                session
                    .client()
                    .execute("DELETE FROM lane WHERE id = $1", &[&id])
                    .await?;
                Ok(())
            });
            if let Err(trouble) = gone {
                tracing::debug!(why = trouble.text(), "the lane stays");
            }
        }
    }
}
