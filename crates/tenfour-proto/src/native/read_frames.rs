//! Frames of reading: a mailbox from an offset on, pulled by the reader's credit.

use crate::codes::codes;
use bytes::Bytes;

use super::transfer::{put_word, put_words};
use super::{Credit, Fault, fields, place_frames};
use crate::limits::{MAX_FRAME_BODY, MAX_OUT_OF_ORDER};
use crate::{
    ContentType, CursorName, Item, MailboxName, Message, MessageName, Place, ProducerId, Progress, Source,
    Step,
};

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// At the oldest message kept.
    Oldest,
    /// At this offset, or the next one that is kept.
    Offset(u64),
    /// So many messages before the end.
    Last(u64),
    /// At the first message stored at this time or later, in microseconds since 1970-01-01 UTC.
    Since(i64),
    /// At the first message stored so many microseconds ago or later, by the server's clock.
    Ago(u64),
    /// Behind this place, if what was there is still there; else the read ends with [`EndReason::Regressed`].
    After(Place),
}

/// A client's wish to read. A connection has one at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    /// Chosen by the client; its items carry it.
    pub request: u32,
    /// What to read.
    pub mailbox: MailboxName,
    /// Where to begin; with a cursor that exists already, it knows that itself.
    pub from: ReadFrom,
    /// Consume by this cursor: what is given to this reader is given to no other one.
    pub cursor: Option<CursorUse>,
    /// Wait for new messages at the end, instead of saying that it is reached.
    pub follow: bool,
    /// How many items, and bytes of bodies, may come before more credit is granted.
    pub credit: Credit,
}

/// How a cursor is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorUse {
    /// Which one.
    pub name: CursorName,
    /// A message that failed more often than this is buried; `None`: never.
    pub retries: Option<u32>,
}

/// Steps of messages that a cursor gave out, in the order in which they happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressFrame {
    pub(super) request: u32,
    pub(super) steps: Vec<Progress>,
}

/// Bytes of one step.
const STEP: usize = 8 + 4 + 1;

/// Most steps of one frame.
pub(super) const MAX_STEPS: usize = (MAX_FRAME_BODY - 4) / STEP;

/// The server has written down what was reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progressed {
    pub(super) request: u32,
    /// So many PROGRESS frames of this read are as durable as a receipt.
    pub(super) count: u64,
}

/// More credit for a read that is under way; it adds to what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadCredit {
    pub(super) request: u32,
    pub(super) credit: Credit,
}

/// The start of an item; PART frames bring the rest of its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemFrame {
    pub(super) request: u32,
    pub(super) offset: u64,
    pub(super) time: i64,
    pub(super) sequence: u64,
    pub(super) producer: [u8; 16],
    pub(super) total: u32,
    pub(super) sender: Bytes,
    pub(super) content_type: Option<Bytes>,
    pub(super) name: Option<Bytes>,
    pub(super) listener: Option<Bytes>,
    pub(super) address: Option<Bytes>,
    pub(super) origin: Option<Bytes>,
    pub(super) attempts: u32,
    pub(super) asks: bool,
    pub(super) body: Bytes,
}

/// Fixed part of an ITEM frame.
const FIXED: usize = 4 + 8 + 8 + 8 + 16 + 4 + 1 + 1 + 2;

/// The end of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadEnd {
    /// The read that ended.
    pub request: u32,
    /// The offset at which it would go on.
    pub next: u64,
    /// Why.
    pub reason: EndReason,
}

codes! {
    /// Why a read ended.
    pub enum EndReason, otherwise "unknown" "a reason that this version does not know" {
        /// Everything there is has been sent.
        CaughtUp = 0 "caught-up" "everything there is has been sent",
        /// This key may not read that mailbox.
        NotAllowed = 1 "not-allowed" "this key may not read that mailbox",
        /// The message at `next` does not match its checksum.
        Damaged = 2 "damaged" "the next message is damaged",
        /// The store could not be read.
        Failed = 3 "failed" "the store could not be read",
        /// There are as many cursors as there may be, and this one is not among them.
        TooManyCursors = 4 "too-many-cursors" "there are too many cursors",
        /// The mailbox ends before the place where reading was to begin, or has another message there.
        Regressed = 5 "went-back" "the mailbox ends before that place, or has another message there",
    }
}

impl ReadRequest {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        fields::put(out, 0x81, &self.request.to_be_bytes());
        fields::put(out, 0x82, self.mailbox.as_str().as_bytes());
        match self.from {
            ReadFrom::Oldest => {}
            ReadFrom::Offset(offset) => fields::put(out, 0x83, &offset.to_be_bytes()),
            ReadFrom::Last(count) => fields::put(out, 0x84, &count.to_be_bytes()),
            ReadFrom::Since(time) => fields::put(out, 0x85, &time.to_be_bytes()),
            ReadFrom::Ago(ago) => fields::put(out, 0x8b, &ago.to_be_bytes()),
            ReadFrom::After(place) => fields::put(out, 0x8a, &place_frames::encode(place)),
        }
        fields::put(out, 0x86, &[u8::from(self.follow)]);
        let mut credit = Vec::with_capacity(8);
        self.credit.encode(&mut credit);
        fields::put(out, 0x87, &credit);
        if let Some(cursor) = &self.cursor {
            fields::put(out, 0x88, cursor.name.as_str().as_bytes());
            if let Some(retries) = cursor.retries {
                fields::put(out, 0x89, &retries.to_be_bytes());
            }
        }
    }

    pub(super) fn decode(mut body: Bytes) -> Result<Self, Fault> {
        let (mut mailbox, mut cursor, mut retries) = (None, None, None);
        let mut read = ReadRequest {
            request: 0,
            mailbox: MailboxName::inbox(),
            from: ReadFrom::Oldest,
            cursor: None,
            follow: false,
            credit: Credit {
                messages: 0,
                bytes: 0,
            },
        };
        let mut once = fields::Once::default();
        while let Some((tag, mut value)) = once.next(&mut body)? {
            match tag {
                0x81 => read.request = fields::number(&mut value)?,
                0x82 => {
                    mailbox = Some(
                        MailboxName::from_wire(&value)
                            .map_err(|_| Fault::protocol("READ names a malformed mailbox"))?,
                    )
                }
                0x83..=0x85 | 0x8a | 0x8b if read.from != ReadFrom::Oldest => {
                    return Err(Fault::protocol("READ names two places to begin at"));
                }
                0x83 => read.from = ReadFrom::Offset(fields::number(&mut value)?),
                0x84 => read.from = ReadFrom::Last(fields::number(&mut value)?),
                0x85 => read.from = ReadFrom::Since(fields::number(&mut value)?),
                0x86 => read.follow = fields::number::<u8>(&mut value)? != 0,
                0x87 => read.credit = Credit::decode(value)?,
                0x88 => {
                    cursor = Some(
                        CursorName::from_wire(&value)
                            .map_err(|_| Fault::protocol("READ names a malformed cursor"))?,
                    )
                }
                0x89 => retries = Some(fields::number(&mut value)?),
                0x8b => read.from = ReadFrom::Ago(fields::number(&mut value)?),
                0x8a => read.from = ReadFrom::After(place_frames::decode(value)?),
                other => fields::unknown(other)?,
            }
        }
        read.cursor = cursor.map(|name| CursorUse { name, retries });
        read.mailbox = mailbox.ok_or(Fault::protocol("READ names no mailbox"))?;
        Ok(read)
    }
}

impl ReadCredit {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request.to_be_bytes());
        self.credit.encode(out);
    }

    pub(super) fn decode(mut body: Bytes) -> Result<Self, Fault> {
        Ok(ReadCredit {
            request: fields::number(&mut body)?,
            credit: Credit::decode(body)?,
        })
    }
}

impl ProgressFrame {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request.to_be_bytes());
        for progress in &self.steps {
            out.extend_from_slice(&progress.first.to_be_bytes());
            out.extend_from_slice(&progress.count.to_be_bytes());
            out.push(match progress.step {
                Step::InProgress => 0,
                Step::Ack => 1,
                Step::Nack => 2,
                Step::Release => 3,
                Step::Reject => 4,
                Step::Skip => 5,
                Step::Untried => 6,
            });
        }
    }

    pub(super) fn decode(mut body: Bytes) -> Result<Self, Fault> {
        let request = fields::number(&mut body)?;
        let mut steps = Vec::with_capacity(body.len() / STEP);
        while !body.is_empty() {
            let first = fields::number(&mut body)?;
            let count = fields::number(&mut body)?;
            if count as usize > MAX_OUT_OF_ORDER {
                return Err(Fault::protocol(
                    "PROGRESS of more messages than a cursor gives out",
                ));
            }
            let step = match fields::number::<u8>(&mut body)? {
                0 => Step::InProgress,
                1 => Step::Ack,
                2 => Step::Nack,
                3 => Step::Release,
                4 => Step::Reject,
                5 => Step::Skip,
                6 => Step::Untried,
                _ => return Err(Fault::protocol("PROGRESS with an unknown step")),
            };
            steps.push(Progress { first, count, step });
        }
        Ok(ProgressFrame { request, steps })
    }
}

impl Progressed {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request.to_be_bytes());
        out.extend_from_slice(&self.count.to_be_bytes());
    }

    pub(super) fn decode(mut body: Bytes) -> Result<Self, Fault> {
        Ok(Progressed {
            request: fields::number(&mut body)?,
            count: fields::number(&mut body)?,
        })
    }
}

/// The field that counts attempts, and the one that says that a reply is wanted.
const ATTEMPTS: usize = 3 + 4;
const ASKS: usize = 3;

impl ItemFrame {
    /// The first frame of `item`.
    pub(super) fn starting(request: u32, item: &Item) -> Self {
        let word = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let message = &item.message;
        let content_type = message.content_type.as_ref().map(ContentType::as_str).map(word);
        let name = message.name.as_ref().map(MessageName::as_str).map(word);
        let listener = item.source.map(|source| word(source.listener.as_str()));
        let address = item.source.and_then(|source| source.address);
        let address = address.map(|address| word(&address.to_string()));
        let origin = item.origin.as_ref().map(|origin| word(&origin.to_string()));
        let words = [&content_type, &name, &listener, &address, &origin]
            .into_iter()
            .flatten()
            .map(|w| 3 + w.len())
            .sum::<usize>()
            + ATTEMPTS
            + ASKS;
        let sender = Bytes::from(item.sender.to_string());
        let room = MAX_FRAME_BODY.saturating_sub(FIXED + sender.len() + words);
        ItemFrame {
            request,
            offset: item.offset,
            time: item.time,
            sequence: item.sequence,
            producer: *item.producer.as_bytes(),
            total: u32::try_from(message.body.len()).unwrap_or(u32::MAX),
            sender,
            content_type,
            name,
            listener,
            address,
            origin,
            attempts: item.attempts,
            asks: message.asks,
            body: message.body.slice(..message.body.len().min(room)),
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request.to_be_bytes());
        out.extend_from_slice(&self.offset.to_be_bytes());
        out.extend_from_slice(&self.time.to_be_bytes());
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.producer);
        out.extend_from_slice(&self.total.to_be_bytes());
        out.push(u8::try_from(self.sender.len()).unwrap_or(u8::MAX));
        out.push(0);
        let mut words = Vec::new();
        put_words(&mut words, &self.content_type, &self.name);
        put_word(&mut words, 0x03, &self.listener);
        put_word(&mut words, 0x04, &self.address);
        put_word(&mut words, 0x05, &self.origin);
        if self.attempts > 0 {
            fields::put(&mut words, 0x06, &self.attempts.to_be_bytes());
        }
        if self.asks {
            fields::put(&mut words, 0x07, &[]);
        }
        out.extend_from_slice(&u16::try_from(words.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(&self.sender);
        out.extend_from_slice(&words);
        out.extend_from_slice(&self.body);
    }

    pub(super) fn decode(mut body: Bytes) -> Result<Self, Fault> {
        let request = fields::number(&mut body)?;
        let offset = fields::number(&mut body)?;
        let time = fields::number(&mut body)?;
        let sequence = fields::number(&mut body)?;
        let producer = fields::array(&mut body)?;
        let total = fields::number(&mut body)?;
        let sender_length = fields::number::<u8>(&mut body)?;
        fields::number::<u8>(&mut body)?;
        let words_length = fields::number::<u16>(&mut body)?;
        let sender = fields::take(&mut body, sender_length.into())?;
        let mut words = fields::take(&mut body, words_length.into())?;
        let [mut content_type, mut name, mut listener, mut address, mut origin] = [const { None }; 5];
        let (mut attempts, mut asks) = (0, false);
        let mut once = fields::Once::default();
        while let Some((tag, mut value)) = once.next(&mut words)? {
            match tag {
                0x01 => content_type = Some(value),
                0x02 => name = Some(value),
                0x03 => listener = Some(value),
                0x04 => address = Some(value),
                0x05 => origin = Some(value),
                0x06 => attempts = fields::number(&mut value)?,
                0x07 => asks = true,
                other => fields::unknown(other)?,
            }
        }
        if body.len() > total as usize {
            return Err(Fault::protocol("an item is longer than its length says"));
        }
        Ok(ItemFrame {
            request,
            offset,
            time,
            sequence,
            producer,
            total,
            sender,
            content_type,
            name,
            listener,
            address,
            origin,
            attempts,
            asks,
            body,
        })
    }

    /// The whole item, once its body is there.
    pub(super) fn into_item(self, mailbox: MailboxName, body: Bytes) -> Result<Item, Fault> {
        let bad = |_| Fault::protocol("an item has a malformed name or content type");
        // A listener of a later version is no reason to show nothing of the message.
        let word = |word: Option<Bytes>| word.and_then(|word| String::from_utf8(word.to_vec()).ok());
        let listener = word(self.listener).and_then(|word| word.parse().ok());
        let address = word(self.address).and_then(|word| word.parse().ok());
        Ok(Item {
            offset: self.offset,
            time: self.time,
            sender: fields::text(&self.sender)?
                .parse()
                .map_err(|_| Fault::protocol("a sender that is none"))?,
            producer: ProducerId::from_bytes(self.producer),
            sequence: self.sequence,
            source: listener.map(|listener| Source { listener, address }),
            origin: word(self.origin).and_then(|word| word.parse().ok()),
            attempts: self.attempts,
            message: Message {
                mailbox,
                content_type: self
                    .content_type
                    .map(|w| fields::text(&w)?.parse::<ContentType>().map_err(bad))
                    .transpose()?,
                name: self
                    .name
                    .map(|w| fields::text(&w)?.parse::<MessageName>().map_err(bad))
                    .transpose()?,
                asks: self.asks,
                body,
            },
        })
    }
}

impl ReadEnd {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request.to_be_bytes());
        out.extend_from_slice(&self.next.to_be_bytes());
        out.extend_from_slice(&self.reason.to_wire().to_be_bytes());
    }

    pub(super) fn decode(mut body: Bytes) -> Result<Self, Fault> {
        Ok(ReadEnd {
            request: fields::number(&mut body)?,
            next: fields::number(&mut body)?,
            reason: EndReason::from_wire(fields::number(&mut body)?),
        })
    }
}
