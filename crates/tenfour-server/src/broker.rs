//! The way from the listeners to the store: a bounded queue, one writer thread, answers.
//!
//! Whatever has gathered while the last flush was under way becomes the next commit. There is no timer.
//! Who brings a single message while nobody else waits does not wake the writer thread: it does the work itself.

mod commit_notifier;
mod committer;
mod completions;
mod consumer_group;
mod job;
mod latency;
mod memory_budget;
mod reply_router;
mod shared;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::Instant;

use tenfour_identity::lock;
use tenfour_proto::{CursorName, Durability, MailboxName, ProducerId, Reply, Sender};
use tenfour_store::{Batch, ReadError, Reader, Store, StoreError};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{oneshot, watch};
use tokio::task::block_in_place;

use commit_notifier::CommitNotifier;
pub(crate) use completions::{Completion, Completions};
pub(crate) use consumer_group::ConsumerGroup;
use job::{Deposit, Job};
pub(crate) use job::{Resumed, StoreGone};
pub(crate) use latency::{BOUNDS as LATENCY_BOUNDS, Counted, Latency};
pub(crate) use memory_budget::{Budget, Charge, Class};
use reply_router::Replies;
pub(crate) use reply_router::{Overflow, ReplySlot};
use shared::{Queue, Shared};

/// Most readers that wait for their next use. A reader on disk costs a file handle and up to 1 MiB.
const IDLE_READERS: usize = 8;

/// A handle that listeners hold. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Broker(Arc<Shared>);

impl Broker {
    /// Gives the store to a thread of its own, if there is anything to wait for.
    pub(crate) fn start(
        store: Box<dyn Store>,
        budget_bytes: u64,
    ) -> std::io::Result<(Self, Option<JoinHandle<()>>)> {
        let durability = store.durability();
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue::default()),
            wake: Condvar::new(),
            budget: Budget::new(budget_bytes),
            notifier: CommitNotifier::default(),
            latency: Latency::default(),
            replies: Replies::default(),
            failed: watch::Sender::new(false),
            store: store.id(),
            durability,
            readers: Mutex::default(),
            cursors: Mutex::default(),
            owned: Mutex::new(Some(store)),
            under_way: Arc::default(),
            untidy: AtomicBool::new(true),
        });
        let broker = Broker(Arc::clone(&shared));
        if durability == Durability::Memory {
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
            _charge: charge,
            _under_way: Arc::clone(&self.0.under_way),
        }));
    }

    /// How far a producer is, and receipts above `after`, read behind everything that is on the queue now. There are more
    /// where they end below the mark. What is forgotten is asked for whom `has_receipts` for it.
    pub(crate) async fn resume(
        &self,
        sender: Sender,
        producer: ProducerId,
        after: Option<u64>,
        has_receipts: bool,
    ) -> Result<Resumed, StoreGone> {
        let (reply, answer) = oneshot::channel();
        self.push(Job::Resume {
            sender,
            producer,
            after,
            has_receipts,
            reply,
        });
        answer.await.map_err(|_| StoreGone)?
    }

    /// Nothing will be repeated of these producers of an outbox. Done when it is on the disk.
    pub(crate) async fn finish(&self, sender: Sender, producers: Vec<ProducerId>) -> Result<(), StoreGone> {
        let (tell, done) = oneshot::channel();
        self.push(Job::Finish {
            sender,
            producers,
            tell,
        });
        done.await.map_err(|_| StoreGone)
    }

    /// From here on all replies to the producer come there, until it is dropped, or expected again.
    pub(crate) fn expect_replies(&self, sender: Sender, producer: ProducerId) -> Arc<ReplySlot> {
        self.0.replies.expect(sender, producer)
    }

    /// The reply to a message, if it has one by now.
    pub(crate) async fn reply(
        &self,
        sender: Sender,
        producer: ProducerId,
        sequence: u64,
    ) -> Result<Option<Reply>, StoreGone> {
        let (tell, answer) = oneshot::channel();
        self.push(Job::Reply {
            sender,
            producer,
            sequence,
            tell,
        });
        answer.await.map_err(|_| StoreGone)?
    }

    /// Bytes of bodies that each mailbox keeps.
    pub(crate) async fn sizes(&self) -> Result<Vec<(MailboxName, u64)>, StoreGone> {
        let (tell, answer) = oneshot::channel();
        self.push(Job::Sizes(tell));
        answer.await.map_err(|_| StoreGone)
    }

    /// The cursor of that name, shared with everybody who uses it; `None` if there is none.
    pub(crate) async fn cursor(
        &self,
        mailbox: &MailboxName,
        name: &CursorName,
    ) -> Result<Option<Arc<ConsumerGroup>>, StoreGone> {
        let key = (mailbox.clone(), name.clone());
        if let Some(cursor) = lock(&self.0.cursors).get(&key).and_then(Weak::upgrade) {
            return Ok(Some(cursor));
        }
        let (reply, answer) = oneshot::channel();
        self.push(Job::Position {
            mailbox: mailbox.clone(),
            name: name.clone(),
            reply,
        });
        let position = answer.await.map_err(|_| StoreGone)??;
        Ok(position.map(|position| self.share(ConsumerGroup::loaded(key.0, key.1, position))))
    }

    /// A cursor that is not there yet; whoever makes it saves it.
    pub(crate) fn new_cursor(
        &self,
        mailbox: &MailboxName,
        name: &CursorName,
        committed: u64,
    ) -> Arc<ConsumerGroup> {
        self.share(ConsumerGroup::new(mailbox.clone(), name.clone(), committed))
    }

    /// The same cursor for everybody, whoever was first.
    fn share(&self, cursor: ConsumerGroup) -> Arc<ConsumerGroup> {
        let mut cursors = lock(&self.0.cursors);
        let key = (cursor.mailbox().clone(), cursor.name().clone());
        if let Some(cursor) = cursors.get(&key).and_then(Weak::upgrade) {
            return cursor;
        }
        cursors.retain(|_, cursor| cursor.strong_count() > 0);
        let cursor = Arc::new(cursor);
        cursors.insert(key, Arc::downgrade(&cursor));
        cursor
    }

    /// Has what changed of a cursor written down with the next commit.
    pub(crate) fn save_cursor(&self, cursor: &Arc<ConsumerGroup>) {
        if cursor.claim_saving(Instant::now()) {
            self.push(Job::ConsumerGroup(Arc::clone(cursor)));
        }
    }

    /// Reads from the store on a thread that may block.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<Result<T, ReadError>, StoreGone> {
        let idle = lock(&self.0.readers).pop();
        let mut reader = match idle {
            Some(reader) => reader,
            None => {
                let (reply, answer) = oneshot::channel();
                self.push(Job::Reader(reply));
                answer
                    .await
                    .map_err(|_| StoreGone)?
                    .map_err(|_: StoreError| StoreGone)?
            }
        };
        let shared = Arc::clone(&self.0);
        let work = move || {
            let result = work(reader.as_mut());
            let mut idle = lock(&shared.readers);
            if idle.len() < IDLE_READERS {
                idle.push(reader);
            }
            result
        };
        if self.0.durability == Durability::Memory {
            // There is nothing to wait for here either.
            return Ok(work());
        }
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

    /// Takes nothing more; the writer finishes what it has and ends.
    pub(crate) fn close(&self) {
        lock(&self.0.queue).closed = true;
        self.0.wake.notify_one();
    }

    fn push(&self, job: Job) {
        let shared = &self.0;
        let alone = is_alone(&job, shared);
        let question = job.is_question();
        let mut queue = lock(&shared.queue);
        if queue.closed {
            // Dropping the job tells whoever waits.
            drop(queue);
            job.refuse();
            return;
        }
        queue.jobs.push(job);
        let first = queue.jobs.len() == 1;
        drop(queue);
        if shared.durability == Durability::Memory {
            // There is nothing to wait for, and waking another thread would cost more than the work.
            committer::work_off(&mut lock(&shared.owned), shared);
        } else if alone && on_a_worker() {
            // Nobody to share a flush with: the thread that is awake does the work at once. It hands its other tasks
            // on before; among them is the connection, which must answer heartbeats whatever the disk does.
            // Nobody answers for a connection that asks, so that needs no task of its own.
            let shared = Arc::clone(shared);
            let work = move || block_in_place(|| committer::work_off(&mut lock(&shared.owned), &shared));
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
    small && Arc::strong_count(&shared.under_way) == own + 1
}

/// Only these threads can hand on what else they have to do.
fn on_a_worker() -> bool {
    Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread)
}
