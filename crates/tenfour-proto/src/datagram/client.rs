//! The sender's side: one message, repeated until there is a receipt.

use std::time::Duration;

use super::packet::{Receipt, Request, Verdict};
use crate::Moment;

/// First and longest pause before the datagram is sent again. Doubled each time: whoever does not answer may be
/// overwhelmed.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server answered.
    Answered(Verdict),
    /// It did not in time: nobody knows.
    NoAnswer,
}

/// The machine. Send what [`poll_transmit`](Self::poll_transmit) gives, wait for a datagram or until
/// [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Client {
    request: Request,
    next: Moment,
    pause: Duration,
    deadline: Moment,
}

impl Client {
    /// Sends from `now` on, and gives up at `deadline`.
    pub fn new(request: Request, now: Moment, deadline: Moment) -> Self {
        Client {
            request,
            next: now,
            pause: PAUSES.0,
            deadline,
        }
    }

    /// The datagram, if it is to be sent now.
    pub fn poll_transmit(&mut self, now: Moment) -> Option<Vec<u8>> {
        if now < self.next || now >= self.deadline {
            return None;
        }
        self.next = now + self.pause;
        self.pause = (self.pause * 2).min(PAUSES.1);
        Some(self.request.encode())
    }

    /// When there is something to do.
    pub fn poll_timeout(&self) -> Moment {
        self.next.min(self.deadline)
    }

    /// Takes a datagram that arrived; anything but the receipt of this very message is ignored.
    pub fn handle_datagram(&self, datagram: &[u8]) -> Option<Outcome> {
        let receipt = Receipt::decode(datagram).ok()?;
        let ours = receipt.producer == self.request.producer && receipt.sequence == self.request.sequence;
        ours.then_some(Outcome::Answered(receipt.verdict))
    }

    /// The outcome, once the time is over.
    pub fn handle_timeout(&self, now: Moment) -> Option<Outcome> {
        (now >= self.deadline).then_some(Outcome::NoAnswer)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{ProducerId, RefusalCode};

    fn at(milliseconds: u64) -> Moment {
        Moment::after_start(Duration::from_millis(milliseconds))
    }

    fn client() -> Client {
        let request = Request {
            producer: ProducerId::of_key("k"),
            sequence: 1,
            mailbox: "inbox".parse().unwrap(),
            body: Bytes::from_static(b"hi"),
        };
        Client::new(request, at(0), at(1_000))
    }

    #[test]
    fn it_repeats_with_growing_pauses_until_the_deadline() {
        let mut client = client();
        let mut sent = Vec::new();
        for now in 0..2_000 {
            if client.poll_transmit(at(now)).is_some() {
                sent.push(now);
            }
            if client.handle_timeout(at(now)).is_some() {
                break;
            }
        }
        assert_eq!(sent, [0, 200, 600]);
        assert_eq!(client.handle_timeout(at(1_000)), Some(Outcome::NoAnswer));
    }

    #[test]
    fn only_its_own_receipt_counts() {
        let client = client();
        let receipt = |producer, sequence| Receipt {
            producer,
            sequence,
            verdict: Verdict::Refused(RefusalCode::Conflict),
        };
        let own = ProducerId::of_key("k");
        for foreign in [receipt(ProducerId::of_key("other"), 1), receipt(own, 2)] {
            assert_eq!(client.handle_datagram(&foreign.encode()), None);
        }
        assert_eq!(client.handle_datagram(b"nonsense"), None);
        assert_eq!(
            client.handle_datagram(&receipt(own, 1).encode()),
            Some(Outcome::Answered(Verdict::Refused(RefusalCode::Conflict)))
        );
    }
}
