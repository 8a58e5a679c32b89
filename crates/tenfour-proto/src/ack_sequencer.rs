//! Keeps a producer's answers in order: what the store settled, and what was refused before it got there.

use std::collections::VecDeque;

use crate::{RefusalCode, Refused, Settlement};

/// Sequences are settled in their order, though some are refused at once and others wait for a flush.
#[derive(Debug)]
pub(crate) struct AckSequencer {
    settled: u64,
    /// Refused, but a lower sequence still waits for the store.
    waiting: VecDeque<Refused>,
}

impl AckSequencer {
    /// A ledger in which everything up to `settled` has been answered.
    pub(crate) fn new(settled: u64) -> Self {
        AckSequencer {
            settled,
            waiting: VecDeque::new(),
        }
    }

    /// The highest sequence that has been answered.
    pub(crate) fn settled(&self) -> u64 {
        self.settled
    }

    /// Refuses `sequence`. The answer comes back at once if nothing lower is waiting, else with the next settlement. A
    /// higher one may have been refused before: what is too large is known sooner than what is not allowed.
    pub(crate) fn refuse(&mut self, sequence: u64, code: RefusalCode) -> Option<Settlement> {
        let place = self.waiting.partition_point(|refusal| refusal.first < sequence);
        self.waiting.insert(place, Refused::one(sequence, code));
        let mut answer = Settlement::default();
        self.take_next(&mut answer);
        (!answer.refused.is_empty()).then(|| self.close(answer))
    }

    /// Adds the refusals that belong between and directly behind what the store settled.
    pub(crate) fn settle(&mut self, mut answer: Settlement) -> Settlement {
        let from_store = std::mem::take(&mut answer.refused);
        for refusal in from_store {
            self.take_below(refusal.first, &mut answer);
            answer.refused.push(refusal);
        }
        self.take_below(answer.settled, &mut answer);
        self.settled = self.settled.max(answer.settled);
        self.take_next(&mut answer);
        self.close(answer)
    }

    /// Forgets the refusals that were not answered: their messages will come again.
    pub(crate) fn forget_waiting(&mut self) {
        self.waiting.clear();
    }

    fn take_below(&mut self, sequence: u64, answer: &mut Settlement) {
        while self.waiting.front().is_some_and(|r| r.first < sequence)
            && let Some(refusal) = self.waiting.pop_front()
        {
            answer.refused.push(refusal);
        }
    }

    fn take_next(&mut self, answer: &mut Settlement) {
        let mut next = self.settled + 1;
        while self.waiting.front().is_some_and(|r| r.first == next)
            && let Some(refusal) = self.waiting.pop_front()
        {
            answer.refused.push(refusal);
            self.settled = next;
            next += 1;
        }
    }

    fn close(&self, mut answer: Settlement) -> Settlement {
        answer.settled = self.settled;
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MailboxName, Run};

    fn run(first: u64, count: u64) -> Run {
        Run {
            first,
            count,
            mailbox: MailboxName::inbox(),
            offset: first,
            duplicate: false,
        }
    }

    /// A message that was not allowed, and behind it one that was too large, in one read: the second was refused first,
    /// the answers stood in that order, and the client took them for a breach of the protocol, for ever. Found by
    /// tests/schedules.rs with seed 210.
    #[test]
    fn refusals_come_in_the_order_of_their_sequences() {
        let mut sequencer = AckSequencer::new(6);
        assert_eq!(sequencer.refuse(8, RefusalCode::TooLarge), None);
        let answer = sequencer.refuse(7, RefusalCode::NotAllowed).unwrap();
        assert_eq!(answer.settled, 8);
        let sequences: Vec<u64> = answer.refused.iter().map(|refusal| refusal.first).collect();
        assert_eq!(sequences, [7, 8]);
    }

    #[test]
    fn a_refusal_waits_for_what_came_before_it() {
        let mut sequencer = AckSequencer::new(0);
        assert_eq!(sequencer.refuse(2, RefusalCode::TooLarge), None);
        assert_eq!(sequencer.refuse(4, RefusalCode::NotAllowed), None);
        let answer = sequencer.settle(Settlement {
            settled: 1,
            runs: vec![run(1, 1)],
            refused: vec![],
        });
        assert_eq!(
            (answer.settled, answer.refused),
            (2, vec![Refused::one(2, RefusalCode::TooLarge)])
        );
        let answer = sequencer.settle(Settlement {
            settled: 6,
            runs: vec![run(3, 1), run(6, 1)],
            refused: vec![Refused::one(5, RefusalCode::Conflict)],
        });
        assert_eq!(answer.settled, 6);
        assert_eq!(
            answer.refused,
            vec![
                Refused::one(4, RefusalCode::NotAllowed),
                Refused::one(5, RefusalCode::Conflict)
            ]
        );
        assert_eq!(sequencer.refuse(7, RefusalCode::BadMailbox).unwrap().settled, 7);
    }

    #[test]
    fn what_was_forgotten_is_answered_when_it_comes_again() {
        let mut sequencer = AckSequencer::new(3);
        assert_eq!(sequencer.refuse(5, RefusalCode::TooLarge), None);
        sequencer.forget_waiting();
        let settled = |last| Settlement {
            settled: last,
            runs: vec![run(last, 1)],
            refused: vec![],
        };
        assert!(sequencer.settle(settled(4)).refused.is_empty());
        assert_eq!(sequencer.refuse(5, RefusalCode::TooLarge).unwrap().settled, 5);
        assert_eq!(sequencer.settle(settled(6)).settled, 6);
    }
}
