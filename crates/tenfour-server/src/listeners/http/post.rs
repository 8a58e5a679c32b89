//! `POST`: one message, one receipt.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, Path, Request};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tenfour_proto::{ContentType, Listener, MailboxName, Message, MessageName, ProducerId, Source};

use super::credentials::Credentials;
use super::header::one;
use super::problem::{Body as ProblemBody, Problem};
use super::resource::{self, Resource};
use super::visitor::Visitor;
use crate::listeners::accept::WAIT_FOR_ROOM;
use crate::listeners::publish_one::{self, Unstored};
use crate::record::Record;

/// A key that nobody can guess: without a token its namespace is everybody's.
const SHORTEST_KEY: usize = 22;

/// Longest key, in bytes.
const LONGEST_KEY: usize = 255;

/// A body must come at least this fast, in bytes a second, once [`PATIENCE`] is over.
const SLOWEST: u64 = 500;

/// Time that every body has, and the longest silence in it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What curl says of `-d` when nothing is said of the type: it is no word about the message.
const FORM: &str = "application/x-www-form-urlencoded";

/// Sends a message
///
/// The answer comes after the flush: 201 means that the message is stored, as durably as the receipt says. There is no
/// 202. `POST /{mailbox}` is the same. Without a token: to `inbox` only, from the server's own machine only.
#[utoipa::path(
    post,
    path = "/v1/mailboxes/{mailbox}/messages",
    params(
        ("mailbox" = String, Path, description = "A slash in it may stand as it is, or as %2F."),
        ("Idempotency-Key" = Option<String>, Header, description = "Requests with one key are stored once. Without a token at least 22 characters."),
        ("Content-Disposition" = Option<String>, Header, description = "`filename` is the message's name."),
    ),
    request_body(content_type = "application/octet-stream", content = Vec<u8>, description = "The message."),
    responses(
        (status = 201, description = "Stored: the receipt.", body = Record),
        (status = "4XX", description = "Not stored.", content_type = "application/problem+json", body = ProblemBody),
        (status = 500, description = "Whether it is stored is not known.", content_type = "application/problem+json", body = ProblemBody),
        (status = 503, description = "Not stored now: try again.", content_type = "application/problem+json", body = ProblemBody),
    ),
    security((), ("token" = [])),
)]
pub(super) async fn to_messages(
    Extension(visitor): Extension<Visitor>,
    Path(path): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    match Resource::parse(&path)? {
        Resource::Messages(mailbox) => deposit(&visitor, mailbox, request).await,
        Resource::Message(..) => Err(Problem::method(request.method())),
    }
}

/// `POST /{mailbox}`
pub(super) async fn short(
    Extension(visitor): Extension<Visitor>,
    Path(mailbox): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    resource::not_reserved(&mailbox)?;
    deposit(&visitor, resource::mailbox(&mailbox)?, request).await
}

async fn deposit(visitor: &Visitor, mailbox: MailboxName, request: Request) -> Result<Response, Problem> {
    visitor
        .credentials
        .may_send(&visitor.context.config.access, &mailbox)?;
    let (head, body) = request.into_parts();
    is_as_it_is(&head.headers)?;
    let key = idempotency_key(&visitor.credentials, &head.headers)?;
    let content_type = content_type(&head.headers)?;
    let name = name(&head.headers)?;
    let body = read(visitor, &head.headers, body).await?;
    let access = &visitor.context.config.access;
    visitor
        .credentials
        .now(access, visitor.peer)?
        .may_send(access, &mailbox)?;
    let bytes = body.len() as u64;
    let mut message = Message::new(mailbox, body);
    message.content_type = content_type;
    message.name = name;
    visitor.entry.count_received(1);
    let source = Source {
        listener: Listener::Http,
        address: Some(visitor.peer),
    };
    let (payer, sender) = (visitor.credentials.payer(), visitor.credentials.sender());
    let run = publish_one::store(&visitor.context, &payer, sender, key, source, message).await?;
    let receipt = Record {
        outcome: "stored",
        mailbox: Some(run.mailbox.to_string()),
        offset: Some(run.offset),
        durability: Some(visitor.context.broker.durability().as_str()),
        duplicate: Some(run.duplicate),
        bytes: Some(bytes),
        ..Record::default()
    };
    let resource = format!("/v1/mailboxes/{}/messages/{}", run.mailbox, run.offset);
    let headers = [
        (header::LOCATION, resource),
        (header::CONTENT_TYPE, "application/json".to_owned()),
    ];
    Ok((StatusCode::CREATED, headers, receipt.json() + "\n").into_response())
}

/// The body is the message. What is packed is not what its type says, and what has no length was not meant to be empty.
fn is_as_it_is(headers: &HeaderMap) -> Result<(), Problem> {
    let is_packed = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if is_packed {
        let text = "a body is stored as it comes, so it comes unpacked: send it without Content-Encoding";
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-encoding",
            text,
        ));
    }
    let has_length =
        headers.contains_key(header::CONTENT_LENGTH) || headers.contains_key(header::TRANSFER_ENCODING);
    if !has_length {
        let text = "there is neither Content-Length nor Transfer-Encoding: for an empty message, say Content-Length: 0";
        return Err(Problem::new(StatusCode::LENGTH_REQUIRED, "length-required", text));
    }
    Ok(())
}

impl From<Unstored> for Problem {
    fn from(unstored: Unstored) -> Self {
        match unstored {
            Unstored::Refused(code) => Problem::refused(code),
            Unstored::NotNow(code) => Problem::not_now(code),
            Unstored::Failed => Problem::store_failed(),
        }
    }
}

/// The whole body, if it is not too long and does not come too slowly.
async fn read(visitor: &Visitor, headers: &HeaderMap, mut body: Body) -> Result<Bytes, Problem> {
    let limit = visitor.context.config.limits.max_message;
    let announced = one(headers, &header::CONTENT_LENGTH)?.and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > u64::from(limit)) {
        return Err(Problem::too_large(limit));
    }
    let budget = visitor.context.broker.budget();
    let begun = tokio::time::Instant::now();
    let slow = |_| {
        Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "timed-out",
            "the body came too slowly",
        )
    };
    let mut parts = BytesMut::new();
    let mut charge = None;
    loop {
        // No more is read than there is memory for.
        let patience = if parts.is_empty() { PATIENCE } else { WAIT_FOR_ROOM };
        tokio::time::timeout(patience, budget.room(&visitor.credentials.payer()))
            .await
            .map_err(|_| Problem::busy())?;
        // Fast enough on the whole, and never silent for long.
        let on_the_whole = begun + PATIENCE + Duration::from_secs(parts.len() as u64 / SLOWEST);
        let end = on_the_whole.min(tokio::time::Instant::now() + PATIENCE);
        let Some(frame) = tokio::time::timeout_at(end, body.frame()).await.map_err(slow)? else {
            drop(charge);
            return Ok(parts.freeze());
        };
        let frame = frame.map_err(|error| Problem::bad("cut", format!("the body ended early: {error}")))?;
        if let Ok(data) = frame.into_data() {
            if parts.len() + data.len() > limit as usize {
                return Err(Problem::too_large(limit));
            }
            parts.extend_from_slice(&data);
            visitor.heard(parts.len());
            charge = Some(budget.charge(&visitor.credentials.payer(), parts.len()));
        }
    }
}

/// What makes a repeat of a request a repeat.
fn idempotency_key(credentials: &Credentials, headers: &HeaderMap) -> Result<Option<ProducerId>, Problem> {
    let Some(key) = one(headers, &HeaderName::from_static("idempotency-key"))? else {
        return Ok(None);
    };
    // RFC 8941 writes strings in quotes; many clients do not.
    let key = key
        .strip_prefix('"')
        .and_then(|key| key.strip_suffix('"'))
        .unwrap_or(key);
    let (shortest, why) = match credentials {
        Credentials::Holder { .. } => (1, ""),
        Credentials::Nobody { .. } => (
            SHORTEST_KEY,
            ", which nobody can guess, unless a token says whose it is",
        ),
    };
    if !(shortest..=LONGEST_KEY).contains(&key.len()) {
        return Err(Problem::bad(
            "bad-idempotency-key",
            format!("an Idempotency-Key has {shortest} to {LONGEST_KEY} characters{why}"),
        ));
    }
    Ok(Some(ProducerId::of_key(&format!("http {key}"))))
}

fn content_type(headers: &HeaderMap) -> Result<Option<ContentType>, Problem> {
    one(headers, &header::CONTENT_TYPE)?
        .filter(|kind| *kind != FORM)
        .map(|kind| kind.parse())
        .transpose()
        .map_err(|error| Problem::bad("bad-message", format!("Content-Type: {error}")))
}

/// The `filename` of Content-Disposition (RFC 6266).
fn name(headers: &HeaderMap) -> Result<Option<MessageName>, Problem> {
    let Some(value) = headers.get(header::CONTENT_DISPOSITION) else {
        return Ok(None);
    };
    let value = std::str::from_utf8(value.as_bytes())
        .map_err(|_| Problem::bad("bad-message", "Content-Disposition is not UTF-8"))?;
    file_name(value)
        .map(|name| name.parse())
        .transpose()
        .map_err(|error| Problem::bad("bad-message", format!("the file's name: {error}")))
}

/// `filename*` wins over `filename`, as the RFC says.
fn file_name(disposition: &str) -> Option<String> {
    let mut plain = None;
    for parameter in split(disposition) {
        let Some((name, value)) = parameter.split_once('=') else {
            continue;
        };
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "filename*" => {
                let encoded = value.splitn(3, '\'').nth(2)?;
                return percent_encoding::percent_decode_str(encoded)
                    .decode_utf8()
                    .ok()
                    .map(Into::into);
            }
            "filename" => plain = Some(unquote(value)),
            _ => {}
        }
    }
    plain
}

/// At semicolons outside of quotes.
fn split(text: &str) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(|character| {
        let is_end = character == ';' && !quoted;
        quoted ^= character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
        is_end
    })
    .collect()
}

fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut out = String::new();
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        out.extend(if character == '\\' {
            characters.next()
        } else {
            Some(character)
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        for (disposition, name) in [
            ("attachment", None),
            ("attachment; filename=report.txt", Some("report.txt")),
            (r#"attachment; filename="a; b.txt"; x=y"#, Some("a; b.txt")),
            (r#"attachment; filename="a \"b\".txt""#, Some(r#"a "b".txt"#)),
            (
                "attachment; filename=a.txt; filename*=UTF-8''gr%C3%B6%C3%9Fe.txt",
                Some("größe.txt"),
            ),
            ("attachment; FILENAME = x", Some("x")),
        ] {
            assert_eq!(file_name(disposition).as_deref(), name, "{disposition}");
        }
    }
}
