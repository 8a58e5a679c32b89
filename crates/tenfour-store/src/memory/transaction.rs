//! One commit of a store in memory: what the ledger has decided is kept.

use std::collections::HashSet;
use std::convert::Infallible;

use tenfour_proto::{Message, Reply};

use super::producers::Producers;
use super::shared::{Kept, OVERHEAD, Shared};
use crate::Batch;
use crate::cursor::CursorChange;
use crate::ledger::{Comparison, Engine, Letter, Need, Opened, PlacedRun, ProducerState, Question};
use crate::policy::Policy;
use crate::replies;
use crate::retention::Rules;

/// Of the limit, what senders without an identity leave to the others.
const RESERVE_SHARE: u64 = 10;

/// One commit under way. Nothing in it can fail, so nothing is ever taken back.
pub(super) struct Transaction<'a> {
    pub(super) shared: &'a mut Shared,
    pub(super) producers: &'a mut Producers,
    pub(super) limit: u64,
    pub(super) rules: Option<&'a Rules>,
    /// By the wall clock, in microseconds.
    pub(super) time: i64,
    /// Since the store was opened.
    pub(super) hours: i64,
    /// Whose messages come now.
    pub(super) batch: Option<(&'a Batch, u32)>,
}

impl<'a> Engine<'a> for Transaction<'a> {
    type Error = Infallible;

    fn has_room(&mut self, need: Need, is_synthetic: bool) -> bool {
        let messages = need.messages * OVERHEAD + need.message_bytes;
        let replies = need.replies * replies::OVERHEAD + need.reply_bytes;
        let reserve = if is_synthetic {
            self.limit / RESERVE_SHARE
        } else {
            0
        };
        self.shared.used + messages + replies <= self.limit - reserve
    }

    fn synthetic_bytes(&mut self) -> u64 {
        self.shared.synthetic
    }

    fn closed_to_synthetic(&self) -> &HashSet<i64> {
        &self.shared.closed
    }

    fn open_producer(&mut self, batch: &'a Batch, policy: Policy) -> Result<Opened, Infallible> {
        let state = self.producers.open(batch, policy, self.hours, self.shared);
        self.batch = state.map(|state| (batch, state.row as u32));
        Ok(state.map_or(Opened::TooMany, Opened::Open))
    }

    fn save_producer(&mut self, batch: &'a Batch, state: ProducerState) -> Result<(), Infallible> {
        self.producers.save(batch, state);
        Ok(())
    }

    fn keep_run(&mut self, producer: i64, run: PlacedRun) -> Result<(), Infallible> {
        self.producers.keep_run(producer, run);
        Ok(())
    }

    fn earlier_run(&mut self, producer: i64, sequence: u64) -> Result<Option<PlacedRun>, Infallible> {
        Ok(self.producers.earlier_run(producer, sequence))
    }

    fn append(&mut self, mailbox: i64, _offset: u64, sequence: u64, message: &'a Message) {
        let Some((batch, producer)) = self.batch else {
            return;
        };
        let kept = Kept {
            producer,
            is_synthetic: batch.sender.is_synthetic(),
            sequence: if batch.producer.is_some() { sequence } else { 0 },
            time: self.time,
            source: Some(batch.source),
            origin: None,
            message: message.clone(),
        };
        self.shared.push(mailbox, kept, self.rules);
    }

    fn compare(&mut self, mailbox: i64, offset: u64, message: &Message) -> Result<Comparison, Infallible> {
        Ok(match self.at(mailbox, offset) {
            Some(kept) if kept.message == *message => Comparison::Same,
            Some(_) => Comparison::Different,
            None => Comparison::Gone,
        })
    }

    fn has_cursor(&mut self, change: &CursorChange) -> Result<bool, Infallible> {
        let key = (change.mailbox.clone(), change.name.clone());
        Ok(self.shared.cursors.contains_key(&key))
    }

    fn count_cursors(&mut self) -> Result<usize, Infallible> {
        Ok(self.shared.cursors.len())
    }

    fn move_cursor(&mut self, change: &CursorChange) -> Result<(), Infallible> {
        let key = (change.mailbox.clone(), change.name.clone());
        self.shared.cursors.entry(key).or_default().advance(change);
        Ok(())
    }

    fn letter(&mut self, _: &CursorChange, mailbox: i64, offset: u64) -> Result<Option<Letter>, Infallible> {
        Ok(self.at(mailbox, offset).map(|kept| Letter {
            producer: kept.producer.into(),
            sequence: kept.sequence,
            source: kept.source,
            origin: kept.origin.as_deref().cloned(),
            is_synthetic: kept.is_synthetic,
            message: kept.message.clone(),
        }))
    }

    fn bury(&mut self, mailbox: i64, _offset: u64, letter: Letter) -> Result<(), Infallible> {
        let kept = Kept {
            producer: letter.producer as u32,
            is_synthetic: letter.is_synthetic,
            sequence: letter.sequence,
            time: self.time,
            source: letter.source,
            origin: letter.origin.map(Box::new),
            message: letter.message,
        };
        self.shared.push(mailbox, kept, self.rules);
        Ok(())
    }

    fn question(&mut self, mailbox: i64, offset: u64) -> Result<Option<Question>, Infallible> {
        Ok(self.asked(mailbox, offset))
    }

    fn keep_reply(&mut self, question: &Question, reply: &Reply) -> Result<bool, Infallible> {
        let asked = (question.sender.clone(), question.producer, question.sequence);
        let size = self.shared.replies.put(&asked, reply, self.hours);
        self.shared.used += size.unwrap_or(0);
        Ok(size.is_some())
    }
}

impl Transaction<'_> {
    fn at(&self, mailbox: i64, offset: u64) -> Option<&Kept> {
        self.shared.boxes.get(&mailbox)?.get(offset)
    }

    fn asked(&self, mailbox: i64, offset: u64) -> Option<Question> {
        let kept = self
            .at(mailbox, offset)
            .filter(|kept| kept.message.asks && kept.sequence > 0)?;
        let (sender, producer) = self.shared.senders.get(kept.producer as usize)?;
        Some(Question {
            row: kept.producer.into(),
            sender: sender.clone(),
            producer: *producer,
            sequence: kept.sequence,
        })
    }
}
