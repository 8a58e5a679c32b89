//! Handling messages in the server's own process, by a function.

use std::sync::Arc;
use std::time::Duration;

use tenfour_proto::{Item, Progress, Reply, Step};
use tenfour_worker::{Handler, HandlerOptions, Source, Taken, WorkEvent, Worker, WorkerError};
use tokio::sync::mpsc;

use crate::admission::counters::Counter;
use crate::context::Context;
use crate::reading::group_reader::GroupReader;
use crate::reading::mailbox_reader::{BYTES, Broken};

/// After this time a cursor that could not be made is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// Runs until the server stops; it begins with the server.
pub(crate) type Start = Box<dyn FnOnce(Arc<Context>, mpsc::Sender<()>) + Send>;

pub(crate) fn start(mut options: HandlerOptions, handler: impl Handler) -> Start {
    Box::new(move |context, alive| {
        let (counters, tell) = (context.counters.clone(), Arc::clone(&options.on_event));
        options.on_event = Arc::new(move |event| {
            if let WorkEvent::Unauthenticated(_) = event {
                counters.count(Counter::Unauthenticated);
            }
            tell(event);
        });
        tokio::spawn(async move {
            let (mailbox, cursor) = (options.mailbox.clone(), options.cursor.clone());
            let mut stopping = context.stopping.subscribe();
            let reader = tokio::select! {
                reader = join(&context, &options) => Some(reader),
                _ = stopping.wait_for(|stopping| *stopping) => None,
            };
            let worked = match reader {
                Some(reader) => run(&context, Worker::new(LocalSource(reader), options, handler)).await,
                None => Ok(()),
            };
            if let Err(reason) = worked {
                tracing::error!(%mailbox, %cursor, reason, "messages are not handled any more");
            }
            drop(alive);
        });
    })
}

/// The reader of the cursor, which is made if it is new. What cannot be done now is tried again: others may remove a cursor.
async fn join(context: &Context, options: &HandlerOptions) -> GroupReader {
    let (mailbox, cursor) = (&options.mailbox, &options.cursor);
    let mut is_said = false;
    loop {
        let begun = GroupReader::begin(
            &context.broker,
            mailbox,
            cursor,
            options.from,
            options.retries,
            None,
        );
        let reader = async {
            let mut reader = begun.await?;
            reader.made().await.map(|()| reader)
        };
        let reason = match reader.await {
            Ok(reader) => return reader,
            Err(Broken::TooManyCursors) => "there are too many cursors (tenfour cursor rm MAILBOX:CURSOR)",
            Err(_) => "the store cannot be read",
        };
        if !std::mem::replace(&mut is_said, true) {
            tracing::error!(%mailbox, %cursor, reason, "messages are not handled yet; it is tried again");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn run<H: Handler>(context: &Context, mut worker: Worker<LocalSource, H>) -> Result<(), String> {
    let mut stopping = context.stopping.subscribe();
    let stop = async move {
        let _ = stopping.wait_for(|stopping| *stopping).await;
    };
    let words = |error: WorkerError<&'static str>| error.to_string();
    worker.run(stop).await.map_err(words)?;
    // What runs may end; what does not is given out again.
    let drain = context.config.limits.drain / 2;
    match tokio::time::timeout(drain, worker.finish()).await {
        Ok(finished) => finished.map_err(words),
        Err(_) => Ok(()),
    }
}

/// The messages that a cursor gives out here.
struct LocalSource(GroupReader);

impl Source for LocalSource {
    type Error = &'static str;

    async fn take(&mut self, most: usize) -> Result<Taken, Self::Error> {
        let last = self.0.last();
        let items = self.0.take(last, most, BYTES).await;
        let items = items.map_err(|_| "a message cannot be read")?;
        Ok(items.map_or(Taken::Nothing, Taken::Items))
    }

    async fn more(&mut self) {
        self.0.more(true).await;
    }

    async fn begin(&mut self, items: Vec<Item>) -> Result<Vec<Item>, Self::Error> {
        let steps: Vec<Progress> = items
            .iter()
            .map(|item| Progress::one(item.offset, Step::InProgress))
            .collect();
        let version = self.0.report(&steps);
        if self.0.saved(version).await {
            Ok(items)
        } else {
            Err("the store has failed")
        }
    }

    fn settle(&mut self, item: &Item, step: Step) {
        self.0.report(&[Progress::one(item.offset, step)]);
    }

    fn answer(&mut self, item: &Item, reply: Reply) {
        if item.message.asks {
            self.0.answer(item.offset, reply.of_handler());
        } else {
            self.settle(item, Step::Ack);
        }
    }
}
