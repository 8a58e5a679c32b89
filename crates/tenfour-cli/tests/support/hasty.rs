//! A server with the mistake that the power rig must find: it gives receipts for what is in memory, and writes it to the
//! disk as soon as it can.

use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};

use tenfour::identity::Identity;
use tenfour::proto::ProducerId;
use tenfour::server::{Listeners, ServerConfig};
use tenfour::store::{MemoryStore, SqliteOptions, SqliteStore, Store};
use tenfour::{CursorName, Durability, MailboxName, Sender, Server};
use tenfour_proto::Stored;
use tenfour_store::{Batch, Committed, CursorChange, Readers, Removal, StoreError};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::Home;

pub struct Hasty {
    pub native: String,
    runtime: Runtime,
    /// Until the end.
    disk: Arc<Mutex<Option<SqliteStore>>>,
}

impl Hasty {
    pub fn serve(home: &Home, store: &Path) -> Self {
        let identity = Identity::load_or_create(&home.path().join("identity.pem")).unwrap();
        let disk = SqliteStore::open(store, SqliteOptions::default()).unwrap();
        let disk = Arc::new(Mutex::new(Some(disk)));
        let store = Box::new(Promising::on(Arc::clone(&disk)));
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let native = listener.local_addr().unwrap().to_string();
        let listeners = Listeners {
            native: vec![listener],
            ..Listeners::default()
        };
        let server = Server::new(store, ServerConfig::new(identity)).unwrap();
        runtime.spawn(server.run(listeners, std::future::pending()));
        Hasty {
            native,
            runtime,
            disk,
        }
    }

    /// At once. The disk is let go, whatever the tasks that are left still hold.
    pub fn end(self) {
        *self.disk.lock().unwrap() = None;
        self.runtime.shutdown_background();
    }
}

struct Promising {
    memory: MemoryStore,
    later: mpsc::Sender<(Vec<Batch>, i64)>,
}

impl Promising {
    fn on(disk: Arc<Mutex<Option<SqliteStore>>>) -> Self {
        let (later, todo) = mpsc::channel::<(Vec<Batch>, i64)>();
        std::thread::spawn(move || {
            for (batches, time) in todo {
                let mut disk = disk.lock().unwrap();
                let stored = disk.as_mut().map(|disk| disk.deposit(&batches, time));
                if !matches!(stored, Some(Ok(_))) {
                    break;
                }
            }
        });
        Promising {
            memory: MemoryStore::default(),
            later,
        }
    }
}

impl Store for Promising {
    fn id(&self) -> [u8; 16] {
        self.memory.id()
    }

    fn durability(&self) -> Durability {
        Durability::Disk
    }

    fn commit(
        &mut self,
        batches: &[Batch],
        cursors: &[CursorChange],
        time: i64,
    ) -> Result<Committed, StoreError> {
        let _ = self.later.send((batches.to_vec(), time));
        self.memory.commit(batches, cursors, time)
    }

    fn high_water_mark(&mut self, sender: &Sender, producer: ProducerId) -> Result<u64, StoreError> {
        self.memory.high_water_mark(sender, producer)
    }

    fn replay(
        &mut self,
        sender: &Sender,
        producer: ProducerId,
        after: u64,
        most: usize,
    ) -> Result<Stored, StoreError> {
        self.memory.replay(sender, producer, after, most)
    }

    fn finish(&mut self, sender: &Sender, producers: &[ProducerId]) -> Result<bool, StoreError> {
        self.memory.finish(sender, producers)
    }

    fn remove_mailbox(&mut self, mailbox: &MailboxName, last: Option<u64>) -> Result<Removal, StoreError> {
        self.memory.remove_mailbox(mailbox, last)
    }

    fn remove_cursor(&mut self, mailbox: &MailboxName, name: &CursorName) -> Result<Removal, StoreError> {
        self.memory.remove_cursor(mailbox, name)
    }

    fn readers(&self) -> Readers {
        self.memory.readers()
    }
}
