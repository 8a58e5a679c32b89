//! What a batch means: new messages are appended, repeats are answered from the runs, conflicts refused.
//!
//! The one place where identity becomes *exactly once*.

use tenfour_proto::{MailboxName, Message, RefusalCode, Refused, Run, Settlement, Stored};

use super::engine::{Comparison, Engine, PlacedRun, ProducerState};
use crate::batch::Batch;
use crate::mailboxes::Mailboxes;

/// Walks through the messages of one batch. With `in_turn` only the sequence behind the mark is stored; one that
/// comes out of turn is in no run and not refused.
pub(crate) fn deposit<'a, E: Engine<'a>>(
    engine: &mut E,
    mailboxes: &mut Mailboxes,
    mut producer: Option<&mut ProducerState>,
    in_turn: bool,
    batch: &'a Batch,
) -> Result<Settlement, E::Error> {
    let mut settlement = Settlement::default();
    for (sequence, message) in &batch.messages {
        let sequence = *sequence;
        if in_turn
            && producer
                .as_deref()
                .is_some_and(|producer| sequence > producer.high_water_mark + 1)
        {
            continue;
        }
        settlement.settled = sequence;
        if let Some(producer) = producer.as_deref_mut()
            && sequence <= producer.high_water_mark
        {
            match repeat(engine, mailboxes, producer, sequence, message)? {
                Ok((mailbox, offset)) => extend(&mut settlement.runs, sequence, &mailbox, offset, true),
                Err(code) => settlement.refused.push(Refused::one(sequence, code)),
            }
            continue;
        }
        let Some(mailbox) = mailboxes.open(&message.mailbox, Some(&batch.sender)) else {
            settlement
                .refused
                .push(Refused::one(sequence, RefusalCode::TooManyMailboxes));
            continue;
        };
        mailbox.last += 1;
        mailbox.raised = true;
        let (id, offset) = (mailbox.id, mailbox.last);
        engine.append(id, offset, sequence, message);
        extend(&mut settlement.runs, sequence, &message.mailbox, offset, false);
        if let Some(producer) = producer.as_deref_mut() {
            producer.high_water_mark = sequence;
            match &mut producer.last_run {
                Some(run)
                    if run.mailbox == id
                        && run.first + run.count == sequence
                        && run.offset + run.count == offset =>
                {
                    run.count += 1;
                }
                last => {
                    let new = PlacedRun {
                        first: sequence,
                        count: 1,
                        mailbox: id,
                        offset,
                    };
                    if let Some(old) = last.replace(new) {
                        engine.keep_run(producer.row, old)?;
                    }
                }
            }
        }
    }
    Ok(settlement)
}

/// A sequence at or below the mark: it was stored, and then this is a repeat or a conflict; or it was refused.
fn repeat<'a, E: Engine<'a>>(
    engine: &mut E,
    mailboxes: &Mailboxes,
    producer: &ProducerState,
    sequence: u64,
    message: &Message,
) -> Result<Result<(MailboxName, u64), RefusalCode>, E::Error> {
    let last = producer
        .last_run
        .and_then(|run| Some((run.mailbox, run.offset_of(sequence)?)));
    let place = match last {
        Some(place) => Some(place),
        None => engine
            .earlier_run(producer.row, sequence)?
            .and_then(|run| Some((run.mailbox, run.offset_of(sequence)?))),
    };
    let Some((id, offset)) = place else {
        return Ok(Err(RefusalCode::RefusedEarlier));
    };
    let Some(mailbox) = mailboxes
        .by_id(id)
        .filter(|mailbox| mailbox.name == message.mailbox)
    else {
        return Ok(Err(RefusalCode::Conflict));
    };
    Ok(match engine.compare(id, offset, message)? {
        Comparison::Same | Comparison::Gone => Ok((mailbox.name.clone(), offset)),
        Comparison::Different => Err(RefusalCode::Conflict),
    })
}

/// Adds one message to the last run of an answer, or begins another.
pub(crate) fn extend(runs: &mut Vec<Run>, first: u64, mailbox: &MailboxName, offset: u64, duplicate: bool) {
    if let Some(run) = runs.last_mut()
        && run.duplicate == duplicate
        && run.first + run.count == first
        && run.offset + run.count == offset
        && run.mailbox == *mailbox
    {
        run.count += 1;
    } else {
        runs.push(Run {
            first,
            count: 1,
            mailbox: mailbox.clone(),
            offset,
            duplicate,
        });
    }
}

/// The answer to a client that continues a producer: what is above `after` in the first `most` runs, holes being
/// refusals. `runs` ends with the run at the mark, or has more than `most` of them.
pub fn replay(
    mailboxes: &Mailboxes,
    runs: impl IntoIterator<Item = PlacedRun>,
    after: u64,
    most: usize,
) -> Stored {
    let mut settlement = Settlement {
        settled: after,
        ..Settlement::default()
    };
    let mut next = after + 1;
    let out_of_order = runs.into_iter().filter(|run| run.first + run.count > after + 1);
    for run in out_of_order.take(most) {
        let end = run.first + run.count;
        settlement.settled = end - 1;
        let Some(mailbox) = mailboxes.by_id(run.mailbox) else {
            continue;
        };
        if next < run.first {
            settlement.refused.push(Refused {
                first: next,
                count: run.first - next,
                code: RefusalCode::RefusedEarlier,
            });
            next = run.first;
        }
        settlement.runs.push(Run {
            first: next,
            count: end - next,
            mailbox: mailbox.name.clone(),
            offset: run.offset + (next - run.first),
            duplicate: true,
        });
        next = end;
    }
    Stored::after_commit(settlement)
}
