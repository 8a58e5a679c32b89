//! `tenfour bench`, as it was typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tenfour::identity::parse_time;

use super::identity::Identity;
use crate::amount::parse_size;
use crate::target::Target;

/// `tenfour bench`
#[derive(Debug, Args)]
pub struct Bench {
    /// HOST[:PORT][/MAILBOX]; the mailbox is `tenfour-bench` unless named
    pub target: Option<Target>,
    /// Number of connections
    #[arg(long, value_name = "COUNT", default_value = "1", env = "TENFOUR_CLIENTS")]
    pub clients: usize,
    /// Maximum messages in flight, for each client
    #[arg(long, value_name = "COUNT", default_value = "1000", env = "TENFOUR_WINDOW")]
    pub window: usize,
    /// Send this many messages per second, all clients together, instead of as many as possible
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..), env = "TENFOUR_RATE")]
    pub rate: Option<u64>,
    /// Size of each message, in bytes
    #[arg(long, value_name = "SIZE", default_value = "128", value_parser = parse_size, env = "TENFOUR_SIZE")]
    pub size: u64,
    /// How long to run
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_time, env = "TENFOUR_SECONDS")]
    pub seconds: Duration,
    /// Spread the clients over this many mailboxes: tenfour-bench/1, tenfour-bench/2 ...
    #[arg(long, value_name = "COUNT", default_value = "1", env = "TENFOUR_MAILBOXES")]
    pub mailboxes: usize,
    /// Only hold this many connections open, until stdin ends
    #[arg(long, value_name = "COUNT", env = "TENFOUR_IDLE")]
    pub idle: Option<usize>,
    /// Measure a new outbox in this file instead: how many messages per second it takes and delivers
    #[arg(long, value_name = "PATH", env = "TENFOUR_OUTBOX")]
    pub outbox: Option<PathBuf>,
    /// Torture a server of its own instead, with its store in this folder: kill it again and again, cut connections,
    /// and compare what had receipts with what is there
    #[arg(
        long,
        value_name = "FOLDER",
        conflicts_with = "outbox",
        env = "TENFOUR_TORTURE"
    )]
    pub torture: Option<PathBuf>,
    /// Print one JSON object at the end
    #[arg(long, env = "TENFOUR_JSON", value_parser = clap::builder::BoolishValueParser::new())]
    pub json: bool,
    /// Deadline from a message to its receipt
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time, env = "TENFOUR_TIMEOUT")]
    pub timeout: Duration,
    /// The sender's key
    #[command(flatten)]
    pub identity: Identity,
}
