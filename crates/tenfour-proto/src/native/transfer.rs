//! Frames of sending: messages one way; receipts, credit and pauses the other.

use bytes::Bytes;

use super::{Fault, fields};
use crate::limits::MAX_FRAME_BODY;
use crate::{
    ContentType, Durability, MailboxName, Message, MessageName, RefusalCode, Refused, Run, Settled,
    Settlement, TemporaryCode,
};

/// Set on a message whose body stays behind because it is longer than the server takes.
const WITHHELD: u8 = 0x01;

/// Set on a message whose sender wants a reply.
const ASKS: u8 = 0x02;

/// Fixed part of a MESSAGE frame: sequence, total, length of the mailbox, zero, length of the fields.
const FIXED: usize = 8 + 4 + 1 + 1 + 2;

/// The start of a message: what it is, and as much of its body as fits. PART frames bring the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageFrame {
    /// Its number among the messages of its producer.
    pub sequence: u64,
    /// Length of the whole body, in bytes.
    pub total: u32,
    /// The body is not sent, and the server refuses the message as too large.
    pub withheld: bool,
    /// Its sender wants a reply.
    pub asks: bool,
    /// The mailbox's name as it came; checked by whoever takes the message.
    pub mailbox: Bytes,
    /// The content type as it came.
    pub content_type: Option<Bytes>,
    /// The name as it came.
    pub name: Option<Bytes>,
    /// The first part of the body.
    pub body: Bytes,
}

impl MessageFrame {
    /// The first frame of `message`.
    pub(super) fn starting(sequence: u64, message: &Message, withheld: bool) -> Self {
        let word = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let mut frame = MessageFrame {
            sequence,
            total: u32::try_from(message.body.len()).unwrap_or(u32::MAX),
            withheld,
            asks: message.asks,
            mailbox: word(message.mailbox.as_str()),
            content_type: message.content_type.as_ref().map(ContentType::as_str).map(word),
            name: message.name.as_ref().map(MessageName::as_str).map(word),
            body: Bytes::new(),
        };
        if !withheld {
            let room = MAX_FRAME_BODY.saturating_sub(FIXED + frame.mailbox.len() + frame.fields_length());
            frame.body = message.body.slice(..message.body.len().min(room));
        }
        frame
    }

    fn fields_length(&self) -> usize {
        let length = |word: &Option<Bytes>| word.as_ref().map_or(0, |w| 3 + w.len());
        length(&self.content_type) + length(&self.name)
    }

    pub(super) fn flags(&self) -> u8 {
        (if self.withheld { WITHHELD } else { 0 }) | if self.asks { ASKS } else { 0 }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.total.to_be_bytes());
        out.push(u8::try_from(self.mailbox.len()).unwrap_or(u8::MAX));
        out.push(0);
        let fields_length = u16::try_from(self.fields_length()).unwrap_or(u16::MAX);
        out.extend_from_slice(&fields_length.to_be_bytes());
        out.extend_from_slice(&self.mailbox);
        put_words(out, &self.content_type, &self.name);
        out.extend_from_slice(&self.body);
    }

    pub(super) fn decode(flags: u8, mut body: Bytes) -> Result<Self, Fault> {
        let sequence = fields::number(&mut body)?;
        let total = fields::number(&mut body)?;
        let mailbox_length = fields::number::<u8>(&mut body)?;
        fields::number::<u8>(&mut body)?;
        let fields_length = fields::number::<u16>(&mut body)?;
        let mailbox = fields::take(&mut body, mailbox_length.into())?;
        let (content_type, name) = take_words(fields::take(&mut body, fields_length.into())?)?;
        let withheld = flags & WITHHELD != 0;
        if body.len() > total as usize || (withheld && !body.is_empty()) {
            return Err(Fault::protocol("a message is longer than its length says"));
        }
        Ok(MessageFrame {
            sequence,
            total,
            withheld,
            asks: flags & ASKS != 0,
            mailbox,
            content_type,
            name,
            body,
        })
    }
}

/// Content type and name, shared by messages and items.
pub(super) fn put_words(out: &mut Vec<u8>, content_type: &Option<Bytes>, name: &Option<Bytes>) {
    put_word(out, 0x01, content_type);
    put_word(out, 0x02, name);
}

pub(super) fn put_word(out: &mut Vec<u8>, tag: u8, word: &Option<Bytes>) {
    if let Some(word) = word {
        fields::put(out, tag, word);
    }
}

fn take_words(mut words: Bytes) -> Result<(Option<Bytes>, Option<Bytes>), Fault> {
    let (mut content_type, mut name) = (None, None);
    let mut once = fields::Once::default();
    while let Some((tag, value)) = once.next(&mut words)? {
        match tag {
            0x01 => content_type = Some(value),
            0x02 => name = Some(value),
            other => fields::unknown(other)?,
        }
    }
    Ok((content_type, name))
}

/// How much may be sent and not yet settled. A receipt gives back what it settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    /// In messages.
    pub messages: u32,
    /// In bytes of bodies. A larger message may go when nothing else is unsettled.
    pub bytes: u32,
}

impl Credit {
    /// Nothing may come.
    pub const NONE: Credit = Credit {
        messages: 0,
        bytes: 0,
    };
}

impl Credit {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.messages.to_be_bytes());
        out.extend_from_slice(&self.bytes.to_be_bytes());
    }

    pub(super) fn decode(mut body: Bytes) -> Result<Self, Fault> {
        Ok(Credit {
            messages: fields::number(&mut body)?,
            bytes: fields::number(&mut body)?,
        })
    }
}

/// Nothing above `settled` is stored or will be; send it again after the pause, behind a RESUME frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Why.
    pub reason: TemporaryCode,
    /// How long to wait, in milliseconds.
    pub wait_ms: u32,
    /// Everything up to here has its receipt or refusal.
    pub settled: u64,
}

impl Pause {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.reason.to_wire().to_be_bytes());
        out.extend_from_slice(&self.wait_ms.to_be_bytes());
        out.extend_from_slice(&self.settled.to_be_bytes());
    }

    pub(super) fn decode(mut body: Bytes) -> Result<Self, Fault> {
        Ok(Pause {
            reason: TemporaryCode::from_wire(fields::number(&mut body)?),
            wait_ms: fields::number(&mut body)?,
            settled: fields::number(&mut body)?,
        })
    }
}

/// What a RECEIPT frame says: a settlement, and how safe the stored messages are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptFrame {
    /// What became of which messages.
    pub settlement: Settlement,
    /// How safe.
    pub durability: Durability,
}

mod entry {
    pub(super) const STORED: u8 = 0;
    pub(super) const DUPLICATE: u8 = 1;
    pub(super) const REFUSED: u8 = 2;
}

/// Longest entry of a receipt: kind, first, count, offset, length of the name, name.
const MAX_ENTRY: usize = 1 + 8 + 8 + 8 + 1 + crate::limits::MAX_MAILBOX_NAME;

impl ReceiptFrame {
    /// As many frames as `settlement` needs; usually one.
    pub(super) fn frames(settlement: &Settlement, durability: Durability) -> Vec<ReceiptFrame> {
        const PER_FRAME: usize = (MAX_FRAME_BODY - 16) / MAX_ENTRY;
        let mut frames = Vec::new();
        let mut current = Settlement::default();
        for piece in settlement.in_order() {
            if current.runs.len() + current.refused.len() == PER_FRAME {
                frames.push(std::mem::take(&mut current));
            }
            match piece {
                Settled::Stored(run) => {
                    current.settled = run.last();
                    current.runs.push(run.clone());
                }
                Settled::Refused(refusal) => {
                    current.settled = refusal.last();
                    current.refused.push(*refusal);
                }
            }
        }
        current.settled = settlement.settled;
        frames.push(current);
        frames
            .into_iter()
            .map(|settlement| ReceiptFrame {
                settlement,
                durability,
            })
            .collect()
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.settlement.settled.to_be_bytes());
        out.push(self.durability.to_wire());
        for piece in self.settlement.in_order() {
            match piece {
                Settled::Stored(run) => {
                    out.push(if run.duplicate {
                        entry::DUPLICATE
                    } else {
                        entry::STORED
                    });
                    out.extend_from_slice(&run.first.to_be_bytes());
                    out.extend_from_slice(&run.count.to_be_bytes());
                    out.extend_from_slice(&run.offset.to_be_bytes());
                    let name = run.mailbox.as_str();
                    out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
                    out.extend_from_slice(name.as_bytes());
                }
                Settled::Refused(refusal) => {
                    out.push(entry::REFUSED);
                    out.extend_from_slice(&refusal.first.to_be_bytes());
                    out.extend_from_slice(&refusal.count.to_be_bytes());
                    out.extend_from_slice(&refusal.code.to_wire().to_be_bytes());
                }
            }
        }
    }

    pub(super) fn decode(mut body: Bytes) -> Result<Self, Fault> {
        let mut settlement = Settlement {
            settled: fields::number(&mut body)?,
            ..Settlement::default()
        };
        let durability = Durability::from_wire(fields::number(&mut body)?)
            .ok_or(Fault::protocol("a durability is not known here"))?;
        while !body.is_empty() {
            let kind = fields::number::<u8>(&mut body)?;
            match kind {
                entry::STORED | entry::DUPLICATE => {
                    let (first, count, offset): (u64, u64, u64) = (
                        fields::number(&mut body)?,
                        fields::number(&mut body)?,
                        fields::number(&mut body)?,
                    );
                    let length = fields::number::<u8>(&mut body)?;
                    let mailbox = MailboxName::from_wire(&fields::take(&mut body, length.into())?)
                        .map_err(|_| Fault::protocol("a receipt names a malformed mailbox"))?;
                    if first == 0
                        || count == 0
                        || first.checked_add(count).is_none()
                        || offset.checked_add(count).is_none()
                    {
                        return Err(Fault::protocol("a receipt has an impossible run"));
                    }
                    settlement.runs.push(Run {
                        first,
                        count,
                        mailbox,
                        offset,
                        duplicate: kind == entry::DUPLICATE,
                    });
                }
                entry::REFUSED => {
                    let (first, count): (u64, u64) = (fields::number(&mut body)?, fields::number(&mut body)?);
                    let code = RefusalCode::from_wire(fields::number(&mut body)?);
                    if first == 0 || count == 0 || first.checked_add(count).is_none() {
                        return Err(Fault::protocol("a receipt has an impossible refusal"));
                    }
                    settlement.refused.push(Refused { first, count, code });
                }
                _ => return Err(Fault::protocol("a receipt has an entry that is not known here")),
            }
        }
        Ok(ReceiptFrame {
            settlement,
            durability,
        })
    }
}
