//! `GET /v1/events`: the messages of one mailbox as they come, as server-sent events (HTML Standard, section 9.2).

use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, Request};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use tenfour_proto::native::ReadFrom;
use tenfour_proto::{Item, MailboxName};
use tokio::sync::watch;
use tokio::time::Instant;

use super::header::one;
use super::problem::Problem;
use super::read::{begin_at, checked};
use super::resource;
use super::visitor::Visitor;
use crate::reading::mailbox_reader::{BYTES, Broken, MailboxReader};
use crate::reading::response_budget::Piece;
use crate::record::Record;
use tenfour_identity::AuthorizedKeys;

/// Events sent together at most.
const BATCH: usize = 100;

/// So long such a batch has to last: nobody reads more than 2,000 messages a second.
const PACE: Duration = Duration::from_millis(50);

/// Whoever is further behind than this is moved on, and told how far.
const PATIENCE: u64 = 10_000;

/// Longer bodies are left out; `bytes` says that there is one.
const LONGEST_BODY: usize = 64 * 1024;

/// When nothing comes for so long, a comment says that we live.
const HEARTBEAT: Duration = Duration::from_secs(15);

const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventQuery {
    /// `inbox` if it is left out.
    mailbox: Option<String>,
    /// Begin at this offset; without it, with what comes from now on.
    from: Option<u64>,
    /// Begin with the last so many.
    last: Option<u64>,
}

struct Following {
    visitor: Visitor,
    reader: MailboxReader,
    /// The client was further than the mailbox is, which ends there: it is to be told.
    regressed: Option<u64>,
    tokens: watch::Receiver<AuthorizedKeys>,
    stopping: watch::Receiver<bool>,
    /// The next batch may be sent from then on.
    rested: Instant,
    begun: bool,
    /// Of what was sent last, until it is taken.
    piece: Option<Piece>,
}

/// Why a stream goes on.
enum Woken {
    RulesChanged,
    More,
    /// Nothing has come for a while.
    Silence,
}

/// The messages of one mailbox, as they come
///
/// Server-sent events: `id` says which message it is, `data` is the message as JSON, without its body where that is longer
/// than 64 KiB. At most 2,000 a second. Whoever is more than 10,000 behind gets an event `skipped` with `count` and `from`,
/// and goes on near the end. Whoever comes back and has seen a message that is not there (a restored backup, another store)
/// gets an event `went-back` with `last`, the offset at which the mailbox ends, and then everything from the oldest on.
#[utoipa::path(
    get,
    path = "/v1/events",
    params(
        EventQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event seen, or an offset: what comes behind it is sent."),
    ),
    responses((status = 200, content_type = "text/event-stream", body = String)),
    security(("token" = [])),
)]
pub(super) async fn follow(
    Extension(visitor): Extension<Visitor>,
    query: Result<Query<EventQuery>, QueryRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let query = checked(query)?;
    let mailbox = resource::mailbox(query.mailbox.as_deref().unwrap_or(MailboxName::INBOX))?;
    visitor.credentials.may_read(&mailbox)?;
    let broker = &visitor.context.broker;
    let (reader, regressed) = match seen(&request)? {
        Some((offset, time)) => match MailboxReader::resume(broker, &mailbox, offset, time).await {
            // An `EventSource` would never come again after a refusal: it is told in an event.
            Err(Broken::Regressed(last)) => {
                let reader = MailboxReader::begin(broker, &mailbox, ReadFrom::Oldest).await?;
                (reader, Some(last))
            }
            reader => (reader?, None),
        },
        None => {
            let from = begin_at(query.from, query.last)?.unwrap_or(ReadFrom::Last(0));
            (MailboxReader::begin(broker, &mailbox, from).await?, None)
        }
    };
    let tokens = visitor.context.config.access.token_changes();
    let following = Following {
        reader,
        regressed,
        tokens,
        stopping: visitor.context.stopping.subscribe(),
        visitor,
        rested: Instant::now(),
        begun: false,
        piece: None,
    };
    let events = stream::unfold(following, async |mut following| {
        let text = following.next().await?;
        Some((Ok::<_, std::convert::Infallible>(text), following))
    });
    // nginx would hold events back until its buffer is full.
    let headers = [
        (header::CONTENT_TYPE, EVENTS),
        (
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    Ok((headers, Body::from_stream(events)).into_response())
}

/// The id of a message's event: its offset, and when it was stored. After a restore another message may have the offset.
fn id_of(item: &Item) -> String {
    format!("{}-{:x}", item.offset, item.time)
}

/// What a client that comes back has seen: an offset, and when its message was stored.
fn seen(request: &Request) -> Result<Option<(u64, Option<i64>)>, Problem> {
    let Some(id) = one(request.headers(), &HeaderName::from_static("last-event-id"))? else {
        return Ok(None);
    };
    let bad = || {
        Problem::bad(
            "bad-header",
            format!("Last-Event-ID: `{id}` is no id of an event"),
        )
    };
    let (offset, time) = match id.split_once('-') {
        Some((offset, time)) => (offset, Some(i64::from_str_radix(time, 16).map_err(|_| bad())?)),
        None => (id, None),
    };
    Ok(Some((offset.parse().map_err(|_| bad())?, time)))
}

impl Following {
    /// The next events, or a sign of life. `None`: it is over, or not allowed any more.
    async fn next(&mut self) -> Option<Bytes> {
        self.piece = None;
        if !self.begun {
            self.begun = true;
            // The head of the answer goes out with it.
            let told = self.regressed.map_or(String::new(), |last| {
                format!("event: went-back\nid: 0\ndata: {{\"last\":{last}}}\n\n")
            });
            return Some(format!(": tenfour\n\n{told}").into());
        }
        let heartbeat = tokio::time::sleep(HEARTBEAT);
        tokio::pin!(heartbeat);
        loop {
            let ready = async {
                tokio::time::sleep_until(self.rested).await;
                self.reader.more().await;
            };
            let woken = tokio::select! {
                biased;
                _ = self.stopping.wait_for(|stopping| *stopping) => return None,
                _ = self.tokens.changed() => Woken::RulesChanged,
                () = ready => Woken::More,
                () = &mut heartbeat => Woken::Silence,
            };
            let text = match woken {
                Woken::RulesChanged if self.is_still_allowed() => continue,
                Woken::RulesChanged => return None,
                // What cannot be read ends the answer; a client that comes back is told what is wrong.
                Woken::More => self.read().await?,
                Woken::Silence => ":\n\n".to_owned(),
            };
            if !text.is_empty() {
                self.visitor.heard(0);
                return Some(text.into());
            }
        }
    }

    async fn read(&mut self) -> Option<String> {
        let mut text = String::new();
        let last = self.reader.last();
        let behind = (last + 1).saturating_sub(self.reader.next);
        if behind > PATIENCE {
            let first = self.reader.next;
            let skipped = behind - BATCH as u64;
            self.reader.next += skipped;
            let id = self.reader.next - 1;
            text = format!("event: skipped\nid: {id}\ndata: {{\"count\":{skipped},\"from\":{first}}}\n\n");
        }
        let mut piece = self.visitor.room_for(BYTES).await.ok()?;
        let items = self.reader.read(BATCH, BYTES).await.ok()?;
        self.rested = Instant::now() + PACE * u32::try_from(items.len()).unwrap_or(1) / BATCH as u32;
        self.visitor.entry.count_sent(items.len());
        for item in &items {
            let mut record = Record::of_item(item);
            if item.message.body.len() > LONGEST_BODY {
                (record.text, record.base64) = (None, None);
            }
            // JSON has no line ends in it.
            text.push_str(&format!("id: {}\ndata: {}\n\n", id_of(item), record.json()));
        }
        piece.shrink_to(text.len() as u64);
        self.piece = Some(piece);
        Some(text)
    }

    fn is_still_allowed(&self) -> bool {
        let (credentials, access) = (&self.visitor.credentials, &self.visitor.context.config.access);
        credentials
            .may_still_read(access, self.visitor.peer, self.reader.mailbox())
            .is_ok()
    }
}
