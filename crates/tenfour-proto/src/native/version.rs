//! How the protocol and its speakers are named.

/// The name of this protocol in TLS' ALPN extension (RFC 7301).
pub const ALPN: &[u8] = b"tenfour/1";

/// The version that this crate speaks.
pub const VERSION: u16 = 1;

/// What both sides call themselves in HELLO and WELCOME.
pub const SOFTWARE: &str = concat!("tenfour/", env!("CARGO_PKG_VERSION"));

/// The bit of *features* of who knows places: READ behind a place, READ_START, CLAIM, and the step *skipped*.
pub const PLACES: u64 = 1;

/// The bit of *features* of who knows the durability `replicated`; to others it is `disk`.
pub const REPLICATED: u64 = 2;
