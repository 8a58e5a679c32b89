//! One message in `--json`. The fields are an interface.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use tenfour::{Item, Receipt};

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
    pub text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

impl Record {
    /// A receipt.
    pub fn of_receipt(receipt: &Receipt, id: &str, stream: &str, bytes: u64) -> Self {
        Record {
            outcome: "stored",
            mailbox: Some(receipt.mailbox.to_string()),
            offset: Some(receipt.offset),
            id: Some(id.to_owned()),
            stream: Some(stream.to_owned()),
            sequence: Some(receipt.sequence),
            bytes: Some(bytes),
            durability: Some(receipt.durability.as_str()),
            duplicate: Some(receipt.duplicate),
            ..Record::default()
        }
    }

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
            bytes: Some(message.body.len() as u64),
            content_type: message.content_type.as_ref().map(ToString::to_string),
            name: message.name.as_ref().map(ToString::to_string),
            text,
            base64,
            ..Record::default()
        }
    }

    /// The object on one line.
    pub fn json(&self) -> String {
        // Strings and numbers always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }
}
