//! Frames that remove things: a mailbox, or a cursor.

use bytes::Bytes;

use super::{Fault, fields};
use crate::codes::codes;
use crate::{CursorName, MailboxName};

/// What is to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoveRequest {
    /// Chosen by the client; the answer carries it.
    pub request: u32,
    /// The mailbox, with all its messages and cursors.
    pub mailbox: MailboxName,
    /// Only this cursor of it.
    pub cursor: Option<CursorName>,
}

codes! {
    /// What became of it.
    pub enum RemoveOutcome, otherwise "unknown" "an outcome that this version does not know" {
        /// It is gone, and that is as durable as a receipt.
        Removed = 0 "removed" "it is removed",
        /// There is none of that name.
        Absent = 1 "absent" "there is none of that name",
        /// This key may not remove it.
        NotAllowed = 2 "not-allowed" "this key may not remove anything",
        /// Somebody consumes by that cursor, or by one of the mailbox.
        InUse = 3 "in-use" "a consumer is connected",
        /// Messages came while it was removed; what had been there before is gone.
        Refilled = 4 "refilled" "messages came while it was removed",
        /// There is no room to note it.
        Full = 5 "full" "the server has no room to note it",
        /// The store could not do it.
        Failed = 6 "failed" "the server cannot write to its store",
    }
}

/// The answer on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemovedFrame {
    pub(super) request: u32,
    pub(super) outcome: RemoveOutcome,
}

impl RemoveRequest {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        fields::put(out, 0x81, &self.request.to_be_bytes());
        fields::put(out, 0x82, self.mailbox.as_str().as_bytes());
        if let Some(cursor) = &self.cursor {
            fields::put(out, 0x83, cursor.as_str().as_bytes());
        }
    }

    pub(super) fn decode(mut body: Bytes) -> Result<Self, Fault> {
        let (mut request, mut mailbox, mut cursor) = (0, None, None);
        let mut once = fields::Once::default();
        while let Some((tag, mut value)) = once.next(&mut body)? {
            match tag {
                0x81 => request = fields::number(&mut value)?,
                0x82 => {
                    let name = fields::text(&value)?.parse();
                    mailbox = Some(name.map_err(|_| Fault::protocol("a mailbox's name is malformed"))?);
                }
                0x83 => {
                    let name = fields::text(&value)?.parse();
                    cursor = Some(name.map_err(|_| Fault::protocol("a cursor's name is malformed"))?);
                }
                other => fields::unknown(other)?,
            }
        }
        Ok(RemoveRequest {
            request,
            mailbox: mailbox.ok_or(Fault::protocol("REMOVE without a mailbox"))?,
            cursor,
        })
    }
}

impl RemovedFrame {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request.to_be_bytes());
        out.extend_from_slice(&self.outcome.to_wire().to_be_bytes());
    }

    pub(super) fn decode(mut body: Bytes) -> Result<Self, Fault> {
        Ok(RemovedFrame {
            request: fields::number(&mut body)?,
            outcome: RemoveOutcome::from_wire(fields::number(&mut body)?),
        })
    }
}
