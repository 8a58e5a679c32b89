//! `/v1/status` as lines of JSON, `/metrics` in the text format of Prometheus (version 0.0.4).

use std::fmt::Write;

use axum::extract::Extension;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use tenfour_proto::native::{StatusRow, StatusValue};

use super::problem::Problem;
use super::read::{LINES, held};
use super::visitor::Visitor;
use crate::broker::LATENCY_BOUNDS;
use crate::reading::response_budget::Piece;
use crate::record::status_json;
use crate::status;

const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// A family of metrics with a sample for each row of a kind.
struct Family {
    name: &'static str,
    /// `gauge` or `counter`.
    metric: &'static str,
    help: &'static str,
    kind: &'static str,
    /// Where the value stands.
    column: &'static str,
    /// Columns too.
    labels: &'static [&'static str],
}

const FAMILIES: [Family; 5] = [
    Family {
        name: "tenfour_mailbox_messages",
        metric: "gauge",
        help: "Messages kept.",
        kind: "mailbox",
        column: "messages",
        labels: &["mailbox"],
    },
    Family {
        name: "tenfour_mailbox_bytes",
        metric: "gauge",
        help: "Bytes of the bodies kept.",
        kind: "mailbox",
        column: "bytes",
        labels: &["mailbox"],
    },
    Family {
        name: "tenfour_mailbox_stored_total",
        metric: "counter",
        help: "Messages ever stored in the mailbox.",
        kind: "mailbox",
        column: "last",
        labels: &["mailbox"],
    },
    Family {
        name: "tenfour_cursor_lag",
        metric: "gauge",
        help: "Messages that no reader of the cursor has done.",
        kind: "cursor",
        column: "lag",
        labels: &["mailbox", "cursor"],
    },
    Family {
        name: "tenfour_refused_total",
        metric: "counter",
        help: "What was refused or dropped since the start, by reason.",
        kind: "counter",
        column: "count",
        labels: &["reason"],
    },
];

/// What the server is doing
///
/// The rows of `tenfour status --json`, one a line: each has a `kind`, and other columns by its kind. Takes the right
/// `status`.
#[utoipa::path(
    get,
    path = "/v1/status",
    responses((status = 200, content_type = "application/jsonl", body = String)),
    security(("token" = [])),
)]
pub(super) async fn status(Extension(visitor): Extension<Visitor>) -> Result<Response, Problem> {
    let (rows, piece) = rows(&visitor).await?;
    let text: String = rows.iter().map(|row| status_json(row) + "\n").collect();
    Ok(([(header::CONTENT_TYPE, LINES)], held(text.into(), piece)).into_response())
}

/// What the server is doing, for Prometheus
///
/// Takes the right `status`.
#[utoipa::path(
    get,
    path = "/metrics",
    responses((status = 200, content_type = "text/plain; version=0.0.4", body = String)),
    security(("token" = [])),
)]
pub(super) async fn metrics(Extension(visitor): Extension<Visitor>) -> Result<Response, Problem> {
    let (rows, piece) = rows(&visitor).await?;
    let mut text = Text::default();
    text.family("tenfour_connections", "gauge", "Connections now.");
    let listeners = rows.iter().filter(|row| row.kind == "connection");
    let mut connections = std::collections::BTreeMap::<&str, u64>::new();
    for row in listeners {
        *connections.entry(word(row, "listener")).or_default() += 1;
    }
    for (listener, count) in connections {
        text.sample("tenfour_connections", &[("listener", listener)], count);
    }
    for family in &FAMILIES {
        text.rows(&rows, family);
    }
    text.latency(&visitor);
    Ok(([(header::CONTENT_TYPE, METRICS)], held(text.0.into(), piece)).into_response())
}

async fn rows(visitor: &Visitor) -> Result<(Vec<StatusRow>, Piece), Problem> {
    visitor.credentials.may_see_status()?;
    status::server(&visitor.context)
        .await
        .map_err(|_| Problem::store_unreadable())
}

fn word<'a>(row: &'a StatusRow, name: &str) -> &'a str {
    match row.get(name) {
        Some(StatusValue::Text(text)) => text,
        _ => "",
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// The names of labels are ours, and so is what their values are made of: mailboxes, cursors, reasons.
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{value}\""))
            .collect();
        let _ = match labels.as_slice() {
            [] => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{}}} {value}", labels.join(",")),
        };
    }

    fn rows(&mut self, rows: &[StatusRow], family: &Family) {
        self.family(family.name, family.metric, family.help);
        for row in rows.iter().filter(|row| row.kind == family.kind) {
            if let Some(StatusValue::Number(value)) = row.get(family.column) {
                let labels = family.labels.iter().map(|label| (*label, word(row, label)));
                self.sample(family.name, &labels.collect::<Vec<_>>(), value);
            }
        }
    }

    /// A histogram of seconds.
    fn latency(&mut self, visitor: &Visitor) {
        const NAME: &str = "tenfour_receipt_seconds";
        let counted = visitor.context.broker.latency();
        self.family(
            NAME,
            "histogram",
            "From a message's arrival to its receipt, of messages stored since the start.",
        );
        let mut sum = 0;
        let bounds = LATENCY_BOUNDS
            .iter()
            .map(|bound| (*bound as f64 / 1e6).to_string());
        for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(counted.buckets) {
            sum += count;
            self.sample(&format!("{NAME}_bucket"), &[("le", &bound)], sum);
        }
        self.sample(&format!("{NAME}_sum"), &[], counted.total as f64 / 1e6);
        self.sample(&format!("{NAME}_count"), &[], sum);
    }
}
