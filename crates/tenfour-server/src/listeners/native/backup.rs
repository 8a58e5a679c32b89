//! BACKUP: all of the store.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tenfour_proto::native::BackupEnd;
use tenfour_store::CopyError;

use super::connection::Connection;

/// Bytes of one piece of a backup: they fit one frame.
const PIECE: usize = 60 * 1024;

/// While a copy is made, the client hears of us this often.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// A copy for a client that is still there.
struct CancelOnDrop(Arc<AtomicBool>);

impl Default for CancelOnDrop {
    fn default() -> Self {
        CancelOnDrop(Arc::new(AtomicBool::new(true)))
    }
}

impl Drop for CancelOnDrop {
    /// Nobody waits for it any more: a large copy must not be finished for nobody.
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Connection {
    /// The whole store, for whoever may have everything.
    pub(super) async fn tell_backup(&mut self, request: u32) {
        let Some(admitted) = self.admitted.as_deref() else {
            return;
        };
        let end = if admitted.rights.is_admin() {
            match self.make_copy(request).await {
                Some(Ok(file)) => match self.send_copy(request, file).await {
                    Some(end) => end,
                    None => return,
                },
                Some(Err(end)) => end,
                None => return,
            }
        } else {
            BackupEnd::NotAllowed
        };
        self.machine.end_backup(request, end);
    }

    /// `None`: the client is gone.
    async fn make_copy(&mut self, request: u32) -> Option<Result<File, BackupEnd>> {
        let context = Arc::clone(&self.context);
        let wanted = CancelOnDrop::default();
        let flag = Arc::clone(&wanted.0);
        // One at a time: they need room for as much as the store has, and a reader each.
        let copying = async {
            let _turn = context.copying.acquire().await;
            context.broker.read(move |reader| Ok(reader.copy(&flag))).await
        };
        tokio::pin!(copying);
        loop {
            match tokio::time::timeout(SIGN_OF_LIFE, &mut copying).await {
                Ok(Ok(Ok(Ok(file)))) => return Some(Ok(file)),
                Ok(Ok(Ok(Err(error)))) => {
                    tracing::warn!(peer = %self.peer, error = &error as &dyn std::error::Error, "no backup");
                    return Some(Err(match error {
                        CopyError::NoFile => BackupEnd::NoFile,
                        CopyError::Full => BackupEnd::Full,
                        _ => BackupEnd::Failed,
                    }));
                }
                Ok(_) => return Some(Err(BackupEnd::Failed)),
                Err(_) => {
                    self.machine.send_backup(request, Bytes::new());
                    if !self.write().await {
                        return None;
                    }
                }
            }
        }
    }

    /// What the files of rights say at this moment.
    fn may_still_have_everything(&self) -> bool {
        let rights = self
            .key
            .and_then(|key| self.context.config.access.rights(key, self.peer.ip()));
        rights.is_some_and(|rights| rights.is_admin())
    }

    /// `None`: the client is gone.
    async fn send_copy(&mut self, request: u32, mut file: File) -> Option<BackupEnd> {
        let mut sent = 0;
        loop {
            let mailbox_read = tokio::task::spawn_blocking(move || {
                let mut piece = Vec::with_capacity(PIECE);
                let read = file.by_ref().take(PIECE as u64).read_to_end(&mut piece);
                read.map(|_| (piece, file))
            });
            let Ok(Ok((piece, rest))) = mailbox_read.await else {
                return Some(BackupEnd::Failed);
            };
            if piece.is_empty() {
                tracing::info!(peer = %self.peer, bytes = sent, "a backup was taken");
                return Some(BackupEnd::Complete(sent));
            }
            file = rest;
            // A copy takes long, and is everything.
            if !self.may_still_have_everything() {
                return Some(BackupEnd::NotAllowed);
            }
            sent += piece.len() as u64;
            self.machine.send_backup(request, piece.into());
            if !self.write().await {
                return None;
            }
        }
    }
}
