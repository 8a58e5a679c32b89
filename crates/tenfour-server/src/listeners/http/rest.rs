//! What is left of a body when the answer is there already. Clients that send first and listen then (Node, Python, Go) see a
//! broken connection instead of the answer if nobody reads on.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tenfour_identity::lock;
use tenfour_proto::limits;

/// Bytes that are read for nothing at most: as many as any message may have, twice.
const MOST: u64 = 2 * limits::CEILING_MAX_MESSAGE as u64;

/// They come in this time, or the answer does not wait for them.
const PATIENCE: Duration = Duration::from_secs(10);

/// A body that somebody may leave unread.
pub(super) struct Lent(Rest);

/// The other end of it.
#[derive(Clone)]
pub(super) struct Rest(Arc<Mutex<Incoming>>);

/// Lends the body to whoever answers.
pub(super) fn lend(body: Incoming) -> (Lent, Rest) {
    let rest = Rest(Arc::new(Mutex::new(body)));
    (Lent(rest.clone()), rest)
}

impl Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut *lock(&self.0.0)).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.0.0).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.0.0).size_hint()
    }
}

impl Rest {
    /// Reads on until the body ends, within limits. Not for a client that waits for our word before it sends.
    pub(super) async fn read_away(self, headers: &HeaderMap) {
        let waits = headers.contains_key(header::EXPECT);
        if waits || lock(&self.0).is_end_stream() || lock(&self.0).size_hint().lower() > MOST {
            return;
        }
        let mut body = Lent(self);
        let mut read = 0;
        let away = async {
            while let Some(Ok(frame)) = body.frame().await {
                read += frame.data_ref().map_or(0, |data| data.len() as u64);
                if read > MOST {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(PATIENCE, away).await;
    }
}
