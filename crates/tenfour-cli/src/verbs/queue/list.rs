//! `tenfour queue --list`

use serde_json::{Value, json};
use tenfour::{Outbox, OutboxItem, OutboxRoute, Record};

use super::failed;
use crate::amount::show_size;
use crate::escape::safe;
use crate::exit::Failure;
use crate::output;

/// Messages read at once.
const PAGE: usize = 1_000;

/// Prints each server with what waits for it.
pub fn run(outbox: &Outbox, only: Option<&str>, json: bool) -> Result<(), Failure> {
    let routes = outbox.routes().map_err(|error| failed(&error))?;
    let wanted = |route: &OutboxRoute| match only {
        Some(only) => only == route.address,
        None => route.waiting > 0 || route.refused > 0 || route.lost.is_some(),
    };
    for route in routes.into_iter().filter(wanted) {
        output::line(&if json {
            object(&route).to_string()
        } else {
            summary(&route)
        })?;
        let mut from = 1;
        loop {
            let items = outbox
                .list(&route.address, from, PAGE)
                .map_err(|error| failed(&error))?;
            let Some(last) = items.last() else { break };
            from = last.number + 1;
            for item in &items {
                output::line(&if json {
                    record(&route.address, item).json()
                } else {
                    line(item)
                })?;
            }
        }
    }
    Ok(())
}

fn summary(route: &OutboxRoute) -> String {
    let mut words = format!("{}  {} waiting", route.address, route.waiting);
    if route.waiting > 0 {
        words.push_str(&format!(" ({})", show_size(route.bytes)));
    }
    if route.numbered > 0 {
        words.push_str(&format!(", {} of them under way", route.numbered));
    }
    if route.refused > 0 {
        words.push_str(&format!(", {} refused", route.refused));
    }
    if route.kept > 0 {
        words.push_str(&format!(", {} delivered and kept", route.kept));
    }
    if let Some(trouble) = &route.trouble {
        words.push_str(&format!("\n  {}", safe(trouble)));
    }
    let address = &route.address;
    match lacks(route) {
        Some((from, to, 0)) => words.push_str(&format!(
            "\n  it lacks #{from} to #{to}, and nothing of that is here any more: tenfour queue {address} --forget-lost"
        )),
        Some((from, to, here)) => words.push_str(&format!(
            "\n  it lacks #{from} to #{to}, {here} of them are still here: tenfour queue {address} --resend-lost, or --forget-lost"
        )),
        None if route.lost.is_some() => words.push_str(&format!(
            "\n  to send there all the same: tenfour queue {address} --resend-lost"
        )),
        None => {}
    }
    words
}

/// What a server lacks although it gave receipts for it: from, to, and how many of those are still here.
pub fn lacks(route: &OutboxRoute) -> Option<(u64, u64, u64)> {
    let (from, to) = route.lost.filter(|(from, to)| from <= to)?;
    Some((from, to, route.lost_here))
}

/// A server and what waits for it, in JSON; what does not apply is null.
pub fn object(route: &OutboxRoute) -> Value {
    let lacks = lacks(route);
    json!({
        "kind": "queue",
        "address": route.address,
        "waiting": route.waiting,
        "bytes": route.bytes,
        "oldest": route.oldest.map(time),
        "under_way": route.numbered,
        "refused": route.refused,
        "kept": route.kept,
        "lacks_from": lacks.map(|(from, _, _)| from),
        "lacks_to": lacks.map(|(_, to, _)| to),
        "lacks_here": lacks.map(|(_, _, here)| here),
        "trouble": route.trouble,
    })
}

fn time(microseconds: i64) -> String {
    jiff::Timestamp::from_microsecond(microseconds)
        .map(|time| time.to_string())
        .unwrap_or_default()
}

fn line(item: &OutboxItem) -> String {
    let message = &item.message;
    let mut words = format!(
        "  #{}  {}  {}  {}",
        item.number,
        time(item.time),
        message.mailbox,
        show_size(message.body.len() as u64)
    );
    if let Some(name) = &message.name {
        words.push_str(&format!("  {}", safe(name.as_str())));
    }
    match (&item.refused, item.identity) {
        (Some(reason), _) => words.push_str(&format!("  refused: {}", safe(reason))),
        (None, Some(_)) => words.push_str("  under way"),
        (None, None) => {}
    }
    words
}

fn record(address: &str, item: &OutboxItem) -> Record {
    let message = &item.message;
    let outcome = match (&item.refused, item.identity) {
        (Some(_), _) => "refused",
        (None, Some(_)) => "unknown",
        (None, None) => "queued",
    };
    Record {
        outcome,
        reason: item.refused.clone(),
        number: Some(item.number),
        mailbox: Some(message.mailbox.to_string()),
        stream: item.identity.map(|identity| identity.0.to_string()),
        sequence: item.identity.map(|identity| identity.1),
        time: Some(time(item.time)),
        address: Some(address.to_owned()),
        bytes: Some(message.body.len() as u64),
        content_type: message.content_type.as_ref().map(ToString::to_string),
        name: message.name.as_ref().map(ToString::to_string),
        ..Record::default()
    }
    .with_body(&message.body)
}
