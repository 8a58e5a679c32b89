//! Messages on their way in: whole or in parts, understood or refused.

use bytes::Bytes;

use super::{Phase, Server};
use crate::native::parcel::Parcel;
use crate::native::transfer::MessageFrame;
use crate::native::{ErrorCode, Fault, fields};
use crate::{ContentType, MailboxName, Message, MessageName, RefusalCode};

impl Server {
    pub(super) fn take_message(&mut self, mut frame: MessageFrame) -> Result<(), Fault> {
        if self.next == 0 {
            return Err(Fault::protocol("a message, but HELLO named no stream"));
        }
        if self.discarding || self.phase == Phase::Draining {
            return Ok(());
        }
        if self.parcel.is_some() {
            return Err(Fault::protocol("a message in the middle of another"));
        }
        if frame.sequence != self.next {
            return Err(Fault {
                code: ErrorCode::Gap,
                text: "the sequence is not the next one; nothing of it is stored",
            });
        }
        let outstanding = self.next - self.sequencer.settled();
        if outstanding > u64::from(self.options.credit.messages) {
            return Err(Fault::protocol("more messages than the credit allows"));
        }
        let total = frame.total as usize;
        let body = std::mem::take(&mut frame.body);
        let too_large = frame.withheld || frame.total > self.options.max_message;
        if body.len() == total || frame.withheld {
            return self.take_whole(frame, (!too_large).then_some(body));
        }
        self.parcel = Some(Box::new(if too_large {
            Parcel::begin_dropped(frame, total, &body)
        } else {
            Parcel::begin(frame, total, &body)
        }));
        Ok(())
    }

    pub(super) fn take_part(&mut self, part: &[u8]) -> Result<(), Fault> {
        let Some(parcel) = &mut self.parcel else {
            return if self.discarding || self.phase == Phase::Draining {
                Ok(())
            } else {
                Err(Fault::protocol("a part without a message"))
            };
        };
        parcel.add(part)?;
        if parcel.is_whole()
            && let Some(parcel) = self.parcel.take()
        {
            let (frame, body) = parcel.finish();
            return self.take_whole(frame, body);
        }
        Ok(())
    }

    /// A message is here in full (or, without a body, refused for its size).
    fn take_whole(&mut self, frame: MessageFrame, body: Option<Bytes>) -> Result<(), Fault> {
        let sequence = frame.sequence;
        self.next += 1;
        match self.understand(frame, body) {
            Ok(message) => self.messages.push((sequence, message)),
            Err(code) => self.refuse(sequence, code),
        }
        Ok(())
    }

    fn understand(&mut self, frame: MessageFrame, body: Option<Bytes>) -> Result<Message, RefusalCode> {
        let body = body.ok_or(RefusalCode::TooLarge)?;
        let mailbox = match &self.last_mailbox {
            Some(last) if last.as_str().as_bytes() == frame.mailbox => last.clone(),
            _ => MailboxName::from_wire(&frame.mailbox).map_err(|_| RefusalCode::BadMailbox)?,
        };
        self.last_mailbox = Some(mailbox.clone());
        let mut message = Message::new(mailbox, body);
        message.asks = frame.asks;
        if let Some(word) = &frame.content_type {
            message.content_type = Some(word_of::<ContentType>(word)?);
        }
        if let Some(word) = &frame.name {
            message.name = Some(word_of::<MessageName>(word)?);
        }
        Ok(message)
    }
}

fn word_of<T: std::str::FromStr>(word: &Bytes) -> Result<T, RefusalCode> {
    fields::text(word)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(RefusalCode::BadMessage)
}
