//! Asking a server what it is doing, and what became of a message.

use tenfour_proto::ProducerId;
use tenfour_proto::native::{StatusEnd, StatusRow};

use crate::client::Client;
use crate::connection::query::{Part, Question};

/// No answer, or not all of it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatusError {
    /// This key may not see the status.
    #[error("this key may not see the status")]
    NotAllowed,
    /// The server could not read its store.
    #[error("the server cannot read its store")]
    Failed,
    /// The connection broke, or the time was over.
    #[error("the connection broke: {0}")]
    Lost(String),
}

impl Client {
    /// All that the server tells: rows of the kinds `server`, `connection`, `mailbox`, `cursor`, `counter`, `receipt`.
    ///
    /// # Errors
    ///
    /// [`NotAllowed`](StatusError::NotAllowed) unless the key is the server's own or has `status` or `admin`.
    pub async fn status(&self) -> Result<Vec<StatusRow>, StatusError> {
        self.rows(Question::Status).await
    }

    /// What became of the messages that our key sent under `id`: rows of the kinds `stored` and `refused`, none if
    /// the server has never seen it, or has forgotten it.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn fate(&self, id: &str) -> Result<Vec<StatusRow>, StatusError> {
        self.rows(Question::DeliveryState(ProducerId::of_key(id))).await
    }

    async fn rows(&self, question: Question) -> Result<Vec<StatusRow>, StatusError> {
        let shared = self.shared();
        let answer = async {
            let _turn = shared.asking.lock().await;
            let lost = || StatusError::Lost("the server is gone".to_owned());
            let mut answers = shared.query(question).ok_or_else(lost)?;
            let mut rows = Vec::new();
            loop {
                match answers.next().await.ok_or_else(lost)? {
                    Part::Row(row) => rows.push(row),
                    Part::StatusEnd(StatusEnd::Complete) => return Ok(rows),
                    Part::StatusEnd(StatusEnd::NotAllowed) => return Err(StatusError::NotAllowed),
                    Part::StatusEnd(_) => return Err(StatusError::Failed),
                    Part::Piece(_) | Part::BackupEnd(_) | Part::Removed(_) => {}
                }
            }
        };
        match tokio::time::timeout(shared.timeout(), answer).await {
            Ok(answer) => answer,
            Err(_) => Err(StatusError::Lost("no answer in time".to_owned())),
        }
    }
}
