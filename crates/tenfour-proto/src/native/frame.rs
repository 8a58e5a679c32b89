//! One frame: what it says, and its bytes.

use bytes::Bytes;

use super::backup::{BackupEndFrame, BackupPart};
use super::handshake::{ErrorFrame, Hello, Welcome};
use super::place_frames::PlaceFrame;
use super::raw_frame::RawFrame;
use super::read_frames::{ItemFrame, ProgressFrame, Progressed, ReadCredit, ReadEnd, ReadRequest};
use super::removal::{RemoveRequest, RemovedFrame};
use super::reply_frames::{AnswerFrame, ReplyFrame};
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
    ReadStart(PlaceFrame),
    Claim(PlaceFrame),
    Status(StatusRequest),
    StatusRow(RowFrame),
    StatusEnd(EndFrame),
    Backup(u32),
    BackupPart(BackupPart),
    BackupEnd(BackupEndFrame),
    Remove(RemoveRequest),
    Removed(RemovedFrame),
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
    pub(super) const READ_START: u8 = 0x27;
    pub(super) const CLAIM: u8 = 0x28;
    pub(super) const STATUS: u8 = 0x30;
    pub(super) const STATUS_ROW: u8 = 0x31;
    pub(super) const STATUS_END: u8 = 0x32;
    pub(super) const BACKUP: u8 = 0x33;
    pub(super) const BACKUP_PART: u8 = 0x34;
    pub(super) const BACKUP_END: u8 = 0x35;
    pub(super) const REMOVE: u8 = 0x36;
    pub(super) const REMOVED: u8 = 0x37;
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
            kind::READ_START => Frame::ReadStart(PlaceFrame::decode(body)?),
            kind::CLAIM => Frame::Claim(PlaceFrame::decode(body)?),
            kind::STATUS => Frame::Status(StatusRequest::decode(body)?),
            kind::STATUS_ROW => Frame::StatusRow(RowFrame::decode(body)?),
            kind::STATUS_END => Frame::StatusEnd(EndFrame::decode(body)?),
            kind::BACKUP => Frame::Backup(fields::number(&mut body)?),
            kind::BACKUP_PART => Frame::BackupPart(BackupPart::decode(body)?),
            kind::BACKUP_END => Frame::BackupEnd(BackupEndFrame::decode(body)?),
            kind::REMOVE => Frame::Remove(RemoveRequest::decode(body)?),
            kind::REMOVED => Frame::Removed(RemovedFrame::decode(body)?),
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
            Frame::ReadStart(start) => put(out, kind::READ_START, 0, |body| start.encode(body)),
            Frame::Claim(claim) => put(out, kind::CLAIM, 0, |body| claim.encode(body)),
            Frame::Status(request) => put(out, kind::STATUS, 0, |body| request.encode(body)),
            Frame::StatusRow(row) => put(out, kind::STATUS_ROW, 0, |body| row.encode(body)),
            Frame::StatusEnd(end) => put(out, kind::STATUS_END, 0, |body| end.encode(body)),
            Frame::Backup(request) => put(out, kind::BACKUP, 0, |body| {
                body.extend_from_slice(&request.to_be_bytes());
            }),
            Frame::BackupPart(part) => put(out, kind::BACKUP_PART, 0, |body| part.encode(body)),
            Frame::BackupEnd(end) => put(out, kind::BACKUP_END, 0, |body| end.encode(body)),
            Frame::Remove(request) => put(out, kind::REMOVE, 0, |body| request.encode(body)),
            Frame::Removed(removed) => put(out, kind::REMOVED, 0, |body| removed.encode(body)),
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

#[cfg(test)]
mod tests {
    use super::super::backup::BackupEnd;
    use super::super::handshake::{ProducerKind, ProducerWish, Resumption, Versions};
    use super::super::read_frames::{CursorUse, EndReason, ReadFrom};
    use super::super::removal::RemoveOutcome;
    use super::super::status::{StatusEnd, StatusRow};
    use super::super::{ErrorCode, Splitter};
    use super::*;
    use crate::{
        Durability, Item, MailboxName, Message, Place, ProducerId, Progress, Refused, Reply, Run, Sender,
        Settlement, Stamp, Step,
    };

    fn credit() -> Credit {
        Credit {
            messages: 3,
            bytes: 4_000,
        }
    }

    fn handshakes() -> Vec<Frame> {
        let hello = Hello {
            versions: Versions { min: 1, max: 2 },
            software: "test".into(),
            process: [1; 16],
            attempt: 2,
            durability: Durability::Disk,
            features: 3,
            producer: Some(ProducerWish {
                id: ProducerId::of_key("s"),
                receipted: 4,
                settled: 5,
                resumption: Resumption::Continue,
                kind: ProducerKind::Outbox,
            }),
            invitation: Some([6; 32]),
            finished: vec![ProducerId::of_key("old")],
        };
        let welcome = Welcome {
            version: 1,
            software: "test".into(),
            store: [7; 16],
            max_message: 8,
            credit: credit(),
            heartbeat_ms: 9,
            durability: Durability::Os,
            high_water_mark: Some(10),
            features: 11,
            rights: "send=inbox".into(),
        };
        let error = ErrorFrame {
            code: ErrorCode::Regressed,
            text: "why".into(),
            reference: "r".into(),
            regressed: Some((12, [13; 16])),
        };
        vec![Frame::Hello(hello), Frame::Welcome(welcome), Frame::Error(error)]
    }

    fn transfers() -> Vec<Frame> {
        let message = MessageFrame {
            sequence: 1,
            total: 5,
            withheld: false,
            asks: true,
            mailbox: Bytes::from_static(b"inbox"),
            content_type: Some(Bytes::from_static(b"text/plain")),
            name: Some(Bytes::from_static(b"a.txt")),
            body: Bytes::from_static(b"hi"),
        };
        let receipt = ReceiptFrame {
            settlement: Settlement {
                settled: 3,
                runs: vec![Run {
                    first: 1,
                    count: 2,
                    mailbox: MailboxName::inbox(),
                    offset: 7,
                    duplicate: true,
                }],
                refused: vec![Refused::one(3, crate::RefusalCode::TooLarge)],
            },
            durability: Durability::Disk,
        };
        let pause = Pause {
            reason: TemporaryCode::Full,
            wait_ms: 500,
            settled: 3,
        };
        vec![
            Frame::Ping([1; 8]),
            Frame::Pong([2; 8]),
            Frame::GoAway(TemporaryCode::Stopping),
            Frame::Close,
            Frame::Message(message),
            Frame::Part(Bytes::from_static(b"there")),
            Frame::Receipt(receipt),
            Frame::Credit(credit()),
            Frame::Pause(pause),
            Frame::Resume(4),
            Frame::Await(5),
            Frame::Reply(ReplyFrame {
                sequence: 5,
                reply: Reply::new("yes"),
            }),
        ]
    }

    fn read() -> ReadRequest {
        ReadRequest {
            request: 1,
            mailbox: MailboxName::inbox(),
            from: ReadFrom::Since(-5),
            cursor: Some(CursorUse {
                name: "worker".parse().unwrap(),
                retries: Some(3),
            }),
            follow: true,
            credit: credit(),
        }
    }

    fn readings() -> Vec<Frame> {
        let item = ItemFrame {
            request: 1,
            offset: 2,
            time: -3,
            sequence: 4,
            producer: [5; 16],
            total: 6,
            sender: Bytes::from_static(b"anonymous"),
            content_type: Some(Bytes::from_static(b"text/plain")),
            name: Some(Bytes::from_static(b"a.txt")),
            listener: Some(Bytes::from_static(b"text")),
            address: Some(Bytes::from_static(b"[::1]:1")),
            origin: Some(Bytes::from_static(b"inbox 9")),
            attempts: 7,
            asks: true,
            body: Bytes::from_static(b"hi"),
        };
        let place = Place {
            offset: 2,
            stamp: Some(Stamp {
                time: -3,
                sequence: 4,
                producer: ProducerId::of_key("s"),
            }),
        };
        let answer = AnswerFrame {
            request: 1,
            offset: 2,
            reply: Reply::new("yes"),
        };
        vec![
            Frame::Read(read()),
            Frame::Item(item),
            Frame::ReadCredit(ReadCredit {
                request: 1,
                credit: credit(),
            }),
            Frame::ReadEnd(ReadEnd {
                request: 1,
                next: 9,
                reason: EndReason::Damaged,
            }),
            Frame::Progress(ProgressFrame {
                request: 1,
                steps: vec![Progress::one(2, Step::Ack)],
            }),
            Frame::Progressed(Progressed { request: 1, count: 2 }),
            Frame::Answer(answer),
            Frame::ReadStart(PlaceFrame {
                request: 1,
                place: Place::unseen(0),
            }),
            Frame::Claim(PlaceFrame { request: 1, place }),
        ]
    }

    fn tellings() -> Vec<Frame> {
        let row = StatusRow::new("mailbox").with("name", "inbox").with("last", 9);
        vec![
            Frame::Status(StatusRequest {
                request: 1,
                producer: Some(ProducerId::of_key("s")),
            }),
            Frame::StatusRow(RowFrame { request: 1, row }),
            Frame::StatusEnd(EndFrame {
                request: 1,
                end: StatusEnd::Complete,
            }),
            Frame::Backup(1),
            Frame::BackupPart(BackupPart {
                request: 1,
                bytes: Bytes::from_static(b"SQLite"),
            }),
            Frame::BackupEnd(BackupEndFrame {
                request: 1,
                end: BackupEnd::Complete(6),
            }),
            Frame::Remove(RemoveRequest {
                request: 1,
                mailbox: "logs/old".parse().unwrap(),
                cursor: Some("worker".parse().unwrap()),
            }),
            Frame::Removed(RemovedFrame {
                request: 1,
                outcome: RemoveOutcome::InUse,
            }),
        ]
    }

    #[test]
    fn a_read_says_behind_which_message_it_begins() {
        for stamp in [
            None,
            Some(Item::new(9, 8, Sender::Anonymous, Message::new(MailboxName::inbox(), "hi")).stamp()),
        ] {
            let read = ReadRequest {
                from: ReadFrom::After(Place { offset: 9, stamp }),
                cursor: None,
                ..read()
            };
            let mut bytes = Vec::new();
            Frame::Read(read.clone()).encode(&mut bytes);
            let mut splitter = Splitter::new();
            splitter.push(&bytes);
            assert_eq!(splitter.take(), Ok(Some(Frame::Read(read))));
        }
    }

    #[test]
    fn every_frame_comes_out_as_it_went_in() {
        let all = [handshakes(), transfers(), readings(), tellings()].concat();
        assert_eq!(all.len(), 32);
        let mut kinds = Vec::new();
        for frame in all {
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            kinds.push(bytes[4]);
            let mut splitter = Splitter::new();
            splitter.push(&bytes);
            assert_eq!(splitter.take(), Ok(Some(frame)));
            assert_eq!(splitter.take(), Ok(None));
        }
        // Each has a number of its own, as in docs/protocol.md.
        let count = kinds.len();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), count);
    }

    #[test]
    fn a_frame_that_is_not_known_is_skipped_unless_it_is_critical() {
        let mut splitter = Splitter::new();
        splitter.push(&[0, 0, 0, 1, 0x7f, 0, 0, 0, 1]);
        splitter.push(&[0, 0, 0, 0, 0x07, 0, 0, 0]);
        assert_eq!(splitter.take(), Ok(Some(Frame::Close)));
        for flags in [0x80, 0x81, 0xff] {
            let mut splitter = Splitter::new();
            splitter.push(&[0, 0, 0, 1, 0x7f, flags, 0, 0, 1]);
            assert!(splitter.take().is_err());
        }
    }

    #[test]
    fn what_is_kept_of_a_frame_is_bounded() {
        let mut splitter = Splitter::new();
        splitter.push(&[0, 0, 0x10, 0x01, 0x01, 0, 0, 0]);
        assert!(splitter.take().is_err(), "HELLO is short");
        let mut splitter = Splitter::new();
        splitter.push(&[0, 0, 0x10, 0x00, 0x01, 0, 0, 0]);
        assert_eq!(splitter.buffered(), 8);
        assert_eq!(splitter.take(), Ok(None));
        assert_eq!(splitter.buffered(), 8);
        let mut splitter = Splitter::new();
        splitter.allow_full_frames();
        splitter.push(&[0, 1, 0, 0, 0x11, 0, 0, 0]);
        assert_eq!(splitter.take(), Ok(None));
        let mut splitter = Splitter::new();
        splitter.allow_full_frames();
        splitter.push(&[0, 1, 0, 1, 0x11, 0, 0, 0]);
        assert!(splitter.take().is_err());
    }
}
