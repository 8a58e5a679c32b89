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
    /// The message; several words are joined by spaces
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
    /// Content type, such as text/plain
    #[arg(long = "type", value_name = "TYPE", env = "TENFOUR_TYPE")]
    pub content_type: Option<tenfour::proto::ContentType>,
    /// Name of the message, such as a file name
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
#[command(
    after_help = "Without a message it asks for one on a terminal; otherwise all of stdin is one message."
)]
pub struct Send {
    /// HOST[:PORT][/MAILBOX], or tcp://HOST[:PORT] or udp://HOST[:PORT][/MAILBOX] for the recipe's wire
    pub target: Option<Target>,
    /// The message
    #[command(flatten)]
    pub content: Content,
    /// Each line of stdin is a message
    #[arg(long, short, env = "TENFOUR_LINES", value_parser = clap::builder::BoolishValueParser::new())]
    pub lines: bool,
    /// Each piece of stdin up to a NUL byte is a message
    #[arg(long, short = '0', env = "TENFOUR_ZERO", value_parser = clap::builder::BoolishValueParser::new())]
    pub zero: bool,
    /// Identity of what is sent: a repeat under the same id is stored once
    #[arg(long, value_name = "KEY", value_parser = NonEmptyStringValueParser::new(), env = "TENFOUR_ID")]
    pub id: Option<String>,
    /// Deadline from reading a message to its receipt (`ms`, `s`, `m`, `h`, `d`)
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time, env = "TENFOUR_TIMEOUT")]
    pub timeout: Duration,
    /// Minimum durability that counts as stored
    #[arg(
        long,
        value_name = "replicated|disk|os|memory",
        default_value = "disk",
        env = "TENFOUR_DURABILITY"
    )]
    pub durability: Durability,
    /// Print one JSON object per message
    #[arg(long, env = "TENFOUR_JSON", value_parser = clap::builder::BoolishValueParser::new())]
    pub json: bool,
    /// Maximum messages in flight (with -l or -0)
    #[arg(long, value_name = "COUNT", default_value = "10000", env = "TENFOUR_WINDOW")]
    pub window: usize,
    /// Accept delivery without a receipt (tcp:// and udp:// only; udp:// then sends a bare datagram)
    #[arg(long, env = "TENFOUR_NO_RECEIPT", value_parser = clap::builder::BoolishValueParser::new())]
    pub no_receipt: bool,
    /// Allow plaintext to a host whose key is known (tcp:// and udp:// only)
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
    /// The question
    #[command(flatten)]
    pub content: Content,
    /// Identity of the question: asked again under the same id, it gets the same reply
    #[arg(long, value_name = "KEY", value_parser = NonEmptyStringValueParser::new(), env = "TENFOUR_ID")]
    pub id: Option<String>,
    /// Deadline from the question to the reply (`ms`, `s`, `m`, `h`, `d`)
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time, env = "TENFOUR_TIMEOUT")]
    pub timeout: Duration,
    /// Minimum durability that counts as stored
    #[arg(
        long,
        value_name = "replicated|disk|os|memory",
        default_value = "disk",
        env = "TENFOUR_DURABILITY"
    )]
    pub durability: Durability,
    /// Print one JSON object
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
