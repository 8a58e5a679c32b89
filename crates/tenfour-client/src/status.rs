//! Asking a server what it is doing, and what became of a message.

use tenfour_proto::StreamId;
use tenfour_proto::native::{ClientEvent, ErrorCode, StatusEnd, StatusRequest, StatusRow};

use crate::config::ClientConfig;
use crate::connection::session::Session;
use crate::error::ConnectError;
use tenfour_proto::Address;

/// No answer, or not all of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatusError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
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

/// A connection that asks.
pub struct Watch {
    session: Session,
    timeout: std::time::Duration,
    request: u32,
}

impl Watch {
    /// Connects.
    ///
    /// # Errors
    ///
    /// When there is no connection.
    pub async fn connect(addresses: &[Address], config: &ClientConfig) -> Result<Self, ConnectError> {
        Ok(Watch {
            session: Session::open(addresses, config).await?,
            timeout: config.timeout,
            request: 0,
        })
    }

    /// All that the server tells: rows of the kinds `server`, `connection`, `mailbox`, `cursor`, `counter`.
    ///
    /// # Errors
    ///
    /// [`NotAllowed`](StatusError::NotAllowed) unless the key is the server's own or has `admin`.
    pub async fn server(&mut self) -> Result<Vec<StatusRow>, StatusError> {
        self.ask(None).await
    }

    /// What became of the messages that our key sent under `id`: rows of the kinds `stored` and `refused`, none if
    /// the server has never seen it, or has forgotten it.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn fate(&mut self, id: &str) -> Result<Vec<StatusRow>, StatusError> {
        self.ask(Some(StreamId::of_key(id))).await
    }

    async fn ask(&mut self, stream: Option<StreamId>) -> Result<Vec<StatusRow>, StatusError> {
        self.request += 1;
        self.session.machine.status(StatusRequest {
            request: self.request,
            stream,
        });
        let timeout = self.timeout;
        match tokio::time::timeout(timeout, self.answer()).await {
            Ok(answer) => answer,
            Err(_) => Err(StatusError::Lost("no answer in time".to_owned())),
        }
    }

    async fn answer(&mut self) -> Result<Vec<StatusRow>, StatusError> {
        let mut rows = Vec::new();
        loop {
            match self.session.machine.poll_event() {
                Some(ClientEvent::Status(row)) => rows.push(row),
                Some(ClientEvent::StatusEnd(StatusEnd::Complete)) => return Ok(rows),
                Some(ClientEvent::StatusEnd(StatusEnd::NotAllowed)) => return Err(StatusError::NotAllowed),
                Some(ClientEvent::StatusEnd(_)) => return Err(StatusError::Failed),
                Some(ClientEvent::Failed(error)) if error.code == ErrorCode::NotAllowed => {
                    return Err(StatusError::NotAllowed);
                }
                Some(ClientEvent::Failed(error)) => return Err(StatusError::Lost(error.text)),
                Some(ClientEvent::Closed | ClientEvent::Dead) => {
                    return Err(StatusError::Lost("the server is gone".to_owned()));
                }
                Some(_) => {}
                None => self.session.step().await.map_err(StatusError::Lost)?,
            }
        }
    }

    /// Keeps the connection alive for a while.
    ///
    /// # Errors
    ///
    /// When it breaks.
    pub async fn rest(&mut self, time: std::time::Duration) -> Result<(), StatusError> {
        let end = tokio::time::Instant::now() + time;
        loop {
            match tokio::time::timeout_at(end, self.session.step()).await {
                Ok(stepped) => stepped.map_err(StatusError::Lost)?,
                Err(_) => return Ok(()),
            }
        }
    }
}
