//! Why a request was not done: problem details of RFC 9457.

use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tenfour_proto::{RefusalCode, TemporaryCode};

use crate::reading::mailbox_reader::Broken;

/// When to try again, in seconds.
const RETRY: &str = "1";

/// A request that failed. Nothing of it is stored, unless the text says otherwise.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    header: Option<(HeaderName, HeaderValue)>,
}

/// Why a request was not done (RFC 9457).
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(super) struct Body<'a> {
    /// Of the status.
    title: &'a str,
    /// The status again.
    status: u16,
    /// The reason, for programs.
    code: &'a str,
    /// The reason, for people.
    detail: &'a str,
}

impl Problem {
    /// A wrong request.
    pub(super) fn bad(code: &'static str, detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Problem {
            status,
            code,
            detail: detail.into(),
            header: None,
        }
    }

    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
        self
    }

    pub(super) fn not_found(path: &str) -> Self {
        Problem::new(
            StatusCode::NOT_FOUND,
            "not-found",
            format!("there is nothing at {path}"),
        )
    }

    pub(super) fn method(method: &Method) -> Self {
        let text = format!("{method} is not for this address; see /v1/openapi.json");
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", text)
    }

    /// Longer than a message may be.
    pub(super) fn too_large(limit: u32) -> Self {
        let text = format!("a message has at most {limit} bytes here");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", text)
            .with(header::CONNECTION, HeaderValue::from_static("close"))
    }

    pub(super) fn busy() -> Self {
        Problem::not_now(TemporaryCode::Busy)
    }

    pub(super) fn not_now(code: TemporaryCode) -> Self {
        let text = code.reason();
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, code.as_str(), text)
            .with(header::RETRY_AFTER, HeaderValue::from_static(RETRY))
    }

    pub(super) fn store_unreadable() -> Self {
        Broken::Failed.into()
    }

    /// Nobody knows whether it is stored.
    pub(super) fn store_failed() -> Self {
        let text = "the store failed; whether the message is stored is not known";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", text)
    }

    pub(super) fn refused(code: RefusalCode) -> Self {
        let status = match code {
            RefusalCode::Conflict => StatusCode::CONFLICT,
            RefusalCode::NotAllowed => StatusCode::FORBIDDEN,
            RefusalCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Problem::new(status, code.as_str(), code.to_string())
    }

    fn body(&self) -> String {
        serde_json::to_string(&Body {
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
        })
        // A shell's prompt begins on a line of its own.
        .map(|body| body + "\n")
        .unwrap_or_default()
    }

    /// The whole answer, for a peer that was not let in.
    pub(super) fn raw(&self) -> String {
        let body = self.body();
        format!(
            "HTTP/1.1 {} {}\r\ncontent-type: application/problem+json\r\nretry-after: {RETRY}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.status.as_u16(),
            self.status.canonical_reason().unwrap_or_default(),
            body.len()
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status, kind, self.body()).into_response();
        response.headers_mut().extend(self.header);
        response
    }
}
