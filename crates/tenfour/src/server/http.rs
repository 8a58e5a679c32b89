//! The HTTP listener: a message by `POST`, answered after the flush.

mod guard;
mod post;
mod problem;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tenfour_proto::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tower::ServiceExt;

use super::gate::Seat;
use super::roster::Entry;
use super::{Context, listen};
use problem::Problem;

/// The head of a request must be whole in this time, and a connection that is kept must begin another one.
const HEAD: Duration = Duration::from_secs(30);

/// Longest head of a request, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// Most headers of a request.
const MAX_HEADERS: usize = 64;

/// A stopping server waits so long for requests that are under way.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// Who asks.
#[derive(Clone)]
pub(super) struct Visitor {
    pub(super) context: Arc<Context>,
    pub(super) peer: SocketAddr,
    pub(super) entry: Arc<Entry>,
    seat: Arc<Seat>,
}

impl Visitor {
    /// The gate looks at the time of the last word.
    fn heard(&self, unfinished: usize) {
        self.seat.heard(self.context.clock.now(), unfinished);
    }
}

/// Listens until the server stops.
pub(super) fn listen(listener: TcpListener, context: Arc<Context>, alive: mpsc::Sender<()>) {
    let _ = socket2::SockRef::from(&listener).set_tcp_nodelay(true);
    let router = router();
    let accepted = move |stream, peer, context: &Arc<Context>, alive: &mpsc::Sender<()>| {
        accepted(stream, peer, context, alive, router.clone());
    };
    tokio::spawn(listen::accept(listener, context, alive, accepted));
}

fn router() -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route("/v1/mailboxes/{*mailbox}", post(post::to_messages))
        .route("/{*mailbox}", post(post::short))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
}

fn accepted(
    stream: TcpStream,
    peer: SocketAddr,
    context: &Arc<Context>,
    alive: &mpsc::Sender<()>,
    router: Router,
) {
    let Some(pass) = context.gate.admit_plain(context.clock.now()) else {
        let problem = Problem::busy();
        let _ = stream.try_write(problem.raw().as_bytes());
        return;
    };
    if let Some(on_event) = &context.config.on_event {
        on_event(super::Event::Connected {
            peer,
            listener: "http",
        });
    }
    let visitor = Visitor {
        context: Arc::clone(context),
        peer,
        entry: Arc::new(context.roster.enter(peer, Listener::Http, None)),
        seat: Arc::clone(&pass.seat),
    };
    let mut stopping = context.stopping.subscribe();
    let alive = alive.clone();
    tokio::spawn(async move {
        let service = service_fn(move |request| {
            let (visitor, router) = (visitor.clone(), router.clone());
            async move { Ok::<_, std::convert::Infallible>(answer(visitor, router, request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            // Who has said all may still listen.
            .half_close(true)
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let leave = async {
            tokio::select! {
                () = pass.seat.asked_to_leave() => {}
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
        };
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%peer, %error, "an HTTP connection ended");
                }
            }
            () = leave => {
                connection.as_mut().graceful_shutdown();
                let _ = tokio::time::timeout(LAST_REQUESTS, connection).await;
            }
        }
        drop((pass, alive));
    });
}

async fn answer(
    visitor: Visitor,
    router: Router,
    request: hyper::Request<hyper::body::Incoming>,
) -> Response {
    visitor.heard(0);
    let mut request = request.map(axum::body::Body::new);
    let mut response = match guard::check(&visitor, &request) {
        Ok(()) => {
            request.extensions_mut().insert(visitor);
            match router.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        }
        Err(problem) => problem.into_response(),
    };
    guard::mark(&mut response);
    response
}

async fn health(Extension(visitor): Extension<Visitor>) -> Response {
    if *visitor.context.inbox.failed().borrow() {
        return Problem::store_failed().into_response();
    }
    "ok\n".into_response()
}

async fn nothing_here(request: Request) -> Problem {
    Problem::not_found(request.uri().path())
}

async fn wrong_method(request: Request) -> Problem {
    Problem::method(request.method())
}
