//! The recipe's dialogue.

use std::io::{self, Read};

use bytes::Bytes;
use tenfour::proto::limits;

use super::content::{checked, whole};
use crate::exit::Failure;
use crate::output;

/// The recipe's question, and what it says before it once a connection is there.
pub const PROMPT: &str = "What message for the server? : ";

pub const CONNECTED_PROMPT: &str = "You are connected!\nWhat message for the server? : ";

/// The recipe's dialogue.
pub async fn ask(prompt: &str) -> Result<Bytes, Failure> {
    output::data(prompt.as_bytes())?;
    let line = tokio::task::spawn_blocking(|| {
        let mut line = Vec::new();
        let mut stdin = io::BufReader::new(io::stdin()).take(u64::from(limits::CEILING_MAX_MESSAGE) + 2);
        io::BufRead::read_until(&mut stdin, b'\n', &mut line).map(|_| line)
    })
    .await;
    let mut line = match line {
        Ok(Ok(line)) => line,
        Ok(Err(error)) => return Err(Failure::local(format!("cannot read stdin: {error}"))),
        Err(_) => return Err(Failure::local("cannot read stdin")),
    };
    if line.is_empty() {
        return Err(Failure::local("no message was typed; nothing was sent"));
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    checked(whole(line)?)
}
