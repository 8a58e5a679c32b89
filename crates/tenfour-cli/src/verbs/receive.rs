//! `tenfour receive`: consumes a mailbox by a durable cursor.

mod files;
mod program;

use std::path::PathBuf;
use std::time::Duration;

use tenfour::proto::Fingerprint;
use tenfour::server::Record;
use tenfour::{Client, Consumer, Delivery, Durability, Item, MailboxName, ReaderError};

use super::read_client::{deadline, enough, failure, readable, reading_client};
use crate::args::Receive;
use crate::escape::{Escape, escape};
use crate::exit::{Code, Failure};
use crate::target::Target;
use crate::{output, setup, signals};
use program::Program;

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
    signals::survive_file_limits();
    let target = arguments.target.clone().unwrap_or_else(Target::localhost);
    readable(&target, "receive")?;
    let program = Program::of(&arguments)?;
    let config = setup::client(&arguments.identity, arguments.timeout, Durability::Memory, None)?;
    let mailbox = target.mailbox_or(&MailboxName::inbox())?;
    if arguments.until.count == Some(0) {
        return Ok(());
    }
    let key = config.identity.fingerprint();
    let failed = |error| failed(&error, &target, key, arguments.name.as_str());
    let mut received = 0;
    let mut wait = std::pin::pin!(deadline(arguments.until.wait));
    let mut stop = std::pin::pin!(signals::stop());
    let client = tokio::select! {
        connected = reading_client(&target, config) => connected?,
        code = &mut stop => return Err(Failure::new(code, "")),
        () = &mut wait => return enough(received, arguments.until.count),
    };
    let (consumed, saved) = match program {
        Some(program) => {
            let mut worker = program
                .worker(&client, &arguments, mailbox)
                .await
                .map_err(failed)?;
            let consumed = tokio::select! {
                result = worker.run(std::future::pending()) => result.map_err(|error| program.failure(error, failed)),
                code = &mut stop => Err(Failure::new(code, "")),
                () = &mut wait => Ok(()),
            };
            received = worker.handled();
            worker.cancel().await;
            program.say_passed_over();
            (consumed, last_word(worker.source()).await)
        }
        None => {
            let mut consumer = consumer(&client, &arguments, mailbox).await.map_err(failed)?;
            let sink = sink(&arguments);
            let consumed = tokio::select! {
                result = write_out(&mut consumer, &sink, arguments.until.count, &mut received, failed) => result,
                code = &mut stop => Err(Failure::new(code, "")),
                () = &mut wait => Ok(()),
            };
            (consumed, last_word(&consumer).await)
        }
    };
    let consumed = consumed.map_err(|failure| unread(failure, &arguments));
    consumed.and(saved.map_err(failed)?)?;
    enough(received, arguments.until.count)
}

/// Whoever reads has had enough: less came of it than was asked for, if a number or all was.
fn unread(failure: Failure, arguments: &Receive) -> Failure {
    if failure.code == Code::Enough && (arguments.drain || arguments.until.count.is_some()) {
        return Failure::local("nobody reads stdout any more; what was not written out comes again");
    }
    failure
}

async fn consumer(
    client: &Client,
    arguments: &Receive,
    mailbox: MailboxName,
) -> Result<Consumer, ReaderError> {
    let most = u32::try_from(arguments.until.count.unwrap_or(u64::MAX)).unwrap_or(u32::MAX);
    let mut consumer = client
        .consumer(mailbox, &arguments.name)
        .from(arguments.from)
        .skip(arguments.skip.iter().copied())
        .window(WINDOW.min(most));
    consumer = match arguments.retries.0 {
        Some(retries) => consumer.retries(retries),
        None => consumer.retry_for_ever(),
    };
    if arguments.drain {
        consumer = consumer.drain();
    }
    consumer.open().await
}

/// What was done before the end is done, whatever the end was.
async fn last_word(consumer: &Consumer) -> Result<Result<(), Failure>, ReaderError> {
    match tokio::time::timeout(LAST_WORD, consumer.saved()).await {
        Ok(saved) => saved.map(Ok),
        Err(_) => Ok(Err(Failure::new(
            Code::Unavailable,
            "the server did not note what is done",
        )
        .hint("what was not noted comes again"))),
    }
}

/// Why consuming ended, in words.
fn failed(error: &ReaderError, target: &Target, key: Fingerprint, cursor: &str) -> Failure {
    let words = failure(error, target, key);
    match error {
        ReaderError::NotAllowed(mailbox) => {
            let text = format!("this key may not consume `{mailbox}` by the cursor `{cursor}`");
            Failure::new(Code::NotAllowed, text).hint(format!(
                "on the server: tenfour keys allow {key} consume={mailbox}:{cursor}"
            ))
        }
        ReaderError::Damaged { offset, .. } => {
            words.hint(format!("to go on without it: add --skip {offset}"))
        }
        ReaderError::TooManyCursors => words
            .hint("use a --as NAME that is there already, or remove one: tenfour cursor rm MAILBOX:CURSOR"),
        _ => words,
    }
}

fn sink(arguments: &Receive) -> Sink {
    let json = arguments.json;
    match &arguments.output {
        Some(folder) => {
            files::sweep(folder);
            Sink::Files {
                folder: folder.clone(),
                json,
            }
        }
        None if arguments.raw => Sink::Raw,
        None => Sink::Lines {
            json,
            terminal: output::is_terminal(&std::io::stdout()),
        },
    }
}

/// Messages that are being written out. That they cannot be, or that somebody interrupts it, is no fault of theirs.
struct Batch(Vec<Delivery>);

impl Drop for Batch {
    fn drop(&mut self) {
        self.0.drain(..).for_each(|delivery| drop(delivery.put_back()));
    }
}

async fn write_out(
    consumer: &mut Consumer,
    sink: &Sink,
    count: Option<u64>,
    received: &mut u64,
    failed: impl Fn(ReaderError) -> Failure,
) -> Result<(), Failure> {
    while count.is_none_or(|count| *received < count) {
        let Some(first) = consumer.try_next().await.map_err(&failed)? else {
            break;
        };
        let most = usize::try_from(count.map_or(u64::MAX, |count| count - *received)).unwrap_or(usize::MAX);
        let rest = std::iter::from_fn(|| consumer.ready());
        let batch: Vec<Delivery> = std::iter::once(first).chain(rest).take(BATCH.min(most)).collect();
        // Whoever dies from here on has had them, and the next reader is told so.
        let mut ours = Batch(Vec::with_capacity(batch.len()));
        for delivery in batch {
            // Otherwise the connection was lost, and it comes again.
            if delivery.begun().await.is_ok() {
                ours.0.push(delivery);
            }
        }
        let mut bytes = Vec::new();
        let mut end = Ok(());
        let mut written = 0;
        for delivery in &ours.0 {
            end = write_one(delivery, sink, &mut bytes);
            if end.is_err() {
                break;
            }
            written += 1;
        }
        output::data_beside(bytes).await?;
        for delivery in ours.0.drain(..written) {
            drop(delivery.ack());
        }
        *received += written as u64;
        end?;
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
