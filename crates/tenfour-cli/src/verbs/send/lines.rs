//! `tenfour send -l` and `-0`: stdin as a row of messages, with a bounded window.

use std::collections::VecDeque;
use std::task::Poll;

use bytes::Bytes;
use indicatif::ProgressBar;
use tenfour::{Client, DeliveryError, MailboxName, PendingReceipt, Receipt};
use tokio::sync::mpsc;

use super::content::message;
use super::pieces::Pieces;
use crate::args;
use crate::exit::{Class, Code, Failure, delivery_code};
use crate::progress::progress;
use crate::route::Route;
use crate::target::Target;
use crate::{output, setup, signals};

/// Bytes of JSON that are printed together.
const TOGETHER: usize = 64 * 1024;

/// Refused lines that are named one by one; of the others only the number is said.
const NAMED: u64 = 10;

/// Streams stdin.
pub(super) async fn run(arguments: args::Send, target: Target, mailbox: MailboxName) -> Result<(), Failure> {
    let mut config = setup::client(
        &arguments.identity,
        arguments.timeout,
        arguments.durability,
        arguments.id.clone(),
    )?;
    config.window = arguments.window;
    let name = target.to_string();
    let sender = config.identity.fingerprint();
    let client = tokio::select! {
        client = Client::builder(&target.address).config(config).connect() => {
            client.map_err(|error| Failure::connect(&error, &name))?
        }
        code = signals::stop() => return Err(Failure::new(code, "interrupted; nothing was sent")),
    };
    let mut job = Job {
        route: Route::native(sender, &target, &mailbox).on(&client),
        client,
        arguments,
        mailbox,
        pending: VecDeque::new(),
        read: 0,
        tally: Tally::default(),
        said: Vec::new(),
        progress: progress(None, "{spinner} {human_pos} receipts  {per_sec}  {elapsed}"),
    };
    let ended = job.stream_stdin().await;
    job.progress.finish_and_clear();
    if let Ended::All = ended
        && job.tally.without_receipt() == 0
    {
        job.client.close().await;
        return Ok(());
    }
    job.report(ended)
}

/// Why the producer ended.
enum Ended {
    All,
    /// The client gives up: what is unanswered stays so.
    GaveUp,
    Signal(Code),
    Input(Failure),
}

struct Job {
    client: Client,
    route: Route,
    arguments: args::Send,
    mailbox: MailboxName,
    /// Sent and not answered, in order, with their lengths.
    pending: VecDeque<(PendingReceipt, u64)>,
    /// Lines taken from stdin.
    read: u64,
    tally: Tally,
    /// Lines of JSON that are not printed yet.
    said: Vec<u8>,
    progress: ProgressBar,
}

/// What became of a line that was to be sent.
enum Sent {
    OnItsWay,
    /// First others must have their answers.
    NoPlace(Bytes),
    /// The client has failed and sends nothing more.
    Failed,
}

/// What became of the lines.
#[derive(Default)]
struct Tally {
    receipts: u64,
    refused: u64,
    unknown: u64,
    unsent: u64,
    codes: Vec<Code>,
    /// The first line without a receipt.
    first_missing: Option<u64>,
    last_error: Option<DeliveryError>,
}

impl Tally {
    fn without_receipt(&self) -> u64 {
        self.refused + self.unknown + self.unsent
    }

    fn miss(&mut self, line: u64, code: Code) {
        match code.class() {
            Class::Refused => self.refused += 1,
            Class::Unknown => self.unknown += 1,
            Class::Unsent => self.unsent += 1,
        }
        self.first_missing = Some(self.first_missing.map_or(line, |first| first.min(line)));
        if !self.codes.contains(&code) {
            self.codes.push(code);
        }
    }
}

impl Job {
    async fn stream_stdin(&mut self) -> Ended {
        let mut input = read_stdin(self.arguments.zero);
        let mut batch: VecDeque<Bytes> = VecDeque::new();
        let mut open = true;
        let mut gave_up = false;
        let mut unreadable = None;
        let stop = signals::stop();
        tokio::pin!(stop);
        loop {
            while self.said.len() < TOGETHER
                && let Some(answer) = ready(&mut self.pending).await
            {
                gave_up |= self.take_answer(answer);
            }
            // However long its reader takes: the connection has a task of its own.
            let said = std::mem::take(&mut self.said);
            if !said.is_empty() {
                tokio::select! {
                    biased;
                    code = &mut stop => return Ended::Signal(code),
                    () = output::answer_beside(said) => {}
                }
            }
            while !gave_up && let Some(body) = batch.pop_front() {
                match self.send(body) {
                    Sent::OnItsWay => {}
                    Sent::NoPlace(body) => {
                        batch.push_front(body);
                        break;
                    }
                    Sent::Failed => gave_up = true,
                }
            }
            if (!open || gave_up) && self.pending.is_empty() && (gave_up || batch.is_empty()) {
                return match unreadable {
                    Some(failure) => Ended::Input(failure),
                    None if gave_up => Ended::GaveUp,
                    None => Ended::All,
                };
            }
            tokio::select! {
                biased;
                code = &mut stop => return Ended::Signal(code),
                answer = next(&mut self.pending), if !self.pending.is_empty() => {
                    gave_up |= self.take_answer(answer);
                }
                more = input.recv(), if open && batch.is_empty() && !gave_up => match more {
                    Some(Ok(more)) => batch = more.into(),
                    // What was read before it gets its answers.
                    Some(Err(failure)) => (open, unreadable) = (false, Some(failure)),
                    None => open = false,
                },
            }
        }
    }

    fn send(&mut self, body: Bytes) -> Sent {
        let bytes = body.len() as u64;
        let message = message(&self.arguments.content, &self.mailbox, body.clone(), None);
        match self.client.try_send_message(message) {
            Ok(Ok(receipt)) => {
                self.read += 1;
                self.pending.push_back((receipt, bytes));
                Sent::OnItsWay
            }
            Ok(Err(_)) => Sent::NoPlace(body),
            Err(error) => {
                self.read += 1;
                self.take_error(self.read, bytes, error);
                Sent::Failed
            }
        }
    }

    /// True when the client has failed and sends nothing more.
    fn take_answer(&mut self, answer: Result<Receipt, DeliveryError>) -> bool {
        let Some((pending, bytes)) = self.pending.pop_front() else {
            return false;
        };
        let line = pending.sequence();
        match answer {
            Ok(receipt) => {
                self.tally.receipts += 1;
                self.progress.inc(1);
                if self.arguments.json {
                    let line = self.route.receipt(&receipt, bytes).json() + "\n";
                    self.said.extend_from_slice(line.as_bytes());
                }
                false
            }
            Err(error) => self.take_error(line, bytes, error),
        }
    }

    fn take_error(&mut self, line: u64, bytes: u64, error: DeliveryError) -> bool {
        if self.arguments.json {
            let line = self.route.failure(&error, line, bytes).json() + "\n";
            self.said.extend_from_slice(line.as_bytes());
        }
        self.tally.miss(line, delivery_code(&error));
        let failed = !matches!(error, DeliveryError::Refused(_));
        if !failed && self.tally.refused <= NAMED {
            let text = format!("tenfour: line {line}: {error}");
            self.progress.suspend(|| output::talk(&text));
        }
        self.tally.last_error = Some(error);
        failed
    }

    /// How far it came, what is missing, what to do.
    fn report(mut self, ended: Ended) -> Result<(), Failure> {
        if let Ended::Signal(code) = &ended {
            for (pending, _) in &self.pending {
                self.tally.miss(pending.sequence(), *code);
            }
        }
        let tally = &self.tally;
        let unit = if self.arguments.zero { "messages" } else { "lines" };
        let mut words = format!(
            "{} of the {} {unit} read have receipts",
            tally.receipts, self.read
        );
        if let Some(first) = tally.first_missing {
            words.push_str(&format!(
                "; from {} {first} on they are missing",
                &unit[..unit.len() - 1]
            ));
            words.push_str(&format!(
                ": {} refused, {} unknown, {} not sent",
                tally.refused, tally.unknown, tally.unsent
            ));
        }
        let code = match &ended {
            Ended::Signal(code) => *code,
            Ended::Input(failure) => {
                words = format!("{}; {words}", failure.message);
                Code::worst(tally.codes.iter().copied().chain([failure.code])).unwrap_or(failure.code)
            }
            _ => Code::worst(tally.codes.iter().copied()).unwrap_or(Code::Local),
        };
        if let Some(error) = tally
            .last_error
            .as_ref()
            .filter(|e| !matches!(e, DeliveryError::Refused(_)))
        {
            words.push_str(&format!(" ({error})"));
        }
        let failure = Failure::new(code, words);
        let unanswered = tally.unknown + tally.unsent > 0 || matches!(ended, Ended::Signal(_));
        Err(if unanswered {
            failure.hint(format!(
                "repeat the same input with --id {}; what is there already is stored once",
                self.client.id()
            ))
        } else {
            failure
        })
    }
}

async fn next(pending: &mut VecDeque<(PendingReceipt, u64)>) -> Result<Receipt, DeliveryError> {
    match pending.front_mut() {
        Some((pending, _)) => pending.await,
        None => std::future::pending().await,
    }
}

/// The next answer, if it has come.
async fn ready(pending: &mut VecDeque<(PendingReceipt, u64)>) -> Option<Result<Receipt, DeliveryError>> {
    let mut next = std::pin::pin!(next(pending));
    std::future::poll_fn(|context| {
        Poll::Ready(match next.as_mut().poll(context) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        })
    })
    .await
}

/// Reads stdin in a thread: reading blocks, and a terminal or a pipe may block for long. Ends with an empty batch.
fn read_stdin(zero: bool) -> mpsc::Receiver<Result<Vec<Bytes>, Failure>> {
    let (sender, receiver) = mpsc::channel(8);
    std::thread::spawn(move || {
        let mut pieces = Pieces::of_stdin(zero);
        loop {
            let batch = pieces.batch();
            let ended = batch.as_ref().map_or(true, Vec::is_empty);
            if sender.blocking_send(batch).is_err() || ended {
                return;
            }
        }
    });
    receiver
}
