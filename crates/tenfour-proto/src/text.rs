//! The recipe's wire: a greeting, lines, and an answer for each line.
//!
//! The server speaks first: the 18 bytes of [`GREETING`]. A message ends at LF (a CR before it is
//! dropped) or at the end of the stream. Each is answered once it is as durable as the store makes it:
//! `10-4 inbox 4127`, or `no CODE reason`, then LF. The first answer follows the greeting directly.

mod answer;
mod client;
mod foreign;
mod greeting;
mod server;

pub use answer::Answer;
pub use client::{Client, Outcome};
pub use foreign::Foreign;
pub use greeting::GREETING;
pub use server::{Event, Server};
