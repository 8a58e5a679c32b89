//! `tenfour queue --list`

use serde::Serialize;
use tenfour::outbox::{Outbox, OutboxDestination, OutboxItem, Verdict};
use tenfour::server::Record;

use super::local::failed;
use crate::amount::show_size;
use crate::escape::safe;
use crate::exit::Failure;
use crate::output;

/// Messages read at once.
const PAGE: usize = 1_000;

/// Prints each server with what waits for it.
pub fn run(outbox: &Outbox, only: Option<&str>, as_json: bool) -> Result<(), Failure> {
    let routes = outbox.routes().map_err(|error| failed(&error))?;
    let wanted = |route: &OutboxDestination| match only {
        Some(only) => only == route.address,
        None => route.waiting > 0 || route.refused > 0 || route.lost.is_some(),
    };
    for route in routes.into_iter().filter(wanted) {
        output::line(&if as_json { json(&route) } else { summary(&route) })?;
        let mut from = 1;
        loop {
            let items = outbox
                .list(&route.address, from, PAGE)
                .map_err(|error| failed(&error))?;
            let Some(last) = items.last() else { break };
            from = last.number + 1;
            for item in &items {
                output::line(&if as_json {
                    record(&route.address, item).json()
                } else {
                    line(item)
                })?;
            }
        }
    }
    Ok(())
}

fn summary(route: &OutboxDestination) -> String {
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
    if let Some(error) = &route.error {
        words.push_str(&format!("\n  {}", safe(error)));
    }
    let address = &route.address;
    let lacks = lacks(route).map(|(from, to, here)| match here {
        0 => format!("it lacks #{from} to #{to}, and nothing of that is here any more"),
        _ => format!("it lacks #{from} to #{to}, {here} of them are still here"),
    });
    let next = match (route.verdict, &lacks) {
        (Some(Verdict::Resend), _) => "they go again with the next delivery".to_owned(),
        (Some(Verdict::Forget), _) => "the next delivery goes on without them".to_owned(),
        (None, Some(_)) if route.lost_here == 0 => format!("tenfour queue {address} --forget-lost"),
        (None, Some(_)) => format!("tenfour queue {address} --resend-lost, or --forget-lost"),
        (None, None) => {
            format!("to send there all the same: tenfour queue {address} --resend-lost; or --forget-lost")
        }
    };
    if let Some(lacks) = &lacks {
        words.push_str(&format!("\n  {lacks}: {next}"));
    } else if route.lost.is_some() {
        words.push_str(&format!("\n  {next}"));
    }
    words
}

/// What a server lacks although it gave receipts for it: from, to, and how many of those are still here.
pub fn lacks(route: &OutboxDestination) -> Option<(u64, u64, u64)> {
    let (from, to) = route.lost.filter(|(from, to)| from <= to)?;
    Some((from, to, route.lost_here))
}

/// A server and what waits for it, in JSON.
#[derive(Serialize)]
struct Row<'a> {
    kind: &'static str,
    address: &'a str,
    waiting: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<String>,
    under_way: u64,
    refused: u64,
    kept: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lacks_from: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lacks_to: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lacks_here: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "trouble")]
    error: Option<&'a str>,
}

/// The same in JSON.
pub fn json(route: &OutboxDestination) -> String {
    let lacks = lacks(route);
    let row = Row {
        kind: "queue",
        address: &route.address,
        waiting: route.waiting,
        bytes: route.bytes,
        oldest: route.oldest.map(time),
        under_way: route.numbered,
        refused: route.refused,
        kept: route.kept,
        lacks_from: lacks.map(|(from, _, _)| from),
        lacks_to: lacks.map(|(_, to, _)| to),
        lacks_here: lacks.map(|(_, _, here)| here),
        error: route.error.as_deref(),
    };
    // Strings and numbers always serialise.
    serde_json::to_string(&row).unwrap_or_default()
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
