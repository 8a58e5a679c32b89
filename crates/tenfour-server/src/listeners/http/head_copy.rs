//! The head of a request as it came. hyper takes away a `Content-Length` beside a `Transfer-Encoding` before anybody sees
//! it, and whoever sends both may want two servers to disagree where the request ends (RFC 9112, section 11.2).

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use axum::http::{HeaderMap, header};
use tenfour_identity::lock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framing;

/// A stream whose reads leave a copy of what is not known to be a body.
pub(super) struct HeadCopy<S> {
    stream: S,
    head: Head,
}

/// The head of the next request.
#[derive(Clone, Default)]
pub(super) struct Head(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    /// Came, and no request was taken from it: never more than hyper has in its own buffer.
    bytes: Vec<u8>,
    /// So many bytes of a body are still to come before the next head.
    body: u64,
}

impl Head {
    /// Takes the head of the request that hyper has read, with these headers; tells whether it names both lengths.
    pub(super) fn take_has_both_lengths(&self, headers: &HeaderMap) -> bool {
        let mut seen = lock(&self.0);
        let begin = seen.bytes.iter().position(|byte| !b"\r\n".contains(byte));
        let came = seen.bytes.split_off(begin.unwrap_or(0));
        seen.bytes.clear();
        let length = length_of_head(&came);
        let (head, rest) = came
            .split_at_checked(length.unwrap_or(came.len()))
            .unwrap_or_default();
        seen.body = body_length(headers);
        seen.append(rest);
        let has = |name: &[u8]| {
            head.split(|byte| *byte == b'\n').any(|line| {
                line.get(..name.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(name))
            })
        };
        length.is_none() || (has(b"content-length:") && has(b"transfer-encoding:"))
    }
}

impl Seen {
    fn append(&mut self, bytes: &[u8]) {
        let of_body = usize::try_from(self.body).unwrap_or(usize::MAX).min(bytes.len());
        self.body -= of_body as u64;
        self.bytes
            .extend_from_slice(bytes.get(of_body..).unwrap_or_default());
    }
}

/// Up to the empty line; as hyper does, without asking for the CR of a line end (RFC 9112, section 2.2).
fn length_of_head(bytes: &[u8]) -> Option<usize> {
    let ends = |end: &[u8]| {
        bytes
            .windows(end.len())
            .position(|window| window == end)
            .map(|at| at + end.len())
    };
    match (ends(b"\n\r\n"), ends(b"\n\n")) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Nothing is looked for behind a body that says its own end: the connection ends with it.
fn body_length(headers: &HeaderMap) -> u64 {
    if framing::ends_connection(headers) {
        return u64::MAX;
    }
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or(0)
}

impl<S> HeadCopy<S> {
    pub(super) fn of(stream: S) -> (Self, Head) {
        let head = Head::default();
        (
            HeadCopy {
                stream,
                head: head.clone(),
            },
            head,
        )
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadCopy<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        lock(&self.head.0).append(buffer.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeadCopy<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(length: u64) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_LENGTH, length.into())])
    }

    fn append(head: &Head, bytes: &str) {
        lock(&head.0).append(bytes.as_bytes());
    }

    #[test]
    fn both_lengths_are_seen_however_the_head_comes() {
        let head = Head::default();
        for piece in [
            "\r\n\r\nPOST / HTTP/1.1\r\ncontent-",
            "LENGTH: 5\r\nTransfer-Encoding: chunked\r\n",
            "\r\n0\r\n\r\n",
        ] {
            append(&head, piece);
        }
        assert!(head.take_has_both_lengths(&HeaderMap::new()));
        let head = Head::default();
        append(
            &head,
            "POST / HTTP/1.1\r\nContent-Length: 30\r\n\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        assert!(
            !head.take_has_both_lengths(&length(30)),
            "what is in a body is no header"
        );
    }

    /// Only the first head of a connection was looked at as a whole: what was left of a body hid the next.
    #[test]
    fn the_next_head_begins_where_the_body_ends() {
        let head = Head::default();
        append(&head, "POST / HTTP/1.1\nContent-Length: 40000\n\nxx");
        assert!(!head.take_has_both_lengths(&length(40_000)));
        append(&head, &"x\n\n".repeat(13_332));
        append(
            &head,
            "xxGET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 1\r\n",
        );
        assert!(!head.take_has_both_lengths(&HeaderMap::new()));
        append(&head, "Transfer-Encoding: chunked\r\n\r\n");
        assert!(head.take_has_both_lengths(&HeaderMap::new()));
    }
}
