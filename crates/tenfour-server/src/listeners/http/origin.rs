//! What a browser could be tricked into: names that lead here from elsewhere, and pages of others.

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::response::Response;

use super::header::one;
use super::problem::Problem;
use super::visitor::Visitor;

/// Lets only requests through that are meant for us, and that no page of another site has sent.
pub(super) fn check(visitor: &Visitor, request: &Request) -> Result<(), Problem> {
    let named = one(request.headers(), &header::HOST)?;
    let target = request.uri().authority().map(Authority::as_str);
    // RFC 9112, section 3.2.2: what the request line names is what counts.
    let host = target.or(named).unwrap_or_default();
    // Health checks of HTTP/1.0 name no host, and no browser leaves it out.
    let is_unnamed = host.is_empty() && named.is_none() && request.version() == Version::HTTP_10;
    if !is_unnamed && !is_ours(host, &visitor.config.names) {
        return Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "misdirected",
            format!(
                "`{host}` is no name of this server; use localhost, an address, or a name given by --http-name"
            ),
        ));
    }
    let origin = one(request.headers(), &header::ORIGIN)?;
    if !request.method().is_safe() && origin.is_some_and(|origin| !is_same(origin, host)) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "foreign-origin",
            "a page of another site may not send messages here",
        ));
    }
    Ok(())
}

/// On every answer: nothing guesses what it is, nothing keeps it.
pub(super) fn mark(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// `localhost`, an address, or one of `names`; an attacker's name that leads here is none of them. An address is what
/// was dialled, so it needs no list.
fn is_ours(host: &str, names: &[String]) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    if host.contains('@') {
        return false;
    }
    let name = authority.host();
    let port = host.strip_prefix(name).and_then(|rest| match rest {
        "" => Some(0),
        rest => rest.strip_prefix(':')?.parse::<u16>().ok(),
    });
    if port.is_none() {
        return false;
    }
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address.parse::<std::net::IpAddr>().is_ok()
        || names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn is_same(origin: &str, host: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| {
        origin
            .strip_prefix(scheme)
            .is_some_and(|rest| rest.eq_ignore_ascii_case(host))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_ours() {
        let names = ["box.example".to_owned()];
        for good in [
            "localhost",
            "LOCALHOST:50546",
            "127.0.0.1:1",
            "[::1]:50546",
            "[::1]",
            "Box.Example:7",
        ] {
            assert!(is_ours(good, &names), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "localhost.evil.example",
            "localhost@evil.example",
            "a b",
            "[::1]x",
            "localhost:evil",
            "localhost:",
            "localhost:70000",
            "box.example.evil",
        ] {
            assert!(!is_ours(bad, &names), "{bad}");
        }
    }

    #[test]
    fn an_origin_is_the_same_with_its_port_only() {
        assert!(is_same("http://localhost:50546", "localhost:50546"));
        for other in [
            "http://localhost:1",
            "http://evil.example",
            "null",
            "localhost:50546",
            "file://localhost:50546",
        ] {
            assert!(!is_same(other, "localhost:50546"), "{other}");
        }
    }
}
