//! Messages that wait on the sender's disk, and arrive exactly once whatever becomes of either side.

mod running;

use tenfour::outbox::{DispatchError, Dropped, Outbox, OutboxClient};
use tenfour::store::OpenError;
use tenfour::{MailboxName, Message};

use running::both::*;
use running::relay::Relay;
use running::*;

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
    let client = both.client_through(&relay);
    queue(&client, [1]).await;
    in_time(client.flush()).await.unwrap();
    // 2 and 3 get their numbers and leave; that they arrive is not heard.
    relay.hold();
    let address = relay.address.to_string();
    let mut outbox = Outbox::open(both.outbox()).unwrap();
    // Together: while an answer is waited for, nothing that comes later leaves.
    outbox.put(&address, &[inbox("2"), inbox("3")]).unwrap();
    until(async || both.arrived().await.len() == 3).await;
    let copied = both.folder.path().join("copy");
    copy(both.outbox().parent().unwrap(), &copied);
    relay.let_go();
    // The original goes on in that very producer.
    queue(&client, [4, 5]).await;
    in_time(client.flush()).await.unwrap();
    // The copy goes on from where it was copied, with others.
    let outbox = copied.join("outbox.db");
    let twin = OutboxClient::open(outbox, relay.address.clone(), client_config(&both.me)).unwrap();
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

/// A window that one message fills was followed by a rest, although the next message had its number: `--flush` ended with
/// 0, and the message left a minute later.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_message_hides_none_behind_it() {
    let both = Both::new();
    let server = both.serve().await;
    let client = both.client();
    queue(&client, [1]).await;
    in_time(client.flush()).await.unwrap();
    for number in 2..=6 {
        // More than the server takes, which answers it all the same.
        let large = Message::new(MailboxName::inbox(), vec![b'x'; 5 * 1024 * 1024]);
        let small = inbox(&number.to_string());
        let (first, second) = tokio::join!(client.queue(large), client.queue(small));
        assert!(first.unwrap() < second.unwrap());
        in_time(client.flush()).await.unwrap();
        assert_eq!(both.arrived().await, numbers(1..=number));
    }
    client.stop().await;
    in_time(server.stop()).await;
}

/// The identity of a message is its sender, producer and sequence. With another key it would be another message.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_leaves_under_no_other_key() {
    let both = Both::new();
    let server = both.serve().await;
    let relay = Relay::to(&both.address).await;
    let client = both.client_through(&relay);
    queue(&client, [1]).await;
    in_time(client.flush()).await.unwrap();
    relay.hold();
    queue(&client, [2]).await;
    until(async || both.arrived().await.len() == 2).await;
    client.stop().await;
    relay.let_go();
    let other = identity();
    let client = OutboxClient::open(both.outbox(), relay.address.clone(), client_config(&other)).unwrap();
    let error = in_time(client.flush()).await.unwrap_err();
    assert!(matches!(*error, DispatchError::OtherKey { .. }), "{error}");
    client.stop().await;
    let client = both.client_through(&relay);
    in_time(client.flush()).await.unwrap();
    client.stop().await;
    assert_eq!(both.arrived().await, numbers(1..=2));
    in_time(server.stop()).await;
}
