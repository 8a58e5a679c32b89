//! `GET`: messages as lines of JSON, or one message as it is.

use std::convert::Infallible;
use std::io::Error;
use std::time::Duration;

use axum::body::Body as Bytestream;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Path, Query};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tenfour_proto::native::ReadFrom;
use tenfour_proto::{Item, MailboxName};

use super::problem::{Body, Problem};
use super::resource::{self, Resource};
use super::visitor::Visitor;
use crate::reading::mailbox_reader::{BYTES, Broken, ITEMS, MailboxReader, unbroken};
use crate::reading::response_budget::Piece;
use crate::record::Record;
use tenfour_identity::parse_time;

/// Messages of an answer, when nothing is said.
const LIMIT: u64 = 1_000;

/// Most messages of an answer.
const MAX_LIMIT: u64 = 10_000;

/// Longest wait for a message.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// Bytes of JSON for each byte of a body, as a rule; a body of control characters alone has more.
const LINES_OF_A_BYTE: u64 = 2;

/// Lines of JSON.
pub(super) const LINES: HeaderValue = HeaderValue::from_static("application/jsonl");

/// What a browser that opens a message anyway may do with it: nothing.
const SANDBOX: HeaderValue = HeaderValue::from_static("sandbox; default-src 'none'");

/// What stands as it is in `filename*` (attr-char of RFC 8187).
const IN_A_NAME: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReadQuery {
    /// Begin at this offset; without it, with the oldest.
    from: Option<u64>,
    /// Begin with the last so many.
    last: Option<u64>,
    /// Most messages of the answer: 1,000 if it is left out, at most 10,000.
    limit: Option<u64>,
    /// If there is none, wait so long for one: `10s`, `500ms`; at most 5 minutes.
    wait: Option<String>,
}

/// Where to begin: one place only.
pub(super) fn begin_at(from: Option<u64>, last: Option<u64>) -> Result<Option<ReadFrom>, Problem> {
    match (from, last) {
        (Some(_), Some(_)) => Err(Problem::bad(
            "bad-query",
            "`from` and `last` cannot be used together",
        )),
        (Some(offset), None) => Ok(Some(ReadFrom::Offset(offset))),
        (None, Some(count)) => Ok(Some(ReadFrom::Last(count))),
        (None, None) => Ok(None),
    }
}

/// What follows the question mark.
pub(super) fn checked<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    match query {
        Ok(Query(query)) => Ok(query),
        Err(error) => Err(Problem::bad("bad-query", error.body_text())),
    }
}

/// `GET /v1/mailboxes/{mailbox}/messages` and `GET /v1/mailboxes/{mailbox}/messages/{offset}`
pub(super) async fn at(
    Extension(visitor): Extension<Visitor>,
    Path(path): Path<String>,
    query: Result<Query<ReadQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    match Resource::parse(&path)? {
        Resource::Messages(mailbox) => messages(visitor, mailbox, checked(query)?).await,
        Resource::Message(mailbox, offset) => message(&visitor, mailbox, offset).await,
    }
}

/// `GET /{mailbox}`: to be helped.
pub(super) async fn by_mistake(Path(name): Path<String>) -> Problem {
    if let Err(problem) = resource::not_reserved(&name) {
        return problem;
    }
    let text = format!("messages are read at /v1/mailboxes/{name}/messages, and looked at in a browser at /");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", text)
        .with(header::ALLOW, HeaderValue::from_static("POST"))
}

/// Messages of a mailbox, in their order
///
/// One JSON object a line. The next request begins behind the last offset. A mailbox that is not there is empty.
#[utoipa::path(
    get,
    path = "/v1/mailboxes/{mailbox}/messages",
    params(ReadQuery, ("mailbox" = String, Path, description = "A slash in it may stand as it is, or as %2F.")),
    responses((status = 200, content_type = "application/jsonl", body = Record)),
    security(("token" = [])),
)]
async fn messages(visitor: Visitor, mailbox: MailboxName, query: ReadQuery) -> Result<Response, Problem> {
    visitor.credentials.may_read(&mailbox)?;
    let from = begin_at(query.from, query.last)?.unwrap_or(ReadFrom::Oldest);
    let wait = query
        .wait
        .map(|text| parse_time(&text))
        .transpose()
        .map_err(|error| Problem::bad("bad-query", format!("`wait`: {error}")))?
        .map(|wait| wait.min(MAX_WAIT));
    let limit = query.limit.unwrap_or(LIMIT).min(MAX_LIMIT);
    let mut reader = MailboxReader::begin(&visitor.context.broker, &mailbox, from).await?;
    if let Some(wait) = wait.filter(|_| limit > 0) {
        let mut stopping = visitor.context.stopping.subscribe();
        tokio::select! {
            () = reader.more() => {}
            () = tokio::time::sleep(wait) => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
        // The token may have been taken away meanwhile.
        visitor
            .credentials
            .may_still_read(&visitor.context.config.access, visitor.peer, &mailbox)?;
    }
    // What comes while it is read is for the next request.
    let end = reader.last();
    let left = limit.min((end + 1).saturating_sub(reader.next));
    let mut lines = Lines {
        visitor,
        reader,
        left,
        piece: None,
    };
    // An error at once is said in words; later there is nothing but the cut of the connection.
    let first = lines.next().await?;
    let rest = stream::try_unfold((first, lines), async |(next, mut lines)| {
        let next = match next {
            Some(first) => Some(first),
            None => lines
                .next()
                .await
                .map_err(|_| Error::other("the store cannot be read"))?,
        };
        Ok::<_, Error>(next.map(|text| (Bytes::from(text), (None, lines))))
    });
    Ok(([(header::CONTENT_TYPE, LINES)], Bytestream::from_stream(rest)).into_response())
}

/// Messages on their way into an answer.
struct Lines {
    visitor: Visitor,
    reader: MailboxReader,
    /// So many more at most.
    left: u64,
    /// Of what was given last, until it is taken.
    piece: Option<Piece>,
}

impl Lines {
    async fn next(&mut self) -> Result<Option<String>, Problem> {
        self.piece = None;
        let most = usize::try_from(self.left).map_or(ITEMS, |left| left.min(ITEMS));
        if most == 0 {
            return Ok(None);
        }
        let mut piece = self.visitor.room_for(LINES_OF_A_BYTE * BYTES).await?;
        let items = self.reader.read(most, BYTES).await?;
        self.left -= items.len() as u64;
        self.visitor.entry.count_sent(items.len());
        self.visitor.heard(0);
        let text: String = items
            .iter()
            .map(|item| Record::of_item(item).json() + "\n")
            .collect();
        piece.shrink_to(text.len() as u64);
        self.piece = Some(piece);
        Ok((!items.is_empty()).then_some(text))
    }
}

/// The bytes of one message
///
/// As an attachment, which a browser may keep and never shows.
#[utoipa::path(
    get,
    path = "/v1/mailboxes/{mailbox}/messages/{offset}",
    params(("mailbox" = String, Path), ("offset" = u64, Path)),
    responses(
        (status = 200, content_type = "application/octet-stream", body = Vec<u8>),
        (status = 404, content_type = "application/problem+json", body = Body),
    ),
    security(("token" = [])),
)]
async fn message(visitor: &Visitor, mailbox: MailboxName, offset: u64) -> Result<Response, Problem> {
    visitor.credentials.may_read(&mailbox)?;
    let mut piece = visitor.room_for(0).await?;
    let query = mailbox.clone();
    let read = visitor
        .context
        .broker
        .read(move |reader| reader.read(&query, offset, 1, BYTES));
    let found = unbroken(read.await)?;
    let Some(item) = found.into_iter().next().filter(|item| item.offset == offset) else {
        let text = format!("there is no message {offset} in `{mailbox}`");
        return Err(Problem::new(StatusCode::NOT_FOUND, "not-found", text));
    };
    visitor.entry.count_sent(1);
    let kind = item.message.content_type.as_ref().map(ToString::to_string);
    let kind = kind.and_then(|kind| HeaderValue::try_from(kind).ok());
    let headers = [
        (
            header::CONTENT_TYPE,
            kind.unwrap_or(HeaderValue::from_static("application/octet-stream")),
        ),
        (header::CONTENT_DISPOSITION, disposition(&item)),
        (header::CONTENT_SECURITY_POLICY, SANDBOX),
    ];
    let length = [(header::CONTENT_LENGTH, item.message.body.len())];
    piece.shrink_to(item.message.body.len() as u64);
    Ok((headers, length, held(item.message.body, piece)).into_response())
}

/// A body whose room is given back when all of it is on its way.
pub(super) fn held(body: Bytes, piece: Piece) -> Bytestream {
    let body = stream::unfold((Some(body), piece), async |(body, piece)| {
        Some((Ok::<_, Infallible>(body?), (None, piece)))
    });
    Bytestream::from_stream(body)
}

fn disposition(item: &Item) -> HeaderValue {
    let name = match &item.message.name {
        Some(name) => name.to_string(),
        None => format!(
            "{}-{}",
            item.message.mailbox.as_str().replace('/', "-"),
            item.offset
        ),
    };
    let name = utf8_percent_encode(&name, IN_A_NAME);
    HeaderValue::try_from(format!("attachment; filename*=UTF-8''{name}"))
        .unwrap_or(HeaderValue::from_static("attachment"))
}

impl From<Broken> for Problem {
    fn from(broken: Broken) -> Self {
        let internal = StatusCode::INTERNAL_SERVER_ERROR;
        let (status, code, text) = match broken {
            Broken::Damaged(offset) => (
                internal,
                "damaged",
                format!("message {offset} is damaged on the server's disk"),
            ),
            Broken::Regressed(last) => (
                StatusCode::CONFLICT,
                "went-back",
                format!(
                    "the last message has the offset {last}: there is nothing behind it to go on from, or another message is where you were; begin again without `from`"
                ),
            ),
            Broken::Failed | Broken::TooManyCursors => (
                internal,
                "internal",
                "the store cannot be read; the server's log says why".to_owned(),
            ),
        };
        Problem::new(status, code, text)
    }
}
