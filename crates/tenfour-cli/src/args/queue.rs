//! `tenfour queue`, as it was typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgMatches, Args};
use tenfour::identity::parse_time;

use super::alternatives::one_of;
use super::identity::Identity;
use super::send::Content;
use crate::amount::parse_size;
use crate::target::Target;

/// `tenfour queue`
#[derive(Debug, Args)]
#[command(
    after_help = "Ends with 0 when the message is safe on this machine's disk. `tenfour queue --run` delivers, in the order in which messages were queued,
each exactly once; `--flush` ends as `send` does, when everything has its answer or nothing moves for --timeout."
)]
pub struct Queue {
    /// HOST[:PORT][/MAILBOX]
    pub target: Option<Target>,
    /// The message
    #[command(flatten)]
    pub content: Content,
    /// Each line of stdin is a message
    #[arg(long, short, env = "TENFOUR_LINES", value_parser = BoolishValueParser::new())]
    pub lines: bool,
    /// Each piece of stdin up to a NUL byte is a message
    #[arg(long, short = '0', env = "TENFOUR_ZERO", value_parser = BoolishValueParser::new())]
    pub zero: bool,
    /// Deliver until stopped
    #[arg(long, env = "TENFOUR_QUEUE_RUN", value_parser = BoolishValueParser::new())]
    pub run: bool,
    /// Deliver what is queued, everything or only for TARGET, then exit
    #[arg(long, env = "TENFOUR_QUEUE_FLUSH", value_parser = BoolishValueParser::new())]
    pub flush: bool,
    /// List what is queued, everything or only for TARGET
    #[arg(long, env = "TENFOUR_QUEUE_LIST", value_parser = BoolishValueParser::new())]
    pub list: bool,
    /// Drop the message with this NUMBER for TARGET, if it has not left or was refused; or `all`
    #[arg(long, value_name = "NUMBER|all", value_parser = parse_which, env = "TENFOUR_QUEUE_DROP")]
    pub drop: Option<Which>,
    /// Queue the refused message with this NUMBER for TARGET again
    #[arg(long, value_name = "NUMBER", env = "TENFOUR_QUEUE_RETRY")]
    pub retry: Option<u64>,
    /// TARGET was restored to an older state: resend the messages it lost that are still kept here
    #[arg(long, env = "TENFOUR_QUEUE_RESEND_LOST", value_parser = BoolishValueParser::new())]
    pub resend_lost: bool,
    /// TARGET was restored to an older state: continue without the messages it lost
    #[arg(long, env = "TENFOUR_QUEUE_FORGET_LOST", value_parser = BoolishValueParser::new())]
    pub forget_lost: bool,
    /// With --flush: give up when nothing was answered for this long (`ms`, `s`, `m`, `h`, `d`)
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time, env = "TENFOUR_TIMEOUT")]
    pub timeout: Duration,
    /// With --run or --flush: keep the last SIZE of delivered messages per server, for --resend-lost
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = parse_size, env = "TENFOUR_QUEUE_KEEP")]
    pub keep: u64,
    /// Outbox file [default: outbox.db in the data folder]
    #[arg(long, value_name = "PATH", env = "TENFOUR_OUTBOX")]
    pub outbox: Option<PathBuf>,
    /// Print JSON: an object for each message queued or listed, and with --list and --flush one for each server
    #[arg(long, env = "TENFOUR_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
    /// The sender's key
    #[command(flatten)]
    pub identity: Identity,
}

/// Which messages are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    One(u64),
    All,
}

fn parse_which(text: &str) -> Result<Which, String> {
    match text {
        "all" => Ok(Which::All),
        number => number
            .parse()
            .map(Which::One)
            .map_err(|_| "it is the number of a message, as --list shows it, or `all`".to_owned()),
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Put,
    Run,
    Flush,
    List,
    Drop(Which),
    Retry(u64),
    ResendLost,
    ForgetLost,
}

impl Queue {
    /// The message comes from one place only, and one thing is done at a time.
    pub(super) fn choose(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let chosen = one_of(
            matches,
            &[
                "words",
                "message",
                "file",
                "lines",
                "zero",
                "run",
                "flush",
                "list",
                "drop",
                "retry",
                "resend_lost",
                "forget_lost",
            ],
        )?;
        let not = |way| chosen.is_some_and(|chosen| chosen != way);
        self.content.keep(chosen);
        self.lines &= !not("lines");
        self.zero &= !not("zero");
        self.run &= !not("run");
        self.flush &= !not("flush");
        self.list &= !not("list");
        self.resend_lost &= !not("resend_lost");
        self.forget_lost &= !not("forget_lost");
        self.drop = self.drop.filter(|_| !not("drop"));
        self.retry = self.retry.filter(|_| !not("retry"));
        Ok(())
    }

    /// What is to be done.
    pub fn what(&self) -> What {
        match (self.drop, self.retry) {
            (Some(which), _) => What::Drop(which),
            (_, Some(number)) => What::Retry(number),
            _ if self.run => What::Run,
            _ if self.flush => What::Flush,
            _ if self.list => What::List,
            _ if self.resend_lost => What::ResendLost,
            _ if self.forget_lost => What::ForgetLost,
            _ => What::Put,
        }
    }
}
