//! `tenfour send`: delivers, and waits for the receipt.

mod datagram;
mod lines;
pub mod pieces;
mod text;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use tenfour::{Client, MailboxName, Message, MessageName, Receipt, limits};

use crate::amount::show_size;
use crate::args;
use crate::exit::{Code, Failure};
use crate::route::Route;
use crate::target::{Dialect, Target};
use crate::{output, setup, signals};

/// Delivers what the arguments, a file, stdin or somebody at the terminal says.
pub async fn run(mut arguments: args::Send) -> Result<(), Failure> {
    let target = match arguments.target.take() {
        Some(target) => target,
        None if output::is_terminal(&io::stdin()) => Target::localhost(),
        None => return Err(Failure::usage("no target").hint("tenfour send HOST \"message\"")),
    };
    // What cannot be sent is said before anybody is bothered with a connection.
    let mailbox = target.mailbox_or(&MailboxName::inbox())?;
    match target.dialect {
        Dialect::Text => return text::run(arguments, target).await,
        Dialect::Datagram => return datagram::run(arguments, target, mailbox).await,
        Dialect::Native if arguments.no_receipt => {
            return Err(Failure::usage(
                "--no-receipt is for tcp:// and udp://; here the receipt is what you get",
            ));
        }
        Dialect::Native => {}
    }
    if arguments.lines || arguments.zero {
        return lines::run(arguments, target, mailbox).await;
    }
    let input = Input::choose(&arguments.content)?;
    let config = setup::client(
        &arguments.identity,
        arguments.timeout,
        arguments.durability,
        arguments.id.clone(),
    )?;
    let mut sent = None;
    let code = tokio::select! {
        result = deliver(&arguments, &target, &mailbox, input, config, &mut sent) => return result,
        code = signals::stop() => code,
    };
    Err(interrupted(code, &target, sent.as_deref()))
}

/// The words for a signal: before the message left, nothing is stored.
fn interrupted(code: Code, target: &Target, id: Option<&str>) -> Failure {
    match id {
        None => Failure::new(code, "interrupted; nothing was sent"),
        Some(id) => Failure::new(code, format!("interrupted; {target} may have the message")).hint(format!(
            "repeat the same command with --id {id}; it is stored once"
        )),
    }
}

async fn deliver(
    arguments: &args::Send,
    target: &Target,
    mailbox: &MailboxName,
    input: Input,
    config: tenfour::ClientConfig,
    sent: &mut Option<String>,
) -> Result<(), Failure> {
    let name = target.to_string();
    let sender = config.identity.fingerprint();
    let ready = match input {
        Input::Ready(body, message_name) => Some((body, message_name)),
        Input::Ask => None,
    };
    let route = Route::native(sender, target, mailbox);
    let client = Client::connect(std::slice::from_ref(&target.address), config)
        .await
        .map_err(|error| {
            if arguments.json
                && let Some((body, _)) = &ready
            {
                output::answer_line(&route.unreached(&error, body.len() as u64).json());
            }
            Failure::connect(&error, &name)
        })?;
    let (body, message_name) = match ready {
        Some(ready) => ready,
        None => (ask(CONNECTED_PROMPT).await?, None),
    };
    let started = Instant::now();
    let bytes = body.len() as u64;
    let message = message(&arguments.content, mailbox, body, message_name);
    let sending = client.send(message);
    *sent = Some(client.id().to_owned());
    let result = sending.await;
    let route = route.on(&client);
    match result {
        Ok(receipt) => {
            if arguments.json {
                output::answer_line(&route.receipt(&receipt, bytes).json());
            } else {
                let Receipt {
                    mailbox,
                    offset,
                    duplicate,
                    ..
                } = &receipt;
                show_receipt(target, mailbox, *offset, bytes, *duplicate, started);
            }
            Ok(())
        }
        Err(error) => {
            if arguments.json {
                output::answer_line(&route.failure(&error, 1, bytes).json());
            }
            Err(Failure::delivery(&error, &name, client.id()))
        }
    }
}

/// The receipt on one line, if somebody looks.
fn show_receipt(
    target: &Target,
    mailbox: &MailboxName,
    offset: u64,
    bytes: u64,
    duplicate: bool,
    started: Instant,
) {
    if !output::is_terminal(&io::stderr()) {
        return;
    }
    let milliseconds = started.elapsed().as_secs_f64() * 1000.0;
    let stored = if duplicate { "stored before" } else { "stored" };
    output::talk(&format!(
        "10-4  {}/{mailbox} #{offset}  {}  {stored}  {milliseconds:.1} ms",
        target.host(),
        show_size(bytes),
    ));
}

/// A server whose key is known is spoken to with its key, unless somebody insists.
fn not_in_the_clear(arguments: &args::Send, target: &Target) -> Result<(), Failure> {
    let known = !arguments.clear
        && !target.address.is_loopback()
        && setup::known_hosts()?.pin(&target.address).is_some();
    if !known {
        return Ok(());
    }
    let host = target.address.host_text();
    let text = format!("the key of {host} is known, so it is not spoken to in the clear");
    Err(Failure::new(Code::WrongServer, text).hint(format!("tenfour send {host} ..., or add --clear")))
}

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

fn checked(body: Vec<u8>) -> Result<Bytes, Failure> {
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

/// The recipe's question, and what it says before it once a connection is there.
pub(super) const PROMPT: &str = "What message for the server? : ";
pub(super) const CONNECTED_PROMPT: &str = "You are connected!\nWhat message for the server? : ";

/// The recipe's dialogue.
pub(super) async fn ask(prompt: &str) -> Result<Bytes, Failure> {
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
    checked(line)
}
