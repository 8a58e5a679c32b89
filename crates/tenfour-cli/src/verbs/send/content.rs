//! What is sent: words, a file, or stdin.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;
use tenfour::proto::{MessageName, limits};
use tenfour::{MailboxName, Message};

use crate::amount::show_size;
use crate::args;
use crate::exit::{Code, Failure};
use crate::output;

pub fn message(
    content: &args::Content,
    mailbox: &MailboxName,
    body: Bytes,
    name: Option<MessageName>,
) -> Message {
    let mut message = Message::new(mailbox.clone(), body);
    message.content_type = content.content_type.clone();
    message.name = content.name.clone().or(name);
    message
}

/// Where the one message comes from.
pub enum Input {
    Ready(Bytes, Option<MessageName>),
    Ask,
}

impl Input {
    /// An argument if there is one, and then stdin is never touched.
    pub fn choose(content: &args::Content) -> Result<Self, Failure> {
        if let Some(file) = content.file.as_deref().filter(|file| *file != Path::new("-")) {
            let name = file
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.parse().ok());
            return Ok(Input::Ready(read_file(file)?, name));
        }
        if let Some(message) = &content.message {
            return Ok(Input::Ready(checked(message.clone().into_bytes())?, None));
        }
        if !content.words.is_empty() {
            let words = content.words.join(" ");
            return Ok(Input::Ready(
                checked(not_empty(words.into_bytes(), "the message")?)?,
                None,
            ));
        }
        if content.file.is_none() && output::is_terminal(&io::stdin()) {
            return Ok(Input::Ask);
        }
        if output::stdin_is_closed() {
            return Err(Failure::local("cannot read stdin: it was closed from the start"));
        }
        let body =
            read_all(io::stdin()).map_err(|error| Failure::local(format!("cannot read stdin: {error}")))?;
        Ok(Input::Ready(checked(not_empty(whole(body)?, "stdin")?)?, None))
    }
}

/// `false | tenfour send a` and `tenfour send a "$UNSET"` are accidents: whoever wants an empty message says so.
fn not_empty(body: Vec<u8>, what: &str) -> Result<Vec<u8>, Failure> {
    if body.is_empty() {
        return Err(Failure::usage(format!("{what} is empty; nothing was sent"))
            .hint("to send an empty message: -m ''"));
    }
    Ok(body)
}

/// A terminal cuts a line that is longer than this, and says nothing.
const TERMINAL_LINE: usize = 4_095;

/// What was typed or pasted, if no line of it was cut by the terminal.
pub(super) fn whole(body: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let is_cut = |line: &[u8]| line.len() >= TERMINAL_LINE;
    if output::is_terminal(&io::stdin()) && body.split(|byte| *byte == b'\n').any(is_cut) {
        return Err(Failure::local(format!(
            "a line of the terminal ends after {TERMINAL_LINE} bytes, and the rest was cut; nothing of it was sent"
        ))
        .hint("put it into a file: -f FILE, or pipe it in"));
    }
    Ok(body)
}

fn read_file(file: &Path) -> Result<Bytes, Failure> {
    let body = File::open(file)
        .and_then(read_all)
        .map_err(|error| Failure::local(format!("cannot read `{}`: {error}", file.display())))?;
    checked(body)
}

/// One byte more than any server takes is enough to know.
fn read_all(from: impl Read) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    from.take(u64::from(limits::CEILING_MAX_MESSAGE) + 1)
        .read_to_end(&mut body)?;
    Ok(body)
}

pub(super) fn checked(body: Vec<u8>) -> Result<Bytes, Failure> {
    if body.len() > limits::CEILING_MAX_MESSAGE as usize {
        return Err(too_large());
    }
    Ok(Bytes::from(body))
}

/// Longer than any server takes.
pub(super) fn too_large() -> Failure {
    Failure::new(
        Code::Refused,
        format!(
            "the message is larger than {}, the most that any server takes",
            show_size(limits::CEILING_MAX_MESSAGE.into())
        ),
    )
    .hint("for large files use a tool that can resume, such as rsync; then send its name")
}
