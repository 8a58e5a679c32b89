//! `tenfour send`: delivers, and waits for the receipt.

pub mod content;
mod datagram;
mod delivery;
mod lines;
pub mod pieces;
pub mod prompt;
mod text;

use std::io;
use std::time::Instant;

use tenfour::{Client, MailboxName, Receipt};

use crate::args;
use crate::exit::{Code, Failure};
use crate::route::Route;
use crate::target::{Dialect, Target};
use crate::{output, setup, signals};
use content::{Input, message};
use delivery::show_receipt;
use prompt::{CONNECTED_PROMPT, ask};

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
    let client = Client::builder(&target.address)
        .config(config)
        .connect()
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
    *sent = Some(client.id().to_owned());
    let result = async { client.send_message(message).await?.await }.await;
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
            Err(Failure::delivery(&error, &name, client.id(), route.wanted()))
        }
    }
}
