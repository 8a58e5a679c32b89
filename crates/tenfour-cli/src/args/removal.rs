//! `tenfour mailbox` and `tenfour cursor`, as they were typed.

use std::time::Duration;

use clap::{Args, Subcommand};
use tenfour::identity::{Consume, Pattern, parse_time};

use super::identity::Identity;
use crate::target::Target;

/// `tenfour mailbox`
#[derive(Debug, Args)]
pub struct Mailbox {
    /// What to do
    #[command(subcommand)]
    pub verb: MailboxVerb,
}

/// The verbs of `tenfour mailbox`.
#[derive(Debug, Subcommand)]
pub enum MailboxVerb {
    /// Remove mailboxes with all their messages and cursors; says what they are unless --yes is given
    Rm {
        /// MAILBOX, or a pattern such as 'logs/*'
        #[arg(required = true)]
        mailboxes: Vec<Pattern>,
        /// Where
        #[command(flatten)]
        removal: Removal,
    },
}

/// `tenfour cursor`
#[derive(Debug, Args)]
pub struct Cursor {
    /// What to do
    #[command(subcommand)]
    pub verb: CursorVerb,
}

/// The verbs of `tenfour cursor`.
#[derive(Debug, Subcommand)]
pub enum CursorVerb {
    /// Remove cursors: whoever uses such a name next begins anew; says what they are unless --yes is given
    Rm {
        /// MAILBOX:CURSOR, or a pattern with all its cursors, such as 'logs/*'
        #[arg(required = true)]
        cursors: Vec<Consume>,
        /// Where
        #[command(flatten)]
        removal: Removal,
    },
}

/// Where something is removed.
#[derive(Debug, Args)]
pub struct Removal {
    /// Server, HOST[:PORT]
    #[arg(
        long,
        value_name = "HOST",
        default_value = "localhost",
        env = "TENFOUR_SERVER"
    )]
    pub server: Target,
    /// Remove it now
    #[arg(short, long, env = "TENFOUR_YES", value_parser = clap::builder::BoolishValueParser::new())]
    pub yes: bool,
    /// Connection timeout
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time, env = "TENFOUR_TIMEOUT")]
    pub timeout: Duration,
    /// Whose key is used
    #[command(flatten)]
    pub identity: Identity,
}
