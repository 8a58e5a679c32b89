//! Frames of looking: what a server is doing, and the fate of a message. The answer is rows of named values, so that a
//! server can tell more than a client knows of.

use bytes::Bytes;

use super::{Fault, fields};
use crate::ProducerId;

/// What a client wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRequest {
    /// Chosen by the client; the rows carry it.
    pub request: u32,
    /// The fate of this producer of the client's own key; without it, all of the server.
    pub producer: Option<ProducerId>,
}

/// A row of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusRow {
    /// What it is about: `server`, `connection`, `mailbox`, `cursor`, `counter`, `receipt`,
    /// `stored`, `refused`.
    pub kind: String,
    /// What is known, in the order in which people want it.
    pub values: Vec<(String, StatusValue)>,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusValue {
    /// A word.
    Text(String),
    /// A number.
    Number(u64),
}

/// The end of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatusEnd {
    /// That was all.
    Complete,
    /// This key may not see it.
    NotAllowed,
    /// The store could not be read, or a reason that this version does not know.
    Failed,
}

/// A row on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFrame {
    pub(super) request: u32,
    pub(super) row: StatusRow,
}

/// The end on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndFrame {
    pub(super) request: u32,
    pub(super) end: StatusEnd,
}

impl From<u64> for StatusValue {
    fn from(number: u64) -> Self {
        StatusValue::Number(number)
    }
}

impl From<String> for StatusValue {
    fn from(text: String) -> Self {
        StatusValue::Text(text)
    }
}

impl From<&str> for StatusValue {
    fn from(text: &str) -> Self {
        StatusValue::Text(text.to_owned())
    }
}

impl StatusRow {
    /// A row without values.
    pub fn new(kind: &str) -> Self {
        StatusRow {
            kind: kind.to_owned(),
            values: Vec::new(),
        }
    }

    /// The same with one more value.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<StatusValue>) -> Self {
        self.values.push((name.to_owned(), value.into()));
        self
    }

    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<&StatusValue> {
        self.values
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    }
}

impl StatusRequest {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        fields::put(out, 0x81, &self.request.to_be_bytes());
        if let Some(producer) = self.producer {
            fields::put(out, 0x82, producer.as_bytes());
        }
    }

    pub(super) fn decode(mut body: Bytes) -> Result<Self, Fault> {
        let mut request = StatusRequest {
            request: 0,
            producer: None,
        };
        let mut once = fields::Once::default();
        while let Some((tag, mut value)) = once.next(&mut body)? {
            match tag {
                0x81 => request.request = fields::number(&mut value)?,
                0x82 => request.producer = Some(ProducerId::from_bytes(fields::array(&mut value)?)),
                other => fields::unknown(other)?,
            }
        }
        Ok(request)
    }
}

impl RowFrame {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request.to_be_bytes());
        fields::put(out, 0x01, self.row.kind.as_bytes());
        for (name, value) in &self.row.values {
            fields::put(out, 0x02, name.as_bytes());
            match value {
                StatusValue::Text(text) => fields::put(out, 0x03, text.as_bytes()),
                StatusValue::Number(number) => fields::put(out, 0x04, &number.to_be_bytes()),
            }
        }
    }

    pub(super) fn decode(mut body: Bytes) -> Result<Self, Fault> {
        let request = fields::number(&mut body)?;
        let mut row = StatusRow::new("");
        let mut name = String::new();
        while let Some((tag, mut value)) = fields::next(&mut body)? {
            match tag {
                0x01 => row.kind = fields::text(&value)?.to_owned(),
                0x02 => name = fields::text(&value)?.to_owned(),
                0x03 => row = row.with(&name, fields::text(&value)?),
                0x04 => row = row.with(&name, fields::number::<u64>(&mut value)?),
                other => fields::unknown(other)?,
            }
        }
        Ok(RowFrame { request, row })
    }
}

impl EndFrame {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request.to_be_bytes());
        let reason: u16 = match self.end {
            StatusEnd::Complete => 0,
            StatusEnd::NotAllowed => 1,
            StatusEnd::Failed => 3,
        };
        out.extend_from_slice(&reason.to_be_bytes());
    }

    pub(super) fn decode(mut body: Bytes) -> Result<Self, Fault> {
        Ok(EndFrame {
            request: fields::number(&mut body)?,
            end: match fields::number::<u16>(&mut body)? {
                0 => StatusEnd::Complete,
                1 => StatusEnd::NotAllowed,
                _ => StatusEnd::Failed,
            },
        })
    }
}
