//! Cuts the stream of bytes into whole frames.

use bytes::Buf;

use super::error::{ErrorCode, Fault};
use super::frame::Frame;
use super::raw_frame::{HEADER, RawFrame};
use crate::limits::{MAX_FRAME_BODY, MAX_HELLO_BODY};
use crate::receive_buffer::ReceiveBuffer;

/// Keeps what is left of an unfinished frame between two reads, and nothing else.
#[derive(Debug)]
pub struct Splitter {
    received: ReceiveBuffer,
    max_body: usize,
}

impl Default for Splitter {
    fn default() -> Self {
        Splitter {
            received: ReceiveBuffer::default(),
            max_body: MAX_HELLO_BODY,
        }
    }
}

impl Splitter {
    /// A splitter that allows a first frame of at most [`MAX_HELLO_BODY`] bytes.
    pub fn new() -> Self {
        Splitter::default()
    }

    /// From now on frames may be as long as any.
    pub fn allow_full_frames(&mut self) {
        self.max_body = MAX_FRAME_BODY;
    }

    /// Takes what arrived. The bytes are copied into one buffer that all frames in it share.
    pub fn push(&mut self, input: &[u8]) {
        self.received.push(input);
    }

    /// The next whole frame that is known here; those that may be skipped are.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::Protocol`] for what is no frame, or one that must be understood and is not. Nothing that follows has
    /// a meaning then.
    pub fn take(&mut self) -> Result<Option<Frame>, Fault> {
        while let Some(raw) = self.cut()? {
            if let Some(frame) = Frame::decode(raw)? {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    fn cut(&mut self) -> Result<Option<RawFrame>, Fault> {
        let mut header = self.received.as_slice().get(..HEADER).unwrap_or_default();
        let (Ok(length), Ok(kind), Ok(flags)) =
            (header.try_get_u32(), header.try_get_u8(), header.try_get_u8())
        else {
            self.received.rest();
            return Ok(None);
        };
        let length = length as usize;
        if length > self.max_body {
            // Before the first frame the likeliest reason is that the peer is no native peer at all.
            return Err(Fault {
                code: ErrorCode::Protocol,
                text: "a frame is longer than allowed",
            });
        }
        if self.received.len() < HEADER + length {
            self.received.rest();
            return Ok(None);
        }
        let mut body = self.received.split_to(HEADER + length);
        body.advance(HEADER);
        Ok(Some(RawFrame { kind, flags, body }))
    }

    /// Bytes held of an unfinished frame.
    pub fn buffered(&self) -> usize {
        self.received.len()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// As the text listener's lines: each read copied all that there was of a frame.
    #[test]
    fn a_frame_that_drips_costs_its_length() {
        let mut bytes = Vec::new();
        Frame::Part(Bytes::from(vec![7; MAX_FRAME_BODY])).encode(&mut bytes);
        for piece in [1, 7, 1500] {
            let mut splitter = Splitter::new();
            splitter.allow_full_frames();
            let mut frames = 0;
            for piece in bytes.chunks(piece) {
                splitter.push(piece);
                while splitter.take().unwrap().is_some() {
                    frames += 1;
                }
            }
            assert_eq!((frames, splitter.buffered()), (1, 0));
            let touched = splitter.received.touched;
            assert!(
                touched <= 4 * bytes.len(),
                "{touched} bytes were touched, in pieces of {piece}"
            );
        }
    }
}
