//! The loop between those who give messages out and those who handle them.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tenfour_proto::{Item, Reply, Sender, Step};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use crate::handler::{Handler, HandlerError, Kind};
use crate::options::{HandlerOptions, Unauthenticated, WorkEvent};
use crate::source::{Source, Taken};

/// When nothing can be handled, the next try is so much later.
const REST: Duration = Duration::from_secs(1);

/// A worker has ended before its time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError<E> {
    /// Nothing more is given out.
    #[error(transparent)]
    Source(E),
    /// The handler can do nothing more.
    #[error("{0}")]
    Handler(HandlerError),
}

/// Handles the messages of a source.
pub struct Worker<S, H> {
    source: S,
    handler: Arc<H>,
    options: HandlerOptions,
    running: JoinSet<Result<Reply, HandlerError>>,
    items: HashMap<Id, Item>,
    /// Messages that are done.
    handled: u64,
    drained: bool,
    /// Nothing is begun before.
    rests_until: Option<Instant>,
}

impl<S: Source, H: Handler> Worker<S, H> {
    /// Nothing is handled before [`run`](Self::run).
    pub fn new(source: S, options: HandlerOptions, handler: H) -> Self {
        Worker {
            source,
            handler: Arc::new(handler),
            options,
            running: JoinSet::new(),
            items: HashMap::new(),
            handled: 0,
            drained: false,
            rests_until: None,
        }
    }

    /// Messages that were handled.
    pub fn handled(&self) -> u64 {
        self.handled
    }

    /// Who gives the messages out.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Handles messages until `stop` completes, or nothing is left for a worker that drains, or enough were handled. May be
    /// given up at any await: what runs goes on until the worker is dropped.
    ///
    /// # Errors
    ///
    /// When nothing more is given out, or the handler says that it can do nothing more.
    pub async fn run(&mut self, stop: impl Future<Output = ()>) -> Result<(), WorkerError<S::Error>> {
        let mut stop = std::pin::pin!(stop);
        loop {
            let open = self.open_places();
            if open == 0 && self.running.is_empty() && self.rests_until.is_none() {
                return Ok(());
            }
            let is_resting = self.rests_until.is_some();
            let room = if is_resting {
                0
            } else {
                open.saturating_sub(self.running.len())
            };
            if is_done(&mut stop).await {
                return Ok(());
            }
            if room > 0 {
                match self.source.take(room).await.map_err(WorkerError::Source)? {
                    Taken::Items(items) => {
                        self.begin(items).await?;
                        continue;
                    }
                    Taken::Drained => {
                        self.drained = true;
                        continue;
                    }
                    Taken::Nothing => {}
                }
            }
            tokio::select! {
                () = &mut stop => return Ok(()),
                Some(ended) = self.running.join_next_with_id() => self.settle(ended)?,
                () = self.source.more(), if room > 0 => {}
                () = tokio::time::sleep_until(self.rests_until.unwrap_or_else(Instant::now)), if is_resting => {
                    self.rests_until = None;
                }
            }
        }
    }

    /// Begins with nothing more, and waits for what runs.
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run).
    pub async fn finish(&mut self) -> Result<(), WorkerError<S::Error>> {
        while let Some(ended) = self.running.join_next_with_id().await {
            self.settle(ended)?;
        }
        Ok(())
    }

    /// Ends what runs. Those messages are given out again once the source is gone.
    pub async fn cancel(&mut self) {
        self.running.shutdown().await;
    }

    /// How many may run at once; fewer if so many are not wanted any more.
    fn open_places(&self) -> usize {
        if self.drained {
            return 0;
        }
        let wanted = self
            .options
            .most
            .map_or(u64::MAX, |most| most.saturating_sub(self.handled));
        self.options
            .jobs
            .max(1)
            .min(usize::try_from(wanted).unwrap_or(usize::MAX))
    }

    /// Nothing is handled before it is written down that somebody has begun.
    async fn begin(&mut self, items: Vec<Item>) -> Result<(), WorkerError<S::Error>> {
        let mut wanted = Vec::with_capacity(items.len());
        for item in items {
            let is_known = matches!(item.sender, Sender::Key(_) | Sender::Token(_));
            let step = match self.options.unauthenticated {
                _ if is_known => None,
                Unauthenticated::Handle => None,
                Unauthenticated::Skip => Some(Step::Ack),
                Unauthenticated::DeadLetter => Some(Step::Reject),
            };
            match step {
                None => wanted.push(item),
                Some(step) => {
                    (self.options.on_event)(WorkEvent::Unauthenticated(&item));
                    self.source.settle(&item, step);
                }
            }
        }
        let begun = self.source.begin(wanted).await.map_err(WorkerError::Source)?;
        for item in begun {
            let (handler, timeout, one) = (Arc::clone(&self.handler), self.options.timeout, item.clone());
            let task = self.running.spawn(async move {
                match tokio::time::timeout(timeout, handler.handle(one)).await {
                    Ok(result) => result,
                    Err(_) => Err(HandlerError::new(format!(
                        "it took longer than {} s",
                        timeout.as_secs_f32()
                    ))),
                }
            });
            self.items.insert(task.id(), item);
        }
        Ok(())
    }

    fn settle(
        &mut self,
        ended: Result<(Id, Result<Reply, HandlerError>), JoinError>,
    ) -> Result<(), WorkerError<S::Error>> {
        let (id, result) = match ended {
            Ok((id, result)) => (id, result),
            // A handler that panicked.
            Err(error) => (error.id(), Err(HandlerError::new(error))),
        };
        let Some(item) = self.items.remove(&id) else {
            return Ok(());
        };
        match result {
            Ok(reply) => {
                self.handled += 1;
                self.source.answer(&item, reply);
            }
            Err(error) => match error.kind {
                Kind::Failed => {
                    (self.options.on_event)(WorkEvent::Failed(&item, &error));
                    self.source.settle(&item, Step::Nack);
                }
                Kind::Unavailable => {
                    (self.options.on_event)(WorkEvent::Unavailable(&error));
                    self.rests_until = Some(Instant::now() + REST);
                    self.source.settle(&item, Step::Untried);
                }
                Kind::Fatal => {
                    self.source.settle(&item, Step::Untried);
                    return Err(WorkerError::Handler(error));
                }
            },
        }
        Ok(())
    }
}

impl<S, H> std::fmt::Debug for Worker<S, H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("options", &self.options)
            .field("running", &self.running.len())
            .field("handled", &self.handled)
            .finish_non_exhaustive()
    }
}

/// Looks without waiting.
async fn is_done(stop: &mut std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
    std::future::poll_fn(|context| std::task::Poll::Ready(stop.as_mut().poll(context).is_ready())).await
}
