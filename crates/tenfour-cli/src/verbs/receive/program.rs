//! A program for each message.

use std::ffi::OsString;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tenfour::worker::{Exec, ExecError, Unauthenticated, WorkEvent, Worker, WorkerError, reap_orphans};
use tenfour::{
    Client, Consumer, Handler, HandlerError, HandlerOptions, Item, MailboxName, ReaderError, Reply,
};

use crate::args::{Receive, misplaced_option};
use crate::exit::Failure;
use crate::output;

/// What is run for each message.
pub struct Program {
    exec: Exec,
    cursor: String,
    /// Why no message can be handled any more.
    failure: Arc<Mutex<Option<Failure>>>,
    /// Messages of senders without a key.
    passed_over: Arc<AtomicU64>,
}

impl Program {
    /// As the arguments want it; `None` if there is no program.
    pub fn of(arguments: &Receive) -> Result<Option<Self>, Failure> {
        let argv: Vec<OsString> = match &arguments.sh {
            Some(line) => vec!["sh".into(), "-c".into(), line.clone()],
            None => arguments.exec.clone(),
        };
        if argv.is_empty() {
            if arguments.handling.exec_anonymous {
                return Err(Failure::usage("--exec-anonymous wants a program")
                    .hint("add --exec PROGRAM ... at the end, or --sh LINE"));
            }
            return Ok(None);
        }
        if arguments.json {
            return Err(
                Failure::usage("--json is for messages, and a program gets those").hint(
                    "what a program is told: TENFOUR_MSG_MAILBOX, TENFOUR_MSG_OFFSET ... in its environment",
                ),
            );
        }
        if let Some(warning) = misplaced_option::<Receive>("receive", &arguments.exec) {
            output::talk(&warning);
        }
        let mut exec = Exec::new(argv);
        exec.timeout = arguments.handling.handler_timeout;
        Ok(Some(Program {
            exec,
            cursor: arguments.name.to_string(),
            failure: Arc::default(),
            passed_over: Arc::default(),
        }))
    }

    /// Hands the messages to the program.
    pub async fn worker(
        &self,
        client: &Client,
        arguments: &Receive,
        mailbox: MailboxName,
    ) -> Result<Worker<Consumer, impl Handler + use<>>, ReaderError> {
        let mut options = HandlerOptions::new(mailbox, arguments.name.clone());
        options.from = arguments.from;
        options.retries = arguments.retries.0;
        options.jobs = arguments.handling.jobs as usize;
        // The program's own limit is the one that is said.
        options.timeout = arguments.handling.handler_timeout * 2;
        options.drain = arguments.drain;
        options.most = arguments.until.count;
        options.skip.clone_from(&arguments.skip);
        if arguments.handling.exec_anonymous {
            options.unauthenticated = Unauthenticated::Handle;
        }
        let (cursor, passed_over) = (self.cursor.clone(), Arc::clone(&self.passed_over));
        options.on_event = Arc::new(move |event| say(&event, &cursor, &passed_over));
        tokio::spawn(reap_orphans());
        client.worker(options, self.handler()).await
    }

    fn handler(&self) -> impl Handler + use<> {
        let (exec, cursor, failure) = (self.exec.clone(), self.cursor.clone(), Arc::clone(&self.failure));
        move |item: Item| {
            let (exec, cursor, failure) = (exec.clone(), cursor.clone(), Arc::clone(&failure));
            async move {
                let fatal = |words: Failure| {
                    let text = words.message.clone();
                    *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
                    HandlerError::fatal(text)
                };
                run(&exec, &item, &cursor).await.map_err(|error| match error {
                    Ended::Output(words) => fatal(words),
                    // The next message would find no program either.
                    Ended::Program(error @ ExecError::Start { .. }) => fatal(
                        Failure::local(error.to_string())
                            .hint("check the name after --exec; it is no line for a shell (--sh)"),
                    ),
                    Ended::Program(error) => HandlerError::new(error),
                })
            }
        }
    }

    /// Says how many messages no program was run for.
    pub fn say_passed_over(&self) {
        let count = self.passed_over.load(Ordering::Relaxed);
        if count > 1 {
            output::talk(&format!(
                "tenfour: {count} messages of senders without a key are in dead/{}",
                self.cursor
            ));
        }
    }

    /// Why no message is handled any more, in words.
    pub fn failure(
        &self,
        error: WorkerError<ReaderError>,
        failed: impl Fn(ReaderError) -> Failure,
    ) -> Failure {
        match error {
            WorkerError::Source(error) => failed(error),
            error => {
                let words = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
                words.unwrap_or_else(|| Failure::local(error.to_string()))
            }
        }
    }
}

/// Why a message was not handled.
enum Ended {
    Program(ExecError),
    /// Its output can go nowhere.
    Output(Failure),
}

/// Whoever asked gets what the program wrote; else it is for our own stdout.
async fn run(exec: &Exec, item: &Item, cursor: &str) -> Result<Reply, Ended> {
    let asks = item.message.asks;
    let handled = exec.handle(item, cursor).await.map_err(Ended::Program)?;
    if !asks {
        let written = output::data_beside(handled.output.clone()).await;
        written.map_err(Ended::Output)?;
    }
    handled.reply(asks).map_err(Ended::Program)
}

fn say(event: &WorkEvent<'_>, cursor: &str, passed_over: &AtomicU64) {
    match event {
        // The first in words: anybody can send as many as he likes.
        WorkEvent::Unauthenticated(item) if passed_over.fetch_add(1, Ordering::Relaxed) == 0 => {
            output::talk(&format!(
                "tenfour: {} #{} goes to dead/{cursor}: no program runs for the sender `{}` without --exec-anonymous",
                item.message.mailbox, item.offset, item.sender
            ));
        }
        WorkEvent::Failed(item, error) => output::talk(&format!(
            "tenfour: {} #{}, attempt {}: the program failed: {error}",
            item.message.mailbox,
            item.offset,
            item.attempts + 1
        )),
        _ => {}
    }
}
