//! `tenfour status`: what a server is doing, and what became of a message.

use std::time::Duration;

use tenfour::Durability;
use tenfour::client::StatusError;
use tenfour::proto::native::{StatusRow, StatusValue};
use tenfour::server::status_json;

use super::read_client::{asking_client, readable};
use crate::args::Status;
use crate::escape::safe;
use crate::exit::{Code, Failure};
use crate::target::Target;
use crate::{output, setup, signals};

/// Sections of the answer for people: the kind of their rows, their title, and whether a row of zeros is left out.
const SECTIONS: [(&str, &str, bool); 7] = [
    ("server", "SERVER", false),
    ("peer", "SERVERS OF THIS STORE", true),
    ("connection", "CONNECTED", false),
    ("mailbox", "MAILBOXES", false),
    ("cursor", "CURSORS", false),
    ("counter", "REFUSED OR DROPPED", true),
    ("receipt", "RECEIPTS", true),
];

/// What a terminal wants for an empty screen.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Asks once, or again and again.
pub async fn run(arguments: Status) -> Result<(), Failure> {
    let target = arguments.target.clone().unwrap_or_else(Target::localhost);
    readable(&target, "status")?;
    if target.mailbox.is_some() {
        return Err(
            Failure::usage("status is of a whole server").hint(format!("tenfour status {}", target.host()))
        );
    }
    let config = setup::client(&arguments.identity, arguments.timeout, Durability::Memory, None)?;
    let work = async {
        let failed = |error: StatusError| failure(&error);
        let client = asking_client(&target, config, "ask").await?;
        loop {
            let rows = match &arguments.id {
                Some(id) => client.fate(id).await,
                None => client.status().await,
            }
            .map_err(failed)?;
            let text = match &arguments.id {
                _ if arguments.json => json(&rows),
                Some(_) => fate(&rows),
                None => table(&rows),
            };
            let Some(pause) = arguments.watch else {
                output::answer(text.as_bytes());
                return outcome(arguments.id.as_deref(), &rows);
            };
            let text = match &arguments.id {
                Some(id) if rows.is_empty() && !arguments.json => format!("{}: never seen\n", safe(id)),
                _ => text,
            };
            let screen = !arguments.json && output::is_terminal(&std::io::stdout());
            output::data(format!("{}{text}", if screen { CLEAR } else { "" }).as_bytes())?;
            tokio::time::sleep(pause.max(Duration::from_millis(100))).await;
        }
    };
    tokio::select! {
        result = work => result,
        code = signals::stop() => Err(Failure::new(code, "")),
    }
}

/// The code speaks of the messages, as `send` does.
fn outcome(id: Option<&str>, rows: &[StatusRow]) -> Result<(), Failure> {
    let Some(id) = id else { return Ok(()) };
    if rows.is_empty() {
        return Err(Failure::new(
            Code::Unavailable,
            format!("the server has never seen the id `{id}` from this key, or has forgotten it"),
        )
        .hint(
            "what this key sent natively is not stored: send it; of what went by udp:// nothing can be said",
        ));
    }
    if rows.iter().any(|row| row.kind == "refused") {
        return Err(Failure::new(Code::Refused, "not everything is stored"));
    }
    Ok(())
}

fn json(rows: &[StatusRow]) -> String {
    rows.iter().map(|row| status_json(row) + "\n").collect()
}

fn fate(rows: &[StatusRow]) -> String {
    let number = |row: &StatusRow, name| match row.get(name) {
        Some(StatusValue::Number(number)) => *number,
        _ => 0,
    };
    rows.iter()
        .map(|row| {
            let (first, count) = (number(row, "sequence"), number(row, "count"));
            let which = match count {
                1 => format!("message {first}"),
                _ => format!("messages {first} to {}", first + count.saturating_sub(1)),
            };
            if row.kind == "stored" {
                let (mailbox, offset) = (word(row, "mailbox"), number(row, "offset"));
                match count {
                    1 => format!("{which}: stored, {mailbox} #{offset}\n"),
                    _ => format!(
                        "{which}: stored, {mailbox} #{offset} to #{}\n",
                        offset + count.saturating_sub(1)
                    ),
                }
            } else {
                format!("{which}: {}, {}\n", safe(&row.kind), word(row, "reason"))
            }
        })
        .collect()
}

fn word(row: &StatusRow, name: &str) -> String {
    row.get(name).map(text).unwrap_or_default()
}

/// One line a row, its columns below each other.
fn table(rows: &[StatusRow]) -> String {
    let mut out = String::new();
    for (kind, title, only_counts) in SECTIONS {
        let mut lines: Vec<Vec<String>> = Vec::new();
        let of_kind = rows.iter().filter(|row| row.kind == kind);
        for row in of_kind.filter(|row| !only_counts || row.get("count") != Some(&StatusValue::Number(0))) {
            if kind == "server" {
                lines.extend(
                    row.values
                        .iter()
                        .map(|(name, value)| vec![safe(name), text(value)]),
                );
                continue;
            }
            if lines.is_empty() {
                lines.push(row.values.iter().map(|(name, _)| safe(name)).collect());
            }
            lines.push(row.values.iter().map(|(_, value)| text(value)).collect());
        }
        // A store in a file has one server.
        if kind == "peer" && lines.is_empty() {
            continue;
        }
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(title);
        out.push('\n');
        if lines.is_empty() {
            out.push_str("  none\n");
        }
        let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                lines
                    .iter()
                    .filter_map(|line| line.get(column))
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        for line in lines {
            let cells: Vec<String> = line
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            out.push_str(format!("  {}", cells.join("  ")).trim_end());
            out.push('\n');
        }
    }
    out
}

fn text(value: &StatusValue) -> String {
    match value {
        StatusValue::Text(text) if text.is_empty() => "-".to_owned(),
        StatusValue::Text(text) => safe(text),
        StatusValue::Number(number) => number.to_string(),
    }
}

fn failure(error: &StatusError) -> Failure {
    match error {
        StatusError::NotAllowed => Failure::new(Code::NotAllowed, error.to_string())
            .hint("use the server's own key, or on the server: tenfour keys allow FINGERPRINT admin"),
        _ => Failure::new(Code::Unavailable, error.to_string()),
    }
}
