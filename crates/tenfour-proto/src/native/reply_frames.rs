//! Frames of answering: from the reader who handled a message to the server, and from the server to who had asked.

use bytes::Bytes;

use super::{Fault, fields};
use crate::Reply;
use crate::limits::MAX_REPLY;

/// To who asked: the reply to a message of its producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyFrame {
    /// The number that the producer gave the message.
    pub sequence: u64,
    /// What came back.
    pub reply: Reply,
}

/// From a reader: a message that its cursor gave out is done, with this reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerFrame {
    pub(super) request: u32,
    /// The message's place in the mailbox that is read.
    pub offset: u64,
    /// What goes back.
    pub reply: Reply,
}

/// How it ended: a code follows, or nobody could do it.
const ANSWERED: u8 = 0;
const DEAD: u8 = 1;

fn put(reply: &Reply, out: &mut Vec<u8>) {
    out.push(if reply.code.is_some() { ANSWERED } else { DEAD });
    out.push(reply.code.unwrap_or(0));
    out.extend_from_slice(&reply.body);
}

fn take(mut body: Bytes) -> Result<Reply, Fault> {
    let outcome = fields::number::<u8>(&mut body)?;
    let code = fields::number::<u8>(&mut body)?;
    let code = match outcome {
        ANSWERED => Some(code),
        DEAD => None,
        _ => return Err(Fault::protocol("a reply has an outcome that is not known here")),
    };
    Ok(Reply { code, body })
}

impl ReplyFrame {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.sequence.to_be_bytes());
        put(&self.reply, out);
    }

    pub(super) fn decode(mut body: Bytes) -> Result<Self, Fault> {
        Ok(ReplyFrame {
            sequence: fields::number(&mut body)?,
            reply: take(body)?,
        })
    }
}

impl AnswerFrame {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request.to_be_bytes());
        out.extend_from_slice(&self.offset.to_be_bytes());
        put(&self.reply, out);
    }

    pub(super) fn decode(mut body: Bytes) -> Result<Self, Fault> {
        let frame = AnswerFrame {
            request: fields::number(&mut body)?,
            offset: fields::number(&mut body)?,
            reply: take(body)?,
        };
        if frame.reply.code.is_none() {
            return Err(Fault::protocol("ANSWER without a code"));
        }
        if frame.reply.body.len() > MAX_REPLY {
            return Err(Fault::protocol("a reply is longer than one may be"));
        }
        Ok(frame)
    }
}
