//! `tenfour send udp://`: one message as a datagram.

use std::time::Instant;

use bytes::Bytes;
use tenfour::MailboxName;
use tenfour::client::random_id;
use tenfour::datagram::{
    Outcome as DatagramOutcome, Request as DatagramRequest, Verdict as DatagramVerdict,
    deliver as deliver_datagram, send as send_datagram,
};
use tenfour::proto::{Listener, ProducerId, RefusalCode};
use tenfour::server::Record;

use super::content::Input;
use super::delivery::{not_in_the_clear, show_receipt};
use super::prompt::{PROMPT, ask};
use crate::args;
use crate::exit::{Code, Failure};
use crate::route::Route;
use crate::target::Target;
use crate::{output, signals};

/// Sends it, and says what the server said.
pub(super) async fn run(arguments: args::Send, target: Target, mailbox: MailboxName) -> Result<(), Failure> {
    if arguments.lines || arguments.zero {
        return Err(Failure::usage(
            "-l and -0 are not for udp://: it carries one message",
        ));
    }
    if arguments.content.name.is_some() || arguments.content.content_type.is_some() {
        return Err(Failure::usage("udp:// carries neither a name nor a type"));
    }
    if arguments.no_receipt && arguments.id.is_some() {
        return Err(Failure::usage(
            "a plain datagram carries no id: leave out --no-receipt or --id",
        ));
    }
    if arguments.no_receipt && mailbox != MailboxName::inbox() {
        return Err(
            Failure::usage("a plain datagram names no mailbox: it always goes to `inbox`")
                .hint("leave out --no-receipt"),
        );
    }
    not_in_the_clear(&arguments, &target)?;
    let body = match Input::choose(&arguments.content)? {
        Input::Ready(body, _) => body,
        Input::Ask => ask(PROMPT).await?,
    };
    let most = if arguments.no_receipt {
        tenfour::datagram::MAX_DATAGRAM
    } else {
        DatagramRequest::most(&mailbox)
    };
    if body.len() > most {
        let text = format!(
            "the message has {} bytes, and a datagram carries at most {most}",
            body.len()
        );
        return Err(Failure::new(Code::Refused, text).hint(format!(
            "the native listener carries more: tenfour send {}",
            target.address.host_text()
        )));
    }
    let id = arguments.id.clone().unwrap_or_else(random_id);
    let work = deliver(&arguments, &target, mailbox, body, &id);
    let code = tokio::select! {
        result = work => return result,
        code = signals::stop() => code,
    };
    let failure = Failure::new(code, format!("interrupted; {target} may have the message"));
    Err(if arguments.no_receipt {
        failure
    } else {
        failure.hint(format!(
            "repeat the same command with --id {id}; it is stored once"
        ))
    })
}

async fn deliver(
    arguments: &args::Send,
    target: &Target,
    mailbox: MailboxName,
    body: Bytes,
    id: &str,
) -> Result<(), Failure> {
    let started = Instant::now();
    let bytes = body.len() as u64;
    let producer = ProducerId::of_key(id);
    let route = Route {
        id: (!arguments.no_receipt).then(|| id.to_owned()),
        sender: Some(
            if arguments.no_receipt {
                "anonymous"
            } else {
                "datagram"
            }
            .to_owned(),
        ),
        producer: (!arguments.no_receipt).then(|| producer.to_string()),
        listener: Some(Listener::Datagram),
        address: Some(target.address.to_string()),
        mailbox: Some(mailbox.to_string()),
    };
    let say = |record: Record| {
        if arguments.json {
            output::answer_line(&record.json());
        }
    };
    let not_reached = |error| {
        say(route.unreached(&error, bytes));
        Failure::connect(&error, &target.to_string())
    };
    if arguments.no_receipt {
        send_datagram(&target.address, &body, arguments.timeout)
            .await
            .map_err(not_reached)?;
        say(route.record("unknown", bytes));
        return Ok(());
    }
    let request = DatagramRequest {
        producer,
        sequence: 1,
        mailbox,
        body,
    };
    let record = |outcome, reason: Option<&str>| Record {
        sequence: Some(1),
        reason: reason.map(str::to_owned),
        ..route.record(outcome, bytes)
    };
    match deliver_datagram(&target.address, request, arguments.timeout)
        .await
        .map_err(not_reached)?
    {
        DatagramOutcome::Answered(DatagramVerdict::Stored {
            mailbox,
            offset,
            durability,
            duplicate,
        }) => {
            say(Record {
                mailbox: Some(mailbox.to_string()),
                offset: Some(offset),
                durability: Some(durability.as_str()),
                duplicate: Some(duplicate),
                ..record("stored", None)
            });
            if durability < arguments.durability {
                return Err(Failure::less_durable(
                    &target.to_string(),
                    &mailbox,
                    offset,
                    durability,
                ));
            }
            if !arguments.json {
                show_receipt(target, &mailbox, offset, bytes, duplicate, started);
            }
            Ok(())
        }
        DatagramOutcome::Answered(DatagramVerdict::Refused(code)) => {
            say(record("refused", Some(code.as_str())));
            let failure = Failure::refused(code, &target.to_string(), None);
            Err(match code {
                RefusalCode::NotAllowed => failure.hint(
                    "a datagram has no key; on the server, in authorized_keys: anonymous send=inbox,MAILBOX",
                ),
                _ => failure,
            })
        }
        DatagramOutcome::NoAnswer => {
            say(record("unknown", Some("no receipt in time")));
            let text = format!("{target} may have the message, but gave no receipt in time");
            Err(Failure::new(Code::Unknown, text).hint(format!(
                "repeat the same command with --id {id}; it is stored once"
            )))
        }
    }
}
