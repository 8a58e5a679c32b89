//! One frame: what it says, and its bytes.

use bytes::Bytes;

use super::backup::{BackupEndFrame, BackupPart};
use super::handshake::{ErrorFrame, Hello, Welcome};
use super::reading::{ItemFrame, ProgressFrame, Progressed, ReadCredit, ReadEnd, ReadRequest};
use super::replying::{AnswerFrame, ReplyFrame};
use super::splitter::RawFrame;
use super::status::{EndFrame, RowFrame, StatusRequest};
use super::transfer::{Credit, MessageFrame, Pause, ReceiptFrame};
use super::{Fault, fields};
use crate::TemporaryCode;

/// A frame whose type is unknown and that carries this flag ends the connection; without it, it is skipped.
const CRITICAL: u8 = 0x80;

/// Everything that can be said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "each variant is described at its content and in docs/protocol.md"
)]
pub enum Frame {
    Hello(Hello),
    Welcome(Welcome),
    Error(ErrorFrame),
    Ping([u8; 8]),
    Pong([u8; 8]),
    GoAway(TemporaryCode),
    Close,
    Message(MessageFrame),
    Part(Bytes),
    Receipt(ReceiptFrame),
    Credit(Credit),
    Pause(Pause),
    Resume(u64),
    Await(u64),
    Reply(ReplyFrame),
    Read(ReadRequest),
    Item(ItemFrame),
    ReadCredit(ReadCredit),
    ReadEnd(ReadEnd),
    Progress(ProgressFrame),
    Progressed(Progressed),
    Answer(AnswerFrame),
    Status(StatusRequest),
    StatusRow(RowFrame),
    StatusEnd(EndFrame),
    Backup(u32),
    BackupPart(BackupPart),
    BackupEnd(BackupEndFrame),
}

/// Types of frames. Numbers are never used again.
mod kind {
    pub(super) const HELLO: u8 = 0x01;
    pub(super) const WELCOME: u8 = 0x02;
    pub(super) const ERROR: u8 = 0x03;
    pub(super) const PING: u8 = 0x04;
    pub(super) const PONG: u8 = 0x05;
    pub(super) const GOAWAY: u8 = 0x06;
    pub(super) const CLOSE: u8 = 0x07;
    pub(super) const MESSAGE: u8 = 0x10;
    pub(super) const PART: u8 = 0x11;
    pub(super) const RECEIPT: u8 = 0x12;
    pub(super) const CREDIT: u8 = 0x13;
    pub(super) const PAUSE: u8 = 0x14;
    pub(super) const RESUME: u8 = 0x15;
    pub(super) const AWAIT: u8 = 0x16;
    pub(super) const REPLY: u8 = 0x17;
    pub(super) const READ: u8 = 0x20;
    pub(super) const ITEM: u8 = 0x21;
    pub(super) const READ_CREDIT: u8 = 0x22;
    pub(super) const READ_END: u8 = 0x23;
    pub(super) const PROGRESS: u8 = 0x24;
    pub(super) const PROGRESSED: u8 = 0x25;
    pub(super) const ANSWER: u8 = 0x26;
    pub(super) const STATUS: u8 = 0x30;
    pub(super) const STATUS_ROW: u8 = 0x31;
    pub(super) const STATUS_END: u8 = 0x32;
    pub(super) const BACKUP: u8 = 0x33;
    pub(super) const BACKUP_PART: u8 = 0x34;
    pub(super) const BACKUP_END: u8 = 0x35;
}

impl Frame {
    /// Understands a frame; `None` for one that may be skipped.
    pub(super) fn decode(raw: RawFrame) -> Result<Option<Frame>, Fault> {
        let RawFrame {
            kind,
            flags,
            mut body,
        } = raw;
        Ok(Some(match kind {
            kind::MESSAGE => Frame::Message(MessageFrame::decode(flags, body)?),
            kind::PART => Frame::Part(body),
            kind::RECEIPT => Frame::Receipt(ReceiptFrame::decode(body)?),
            kind::PING => Frame::Ping(fields::array(&mut body)?),
            kind::PONG => Frame::Pong(fields::array(&mut body)?),
            kind::HELLO => Frame::Hello(Hello::decode(body)?),
            kind::WELCOME => Frame::Welcome(Welcome::decode(body)?),
            kind::ERROR => Frame::Error(ErrorFrame::decode(body)?),
            kind::GOAWAY => Frame::GoAway(TemporaryCode::from_wire(fields::number(&mut body)?)),
            kind::CLOSE => Frame::Close,
            kind::CREDIT => Frame::Credit(Credit::decode(body)?),
            kind::PAUSE => Frame::Pause(Pause::decode(body)?),
            kind::RESUME => Frame::Resume(fields::number(&mut body)?),
            kind::AWAIT => Frame::Await(fields::number(&mut body)?),
            kind::REPLY => Frame::Reply(ReplyFrame::decode(body)?),
            kind::READ => Frame::Read(ReadRequest::decode(body)?),
            kind::ITEM => Frame::Item(ItemFrame::decode(body)?),
            kind::READ_CREDIT => Frame::ReadCredit(ReadCredit::decode(body)?),
            kind::READ_END => Frame::ReadEnd(ReadEnd::decode(body)?),
            kind::PROGRESS => Frame::Progress(ProgressFrame::decode(body)?),
            kind::PROGRESSED => Frame::Progressed(Progressed::decode(body)?),
            kind::ANSWER => Frame::Answer(AnswerFrame::decode(body)?),
            kind::STATUS => Frame::Status(StatusRequest::decode(body)?),
            kind::STATUS_ROW => Frame::StatusRow(RowFrame::decode(body)?),
            kind::STATUS_END => Frame::StatusEnd(EndFrame::decode(body)?),
            kind::BACKUP => Frame::Backup(fields::number(&mut body)?),
            kind::BACKUP_PART => Frame::BackupPart(BackupPart::decode(body)?),
            kind::BACKUP_END => Frame::BackupEnd(BackupEndFrame::decode(body)?),
            _ if flags & CRITICAL != 0 => {
                return Err(Fault::protocol("a critical frame is not known here"));
            }
            _ => return Ok(None),
        }))
    }

    /// Appends the frame's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Frame::Hello(hello) => put(out, kind::HELLO, 0, |body| hello.encode(body)),
            Frame::Welcome(welcome) => put(out, kind::WELCOME, 0, |body| welcome.encode(body)),
            Frame::Error(error) => put(out, kind::ERROR, 0, |body| error.encode(body)),
            Frame::Ping(data) => put(out, kind::PING, 0, |body| body.extend_from_slice(data)),
            Frame::Pong(data) => put(out, kind::PONG, 0, |body| body.extend_from_slice(data)),
            Frame::GoAway(reason) => put(out, kind::GOAWAY, 0, |body| {
                body.extend_from_slice(&reason.to_wire().to_be_bytes());
            }),
            Frame::Close => put(out, kind::CLOSE, 0, |_| {}),
            Frame::Message(message) => put(out, kind::MESSAGE, message.flags(), |body| message.encode(body)),
            Frame::Part(bytes) => put(out, kind::PART, 0, |body| body.extend_from_slice(bytes)),
            Frame::Receipt(receipt) => put(out, kind::RECEIPT, 0, |body| receipt.encode(body)),
            Frame::Credit(credit) => put(out, kind::CREDIT, 0, |body| credit.encode(body)),
            Frame::Pause(pause) => put(out, kind::PAUSE, 0, |body| pause.encode(body)),
            Frame::Resume(next) => put(out, kind::RESUME, 0, |body| {
                body.extend_from_slice(&next.to_be_bytes());
            }),
            Frame::Await(sequence) => put(out, kind::AWAIT, 0, |body| {
                body.extend_from_slice(&sequence.to_be_bytes());
            }),
            Frame::Reply(reply) => put(out, kind::REPLY, 0, |body| reply.encode(body)),
            Frame::Read(read) => put(out, kind::READ, 0, |body| read.encode(body)),
            Frame::Item(item) => put(out, kind::ITEM, 0, |body| item.encode(body)),
            Frame::ReadCredit(credit) => put(out, kind::READ_CREDIT, 0, |body| credit.encode(body)),
            Frame::ReadEnd(end) => put(out, kind::READ_END, 0, |body| end.encode(body)),
            Frame::Progress(progress) => put(out, kind::PROGRESS, 0, |body| progress.encode(body)),
            Frame::Progressed(saved) => put(out, kind::PROGRESSED, 0, |body| saved.encode(body)),
            Frame::Answer(answer) => put(out, kind::ANSWER, 0, |body| answer.encode(body)),
            Frame::Status(request) => put(out, kind::STATUS, 0, |body| request.encode(body)),
            Frame::StatusRow(row) => put(out, kind::STATUS_ROW, 0, |body| row.encode(body)),
            Frame::StatusEnd(end) => put(out, kind::STATUS_END, 0, |body| end.encode(body)),
            Frame::Backup(request) => put(out, kind::BACKUP, 0, |body| {
                body.extend_from_slice(&request.to_be_bytes());
            }),
            Frame::BackupPart(part) => put(out, kind::BACKUP_PART, 0, |body| part.encode(body)),
            Frame::BackupEnd(end) => put(out, kind::BACKUP_END, 0, |body| end.encode(body)),
        }
    }
}

fn put(out: &mut Vec<u8>, kind: u8, flags: u8, write_body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, kind, flags, 0, 0]);
    let body_start = out.len();
    write_body(out);
    let length = u32::try_from(out.len() - body_start).unwrap_or(u32::MAX);
    if let Some(slot) = out.get_mut(start..start + 4) {
        slot.copy_from_slice(&length.to_be_bytes());
    }
}
