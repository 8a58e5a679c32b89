//! One message over the recipe's wire, and perhaps a receipt.

use std::time::Duration;

use bytes::Bytes;
use tenfour_proto::text::Client as Machine;
pub use tenfour_proto::text::{Answer, GREETING, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::connection::dial::connect;
use crate::error::ConnectError;
use tenfour_proto::Address;

/// A connection to a text listener that has given its greeting, or not (yet).
pub struct TextDelivery {
    stream: TcpStream,
    machine: Machine,
}

/// Sends `body` as the only message of a connection. The outcome is the server's answer, or that there was
/// none: then nobody knows, and there is no identity under which it could be repeated.
///
/// The body must not contain LF, end in CR or be empty: the wire could not carry it unchanged.
///
/// # Errors
///
/// Only when no connection came about, so that nothing was sent.
pub async fn deliver(address: &Address, body: Bytes, timeout: Duration) -> Result<Outcome, ConnectError> {
    let delivery = TextDelivery::connect(address, timeout).await?;
    Ok(delivery.deliver(body, timeout).await)
}

impl TextDelivery {
    /// Connects.
    pub async fn connect(address: &Address, timeout: Duration) -> Result<Self, ConnectError> {
        let stream = tokio::time::timeout(timeout, connect(address))
            .await
            .map_err(|_| ConnectError::TimedOut(address.clone()))??;
        Ok(TextDelivery {
            stream,
            machine: Machine::new(),
        })
    }

    /// Waits for the greeting; false if something else comes, or nothing.
    pub async fn greeted(&mut self, timeout: Duration) -> bool {
        let greeting = async {
            let mut buffer = [0; 64];
            while !self.machine.is_greeted() {
                match self.stream.read(&mut buffer).await {
                    Ok(count) if count > 0 => {
                        if self
                            .machine
                            .handle_bytes(buffer.get(..count).unwrap_or_default())
                            .is_some()
                        {
                            return false;
                        }
                    }
                    _ => return false,
                }
            }
            true
        };
        tokio::time::timeout(timeout, greeting).await.unwrap_or(false)
    }

    /// Sends the message, ends our side, and waits for the answer.
    pub async fn deliver(mut self, body: Bytes, timeout: Duration) -> Outcome {
        let talk = async {
            let (mut reader, mut writer) = self.stream.split();
            let machine = &mut self.machine;
            // The answer may come, and the connection break, before everything is written.
            let write = async {
                if writer.write_all(&body).await.is_ok() {
                    let _ = writer.shutdown().await;
                }
                std::future::pending::<Outcome>().await
            };
            let read = async {
                let mut buffer = [0; 1024];
                loop {
                    match reader.read(&mut buffer).await {
                        Ok(0) => return machine.handle_end(),
                        Ok(count) => {
                            if let Some(outcome) =
                                machine.handle_bytes(buffer.get(..count).unwrap_or_default())
                            {
                                return outcome;
                            }
                        }
                        Err(_) => return Outcome::NoAnswer,
                    }
                }
            };
            tokio::select! {
                outcome = read => outcome,
                outcome = write => outcome,
            }
        };
        tokio::time::timeout(timeout, talk)
            .await
            .unwrap_or(Outcome::NoAnswer)
    }
}

impl std::fmt::Debug for TextDelivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextDelivery").finish_non_exhaustive()
    }
}
