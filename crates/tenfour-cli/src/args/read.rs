//! The verbs that read, as they were typed: `tail`, `receive` and `status`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgMatches, Args};
use tenfour::identity::parse_time;

use super::alternatives::one_of;
use super::identity::Identity;
use crate::target::Target;

/// When reading ends before its messages do.
#[derive(Clone, Copy, Debug, Args)]
pub struct Until {
    /// Exit after COUNT messages
    #[arg(long, short = 'C', value_name = "COUNT", env = "TENFOUR_COUNT")]
    pub count: Option<u64>,
    /// Exit after this time, with 124 if fewer than -C messages came
    #[arg(long, short = 'W', value_name = "TIME", value_parser = parse_time, env = "TENFOUR_WAIT")]
    pub wait: Option<Duration>,
}

/// `tenfour tail`
#[derive(Debug, Args)]
pub struct Tail {
    /// HOST[:PORT][/MAILBOX]
    pub target: Option<Target>,
    /// Print only the last COUNT messages
    #[arg(long, short = 'n', value_name = "COUNT", env = "TENFOUR_LAST")]
    pub last: Option<u64>,
    /// Wait for new messages
    #[arg(long, short, env = "TENFOUR_FOLLOW", value_parser = clap::builder::BoolishValueParser::new())]
    pub follow: bool,
    /// Start at this offset
    #[arg(long, value_name = "OFFSET", env = "TENFOUR_FROM")]
    pub from: Option<u64>,
    /// Start at this time (2026-01-31T12:00:00Z) or this long ago (10m)
    #[arg(long, value_name = "TIME", env = "TENFOUR_SINCE")]
    pub since: Option<String>,
    /// When to exit
    #[command(flatten)]
    pub until: Until,
    /// Print one JSON object per message
    #[arg(long, env = "TENFOUR_JSON", value_parser = clap::builder::BoolishValueParser::new())]
    pub json: bool,
    /// Connection timeout
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time, env = "TENFOUR_TIMEOUT")]
    pub timeout: Duration,
    /// The reader's key
    #[command(flatten)]
    pub identity: Identity,
}

impl Tail {
    /// Reading begins in one place only.
    pub(super) fn choose(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let chosen = one_of(matches, &["last", "from", "since"])?;
        let not = |way| chosen.is_some_and(|chosen| chosen != way);
        if not("last") {
            self.last = None;
        }
        if not("from") {
            self.from = None;
        }
        if not("since") {
            self.since = None;
        }
        Ok(())
    }
}

/// How programs are run for messages.
#[derive(Clone, Debug, Args)]
pub struct Handling {
    /// Also run the program for messages from senders without a key
    #[arg(long, env = "TENFOUR_EXEC_ANONYMOUS", value_parser = clap::builder::BoolishValueParser::new())]
    pub exec_anonymous: bool,
    /// Maximum number of programs running at once
    #[arg(long, value_name = "COUNT", default_value = "4", value_parser = clap::value_parser!(u32).range(1..=256), env = "TENFOUR_JOBS")]
    pub jobs: u32,
    /// Kill a program that runs longer than this
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time, env = "TENFOUR_HANDLER_TIMEOUT")]
    pub handler_timeout: Duration,
}

/// `tenfour receive`
#[derive(Debug, Args)]
#[command(
    after_help = "A message is done when it was written out, or when the handler ended with 0.
What fails is given out again, later each time; after --retries it goes to the mailbox dead/NAME."
)]
pub struct Receive {
    /// HOST[:PORT][/MAILBOX]
    pub target: Option<Target>,
    /// Name of the cursor: readers with the same name share the work; each name sees every message
    #[arg(long = "as", value_name = "NAME", env = "TENFOUR_AS")]
    pub name: tenfour::CursorName,
    /// Where a new cursor starts: `oldest`, `now`, or an offset
    #[arg(long, value_name = "PLACE", default_value = "oldest", value_parser = parse_place, env = "TENFOUR_FROM")]
    pub from: tenfour::ReadFrom,
    /// Skip these messages, for all readers of the cursor (use when one is damaged)
    #[arg(long, value_name = "OFFSET", value_delimiter = ',', env = "TENFOUR_SKIP")]
    pub skip: Vec<u64>,
    /// When to exit
    #[command(flatten)]
    pub until: Until,
    /// Exit when all messages that were there are done
    #[arg(long, env = "TENFOUR_DRAIN", value_parser = clap::builder::BoolishValueParser::new())]
    pub drain: bool,
    /// Write each message to a file of its name in this folder, and print the file's name
    #[arg(long, short, value_name = "DIR", env = "TENFOUR_OUTPUT")]
    pub output: Option<PathBuf>,
    /// Print one JSON object per message
    #[arg(long, env = "TENFOUR_JSON", value_parser = clap::builder::BoolishValueParser::new())]
    pub json: bool,
    /// Print the bodies of the messages and nothing else
    #[arg(long, env = "TENFOUR_RAW", value_parser = clap::builder::BoolishValueParser::new())]
    pub raw: bool,
    /// Run PROGRAM for each message, with the body on stdin. Everything after PROGRAM is passed to it
    #[arg(long, value_name = "PROGRAM", num_args = 1.., allow_hyphen_values = true, env = "TENFOUR_EXEC")]
    pub exec: Vec<std::ffi::OsString>,
    /// Run a command line with `sh` for each message
    #[arg(long, value_name = "LINE", env = "TENFOUR_SH")]
    pub sh: Option<std::ffi::OsString>,
    /// How programs are run
    #[command(flatten)]
    pub handling: Handling,
    /// How often a failed message is retried before it goes to the dead letters: a number, or `forever`
    #[arg(long, value_name = "COUNT", default_value = "5", env = "TENFOUR_RETRIES")]
    pub retries: Retries,
    /// Connection timeout
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time, env = "TENFOUR_TIMEOUT")]
    pub timeout: Duration,
    /// The reader's key
    #[command(flatten)]
    pub identity: Identity,
}

/// How often something is tried again; `None`: for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries(pub Option<u32>);

impl std::str::FromStr for Retries {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "forever" {
            return Ok(Retries(None));
        }
        let count = text
            .parse()
            .map_err(|_| "it is a number, or `forever`".to_owned())?;
        Ok(Retries(Some(count)))
    }
}

impl Receive {
    /// Messages go to one place only.
    pub(super) fn choose(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let chosen = one_of(matches, &["output", "raw", "exec", "sh"])?;
        let not = |way| chosen.is_some_and(|chosen| chosen != way);
        if not("output") {
            self.output = None;
        }
        if not("exec") {
            self.exec = Vec::new();
        }
        if not("sh") {
            self.sh = None;
        }
        self.raw &= !not("raw");
        Ok(())
    }
}

/// Where a new cursor begins.
fn parse_place(text: &str) -> Result<tenfour::ReadFrom, String> {
    match text {
        "oldest" => Ok(tenfour::ReadFrom::Oldest),
        "now" => Ok(tenfour::ReadFrom::Last(0)),
        offset => offset
            .parse()
            .map(tenfour::ReadFrom::Offset)
            .map_err(|_| "it is `oldest`, `now`, or an offset".to_owned()),
    }
}

/// `tenfour status`
#[derive(Debug, Args)]
pub struct Status {
    /// HOST[:PORT]
    pub target: Option<Target>,
    /// Show what became of the messages that this key sent with `--id KEY`
    #[arg(long, value_name = "KEY", value_parser = NonEmptyStringValueParser::new(), env = "TENFOUR_ID")]
    pub id: Option<String>,
    /// Repeat every INTERVAL [default: 2s]
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, default_missing_value = "2s", value_parser = parse_time, env = "TENFOUR_WATCH")]
    pub watch: Option<Duration>,
    /// Print one JSON object per row
    #[arg(long, env = "TENFOUR_JSON", value_parser = clap::builder::BoolishValueParser::new())]
    pub json: bool,
    /// Timeout for connecting, and for each answer
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time, env = "TENFOUR_TIMEOUT")]
    pub timeout: Duration,
    /// The key that asks
    #[command(flatten)]
    pub identity: Identity,
}
