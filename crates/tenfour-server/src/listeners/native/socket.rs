//! Bytes from the socket.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use tenfour_proto::native::{Fault, Server as Machine};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::broker::Payer;
use crate::context::Context;

/// Bytes of one look at a socket. The buffer belongs to the thread.
const READ: usize = 256 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

pub(super) enum ReadOutcome {
    More,
    End,
}

/// Waits for bytes, then reads until the socket would block or the thread's buffer is full.
pub(super) async fn read_some(
    tls: &mut TlsStream<TcpStream>,
    machine: &mut Machine,
    context: &Context,
    payer: &Payer,
) -> Result<ReadOutcome, Fault> {
    std::future::poll_fn(|task| {
        // There was room when the wait for bytes began; others have waited as well.
        if !context.broker.budget().has_room(payer) {
            return Poll::Ready(Ok(ReadOutcome::More));
        }
        BUFFER.with_borrow_mut(|buffer| {
            let mut filled = 0;
            let outcome = loop {
                let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) else {
                    break Some(ReadOutcome::More);
                };
                match poll_read(tls, task, rest) {
                    Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => break Some(ReadOutcome::End),
                    Poll::Ready(Ok(count)) => filled += count,
                    Poll::Pending if filled == 0 => break None,
                    Poll::Pending => break Some(ReadOutcome::More),
                }
            };
            let Some(outcome) = outcome else {
                return Poll::Pending;
            };
            let input = buffer.get(..filled).unwrap_or_default();
            Poll::Ready(machine.handle_bytes(context.clock.now(), input).map(|()| outcome))
        })
    })
    .await
}

fn poll_read(
    tls: &mut TlsStream<TcpStream>,
    task: &mut TaskContext<'_>,
    into: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(into);
    match Pin::new(tls).poll_read(task, &mut buffer) {
        Poll::Ready(Ok(())) => Poll::Ready(Ok(buffer.filled().len())),
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        Poll::Pending => Poll::Pending,
    }
}
