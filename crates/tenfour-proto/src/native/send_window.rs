//! A sender's producer: what is numbered and not yet settled. It outlives connections.

use std::collections::VecDeque;

use super::frame::Frame;
use super::transfer::MessageFrame;
use super::{Credit, Fault};
use crate::limits::MAX_FRAME_BODY;
use crate::{Message, ProducerId, Run, Settled, Settlement};

/// What an outbox remembers of a producer from before this process; all zero for a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResumeState {
    /// The last sequence that is settled.
    pub settled: u64,
    /// The last one with a receipt.
    pub receipted: u64,
    /// The last one that is numbered, and may have left.
    pub numbered: u64,
    /// Nothing comes after this one.
    pub end: Option<u64>,
    /// The store that gave the receipts.
    pub store: Option<[u8; 16]>,
    /// Earlier producers of which nothing will be repeated.
    pub finished: Vec<ProducerId>,
}

/// What is known of a message that has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is not stored: it never left, or the server said so.
    NotStored,
    /// It left, and nobody knows.
    Unknown,
}

#[derive(Debug)]
pub(super) struct SendWindow {
    /// Unsettled messages; the first has the sequence `settled + 1`.
    queue: VecDeque<Message>,
    settled: u64,
    receipted: u64,
    /// Handed whole to the connection of now.
    transmitted: u64,
    /// May have reached a server, on any connection.
    exposed: u64,
    /// No message comes after this one. What a server has above it was sent by another copy of the outbox.
    end: Option<u64>,
    /// The highest mark a server named: up to here something is stored under our identity, by us or by
    /// whoever used the same id before.
    high_water_mark: u64,
    /// What the server of now has settled or may settle: a receipt above it is a lie.
    acceptable: u64,
    /// How much of the message after `transmitted` has gone.
    progress: Option<usize>,
    bytes_in_flight: usize,
    /// Of all bodies in the queue.
    bytes: usize,
}

impl SendWindow {
    pub(super) fn new(resume_state: &ResumeState) -> Self {
        SendWindow {
            queue: VecDeque::new(),
            settled: resume_state.settled,
            receipted: resume_state.receipted,
            transmitted: resume_state.settled,
            exposed: resume_state.numbered,
            end: resume_state.end,
            high_water_mark: 0,
            acceptable: resume_state.settled,
            progress: None,
            bytes_in_flight: 0,
            bytes: 0,
        }
    }

    pub(super) fn push(&mut self, message: Message) -> u64 {
        self.bytes += message.body.len();
        self.queue.push_back(message);
        self.last_numbered()
    }

    pub(super) fn last_numbered(&self) -> u64 {
        self.settled + self.queue.len() as u64
    }

    pub(super) fn settled(&self) -> u64 {
        self.settled
    }

    pub(super) fn receipted(&self) -> u64 {
        self.receipted
    }

    pub(super) fn is_all_transmitted(&self) -> bool {
        self.transmitted >= self.last_numbered()
    }

    pub(super) fn unsettled(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn unsettled_bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn fate(&self, sequence: u64) -> DeliveryState {
        if sequence <= self.exposed.max(self.high_water_mark) {
            DeliveryState::Unknown
        } else {
            DeliveryState::NotStored
        }
    }

    /// A new connection to a server with this mark. A producer of our own goes on behind what the server has,
    /// whose receipts will come; otherwise everything without an answer is sent again.
    pub(super) fn resume(&mut self, high_water_mark: u64, own: bool) -> Result<(), Fault> {
        let high_water_mark = high_water_mark.min(self.end.unwrap_or(u64::MAX));
        if own && high_water_mark > self.exposed {
            return Err(Fault::protocol(
                "the server has messages of this stream that were never sent",
            ));
        }
        self.high_water_mark = self.high_water_mark.max(high_water_mark);
        self.restart_after(if own {
            self.settled.max(high_water_mark)
        } else {
            self.settled
        });
        Ok(())
    }

    fn restart_after(&mut self, last: u64) {
        self.transmitted = last;
        self.acceptable = last;
        self.progress = None;
        self.bytes_in_flight = self
            .queue
            .iter()
            .take(usize::try_from(last - self.settled).unwrap_or(usize::MAX))
            .map(|message| message.body.len())
            .sum();
    }

    /// The server said that nothing above `settled` is stored, and nothing sent so far will be.
    pub(super) fn nothing_stored_above(&mut self, settled: u64) -> Result<(), Fault> {
        if settled != self.settled {
            return Err(Fault::protocol("a pause does not fit the receipts before it"));
        }
        self.exposed = settled;
        self.restart_after(settled);
        Ok(())
    }

    /// Checks that `settlement` speaks of exactly what is next, and takes it off the queue. Gives what it says of
    /// messages of ours.
    pub(super) fn settle(&mut self, settlement: Settlement) -> Result<Settlement, Fault> {
        let settlement = match self.end {
            Some(end) if settlement.settled > end => settlement.up_to(end),
            _ => settlement,
        };
        self.check_and_settle(&settlement)?;
        Ok(settlement)
    }

    fn check_and_settle(&mut self, settlement: &Settlement) -> Result<(), Fault> {
        if settlement.settled > self.acceptable {
            return Err(Fault::protocol("a receipt for something never sent"));
        }
        let mut expected = self.settled.saturating_add(1);
        for piece in settlement.in_order() {
            let (first, last) = match piece {
                Settled::Stored(run) => (run.first, run.last()),
                Settled::Refused(refusal) => (refusal.first, refusal.last()),
            };
            if first != expected {
                return Err(Fault::protocol(
                    "a receipt leaves out a message, or names one twice",
                ));
            }
            expected = last.saturating_add(1);
            if let Settled::Stored(run) = piece {
                self.check_mailbox(run)?;
            }
        }
        if expected != settlement.settled.saturating_add(1) {
            return Err(Fault::protocol("a receipt settles more than it names"));
        }
        if let Some(run) = settlement.runs.last() {
            self.receipted = run.last();
        }
        while self.settled < settlement.settled {
            let Some(message) = self.queue.pop_front() else {
                return Err(Fault::protocol("a receipt for something never sent"));
            };
            self.settled += 1;
            self.bytes = self.bytes.saturating_sub(message.body.len());
            self.bytes_in_flight = self.bytes_in_flight.saturating_sub(message.body.len());
        }
        self.transmitted = self.transmitted.max(self.settled);
        Ok(())
    }

    /// A receipt that names another mailbox than the message did is not for this message.
    fn check_mailbox(&self, run: &Run) -> Result<(), Fault> {
        let skip = usize::try_from(run.first.saturating_sub(self.settled + 1)).unwrap_or(usize::MAX);
        let count = usize::try_from(run.count).unwrap_or(usize::MAX);
        let named = self.queue.iter().skip(skip).take(count);
        if named.into_iter().all(|message| message.mailbox == run.mailbox) {
            Ok(())
        } else {
            Err(Fault::protocol(
                "a receipt names another mailbox than the message",
            ))
        }
    }

    /// Appends frames up to about `room` bytes, as far as `credit` goes.
    pub(super) fn transmit(&mut self, out: &mut Vec<u8>, room: usize, credit: Credit, max_message: u32) {
        let start = out.len();
        while out.len() - start < room {
            let in_flight = self.transmitted - self.settled;
            let Some(message) = self.queue.get(usize::try_from(in_flight).unwrap_or(usize::MAX)) else {
                return;
            };
            let length = message.body.len();
            let sequence = self.transmitted + 1;
            let sent = match self.progress {
                Some(sent) => {
                    let part = message.body.slice(sent..length.min(sent + MAX_FRAME_BODY));
                    let sent = sent + part.len();
                    Frame::Part(part).encode(out);
                    sent
                }
                None => {
                    let over = self.bytes_in_flight + length > credit.bytes as usize;
                    if in_flight >= u64::from(credit.messages) || (over && in_flight > 0) {
                        return;
                    }
                    let withheld = length > max_message as usize;
                    let frame = MessageFrame::starting(sequence, message, withheld);
                    let sent = if withheld { length } else { frame.body.len() };
                    Frame::Message(frame).encode(out);
                    self.exposed = self.exposed.max(sequence);
                    sent
                }
            };
            if sent < length {
                self.progress = Some(sent);
            } else {
                self.progress = None;
                self.bytes_in_flight += length;
                self.transmitted = sequence;
                self.acceptable = self.acceptable.max(sequence);
            }
        }
    }
}
