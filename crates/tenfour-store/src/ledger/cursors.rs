//! What a change of a cursor means: it moves, dead letters are copied and questions get their replies, all or nothing.

use tenfour_proto::{Origin, Reply};

use super::engine::{Engine, Letter, Need, Question};
use crate::batch::Answered;
use crate::cursor::{CursorChange, CursorOutcome, MAX_CURSORS};
use crate::mailboxes::Mailboxes;

pub(super) fn change<'a, E: Engine<'a>>(
    engine: &mut E,
    mailboxes: &mut Mailboxes,
    change: &CursorChange,
    answered: &mut Vec<Answered>,
) -> Result<CursorOutcome, E::Error> {
    if !engine.has_cursor(change)? && engine.count_cursors()? >= MAX_CURSORS {
        return Ok(CursorOutcome::TooMany);
    }
    let letters = letters(engine, mailboxes, change)?;
    let replies = replies(engine, mailboxes, change)?;
    let need = Need {
        messages: letters.len() as u64,
        message_bytes: letters
            .iter()
            .map(|letter| letter.message.body.len() as u64)
            .sum(),
        replies: replies.len() as u64,
        reply_bytes: replies.iter().map(|(_, reply)| reply.body.len() as u64).sum(),
    };
    // A cursor may move in the room that is kept free: reading is what helps.
    if !need.is_nothing() && !engine.has_room(need, false) {
        return Ok(CursorOutcome::NotNow);
    }
    if !letters.is_empty() {
        // Room first: what is opened here stays open.
        let Some(dead) = mailboxes.open(change.name.dead_letters(), None) else {
            return Ok(CursorOutcome::NotNow);
        };
        dead.raised = true;
        for letter in letters {
            dead.last += 1;
            engine.bury(dead.id, dead.last, letter)?;
        }
    }
    for (question, reply) in replies {
        if engine.keep_reply(&question, &reply)? {
            answered.push(Answered {
                sender: question.sender,
                producer: question.producer,
                sequence: question.sequence,
                reply,
            });
        }
    }
    engine.move_cursor(change)?;
    Ok(CursorOutcome::Moved)
}

/// Copies of what is buried, as they will lie there.
fn letters<'a, E: Engine<'a>>(
    engine: &mut E,
    mailboxes: &Mailboxes,
    change: &CursorChange,
) -> Result<Vec<Letter>, E::Error> {
    let Some(from) = mailboxes
        .find(&change.mailbox)
        .filter(|_| !change.bury.is_empty())
    else {
        return Ok(Vec::new());
    };
    let mut letters = Vec::with_capacity(change.bury.len());
    for offset in &change.bury {
        if let Some(mut letter) = engine.letter(change, from, *offset)? {
            letter.message.mailbox = change.name.dead_letters().clone();
            letter.origin.get_or_insert_with(|| Origin {
                mailbox: change.mailbox.clone(),
                offset: *offset,
            });
            letters.push(letter);
        }
    }
    Ok(letters)
}

/// The reply to each message that is done with by this, and asked: whoever's message is buried is told so.
fn replies<'a, E: Engine<'a>>(
    engine: &mut E,
    mailboxes: &Mailboxes,
    change: &CursorChange,
) -> Result<Vec<(Question, Reply)>, E::Error> {
    let Some(mailbox) = mailboxes.find(&change.mailbox) else {
        return Ok(Vec::new());
    };
    let dead = change.bury.iter().map(|offset| (*offset, Reply::dead()));
    let mut replies = Vec::new();
    for (offset, reply) in change.answers.iter().cloned().chain(dead) {
        replies.extend(
            engine
                .question(mailbox, offset)?
                .map(|question| (question, reply)),
        );
    }
    Ok(replies)
}
