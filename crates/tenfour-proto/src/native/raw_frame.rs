//! A frame as it came, before it is understood.

use bytes::Bytes;

/// Length of a frame's header: length u32, type u8, flags u8, two bytes of zero.
pub(super) const HEADER: usize = 8;

/// One frame as it came, not yet understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawFrame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) body: Bytes,
}
