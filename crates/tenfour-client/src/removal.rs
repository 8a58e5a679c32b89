//! Removing what a server keeps.

use tenfour_proto::native::RemoveOutcome;
use tenfour_proto::{CursorName, MailboxName};

use crate::client::Client;
use crate::connection::query::{Part, Question};

/// It is not removed, or not known to be.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// There is none of that name.
    #[error("there is none of that name")]
    Absent,
    /// Only the server's own key, and keys with `admin`, may remove something.
    #[error("this key may not remove anything")]
    NotAllowed,
    /// Somebody consumes by that cursor, or by one of the mailbox.
    #[error("a consumer is connected")]
    InUse,
    /// Messages came meanwhile. What had been there before is gone.
    #[error("messages came while it was removed; those before them are gone")]
    Refilled,
    /// The server's disk is full.
    #[error("the server has no room to note it")]
    Full,
    /// The server could not do it.
    #[error("the server cannot write to its store")]
    Failed,
    /// The connection broke: it may be removed or not.
    #[error("the connection broke: {0}")]
    Lost(String),
}

impl Client {
    /// Removes a mailbox with all its messages and cursors. Its offsets are not given again, and what was stored in it still
    /// counts as stored. Returns when that is as durable as a receipt; a large mailbox takes a while.
    ///
    /// # Errors
    ///
    /// [`NotAllowed`](RemoveError::NotAllowed) unless the key is the server's own or has `admin`.
    pub async fn remove_mailbox(&self, mailbox: &MailboxName) -> Result<(), RemoveError> {
        self.remove(Question::Remove(mailbox.clone(), None)).await
    }

    /// Removes a cursor: who uses that name next begins anew.
    ///
    /// # Errors
    ///
    /// As for [`remove_mailbox`](Self::remove_mailbox).
    pub async fn remove_cursor(&self, mailbox: &MailboxName, cursor: &CursorName) -> Result<(), RemoveError> {
        self.remove(Question::Remove(mailbox.clone(), Some(cursor.clone())))
            .await
    }

    async fn remove(&self, question: Question) -> Result<(), RemoveError> {
        let shared = self.shared();
        let lost = || RemoveError::Lost("the server is gone".to_owned());
        let _turn = shared.asking.lock().await;
        let mut answers = shared.query(question).ok_or_else(lost)?;
        loop {
            let Part::Removed(outcome) = answers.next().await.ok_or_else(lost)? else {
                continue;
            };
            return match outcome {
                RemoveOutcome::Removed => Ok(()),
                RemoveOutcome::Absent => Err(RemoveError::Absent),
                RemoveOutcome::NotAllowed => Err(RemoveError::NotAllowed),
                RemoveOutcome::InUse => Err(RemoveError::InUse),
                RemoveOutcome::Refilled => Err(RemoveError::Refilled),
                RemoveOutcome::Full => Err(RemoveError::Full),
                _ => Err(RemoveError::Failed),
            };
        }
    }
}
