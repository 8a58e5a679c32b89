//! Handling the messages of a mailbox by a function.

use tenfour_proto::{CursorName, CursorNameError, MailboxName, MailboxNameError};
use tenfour_worker::{Handler, HandlerOptions, Worker, WorkerError};

use crate::client::Client;
use crate::consumer::Consumer;
use crate::error::ReaderError;

impl Client {
    /// Handles the messages of a mailbox by a function from message to reply, until the server ends it. Workers with one
    /// name of a cursor share the work.
    ///
    /// ```no_run
    /// # use tenfour_client::{Client, HandlerError};
    /// # use tenfour_proto::{Item, Reply};
    /// # async fn example(client: Client) -> Result<(), Box<dyn std::error::Error>> {
    /// client
    ///     .handle("inbox", "upper", |item: Item| async move {
    ///         Ok::<_, HandlerError>(Reply::new(item.message.body.to_ascii_uppercase()))
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When a name is none, there is no connection, the server ends it, or the handler can do nothing more.
    pub async fn handle<M, C>(
        &self,
        mailbox: M,
        cursor: C,
        handler: impl Handler,
    ) -> Result<(), WorkerError<ReaderError>>
    where
        M: TryInto<MailboxName>,
        M::Error: Into<MailboxNameError>,
        C: TryInto<CursorName>,
        C::Error: Into<CursorNameError>,
    {
        let mailbox = ReaderError::mailbox(mailbox).map_err(WorkerError::Source)?;
        let cursor = ReaderError::cursor(cursor).map_err(WorkerError::Source)?;
        let options = HandlerOptions::new(mailbox, cursor);
        let mut worker = self.worker(options, handler).await.map_err(WorkerError::Source)?;
        worker.run(std::future::pending()).await
    }

    /// The same with options of one's own, run by the caller.
    ///
    /// # Errors
    ///
    /// When there is no connection.
    pub async fn worker<H: Handler>(
        &self,
        options: HandlerOptions,
        handler: H,
    ) -> Result<Worker<Consumer, H>, ReaderError> {
        let window = u32::try_from(options.jobs.saturating_mul(2)).unwrap_or(u32::MAX);
        let most = u32::try_from(options.most.unwrap_or(u64::MAX)).unwrap_or(u32::MAX);
        let mut consumer = self
            .consumer(&options.mailbox, &options.cursor)
            .from(options.from)
            .skip(options.skip.iter().copied())
            .window(window.min(most));
        consumer = match options.retries {
            Some(retries) => consumer.retries(retries),
            None => consumer.retry_for_ever(),
        };
        if options.drain {
            consumer = consumer.drain();
        }
        Ok(Worker::new(consumer.open().await?, options, handler))
    }
}
