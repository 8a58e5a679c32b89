//! `tenfour send tcp://`: one message over the recipe's wire.

use std::io;

use tenfour::proto::Listener;
use tenfour::server::Record;
use tenfour::text::{Answer as TextAnswer, Outcome as TextOutcome, TextDelivery};

use super::content::Input;
use super::delivery::not_in_the_clear;
use super::prompt::{CONNECTED_PROMPT, ask};
use crate::args;
use crate::exit::{Code, Failure};
use crate::route::Route;
use crate::target::Target;
use crate::{output, signals};

/// Sends it, and says what the server said.
pub(super) async fn run(arguments: args::Send, target: Target) -> Result<(), Failure> {
    if arguments.id.is_some() {
        return Err(
            Failure::usage("--id is not for tcp://: its wire carries no identity").hint(format!(
                "tenfour send {} ... delivers exactly once",
                target.address.host_text()
            )),
        );
    }
    if arguments.lines || arguments.zero {
        return Err(Failure::usage(
            "-l and -0 are not for tcp://: it carries one message a connection",
        ));
    }
    if arguments.content.name.is_some() || arguments.content.content_type.is_some() {
        return Err(Failure::usage("tcp:// carries neither a name nor a type"));
    }
    let input = Input::choose(&arguments.content)?;
    not_in_the_clear(&arguments, &target)?;
    if let Input::Ready(body, _) = &input {
        check(body)?;
    }
    let work = async {
        let mut delivery = TextDelivery::connect(&target.address, arguments.timeout)
            .await
            .map_err(|error| {
                if arguments.json
                    && let Input::Ready(body, _) = &input
                {
                    output::answer_line(&route(&target).unreached(&error, body.len() as u64).json());
                }
                Failure::connect(&error, &target.to_string())
            })?;
        let body = match input {
            Input::Ready(body, _) => body,
            Input::Ask => {
                delivery.greeted(arguments.timeout).await;
                let body = ask(CONNECTED_PROMPT).await?;
                check(&body)?;
                body
            }
        };
        let bytes = body.len() as u64;
        let outcome = delivery.deliver(body, arguments.timeout).await;
        finish(&arguments, &target, outcome, bytes)
    };
    tokio::select! {
        result = work => result,
        code = signals::stop() => Err(Failure::new(code, format!("interrupted; {target} may have the message"))
            .hint("there is no identity on this wire: repeating may store it twice")),
    }
}

/// What the wire cannot carry unchanged is refused before connecting.
fn check(body: &[u8]) -> Result<(), Failure> {
    let why = if body.is_empty() {
        "an empty message leaves no trace there"
    } else if body.contains(&b'\n') {
        "a line end would make two messages of it"
    } else if body.last() == Some(&b'\r') {
        "a CR at its end may be dropped"
    } else {
        return Ok(());
    };
    Err(
        Failure::new(Code::Refused, format!("tcp:// cannot carry this message: {why}"))
            .hint("the native listener carries any bytes: leave out tcp://"),
    )
}

fn route(target: &Target) -> Route {
    Route {
        listener: Some(Listener::Text),
        address: Some(target.address.to_string()),
        ..Route::default()
    }
}

fn finish(arguments: &args::Send, target: &Target, outcome: TextOutcome, bytes: u64) -> Result<(), Failure> {
    let route = route(target);
    let record = |outcome, reason: Option<String>| Record {
        reason,
        ..route.record(outcome, bytes)
    };
    let say = |record: Record| {
        if arguments.json {
            output::answer_line(&record.json());
        }
    };
    match outcome {
        TextOutcome::Answered(TextAnswer::Stored {
            mailbox,
            offset,
            durability,
        }) => {
            if durability < arguments.durability {
                say(record("stored", Some(format!("only {durability}"))));
                return Err(Failure::less_durable(
                    &target.to_string(),
                    &mailbox,
                    offset,
                    durability,
                ));
            }
            say(Record {
                mailbox: Some(mailbox.to_string()),
                offset: Some(offset),
                durability: Some(durability.as_str()),
                ..record("stored", None)
            });
            if !arguments.json && output::is_terminal(&io::stderr()) {
                output::talk(&format!(
                    "10-4  {}/{mailbox} #{offset}  {bytes} B  stored",
                    target.host()
                ));
            }
            Ok(())
        }
        TextOutcome::Answered(TextAnswer::Refused(code)) => {
            say(record("refused", Some(code.as_str().to_owned())));
            Err(Failure::new(
                Code::Refused,
                format!("{target} refused the message: {code}"),
            ))
        }
        TextOutcome::Answered(TextAnswer::NotNow(code)) => {
            say(record("unsent", Some(code.as_str().to_owned())));
            Err(Failure::new(
                Code::Unavailable,
                format!("{target} did not take the message: {code}"),
            ))
        }
        TextOutcome::NoAnswer | TextOutcome::NotTenfour if arguments.no_receipt => {
            say(record("unknown", None));
            Ok(())
        }
        TextOutcome::NoAnswer | TextOutcome::NotTenfour => {
            let reason = if outcome == TextOutcome::NoAnswer {
                "it gave no receipt"
            } else {
                "its answer is not tenfour's"
            };
            say(record("unknown", Some(reason.to_owned())));
            Err(
                Failure::new(Code::Unknown, format!("{target} may have the message: {reason}"))
                    .hint("repeating may store it twice; --no-receipt accepts a server that gives none"),
            )
        }
    }
}
