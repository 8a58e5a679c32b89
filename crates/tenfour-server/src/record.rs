//! A message in JSON. The fields are an interface: of `--json`, and of HTTP.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Map, Value};
use tenfour_proto::native::{StatusRow, StatusValue};
use tenfour_proto::{Item, is_format_character};

/// All fields there are; those that do not apply are left out.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema), schema(as = Message))]
pub struct Record {
    /// `stored`, `refused`, `unknown` (perhaps stored), `unsent` or `queued` (in the outbox); of a question `answered`, or `dead` when no handler
    /// could do it.
    pub outcome: &'static str,
    /// Its number among the messages that wait for the same server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// Why it was not stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mailbox: Option<String>,
    /// Its place in the mailbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// The id under which it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whose it is: a fingerprint, `token:NAME`, `anonymous` or `datagram`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// The stream in which its sender numbered it, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// Its number in the stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// The server's time of the commit, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// How it came: `text`, `datagram`, `native`, `http` or `modbus`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<&'static str>,
    /// The sender's address and port; of a message that is sent, the server's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Length of the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Kind of the bytes, as its sender said.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Name of the file that it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the receipt means: `replicated`, `disk`, `os` or `memory`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<&'static str>,
    /// The receipt is of an earlier delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<bool>,
    /// Of a dead letter: the mailbox and offset from which it was taken, `inbox #7`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Attempt number, starting at 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// How the handler of a question ended; `text` or `base64` is its reply then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u8>,
    /// Its sender wants a reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asks: Option<bool>,
    /// The file to which it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The body, where it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The body, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

impl Record {
    /// A message that was read.
    pub fn of_item(item: &Item) -> Self {
        let message = &item.message;
        let numbered = item.sequence > 0;
        Record {
            outcome: "stored",
            mailbox: Some(message.mailbox.to_string()),
            offset: Some(item.offset),
            sender: Some(item.sender.to_string()),
            stream: numbered.then(|| item.producer.to_string()),
            sequence: numbered.then_some(item.sequence),
            time: jiff::Timestamp::from_microsecond(item.time)
                .ok()
                // One width: the order of the texts is that of the times.
                .map(|time| format!("{time:.6}")),
            listener: item.source.map(|source| source.listener.as_str()),
            address: item
                .source
                .and_then(|source| source.address)
                .map(|address| address.to_string()),
            bytes: Some(message.body.len() as u64),
            content_type: message.content_type.as_ref().map(ToString::to_string),
            name: message.name.as_ref().map(ToString::to_string),
            origin: item.origin.as_ref().map(ToString::to_string),
            asks: message.asks.then_some(true),
            ..Record::default()
        }
        .with_body(&message.body)
    }

    /// The same with these bytes as its body.
    #[must_use]
    pub fn with_body(mut self, body: &[u8]) -> Self {
        (self.text, self.base64) = match std::str::from_utf8(body) {
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(STANDARD.encode(body))),
        };
        self
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
        harmless(serde_json::to_string(self).unwrap_or_default())
    }
}

/// JSON in which no character moves a cursor or runs the other way: whoever reads JSON reads escapes, and a terminal does
/// not. All of them can only stand in strings.
fn harmless(json: String) -> String {
    // Those below a blank are written as escapes already.
    let deceives = |c: char| c.is_control() || is_format_character(c);
    if !json.chars().any(deceives) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        if deceives(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// A row of a status as one JSON object: its kind, then its values in their order.
pub fn status_json(row: &StatusRow) -> String {
    let mut object = Map::new();
    object.insert("kind".to_owned(), row.kind.clone().into());
    for (name, value) in &row.values {
        object.insert(
            name.clone(),
            match value {
                StatusValue::Text(text) => text.clone().into(),
                StatusValue::Number(number) => (*number).into(),
            },
        );
    }
    harmless(Value::Object(object).to_string())
}
