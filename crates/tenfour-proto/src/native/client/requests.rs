//! What a client asks for beside the sending: messages, the state of the server, a copy of its store.

use super::Client;
use crate::native::PLACES;
use crate::native::frame::Frame;
use crate::native::place_frames::PlaceFrame;
use crate::native::read_frames::{self, ProgressFrame, ReadCredit, ReadFrom, ReadRequest};
use crate::native::removal::RemoveRequest;
use crate::native::reply_frames::AnswerFrame;
use crate::native::status::StatusRequest;
use crate::native::transfer::Credit;
use crate::{Place, Progress, Reply, Step};

impl Client {
    /// Asks for the messages of a mailbox. Give it an id that this client has not used before.
    pub fn read(&mut self, mut request: ReadRequest) {
        if let ReadFrom::After(place) = request.from
            && !self.knows_places()
        {
            request.from = ReadFrom::Offset(place.offset.saturating_add(1));
        }
        self.read = Some((request.request, request.mailbox.clone()));
        Frame::Read(request).encode(&mut self.transmit);
    }

    /// Lets the active read send so much more.
    pub fn grant(&mut self, items: u32, bytes: u32) {
        if let Some((request, _)) = self.read {
            Frame::ReadCredit(ReadCredit {
                request,
                credit: Credit {
                    messages: items,
                    bytes,
                },
            })
            .encode(&mut self.transmit);
        }
    }

    /// Asks for the whole store.
    pub fn backup(&mut self, request: u32) {
        Frame::Backup(request).encode(&mut self.transmit);
    }

    /// Asks that a mailbox or a cursor be removed.
    pub fn remove(&mut self, request: RemoveRequest) {
        Frame::Remove(request).encode(&mut self.transmit);
    }

    /// Asks what the server is doing, or what became of the messages of a producer of ours.
    pub fn status(&mut self, request: StatusRequest) {
        Frame::Status(request).encode(&mut self.transmit);
    }

    /// Reports what was done with messages of the read; gives the number of frames that it takes. Of messages of an
    /// earlier connection only what was [claimed](Self::claim) is believed.
    pub fn progress(&mut self, request: u32, steps: &[Progress]) -> u64 {
        let mut frames = 0;
        let known = |progress: &Progress| Progress {
            step: match progress.step {
                Step::Skip if !self.knows_places() => Step::Ack,
                Step::Untried if !self.knows_places() => Step::Release,
                step => step,
            },
            ..*progress
        };
        let steps: Vec<Progress> = steps.iter().map(known).collect();
        for steps in steps.chunks(read_frames::MAX_STEPS) {
            frames += 1;
            Frame::Progress(ProgressFrame {
                request,
                steps: steps.to_vec(),
            })
            .encode(&mut self.transmit);
        }
        frames
    }

    /// Says that an earlier connection gave us the message at this place: then *done* and an answer are believed of it.
    pub fn claim(&mut self, request: u32, place: Place) {
        if self.knows_places() {
            Frame::Claim(PlaceFrame { request, place }).encode(&mut self.transmit);
        }
    }

    /// The server of this connection says where reads begin, and looks at places.
    pub fn knows_places(&self) -> bool {
        self.features & PLACES != 0
    }

    /// Reports that a message of the read is done, with the reply to it: one frame, counted with those of
    /// [`progress`](Self::progress).
    pub fn answer(&mut self, request: u32, offset: u64, reply: Reply) {
        Frame::Answer(AnswerFrame {
            request,
            offset,
            reply,
        })
        .encode(&mut self.transmit);
    }
}
