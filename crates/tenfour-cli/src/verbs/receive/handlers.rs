//! A program for each message.

use std::ffi::OsString;

use tenfour::{Consumer, Exec, ExecError, FollowError, Handled, Item, Sender};
use tokio::task::JoinSet;

use crate::args::Receive;
use crate::exit::Failure;
use crate::output;

/// The programs that run.
pub struct Handlers {
    exec: Exec,
    cursor: String,
    at_once: usize,
    anonymous: bool,
    running: JoinSet<(Item, Result<Handled, ExecError>)>,
}

impl Handlers {
    /// As the arguments want them; `None` if there is no program.
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
            return Err(Failure::usage("--json is for messages, and a program gets those")
                .hint("what a program is told: TENFOUR_MAILBOX, TENFOUR_OFFSET ... in its environment"));
        }
        let mut exec = Exec::new(argv);
        exec.timeout = arguments.handling.handler_timeout;
        Ok(Some(Handlers {
            exec,
            cursor: arguments.name.to_string(),
            at_once: arguments.handling.jobs as usize,
            anonymous: arguments.handling.exec_anonymous,
            running: JoinSet::new(),
        }))
    }

    /// Runs the program for each message, until `count` were handled or nothing is left.
    pub async fn run(
        &mut self,
        consumer: &mut Consumer,
        count: Option<u64>,
        handled: &mut u64,
        failed: impl Fn(FollowError) -> Failure,
    ) -> Result<(), Failure> {
        let mut drained = false;
        loop {
            let under_way = self.running.len() as u64;
            let wants_more = !drained && count.is_none_or(|count| *handled + under_way < count);
            if !wants_more && self.running.is_empty() {
                return Ok(());
            }
            let has_place = wants_more && self.running.len() < self.at_once;
            // The connection is served in any case: it must live on while programs run.
            let coming = async {
                if has_place {
                    consumer.next().await
                } else {
                    consumer.wait().await.map(|()| None)
                }
            };
            tokio::select! {
                item = coming => match item.map_err(&failed)? {
                    Some(item) => self.start(consumer, item, &failed).await?,
                    None => drained |= has_place,
                },
                Some(ended) = self.running.join_next() => {
                    let (item, result) = ended.map_err(|error| Failure::local(error.to_string()))?;
                    *handled += u64::from(settle(consumer, &item, result)?);
                }
            }
        }
    }

    async fn start(
        &mut self,
        consumer: &mut Consumer,
        item: Item,
        failed: impl Fn(FollowError) -> Failure,
    ) -> Result<(), Failure> {
        let is_known = matches!(item.sender.parse(), Ok(Sender::Key(_) | Sender::Token(_)));
        if !is_known && !self.anonymous {
            output::talk(&format!(
                "tenfour: {} #{} goes to dead/{}: no program runs for the sender `{}` without --exec-anonymous",
                item.message.mailbox, item.offset, self.cursor, item.sender
            ));
            consumer.rejected(&item);
            return Ok(());
        }
        consumer.begun(&item);
        // If we die from here on, the next one is told that somebody had begun.
        consumer.saved().await.map_err(failed)?;
        let (exec, cursor) = (self.exec.clone(), self.cursor.clone());
        self.running.spawn(async move {
            let result = exec.handle(&item, &cursor).await;
            (item, result)
        });
        Ok(())
    }

    /// Ends the programs that still run; their messages are given out again.
    pub async fn end(mut self) {
        self.running.shutdown().await;
    }
}

/// True if the message is done. Whoever asked gets what the program wrote; else it is for our own stdout.
fn settle(consumer: &mut Consumer, item: &Item, result: Result<Handled, ExecError>) -> Result<bool, Failure> {
    let asks = item.message.asks;
    if let Ok(handled) = &result
        && !asks
    {
        output::data(&handled.output)?;
    }
    match result.and_then(|handled| handled.reply(asks)) {
        Ok(reply) => {
            consumer.answered(item, reply);
            Ok(true)
        }
        // The next message would find no program either.
        Err(error @ ExecError::Start { .. }) => {
            consumer.returned(item);
            Err(Failure::local(error.to_string())
                .hint("check the name after --exec; it is no line for a shell (--sh)"))
        }
        Err(error) => {
            output::talk(&format!(
                "tenfour: {} #{}, attempt {}: the program failed: {error}",
                item.message.mailbox,
                item.offset,
                item.attempts + 1
            ));
            consumer.failed(item);
            Ok(false)
        }
    }
}
