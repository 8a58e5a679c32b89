//! How messages are handled.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tenfour_proto::native::ReadFrom;
use tenfour_proto::{CursorName, CursorNameError, Item, MailboxName, MailboxNameError};

use crate::handler::HandlerError;

/// A message that failed more often goes to the dead letters, unless said.
pub const DEFAULT_RETRIES: u32 = 5;

/// How messages of a mailbox are handled. They are consumed by a cursor, as `tenfour receive` does it: what was handled
/// is done, and what failed comes again.
#[derive(Clone)]
#[non_exhaustive]
pub struct HandlerOptions {
    /// The mailbox.
    pub mailbox: MailboxName,
    /// The cursor; readers of the same name elsewhere share the work.
    pub cursor: CursorName,
    /// Where a cursor begins that is not there yet. At the oldest message unless said.
    pub from: ReadFrom,
    /// A message that failed more often than this goes to `dead/CURSOR`; `None`: it is tried for ever. 5 unless said.
    pub retries: Option<u32>,
    /// Most messages at once. 4 unless said.
    pub jobs: usize,
    /// A message that takes longer has failed. 30 seconds unless said.
    pub timeout: Duration,
    /// What is done with messages of senders that showed neither key nor token. They go to the dead letters unless said:
    /// from there they can be handled later.
    pub unauthenticated: Unauthenticated,
    /// End when all that were there are done, instead of waiting for new messages. Only a client's worker does.
    pub drain: bool,
    /// End when so many were handled. Never unless said.
    pub most: Option<u64>,
    /// Messages that are passed over at the beginning, such as a damaged one. Only a client's worker does.
    pub skip: Vec<u64>,
    /// Who is told what went wrong; the log unless said.
    pub on_event: OnWorkEvent,
}

/// Called by a worker; must return at once.
pub type OnWorkEvent = Arc<dyn Fn(WorkEvent<'_>) + Send + Sync>;

/// What is done with a message whose sender showed neither key nor token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unauthenticated {
    /// It is handled as any other.
    Handle,
    /// It is passed over, and stays where it is. A copy among the dead letters would be one for each line that anybody
    /// sends.
    Skip,
    /// A copy of it goes to the dead letters.
    DeadLetter,
}

/// Something that a worker could not do.
#[derive(Debug)]
#[non_exhaustive]
pub enum WorkEvent<'a> {
    /// A message was not handled because of its sender.
    Unauthenticated(&'a Item),
    /// A message has failed.
    Failed(&'a Item, &'a HandlerError),
    /// Nothing can be handled for a moment.
    Unavailable(&'a HandlerError),
}

/// A text that names neither a mailbox nor a cursor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The mailbox.
    #[error(transparent)]
    Mailbox(MailboxNameError),
    /// The cursor.
    #[error(transparent)]
    Cursor(CursorNameError),
}

impl HandlerOptions {
    /// The same as [`new`](Self::new) for names that are not checked yet.
    ///
    /// # Errors
    ///
    /// When a name is none.
    pub fn named<M, C>(mailbox: M, cursor: C) -> Result<Self, NameError>
    where
        M: TryInto<MailboxName>,
        M::Error: Into<MailboxNameError>,
        C: TryInto<CursorName>,
        C::Error: Into<CursorNameError>,
    {
        let mailbox = mailbox
            .try_into()
            .map_err(|error| NameError::Mailbox(error.into()))?;
        let cursor = cursor
            .try_into()
            .map_err(|error| NameError::Cursor(error.into()))?;
        Ok(HandlerOptions::new(mailbox, cursor))
    }

    /// With the defaults.
    pub fn new(mailbox: MailboxName, cursor: CursorName) -> Self {
        HandlerOptions {
            mailbox,
            cursor,
            from: ReadFrom::Oldest,
            retries: Some(DEFAULT_RETRIES),
            jobs: 4,
            timeout: Duration::from_secs(30),
            unauthenticated: Unauthenticated::DeadLetter,
            drain: false,
            most: None,
            skip: Vec::new(),
            on_event: Arc::new(log),
        }
    }
}

impl fmt::Debug for HandlerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerOptions")
            .field("mailbox", &self.mailbox)
            .field("cursor", &self.cursor)
            .field("from", &self.from)
            .field("retries", &self.retries)
            .field("jobs", &self.jobs)
            .field("timeout", &self.timeout)
            .field("unauthenticated", &self.unauthenticated)
            .finish_non_exhaustive()
    }
}

fn log(event: WorkEvent<'_>) {
    match event {
        WorkEvent::Unauthenticated(item) => {
            tracing::debug!(mailbox = %item.message.mailbox, offset = item.offset, "not handled: its sender showed no key");
        }
        WorkEvent::Failed(item, error) => {
            tracing::warn!(mailbox = %item.message.mailbox, offset = item.offset, attempt = item.attempts + 1, %error,
                "a message was not handled");
        }
        WorkEvent::Unavailable(error) => tracing::error!(%error, "nothing can be handled; trying again"),
    }
}
