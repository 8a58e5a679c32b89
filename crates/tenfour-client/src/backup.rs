//! Fetching the whole store of a server.

use std::io::Write;

use tenfour_proto::native::{BackupEnd, ClientEvent};

use crate::config::ClientConfig;
use crate::connection::session::Session;
use crate::error::ConnectError;
use tenfour_proto::Address;

/// There is no backup, or not all of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// This key may not have everything.
    #[error("this key may not have a backup")]
    NotAllowed,
    /// The server keeps its messages in memory.
    #[error("the server keeps nothing on disk")]
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

/// Writes the store of a server, as it is at one moment, to `out`: a file that `tenfour serve --store` takes. Gives its
/// length; `progress` hears of it as it grows. The server goes on meanwhile.
///
/// # Errors
///
/// [`NotAllowed`](BackupError::NotAllowed) unless the key is the server's own or has `admin`. What was written so far is
/// of no use then.
pub async fn backup(
    addresses: &[Address],
    config: &ClientConfig,
    out: &mut (impl Write + Send),
    mut progress: impl FnMut(u64),
) -> Result<u64, BackupError> {
    let mut session = Session::open(addresses, config).await?;
    session.machine.backup(1);
    let mut written = 0;
    loop {
        match session.machine.poll_event() {
            Some(ClientEvent::Backup(bytes)) => {
                out.write_all(&bytes)?;
                written += bytes.len() as u64;
                progress(written);
            }
            Some(ClientEvent::BackupEnd(BackupEnd::Complete(bytes))) if bytes == written => {
                return Ok(written);
            }
            Some(ClientEvent::BackupEnd(BackupEnd::NotAllowed)) => return Err(BackupError::NotAllowed),
            Some(ClientEvent::BackupEnd(BackupEnd::NoFile)) => return Err(BackupError::NoFile),
            Some(ClientEvent::BackupEnd(BackupEnd::Full)) => return Err(BackupError::Full),
            Some(ClientEvent::BackupEnd(_)) => return Err(BackupError::Failed),
            Some(ClientEvent::Failed(error)) => return Err(BackupError::Lost(error.text)),
            Some(ClientEvent::Closed | ClientEvent::Dead) => {
                return Err(BackupError::Lost("the server is gone".to_owned()));
            }
            Some(_) => {}
            None => session.step().await.map_err(BackupError::Lost)?,
        }
    }
}
