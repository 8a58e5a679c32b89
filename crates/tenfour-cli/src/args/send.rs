//! The verbs that send, as they were typed: `send` and `ask`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgMatches, Args};
use tenfour::Durability;
use tenfour::identity::parse_time;

use super::alternatives::one_of;
use super::identity::Identity;
use crate::target::Target;

/// What a message is made of.
#[derive(Debug, Args)]
pub struct Content {
    /// The message; several words are joined by a space
    pub words: Vec<String>,
    /// The message
    #[arg(
        long,
        short,
        value_name = "TEXT",
        allow_hyphen_values = true,
        env = "TENFOUR_MESSAGE"
    )]
    pub message: Option<String>,
    /// Send a file under its name
    #[arg(long, short, value_name = "FILE", env = "TENFOUR_FILE")]
    pub file: Option<PathBuf>,
    /// The kind of the bytes, such as text/plain
    #[arg(long = "type", value_name = "TYPE", env = "TENFOUR_TYPE")]
    pub content_type: Option<tenfour::proto::ContentType>,
    /// What the message is called
    #[arg(long, value_name = "NAME", env = "TENFOUR_NAME")]
    pub name: Option<tenfour::proto::MessageName>,
}

impl Content {
    /// Forgets what was not chosen.
    pub(super) fn keep(&mut self, chosen: Option<&str>) {
        let not = |way| chosen.is_some_and(|chosen| chosen != way);
        if not("message") {
            self.message = None;
        }
        if not("file") {
            self.file = None;
        }
    }
}

/// `tenfour send`
#[derive(Debug, Args)]
#[command(after_help = "Nothing given: asks on a terminal; else all of stdin is one message.")]
pub struct Send {
    /// HOST[:PORT][/MAILBOX], or tcp://HOST[:PORT] or udp://HOST[:PORT][/MAILBOX] for the recipe's wire
    pub target: Option<Target>,
    /// What is sent
    #[command(flatten)]
    pub content: Content,
    /// Each line of stdin is a message
    #[arg(long, short, env = "TENFOUR_LINES", value_parser = clap::builder::BoolishValueParser::new())]
    pub lines: bool,
    /// Each piece of stdin up to a NUL byte is a message
    #[arg(long, short = '0', env = "TENFOUR_ZERO", value_parser = clap::builder::BoolishValueParser::new())]
    pub zero: bool,
    /// The same messages under the same id are stored once
    #[arg(long, value_name = "KEY", value_parser = NonEmptyStringValueParser::new(), env = "TENFOUR_ID")]
    pub id: Option<String>,
    /// From reading a message to its receipt (`ms`, `s`, `m`, `h`, `d`)
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time, env = "TENFOUR_TIMEOUT")]
    pub timeout: Duration,
    /// The least that counts as stored
    #[arg(
        long,
        value_name = "disk|os|memory",
        default_value = "disk",
        env = "TENFOUR_DURABILITY"
    )]
    pub durability: Durability,
    /// One JSON object for each message on stdout
    #[arg(long, env = "TENFOUR_JSON", value_parser = clap::builder::BoolishValueParser::new())]
    pub json: bool,
    /// Most messages without a receipt at a time, with -l and -0
    #[arg(long, value_name = "COUNT", default_value = "10000", env = "TENFOUR_WINDOW")]
    pub window: usize,
    /// With tcp:// and udp://: no receipt is good enough; with udp:// the datagram is plain
    #[arg(long, env = "TENFOUR_NO_RECEIPT", value_parser = clap::builder::BoolishValueParser::new())]
    pub no_receipt: bool,
    /// With tcp:// and udp://: speak in the clear to a host whose key is known
    #[arg(long, env = "TENFOUR_CLEAR", value_parser = clap::builder::BoolishValueParser::new())]
    pub clear: bool,
    /// The sender's key
    #[command(flatten)]
    pub identity: Identity,
}

impl Send {
    /// The message comes from one place only.
    pub(super) fn choose(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let chosen = one_of(matches, &["words", "message", "file", "lines", "zero"])?;
        let not = |way| chosen.is_some_and(|chosen| chosen != way);
        self.content.keep(chosen);
        self.lines &= !not("lines");
        self.zero &= !not("zero");
        Ok(())
    }
}

/// `tenfour ask`
#[derive(Debug, Args)]
#[command(
    after_help = "Prints the reply, and ends as the handler did: 0 to 63 (63 also when no handler could do it). Its own failures are 64 for wrong usage,
70 for local errors, and 65 to 77 as `send` has them; 75: stored perhaps, or stored and not answered."
)]
pub struct Ask {
    /// HOST[:PORT][/MAILBOX]
    pub target: Option<Target>,
    /// What is asked
    #[command(flatten)]
    pub content: Content,
    /// The same question under the same id is answered once; who asks again gets the same reply
    #[arg(long, value_name = "KEY", value_parser = NonEmptyStringValueParser::new(), env = "TENFOUR_ID")]
    pub id: Option<String>,
    /// From asking to the reply (`ms`, `s`, `m`, `h`, `d`)
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time, env = "TENFOUR_TIMEOUT")]
    pub timeout: Duration,
    /// The least that counts as stored
    #[arg(
        long,
        value_name = "disk|os|memory",
        default_value = "disk",
        env = "TENFOUR_DURABILITY"
    )]
    pub durability: Durability,
    /// One JSON object on stdout
    #[arg(long, env = "TENFOUR_JSON", value_parser = clap::builder::BoolishValueParser::new())]
    pub json: bool,
    /// The sender's key
    #[command(flatten)]
    pub identity: Identity,
}

impl Ask {
    /// The message comes from one place only.
    pub(super) fn choose(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let chosen = one_of(matches, &["words", "message", "file"])?;
        self.content.keep(chosen);
        Ok(())
    }
}
