//! The first frames: who is there, what it wants, what it gets.

use bytes::Bytes;

use super::{Credit, ErrorCode, Fault, VERSION, fields};
use crate::{Durability, ProducerId};

/// Sequences fit a signed integer, as SQLite and many languages have it, with room to count on.
const MAX_SEQUENCE: u64 = 1 << 62;

/// Most producers that one HELLO says are finished: what is left of its room is for the rest.
pub const MAX_FINISHED: usize = 64;

/// A range of protocol versions, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The lowest.
    pub min: u16,
    /// The highest.
    pub max: u16,
}

/// What happens to messages that the server has already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumption {
    /// The client knows that the producer is its own: it gets the receipts it lacks and sends only what is new.
    Continue,
    /// The client comes with an id from outside (`--id`): it sends everything again, and each message is compared
    /// with the one that is stored under its identity.
    Repeat,
}

/// How long the server keeps a producer's mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProducerKind {
    /// At least 30 days of the store's own running time after its last use.
    OneShot,
    /// Until the outbox says that it is finished.
    Outbox,
}

/// The producer that a client wants to send as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerWish {
    /// Its id.
    pub id: ProducerId,
    /// The last sequence the client holds a stored-receipt for; 0 for none.
    pub receipted: u64,
    /// The last sequence the client knows as settled; 0 for none.
    pub settled: u64,
    /// What to do about messages that are stored already.
    pub resumption: Resumption,
    /// How long to remember it.
    pub kind: ProducerKind,
}

/// The client's first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Versions the client speaks.
    pub versions: Versions,
    /// Name and version of the client's software, for logs.
    pub software: String,
    /// Random, the same for all connections of one process.
    pub process: [u8; 16],
    /// 1 for a process' first connection as a producer, then one more each time.
    pub attempt: u64,
    /// The least durability that the client accepts.
    pub durability: Durability,
    /// Bits of optional abilities; none are defined yet.
    pub features: u64,
    /// The producer to send as; without one the client only reads.
    pub producer: Option<ProducerWish>,
    /// The secret of an invitation, from a client that is to be enrolled.
    pub invitation: Option<[u8; 32]>,
    /// Earlier producers of an outbox of which nothing will be repeated; at most [`MAX_FINISHED`]. A WELCOME confirms
    /// them.
    pub finished: Vec<ProducerId>,
}

/// The server's answer to HELLO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The version that both speak from here.
    pub version: u16,
    /// Name and version of the server's software, for logs.
    pub software: String,
    /// The store behind this server: another id is another server, whatever its name.
    pub store: [u8; 16],
    /// Longest body of a message that this server takes, in bytes.
    pub max_message: u32,
    /// How much may be sent and not settled.
    pub credit: Credit,
    /// Silence after which a PING is due, in milliseconds.
    pub heartbeat_ms: u32,
    /// What a receipt of this server means.
    pub durability: Durability,
    /// The producer's mark, if a producer was wished for.
    pub high_water_mark: Option<u64>,
    /// Bits of optional abilities; none are defined yet.
    pub features: u64,
    /// What this key may do, in the words of `authorized_keys`.
    pub rights: String,
}

/// Either side's last words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorFrame {
    /// The reason, for programs.
    pub code: ErrorCode,
    /// The reason, for people.
    pub text: String,
    /// A reference that stands in both logs; may be empty.
    pub reference: String,
    /// With [`ErrorCode::Regressed`]: the mark that the server has, and the id of its store. With another
    /// store than before nothing went back: it is another server.
    pub regressed: Option<(u64, [u8; 16])>,
}

impl Hello {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut versions = self.versions.min.to_be_bytes().to_vec();
        versions.extend_from_slice(&self.versions.max.to_be_bytes());
        fields::put(out, 0x81, &versions);
        fields::put(out, 0x02, self.software.as_bytes());
        fields::put(out, 0x83, &self.process);
        fields::put(out, 0x84, &self.attempt.to_be_bytes());
        fields::put(out, 0x85, &[self.durability.to_wire()]);
        fields::put(out, 0x06, &self.features.to_be_bytes());
        if let Some(producer) = &self.producer {
            let mut value = producer.id.as_bytes().to_vec();
            value.extend_from_slice(&producer.receipted.to_be_bytes());
            value.extend_from_slice(&producer.settled.to_be_bytes());
            value.push(match producer.resumption {
                Resumption::Continue => 0,
                Resumption::Repeat => 1,
            });
            value.push(match producer.kind {
                ProducerKind::OneShot => 0,
                ProducerKind::Outbox => 1,
            });
            fields::put(out, 0x87, &value);
        }
        if let Some(secret) = &self.invitation {
            fields::put(out, 0x88, secret);
        }
        if !self.finished.is_empty() {
            let ids: Vec<u8> = self
                .finished
                .iter()
                .take(MAX_FINISHED)
                .flat_map(|id| *id.as_bytes())
                .collect();
            fields::put(out, 0x09, &ids);
        }
    }

    /// The versions come first, wherever they stand: a later client is told that this server is too old, not that it is wrong.
    pub(super) fn decode(body: Bytes) -> Result<Self, Fault> {
        let mut look = body.clone();
        while let Ok(Some((tag, mut value))) = fields::next(&mut look) {
            if tag == 0x81 {
                let (min, max): (u16, u16) = (fields::number(&mut value)?, fields::number(&mut value)?);
                if min > VERSION || max < VERSION {
                    return Err(Fault {
                        code: ErrorCode::Version,
                        text: "this server speaks version 1 only",
                    });
                }
            }
        }
        Self::decode_fields(body)
    }

    fn decode_fields(mut body: Bytes) -> Result<Self, Fault> {
        let mut versions = None;
        let mut process = None;
        let mut hello = Hello {
            versions: Versions { min: 0, max: 0 },
            software: String::new(),
            process: [0; 16],
            attempt: 0,
            durability: Durability::Disk,
            features: 0,
            producer: None,
            invitation: None,
            finished: Vec::new(),
        };
        let mut once = fields::Once::default();
        while let Some((tag, mut value)) = once.next(&mut body)? {
            match tag {
                0x81 => {
                    versions = Some(Versions {
                        min: fields::number(&mut value)?,
                        max: fields::number(&mut value)?,
                    });
                }
                0x02 => hello.software = fields::text(&value)?.to_owned(),
                0x83 => process = Some(fields::array(&mut value)?),
                0x84 => hello.attempt = fields::number(&mut value)?,
                0x85 => hello.durability = durability(&mut value)?,
                0x06 => hello.features = fields::number(&mut value)?,
                0x87 => hello.producer = Some(ProducerWish::decode(value)?),
                0x88 => hello.invitation = Some(fields::array(&mut value)?),
                0x09 => {
                    if value.len() > MAX_FINISHED * 16 {
                        return Err(Fault::protocol("HELLO names more finished streams than it may"));
                    }
                    while !value.is_empty() {
                        hello
                            .finished
                            .push(ProducerId::from_bytes(fields::array(&mut value)?));
                    }
                }
                other => fields::unknown(other)?,
            }
        }
        hello.versions = versions.ok_or(Fault::protocol("HELLO lacks its versions"))?;
        hello.process = process.ok_or(Fault::protocol("HELLO lacks its process id"))?;
        Ok(hello)
    }
}

impl ProducerWish {
    fn decode(mut value: Bytes) -> Result<Self, Fault> {
        let wish = ProducerWish {
            id: ProducerId::from_bytes(fields::array(&mut value)?),
            receipted: fields::number(&mut value)?,
            settled: fields::number(&mut value)?,
            resumption: match fields::number::<u8>(&mut value)? {
                0 => Resumption::Continue,
                1 => Resumption::Repeat,
                _ => return Err(Fault::protocol("a stream's resumption is not known here")),
            },
            kind: match fields::number::<u8>(&mut value)? {
                0 => ProducerKind::OneShot,
                1 => ProducerKind::Outbox,
                _ => return Err(Fault::protocol("a stream's kind is not known here")),
            },
        };
        if wish.id.as_bytes() == &[0; 16] {
            return Err(Fault::protocol("a stream id of zeros is no stream"));
        }
        if wish.receipted > wish.settled {
            return Err(Fault::protocol("a receipt above what is settled"));
        }
        if wish.settled >= MAX_SEQUENCE {
            return Err(Fault::protocol("a sequence that nobody reaches by counting"));
        }
        Ok(wish)
    }
}

impl Welcome {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        fields::put(out, 0x81, &self.version.to_be_bytes());
        fields::put(out, 0x02, self.software.as_bytes());
        fields::put(out, 0x83, &self.store);
        fields::put(out, 0x84, &self.max_message.to_be_bytes());
        let mut credit = Vec::with_capacity(8);
        self.credit.encode(&mut credit);
        fields::put(out, 0x85, &credit);
        fields::put(out, 0x06, &self.heartbeat_ms.to_be_bytes());
        fields::put(out, 0x87, &[self.durability.to_wire()]);
        if let Some(high_water_mark) = self.high_water_mark {
            fields::put(out, 0x88, &high_water_mark.to_be_bytes());
        }
        fields::put(out, 0x09, &self.features.to_be_bytes());
        fields::put(out, 0x0a, self.rights.as_bytes());
    }

    pub(super) fn decode(mut body: Bytes) -> Result<Self, Fault> {
        let mut welcome = Welcome {
            version: 0,
            software: String::new(),
            store: [0; 16],
            max_message: 0,
            credit: Credit {
                messages: 0,
                bytes: 0,
            },
            heartbeat_ms: u32::try_from(crate::limits::HEARTBEAT.as_millis()).unwrap_or(u32::MAX),
            durability: Durability::Memory,
            high_water_mark: None,
            features: 0,
            rights: String::new(),
        };
        let mut store = None;
        let mut once = fields::Once::default();
        while let Some((tag, mut value)) = once.next(&mut body)? {
            match tag {
                0x81 => welcome.version = fields::number(&mut value)?,
                0x02 => welcome.software = fields::text(&value)?.to_owned(),
                0x83 => store = Some(fields::array(&mut value)?),
                0x84 => welcome.max_message = fields::number(&mut value)?,
                0x85 => welcome.credit = Credit::decode(value)?,
                0x06 => welcome.heartbeat_ms = fields::number(&mut value)?,
                0x87 => welcome.durability = durability(&mut value)?,
                0x88 => welcome.high_water_mark = Some(fields::number(&mut value)?),
                0x09 => welcome.features = fields::number(&mut value)?,
                0x0a => welcome.rights = fields::text(&value)?.to_owned(),
                other => fields::unknown(other)?,
            }
        }
        if welcome.credit.messages == 0
            || welcome.heartbeat_ms == 0
            || store.is_none()
            || welcome.max_message == 0
        {
            return Err(Fault::protocol("WELCOME lacks a field"));
        }
        welcome.store = store.unwrap_or_default();
        Ok(welcome)
    }
}

impl ErrorFrame {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        fields::put(out, 0x01, &self.code.to_wire().to_be_bytes());
        fields::put(out, 0x02, self.text.as_bytes());
        fields::put(out, 0x03, self.reference.as_bytes());
        if let Some((high_water_mark, store)) = self.regressed {
            let mut value = high_water_mark.to_be_bytes().to_vec();
            value.extend_from_slice(&store);
            fields::put(out, 0x04, &value);
        }
    }

    pub(super) fn decode(mut body: Bytes) -> Result<Self, Fault> {
        let mut error = ErrorFrame {
            code: ErrorCode::Other(0),
            text: String::new(),
            reference: String::new(),
            regressed: None,
        };
        let mut once = fields::Once::default();
        while let Some((tag, mut value)) = once.next(&mut body)? {
            match tag {
                0x01 => error.code = ErrorCode::from_wire(fields::number(&mut value)?),
                0x02 => error.text = fields::text(&value)?.to_owned(),
                0x03 => error.reference = fields::text(&value)?.to_owned(),
                0x04 => error.regressed = Some((fields::number(&mut value)?, fields::array(&mut value)?)),
                other => fields::unknown(other)?,
            }
        }
        Ok(error)
    }
}

fn durability(value: &mut Bytes) -> Result<Durability, Fault> {
    Durability::from_wire(fields::number(value)?).ok_or(Fault::protocol("a durability is not known here"))
}
