//! A server on the loopback, and who talks to it.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod both;
pub mod relay;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tenfour::identity::{Identity, KnownHosts};
use tenfour::server::{Listeners, ServeError, ServerConfig};
use tenfour::store::{MemoryStore, Store};
use tenfour::{
    Address, Client, ClientConfig, ConnectError, DeliveryError, Durability, MailboxName, Message,
    PendingReceipt, Receipt, Server,
};
use tenfour_checker::free_address;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub struct Running {
    pub text: SocketAddr,
    pub native: Address,
    stop: oneshot::Sender<()>,
    pub server: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    pub async fn start(config: ServerConfig) -> Self {
        Self::start_on(
            &free_address().to_string(),
            Box::new(MemoryStore::default()),
            config,
        )
        .await
    }

    pub async fn start_on(native: &str, store: Box<dyn Store>, config: ServerConfig) -> Self {
        let text = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let native = TcpListener::bind(native).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let (text_address, native_address) = (text.local_addr().unwrap(), native.local_addr().unwrap());
        let listeners = Listeners {
            datagram: Vec::new(),
            text: vec![text],
            native: vec![native],
            ..Listeners::default()
        };
        let server = Server::new(store, config).unwrap();
        let shutdown = async {
            let _ = stopped.await;
        };
        Running {
            text: text_address,
            native: Address::from_ip(native_address.ip(), native_address.port()),
            stop,
            server: tokio::spawn(server.run(listeners, shutdown)),
        }
    }

    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        self.server.await.unwrap().unwrap();
    }
}

pub fn identity() -> Identity {
    Identity::generate().unwrap()
}

pub fn client_config(identity: &Identity) -> ClientConfig {
    let mut config = ClientConfig::new(identity.clone(), KnownHosts::default());
    config.durability = Durability::Memory;
    config.timeout = Duration::from_secs(20);
    config.window = 10_000;
    config
}

pub fn inbox(body: &str) -> Message {
    Message::new(MailboxName::inbox(), body.to_owned())
}

pub async fn connect(address: &Address, config: ClientConfig) -> Result<Client, ConnectError> {
    Client::builder(address).config(config).connect().await
}

/// Sends it, and waits for its receipt.
pub async fn deliver(client: &Client, message: Message) -> Result<Receipt, DeliveryError> {
    client.send_message(message).await?.await
}

/// Sends it.
pub async fn put(client: &Client, message: Message) -> PendingReceipt {
    client.send_message(message).await.unwrap()
}

/// A client that only reads.
pub async fn reading(address: &Address, config: ClientConfig) -> Client {
    let client = Client::builder(address).config(config).without_sending();
    client.connect().await.unwrap()
}

pub async fn bodies(address: &Address, config: ClientConfig, mailbox: &str) -> Vec<String> {
    let client = reading(address, config).await;
    let mut reader = client.reader(mailbox).open().await.unwrap();
    let mut bodies = Vec::new();
    while let Some(item) = reader.try_next().await.unwrap() {
        assert_eq!(item.offset, bodies.len() as u64 + 1);
        bodies.push(String::from_utf8(item.message.body.to_vec()).unwrap());
    }
    bodies
}

/// Nothing in these tests may hang for ever.
pub async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work)
        .await
        .expect("in time")
}
