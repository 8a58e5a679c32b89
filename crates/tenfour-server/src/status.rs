//! What the server is doing, in rows: for `tenfour status` and whatever else wants to show it.

use std::collections::HashMap;

use tenfour_proto::native::{self, StatusRow, StatusValue};
use tenfour_proto::{MailboxName, Settled, Settlement, hex};
use tenfour_store::{CursorInfo, MailboxInfo, ReadError, ServerInfo};

use crate::broker::{LATENCY_BOUNDS, StoreGone};
use crate::context::Context;
use crate::reading::response_budget::Piece;

/// Most of what an answer holds: ten thousand mailboxes, their cursors and as many connections.
const MOST: u64 = 8 * 1024 * 1024;

/// What a row holds until it is on its way, about.
const ROW: u64 = 512;

/// The whole server, with room for the answer: whoever asks and does not read holds no more than others leave. There may be
/// none for too long.
pub(crate) async fn server(context: &Context) -> Result<(Vec<StatusRow>, Piece), StoreGone> {
    let mut piece = context.outgoing.room_for(MOST).await.ok_or(StoreGone)?;
    let found = context
        .broker
        .read(|reader| {
            let places = (reader.mailboxes()?, reader.cursors()?, reader.sizes()?);
            Ok::<_, ReadError>((places, reader.servers()?))
        })
        .await?;
    let ((mailboxes, cursors, sizes), servers) = found.map_err(|error| {
        tracing::error!(%error, "the store cannot be read");
        StoreGone
    })?;
    let sizes: HashMap<MailboxName, u64> = sizes.into_iter().collect();
    let mut rows = vec![about(context)];
    rows.extend(servers.iter().map(peer));
    rows.extend(connections(context));
    rows.extend(mailboxes.iter().map(|info| {
        let bytes = sizes.get(&info.name).copied().unwrap_or(0);
        mailbox(info, bytes)
    }));
    let by_name: HashMap<&MailboxName, &MailboxInfo> =
        mailboxes.iter().map(|info| (&info.name, info)).collect();
    rows.extend(
        cursors
            .iter()
            .map(|info| cursor(info, by_name.get(&info.mailbox).copied())),
    );
    rows.extend(context.counters.iter().map(|(reason, count)| {
        StatusRow::new("counter")
            .with("reason", reason)
            .with("count", count)
    }));
    rows.extend(receipts(context));
    piece.shrink_to(rows.len() as u64 * ROW);
    Ok((rows, piece))
}

fn about(context: &Context) -> StatusRow {
    let store = hex(&context.broker.store_id());
    StatusRow::new("server")
        .with("software", native::SOFTWARE)
        .with("key", context.config.identity.fingerprint().to_string())
        .with("store", store)
        .with("durability", context.broker.durability().as_str())
        .with("since", moment(context.since))
        .with("stored", context.broker.latency().messages())
        .with("max-connections", context.config.limits.max_connections as u64)
        .with("max-message", u64::from(context.config.limits.max_message))
}

/// A server that writes to the same store.
fn peer(info: &ServerInfo) -> StatusRow {
    StatusRow::new("peer")
        .with("name", info.name.as_str())
        .with("software", info.software.as_str())
        .with("receipts", info.promise.as_str())
        .with("since", moment(info.since))
        .with("silent-s", info.silent)
        .with("this", if info.is_own { "yes" } else { "no" })
}

/// How many of the messages that were stored since the start got their receipts within which time.
fn receipts(context: &Context) -> impl Iterator<Item = StatusRow> {
    let bounds = LATENCY_BOUNDS.iter().map(|bound| StatusValue::from(*bound));
    bounds
        .chain(["more".into()])
        .zip(context.broker.latency().buckets)
        .map(|(within, count)| {
            StatusRow::new("receipt")
                .with("within-us", within)
                .with("count", count)
        })
}

fn connections(context: &Context) -> Vec<StatusRow> {
    let all = context.connections.all();
    let rows = all.iter().map(|visit| {
        let row = StatusRow::new("connection").with("listener", visit.listener.as_str());
        let name = visit.key.map(|key| context.config.access.name_of(key));
        row.with("sender", visit.sender().to_string())
            .with("name", name.unwrap_or_default())
            .with("address", visit.peer.to_string())
            .with("since", moment(visit.since))
            .with("in", visit.received())
            .with("out", visit.sent())
    });
    rows.collect()
}

fn mailbox(info: &MailboxInfo, bytes: u64) -> StatusRow {
    StatusRow::new("mailbox")
        .with("mailbox", info.name.as_str())
        .with("messages", info.kept())
        .with("bytes", bytes)
        .with("first", info.first)
        .with("last", info.last)
}

/// The number of messages that nobody has done by this cursor yet.
pub(crate) fn lag(cursor: &CursorInfo, mailbox: Option<&MailboxInfo>) -> u64 {
    let (first, last) = mailbox.map_or((1, 0), |mailbox| (mailbox.first, mailbox.last));
    let committed = cursor.committed.max(first - 1);
    last.saturating_sub(committed).saturating_sub(cursor.done)
}

fn cursor(info: &CursorInfo, mailbox: Option<&MailboxInfo>) -> StatusRow {
    StatusRow::new("cursor")
        .with("mailbox", info.mailbox.as_str())
        .with("cursor", info.name.as_str())
        .with("lag", lag(info, mailbox))
        .with("floor", info.committed)
        .with("done-above", info.done)
        .with("holds-back", if info.expired { "no" } else { "yes" })
}

/// The fate of the messages of a producer.
pub(crate) fn fate(settlement: &Settlement) -> impl Iterator<Item = StatusRow> {
    settlement.in_order().map(|part| match part {
        Settled::Stored(run) => StatusRow::new("stored")
            .with("sequence", run.first)
            .with("count", run.count)
            .with("mailbox", run.mailbox.as_str())
            .with("offset", run.offset),
        Settled::Refused(refused) => StatusRow::new("refused")
            .with("sequence", refused.first)
            .with("count", refused.count)
            .with("reason", refused.code.as_str()),
    })
}

fn moment(time: i64) -> String {
    jiff::Timestamp::from_microsecond(time)
        .and_then(|time| time.round(jiff::Unit::Second))
        .map_or_else(|_| time.to_string(), |time| time.to_string())
}
