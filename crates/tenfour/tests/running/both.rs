//! A sender with an outbox and a server with a store, either of which may stop, lose its disk, or get an old one back.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tenfour::Address;
use tenfour::identity::Identity;
use tenfour::outbox::{Outbox, OutboxClient, Verdict};
use tenfour::server::ServerConfig;
use tenfour::store::{SqliteOptions, SqliteStore};

use super::relay::Relay;
use super::{Running, bodies, client_config, identity, in_time, inbox};

/// A sender with its outbox, and a server with its store, each in a folder of its own.
pub struct Both {
    pub folder: TempDir,
    pub me: Identity,
    /// Where the server is, once it was there.
    pub address: Address,
}

impl Both {
    pub fn new() -> Self {
        let address = tenfour_checker::free_address();
        Both {
            folder: tempfile::tempdir().unwrap(),
            me: identity(),
            address: Address::from_ip(address.ip(), address.port()),
        }
    }

    pub fn outbox(&self) -> PathBuf {
        self.folder.path().join("outbox/outbox.db")
    }

    pub fn store(&self) -> PathBuf {
        self.folder.path().join("store/store.db")
    }

    pub async fn serve(&self) -> Running {
        let store = SqliteStore::open(self.store(), SqliteOptions::default()).unwrap();
        let config = ServerConfig::new(self.me.clone());
        Running::start_on(&self.address.to_string(), Box::new(store), config).await
    }

    pub fn client(&self) -> OutboxClient {
        self.client_of(&self.outbox(), &self.me)
    }

    pub fn client_of(&self, outbox: &Path, me: &Identity) -> OutboxClient {
        OutboxClient::open(outbox, self.address.clone(), client_config(me)).unwrap()
    }

    pub fn client_through(&self, relay: &Relay) -> OutboxClient {
        OutboxClient::open(self.outbox(), relay.address.clone(), client_config(&self.me)).unwrap()
    }

    pub fn save_store(&self, to: &Path) {
        copy(self.store().parent().unwrap(), to);
    }

    pub fn restore_store(&self, from: &Path) {
        copy(from, self.store().parent().unwrap());
    }

    pub fn wipe_store(&self) {
        fs::remove_dir_all(self.store().parent().unwrap()).unwrap();
    }

    pub async fn arrived(&self) -> Vec<String> {
        in_time(bodies(&self.address, client_config(&self.me), "inbox")).await
    }
}

/// Waits for something that another task brings about.
pub async fn until(what: impl AsyncFn() -> bool) {
    in_time(async {
        while !what().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

pub async fn queue(client: &OutboxClient, bodies: impl IntoIterator<Item = u64>) {
    for body in bodies {
        client.queue(inbox(&body.to_string())).await.unwrap();
    }
}

pub async fn delivered(client: &OutboxClient, bodies: impl IntoIterator<Item = u64>) {
    queue(client, bodies).await;
    in_time(client.flush()).await.unwrap();
}

pub fn numbers(range: impl IntoIterator<Item = u64>) -> Vec<String> {
    range.into_iter().map(|number| number.to_string()).collect()
}

pub fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

pub fn decide(both: &Both, verdict: Verdict) {
    let decided = Outbox::open(both.outbox())
        .unwrap()
        .decide(&both.address.to_string(), verdict);
    assert!(decided.unwrap());
}
