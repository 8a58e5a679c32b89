//! Consuming a mailbox by a durable cursor: each message is given out until somebody says that it is done.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tenfour_proto::native::{ClientEvent, Credit, CursorUse, EndReason, ErrorCode, ReadFrom, ReadRequest};
use tenfour_proto::{CursorName, Item, MailboxName, Progress, Reply, Step, limits};

use crate::config::ClientConfig;
use crate::connection::session::Session;
use crate::reader::{FIRST_PAUSE, FollowError, LONGEST_PAUSE};
use tenfour_proto::Address;

/// The number of our one read.
const REQUEST: u32 = 1;

/// How a mailbox is consumed.
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    /// The cursor. Readers with one name share the work; each name sees every message.
    pub cursor: CursorName,
    /// Where a cursor begins that is not there yet.
    pub from: ReadFrom,
    /// A message that failed more often than this goes to `dead/CURSOR`; `None`: it is tried for ever.
    pub retries: Option<u32>,
    /// Wait for new messages, instead of ending when all that are there are done.
    pub follow: bool,
    /// Most messages that are here and not settled: more than can be handled at once are better with other readers.
    pub window: u32,
}

/// A reader of a cursor. It outlives its connections.
///
/// A message that [`next`](Self::next) gave is ours until [`done`](Self::done), [`failed`](Self::failed),
/// [`returned`](Self::returned) or [`rejected`](Self::rejected), or until the connection is lost: then it may be
/// given out again, to anybody. From [`begun`](Self::begun) on that counts as an attempt.
pub struct Consumer {
    addresses: Vec<Address>,
    config: ClientConfig,
    mailbox: MailboxName,
    options: ConsumerOptions,
    session: Option<Session>,
    /// Said, and not on its way yet.
    pending: Vec<Said>,
    /// On its way: the number of the frame, and what it said.
    unsaved: VecDeque<(u64, Vec<Said>)>,
    frames: u64,
    /// Came while something else was waited for.
    early: VecDeque<Item>,
    /// Given to the caller and not settled, over all connections.
    open: BTreeSet<u64>,
    /// Settled since credit was granted last.
    used: Credit,
    pause: Duration,
    ended: bool,
    /// Why it ended, until somebody has been told. What came before it is handled first.
    failure: Option<FollowError>,
}

/// What is reported.
#[derive(Clone, Debug)]
enum Said {
    Step(Progress),
    /// This message is done, with this reply.
    Answer(u64, Reply),
}

impl Consumer {
    /// Connects and begins to consume `mailbox`.
    ///
    /// # Errors
    ///
    /// As for [`Follower::connect`](crate::Follower::connect).
    pub async fn connect(
        addresses: &[Address],
        config: ClientConfig,
        mailbox: MailboxName,
        options: ConsumerOptions,
    ) -> Result<Self, FollowError> {
        let mut consumer = Consumer {
            addresses: addresses.to_vec(),
            config,
            mailbox,
            options,
            session: None,
            pending: Vec::new(),
            unsaved: VecDeque::new(),
            frames: 0,
            early: VecDeque::new(),
            open: BTreeSet::new(),
            used: NONE,
            pause: FIRST_PAUSE,
            ended: false,
            failure: None,
        };
        consumer.open().await?;
        Ok(consumer)
    }

    async fn open(&mut self) -> Result<(), FollowError> {
        let mut session = Session::open(&self.addresses, &self.config).await?;
        session.machine.read(ReadRequest {
            request: REQUEST,
            mailbox: self.mailbox.clone(),
            from: self.options.from,
            cursor: Some(CursorUse {
                name: self.options.cursor.clone(),
                retries: self.options.retries,
            }),
            follow: self.options.follow,
            // Not before the server knows what is done: the first thing that goes out after this.
            credit: NONE,
        });
        self.used = Credit {
            messages: self.options.window.max(1),
            bytes: WINDOW_BYTES,
        };
        self.frames = 0;
        // What was done is done, whoever has the message now. All else is void with the connection.
        let said: Vec<Said> = self
            .unsaved
            .drain(..)
            .flat_map(|(_, said)| said)
            .chain(std::mem::take(&mut self.pending))
            .filter(|said| match said {
                Said::Step(progress) => progress.step == Step::Done,
                Said::Answer(..) => true,
            })
            .collect();
        self.pending = said;
        self.session = Some(session);
        self.pause = FIRST_PAUSE;
        Ok(())
    }

    /// The next message; `None` when all that were there are done, for a consumer that does not follow. May be
    /// given up at any await. What was reported goes out only while this, or [`saved`](Self::saved), is awaited.
    ///
    /// # Errors
    ///
    /// When the server ends the read. A lost connection is made again.
    pub async fn next(&mut self) -> Result<Option<Item>, FollowError> {
        loop {
            if let Some(item) = self.ready()? {
                return Ok(Some(item));
            }
            if self.ended {
                return Ok(None);
            }
            self.step().await?;
        }
    }

    /// A message that has come already.
    ///
    /// # Errors
    ///
    /// As for [`next`](Self::next).
    pub fn ready(&mut self) -> Result<Option<Item>, FollowError> {
        match self.early.pop_front().or_else(|| self.take_events()) {
            Some(item) => Ok(Some(item)),
            None => self.failure.take().map_or(Ok(None), Err),
        }
    }

    /// Acts on what has come, up to the next message.
    fn take_events(&mut self) -> Option<Item> {
        while let Some(event) = self
            .session
            .as_mut()
            .and_then(|session| session.machine.poll_event())
        {
            match event {
                // After a reconnect: it is still being handled here, and will be reported.
                ClientEvent::Item(item) if !self.open.insert(item.offset) => {}
                ClientEvent::Item(item) => return Some(*item),
                ClientEvent::Progressed(count) => {
                    while self.unsaved.pop_front_if(|(frame, _)| *frame <= count).is_some() {}
                }
                ClientEvent::ReadEnd(end) => {
                    self.ended = true;
                    if end.reason != EndReason::CaughtUp {
                        self.failure = Some(FollowError::ended(end.reason, &self.mailbox, end.next));
                    }
                }
                ClientEvent::Failed(error) if error.code == ErrorCode::NotAllowed => {
                    self.ended = true;
                    self.failure = Some(FollowError::CutOff(error.text));
                }
                ClientEvent::Failed(error) => self.lost(&error.text),
                ClientEvent::Closed | ClientEvent::Dead => self.lost("the server is gone"),
                _ => {}
            }
        }
        None
    }

    /// Keeps the connection alive while there is no room for more messages: returns now and then.
    ///
    /// # Errors
    ///
    /// As for [`next`](Self::next).
    pub async fn wait(&mut self) -> Result<(), FollowError> {
        self.step().await
    }

    async fn step(&mut self) -> Result<(), FollowError> {
        self.queue();
        let Some(session) = &mut self.session else {
            return self.open_again().await;
        };
        if let Err(reason) = session.step().await {
            self.lost(&reason);
        }
        Ok(())
    }

    fn queue(&mut self) {
        let Some(session) = &mut self.session else { return };
        if !self.pending.is_empty() {
            let said = std::mem::take(&mut self.pending);
            let mut steps = Vec::new();
            for one in &said {
                match one {
                    Said::Step(progress) => steps.push(*progress),
                    Said::Answer(offset, reply) => {
                        self.frames += session.machine.progress(REQUEST, &std::mem::take(&mut steps));
                        session.machine.answer(REQUEST, *offset, reply.clone());
                        self.frames += 1;
                    }
                }
            }
            self.frames += session.machine.progress(REQUEST, &steps);
            self.unsaved.push_back((self.frames, said));
        }
        if self.used.messages > 0 {
            session.machine.grant(self.used.messages, self.used.bytes);
            self.used = NONE;
        }
    }

    fn lost(&mut self, reason: &str) {
        tracing::info!(reason, "the connection is lost, trying again");
        self.session = None;
    }

    async fn open_again(&mut self) -> Result<(), FollowError> {
        match self.open().await {
            Err(FollowError::Connect(error)) if error.is_temporary() => {
                tokio::time::sleep(self.pause).await;
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                Ok(())
            }
            other => other,
        }
    }

    /// From here on it counts as an attempt.
    pub fn begun(&mut self, item: &Item) {
        self.say(item, Step::Begun);
    }

    /// It was handled: nobody gets it again.
    pub fn done(&mut self, item: &Item) {
        self.settle(item, Step::Done);
    }

    /// It was handled, and whoever asked gets this reply; at most [`MAX_REPLY`](tenfour_proto::limits::MAX_REPLY) bytes, the rest
    /// is cut off. Of a message that did not ask it is the same as [`done`](Self::done).
    pub fn answered(&mut self, item: &Item, reply: Reply) {
        if !item.message.asks {
            return self.done(item);
        }
        if self.open.remove(&item.offset) {
            self.pending.push(Said::Answer(item.offset, reply.of_handler()));
            self.free(item);
        }
    }

    /// It was not handled: it comes again later, or goes to the dead letters.
    pub fn failed(&mut self, item: &Item) {
        self.settle(item, Step::Failed);
    }

    /// Nothing was done with it: somebody else may have it.
    pub fn returned(&mut self, item: &Item) {
        self.settle(item, Step::Returned);
    }

    /// It must not be handled: it goes to the dead letters at once.
    pub fn rejected(&mut self, item: &Item) {
        self.settle(item, Step::Rejected);
    }

    /// Passes over a message that was not given to us, such as one that is damaged, for every reader of the cursor.
    pub fn skip(&mut self, offset: u64) {
        self.pending.push(Said::Step(Progress::one(offset, Step::Done)));
    }

    fn settle(&mut self, item: &Item, step: Step) {
        if self.open.remove(&item.offset) {
            self.say(item, step);
            self.free(item);
        }
    }

    /// There is room for another one.
    fn free(&mut self, item: &Item) {
        self.used.messages += 1;
        let length = u32::try_from(item.message.body.len()).unwrap_or(u32::MAX);
        self.used.bytes = self.used.bytes.saturating_add(length);
    }

    fn say(&mut self, item: &Item, step: Step) {
        // Neighbours are said together.
        match self.pending.last_mut() {
            Some(Said::Step(last))
                if last.step == step
                    && last.first + u64::from(last.count) == item.offset
                    && (last.count as usize) < limits::MAX_ABOVE =>
            {
                last.count += 1;
            }
            _ => self.pending.push(Said::Step(Progress::one(item.offset, step))),
        }
    }

    /// Waits until the server has saved, as safely as a receipt says, all that was reported.
    ///
    /// After [`begun`](Self::begun) it is the certainty that whoever gets the message next is told of this attempt:
    /// words that are only on their way are lost when this process dies.
    ///
    /// # Errors
    ///
    /// When there is no connection, and none can be made.
    pub async fn saved(&mut self) -> Result<(), FollowError> {
        loop {
            while let Some(item) = self.take_events() {
                self.early.push_back(item);
            }
            if self.pending.is_empty() && self.unsaved.is_empty() {
                return Ok(());
            }
            self.step().await?;
        }
    }
}

const NONE: Credit = Credit {
    messages: 0,
    bytes: 0,
};

/// Bytes that may be on their way to us.
const WINDOW_BYTES: u32 = 1024 * 1024;
