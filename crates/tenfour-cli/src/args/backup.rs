//! `tenfour backup`, as it was typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tenfour::identity::parse_time;

use super::identity::Identity;
use crate::target::Target;

/// `tenfour backup`
#[derive(Debug, Args)]
#[command(
    after_help = "The file is whole and checked when this ends with 0. To use it: stop the server, move its store away, and name the file
by `tenfour serve --store`. Senders notice what it lacks, and an outbox can send that again."
)]
pub struct Backup {
    /// File to write; it must not exist yet
    pub file: PathBuf,
    /// Server, HOST[:PORT] [default: localhost]
    pub target: Option<Target>,
    /// Connection timeout
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time, env = "TENFOUR_TIMEOUT")]
    pub timeout: Duration,
    /// Whose key is used
    #[command(flatten)]
    pub identity: Identity,
}
