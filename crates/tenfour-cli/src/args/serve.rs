//! `tenfour serve`, as it was typed.

use std::path::PathBuf;

use clap::Args;
use tenfour::Durability;
use tenfour::identity::Pattern;
use tenfour::identity::parse_time;
use tenfour::store::Retain;

use super::identity::Identity;
use super::read::Handling;
use crate::amount::parse_size;

/// `tenfour serve`
#[derive(Debug, Args)]
pub struct Serve {
    /// Store file, or `memory` to keep nothing, or postgres://USER@HOST[,HOST]/DATABASE, which many servers may share
    /// [default: store.db in the data folder]
    #[arg(
        long,
        value_name = "PATH|memory|URL",
        env = "TENFOUR_STORE",
        hide_env_values = true
    )]
    pub store: Option<PathBuf>,
    /// What a receipt means: `replicated` (flushed on two machines), `disk` (flushed) or `os` (not flushed)
    /// [default: disk; replicated with postgres://]
    #[arg(long, value_name = "replicated|disk|os", env = "TENFOUR_DURABILITY")]
    pub durability: Option<Durability>,
    /// The database replicates what it flushes in a way that it does not show (with postgres://)
    #[arg(long, env = "TENFOUR_ENGINE_REPLICATES", value_parser = clap::builder::BoolishValueParser::new())]
    pub engine_replicates: bool,
    /// Text listener [default: 127.0.0.1:50544 and [::1]:50544]
    #[arg(long, value_name = "ADDR:PORT|off", num_args = 0..=1, default_missing_value = "default", env = "TENFOUR_TEXT", value_delimiter = ',')]
    pub text: Vec<String>,
    /// Datagram listener (UDP) [default: 127.0.0.1:50544 and [::1]:50544]
    #[arg(long, value_name = "ADDR:PORT|off", num_args = 0..=1, default_missing_value = "default", env = "TENFOUR_DATAGRAM", value_delimiter = ',')]
    pub datagram: Vec<String>,
    /// Native listener [default: 0.0.0.0:50545 and [::]:50545]
    #[arg(long, value_name = "ADDR:PORT|off", num_args = 0..=1, default_missing_value = "default", env = "TENFOUR_NATIVE", value_delimiter = ',')]
    pub native: Vec<String>,
    /// HTTP listener [default: off; without an address 127.0.0.1:50546 and [::1]:50546]; beyond the loopback it uses TLS with the server's key
    #[arg(long, value_name = "ADDR:PORT|off", num_args = 0..=1, default_missing_value = "default", env = "TENFOUR_HTTP", value_delimiter = ',')]
    pub http: Vec<String>,
    /// Host name to accept in HTTP requests, besides localhost and IP addresses
    #[arg(long, value_name = "NAME", env = "TENFOUR_HTTP_NAME", value_delimiter = ',')]
    pub http_name: Vec<String>,
    /// Allow plain HTTP on non-loopback addresses (use behind a TLS-terminating proxy)
    #[arg(long, env = "TENFOUR_HTTP_PLAIN", value_parser = clap::builder::BoolishValueParser::new())]
    pub http_plain: bool,
    /// Modbus/TCP listener [default: off; without an address 127.0.0.1:5020 and [::1]:5020]
    #[arg(long, value_name = "ADDR:PORT|off", num_args = 0..=1, default_missing_value = "default", env = "TENFOUR_MODBUS", value_delimiter = ',')]
    pub modbus: Vec<String>,
    /// Mailbox for all Modbus writes [default: modbus/UNIT, one for each unit]
    #[arg(long, value_name = "MAILBOX", env = "TENFOUR_MODBUS_MAILBOX")]
    pub modbus_mailbox: Option<tenfour::MailboxName>,
    /// Mailboxes exposed in the Modbus input registers, in this order
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
    /// Maximum message size, in bytes or with K, M; at most 16M
    #[arg(long, value_name = "SIZE", default_value = "1M", value_parser = parse_size, env = "TENFOUR_MAX_MESSAGE")]
    pub max_message: u64,
    /// Maximum number of connections
    #[arg(
        long,
        value_name = "COUNT",
        default_value = "4096",
        env = "TENFOUR_MAX_CONNECTIONS"
    )]
    pub max_connections: usize,
    /// Memory for connections, messages in flight and caches
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = parse_size, env = "TENFOUR_MEMORY_LIMIT")]
    pub memory_limit: u64,
    /// Run PROGRAM for each message in a mailbox, with the body on stdin; its stdout is the reply. Everything after PROGRAM is passed to it
    #[arg(long, value_name = "PROGRAM", num_args = 1.., allow_hyphen_values = true, env = "TENFOUR_EXEC")]
    pub exec: Vec<std::ffi::OsString>,
    /// Mailbox whose messages --exec handles
    #[arg(
        long,
        value_name = "MAILBOX",
        default_value = "inbox",
        env = "TENFOUR_EXEC_MAILBOX"
    )]
    pub exec_mailbox: tenfour::MailboxName,
    /// Options for --exec
    #[command(flatten)]
    pub handling: Handling,
    /// Bytes that messages from senders without a key may occupy together [default: 1G, or a tenth of the disk if less]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, env = "TENFOUR_ANONYMOUS_QUOTA")]
    pub anonymous_quota: Option<u64>,
    /// Retention: `30d`, `10G` or `forever`, or MAILBOX=RULE for some mailboxes (`logs/*=30d,10G`). The first matching rule
    /// applies; messages that a cursor has not passed are kept. Days count only while the server runs
    #[arg(long, value_name = "[MAILBOX=]RULE", value_parser = parse_retain, env = "TENFOUR_RETAIN", value_delimiter = ';')]
    pub retain: Vec<(Pattern, Retain)>,
    /// Mailboxes in which --retain also deletes messages that a cursor has not passed
    #[arg(
        long,
        value_name = "MAILBOXES",
        env = "TENFOUR_RETAIN_UNREAD",
        value_delimiter = ','
    )]
    pub retain_unread: Vec<Pattern>,
    /// Do not print connections and messages
    #[arg(long, short, env = "TENFOUR_QUIET", value_parser = clap::builder::BoolishValueParser::new())]
    pub quiet: bool,
    /// Write a line `LISTENER ADDR:PORT` for each listener to FILE, once they listen
    #[arg(long, value_name = "FILE", env = "TENFOUR_PORT_FILE")]
    pub port_file: Option<PathBuf>,
    /// The server's key
    #[command(flatten)]
    pub identity: Identity,
}

/// `[MAILBOX=]RULE[,RULE]`
fn parse_retain(text: &str) -> Result<(Pattern, Retain), String> {
    let (pattern, rules) = match text.split_once('=') {
        Some((pattern, rules)) => (pattern.parse().map_err(|error| format!("{error}"))?, rules),
        None => (Pattern::All, text),
    };
    let mut retain = Retain::FOREVER;
    if rules == "forever" {
        return Ok((pattern, retain));
    }
    for rule in rules.split(',') {
        if rule.ends_with(['h', 'd']) {
            let hours = parse_time(rule)?.as_secs() / 3600;
            if hours == 0 {
                return Err("the shortest time is `1h`".to_owned());
            }
            retain.hours = Some(u32::try_from(hours).unwrap_or(u32::MAX));
        } else {
            // `5m` would be megabytes to the one and minutes to the other, and `30` was to be days.
            let bad = || format!("`{rule}` is none of `30d`, `12h`, `10G` or `forever`");
            let has_unit = rule.ends_with(['K', 'M', 'G', 'B']);
            let size = parse_size(rule).ok().filter(|size| has_unit && *size > 0);
            retain.bytes = Some(size.ok_or_else(bad)?);
        }
    }
    Ok((pattern, retain))
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
