//! Messages that wait on the sender's disk, and arrive exactly once whatever becomes of either side.

mod running;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tenfour::identity::Identity;
use tenfour::{
    Address, Client, Dropped, MailboxName, Message, OpenError, Outbox, OutboxClient, ServerConfig,
    SqliteOptions, SqliteStore, Trouble, Verdict,
};

use running::relay::Relay;
use running::*;

/// A sender with its outbox, and a server with its store, each in a folder of its own.
struct Both {
    folder: TempDir,
    me: Identity,
    /// Where the server is, once it was there.
    address: Address,
}

impl Both {
    fn new() -> Self {
        let address = tenfour_checker::free_address();
        Both {
            folder: tempfile::tempdir().unwrap(),
            me: identity(),
            address: Address::from_ip(address.ip(), address.port()),
        }
    }

    fn outbox(&self) -> PathBuf {
        self.folder.path().join("outbox/outbox.db")
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store/store.db")
    }

    async fn serve(&self) -> Running {
        let store = SqliteStore::open(self.store(), SqliteOptions::default()).unwrap();
        let config = ServerConfig::new(self.me.clone());
        Running::start_on(&self.address.to_string(), Box::new(store), config).await
    }

    fn client(&self) -> OutboxClient {
        self.client_of(&self.outbox(), &self.me)
    }

    fn client_of(&self, outbox: &Path, me: &Identity) -> OutboxClient {
        Client::with_outbox(outbox, self.address.clone(), client_config(me)).unwrap()
    }

    async fn arrived(&self) -> Vec<String> {
        in_time(bodies(&self.address, client_config(&self.me), "inbox")).await
    }
}

/// Waits for something that another task brings about.
async fn until(what: impl AsyncFn() -> bool) {
    in_time(async {
        while !what().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn queue(client: &OutboxClient, bodies: impl IntoIterator<Item = u64>) {
    for body in bodies {
        client.queue(inbox(&body.to_string())).await.unwrap();
    }
}

fn numbers(range: impl IntoIterator<Item = u64>) -> Vec<String> {
    range.into_iter().map(|number| number.to_string()).collect()
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_queued_without_a_server_arrives_when_there_is_one() {
    let both = Both::new();
    let client = both.client();
    queue(&client, 1..=3).await;
    client.stop().await;
    // The next start finds them, and more come.
    let client = both.client();
    queue(&client, 4..=5).await;
    let server = both.serve().await;
    in_time(client.flush()).await.unwrap();
    assert_eq!(client.progress().receipts, 5);
    queue(&client, 6..=300).await;
    in_time(client.flush()).await.unwrap();
    client.stop().await;
    let client = both.client();
    in_time(client.flush()).await.unwrap();
    assert_eq!(client.progress().receipts, 0, "nothing goes twice");
    queue(&client, 301..=302).await;
    in_time(client.flush()).await.unwrap();
    client.stop().await;
    assert_eq!(both.arrived().await, numbers(1..=302));
    in_time(server.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_delivers_and_others_may_queue() {
    let both = Both::new();
    let server = both.serve().await;
    let client = both.client();
    let second = Outbox::open(both.outbox()).unwrap().claim();
    assert!(matches!(second.err(), Some(OpenError::InUse { .. })));
    let mut other = Outbox::open(both.outbox()).unwrap();
    let address = both.address.to_string();
    assert_eq!(other.put(&address, &[inbox("1"), inbox("2")]).unwrap(), 1);
    in_time(async {
        while client.progress().receipts < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    queue(&client, [3]).await;
    in_time(client.flush()).await.unwrap();
    assert_eq!(both.arrived().await, numbers(1..=3));
    assert!(other.list(&address, 1, 10).unwrap().is_empty());
    client.stop().await;
    in_time(server.stop()).await;
}

/// Somebody restores the outbox of yesterday, or clones the machine. The copy has messages that may have arrived, and
/// gets others than its twin: it must neither lose one, nor take one for another, nor send one twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_an_outbox_uses_no_sequence_again() {
    let both = Both::new();
    let server = both.serve().await;
    let relay = Relay::to(&both.address).await;
    let client = Client::with_outbox(both.outbox(), relay.address.clone(), client_config(&both.me)).unwrap();
    queue(&client, [1]).await;
    in_time(client.flush()).await.unwrap();
    // 2 and 3 get their numbers and leave; that they arrive is not heard.
    relay.hold();
    queue(&client, [2, 3]).await;
    until(async || both.arrived().await.len() == 3).await;
    let copied = both.folder.path().join("copy");
    copy(both.outbox().parent().unwrap(), &copied);
    relay.let_go();
    // The original goes on in that very stream.
    queue(&client, [4, 5]).await;
    in_time(client.flush()).await.unwrap();
    // The copy goes on from where it was copied, with others.
    let outbox = copied.join("outbox.db");
    let twin = Client::with_outbox(outbox, relay.address.clone(), client_config(&both.me)).unwrap();
    queue(&twin, [6, 7]).await;
    in_time(twin.flush()).await.unwrap();
    assert_eq!(twin.progress().receipts, 4, "of 2 and 3 once more");
    queue(&client, [8]).await;
    in_time(client.flush()).await.unwrap();
    assert_eq!(both.arrived().await, numbers(1..=8));
    client.stop().await;
    twin.stop().await;
    in_time(server.stop()).await;
}

/// A backup of the server's store is restored: it lacks what it gave receipts for.
async fn server_goes_back(keep: u64) -> (Both, OutboxClient, Running) {
    let both = Both::new();
    let backup = both.folder.path().join("backup");
    let client = both.client();
    client.keep(keep).await.unwrap();
    let server = both.serve().await;
    queue(&client, 1..=3).await;
    in_time(client.flush()).await.unwrap();
    in_time(server.stop()).await;
    copy(both.store().parent().unwrap(), &backup);
    let server = both.serve().await;
    queue(&client, 4..=5).await;
    in_time(client.flush()).await.unwrap();
    client.stop().await;
    // A start of its own, so a stream of its own.
    let client = both.client();
    client.keep(keep).await.unwrap();
    queue(&client, 6..=7).await;
    in_time(client.flush()).await.unwrap();
    in_time(server.stop()).await;
    copy(&backup, both.store().parent().unwrap());
    let server = both.serve().await;
    queue(&client, [8]).await;
    let trouble = in_time(client.flush()).await.unwrap_err();
    assert!(
        matches!(*trouble, Trouble::WentBack { from: 4, to: 7 }),
        "{trouble}"
    );
    assert_eq!(both.arrived().await, numbers(1..=3), "nothing goes there unasked");
    (both, client, server)
}

fn decide(both: &Both, verdict: Verdict) {
    let decided = Outbox::open(both.outbox())
        .unwrap()
        .decide(&both.address.to_string(), verdict);
    assert!(decided.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_went_back_gets_again_what_is_still_here() {
    let (both, client, server) = server_goes_back(1 << 20).await;
    decide(&both, Verdict::Resend);
    until(async || both.arrived().await.len() == 8).await;
    assert_eq!(both.arrived().await, numbers(1..=8));
    in_time(client.flush()).await.unwrap();
    let routes = Outbox::open(both.outbox()).unwrap().routes().unwrap();
    assert_eq!((routes[0].waiting, routes[0].lost), (0, None));
    client.stop().await;
    in_time(server.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_went_back_is_gone_on_with_when_somebody_says_so() {
    let (both, client, server) = server_goes_back(1 << 20).await;
    client.stop().await;
    decide(&both, Verdict::Forget);
    let client = both.client();
    in_time(client.flush()).await.unwrap();
    let mut expected = numbers(1..=3);
    expected.push("8".to_owned());
    assert_eq!(both.arrived().await, expected);
    client.stop().await;
    in_time(server.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_kept_cannot_be_sent_again_and_the_rest_goes_on() {
    let (both, client, server) = server_goes_back(0).await;
    decide(&both, Verdict::Resend);
    until(async || both.arrived().await.len() == 4).await;
    let mut expected = numbers(1..=3);
    expected.push("8".to_owned());
    assert_eq!(both.arrived().await, expected);
    client.stop().await;
    in_time(server.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_disk_gets_everything_again_when_somebody_says_so() {
    let both = Both::new();
    let server = both.serve().await;
    let client = both.client();
    client.keep(1 << 20).await.unwrap();
    queue(&client, 1..=3).await;
    in_time(client.flush()).await.unwrap();
    in_time(server.stop()).await;
    fs::remove_dir_all(both.store().parent().unwrap()).unwrap();
    let server = both.serve().await;
    queue(&client, 4..=5).await;
    let trouble = in_time(client.flush()).await.unwrap_err();
    assert!(
        matches!(*trouble, Trouble::WentBack { from: 1, to: 3 }),
        "{trouble}"
    );
    assert!(both.arrived().await.is_empty());
    decide(&both, Verdict::Resend);
    until(async || both.arrived().await.len() == 5).await;
    assert_eq!(both.arrived().await, numbers(1..=5));
    client.stop().await;
    in_time(server.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_refuses_stays_with_its_reason() {
    let both = Both::new();
    let server = both.serve().await;
    let client = both.client();
    let large = Message::new(MailboxName::inbox(), vec![b'x'; 2 * 1024 * 1024]);
    queue(&client, [1]).await;
    assert_eq!(client.queue(large).await.unwrap(), 2);
    queue(&client, [2]).await;
    in_time(client.flush()).await.unwrap();
    assert_eq!(both.arrived().await, numbers(1..=2));
    let address = both.address.to_string();
    let mut outbox = Outbox::open(both.outbox()).unwrap();
    let left = outbox.list(&address, 1, 10).unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(
        (left[0].number, left[0].refused.as_deref()),
        (2, Some("too-large"))
    );
    assert_eq!(outbox.retry(&address, 2).unwrap(), Some(4));
    until(async || outbox.list(&address, 1, 10).unwrap()[0].refused.is_some()).await;
    assert_eq!(outbox.discard(&address, 4).unwrap(), Dropped::Gone);
    assert!(outbox.list(&address, 1, 10).unwrap().is_empty());
    client.stop().await;
    in_time(server.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_message_leaves_no_trace() {
    let both = Both::new();
    let address = both.address.to_string();
    let mut outbox = Outbox::open(both.outbox()).unwrap();
    for number in 1..=5 {
        outbox.put(&address, &[inbox(&number.to_string())]).unwrap();
    }
    assert_eq!(outbox.discard(&address, 2).unwrap(), Dropped::Gone);
    assert_eq!(outbox.discard(&address, 5).unwrap(), Dropped::Gone);
    assert_eq!(outbox.discard(&address, 5).unwrap(), Dropped::NotThere);
    assert_eq!(
        outbox.put(&address, &[inbox("6")]).unwrap(),
        6,
        "no number is given again"
    );
    let server = both.serve().await;
    let client = both.client();
    in_time(client.flush()).await.unwrap();
    assert_eq!(both.arrived().await, ["1", "3", "4", "6"]);
    client.stop().await;
    in_time(server.stop()).await;
}

/// The identity of a message is its sender, stream and sequence. With another key it would be another message.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_leaves_under_no_other_key() {
    let both = Both::new();
    let server = both.serve().await;
    let relay = Relay::to(&both.address).await;
    let client = Client::with_outbox(both.outbox(), relay.address.clone(), client_config(&both.me)).unwrap();
    queue(&client, [1]).await;
    in_time(client.flush()).await.unwrap();
    relay.hold();
    queue(&client, [2]).await;
    until(async || both.arrived().await.len() == 2).await;
    client.stop().await;
    relay.let_go();
    let other = identity();
    let client = Client::with_outbox(both.outbox(), relay.address.clone(), client_config(&other)).unwrap();
    let trouble = in_time(client.flush()).await.unwrap_err();
    assert!(matches!(*trouble, Trouble::OtherKey { .. }), "{trouble}");
    client.stop().await;
    let client = Client::with_outbox(both.outbox(), relay.address.clone(), client_config(&both.me)).unwrap();
    in_time(client.flush()).await.unwrap();
    client.stop().await;
    assert_eq!(both.arrived().await, numbers(1..=2));
    in_time(server.stop()).await;
}
