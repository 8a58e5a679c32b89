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
    /// End after so many messages
    #[arg(long, short = 'C', value_name = "COUNT", env = "TENFOUR_COUNT")]
    pub count: Option<u64>,
    /// End after this time; 124 if there were fewer messages than -C
    #[arg(long, short = 'W', value_name = "TIME", value_parser = parse_time, env = "TENFOUR_WAIT")]
    pub wait: Option<Duration>,
}

/// `tenfour tail`
#[derive(Debug, Args)]
pub struct Tail {
    /// HOST[:PORT][/MAILBOX]
    pub target: Option<Target>,
    /// Only the last so many
    #[arg(long, short = 'n', value_name = "COUNT", env = "TENFOUR_LAST")]
    pub last: Option<u64>,
    /// Wait for new messages
    #[arg(long, short, env = "TENFOUR_FOLLOW", value_parser = clap::builder::BoolishValueParser::new())]
    pub follow: bool,
    /// Begin at this offset
    #[arg(long, value_name = "OFFSET", env = "TENFOUR_FROM")]
    pub from: Option<u64>,
    /// Begin at this moment (2026-01-31T12:00:00Z) or so long ago (10m)
    #[arg(long, value_name = "TIME", env = "TENFOUR_SINCE")]
    pub since: Option<String>,
    /// When to end
    #[command(flatten)]
    pub until: Until,
    /// One JSON object for each message
    #[arg(long, env = "TENFOUR_JSON", value_parser = clap::builder::BoolishValueParser::new())]
    pub json: bool,
    /// For connecting
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
    /// Run the program also for messages of senders without a key
    #[arg(long, env = "TENFOUR_EXEC_ANONYMOUS", value_parser = clap::builder::BoolishValueParser::new())]
    pub exec_anonymous: bool,
    /// Programs at once
    #[arg(long, value_name = "COUNT", default_value = "4", value_parser = clap::value_parser!(u32).range(1..=256), env = "TENFOUR_JOBS")]
    pub jobs: u32,
    /// A program that runs longer is ended
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
    /// The cursor's name: readers with one name share the work, each name sees every message
    #[arg(long = "as", value_name = "NAME", env = "TENFOUR_AS")]
    pub name: tenfour::CursorName,
    /// Where a new cursor begins: `oldest`, `now`, or an offset
    #[arg(long, value_name = "PLACE", default_value = "oldest", value_parser = parse_place, env = "TENFOUR_FROM")]
    pub from: tenfour::ReadFrom,
    /// Pass over these messages, for every reader of the cursor: for one that is damaged
    #[arg(long, value_name = "OFFSET", value_delimiter = ',', env = "TENFOUR_SKIP")]
    pub skip: Vec<u64>,
    /// When to end
    #[command(flatten)]
    pub until: Until,
    /// End when all messages that were there are done
    #[arg(long, env = "TENFOUR_DRAIN", value_parser = clap::builder::BoolishValueParser::new())]
    pub drain: bool,
    /// Write each message to a file in this folder, under its name; prints the file's name
    #[arg(long, short, value_name = "DIR", env = "TENFOUR_OUTPUT")]
    pub output: Option<PathBuf>,
    /// One JSON object for each message
    #[arg(long, env = "TENFOUR_JSON", value_parser = clap::builder::BoolishValueParser::new())]
    pub json: bool,
    /// The bytes of the messages and nothing else
    #[arg(long, env = "TENFOUR_RAW", value_parser = clap::builder::BoolishValueParser::new())]
    pub raw: bool,
    /// Run a program for each message, the body on its stdin; all that follows is its
    #[arg(long, value_name = "PROGRAM", num_args = 1.., allow_hyphen_values = true, env = "TENFOUR_EXEC")]
    pub exec: Vec<std::ffi::OsString>,
    /// The same with a line for `sh`
    #[arg(long, value_name = "LINE", env = "TENFOUR_SH")]
    pub sh: Option<std::ffi::OsString>,
    /// How programs are run
    #[command(flatten)]
    pub handling: Handling,
    /// How often a message is tried again before it is dead: a number, or `forever`
    #[arg(long, value_name = "COUNT", default_value = "5", env = "TENFOUR_RETRIES")]
    pub retries: Retries,
    /// For connecting
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
    /// What became of the messages that this key sent with `--id KEY`
    #[arg(long, value_name = "KEY", value_parser = NonEmptyStringValueParser::new(), env = "TENFOUR_ID")]
    pub id: Option<String>,
    /// Again and again, every 2 s or so often
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "2s", value_parser = parse_time, env = "TENFOUR_WATCH")]
    pub watch: Option<Duration>,
    /// One JSON object for each row
    #[arg(long, env = "TENFOUR_JSON", value_parser = clap::builder::BoolishValueParser::new())]
    pub json: bool,
    /// For connecting, and for each answer
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time, env = "TENFOUR_TIMEOUT")]
    pub timeout: Duration,
    /// The key that asks
    #[command(flatten)]
    pub identity: Identity,
}
