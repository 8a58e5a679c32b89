//! Handling messages in the server's own process, by a function.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tenfour_proto::native::{EndReason, ReadFrom};
use tenfour_proto::{CursorName, Item, MailboxName, Progress, Reply, Sender, Step};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use tower::{Service, ServiceExt};

use crate::context::Context;
#[cfg(unix)]
use crate::exec::ExecError;
use crate::reading::group_reader::Draw;
use crate::reading::mailbox_reader::BYTES;

/// When nobody can be started, the next try is so much later.
const PAUSE: Duration = Duration::from_secs(1);

/// What a handler says when it fails.
pub type HandlerError = Box<dyn std::error::Error + Send + Sync>;

/// How messages of a mailbox are handled. They are consumed by a cursor, as `tenfour receive` does it: what was handled
/// is done, and what failed comes again.
#[derive(Clone, Debug)]
pub struct HandlerOptions {
    /// Whose messages.
    pub mailbox: MailboxName,
    /// The cursor; readers of the same name elsewhere share the work.
    pub cursor: CursorName,
    /// Where a cursor begins that is not there yet.
    pub from: ReadFrom,
    /// A message that failed more often than this goes to `dead/CURSOR`; `None`: it is tried for ever.
    pub retries: Option<u32>,
    /// Most messages at once.
    pub jobs: usize,
    /// A message that takes longer has failed.
    pub timeout: Duration,
    /// Also messages of senders that showed neither key nor token; without this they are passed over.
    pub anonymous: bool,
}

impl HandlerOptions {
    /// From the oldest message on, 5 retries, 4 at once, 30 seconds each, known senders only.
    pub fn new(mailbox: MailboxName, cursor: CursorName) -> Self {
        HandlerOptions {
            mailbox,
            cursor,
            from: ReadFrom::Oldest,
            retries: Some(5),
            jobs: 4,
            timeout: Duration::from_secs(30),
            anonymous: false,
        }
    }
}

/// Runs until the server stops; it begins with the server.
pub(crate) type Start = Box<dyn FnOnce(Arc<Context>, mpsc::Sender<()>) + Send>;

pub(crate) fn start<S>(options: HandlerOptions, service: S) -> Start
where
    S: Service<Item, Response = Reply> + Send + 'static,
    S::Error: Into<HandlerError>,
    S::Future: Send + 'static,
{
    Box::new(move |context, alive| {
        tokio::spawn(async move {
            let (mailbox, cursor) = (options.mailbox.clone(), options.cursor.clone());
            let inbox = context.inbox.clone();
            let draw = Draw::begin(&inbox, &mailbox, &cursor, options.from, options.retries).await;
            let reason = match draw {
                Ok(draw) => {
                    let handling = Handling {
                        context,
                        options,
                        service,
                        draw,
                        running: JoinSet::new(),
                        items: HashMap::new(),
                        rested: None,
                    };
                    handling.run().await
                }
                Err(EndReason::TooManyCursors) => Err("there are too many cursors"),
                Err(_) => Err("the store cannot be read"),
            };
            if let Err(reason) = reason {
                tracing::error!(%mailbox, %cursor, reason, "messages are not handled any more");
            }
            drop(alive);
        });
    })
}

struct Handling<S> {
    context: Arc<Context>,
    options: HandlerOptions,
    service: S,
    draw: Draw,
    running: JoinSet<Result<Reply, HandlerError>>,
    items: HashMap<Id, Item>,
    /// Nothing is begun before.
    rested: Option<Instant>,
}

type Ended = Result<(), &'static str>;

impl<S> Handling<S>
where
    S: Service<Item, Response = Reply> + Send + 'static,
    S::Error: Into<HandlerError>,
    S::Future: Send + 'static,
{
    async fn run(mut self) -> Ended {
        let mut stopping = self.context.stopping.subscribe();
        while !*stopping.borrow() {
            let room = match self.rested {
                Some(rested) if rested > Instant::now() => 0,
                _ => self.options.jobs.max(1).saturating_sub(self.running.len()),
            };
            if room > 0 {
                let last = self.draw.last();
                let items = self.draw.draw(last, room, BYTES).await;
                let items = items.map_err(|_| "a message cannot be read")?;
                if let Some(items) = items {
                    self.begin(items).await?;
                    continue;
                }
            }
            tokio::select! {
                _ = stopping.changed() => {}
                Some(ended) = self.running.join_next_with_id() => self.settle(ended),
                () = self.draw.more(room > 0), if room > 0 => {}
                () = tenfour_identity::clock::sleep_until(self.rested.map(Into::into)), if room == 0 => self.rested = None,
            }
        }
        // What runs may end; what does not is given out again.
        let drain = self.context.config.limits.drain / 2;
        let _ = tokio::time::timeout(drain, async {
            while let Some(ended) = self.running.join_next_with_id().await {
                self.settle(ended);
            }
        })
        .await;
        Ok(())
    }

    /// Nothing is handled before it is written down that somebody has begun.
    async fn begin(&mut self, items: Vec<Item>) -> Ended {
        let mut steps = Vec::with_capacity(items.len());
        let mut handled = Vec::with_capacity(items.len());
        for item in items {
            let is_known = matches!(item.sender.parse(), Ok(Sender::Key(_) | Sender::Token(_)));
            if is_known || self.options.anonymous {
                steps.push(Progress::one(item.offset, Step::Begun));
                handled.push(item);
            } else {
                // It stays where it is. A copy among the dead letters would be one for each line that anybody sends.
                tracing::debug!(mailbox = %item.message.mailbox, offset = item.offset, "not handled: its sender showed no key");
                steps.push(Progress::one(item.offset, Step::Done));
            }
        }
        let version = self.draw.report(&steps);
        if !self.draw.saved(version).await {
            return Err("the store has failed");
        }
        for item in handled {
            let future = match self.service.ready().await {
                Ok(service) => service.call(item.clone()),
                Err(error) => {
                    self.failed(&item, &error.into());
                    continue;
                }
            };
            let timeout = self.options.timeout;
            let task = self.running.spawn(async move {
                match tokio::time::timeout(timeout, future).await {
                    Ok(result) => result.map_err(Into::into),
                    Err(_) => Err(format!("it took longer than {} s", timeout.as_secs_f32()).into()),
                }
            });
            self.items.insert(task.id(), item);
        }
        Ok(())
    }

    fn settle(&mut self, ended: Result<(Id, Result<Reply, HandlerError>), tokio::task::JoinError>) {
        let (id, result) = match ended {
            Ok((id, result)) => (id, result),
            Err(error) => (error.id(), Err(error.into())),
        };
        let Some(item) = self.items.remove(&id) else {
            return;
        };
        match result {
            Ok(reply) if item.message.asks => {
                self.draw.answer(item.offset, reply.of_handler());
            }
            Ok(_) => {
                self.draw.report(&[Progress::one(item.offset, Step::Done)]);
            }
            Err(error) => self.failed(&item, &error),
        }
    }

    fn failed(&mut self, item: &Item, error: &HandlerError) {
        #[cfg(unix)]
        if let Some(ExecError::Start { .. }) = error.downcast_ref() {
            tracing::error!(%error, "no program can be started; trying again");
            self.rested = Some(Instant::now() + PAUSE);
            self.draw.report(&[Progress::one(item.offset, Step::Returned)]);
            return;
        }
        tracing::warn!(mailbox = %item.message.mailbox, offset = item.offset, attempt = item.attempts + 1, %error,
            "a message was not handled");
        self.draw.report(&[Progress::one(item.offset, Step::Failed)]);
    }
}
