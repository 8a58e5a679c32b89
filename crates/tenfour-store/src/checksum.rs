//! The checksum of a message: CRC-32 (IEEE) over everything a reader is told.

use crc32fast::Hasher;
use tenfour_proto::{Message, Origin, ProducerId, Reply};

/// What is the same for all messages of a sender's producer, hashed once.
#[derive(Clone, Debug)]
pub struct Prefix(Hasher);

impl Prefix {
    /// Of that producer.
    pub fn new(sender: &str, producer: ProducerId) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(sender.as_bytes());
        hasher.update(&[0]);
        hasher.update(producer.as_bytes());
        Prefix(hasher)
    }

    /// The checksum of one message; `source` and `origin` as they are stored. Each part is preceded by its length, so that no
    /// two messages are hashed from the same bytes.
    pub fn of(
        &self,
        offset: u64,
        sequence: u64,
        time: i64,
        source: Option<&str>,
        origin: Option<&Origin>,
        message: &Message,
    ) -> u32 {
        let source = source.unwrap_or("");
        let origin = origin.map(Origin::to_string).unwrap_or_default();
        let content_type = message.content_type.as_ref().map_or("", |t| t.as_str());
        let name = message.name.as_ref().map_or("", |n| n.as_str());
        let mailbox = message.mailbox.as_str();
        let mut head = [0; 32];
        let fields = [
            offset,
            sequence,
            time as u64,
            u64::from(message.asks) << 63
                | (source.len() as u64) << 48
                | (origin.len() as u64) << 40
                | lengths(mailbox, content_type, name),
        ];
        for (slot, field) in head.chunks_exact_mut(8).zip(fields) {
            slot.copy_from_slice(&field.to_le_bytes());
        }
        let mut hasher = self.0.clone();
        hasher.update(&head);
        hasher.update(mailbox.as_bytes());
        hasher.update(content_type.as_bytes());
        hasher.update(name.as_bytes());
        hasher.update(source.as_bytes());
        hasher.update(origin.as_bytes());
        hasher.update(&message.body);
        hasher.finalize()
    }
}

/// The checksum of a reply to a message of that producer.
pub fn reply_sum(producer: i64, sequence: u64, reply: &Reply) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&producer.to_le_bytes());
    hasher.update(&sequence.to_le_bytes());
    hasher.update(&[u8::from(reply.code.is_some()), reply.code.unwrap_or(0)]);
    hasher.update(&reply.body);
    hasher.finalize()
}

/// Each is at most 255, so they fit side by side.
fn lengths(mailbox: &str, content_type: &str, name: &str) -> u64 {
    (mailbox.len() as u64) << 32 | (content_type.len() as u64) << 16 | name.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenfour_proto::MailboxName;

    #[test]
    fn every_part_counts() {
        let producer = ProducerId::from_bytes([1; 16]);
        let prefix = Prefix::new("anonymous", producer);
        let message = Message::new(MailboxName::inbox(), "body");
        let from = Some("text [::1]:1");
        let sum = prefix.of(1, 2, 3, from, None, &message);
        let named = message.clone().with_name("n".parse().unwrap());
        let typed = message.clone().with_content_type("n".parse().unwrap());
        let asking = message.clone().asking();
        let elsewhere = Message::new("outbox".parse().unwrap(), "body");
        for other in [
            prefix.of(2, 2, 3, from, None, &message),
            prefix.of(1, 1, 3, from, None, &message),
            prefix.of(1, 2, 4, from, None, &message),
            prefix.of(1, 2, 3, None, None, &message),
            prefix.of(1, 2, 3, Some("text"), None, &message),
            prefix.of(1, 2, 3, Some("text [::1]:2"), None, &message),
            prefix.of(1, 2, 3, from, Some(&"inbox 7".parse().unwrap()), &message),
            prefix.of(1, 2, 3, from, None, &named),
            prefix.of(1, 2, 3, from, None, &typed),
            prefix.of(1, 2, 3, from, None, &asking),
            prefix.of(1, 2, 3, from, None, &elsewhere),
            Prefix::new("somebody", producer).of(1, 2, 3, from, None, &message),
            Prefix::new("anonymous", ProducerId::from_bytes([2; 16])).of(1, 2, 3, from, None, &message),
        ] {
            assert_ne!(sum, other);
        }
    }
}
