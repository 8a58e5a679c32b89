//! What a fuzzer does to tenfour: one function for each target, which takes any bytes and panics if something is wrong
//! with what is made of them.
//!
//! `cargo fuzz run TARGET --features libfuzzer` searches (docs/testing.md); `corpus/` keeps inputs that lead into every
//! corner, and `cargo test` plays them.

mod bytes;
mod commits;
mod datagram;
mod escape;
mod http;
mod keys;
mod modbus;
mod native;
mod pair;
mod served;
mod target;
mod text;

pub use commits::{QUOTA, commits, play};
pub use datagram::datagram;
pub use escape::escape;
pub use http::http;
pub use keys::keys;
pub use modbus::{modbus, registers};
pub use native::{frames, native_client, native_server};
pub use pair::pair;
pub use target::target;
pub use text::text;

/// Takes any input.
pub type Target = fn(&[u8]);

/// All of them.
pub const TARGETS: [(&str, Target); 13] = [
    ("text", text),
    ("frames", frames),
    ("native_server", native_server),
    ("native_client", native_client),
    ("pair", pair),
    ("datagram", datagram),
    ("modbus", modbus),
    ("registers", registers),
    ("http", http),
    ("target", target),
    ("keys", keys),
    ("escape", escape),
    ("commits", commits),
];
