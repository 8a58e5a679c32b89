//! What is done with a message.

use std::error::Error;
use std::fmt;

use tenfour_proto::{Item, Reply};

/// Handles messages. A function from [`Item`] to a future of [`Reply`] is one.
pub trait Handler: Send + Sync + 'static {
    /// Handles one. The reply goes to whoever asked; of a message that did not ask it says only that it is done.
    ///
    /// A message that came before has [`attempts`](Item::attempts).
    ///
    /// # Errors
    ///
    /// [`HandlerError`] says what is done with the message then.
    fn handle(&self, item: Item) -> impl Future<Output = Result<Reply, HandlerError>> + Send;
}

impl<F, T, E> Handler for F
where
    F: Fn(Item) -> T + Send + Sync + 'static,
    T: Future<Output = Result<Reply, E>> + Send,
    E: Into<HandlerError>,
{
    async fn handle(&self, item: Item) -> Result<Reply, HandlerError> {
        self(item).await.map_err(Into::into)
    }
}

/// Why a message was not handled, and what follows from it. Any error can be made one, and then the message has failed: it
/// comes again, or goes to the dead letters.
#[derive(Debug)]
pub struct HandlerError {
    pub(crate) kind: Kind,
    error: Box<dyn Error + Send + Sync>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Failed,
    Unavailable,
    Fatal,
}

impl HandlerError {
    /// The message has failed.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        HandlerError {
            kind: Kind::Failed,
            error: error.into(),
        }
    }

    /// Nothing can be handled now, and the message is not to blame: it is released, and tried again a second later.
    pub fn unavailable(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        HandlerError {
            kind: Kind::Unavailable,
            ..HandlerError::new(error)
        }
    }

    /// Nothing can be handled any more: the message is released, and the worker ends.
    pub fn fatal(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        HandlerError {
            kind: Kind::Fatal,
            ..HandlerError::new(error)
        }
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        HandlerError::new(error)
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}
