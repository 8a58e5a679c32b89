//! The head of a request as it came. hyper takes away a `Content-Length` beside a `Transfer-Encoding` before anybody sees
//! it, and whoever sends both may want two servers to disagree where the request ends (RFC 9112, section 11.2).

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use tenfour_identity::lock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framing::MAX_HEAD;

/// A stream whose reads leave a copy of the head that came last.
pub(super) struct HeadCopy<S> {
    stream: S,
    head: Head,
}

/// The bytes since the last request was looked at, until its head is whole.
#[derive(Clone, Default)]
pub(super) struct Head(Arc<Mutex<Vec<u8>>>);

const END: &[u8] = b"\r\n\r\n";

impl Head {
    /// The head names both lengths. The next one begins afterwards.
    pub(super) fn take_has_both_lengths(&self) -> bool {
        let bytes = std::mem::take(&mut *lock(&self.0));
        let head = bytes.windows(END.len()).position(|window| window == END);
        let head = bytes.get(..head.unwrap_or(bytes.len())).unwrap_or_default();
        let has = |name: &[u8]| {
            head.split(|byte| *byte == b'\n').any(|line| {
                line.get(..name.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(name))
            })
        };
        has(b"content-length:") && has(b"transfer-encoding:")
    }

    fn append(&self, bytes: &[u8]) {
        let mut head = lock(&self.0);
        let room = MAX_HEAD.saturating_sub(head.len());
        if room > 0 && !head.windows(END.len()).any(|window| window == END) {
            head.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
        }
    }
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
        self.head
            .append(buffer.filled().get(before..).unwrap_or_default());
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

    #[test]
    fn both_lengths_are_seen_however_the_head_comes() {
        let head = Head::default();
        for piece in [
            "POST / HTTP/1.1\r\ncontent-",
            "LENGTH: 5\r\nTransfer-Encoding: chunked\r\n",
            "\r\n0\r\n\r\n",
        ] {
            head.append(piece.as_bytes());
        }
        assert!(head.take_has_both_lengths());
        head.append(b"POST / HTTP/1.1\r\nContent-Length: 30\r\n\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert!(!head.take_has_both_lengths(), "what is in a body is no header");
    }
}
