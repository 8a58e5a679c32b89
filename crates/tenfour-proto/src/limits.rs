//! Ceilings of the protocols. Each is a constant with its reason; what a server may configure is said.

use std::time::Duration;

/// Default limit of one message's body, in bytes. Big enough for a log bundle or a photo; small
/// enough that 64 senders in the middle of one fit the server's default message budget.
pub const DEFAULT_MAX_MESSAGE: u32 = 1024 * 1024;

/// The highest limit a server may configure, in bytes. Above this a message is a file, and a file
/// wants a tool that can resume in its middle.
pub const CEILING_MAX_MESSAGE: u32 = 16 * 1024 * 1024;

/// Longest body of one native frame, in bytes. Bounds what a peer makes us buffer before the frame is
/// whole; large enough that the 8-byte header and the TLS record overhead do not matter.
pub const MAX_FRAME_BODY: usize = 64 * 1024;

/// Longest first frame (HELLO), in bytes: all that an unauthenticated peer may make us hold.
pub const MAX_HELLO_BODY: usize = 4 * 1024;

/// Messages that may be sent and not yet settled on one native connection. A window of 10,000
/// reached the highest rate measured; more only adds latency.
pub const DEFAULT_CREDIT_MESSAGES: u32 = 16_384;

/// Bytes that may be sent and not yet settled on one native connection: four full messages, or a
/// window of 4,096 messages of 1 KiB.
pub const DEFAULT_CREDIT_BYTES: u32 = 4 * 1024 * 1024;

/// Silence after which a native peer sends a PING; after twice this silence the other end is dead.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// A TLS handshake and HELLO must each be whole within this time, counted from their start.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// Longest name of a mailbox, in bytes.
pub const MAX_MAILBOX_NAME: usize = 128;

/// Most segments in a mailbox's name.
pub const MAX_MAILBOX_SEGMENTS: usize = 4;

/// Longest name or content type of a message, in bytes: what file systems allow for a file name.
pub const MAX_WORD: usize = 255;

/// Most messages above a cursor's floor that are with readers or done: what a cursor may have to remember.
pub const MAX_OUT_OF_ORDER: usize = 1_024;

/// Longest reply, in bytes: it fits one frame.
pub const MAX_REPLY: usize = MAX_FRAME_BODY - 64;
