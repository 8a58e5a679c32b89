//! What the server says: receipts, messages that are read, the end.

use std::time::Duration;

use super::{Client, ClientEvent, Phase};
use crate::native::frame::Frame;
use crate::native::handshake::{Resumption, Welcome};
use crate::native::parcel::Parcel;
use crate::native::read_frames::ItemFrame;
use crate::native::transfer::Pause;
use crate::native::{ErrorCode, Fault, VERSION};
use crate::{Moment, limits};

impl Client {
    pub(super) fn take_frames(&mut self, now: Moment) -> Result<(), Fault> {
        while self.phase != Phase::Ended
            && let Some(frame) = self.splitter.take()?
        {
            self.take_frame(now, frame)?;
        }
        Ok(())
    }

    fn take_frame(&mut self, now: Moment, frame: Frame) -> Result<(), Fault> {
        match frame {
            Frame::Error(error) => {
                self.phase = Phase::Ended;
                self.events.push_back(match (error.code, error.regressed) {
                    (ErrorCode::Regressed, Some((high_water_mark, store))) => {
                        self.regressed(high_water_mark, store)
                    }
                    _ => ClientEvent::Failed(error),
                });
                Ok(())
            }
            Frame::GoAway(reason) => {
                if !matches!(self.phase, Phase::Closing) {
                    self.phase = Phase::Leaving;
                }
                self.events.push_back(ClientEvent::GoingAway(reason));
                Ok(())
            }
            Frame::Welcome(welcome) if self.phase == Phase::Greeting => self.take_welcome(welcome),
            _ if self.phase == Phase::Greeting => Err(Fault::protocol("the first frame is not WELCOME")),
            Frame::Receipt(receipt) => {
                if receipt.durability < self.options.durability {
                    return Err(Fault::protocol("a receipt is less durable than agreed"));
                }
                let settlement = self.window.settle(receipt.settlement)?;
                self.events
                    .push_back(ClientEvent::Settled(settlement, receipt.durability));
                Ok(())
            }
            Frame::Credit(credit) => {
                self.credit = credit;
                self.credit.messages = credit.messages.max(1);
                Ok(())
            }
            Frame::Pause(pause) => self.take_pause(now, pause),
            Frame::Ping(data) => {
                Frame::Pong(data).encode(&mut self.transmit);
                Ok(())
            }
            Frame::Pong(_) => Ok(()),
            Frame::Close => {
                self.phase = Phase::Ended;
                self.window.nothing_stored_above(self.window.settled())?;
                self.events.push_back(ClientEvent::Closed);
                Ok(())
            }
            Frame::Item(item) => self.take_item(item),
            Frame::ReadStart(start) => {
                if self.read.as_ref().is_some_and(|read| read.0 == start.request) {
                    self.events.push_back(ClientEvent::ReadStart(start.place));
                }
                Ok(())
            }
            Frame::Part(part) => {
                let Some(parcel) = &mut self.parcel else {
                    return Err(Fault::protocol("a part without an item"));
                };
                parcel.add(&part)?;
                self.finish_item()
            }
            Frame::ReadEnd(end) => {
                if self.read.as_ref().is_some_and(|read| read.0 == end.request) {
                    self.read = None;
                    self.events.push_back(ClientEvent::ReadEnd(end));
                }
                Ok(())
            }
            Frame::Reply(frame) => {
                if self.awaited.remove(&frame.sequence) {
                    self.events
                        .push_back(ClientEvent::Reply(frame.sequence, frame.reply));
                }
                Ok(())
            }
            Frame::Progressed(saved) => {
                self.events.push_back(ClientEvent::Progressed(saved.count));
                Ok(())
            }
            Frame::StatusRow(frame) => {
                self.events
                    .push_back(ClientEvent::Status(frame.request, frame.row));
                Ok(())
            }
            Frame::StatusEnd(frame) => {
                self.events
                    .push_back(ClientEvent::StatusEnd(frame.request, frame.end));
                Ok(())
            }
            Frame::BackupPart(part) => {
                self.events
                    .push_back(ClientEvent::Backup(part.request, part.bytes));
                Ok(())
            }
            Frame::BackupEnd(frame) => {
                self.events
                    .push_back(ClientEvent::BackupEnd(frame.request, frame.end));
                Ok(())
            }
            Frame::Removed(frame) => {
                self.events
                    .push_back(ClientEvent::Removed(frame.request, frame.outcome));
                Ok(())
            }
            Frame::Welcome(_) => Err(Fault::protocol("a second WELCOME")),
            Frame::Hello(_)
            | Frame::Message(_)
            | Frame::Resume(_)
            | Frame::Await(_)
            | Frame::Answer(_)
            | Frame::Claim(_)
            | Frame::Read(_)
            | Frame::Progress(_)
            | Frame::Status(_)
            | Frame::Backup(_)
            | Frame::Remove(_)
            | Frame::ReadCredit(_) => Err(Fault::protocol("a frame that only a client sends")),
        }
    }

    fn take_welcome(&mut self, welcome: Welcome) -> Result<(), Fault> {
        if welcome.version != VERSION {
            return Err(Fault {
                code: ErrorCode::Version,
                text: "the server chose a version that was not offered",
            });
        }
        if welcome.durability < self.options.durability {
            return Err(Fault {
                code: ErrorCode::Durability,
                text: "the server welcomes with less durability than demanded",
            });
        }
        let high_water_mark = welcome.high_water_mark.unwrap_or(0);
        if self.options.producer.is_some() && high_water_mark < self.window.receipted() {
            self.phase = Phase::Ended;
            self.events
                .push_back(self.regressed(high_water_mark, welcome.store));
            return Ok(());
        }
        if self.options.producer.is_none() {
            // Whoever only reads keeps the places that he read, and goes by them.
            self.store = Some(welcome.store);
        }
        let first = *self.store.get_or_insert(welcome.store);
        if first != welcome.store {
            self.phase = Phase::Ended;
            self.events.push_back(ClientEvent::OtherStore {
                first,
                now: welcome.store,
            });
            return Ok(());
        }
        if let Some((_, resumption, _)) = self.options.producer {
            let high_water_mark = welcome
                .high_water_mark
                .ok_or(Fault::protocol("WELCOME lacks the mark of the stream"))?;
            self.window
                .resume(high_water_mark, resumption == Resumption::Continue)?;
        }
        self.features = welcome.features;
        self.credit = welcome.credit;
        self.max_message = welcome.max_message;
        self.heartbeat = Duration::from_millis(welcome.heartbeat_ms.into());
        self.phase = Phase::Open;
        // Replies may have come while there was no connection.
        for sequence in &self.awaited {
            Frame::Await(*sequence).encode(&mut self.transmit);
        }
        self.events.push_back(ClientEvent::Welcomed(Box::new(welcome)));
        Ok(())
    }

    fn regressed(&self, high_water_mark: u64, store: [u8; 16]) -> ClientEvent {
        ClientEvent::Regressed {
            high_water_mark,
            receipted: self.window.receipted(),
            first: self.store.unwrap_or(store),
            now: store,
        }
    }

    fn take_pause(&mut self, now: Moment, pause: Pause) -> Result<(), Fault> {
        self.window.nothing_stored_above(pause.settled)?;
        if self.phase == Phase::Open {
            let wait = Duration::from_millis(pause.wait_ms.into());
            self.phase = Phase::Paused(now + wait);
        }
        self.events.push_back(ClientEvent::Paused(pause.reason));
        Ok(())
    }

    fn take_item(&mut self, mut frame: ItemFrame) -> Result<(), Fault> {
        if self.parcel.is_some() {
            return Err(Fault::protocol("an item in the middle of another"));
        }
        if frame.total > limits::CEILING_MAX_MESSAGE {
            return Err(Fault::protocol("an item is longer than any message may be"));
        }
        let total = frame.total as usize;
        let first = std::mem::take(&mut frame.body);
        self.parcel = Some(Box::new(Parcel::begin(frame, total, &first)));
        self.finish_item()
    }

    fn finish_item(&mut self) -> Result<(), Fault> {
        let Some(parcel) = self.parcel.take_if(|parcel| parcel.is_whole()) else {
            return Ok(());
        };
        let (frame, body) = parcel.finish();
        // Items of a read that is over may still be on their way.
        if let Some((_, mailbox)) = self.read.as_ref().filter(|read| read.0 == frame.request) {
            let item = frame.into_item(mailbox.clone(), body.unwrap_or_default())?;
            self.events.push_back(ClientEvent::Item(Box::new(item)));
        }
        Ok(())
    }
}
