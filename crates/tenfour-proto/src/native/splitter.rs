//! Cuts the stream of bytes into whole frames.

use bytes::{Buf, Bytes};

use super::{ErrorCode, Fault, Frame};
use crate::limits::{MAX_FRAME_BODY, MAX_HELLO_BODY};

/// Length of a frame's header: length u32, type u8, flags u8, two bytes of zero.
pub(super) const HEADER: usize = 8;

/// One frame as it came, not yet understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawFrame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) body: Bytes,
}

/// Keeps what is left of an unfinished frame between two reads, and nothing else.
#[derive(Debug)]
pub struct Splitter {
    partial: Vec<u8>,
    whole: Bytes,
    max_body: usize,
}

impl Default for Splitter {
    fn default() -> Self {
        Splitter {
            partial: Vec::new(),
            whole: Bytes::new(),
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

    /// Takes what arrived. The bytes are copied once, into one buffer that all frames in it share.
    pub fn push(&mut self, input: &[u8]) {
        let mut buffer = Vec::with_capacity(self.whole.len() + self.partial.len() + input.len());
        buffer.extend_from_slice(&self.whole);
        buffer.append(&mut self.partial);
        buffer.extend_from_slice(input);
        self.whole = Bytes::from(buffer);
        self.partial = Vec::new();
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
        let mut header = self.whole.get(..HEADER).unwrap_or_default();
        let (Ok(length), Ok(kind), Ok(flags)) =
            (header.try_get_u32(), header.try_get_u8(), header.try_get_u8())
        else {
            self.keep_partial();
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
        if self.whole.len() < HEADER + length {
            self.keep_partial();
            return Ok(None);
        }
        self.whole.advance(HEADER);
        let body = self.whole.split_to(length);
        Ok(Some(RawFrame { kind, flags, body }))
    }

    /// Lets go of the shared buffer, so that a connection that rests holds only its partial frame.
    fn keep_partial(&mut self) {
        if !self.whole.is_empty() {
            self.partial = self.whole.to_vec();
        }
        self.whole = Bytes::new();
    }

    /// Bytes held of an unfinished frame.
    pub fn buffered(&self) -> usize {
        self.partial.len() + self.whole.len()
    }
}
