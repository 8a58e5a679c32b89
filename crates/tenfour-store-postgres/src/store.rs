//! The store, as every store is used.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tenfour_proto::{CursorName, Durability, MailboxName, ProducerId, Sender, Stored, TemporaryCode};
use tenfour_store::ledger::{Draft, Mailbox, Mailboxes, Quota};
use tenfour_store::{
    Batch, Claim, Claimant, Committed, CursorChange, News, Portion, ReadError, Readers, Removal, Rules,
    Store, StoreError,
};

use crate::address::Address;
use crate::durability::Demand;
use crate::error::{PostgresError, Trouble};
use crate::hours::Hours;
use crate::key_lists::{KeyLists, Known};
use crate::lane::Lane;
use crate::news::{PostgresNews, Word, Words};
use crate::producers::Counts;
use crate::reader::PostgresReader;
use crate::retention::Retention;
use crate::session::Session;
use crate::sizes::Sizes;
use crate::streams::Streams;
use crate::writer::Writer;
use crate::{claim, commit, cursors, draw, past, removal, schema};

/// Most that senders without a key may hold unless said otherwise: nobody knows how large the database's disk is.
const USUAL_QUOTA: u64 = 1 << 30;

/// How a store on PostgreSQL is opened.
#[derive(Clone, Debug, Default)]
pub struct PostgresOptions {
    /// What a receipt is to mean.
    pub demand: Demand,
    /// Senders without a key may hold so many bytes together, about; 1 GiB unless said.
    pub anonymous_quota: Option<u64>,
    /// As the server calls itself, for people.
    pub name: String,
    /// The folder in which a backup is made, of which nothing stays; none can be made without.
    pub backups: Option<PathBuf>,
}

/// Messages in a PostgreSQL, replicated before they are said to be stored.
pub struct PostgresStore(Writer);

impl PostgresStore {
    /// Opens the store in a database. Must not be called where tasks run.
    ///
    /// # Errors
    ///
    /// There is none, it is of a later version, the database cannot be reached or does not keep what receipts would promise.
    pub fn open(address: &Address, options: PostgresOptions) -> Result<Self, PostgresError> {
        let id = schema::inspect(address, options.demand)?;
        let refusal = |trouble| schema::refusal(address, trouble);
        // A primary that lives and has no standby any more connects, and takes no write.
        let mut behind = 0;
        let (session, lane) = loop {
            let taken = Session::connect(address, behind, STATEMENTS)
                .and_then(|session| Ok((Lane::take(&session, &options.name, options.demand)?, session)));
            match taken {
                Ok((lane, session)) => break (session, lane),
                Err(Trouble::Lost(_)) if behind + 1 < address.hosts().len() => behind += 1,
                Err(trouble) => return Err(refusal(trouble)),
            }
        };
        address.is_primary(session.host());
        let hours = Hours::start(&session).map_err(refusal)?;
        let mut writer = Writer {
            address: address.clone(),
            demand: options.demand,
            id,
            statements: STATEMENTS,
            lane,
            mailboxes: Mailboxes::default(),
            sizes: Sizes::default(),
            quota: Quota::new(options.anonymous_quota.unwrap_or(USUAL_QUOTA)),
            retention: Retention::default(),
            hours,
            counts: Counts::default(),
            streams: Streams::default(),
            words: Words::default(),
            key_lists: Known::default(),
            backups: options.backups,
            stopping: Arc::default(),
            said_unsafe: false,
            has_failed: false,
            session: None,
        };
        writer.look_at_mailboxes(&session).map_err(refusal)?;
        writer.key_lists.look(&session).map_err(refusal)?;
        writer.session = Some(session);
        Ok(PostgresStore(writer))
    }

    /// Says what mailboxes keep; without it, everything.
    pub fn retain(&mut self, rules: Rules) {
        self.0.retention = Retention::by(rules);
    }

    /// The lists of keys that are kept with the store, which the writer looks after.
    pub fn key_lists(&self) -> KeyLists {
        KeyLists::known(&self.0.address, self.0.key_lists.clone())
    }

    /// Takes the place of every server that is not there any more, for good. False: one is there, and was seen just now.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn be_alone(&mut self) -> Result<bool, StoreError> {
        self.0.check()?;
        let alone = self.0.transaction(|store, session, plan| {
            session.run(store.lane.begin(session, None))?;
            *plan = Some(session.run(store.lane.end_others(session))?);
            session.run(store.lane.end(session))
        });
        alone.map_err(|trouble| self.0.failed(trouble))
    }
}

/// All that is prepared.
const STATEMENTS: &[&str] = &[
    crate::lane::LOCK,
    crate::lane::DONE,
    crate::pack::INSERT,
    crate::streams::SELECT,
    claim::CLAIM,
    claim::HELD,
    past::STATE,
    commit::SENDERS,
    commit::STREAMS,
    commit::LAST_RUNS,
    commit::NEW_STREAMS,
    crate::runs::INSERT,
    crate::runs::ABOVE,
    crate::runs::EARLIER,
    commit::USED,
    crate::mailboxes::LOCK,
    crate::mailboxes::ENDS,
    crate::mailboxes::ALL,
    crate::mailboxes::INSERT,
    crate::mailboxes::REVIVE,
    cursors::LOCK,
    cursors::MOVE,
    cursors::END_BLOCKS,
    cursors::TRIM_BLOCK,
    cursors::GIVE_BACK,
    cursors::RAISE,
    cursors::FORGET,
    cursors::GIVE,
    crate::replies::KEEP,
    crate::housekeeping::COUNT,
    crate::housekeeping::DELETE,
    crate::transaction::PACK_AT,
];

impl Store for PostgresStore {
    fn id(&self) -> [u8; 16] {
        self.0.id
    }

    fn durability(&self) -> Durability {
        match self.0.demand {
            Demand::Replicated | Demand::Declared => Durability::Replicated,
            Demand::Disk => Durability::Disk,
        }
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn commit(
        &mut self,
        batches: &[Batch],
        cursors: &[CursorChange],
        time: i64,
    ) -> Result<Committed, StoreError> {
        self.0.check()?;
        let committed = self
            .0
            .transaction(|store, session, plan| commit::commit(store, session, batches, cursors, time, plan));
        match committed {
            Ok((draft, raised)) => {
                self.0.said_unsafe = false;
                for mailbox in &raised {
                    self.0.words.say(Word::Raised(mailbox.name.clone(), mailbox.last));
                }
                if draft.has_answers() {
                    self.0.words.say(Word::Answered);
                }
                let raised = raised.into_iter();
                Ok(draft.after_commit(raised.map(|mailbox: Mailbox| (mailbox.name, mailbox.last))))
            }
            Err(trouble @ (Trouble::Full | Trouble::Unsafe(_))) => {
                self.0.say(&trouble);
                self.0.look_again()?;
                let code = match trouble {
                    Trouble::Full => TemporaryCode::Full,
                    _ => TemporaryCode::Busy,
                };
                Ok(Draft::nothing(batches.len(), cursors.len(), code).after_commit([]))
            }
            Err(trouble) => Err(self.0.failed(trouble)),
        }
    }

    fn claim(&mut self, sender: &Sender, producer: ProducerId, by: &Claimant) -> Result<Claim, StoreError> {
        let claimed = self.claim_all(&[(sender.clone(), producer, *by)])?;
        Ok(claimed
            .first()
            .copied()
            .unwrap_or(Claim::NotNow(TemporaryCode::Busy)))
    }

    fn claim_all(&mut self, claims: &[(Sender, ProducerId, Claimant)]) -> Result<Vec<Claim>, StoreError> {
        self.0.check()?;
        let claimed = self
            .0
            .transaction(|store, session, plan| claim::claim_all(store, session, claims, plan));
        for ((sender, producer, _), claim) in claims.iter().zip(claimed.iter().flatten()) {
            if let Claim::Held { epoch, .. } = claim {
                self.0.words.say(Word::Claimed(*epoch, *producer, sender.clone()));
            }
        }
        let full = vec![Claim::NotNow(TemporaryCode::Full); claims.len()];
        self.0.unless_full(claimed, full)
    }

    fn high_water_mark(&mut self, sender: &Sender, producer: ProducerId) -> Result<u64, StoreError> {
        self.0.check()?;
        let read = self.0.read(|_, session| past::state(session, sender, producer));
        Ok(read
            .map_err(|trouble| self.0.failed(trouble))?
            .map_or(0, |state| state.high_water_mark))
    }

    fn forgotten_high_water_mark(
        &mut self,
        sender: &Sender,
        producer: ProducerId,
    ) -> Result<u64, StoreError> {
        self.0.check()?;
        let read = self.0.read(|_, session| past::state(session, sender, producer));
        Ok(read
            .map_err(|trouble| self.0.failed(trouble))?
            .map_or(0, |state| state.forgotten))
    }

    fn replay(
        &mut self,
        sender: &Sender,
        producer: ProducerId,
        after: u64,
        most: usize,
    ) -> Result<Stored, StoreError> {
        self.0.check()?;
        let read = self.0.read(|store, session| {
            past::replay(&mut store.mailboxes, session, sender, producer, after, most)
        });
        read.map_err(|trouble| self.0.failed(trouble))
    }

    fn finish(&mut self, sender: &Sender, producers: &[ProducerId]) -> Result<bool, StoreError> {
        self.0.check()?;
        let finished = self
            .0
            .transaction(|store, session, plan| claim::finish(store, session, sender, producers, plan));
        self.0.counts = Counts::default();
        self.0.unless_full(finished.map(|()| true), false)
    }

    fn remove_mailbox(&mut self, mailbox: &MailboxName, last: Option<u64>) -> Result<Removal, StoreError> {
        self.0.check()?;
        let removed = self
            .0
            .transaction(|store, session, plan| store.remove_piece(session, mailbox, last, plan));
        self.0.unless_full(removed, Removal::Full)
    }

    fn remove_cursor(&mut self, mailbox: &MailboxName, name: &CursorName) -> Result<Removal, StoreError> {
        self.0.check()?;
        let removed = self
            .0
            .transaction(|store, session, plan| removal::remove_cursor(store, session, mailbox, name, plan));
        self.0.unless_full(removed, Removal::Full)
    }

    fn verify(&mut self) -> Result<(), StoreError> {
        self.0.check()?;
        let seen = self.0.be_seen().and_then(|()| self.0.look_at_key_lists());
        seen.map_err(|trouble| self.0.failed(trouble))
    }

    fn tidy(&mut self) -> Result<bool, StoreError> {
        self.0.check()?;
        let tidied = self.0.tidy_up(true);
        self.0.unless_full(tidied, false)
    }

    fn tidy_under_load(&mut self) -> Result<bool, StoreError> {
        self.0.check()?;
        let tidied = self.0.tidy_up(false);
        self.0.unless_full(tidied, false)
    }

    fn draw(
        &mut self,
        mailbox: &MailboxName,
        name: &CursorName,
        most: u64,
        is_first: bool,
    ) -> Result<Portion, StoreError> {
        self.0.check()?;
        let drawn = self.0.transaction(|store, session, plan| {
            draw::draw(store, session, mailbox, name, most, is_first, plan)
        });
        self.0.unless_full(drawn, Portion::default())
    }

    fn news(&mut self) -> Option<Box<dyn News>> {
        let (news, words) = PostgresNews::new(self.0.address.clone(), self.0.lane.id);
        self.0.words = words;
        Some(Box::new(news))
    }

    fn end_with(&mut self, stopping: Arc<AtomicBool>) {
        self.0.stopping = stopping;
    }

    fn readers(&self) -> Readers {
        let (address, lane, hours) = (self.0.address.clone(), self.0.lane.id, self.0.hours.clock());
        let backups = self.0.backups.clone();
        Readers::new(move || {
            let reader = PostgresReader::open(&address, lane, hours.clone(), backups.clone());
            Ok(Box::new(reader.map_err(ReadError::from)?))
        })
    }
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore")
            .field("address", &self.0.address)
            .finish_non_exhaustive()
    }
}
