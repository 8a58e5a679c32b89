//! One message in `--json`. The fields are an interface.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use tenfour::{Client, DeliveryError, Fingerprint, Item, Listener, Receipt};

use crate::exit::delivery_code;
use crate::target::Target;

/// All fields there are; those that do not apply are left out.
#[derive(Debug, Default, Serialize)]
pub struct Record {
    /// `stored`, `refused`, `unknown` (perhaps stored) or `unsent`.
    pub outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mailbox: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// What all messages of one `send` have in common: whose they are, and where they go.
#[derive(Clone, Debug, Default)]
pub struct Route {
    pub id: Option<String>,
    pub sender: Option<String>,
    pub stream: Option<String>,
    pub listener: Option<Listener>,
    pub address: Option<String>,
}

impl Route {
    /// Of the messages on the stream of `client`, which is connected to `target`.
    pub fn native(client: &Client, sender: Fingerprint, target: &Target) -> Self {
        Route {
            id: Some(client.id().to_owned()),
            sender: Some(sender.to_string()),
            stream: Some(client.stream().to_string()),
            listener: Some(Listener::Native),
            address: Some(target.address.to_string()),
        }
    }

    /// A message on this route, of which nothing is known yet.
    pub fn record(&self, outcome: &'static str, bytes: u64) -> Record {
        Record {
            outcome,
            id: self.id.clone(),
            sender: self.sender.clone(),
            stream: self.stream.clone(),
            listener: self.listener.map(Listener::as_str),
            address: self.address.clone(),
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

    /// A message without a receipt.
    pub fn failure(&self, error: &DeliveryError, sequence: u64, bytes: u64) -> Record {
        Record {
            reason: Some(match error {
                DeliveryError::Refused(code) => code.as_str().to_owned(),
                other => other.to_string(),
            }),
            sequence: Some(sequence),
            ..self.record(delivery_code(error).outcome(), bytes)
        }
    }
}

impl Record {
    /// A message that was read.
    pub fn of_item(item: &Item) -> Self {
        let message = &item.message;
        let (text, base64) = match std::str::from_utf8(&message.body) {
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(STANDARD.encode(&message.body))),
        };
        let numbered = item.sequence > 0;
        Record {
            outcome: "stored",
            mailbox: Some(message.mailbox.to_string()),
            offset: Some(item.offset),
            sender: Some(item.sender.clone()),
            stream: numbered.then(|| item.stream.to_string()),
            sequence: numbered.then_some(item.sequence),
            time: jiff::Timestamp::from_microsecond(item.time)
                .ok()
                .map(|time| time.to_string()),
            listener: item.source.map(|source| source.listener.as_str()),
            address: item
                .source
                .and_then(|source| source.address)
                .map(|address| address.to_string()),
            bytes: Some(message.body.len() as u64),
            content_type: message.content_type.as_ref().map(ToString::to_string),
            name: message.name.as_ref().map(ToString::to_string),
            origin: item.origin.as_ref().map(ToString::to_string),
            text,
            base64,
            ..Record::default()
        }
    }

    /// The same, of a message that a cursor gave out.
    pub fn of_delivery(item: &Item) -> Self {
        Record {
            attempt: Some(item.attempts + 1),
            ..Record::of_item(item)
        }
    }

    /// The object on one line.
    pub fn json(&self) -> String {
        // Strings and numbers always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }
}
