//! `tenfour keys`, `invite` and `join`, as they were typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use tenfour::identity::parse_time;

use super::identity::Identity;

/// `tenfour keys`
#[derive(Debug, Args)]
pub struct Keys {
    /// What to do
    #[command(subcommand)]
    pub verb: KeysVerb,
    /// Change or list what is allowed by all servers of this store, postgres://...; otherwise by those of this user
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "TENFOUR_STORE",
        hide_env_values = true
    )]
    pub store: Option<PathBuf>,
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
        /// HOST or HOST:PORT, as you use it as a target
        host: String,
        /// SHA256:...
        fingerprint: tenfour::proto::Fingerprint,
        /// Replace another key that is trusted under this name
        #[arg(long, env = "TENFOUR_REPLACE", value_parser = clap::builder::BoolishValueParser::new())]
        replace: bool,
    },
    /// Let a key in, or add to what it may do
    Allow {
        /// SHA256:...
        fingerprint: tenfour::proto::Fingerprint,
        /// send=MAILBOX, read=MAILBOX, consume=MAILBOX[:CURSOR], answer=MAILBOX, from=ADDRESS, expires=TIME, status, admin
        options: Vec<String>,
        /// Comment: whose key it is
        #[arg(long, default_value = "", env = "TENFOUR_COMMENT")]
        comment: String,
        /// Replace what the key may do, instead of adding to it
        #[arg(long, env = "TENFOUR_REPLACE", value_parser = clap::builder::BoolishValueParser::new())]
        replace: bool,
    },
    /// Make a token for the HTTP listener and print it; it is shown only once
    Token {
        /// Name of the token; messages sent with it carry this name
        name: tenfour::proto::TokenName,
        /// send=MAILBOX, read=MAILBOX, consume=MAILBOX[:CURSOR], answer=MAILBOX, from=ADDRESS, expires=TIME, status, admin
        options: Vec<String>,
    },
    /// Remove an allowed key (SHA256:...), a token (NAME) or a trusted server (HOST)
    Remove {
        /// SHA256:..., NAME or HOST
        what: String,
    },
    /// List the keys and tokens that are allowed here, and the servers we trust
    List,
}

/// `tenfour invite`
#[derive(Debug, Args)]
pub struct Invite {
    /// Mailboxes that the guest may send to
    #[arg(long, value_name = "MAILBOXES", default_value = "inbox", env = "TENFOUR_SEND")]
    pub send: String,
    /// Mailboxes that the guest may look at
    #[arg(long, value_name = "MAILBOXES", env = "TENFOUR_READ")]
    pub read: Option<String>,
    /// Mailboxes that the guest may consume, MAILBOX or MAILBOX:CURSOR
    #[arg(long, value_name = "MAILBOXES", env = "TENFOUR_CONSUME")]
    pub consume: Option<String>,
    /// Mailboxes whose messages the guest may answer
    #[arg(long, value_name = "MAILBOXES", env = "TENFOUR_ANSWER")]
    pub answer: Option<String>,
    /// How long the invitation is valid
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
    /// Store of the servers that know the invitation, postgres://...; otherwise those of this user do
    #[arg(long, value_name = "URL", env = "TENFOUR_STORE", hide_env_values = true)]
    pub store: Option<PathBuf>,
    /// The server's key
    #[command(flatten)]
    pub identity: Identity,
}

/// `tenfour join`
#[derive(Debug, Args)]
pub struct Join {
    /// The token that `tenfour invite` printed; read from stdin if omitted
    pub token: Option<String>,
    /// Another name under which you will call the server
    pub name: Option<tenfour::Address>,
    /// Connection timeout
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time, env = "TENFOUR_TIMEOUT")]
    pub timeout: Duration,
    /// The key to be let in
    #[command(flatten)]
    pub identity: Identity,
}
