//! Fetching the whole store of a server.

use tenfour_proto::native::BackupEnd;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::client::Client;
use crate::connection::query::{Part, Question};

/// There is no backup, or not all of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// This key may not have everything.
    #[error("this key may not have a backup")]
    NotAllowed,
    /// The server keeps its messages in memory, or in a database.
    #[error("the server's store is not a file")]
    NoFile,
    /// The server makes a copy first, and has no room for it.
    #[error("the server has no room for a copy of its store")]
    Full,
    /// The server could not read its store.
    #[error("the server cannot read its store")]
    Failed,
    /// It cannot be written here.
    #[error("the backup cannot be written: {0}")]
    Write(#[from] std::io::Error),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Lost(String),
}

impl Client {
    /// Writes the store of the server, as it is at one moment, to `out`: a file that `tenfour serve --store` takes. Gives
    /// its length; `progress` hears of it as it grows. The server goes on meanwhile.
    ///
    /// # Errors
    ///
    /// [`NotAllowed`](BackupError::NotAllowed) unless the key is the server's own or has `admin`. What was written so far
    /// is of no use then.
    pub async fn backup(
        &self,
        out: &mut (impl AsyncWrite + Unpin),
        mut progress: impl FnMut(u64),
    ) -> Result<u64, BackupError> {
        let shared = self.shared();
        let _turn = shared.asking.lock().await;
        let lost = || BackupError::Lost("the server is gone".to_owned());
        let mut answers = shared.query(Question::Backup).ok_or_else(lost)?;
        let mut written = 0;
        loop {
            match answers.next().await.ok_or_else(lost)? {
                Part::Piece(bytes) => {
                    out.write_all(&bytes).await?;
                    written += bytes.len() as u64;
                    progress(written);
                }
                Part::BackupEnd(BackupEnd::Complete(bytes)) if bytes == written => {
                    out.flush().await?;
                    return Ok(written);
                }
                Part::BackupEnd(BackupEnd::NotAllowed) => return Err(BackupError::NotAllowed),
                Part::BackupEnd(BackupEnd::NoFile) => return Err(BackupError::NoFile),
                Part::BackupEnd(BackupEnd::Full) => return Err(BackupError::Full),
                Part::BackupEnd(_) => return Err(BackupError::Failed),
                Part::Row(_) | Part::StatusEnd(_) | Part::Removed(_) => {}
            }
        }
    }
}
