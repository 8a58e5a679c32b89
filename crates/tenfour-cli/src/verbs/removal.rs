//! `tenfour mailbox rm` and `tenfour cursor rm`: what was filled is given back.

use tenfour::Durability;
use tenfour::client::{RemoveError, StatusError};
use tenfour::identity::{Consume, Pattern};
use tenfour::proto::native::{StatusRow, StatusValue};
use tenfour::proto::{CursorName, MailboxName};

use super::read_client::{asking_client, readable};
use crate::args::{Cursor, CursorVerb, Mailbox, MailboxVerb, Removal};
use crate::exit::{Code, Failure};
use crate::{output, setup, signals};

const WHOSE_KEY: &str = "use the key of the server's own user, or one with `admin`";

/// Something that matches.
struct Found {
    mailbox: MailboxName,
    cursor: Option<CursorName>,
    /// How people call it, with what is in it.
    words: String,
}

/// Removes mailboxes.
pub async fn mailbox(arguments: Mailbox) -> Result<(), Failure> {
    let MailboxVerb::Rm { mailboxes, removal } = arguments.verb;
    let wanted = |rows: &[StatusRow]| {
        rows.iter()
            .filter_map(|row| mailbox_of(row, &mailboxes))
            .collect()
    };
    run(&removal, "mailbox", wanted).await
}

/// Removes cursors.
pub async fn cursor(arguments: Cursor) -> Result<(), Failure> {
    let CursorVerb::Rm { cursors, removal } = arguments.verb;
    let wanted = |rows: &[StatusRow]| rows.iter().filter_map(|row| cursor_of(row, &cursors)).collect();
    run(&removal, "cursor", wanted).await
}

/// Looks what there is, says it, and removes one after the other.
async fn run(
    removal: &Removal,
    kind: &str,
    wanted: impl Fn(&[StatusRow]) -> Vec<Found>,
) -> Result<(), Failure> {
    let target = &removal.server;
    readable(target, "status")?;
    if target.mailbox.is_some() {
        return Err(Failure::usage("--server names a server, not a mailbox of it")
            .hint(format!("tenfour {kind} rm ... --server {}", target.host())));
    }
    let config = setup::client(&removal.identity, removal.timeout, Durability::Memory, None)?;
    let work = async {
        let client = asking_client(target, config, "ask").await?;
        let rows = client.status().await.map_err(|error| not_seen(&error))?;
        let found = wanted(&rows);
        if found.is_empty() {
            let text = format!("there is no such {kind} on {target}");
            return Err(Failure::local(text).hint(format!("tenfour status {target}")));
        }
        if !removal.yes {
            let lines: String = found.iter().map(|found| format!("{}\n", found.words)).collect();
            output::answer(lines.as_bytes());
            return Err(Failure::usage("nothing was removed").hint("to remove what is listed: add --yes"));
        }
        for found in &found {
            let removed = match &found.cursor {
                Some(cursor) => client.remove_cursor(&found.mailbox, cursor).await,
                None => client.remove_mailbox(&found.mailbox).await,
            };
            match removed {
                Ok(()) => output::answer(format!("removed {}\n", found.words).as_bytes()),
                // Somebody was faster.
                Err(RemoveError::Absent) => {}
                Err(error) => return Err(failure(&error, found)),
            }
        }
        Ok(())
    };
    tokio::select! {
        done = work => done,
        code = signals::stop() => Err(Failure::new(code, "interrupted; what is not named is not known to be removed")),
    }
}

fn mailbox_of(row: &StatusRow, wanted: &[Pattern]) -> Option<Found> {
    let mailbox: MailboxName = text(row, "mailbox", "mailbox")?.parse().ok()?;
    let messages = number(row, "messages");
    wanted
        .iter()
        .any(|pattern| pattern.covers(&mailbox))
        .then(|| Found {
            words: format!("{mailbox} ({messages} messages)"),
            mailbox,
            cursor: None,
        })
}

fn cursor_of(row: &StatusRow, wanted: &[Consume]) -> Option<Found> {
    let cursor: CursorName = text(row, "cursor", "cursor")?.parse().ok()?;
    let mailbox: MailboxName = text(row, "cursor", "mailbox")?.parse().ok()?;
    let lag = number(row, "lag");
    let matches = |wanted: &Consume| wanted.covers(&mailbox, &cursor);
    wanted.iter().any(matches).then(|| Found {
        words: format!("{mailbox}:{cursor} (lag {lag})"),
        mailbox,
        cursor: Some(cursor),
    })
}

fn text<'a>(row: &'a StatusRow, kind: &str, name: &str) -> Option<&'a str> {
    match row.get(name) {
        Some(StatusValue::Text(text)) if row.kind == kind => Some(text),
        _ => None,
    }
}

fn number(row: &StatusRow, name: &str) -> u64 {
    match row.get(name) {
        Some(StatusValue::Number(number)) => *number,
        _ => 0,
    }
}

fn not_seen(error: &StatusError) -> Failure {
    match error {
        StatusError::NotAllowed => {
            Failure::new(Code::NotAllowed, "this key may not remove anything").hint(WHOSE_KEY)
        }
        _ => Failure::new(Code::Unavailable, error.to_string()),
    }
}

fn failure(error: &RemoveError, found: &Found) -> Failure {
    let text = format!("{} is not removed: {error}", found.words);
    match error {
        RemoveError::NotAllowed => Failure::new(Code::NotAllowed, text).hint(WHOSE_KEY),
        RemoveError::InUse => {
            Failure::new(Code::Refused, text).hint("end its consumers first: tenfour status")
        }
        RemoveError::Refilled => {
            Failure::new(Code::Refused, text).hint("stop whoever sends to it, and repeat")
        }
        RemoveError::Lost(_) => Failure::new(Code::Unknown, text).hint("repeat the command"),
        _ => Failure::new(Code::Unavailable, text),
    }
}
