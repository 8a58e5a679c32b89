//! `tenfour receive`: consumes a mailbox by a durable cursor.

mod files;
mod handlers;

use std::path::PathBuf;
use std::time::Duration;

use tenfour::{Consumer, ConsumerOptions, Durability, FollowError, Item, MailboxName, Record};

use super::reading::{deadline, enough, failure, readable};
use crate::args::Receive;
use crate::escape::{Escape, escape};
use crate::exit::{Code, Failure};
use crate::target::Target;
use crate::{output, setup, signals};
use handlers::Handlers;

/// Messages written out before they are acknowledged together.
const BATCH: usize = 256;

/// Messages on their way to us, where writing them out is all there is to do.
const WINDOW: u32 = 512;

/// The server has so long to note what is done, once everything else is over.
const LAST_WORD: Duration = Duration::from_secs(10);

/// Where messages go.
enum Sink {
    Lines { json: bool, terminal: bool },
    Raw,
    Files { folder: PathBuf, json: bool },
}

/// Consumes until enough has come, the time is over, or a signal comes.
pub async fn run(arguments: Receive) -> Result<(), Failure> {
    let target = arguments.target.clone().unwrap_or_else(Target::localhost);
    readable(&target, "receive")?;
    let handlers = Handlers::of(&arguments)?;
    let config = setup::client(&arguments.identity, arguments.timeout, Durability::Memory, None)?;
    let window = handlers.as_ref().map_or(WINDOW, |_| arguments.handling.jobs * 2);
    let options = ConsumerOptions {
        cursor: arguments.name.clone(),
        from: arguments.from,
        retries: arguments.retries.0,
        follow: !arguments.drain,
        window: window.min(u32::try_from(arguments.until.count.unwrap_or(u64::MAX)).unwrap_or(u32::MAX)),
    };
    let mailbox = target.mailbox_or(&MailboxName::inbox())?;
    if arguments.until.count == Some(0) {
        return Ok(());
    }
    let failed = |error| failed(&error, &target);
    let (mut received, mut handlers) = (0, handlers);
    let mut wait = std::pin::pin!(deadline(arguments.until.wait));
    let mut stop = std::pin::pin!(signals::stop());
    let connecting = Consumer::connect(std::slice::from_ref(&target.address), config, mailbox, options);
    let mut consumer = tokio::select! {
        connected = connecting => connected.map_err(failed)?,
        code = &mut stop => return Err(Failure::new(code, "")),
        () = &mut wait => return enough(received, arguments.until.count),
    };
    arguments.skip.iter().for_each(|offset| consumer.skip(*offset));
    let consuming = async {
        match &mut handlers {
            Some(handlers) => {
                handlers
                    .run(&mut consumer, arguments.until.count, &mut received, failed)
                    .await
            }
            None => {
                write_out(
                    &mut consumer,
                    &sink(&arguments),
                    arguments.until.count,
                    &mut received,
                    failed,
                )
                .await
            }
        }
    };
    let consumed = tokio::select! {
        result = consuming => result,
        code = &mut stop => Err(Failure::new(code, "")),
        () = &mut wait => Ok(()),
    };
    if let Some(handlers) = handlers {
        handlers.end().await;
    }
    // What was done before the end is done, whatever the end was.
    let saved = match tokio::time::timeout(LAST_WORD, consumer.saved()).await {
        Ok(saved) => saved.map_err(failed),
        Err(_) => Err(
            Failure::new(Code::Unavailable, "the server did not note what is done")
                .hint("what was not noted comes again"),
        ),
    };
    consumed.and(saved)?;
    enough(received, arguments.until.count)
}

/// Why consuming ended, in words.
fn failed(error: &FollowError, target: &Target) -> Failure {
    let words = failure(error, target);
    match error {
        FollowError::Damaged { offset, .. } => {
            words.hint(format!("to go on without it: add --skip {offset}"))
        }
        FollowError::TooManyCursors => words.hint("use a --as NAME that is there already"),
        _ => words,
    }
}

fn sink(arguments: &Receive) -> Sink {
    let json = arguments.json;
    match &arguments.output {
        Some(folder) => Sink::Files {
            folder: folder.clone(),
            json,
        },
        None if arguments.raw => Sink::Raw,
        None => Sink::Lines {
            json,
            terminal: output::is_terminal(&std::io::stdout()),
        },
    }
}

async fn write_out(
    consumer: &mut Consumer,
    sink: &Sink,
    count: Option<u64>,
    received: &mut u64,
    failed: impl Fn(FollowError) -> Failure,
) -> Result<(), Failure> {
    while count.is_none_or(|count| *received < count) {
        let Some(first) = consumer.next().await.map_err(&failed)? else {
            break;
        };
        let most = usize::try_from(count.map_or(u64::MAX, |count| count - *received)).unwrap_or(usize::MAX);
        let (mut batch, mut end) = (vec![first], None);
        while batch.len() < BATCH.min(most) {
            match consumer.ready() {
                Ok(Some(item)) => batch.push(item),
                Ok(None) => break,
                // First what came before it.
                Err(error) => {
                    end = Some(failed(error));
                    break;
                }
            }
        }
        batch.iter().for_each(|item| consumer.begun(item));
        // Whoever dies from here on has had them, and the next reader is told so.
        consumer.saved().await.map_err(&failed)?;
        let mut bytes = Vec::new();
        let mut written = 0;
        for item in &batch {
            match write_one(item, sink, &mut bytes) {
                Ok(()) => written += 1,
                Err(failure) => {
                    end = Some(failure);
                    break;
                }
            }
        }
        output::data(&bytes)?;
        batch.iter().take(written).for_each(|item| consumer.done(item));
        *received += written as u64;
        if let Some(failure) = end {
            return Err(failure);
        }
    }
    Ok(())
}

fn write_one(item: &Item, sink: &Sink, out: &mut Vec<u8>) -> Result<(), Failure> {
    match sink {
        Sink::Raw => out.extend_from_slice(&item.message.body),
        Sink::Lines { json, terminal } => {
            match (json, terminal) {
                (true, _) => out.extend_from_slice(Record::of_delivery(item).json().as_bytes()),
                (false, true) => out.extend_from_slice(&escape(&item.message.body, Escape::ForReading)),
                (false, false) => out.extend_from_slice(&item.message.body),
            }
            out.push(b'\n');
        }
        Sink::Files { folder, json } => {
            let file = files::keep(folder, item)?;
            if *json {
                let record = Record {
                    file: Some(file),
                    text: None,
                    base64: None,
                    ..Record::of_delivery(item)
                };
                out.extend_from_slice(record.json().as_bytes());
            } else {
                out.extend_from_slice(&escape(file.as_bytes(), Escape::ForTerminal));
            }
            out.push(b'\n');
        }
    }
    Ok(())
}
