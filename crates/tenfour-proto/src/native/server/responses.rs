//! What a server tells those who read, ask and look.

use super::Phase;
use super::Server;
use bytes::Bytes;

use crate::native::backup::{BackupEnd, BackupEndFrame, BackupPart};
use crate::native::frame::Frame;
use crate::native::place_frames::PlaceFrame;
use crate::native::read_frames::{ItemFrame, Progressed, ReadEnd};
use crate::native::removal::{RemoveOutcome, RemovedFrame};
use crate::native::reply_frames::ReplyFrame;
use crate::native::status::{EndFrame, RowFrame, StatusEnd, StatusRow};
use crate::native::{EndReason, PLACES};
use crate::{Item, Place, Reply, limits};

impl Server {
    /// How many items, and bytes of bodies, the active read may send now.
    pub fn read_room(&self) -> Option<(u64, u64)> {
        self.read
            .as_ref()
            .filter(|read| read.items > 0 && read.bytes > 0)
            .map(|read| (read.items, read.bytes))
    }

    /// Items sent over the whole connection.
    pub fn items_sent(&self) -> u64 {
        self.items_sent
    }

    /// A read is under way.
    pub fn is_reading(&self) -> bool {
        self.read.is_some()
    }

    /// Says where the active read begins: behind this place. Call it before [`send_items`](Self::send_items).
    pub fn start_read(&mut self, place: Place) {
        if let Some(read) = &self.read
            && self.features & PLACES != 0
        {
            let request = read.request;
            Frame::ReadStart(PlaceFrame { request, place }).encode(&mut self.transmit);
        }
    }

    /// Sends stored messages to the reader.
    pub fn send_items(&mut self, items: &[Item]) {
        for item in items {
            let Some(read) = &mut self.read else { return };
            let length = item.message.body.len();
            self.items_sent += 1;
            read.items = read.items.saturating_sub(1);
            read.bytes = read.bytes.saturating_sub(length as u64);
            let frame = ItemFrame::starting(read.request, item);
            let mut sent = frame.body.len();
            Frame::Item(frame).encode(&mut self.transmit);
            while sent < length {
                let part = item
                    .message
                    .body
                    .slice(sent..length.min(sent + limits::MAX_FRAME_BODY));
                sent += part.len();
                Frame::Part(part).encode(&mut self.transmit);
            }
        }
    }

    /// Ends the active read.
    pub fn end_read(&mut self, next: u64, reason: EndReason) {
        if let Some(read) = self.read.take() {
            Frame::ReadEnd(ReadEnd {
                request: read.request,
                next,
                reason,
            })
            .encode(&mut self.transmit);
        }
    }

    /// So many [`Progress`](super::ServerEvent::Progress) events of the latest read are saved as safely as a receipt says.
    pub fn progressed(&mut self, count: u64) {
        if self.phase == Phase::Ended || count <= self.progress.saved {
            return;
        }
        self.progress.saved = count;
        Frame::Progressed(Progressed {
            request: self.progress.request,
            count,
        })
        .encode(&mut self.transmit);
        self.finish_draining();
    }

    /// The reply to a message of this producer that asked.
    pub fn send_reply(&mut self, sequence: u64, reply: Reply) {
        if self.is_open() {
            Frame::Reply(ReplyFrame { sequence, reply }).encode(&mut self.transmit);
        }
    }

    /// Answers a [`Status`](super::ServerEvent::Status) event with a row.
    pub fn send_status(&mut self, request: u32, row: StatusRow) {
        if self.is_open() {
            Frame::StatusRow(RowFrame { request, row }).encode(&mut self.transmit);
        }
    }

    /// That was the last row.
    pub fn end_status(&mut self, request: u32, end: StatusEnd) {
        if self.is_open() {
            Frame::StatusEnd(EndFrame { request, end }).encode(&mut self.transmit);
        }
    }

    /// Sends a piece of the store; an empty one only says that it takes time.
    pub fn send_backup(&mut self, request: u32, bytes: Bytes) {
        if self.is_open() {
            Frame::BackupPart(BackupPart { request, bytes }).encode(&mut self.transmit);
        }
    }

    /// Answers a [`Remove`](super::ServerEvent::Remove) event.
    pub fn removed(&mut self, request: u32, outcome: RemoveOutcome) {
        if self.is_open() {
            Frame::Removed(RemovedFrame { request, outcome }).encode(&mut self.transmit);
        }
    }

    /// That was the last piece.
    pub fn end_backup(&mut self, request: u32, end: BackupEnd) {
        if self.is_open() {
            Frame::BackupEnd(BackupEndFrame { request, end }).encode(&mut self.transmit);
        }
    }
}
