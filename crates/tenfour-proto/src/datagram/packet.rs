//! The bytes of a datagram with an identity, and of its receipt.
//!
//! | offset | request | receipt |
//! |---|---|---|
//! | 0 | magic, version 1, kind 0 | magic, version 1, kind 1 |
//! | 8 | 16 bytes of producer id | the same |
//! | 24 | u64 sequence | the same |
//! | 32 | u8 length of the mailbox | u8 verdict |
//! | 33 | u8 zero | u8 durability |
//! | 34 | u16 length of the padding | u16 refusal code |
//! | 36 | mailbox, padding, body | u64 offset, u8 length of the mailbox, mailbox |

use bytes::Bytes;

use crate::{Durability, MailboxName, ProducerId, RefusalCode, Stored};

/// `10-4`, then bytes that no text has.
const MAGIC: [u8; 6] = [b'1', b'0', b'-', b'4', 0x00, 0xff];
const VERSION: u8 = 1;
const REQUEST: u8 = 0;
const RECEIPT: u8 = 1;

/// Fixed part of a request.
const REQUEST_HEAD: usize = 36;

/// Fixed part of a receipt.
const RECEIPT_HEAD: usize = 45;

/// Longest payload of a UDP datagram over IPv4: 65,535 less the headers of IP and UDP.
pub const MAX_DATAGRAM: usize = 65_507;

/// The datagram begins like one of ours: if it is malformed all the same, it is no plain message.
pub fn is_ours(datagram: &[u8]) -> bool {
    datagram.starts_with(&MAGIC)
}

/// A datagram that begins like ours and is none. It gets no answer: an answer to nonsense could be turned on somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a datagram with a malformed header")]
pub struct Malformed;

/// A message with an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The producer that numbers it.
    pub producer: ProducerId,
    /// Its number there, from 1.
    pub sequence: u64,
    /// Where it is to go.
    pub mailbox: MailboxName,
    /// The bytes.
    pub body: Bytes,
}

impl Request {
    /// Longest body that fits into one datagram with this mailbox.
    pub fn most(mailbox: &MailboxName) -> usize {
        MAX_DATAGRAM - REQUEST_HEAD - mailbox.as_str().len()
    }

    /// The datagram, padded so that its receipt is no longer than itself.
    pub fn encode(&self) -> Vec<u8> {
        let mailbox = self.mailbox.as_str().as_bytes();
        let padding = (RECEIPT_HEAD - REQUEST_HEAD).saturating_sub(self.body.len());
        let mut out = head(REQUEST, self.producer, self.sequence);
        out.push(u8::try_from(mailbox.len()).unwrap_or(u8::MAX));
        out.push(0);
        out.extend_from_slice(&u16::try_from(padding).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(mailbox);
        out.resize(out.len() + padding, 0);
        out.extend_from_slice(&self.body);
        out
    }

    /// Reads a datagram for which [`is_ours`] holds.
    pub fn decode(datagram: &[u8]) -> Result<Self, Malformed> {
        let mut rest = datagram;
        let (producer, sequence) = take_head(&mut rest, REQUEST)?;
        let [length, _, high, low] = take::<4>(&mut rest)?;
        let (length, padding) = (usize::from(length), usize::from(u16::from_be_bytes([high, low])));
        let mailbox = rest.get(..length).ok_or(Malformed)?;
        let mailbox = MailboxName::from_wire(mailbox).map_err(|_| Malformed)?;
        let body = rest.get(length + padding..).ok_or(Malformed)?;
        // Whoever wants more back than he gives is up to something.
        if datagram.len() < RECEIPT_HEAD + length {
            return Err(Malformed);
        }
        Ok(Request {
            producer,
            sequence,
            mailbox,
            body: Bytes::copy_from_slice(body),
        })
    }
}

/// What became of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is stored.
    Stored {
        /// Where.
        mailbox: MailboxName,
        /// At which place there.
        offset: u64,
        /// How safe it is.
        durability: Durability,
        /// It had been stored before.
        duplicate: bool,
    },
    /// It is not, and never will be.
    Refused(RefusalCode),
}

impl Verdict {
    /// What is said of a single message; `None` if nothing has become of it yet.
    pub fn of(stored: &Stored, durability: Durability) -> Option<Self> {
        let settlement = stored.settlement();
        let run = settlement.runs.first().map(|run| Verdict::Stored {
            mailbox: run.mailbox.clone(),
            offset: run.offset,
            durability,
            duplicate: run.duplicate,
        });
        run.or_else(|| Some(Verdict::Refused(settlement.refused.first()?.code)))
    }
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The producer of the request. A receipt without it is nobody's.
    pub producer: ProducerId,
    /// The sequence of the request.
    pub sequence: u64,
    /// What became of it.
    pub verdict: Verdict,
}

impl Receipt {
    /// The datagram.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = head(RECEIPT, self.producer, self.sequence);
        match &self.verdict {
            Verdict::Stored {
                mailbox,
                offset,
                durability,
                duplicate,
            } => {
                out.extend_from_slice(&[u8::from(*duplicate), durability.to_wire(), 0, 0]);
                out.extend_from_slice(&offset.to_be_bytes());
                let mailbox = mailbox.as_str().as_bytes();
                out.push(u8::try_from(mailbox.len()).unwrap_or(u8::MAX));
                out.extend_from_slice(mailbox);
            }
            Verdict::Refused(code) => {
                out.extend_from_slice(&[2, 0]);
                out.extend_from_slice(&code.to_wire().to_be_bytes());
                out.extend_from_slice(&[0; 9]);
            }
        }
        out
    }

    /// Reads a datagram for which [`is_ours`] holds.
    pub fn decode(datagram: &[u8]) -> Result<Self, Malformed> {
        let mut rest = datagram;
        let (producer, sequence) = take_head(&mut rest, RECEIPT)?;
        let [verdict, durability, high, low] = take::<4>(&mut rest)?;
        let offset = u64::from_be_bytes(take(&mut rest)?);
        let [length] = take(&mut rest)?;
        let mailbox = rest.get(..usize::from(length)).ok_or(Malformed)?;
        let verdict = match verdict {
            0 | 1 => Verdict::Stored {
                mailbox: MailboxName::from_wire(mailbox).map_err(|_| Malformed)?,
                offset,
                durability: Durability::from_wire(durability).ok_or(Malformed)?,
                duplicate: verdict == 1,
            },
            2 => Verdict::Refused(RefusalCode::from_wire(u16::from_be_bytes([high, low]))),
            _ => return Err(Malformed),
        };
        Ok(Receipt {
            producer,
            sequence,
            verdict,
        })
    }
}

fn head(kind: u8, producer: ProducerId, sequence: u64) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&[VERSION, kind]);
    out.extend_from_slice(producer.as_bytes());
    out.extend_from_slice(&sequence.to_be_bytes());
    out
}

fn take_head(rest: &mut &[u8], kind: u8) -> Result<(ProducerId, u64), Malformed> {
    if take(rest)? != MAGIC || take(rest)? != [VERSION, kind] {
        return Err(Malformed);
    }
    let producer: [u8; 16] = take(rest)?;
    let sequence = u64::from_be_bytes(take(rest)?);
    // The zero producer is that of messages without an identity; sequences fit a signed integer.
    if producer == [0; 16] || sequence == 0 || sequence >> 62 != 0 {
        return Err(Malformed);
    }
    Ok((ProducerId::from_bytes(producer), sequence))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (front, back) = rest.split_first_chunk().ok_or(Malformed)?;
    *rest = back;
    Ok(*front)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(mailbox: &str, body: &'static [u8]) -> Request {
        Request {
            producer: ProducerId::of_key("k"),
            sequence: 7,
            mailbox: mailbox.parse().unwrap(),
            body: Bytes::from_static(body),
        }
    }

    fn receipt(mailbox: &str) -> Receipt {
        Receipt {
            producer: ProducerId::of_key("k"),
            sequence: 7,
            verdict: Verdict::Stored {
                mailbox: mailbox.parse().unwrap(),
                offset: u64::MAX,
                durability: Durability::Disk,
                duplicate: true,
            },
        }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for body in [&b""[..], b"x", b"123456789", b"a longer one\0\xff"] {
            let datagram = request("a/b", body).encode();
            assert!(is_ours(&datagram));
            assert_eq!(Request::decode(&datagram), Ok(request("a/b", body)));
            assert_eq!(Receipt::decode(&datagram), Err(Malformed));
            assert!(
                receipt("a/b").encode().len() <= datagram.len(),
                "a receipt is never longer"
            );
        }
        let refused = Receipt {
            verdict: Verdict::Refused(RefusalCode::Conflict),
            ..receipt("a")
        };
        for receipt in [receipt("a/b"), refused] {
            assert_eq!(Receipt::decode(&receipt.encode()), Ok(receipt.clone()));
            assert_eq!(Request::decode(&receipt.encode()), Err(Malformed));
        }
    }

    /// The example of docs/protocol.md, section 17.
    #[test]
    fn the_bytes_are_those_of_the_document() {
        let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let producer = ProducerId::of_key("backup-7");
        let request = Request {
            producer,
            sequence: 1,
            ..request("inbox", b"hi")
        };
        assert_eq!(
            hex(request.encode()),
            "31302d3400ff01008ed05659347a3e2d35ac205f8d530580000000000000000105000007696e626f78000000000000006869"
        );
        let receipt = Receipt {
            producer,
            sequence: 1,
            verdict: Verdict::Stored {
                mailbox: "inbox".parse().unwrap(),
                offset: 1,
                durability: Durability::Disk,
                duplicate: false,
            },
        };
        assert_eq!(
            hex(receipt.encode()),
            "31302d3400ff01018ed05659347a3e2d35ac205f8d53058000000000000000010002000000000000000000010569 6e626f78".replace(' ', "")
        );
    }

    #[test]
    fn a_cut_datagram_is_never_taken_for_a_whole_header() {
        let whole = request("inbox", b"").encode();
        for cut in 0..whole.len() {
            assert_eq!(Request::decode(&whole[..cut]), Err(Malformed), "cut at {cut}");
        }
        let whole = receipt("inbox").encode();
        for cut in 0..whole.len() {
            assert_eq!(Receipt::decode(&whole[..cut]), Err(Malformed), "cut at {cut}");
        }
    }

    #[test]
    fn no_identity_no_request() {
        let mut zero_producer = request("inbox", b"hi");
        zero_producer.producer = ProducerId::from_bytes([0; 16]);
        let mut zero = request("inbox", b"hi");
        zero.sequence = 0;
        let mut huge = request("inbox", b"hi");
        huge.sequence = 1 << 62;
        for bad in [zero_producer, zero, huge] {
            assert_eq!(Request::decode(&bad.encode()), Err(Malformed));
        }
    }

    #[test]
    fn the_longest_body_fits_exactly() {
        let mailbox: MailboxName = "inbox".parse().unwrap();
        let body = Bytes::from(vec![1; Request::most(&mailbox)]);
        let longest = Request {
            body,
            ..request("inbox", b"")
        };
        assert_eq!(longest.encode().len(), MAX_DATAGRAM);
    }
}
