//! `tenfour ask`: sends a message, and prints the reply.

use std::io;

use tenfour::server::Record;
use tenfour::{AskError, Client, MailboxName, Reply};

use super::send::content::{Input, message};
use crate::args;
use crate::exit::{Code, Failure};
use crate::route::Route;
use crate::target::{Dialect, Target};
use crate::{output, setup, signals};

/// The highest code that is a handler's; beyond are ours.
const HIGHEST: u8 = 63;

/// Wrong usage, in this verb: 2 may be a handler's.
pub const USAGE: u8 = 64;

/// Errors of this side, in this verb: 1 may be a handler's (sysexits.h: EX_SOFTWARE).
const LOCAL: u8 = 70;

/// Asks, and gives the handler's code.
pub async fn run(arguments: args::Ask) -> Result<u8, Failure> {
    let target = match &arguments.target {
        Some(target) => target.clone(),
        None if output::is_terminal(&io::stdin()) => Target::localhost(),
        None => return Err(Failure::usage("no target").hint("tenfour ask HOST \"question\"")),
    };
    if target.dialect != Dialect::Native {
        return Err(Failure::usage("only the native listener brings replies")
            .hint(format!("tenfour ask {} ...", target.address.host_text())));
    }
    let mailbox = target.mailbox_or(&MailboxName::inbox())?;
    let Input::Ready(body, name) = Input::choose(&arguments.content)? else {
        return Err(Failure::usage("there is no question").hint("tenfour ask HOST \"question\""));
    };
    let config = setup::client(
        &arguments.identity,
        arguments.timeout,
        arguments.durability,
        arguments.id.clone(),
    )?;
    let (sender, bytes) = (config.identity.fingerprint(), body.len() as u64);
    let message = message(&arguments.content, &mailbox, body, name);
    let route = Route::native(sender, &target, &mailbox);
    let mut id = None;
    let work = async {
        let client = Client::builder(&target.address)
            .config(config)
            .connect()
            .await
            .map_err(|error| {
                if arguments.json {
                    output::answer_line(&route.unreached(&error, bytes).json());
                }
                Failure::connect_to("ask", &error, &target.to_string())
            })?;
        id = Some(client.id().to_owned());
        let route = route.on(&client);
        match client.ask_message(message).await {
            Ok((receipt, reply)) => {
                if arguments.json {
                    let record = Record {
                        outcome: if reply.code.is_some() { "answered" } else { "dead" },
                        code: reply.code,
                        ..route.receipt(&receipt, bytes)
                    };
                    output::answer_line(&record.with_body(&reply.body).json());
                } else {
                    output::answer(&reply.body);
                }
                Ok(ended(&reply))
            }
            Err(error) => {
                if arguments.json {
                    let record = match &error {
                        AskError::NoReply(receipt) | AskError::Lost { receipt, .. } => Record {
                            reason: Some(error.to_string()),
                            ..route.receipt(receipt, bytes)
                        },
                        AskError::Delivery(error) => route.failure(error, 1, bytes),
                        _ => route.record("unknown", bytes),
                    };
                    output::answer_line(&record.json());
                }
                Err(failure(&error, &target, &route))
            }
        }
    };
    let code = tokio::select! {
        result = work => return result,
        code = signals::stop() => code,
    };
    Err(match id {
        None => Failure::new(code, "interrupted; nothing was asked"),
        Some(id) => {
            Failure::new(code, format!("interrupted; {target} may have the question")).hint(again(&id))
        }
    })
}

/// The handler's code, or what stands for it.
fn ended(reply: &Reply) -> u8 {
    match reply.code {
        Some(code) if code <= HIGHEST => code,
        Some(code) => {
            output::talk(&format!(
                "tenfour: the handler ended with {code}; codes beyond {HIGHEST} become {HIGHEST}"
            ));
            HIGHEST
        }
        None => {
            output::talk(
                "tenfour: no handler could do it, time and again; the message is in the dead letters",
            );
            HIGHEST
        }
    }
}

fn failure(error: &AskError, target: &Target, route: &Route) -> Failure {
    match error {
        AskError::Delivery(error) => {
            let id = route.id.as_deref().unwrap_or_default();
            Failure::delivery(error, &target.to_string(), id, route.wanted())
        }
        _ => Failure::new(Code::Unknown, error.to_string())
            .hint(again(route.id.as_deref().unwrap_or_default())),
    }
}

fn again(id: &str) -> String {
    format!("ask again with --id {id}; nobody is asked twice, and a reply is kept for an hour")
}

/// The exit code of a failure: those below 64 are for handlers.
pub fn exit_code(code: Code) -> u8 {
    match code {
        Code::Usage => USAGE,
        Code::Local => LOCAL,
        code => code as u8,
    }
}
