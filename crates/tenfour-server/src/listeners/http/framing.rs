//! How long a request is.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};

use super::problem::Problem;

/// Longest head of a request, in bytes.
pub(super) const MAX_HEAD: usize = 16 * 1024;

/// After a request that says its own end the connection ends: hyper does not show whether it named a length as well, and
/// somebody between may have gone by that (RFC 9112, section 6.1).
pub(super) fn ends_connection(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
}

/// Where a request ends must not be in doubt (RFC 9112, sections 6.1 and 6.3).
pub(super) fn check(headers: &HeaderMap, is_ambiguous: bool) -> Result<(), Problem> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let refuse = |status, text| {
        Err(Problem::new(status, "bad-framing", text)
            .with(header::CONNECTION, HeaderValue::from_static("close")))
    };
    match codings.next() {
        None => Ok(()),
        Some(_) if is_ambiguous => refuse(
            StatusCode::BAD_REQUEST,
            "Content-Length and Transfer-Encoding cannot be used together",
        ),
        Some(coding) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none() => {
            Ok(())
        }
        Some(_) => refuse(
            StatusCode::NOT_IMPLEMENTED,
            "the only Transfer-Encoding that is understood is `chunked`",
        ),
    }
}
