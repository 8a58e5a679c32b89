//! The routes of HTTP, on a real listener: whatever is asked, there is an answer, and it is not that the server failed.

use std::sync::Mutex;

use crate::served::Served;

static SERVED: Mutex<Option<Served<()>>> = Mutex::new(None);

/// A request as one would write it down, `METHOD PATH`, then headers, an empty line, and the body. What is left out is
/// put in.
pub fn http(input: &[u8]) {
    let (head, body) = match input.windows(2).position(|two| two == b"\n\n") {
        Some(at) => (&input[..at], &input[at + 2..]),
        None => (input, &[][..]),
    };
    let mut request = Vec::new();
    let mut lines = head.split(|byte| *byte == b'\n');
    request.extend_from_slice(lines.next().unwrap_or_default());
    request.extend_from_slice(b" HTTP/1.1\r\n");
    let mut has = (false, false);
    for line in lines {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        has.0 |= name.eq_ignore_ascii_case(b"host");
        has.1 |=
            name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"transfer-encoding");
        request.extend_from_slice(line);
        request.extend_from_slice(b"\r\n");
    }
    if !has.0 {
        request.extend_from_slice(b"host: localhost\r\n");
    }
    if !has.1 {
        request.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    request.extend_from_slice(b"connection: close\r\n\r\n");
    request.extend_from_slice(body);

    let mut served = Served::get(&SERVED);
    let heard = served.as_mut().expect("it was started").ask_http(&request);
    // A request that never ends has no answer; so has one that is none.
    let says = |words: &[u8]| heard.starts_with(words);
    if heard.is_empty() {
        return;
    }
    assert!(says(b"HTTP/1."), "{}", String::from_utf8_lossy(&heard));
    let status = heard
        .get(9..12)
        .and_then(|status| std::str::from_utf8(status).ok()?.parse::<u16>().ok());
    let status = status.expect("a status");
    assert!(
        (200..500).contains(&status) || matches!(status, 501 | 503 | 505 | 507),
        "{status} for {}",
        String::from_utf8_lossy(&request)
    );
}
