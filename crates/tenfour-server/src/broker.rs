//! The way from the listeners to the store: a bounded queue, one writer thread, answers.
//!
//! Whatever has gathered while the last flush was under way becomes the next commit. There is no timer.
//! Who brings a single message while nobody else waits does not wake the writer thread: it does the work itself.

mod commit_notifier;
mod committer;
mod completions;
mod consumer_group;
mod cursor_shares;
mod fair_queue;
mod job;
mod latency;
mod memory_budget;
mod news;
mod reader_pool;
mod reply_router;
mod shared;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::Instant;

use tenfour_identity::lock;
use tenfour_proto::{CursorName, Durability, Fingerprint, MailboxName, ProducerId, Reply, Sender};
use tenfour_store::{Batch, Claimant, ReadError, Reader, Removal, Store};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Semaphore, broadcast, oneshot, watch};
use tokio::task::block_in_place;

use commit_notifier::CommitNotifier;
pub(crate) use completions::{Completion, Completions};
pub(crate) use consumer_group::ConsumerGroup;
use job::{Deposit, Job, UnderWay};
pub(crate) use job::{NotResumed, Resumed, StoreGone};
pub(crate) use latency::{BOUNDS as LATENCY_BOUNDS, Counted, Latency};
pub(crate) use memory_budget::{Budget, Charge, Payer, memory_of};
use reader_pool::{READERS, ReaderPool};
use reply_router::Replies;
pub(crate) use reply_router::{Overflow, ReplySlot};
use shared::{Queue, Shared};

/// Claims of other servers that are not looked at yet. What is missed shows with the next message.
const CLAIMS: usize = 1_024;

/// Why there is no cursor.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NoCursor {
    /// Nobody can say.
    Gone,
    /// Whoever wants it has made as many as it may.
    TooMany,
}

impl From<StoreGone> for NoCursor {
    fn from(_: StoreGone) -> Self {
        NoCursor::Gone
    }
}

/// A handle that listeners hold. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Broker(Arc<Shared>);

impl Broker {
    /// Gives the store to a thread of its own, if there is anything to wait for.
    pub(crate) fn start(
        mut store: Box<dyn Store>,
        budget_bytes: u64,
    ) -> std::io::Result<(Self, Option<JoinHandle<()>>)> {
        let stopping = Arc::new(AtomicBool::new(false));
        store.end_with(Arc::clone(&stopping));
        let news = store.news();
        let durability = store.durability();
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue::default()),
            wake: Condvar::new(),
            budget: Budget::new(budget_bytes),
            notifier: CommitNotifier::default(),
            latency: Latency::default(),
            replies: Replies::default(),
            failed: watch::Sender::new(false),
            displaced: AtomicBool::new(false),
            store: store.id(),
            durability,
            blocks: store.blocks(),
            is_remote: store.is_remote(),
            readers: ReaderPool::new(store.readers(), !store.is_remote()),
            read_turns: Semaphore::new(READERS),
            groups: Mutex::default(),
            owned: Mutex::new(Some(store)),
            under_way: Arc::default(),
            untidy: AtomicBool::new(true),
            claims: broadcast::Sender::new(CLAIMS),
            stopping,
        });
        if shared.is_remote {
            lock(&shared.queue).jobs.is_of_remote_store();
        }
        let broker = Broker(Arc::clone(&shared));
        if let Some(source) = news {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name("news".into())
                .spawn(move || news::run(source, &shared))?;
        }
        if !shared.blocks {
            return Ok((broker, None));
        }
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || committer::run(&shared))?;
        Ok((broker, Some(thread)))
    }

    /// The store's id.
    pub(crate) fn store_id(&self) -> [u8; 16] {
        self.0.store
    }

    /// What a receipt means here.
    pub(crate) fn durability(&self) -> Durability {
        self.0.durability
    }

    /// The memory for messages on their way.
    pub(crate) fn budget(&self) -> &Budget {
        &self.0.budget
    }

    /// Puts messages on the queue. The answer comes to `completions`, whether or not anybody still waits for it.
    pub(crate) fn deposit(&self, batch: Batch, epoch: u64, charge: Charge, completions: &Arc<Completions>) {
        completions.expect_answer();
        self.push(Job::Deposit(Deposit {
            batch,
            epoch,
            completions: Arc::clone(completions),
            arrived: Instant::now(),
            charge,
            _under_way: UnderWay::count(&self.0.under_way),
        }));
    }

    /// How far a producer is, and receipts above `after`, read behind everything that is on the queue now: at most so many
    /// runs. There are more where they end below the mark. What is forgotten is asked for whom `has_receipts` for it. With a
    /// `claim` no other connection goes on with the producer.
    pub(crate) async fn resume(
        &self,
        sender: Sender,
        producer: ProducerId,
        after: Option<u64>,
        has_receipts: bool,
        most: usize,
        claim: Option<Claimant>,
    ) -> Result<Resumed, NotResumed> {
        let (reply, answer) = oneshot::channel();
        self.push(Job::Resume {
            sender,
            producer,
            after,
            has_receipts,
            most,
            claim,
            reply,
        });
        answer.await.map_err(|_| NotResumed::Gone(StoreGone))?
    }

    /// Nothing will be repeated of these producers of an outbox. Done when it is on the disk; false if there is no room there.
    pub(crate) async fn finish(&self, sender: Sender, producers: Vec<ProducerId>) -> Result<bool, StoreGone> {
        let (tell, done) = oneshot::channel();
        self.push(Job::Finish {
            sender,
            producers,
            tell,
        });
        done.await.map_err(|_| StoreGone)
    }

    /// Removes a mailbox with all that is in it, or one of its cursors. Others are served between the pieces. `None`: somebody
    /// consumes by it.
    pub(crate) async fn remove(
        &self,
        mailbox: &MailboxName,
        cursor: Option<&CursorName>,
    ) -> Result<Option<Removal>, StoreGone> {
        let mut last = None;
        loop {
            let is_used = lock(&self.0.groups).live.iter().any(|((of, name), group)| {
                of == mailbox && cursor.is_none_or(|cursor| cursor == name) && group.strong_count() > 0
            });
            if is_used {
                return Ok(None);
            }
            let (tell, done) = oneshot::channel();
            self.push(Job::Remove {
                mailbox: mailbox.clone(),
                cursor: cursor.cloned(),
                last,
                tell,
            });
            match done.await.map_err(|_| StoreGone)? {
                Removal::More(up_to) => last = Some(up_to),
                removal => {
                    lock(&self.0.groups).shares.give_back(mailbox, cursor);
                    return Ok(Some(removal));
                }
            }
        }
    }

    /// From here on all replies to the producer come there, until it is dropped, or expected again.
    pub(crate) fn expect_replies(&self, sender: Sender, producer: ProducerId) -> Arc<ReplySlot> {
        self.0.replies.expect(sender, producer)
    }

    /// The reply to a message, if it has one by now. Whoever expects it is told of one that is on its way to the store.
    pub(crate) async fn reply(
        &self,
        sender: Sender,
        producer: ProducerId,
        sequence: u64,
    ) -> Result<Option<Reply>, StoreGone> {
        let found = self
            .read(move |reader| reader.reply(&sender, producer, sequence))
            .await?;
        found.map_err(|error| {
            tracing::error!(%error, "a reply cannot be read");
            StoreGone
        })
    }

    /// The cursor of that name, shared with everybody who uses it. One that is not there begins behind the offset
    /// `begin`, and is counted for the key that makes it, if it is not the server's own; whoever makes it saves it. `None`: it
    /// is not there, and `begin` does not say where it would begin.
    pub(crate) async fn cursor(
        &self,
        mailbox: &MailboxName,
        name: &CursorName,
        begin: Option<u64>,
        maker: Option<Fingerprint>,
    ) -> Result<Option<Arc<ConsumerGroup>>, NoCursor> {
        let key = (mailbox.clone(), name.clone());
        let is_counted = begin.is_some() && maker.is_some();
        loop {
            let made = {
                let groups = lock(&self.0.groups);
                if let Some(group) = groups.live.get(&key).and_then(Weak::upgrade) {
                    return Ok(Some(group));
                }
                groups.made
            };
            let (mailbox, name) = key.clone();
            let found = self.read(move |reader| {
                let position = reader.position(&mailbox, &name)?;
                let all = match position {
                    None if is_counted => reader.cursors()?.len(),
                    _ => 0,
                };
                Ok((position, all))
            });
            let (position, all) = found.await?.map_err(|error| {
                tracing::error!(%error, "a cursor cannot be read");
                StoreGone
            })?;
            let (mailbox, name) = key.clone();
            let group = match (position, begin) {
                (Some(position), _) => ConsumerGroup::loaded(mailbox, name, position, self.0.is_remote),
                (None, Some(begin)) => ConsumerGroup::new(mailbox, name, begin, self.0.is_remote),
                (None, None) => return Ok(None),
            };
            let mut groups = lock(&self.0.groups);
            // Somebody may have made it meanwhile, moved it, and gone.
            if groups.made == made {
                if !group.is_made()
                    && let Some(maker) = maker
                    && !groups.shares.take(maker, &key, all)
                {
                    return Err(NoCursor::TooMany);
                }
                groups.live.retain(|_, group| group.strong_count() > 0);
                groups.made += 1;
                let group = Arc::new(group);
                groups.live.insert(key, Arc::downgrade(&group));
                return Ok(Some(group));
            }
        }
    }

    /// Has what changed of a cursor written down with the next commit.
    pub(crate) fn save_cursor(&self, cursor: &Arc<ConsumerGroup>) {
        if cursor.claim_saving(Instant::now()) {
            self.push(Job::SaveCursor(Arc::clone(cursor)));
        }
    }

    /// Has messages drawn for a cursor that has nothing to offer up to `last`, if they have to be.
    pub(crate) fn draw(&self, cursor: &Arc<ConsumerGroup>, last: u64) {
        if cursor.claim_drawing(last, Instant::now()) {
            self.push(Job::Draw(Arc::clone(cursor)));
        }
    }

    /// Reads from the store on a thread that may block.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<Result<T, ReadError>, StoreGone> {
        let shared = Arc::clone(&self.0);
        let work = move || {
            let mut reader = shared.readers.take()?;
            let result = work(reader.as_mut());
            shared.readers.give_back(reader);
            result
        };
        if !self.0.blocks {
            return Ok(work());
        }
        // A thousand who ask at once would be as many threads, each with a reader of its own.
        let _turn = self.0.read_turns.acquire().await.map_err(|_| StoreGone)?;
        tokio::task::spawn_blocking(work).await.map_err(|_| StoreGone)
    }

    /// Tells the last offset of a mailbox whenever it rises.
    pub(crate) fn follow(&self, mailbox: &MailboxName) -> watch::Receiver<u64> {
        self.0.notifier.follow(mailbox)
    }

    /// Tells that something was committed, anywhere.
    pub(crate) fn follow_all(&self) -> watch::Receiver<u64> {
        self.0.notifier.follow_all()
    }

    /// Messages stored since the start, by how long their receipts took.
    pub(crate) fn latency(&self) -> Counted {
        self.0.latency.counted()
    }

    /// Becomes true when the store has failed.
    pub(crate) fn failed(&self) -> watch::Receiver<bool> {
        self.0.failed.subscribe()
    }

    /// The store is in its place, and works.
    pub(crate) fn is_well(&self) -> bool {
        !*self.0.failed.borrow() && !self.0.displaced.load(Ordering::Relaxed)
    }

    /// Producers that other servers have claimed, with the epoch.
    pub(crate) fn claims_elsewhere(&self) -> broadcast::Receiver<(Sender, ProducerId, u64)> {
        self.0.claims.subscribe()
    }

    /// Takes nothing more; the writer finishes what it has and ends.
    pub(crate) fn close(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
        lock(&self.0.queue).closed = true;
        self.0.wake.notify_one();
    }

    fn push(&self, job: Job) {
        let shared = &self.0;
        let alone = !shared.is_remote && is_alone(&job, shared);
        let question = job.is_question();
        let mut queue = lock(&shared.queue);
        if queue.closed {
            // Dropping the job tells whoever waits.
            drop(queue);
            job.refuse();
            return;
        }
        let now = Instant::now();
        let first = !queue.jobs.is_ready(now);
        let (rank, peer) = job.peer();
        queue.jobs.push(rank, peer, job.cost(), job, now);
        drop(queue);
        if !shared.blocks {
            // There is nothing to wait for, and waking another thread would cost more than the work.
            while committer::work_off(&mut lock(&shared.owned), shared) {}
        } else if alone && on_a_worker() {
            // Nobody to share a flush with: the thread that is awake does the work at once. It hands its other tasks
            // on before; among them is the connection, which must answer heartbeats whatever the disk does.
            // Nobody answers for a connection that asks, so that needs no task of its own.
            let shared = Arc::clone(shared);
            let work = move || {
                let is_more = block_in_place(|| committer::work_off(&mut lock(&shared.owned), &shared));
                if is_more {
                    shared.wake.notify_one();
                }
            };
            if question {
                work();
            } else {
                tokio::spawn(async move { work() });
            }
        } else if first {
            shared.wake.notify_one();
        }
    }
}

/// One message, or a question, while nothing else waits for the store.
fn is_alone(job: &Job, shared: &Shared) -> bool {
    let (own, small) = match job {
        Job::Deposit(deposit) => (1, deposit.batch.messages.len() == 1),
        _ => (0, true),
    };
    small && shared.under_way.load(Ordering::Relaxed) == own
}

/// Only these threads can hand on what else they have to do.
fn on_a_worker() -> bool {
    Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread)
}
