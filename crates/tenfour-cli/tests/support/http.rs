//! HTTP as it stands on the wire.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};

use super::{LONG, Served};

/// One request as it stands on the wire, and all that comes back.
pub fn ask(served: &Served, request: &str) -> String {
    let mut stream = TcpStream::connect(&served.http).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    // A server that has heard enough may be gone.
    let _ = stream.write_all(request.as_bytes());
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

pub fn post(served: &Served, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    ask(
        served,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        ),
    )
}

#[track_caller]
pub fn is(answer: &str, status: u16, words: &str) {
    let status = format!("HTTP/1.1 {status} ");
    assert!(
        answer.starts_with(&status) && answer.contains(words),
        "{status}{words}: {answer}"
    );
    assert!(answer.contains("x-content-type-options: nosniff"), "{answer}");
}

/// `GET`, with a token if there is one, and all that comes back.
pub fn get(served: &Served, token: &str, path: &str) -> String {
    ask(served, &getting(token, path, ""))
}

/// The request.
pub fn getting(token: &str, path: &str, headers: &str) -> String {
    let token = match token {
        "" => String::new(),
        token => format!("Authorization: Bearer {token}\r\n"),
    };
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{token}{headers}\r\n")
}

/// What comes behind the head of an answer; chunks are put together.
pub fn body(answer: &str) -> String {
    let (head, mut rest) = answer.split_once("\r\n\r\n").unwrap();
    if !head.contains("transfer-encoding: chunked") {
        return rest.to_owned();
    }
    let mut body = String::new();
    while let Some((size, more)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            break;
        }
        body.push_str(&more[..size]);
        rest = &more[size + 2..];
    }
    body
}

/// A stream of events, read line by line.
pub struct Events(BufReader<TcpStream>);

impl Events {
    pub fn open(served: &Served, token: &str, path: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(&served.http).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
            .write_all(getting(token, path, headers).as_bytes())
            .unwrap();
        let mut events = Events(BufReader::new(stream));
        events.until(": tenfour");
        events
    }

    /// The next line that begins so, without its line end. Chunk sizes lie between.
    pub fn until(&mut self, start: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "ended before `{start}`");
            if line.starts_with(start) {
                return line.trim_end().to_owned();
            }
        }
    }

    pub fn ends(&mut self) {
        let mut rest = String::new();
        let _ = self.0.read_to_string(&mut rest);
    }
}
