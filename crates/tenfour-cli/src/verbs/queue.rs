//! `tenfour queue`: the outbox on this machine.

mod deliver;
mod list;
mod local;

use std::io;

use tenfour::outbox::{Dropped, Outbox, Verdict};
use tenfour::server::Record;
use tenfour::store::OpenError;
use tenfour::{Address, MailboxName, Message};

use super::send::content::{Input, message};
use super::send::pieces::Pieces;
use super::send::prompt::{PROMPT, ask};
use crate::amount::show_count;
use crate::args::{Queue, What, Which};
use crate::exit::{Code, Failure};
use crate::output;
use crate::target::{Dialect, Target};
use local::{failed, open, open_failure};

/// Queues, shows, drops or delivers.
pub async fn run(mut arguments: Queue) -> Result<(), Failure> {
    let target = arguments.target.take();
    if let Some(target) = target.as_ref().filter(|target| target.dialect != Dialect::Native) {
        return Err(Failure::usage(format!(
            "{target} cannot tell one message from another, so nothing is queued for it"
        ))
        .hint("tenfour queue HOST \"message\""));
    }
    let what = arguments.what();
    if let Some(target) = target
        .as_ref()
        .filter(|target| what != What::Put && target.mailbox.is_some())
    {
        return Err(
            Failure::usage("an outbox has a queue for each server, not for each mailbox")
                .hint(format!("name the server alone: {}", target.host())),
        );
    }
    match what {
        What::Put => put(&arguments, target).await,
        What::List => list::run(
            &open(&arguments)?,
            address(target.as_ref()).as_deref(),
            arguments.json,
        ),
        What::Run if target.is_some() => Err(Failure::usage("--run delivers everything")
            .hint("tenfour queue --run, or --flush for one server")),
        What::Run => deliver::run(arguments).await,
        What::Flush => deliver::flush(arguments, address(target.as_ref())).await,
        What::Drop(which) => drop_messages(open(&arguments)?, &required(target.as_ref())?, which),
        What::Retry(number) => retry(open(&arguments)?, &required(target.as_ref())?, number),
        What::ResendLost => decide(open(&arguments)?, &required(target.as_ref())?, Verdict::Resend),
        What::ForgetLost => decide(open(&arguments)?, &required(target.as_ref())?, Verdict::Forget),
    }
}

/// How the outbox calls a server.
fn address(target: Option<&Target>) -> Option<String> {
    target.map(|target| target.address.to_string())
}

fn required(target: Option<&Target>) -> Result<String, Failure> {
    address(target).ok_or_else(|| Failure::usage("no target").hint("tenfour queue --list shows them"))
}

async fn put(arguments: &Queue, target: Option<Target>) -> Result<(), Failure> {
    let target = match target {
        Some(target) => target,
        None if output::is_terminal(&io::stdin()) => Target::localhost(),
        None => return Err(Failure::usage("no target").hint("tenfour queue HOST \"message\"")),
    };
    let mailbox = target.mailbox_or(&MailboxName::inbox())?;
    let mut outbox = Queuer {
        outbox: open(arguments)?,
        address: target.address.clone(),
        json: arguments.json,
        count: 0,
    };
    if arguments.lines || arguments.zero {
        let mut pieces = Pieces::of_stdin(arguments.zero);
        loop {
            let batch = pieces.batch().map_err(|failure| outbox.so_far(failure))?;
            if batch.is_empty() {
                break;
            }
            let messages = batch
                .into_iter()
                .map(|body| message(&arguments.content, &mailbox, body, None));
            outbox.put(&messages.collect::<Vec<_>>())?;
        }
    } else {
        let (body, name) = match Input::choose(&arguments.content)? {
            Input::Ready(body, name) => (body, name),
            Input::Ask => (ask(PROMPT).await?, None),
        };
        outbox.put(&[message(&arguments.content, &mailbox, body, name)])?;
    }
    if output::is_terminal(&io::stderr()) && !arguments.json {
        output::talk(&format!(
            "queued  {}  {} on this machine's disk; tenfour queue --run delivers",
            target.address,
            show_count(outbox.count, "message"),
        ));
    }
    Ok(())
}

/// Where messages go, and how many went.
struct Queuer {
    outbox: Outbox,
    address: Address,
    json: bool,
    count: u64,
}

impl Queuer {
    fn put(&mut self, messages: &[Message]) -> Result<(), Failure> {
        let address = self.address.to_string();
        let first = self
            .outbox
            .put(&address, messages)
            .map_err(|error| self.so_far(failed(&error)))?;
        self.count += messages.len() as u64;
        if self.json {
            for (number, message) in (first..).zip(messages) {
                let record = Record {
                    outcome: "queued",
                    number: Some(number),
                    address: Some(address.clone()),
                    mailbox: Some(message.mailbox.to_string()),
                    bytes: Some(message.body.len() as u64),
                    ..Record::default()
                };
                output::answer_line(&record.json());
            }
        }
        Ok(())
    }

    /// What the messages came to before it failed.
    fn so_far(&self, mut failure: Failure) -> Failure {
        if self.count > 0 {
            failure.message = format!("{}; the first {} are queued", failure.message, self.count);
        }
        failure
    }
}

fn drop_messages(mut outbox: Outbox, address: &str, which: Which) -> Result<(), Failure> {
    let Which::One(number) = which else {
        let mut dispatch = outbox.claim().map_err(|error| match error {
            OpenError::InUse { .. } => Failure::caused(&error)
                .hint("messages may be under way; stop `tenfour queue --run` first, or drop them one by one"),
            other => open_failure(&other),
        })?;
        let (dropped, left) = dispatch.abandon(address).map_err(|error| failed(&error))?;
        output::talk(&match left {
            0 => format!("{} for {address} dropped", show_count(dropped, "message")),
            _ => format!(
                "{} for {address} dropped; {left} of them may have arrived",
                show_count(dropped, "message")
            ),
        });
        return Ok(());
    };
    match outbox.discard(address, number).map_err(|error| failed(&error))? {
        Dropped::Gone => Ok(()),
        Dropped::OnItsWay => Err(Failure::new(
            Code::Unknown,
            format!("message #{number} for {address} may have arrived already; it stays"),
        )
        .hint("--drop all drops everything for that server")),
        Dropped::NotThere => Err(not_there(address, number, "waits or was refused")),
    }
}

fn retry(mut outbox: Outbox, address: &str, number: u64) -> Result<(), Failure> {
    match outbox.retry(address, number).map_err(|error| failed(&error))? {
        Some(new) => {
            output::talk(&format!("queued again, as #{new}"));
            Ok(())
        }
        None => Err(not_there(address, number, "was refused")),
    }
}

fn not_there(address: &str, number: u64, kind: &str) -> Failure {
    Failure::local(format!("there is no message #{number} for {address} that {kind}"))
        .hint("tenfour queue --list shows them")
}

fn decide(mut outbox: Outbox, address: &str, verdict: Verdict) -> Result<(), Failure> {
    let routes = outbox.routes().map_err(|error| failed(&error))?;
    let route = routes.into_iter().find(|route| route.address == address);
    if let Some((from, to, here)) = route.and_then(|route| list::lacks(&route))
        && verdict == Verdict::Resend
    {
        if here == 0 {
            return Err(Failure::local(format!(
                "{address} lacks #{from} to #{to}, and nothing of that is here any more"
            ))
            .hint(format!(
                "tenfour queue {address} --forget-lost goes on without it"
            )));
        }
        let lacking = show_count(to + 1 - from, "message");
        output::talk(&format!("still here and sent again: {here} of {lacking}"));
    }
    if outbox.decide(address, verdict).map_err(|error| failed(&error))? {
        output::talk("noted; tenfour queue --run or --flush does it");
        return Ok(());
    }
    Err(Failure::local(format!(
        "{address} is not known to lack anything that it gave receipts for"
    )))
}
