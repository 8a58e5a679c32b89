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
        if let Some(file) = &content.file {
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
            return Ok(Input::Ready(checked(content.words.join(" ").into_bytes())?, None));
        }
        if output::is_terminal(&io::stdin()) {
            return Ok(Input::Ask);
        }
        let body =
            read_all(io::stdin()).map_err(|error| Failure::local(format!("cannot read stdin: {error}")))?;
        Ok(Input::Ready(checked(body)?, None))
    }
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
