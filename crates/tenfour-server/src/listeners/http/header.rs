//! Headers that may be there once.

use axum::http::{HeaderMap, header};

use super::problem::Problem;

/// The value of a header that may be there once.
pub(super) fn one<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    match (value.to_str(), values.next()) {
        (Ok(value), None) => Ok(Some(value)),
        _ => Err(Problem::bad(
            "bad-header",
            format!("the header `{name}` may be there once, in plain characters"),
        )),
    }
}
