//! What the messages of one `send` have in common in `--json`.

use tenfour::proto::{Fingerprint, Listener};
use tenfour::server::Record;
use tenfour::{Client, ConnectError, DeliveryError, MailboxName, Receipt};

use crate::exit::{connect_code, delivery_code};
use crate::target::Target;

/// What all messages of one `send` have in common: whose they are, and where they go.
#[derive(Clone, Debug, Default)]
pub struct Route {
    pub id: Option<String>,
    pub sender: Option<String>,
    pub producer: Option<String>,
    pub listener: Option<Listener>,
    pub address: Option<String>,
    pub mailbox: Option<String>,
}

impl Route {
    /// Of messages to a mailbox of the native listener at `target`, which is not connected yet.
    pub fn native(sender: Fingerprint, target: &Target, mailbox: &MailboxName) -> Self {
        Route {
            sender: Some(sender.to_string()),
            listener: Some(Listener::Native),
            address: Some(target.address.to_string()),
            mailbox: Some(mailbox.to_string()),
            ..Route::default()
        }
    }

    /// The same on the producer of this client.
    pub fn on(self, client: &Client) -> Self {
        Route {
            id: Some(client.id().to_owned()),
            producer: Some(client.producer().to_string()),
            ..self
        }
    }

    /// What the server has to allow: to which key, which mailbox.
    pub fn wanted(&self) -> Option<(&str, &str)> {
        self.sender.as_deref().zip(self.mailbox.as_deref())
    }

    /// A message on this route, of which nothing is known yet.
    pub fn record(&self, outcome: &'static str, bytes: u64) -> Record {
        Record {
            outcome,
            id: self.id.clone(),
            sender: self.sender.clone(),
            stream: self.producer.clone(),
            listener: self.listener.map(Listener::as_str),
            address: self.address.clone(),
            mailbox: self.mailbox.clone(),
            bytes: Some(bytes),
            ..Record::default()
        }
    }

    /// A receipt.
    pub fn receipt(&self, receipt: &Receipt, bytes: u64) -> Record {
        Record {
            mailbox: Some(receipt.mailbox.to_string()),
            offset: Some(receipt.offset),
            sequence: Some(receipt.sequence),
            durability: Some(receipt.durability.as_str()),
            duplicate: Some(receipt.duplicate),
            ..self.record("stored", bytes)
        }
    }

    /// A message for which there was no connection.
    pub fn unreached(&self, error: &ConnectError, bytes: u64) -> Record {
        Record {
            reason: Some(error.to_string()),
            ..self.record(connect_code(error).class().as_str(), bytes)
        }
    }

    /// A message without a receipt.
    pub fn failure(&self, error: &DeliveryError, sequence: u64, bytes: u64) -> Record {
        Record {
            reason: Some(match error {
                DeliveryError::Refused(code) => code.as_str().to_owned(),
                other => other.to_string(),
            }),
            sequence: Some(sequence),
            ..self.record(delivery_code(error).class().as_str(), bytes)
        }
    }
}
