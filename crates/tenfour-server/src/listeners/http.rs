//! The HTTP listener: a message by `POST`, answered after the flush; messages, events and the status by `GET`.

mod config;
mod credentials;
mod events;
mod framing;
mod head_copy;
mod header;
mod health;
mod metrics;
mod openapi;
mod origin;
mod page;
mod post;
mod problem;
mod read;
mod resource;
mod rest;
mod visitor;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{ALLOW, CONNECTION};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tenfour_identity::tls;
use tenfour_proto::{Listener, limits};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::admission::counters::Counter;
use crate::admission::gate::PlaintextPermit;
use crate::context::Context;
use crate::error::ServeError;
use crate::listeners::accept;
pub use config::{HttpConfig, HttpListeners};
use credentials::Credentials;
use head_copy::HeadCopy;
use problem::Problem;
use visitor::Visitor;

/// The head of a request must be whole in this time, and a connection that is kept must begin another one.
const HEAD: Duration = Duration::from_secs(30);

/// Most headers of a request.
const MAX_HEADERS: usize = 64;

/// A stopping server waits so long for requests that are under way.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// Listens until the server stops.
///
/// # Errors
///
/// When the server's key does not fit TLS.
pub(crate) fn listen(
    listeners: HttpListeners,
    context: &Arc<Context>,
    alive: &mpsc::Sender<()>,
) -> Result<(), ServeError> {
    let HttpListeners { plain, tls, config } = listeners;
    let config = Arc::new(config);
    for listener in plain {
        listen_on(listener, None, &config, context, alive);
    }
    for listener in tls {
        let tls =
            tls::web_config(&context.config.identity).map_err(|error| ServeError::Identity(error.into()))?;
        listen_on(listener, Some(tls.into()), &config, context, alive);
    }
    Ok(())
}

fn listen_on(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    config: &Arc<HttpConfig>,
    context: &Arc<Context>,
    alive: &mpsc::Sender<()>,
) {
    accept::answer_at_once(&listener);
    let (router, config) = (router(), Arc::clone(config));
    let accepted = move |stream, peer, context: &Arc<Context>, alive: &mpsc::Sender<()>| {
        let (config, tls) = (Arc::clone(&config), tls.clone());
        accepted(stream, peer, config, context, alive, tls, router.clone());
    };
    tokio::spawn(accept::accept(
        listener,
        Arc::clone(context),
        alive.clone(),
        accepted,
    ));
}

fn router() -> Router {
    Router::new()
        .route("/healthz", get(health::health))
        .route("/", get(page::index))
        .route("/-/page.js", get(page::script))
        .route("/-/page.css", get(page::style))
        .route("/-/icon.svg", get(page::icon))
        .route("/v1/openapi.json", get(openapi::document))
        .route("/metrics", get(metrics::metrics))
        .route("/v1/status", get(metrics::status))
        .route("/v1/events", get(events::follow))
        .route("/v1/mailboxes/{*place}", get(read::at).post(post::to_messages))
        .route("/{*mailbox}", post(post::short).get(read::by_mistake))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
}

fn accepted(
    stream: TcpStream,
    peer: SocketAddr,
    config: Arc<HttpConfig>,
    context: &Arc<Context>,
    alive: &mpsc::Sender<()>,
    tls: Option<TlsAcceptor>,
    router: Router,
) {
    let Some(pass) = context.gate.admit_plain(context.clock.now()) else {
        if tls.is_none() {
            say_busy(stream);
        }
        return;
    };
    context.tell_connected(peer, Listener::Http);
    let visitor = Visitor {
        context: Arc::clone(context),
        config,
        peer,
        entry: Arc::new(context.connections.enter(peer, Listener::Http, None)),
        permit: Arc::clone(&pass.permit),
        credentials: Credentials::Nobody { is_near: false },
    };
    let mut stream = TimeoutStream::new(stream);
    // Whoever is cut resumes by offset.
    stream.set_write_timeout(Some(accept::BLOCKED_WRITE));
    let stream = Box::pin(stream);
    let alive = alive.clone();
    tokio::spawn(async move {
        match tls {
            None => serve(stream, visitor, &pass, router).await,
            Some(tls) => {
                let handshake = tokio::time::timeout(limits::HANDSHAKE_DEADLINE, tls.accept(stream));
                match handshake.await {
                    Ok(Ok(stream)) => serve(stream, visitor, &pass, router).await,
                    _ => {
                        visitor.context.counters.count(Counter::Handshake);
                        tracing::debug!(%peer, "no TLS handshake");
                    }
                }
            }
        }
        drop((pass, alive));
    });
}

/// Tells a peer for whom there is no place that there is none, and listens until it has read that: closing over its request
/// would reset the connection, and take the words with it.
fn say_busy(mut stream: TcpStream) {
    /// Peers that are listened to so at once; others are told, and may not hear it.
    static LISTENED_TO: Semaphore = Semaphore::const_new(32);
    let words = Problem::busy().raw();
    let _ = stream.try_write(words.as_bytes());
    let Ok(place) = LISTENED_TO.try_acquire() else {
        return;
    };
    tokio::spawn(async move {
        let _ = stream.shutdown().await;
        let mut away = tokio::io::sink();
        let rest = tokio::io::copy(&mut stream, &mut away);
        let _ = tokio::time::timeout(Duration::from_secs(1), rest).await;
        drop(place);
    });
}

/// One connection, to its end.
async fn serve<S>(stream: S, visitor: Visitor, pass: &PlaintextPermit, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (peer, context) = (visitor.peer, Arc::clone(&visitor.context));
    let mut stopping = context.stopping.subscribe();
    let (stream, head) = HeadCopy::of(stream);
    let service = service_fn(move |request: hyper::Request<_>| {
        let (visitor, router) = (visitor.clone(), router.clone());
        let is_ambiguous = head.take_has_both_lengths(request.headers());
        async move { Ok::<_, std::convert::Infallible>(answer(visitor, router, request, is_ambiguous).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        // Who has said all may still listen.
        .half_close(true)
        .max_buf_size(framing::MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let leave = async {
        tokio::select! {
            () = pass.permit.asked_to_leave() => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    };
    tokio::select! {
        result = connection.as_mut() => {
            if let Err(error) = result {
                if is_slow_reader(&error) {
                    context.counters.count(Counter::SlowReader);
                }
                tracing::debug!(%peer, %error, "an HTTP connection ended");
            }
        }
        () = leave => {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(LAST_REQUESTS, connection).await;
        }
    }
}

/// What our own clock said, not the peer's system.
fn is_slow_reader(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| cause.kind() == ErrorKind::TimedOut)
}

async fn answer(
    mut visitor: Visitor,
    router: Router,
    request: hyper::Request<hyper::body::Incoming>,
    is_ambiguous: bool,
) -> Response {
    visitor.heard(0);
    let context = Arc::clone(&visitor.context);
    let headers = request.headers().clone();
    let (parts, body) = request.into_parts();
    let (body, rest) = rest::lend(body);
    let mut request = Request::from_parts(parts, axum::body::Body::new(body));
    let framed = framing::check(&headers, is_ambiguous);
    let checked = framed
        .and_then(|()| origin::check(&visitor, &request))
        .and_then(|()| {
            let (config, access) = (&visitor.config, &context.config.access);
            Credentials::of(access, config.open, visitor.peer, &visitor.entry, &request)
        });
    let mut response = match checked {
        Ok(credentials) => {
            visitor.credentials = credentials;
            request.extensions_mut().insert(visitor);
            match router.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        }
        Err(problem) => problem.into_response(),
    };
    let counters = &context.counters;
    match response.status() {
        StatusCode::SERVICE_UNAVAILABLE => counters.count(Counter::NotNow),
        status if status.is_client_error() => counters.count(Counter::HttpRefused),
        _ => {}
    }
    origin::mark(&mut response);
    if framing::ends_connection(&headers) {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    // Whoever came too slowly would come no faster now.
    let is_refused = response.status().is_client_error() || response.status().is_server_error();
    if is_refused && response.status() != StatusCode::REQUEST_TIMEOUT {
        rest.read_away(&headers).await;
    }
    response
}

async fn nothing_here(request: Request) -> Problem {
    Problem::not_found(request.uri().path())
}

async fn wrong_method(request: Request) -> Response {
    // Load balancers ask so whether somebody is there. There is no CORS header: it lets no page in.
    if request.method() == Method::OPTIONS {
        let allow = [(ALLOW, HeaderValue::from_static("GET, HEAD, POST"))];
        return (StatusCode::NO_CONTENT, allow).into_response();
    }
    Problem::method(request.method()).into_response()
}
