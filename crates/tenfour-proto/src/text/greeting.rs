//! The first word.

/// What a text listener says to whoever connects: 18 bytes, no line end.
pub const GREETING: &[u8; 18] = b"You are connected!";
