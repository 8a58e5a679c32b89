//! What was typed, before what it means.

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches, Parser, Subcommand};
use tenfour::{Durability, parse_time};

use crate::size::parse_size;
use crate::target::Target;

/// Send a message to a process on another machine, and know that it arrived.
///
/// Exit 0 means: durably stored over there, exactly once.
#[derive(Debug, Parser)]
#[command(name = "tenfour", version, propagate_version = true, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Makes the enum of the verbs. clap's derive would build the flags of every verb at each start, which takes a
/// tenth of a millisecond of a `send` that takes three; here only those of the verb at hand are built.
macro_rules! verbs {
    ($($verb:ident $name:literal $about:literal)*) => {
        /// The verbs.
        #[derive(Debug)]
        pub enum Verb {
            $(#[doc = $about] $verb($verb),)*
        }

        impl Subcommand for Verb {
            fn augment_subcommands(command: Command) -> Command {
                command
                    .subcommand_required(true)
                    .arg_required_else_help(true)
                    $(.subcommand(Command::new($name).about($about).defer(|verb| $verb::augment_args(verb).about($about))))*
            }

            fn augment_subcommands_for_update(command: Command) -> Command {
                Self::augment_subcommands(command)
            }

            fn has_subcommand(name: &str) -> bool {
                matches!(name, $($name)|*)
            }
        }

        impl FromArgMatches for Verb {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                let Some((name, matches)) = matches.subcommand() else {
                    return Err(clap::Error::new(ErrorKind::MissingSubcommand));
                };
                let mut verb = match name {
                    $($name => Verb::$verb($verb::from_arg_matches(matches)?),)*
                    _ => return Err(clap::Error::new(ErrorKind::InvalidSubcommand)),
                };
                match &mut verb {
                    Verb::Send(send) => send.choose(matches)?,
                    Verb::Ask(ask) => ask.choose(matches)?,
                    Verb::Tail(tail) => tail.choose(matches)?,
                    Verb::Receive(receive) => receive.choose(matches)?,
                    _ => {}
                }
                Ok(verb)
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                *self = Self::from_arg_matches(matches)?;
                Ok(())
            }
        }
    };
}

verbs! {
    Serve "serve" "Receive messages and keep them"
    Send "send" "Deliver messages and wait for the receipts"
    Ask "ask" "Send a message, print the reply, and end as its handler did"
    Tail "tail" "Look at a mailbox; moves nothing"
    Receive "receive" "Consume a mailbox by a durable cursor, to stdout, files or a program"
    Status "status" "Show what a server is doing, or what became of a message"
    Keys "keys" "Show, trust, allow and remove keys"
    Invite "invite" "Let another machine in: prints a token for `tenfour join`"
    Join "join" "Accept an invitation: learns the server's key and shows it ours"
    Bench "bench" "Measure messages per second and latency against a server"
    Completions "completions" "Print the completions for a shell"
    Man "man" "Print the manual page"
}

/// `tenfour man`
#[derive(Debug, Args)]
pub struct Man {}

/// Whose key is used.
#[derive(Clone, Debug, Args)]
pub struct Identity {
    /// Key to use instead of the user's own; made if it is not there
    #[arg(long, value_name = "FILE", env = "TENFOUR_IDENTITY")]
    pub identity: Option<PathBuf>,
}

/// `tenfour serve`
#[derive(Debug, Args)]
pub struct Serve {
    /// Where messages are kept: a file, or `memory` to keep nothing [default: store.db in the data folder]
    #[arg(long, value_name = "PATH|memory", env = "TENFOUR_STORE")]
    pub store: Option<PathBuf>,
    /// What a receipt of the store on disk means: `disk` (flushed) or `os` (not flushed)
    #[arg(
        long,
        value_name = "disk|os",
        default_value = "disk",
        env = "TENFOUR_DURABILITY"
    )]
    pub durability: Durability,
    /// Text listener [default: 127.0.0.1:50544 and [::1]:50544]
    #[arg(long, value_name = "ADDR:PORT|off", num_args = 0..=1, default_missing_value = "default", env = "TENFOUR_TEXT", value_delimiter = ',')]
    pub text: Vec<String>,
    /// Datagram listener (UDP) [default: 127.0.0.1:50544]
    #[arg(long, value_name = "ADDR:PORT|off", num_args = 0..=1, default_missing_value = "default", env = "TENFOUR_DATAGRAM", value_delimiter = ',')]
    pub datagram: Vec<String>,
    /// Native listener [default: 0.0.0.0:50545 and [::]:50545]
    #[arg(long, value_name = "ADDR:PORT|off", num_args = 0..=1, default_missing_value = "default", env = "TENFOUR_NATIVE", value_delimiter = ',')]
    pub native: Vec<String>,
    /// HTTP listener [default: off; without an address 127.0.0.1:50546]; beyond the loopback with TLS, under the server's key
    #[arg(long, value_name = "ADDR:PORT|off", num_args = 0..=1, default_missing_value = "default", env = "TENFOUR_HTTP", value_delimiter = ',')]
    pub http: Vec<String>,
    /// A name of this machine by which HTTP may be asked, beside localhost and addresses
    #[arg(long, value_name = "NAME", env = "TENFOUR_HTTP_NAME", value_delimiter = ',')]
    pub http_name: Vec<String>,
    /// HTTP without TLS also beyond the loopback: for what stands behind something that adds it
    #[arg(long, env = "TENFOUR_HTTP_PLAIN", value_parser = clap::builder::BoolishValueParser::new())]
    pub http_plain: bool,
    /// Modbus/TCP listener [default: off; without an address 127.0.0.1:5020]
    #[arg(long, value_name = "ADDR:PORT|off", num_args = 0..=1, default_missing_value = "default", env = "TENFOUR_MODBUS", value_delimiter = ',')]
    pub modbus: Vec<String>,
    /// Where all writes by Modbus go [default: modbus/UNIT, one for each unit]
    #[arg(long, value_name = "MAILBOX", env = "TENFOUR_MODBUS_MAILBOX")]
    pub modbus_mailbox: Option<tenfour::MailboxName>,
    /// Mailboxes of which Modbus' input registers tell, in this order
    #[arg(
        long,
        value_name = "MAILBOXES",
        default_value = "inbox",
        env = "TENFOUR_MODBUS_WATCH",
        value_delimiter = ','
    )]
    pub modbus_watch: Vec<tenfour::MailboxName>,
    /// Open `text`, `datagram`, `native`, `http` or `modbus` to everybody, on every address
    #[arg(long, value_name = "LISTENER", env = "TENFOUR_OPEN", value_delimiter = ',')]
    pub open: Vec<Listener>,
    /// Longest message, in bytes or with K, M; at most 16M
    #[arg(long, value_name = "SIZE", default_value = "1M", value_parser = parse_size, env = "TENFOUR_MAX_MESSAGE")]
    pub max_message: u64,
    /// Most connections at once
    #[arg(
        long,
        value_name = "COUNT",
        default_value = "4096",
        env = "TENFOUR_MAX_CONNECTIONS"
    )]
    pub max_connections: usize,
    /// Memory for connections, messages on their way and caches
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = parse_size, env = "TENFOUR_MEMORY_LIMIT")]
    pub memory_limit: u64,
    /// Run a program for each message of a mailbox, the body on its stdin; its output is the reply. All that follows is its
    #[arg(long, value_name = "PROGRAM", num_args = 1.., allow_hyphen_values = true, env = "TENFOUR_EXEC")]
    pub exec: Vec<std::ffi::OsString>,
    /// Of which mailbox
    #[arg(
        long,
        value_name = "MAILBOX",
        default_value = "inbox",
        env = "TENFOUR_EXEC_MAILBOX"
    )]
    pub exec_mailbox: tenfour::MailboxName,
    /// How it is run
    #[command(flatten)]
    pub handling: Handling,
    /// Bytes of messages that senders without a key may hold together [default: 1G, or a tenth of the disk if less]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, env = "TENFOUR_ANONYMOUS_QUOTA")]
    pub anonymous_quota: Option<u64>,
    /// Do not print connections and messages
    #[arg(long, short, env = "TENFOUR_QUIET", value_parser = clap::builder::BoolishValueParser::new())]
    pub quiet: bool,
    /// Write `LISTENER ADDR:PORT`, one a line, once they listen
    #[arg(long, value_name = "FILE", env = "TENFOUR_PORT_FILE")]
    pub port_file: Option<PathBuf>,
    /// The server's key
    #[command(flatten)]
    pub identity: Identity,
}

/// A listener that can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Listener {
    /// The recipe's wire
    Text,
    /// The recipe's wire without a connection
    Datagram,
    /// TLS
    Native,
    /// TLS, or with --http-plain in the clear
    Http,
    /// In the clear
    Modbus,
}

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
    pub content_type: Option<tenfour::ContentType>,
    /// What the message is called
    #[arg(long, value_name = "NAME", env = "TENFOUR_NAME")]
    pub name: Option<tenfour::MessageName>,
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
    #[arg(long, value_name = "KEY", env = "TENFOUR_ID")]
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
    fn choose(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let chosen = one_of(matches, &["words", "message", "file", "lines", "zero"])?;
        let not = |way| chosen.is_some_and(|chosen| chosen != way);
        self.content.keep(chosen);
        self.lines &= !not("lines");
        self.zero &= !not("zero");
        Ok(())
    }
}

impl Content {
    /// Forgets what was not chosen.
    fn keep(&mut self, chosen: Option<&str>) {
        let not = |way| chosen.is_some_and(|chosen| chosen != way);
        if not("message") {
            self.message = None;
        }
        if not("file") {
            self.file = None;
        }
    }
}

/// `tenfour ask`
#[derive(Debug, Args)]
#[command(
    after_help = "Prints the reply, and ends as the handler did: 0 to 63. Its own failures are 64 for wrong usage,
70 for local errors, and 65 to 77 as `send` has them; 75: stored perhaps, or stored and not answered."
)]
pub struct Ask {
    /// HOST[:PORT][/MAILBOX]
    pub target: Option<Target>,
    /// What is asked
    #[command(flatten)]
    pub content: Content,
    /// The same question under the same id is answered once; who asks again gets the same reply
    #[arg(long, value_name = "KEY", env = "TENFOUR_ID")]
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
    fn choose(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let chosen = one_of(matches, &["words", "message", "file"])?;
        self.content.keep(chosen);
        Ok(())
    }
}

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
    fn choose(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
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
    fn choose(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
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

/// `tenfour status`
#[derive(Debug, Args)]
pub struct Status {
    /// HOST[:PORT]
    pub target: Option<Target>,
    /// What became of the messages that this key sent with `--id KEY`
    #[arg(long, value_name = "KEY", env = "TENFOUR_ID")]
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

/// `tenfour keys`
#[derive(Debug, Args)]
pub struct Keys {
    /// What to do with keys
    #[command(subcommand)]
    pub verb: KeysVerb,
    /// The user's key
    #[command(flatten)]
    pub identity: Identity,
}

/// The verbs of `tenfour keys`.
#[derive(Debug, Subcommand)]
pub enum KeysVerb {
    /// Print our own fingerprint
    Show,
    /// Trust a server's key, after comparing it with `tenfour keys show` over there
    Trust {
        /// HOST or HOST:PORT, as it is used as a target
        host: String,
        /// SHA256:...
        fingerprint: tenfour::Fingerprint,
    },
    /// Let a key in
    Allow {
        /// SHA256:...
        fingerprint: tenfour::Fingerprint,
        /// send=MAILBOX, read=MAILBOX, from=ADDRESS, expires=TIME, status, admin
        options: Vec<String>,
        /// Whose key it is
        #[arg(long, default_value = "", env = "TENFOUR_COMMENT")]
        comment: String,
    },
    /// Make a token for the HTTP listener, and print it: it is shown this once
    Token {
        /// What the token is called; its messages carry this name
        name: tenfour::TokenName,
        /// send=MAILBOX, read=MAILBOX, from=ADDRESS, expires=TIME, status, admin
        options: Vec<String>,
    },
    /// Forget a key that was allowed (SHA256:...), a token (NAME) or a server that was trusted (HOST)
    Remove {
        /// SHA256:..., NAME or HOST
        what: String,
    },
    /// Print the keys and tokens allowed here and the servers trusted
    List,
}

/// `tenfour invite`
#[derive(Debug, Args)]
pub struct Invite {
    /// Mailboxes that the guest may send to
    #[arg(long, value_name = "MAILBOXES", default_value = "inbox", env = "TENFOUR_SEND")]
    pub send: String,
    /// Mailboxes that the guest may read
    #[arg(long, value_name = "MAILBOXES", env = "TENFOUR_READ")]
    pub read: Option<String>,
    /// How long the invitation counts
    #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = parse_time, env = "TENFOUR_FOR")]
    pub lifetime: Duration,
    /// Where the guest reaches this server [default: this machine's addresses]
    #[arg(
        long,
        value_name = "HOST[:PORT]",
        env = "TENFOUR_ADDRESS",
        value_delimiter = ','
    )]
    pub address: Vec<tenfour::Address>,
    /// The server's key
    #[command(flatten)]
    pub identity: Identity,
}

/// `tenfour join`
#[derive(Debug, Args)]
pub struct Join {
    /// What `tenfour invite` printed; from stdin if it is left out
    pub token: Option<String>,
    /// For connecting
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time, env = "TENFOUR_TIMEOUT")]
    pub timeout: Duration,
    /// The key that is to be let in
    #[command(flatten)]
    pub identity: Identity,
}

/// `tenfour bench`
#[derive(Debug, Args)]
pub struct Bench {
    /// HOST[:PORT][/MAILBOX]; the mailbox is `bench` unless named
    pub target: Option<Target>,
    /// Connections
    #[arg(long, value_name = "COUNT", default_value = "1", env = "TENFOUR_CLIENTS")]
    pub clients: usize,
    /// Messages without a receipt at a time, for each client
    #[arg(long, value_name = "COUNT", default_value = "1000", env = "TENFOUR_WINDOW")]
    pub window: usize,
    /// Messages a second, of all clients together, instead of as many as there can be
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..), env = "TENFOUR_RATE")]
    pub rate: Option<u64>,
    /// Bytes of a message
    #[arg(long, value_name = "SIZE", default_value = "128", value_parser = parse_size, env = "TENFOUR_SIZE")]
    pub size: u64,
    /// How long
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_time, env = "TENFOUR_SECONDS")]
    pub seconds: Duration,
    /// Spread the clients over so many mailboxes, bench/1, bench/2 ...
    #[arg(long, value_name = "COUNT", default_value = "1", env = "TENFOUR_MAILBOXES")]
    pub mailboxes: usize,
    /// Only hold so many connections, until stdin ends
    #[arg(long, value_name = "COUNT", env = "TENFOUR_IDLE")]
    pub idle: Option<usize>,
    /// End with one JSON object
    #[arg(long, env = "TENFOUR_JSON", value_parser = clap::builder::BoolishValueParser::new())]
    pub json: bool,
    /// From a message to its receipt
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time, env = "TENFOUR_TIMEOUT")]
    pub timeout: Duration,
    /// The sender's key
    #[command(flatten)]
    pub identity: Identity,
}

/// `tenfour completions`
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// Which of several ways was chosen. What was typed wins over the environment; two of either contradict each other.
/// (clap's own conflicts know no difference between the two.)
fn one_of<'a>(matches: &ArgMatches, ways: &[&'a str]) -> Result<Option<&'a str>, clap::Error> {
    let said = |source| {
        let is_off = |way| matches!(matches.try_get_one::<bool>(way), Ok(Some(false)));
        ways.iter()
            .copied()
            .filter(move |way| matches.value_source(way) == Some(source) && !is_off(way))
    };
    for source in [ValueSource::CommandLine, ValueSource::EnvVariable] {
        let mut said = said(source);
        match (said.next(), said.next()) {
            (None, _) => {}
            (Some(way), None) => return Ok(Some(way)),
            (Some(one), Some(other)) => {
                let text = format!("`{one}` and `{other}` cannot be used together");
                return Err(clap::Error::raw(ErrorKind::ArgumentConflict, text));
            }
        }
    }
    Ok(None)
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_flag_has_a_variable() {
        fn look(command: &Command) {
            for flag in command.get_arguments().filter(|flag| !flag.is_positional()) {
                let name = flag.get_id().as_str();
                let variable = flag.get_env().and_then(|name| name.to_str()).unwrap_or_default();
                assert!(
                    matches!(name, "help" | "version") || variable.starts_with("TENFOUR_"),
                    "`--{name}` of `{}` has no variable",
                    command.get_name()
                );
            }
            command.get_subcommands().for_each(look);
        }
        let mut command = Arguments::command();
        command.build();
        look(&command);
    }

    #[test]
    fn two_ways_to_say_the_same_contradict_each_other() {
        let parse = |words: &[&str]| Arguments::try_parse_from([&["tenfour"], words].concat());
        for both in [
            &["send", "a", "word", "-m", "text"][..],
            &["send", "a", "-f", "file", "-l"],
            &["send", "a", "-l", "-0"],
            &["tail", "a", "-n", "1", "--from", "2"],
        ] {
            assert_eq!(parse(both).unwrap_err().kind(), ErrorKind::ArgumentConflict);
        }
        parse(&["send", "a", "word"]).unwrap();
    }
}
