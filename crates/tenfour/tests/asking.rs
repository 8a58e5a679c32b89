//! Questions, and functions that answer them, in one process and over real sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tenfour::identity::{Identity, KnownHosts};
use tenfour::server::{Listeners, ServeError, ServerConfig};
use tenfour::store::{MemoryStore, SqliteOptions, SqliteStore, Store};
use tenfour::{
    Address, AskError, Client, ClientConfig, Durability, HandlerError, HandlerOptions, Item, MailboxName,
    Message, Reply, Server,
};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::ServiceExt;

struct Running {
    address: Address,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    async fn start(me: &Identity, prepare: impl FnOnce(&mut Server)) -> Self {
        Self::start_on("127.0.0.1:0", Box::new(MemoryStore::default()), me, prepare).await
    }

    async fn start_on(
        address: &str,
        store: Box<dyn Store>,
        me: &Identity,
        prepare: impl FnOnce(&mut Server),
    ) -> Self {
        let native = TcpListener::bind(address).await.unwrap();
        let address = native.local_addr().unwrap();
        let listeners = Listeners {
            native: vec![native],
            ..Listeners::default()
        };
        let mut server = Server::new(store, ServerConfig::new(me.clone())).unwrap();
        prepare(&mut server);
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        Running {
            address: Address::from_ip(address.ip(), address.port()),
            stop,
            server: tokio::spawn(server.run(listeners, shutdown)),
        }
    }

    async fn client(&self, me: &Identity, id: Option<&str>, timeout: Duration) -> Client {
        let mut config = ClientConfig::new(me.clone(), KnownHosts::default());
        config.durability = Durability::Memory;
        config.timeout = timeout;
        config.id = id.map(str::to_owned);
        Client::builder(&self.address)
            .config(config)
            .connect()
            .await
            .unwrap()
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.server.await.unwrap().unwrap();
    }
}

const LONG: Duration = Duration::from_secs(30);

fn options() -> HandlerOptions {
    HandlerOptions::new(MailboxName::inbox(), "handler".parse().unwrap())
}

fn question(text: &str) -> Message {
    Message::new(MailboxName::inbox(), text.to_owned())
}

async fn upper(item: Item) -> Result<Reply, HandlerError> {
    Ok(Reply::new(item.message.body.to_ascii_uppercase()))
}

/// A reply could arrive before the client had noted that somebody waits for it: of some thousand questions one or two
/// had their reply thrown away, and were told at their deadline that nobody had answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_questions_has_its_reply() {
    let me = Identity::generate().unwrap();
    let server = Running::start(&me, |server| {
        server.handle_with(options(), upper);
    })
    .await;
    let client = server.client(&me, None, LONG).await;
    for n in 0..3_000 {
        let (receipt, reply) = client.ask_message(question(&format!("q{n}"))).await.unwrap();
        assert_eq!(reply, Reply::new(format!("Q{n}")));
        assert_eq!(receipt.offset, n + 1);
    }
    // Many at once, too; each has its own.
    let all = (0..500).map(|n| {
        let client = client.clone();
        tokio::spawn(async move { (n, client.ask_message(question(&format!("p{n}"))).await.unwrap().1) })
    });
    for one in all.collect::<Vec<_>>() {
        let (n, reply) = one.await.unwrap();
        assert_eq!(reply, Reply::new(format!("P{n}")));
    }
    client.close().await;
    server.stop().await;
}

#[tokio::test]
async fn a_handler_that_fails_is_asked_again_and_one_that_cannot_is_given_up() {
    let me = Identity::generate().unwrap();
    let attempts = Arc::new(AtomicUsize::new(0));
    let server = Running::start(&me, |server| {
        let attempts = Arc::clone(&attempts);
        let flaky = move |item: Item| {
            let attempts = Arc::clone(&attempts);
            async move {
                attempts.fetch_add(1, Ordering::Relaxed);
                match &item.message.body[..] {
                    b"never" => Err(HandlerError::new("not today")),
                    b"panic" if item.attempts == 0 => panic!("a handler may panic"),
                    b"hang" if item.attempts == 0 => std::future::pending().await,
                    _ => Ok(Reply::new(item.attempts.to_string()).with_code(5)),
                }
            }
        };
        let mut options = options();
        options.retries = Some(1);
        options.timeout = Duration::from_millis(200);
        server.handle_with(options, flaky);
    })
    .await;
    let client = server.client(&me, None, LONG).await;
    let reply = async |text: &str| client.ask_message(question(text)).await.unwrap().1;
    assert_eq!(reply("well").await, Reply::new("0").with_code(5));
    assert_eq!(reply("panic").await, Reply::new("1").with_code(5));
    assert_eq!(reply("hang").await, Reply::new("1").with_code(5));
    assert_eq!(reply("never").await, Reply::dead());
    assert_eq!(attempts.load(Ordering::Relaxed), 1 + 2 + 2 + 2);
    client.close().await;
    server.stop().await;
}

/// What limits, times and changes others' services fits a handler, too.
#[tokio::test]
async fn a_handler_is_a_service_like_others() {
    let me = Identity::generate().unwrap();
    let server = Running::start(&me, |server| {
        let service = tower::ServiceBuilder::new()
            .map_request(|item: Item| item.message.body)
            .map_response(|reply: Reply| reply.with_code(9))
            .service_fn(|body: bytes::Bytes| async move { Ok::<_, std::io::Error>(Reply::new(body)) });
        let handler = move |item: Item| service.clone().oneshot(item);
        server.handle_with(options(), handler);
    })
    .await;
    let client = server.client(&me, None, LONG).await;
    let (_, reply) = client.ask_message(question("through the layers")).await.unwrap();
    assert_eq!(reply, Reply::new("through the layers").with_code(9));
    client.close().await;
    server.stop().await;
}

#[tokio::test]
async fn without_a_handler_the_question_is_stored_and_the_deadline_says_so() {
    let me = Identity::generate().unwrap();
    let server = Running::start(&me, |_| {}).await;
    let client = server.client(&me, None, Duration::from_millis(300)).await;
    let Err(AskError::NoReply(receipt)) = client.ask_message(question("is anybody there?")).await else {
        panic!("a reply from nobody")
    };
    assert_eq!(receipt.offset, 1);
    client.close().await;
    server.stop().await;
}

#[tokio::test]
async fn a_reply_is_kept_over_a_restart_and_finds_a_client_that_was_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store =
        || -> Box<dyn Store> { Box::new(SqliteStore::open(&path, SqliteOptions::default()).unwrap()) };
    let me = Identity::generate().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let handler = |server: &mut Server| {
        let asked = Arc::clone(&asked);
        let count = move |_: Item| {
            let number = asked.fetch_add(1, Ordering::Relaxed);
            async move { Ok::<_, HandlerError>(Reply::new(number.to_string())) }
        };
        server.handle_with(options(), count);
    };
    let server = Running::start_on(
        &tenfour_checker::free_address().to_string(),
        store(),
        &me,
        handler,
    )
    .await;
    let address = server.address.to_string();
    let first = server.client(&me, Some("q"), LONG).await;
    let (_, reply) = first.ask_message(question("how often?")).await.unwrap();
    assert_eq!(reply, Reply::new("0"));
    // Again under the same id: the same reply, and nobody is asked.
    let second = server.client(&me, Some("q"), LONG).await;
    let (receipt, reply) = second.ask_message(question("how often?")).await.unwrap();
    assert_eq!((receipt.duplicate, reply), (true, Reply::new("0")));
    second.close().await;
    server.stop().await;
    // A server without a handler takes a question; the next one, with a handler, answers it over the reconnect.
    let server = Running::start_on(&address, store(), &me, |_| {}).await;
    let waiting = server.client(&me, None, LONG).await;
    let reply = tokio::spawn(async move { waiting.ask_message(question("still?")).await.unwrap().1 });
    let watcher = server.client(&me, None, LONG).await;
    while watcher
        .send_message(question("no question"))
        .await
        .unwrap()
        .await
        .unwrap()
        .offset
        < 3
    {}
    server.stop().await;
    let server = Running::start_on(&address, store(), &me, handler).await;
    assert_eq!(reply.await.unwrap().body.len(), 1);
    let third = server.client(&me, Some("q"), LONG).await;
    let (_, reply) = third.ask_message(question("how often?")).await.unwrap();
    assert_eq!(reply, Reply::new("0"), "kept over two restarts");
    server.stop().await;
}
