//! Why a row cannot be read.

use tenfour_proto::MailboxName;

use crate::ReadError;

#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    /// It does not match its checksum.
    #[error("the message at {mailbox} #{offset} is damaged")]
    Damaged { mailbox: MailboxName, offset: u64 },
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

impl From<RowError> for ReadError {
    fn from(error: RowError) -> Self {
        match error {
            RowError::Damaged { mailbox, offset } => ReadError::Damaged { mailbox, offset },
            RowError::Sqlite(error) => ReadError::Failed(Box::new(error)),
        }
    }
}
