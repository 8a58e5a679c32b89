//! A server that went back behind what it gave receipts for, and an outbox that notices.

mod running;

use tenfour::outbox::{DispatchError, Outbox, OutboxClient, Verdict};
use tenfour::{MailboxName, Message};

use running::both::*;
use running::relay::Relay;
use running::*;

/// More than the server takes.
fn too_large() -> Message {
    Message::new(MailboxName::inbox(), vec![b'x'; 2 * 1024 * 1024])
}

/// A backup of the server's store is restored: it lacks what it gave receipts for.
async fn server_goes_back(keep: u64) -> (Both, OutboxClient, Running) {
    let both = Both::new();
    let backup = both.folder.path().join("backup");
    let client = both.client();
    client.keep(keep).await.unwrap();
    let server = both.serve().await;
    delivered(&client, 1..=3).await;
    in_time(server.stop()).await;
    both.save_store(&backup);
    let server = both.serve().await;
    delivered(&client, 4..=5).await;
    client.stop().await;
    // A start of its own, so a producer of its own.
    let client = both.client();
    client.keep(keep).await.unwrap();
    delivered(&client, 6..=7).await;
    in_time(server.stop()).await;
    both.restore_store(&backup);
    let server = both.serve().await;
    queue(&client, [8]).await;
    let error = in_time(client.flush()).await.unwrap_err();
    assert!(
        matches!(*error, DispatchError::Regressed { from: 4, to: 7 }),
        "{error}"
    );
    assert_eq!(both.arrived().await, numbers(1..=3), "nothing goes there unasked");
    (both, client, server)
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
    delivered(&client, 1..=3).await;
    in_time(server.stop()).await;
    both.wipe_store();
    let server = both.serve().await;
    queue(&client, 4..=5).await;
    let error = in_time(client.flush()).await.unwrap_err();
    assert!(
        matches!(*error, DispatchError::Regressed { from: 1, to: 3 }),
        "{error}"
    );
    assert!(both.arrived().await.is_empty());
    decide(&both, Verdict::Resend);
    until(async || both.arrived().await.len() == 5).await;
    assert_eq!(both.arrived().await, numbers(1..=5));
    client.stop().await;
    in_time(server.stop()).await;
}

/// Once a start had been checked, messages went to whatever was there: a server that was restored meanwhile took them, and
/// what it lacked was never found out.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_back_before_a_start_has_sent_anything_is_noticed() {
    let both = Both::new();
    let backup = both.folder.path().join("backup");
    let server = both.serve().await;
    let client = both.client();
    client.keep(1 << 20).await.unwrap();
    delivered(&client, 1..=2).await;
    in_time(server.stop()).await;
    both.save_store(&backup);
    let server = both.serve().await;
    delivered(&client, [3]).await;
    client.stop().await;
    // This start asks, and has nothing to send.
    let client = both.client();
    client.keep(1 << 20).await.unwrap();
    in_time(client.flush()).await.unwrap();
    in_time(server.stop()).await;
    both.restore_store(&backup);
    let server = both.serve().await;
    queue(&client, [4]).await;
    let error = in_time(client.flush()).await.unwrap_err();
    assert!(
        matches!(*error, DispatchError::Regressed { from: 3, to: 3 }),
        "{error}"
    );
    decide(&both, Verdict::Resend);
    until(async || both.arrived().await.len() == 4).await;
    assert_eq!(both.arrived().await, numbers(1..=4));
    client.stop().await;
    in_time(server.stop()).await;
}

/// What is carried on from an earlier start proves nothing while it has no receipts: the server takes it, and lacks what
/// came before it.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_back_is_noticed_before_it_is_sent_what_was_under_way() {
    let both = Both::new();
    let backup = both.folder.path().join("backup");
    let server = both.serve().await;
    let relay = Relay::to(&both.address).await;
    let through = || both.client_through(&relay);
    let client = through();
    delivered(&client, 1..=2).await;
    in_time(server.stop()).await;
    both.save_store(&backup);
    let server = both.serve().await;
    delivered(&client, [3]).await;
    client.stop().await;
    let client = through();
    client.queue(too_large()).await.unwrap();
    in_time(client.flush()).await.unwrap();
    relay.hold();
    queue(&client, [4]).await;
    until(async || both.arrived().await.len() == 4).await;
    client.stop().await;
    in_time(server.stop()).await;
    both.restore_store(&backup);
    relay.let_go();
    let server = both.serve().await;
    let client = through();
    let error = in_time(client.flush()).await.unwrap_err();
    assert!(
        matches!(*error, DispatchError::Regressed { from: 3, to: 3 }),
        "{error}"
    );
    assert_eq!(both.arrived().await, numbers(1..=2), "nothing goes there unasked");
    client.stop().await;
    in_time(server.stop()).await;
}

/// The connection on which a start begins breaks, and the one after it leads to a server that went back.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_back_while_the_first_answer_is_waited_for_is_noticed() {
    let both = Both::new();
    let backup = both.folder.path().join("backup");
    let server = both.serve().await;
    let relay = Relay::to(&both.address).await;
    let through = || both.client_through(&relay);
    let client = through();
    delivered(&client, 1..=2).await;
    in_time(server.stop()).await;
    both.save_store(&backup);
    let server = both.serve().await;
    delivered(&client, [3]).await;
    client.stop().await;
    let client = through();
    client.queue(too_large()).await.unwrap();
    in_time(client.flush()).await.unwrap();
    relay.hold();
    queue(&client, [4]).await;
    until(async || both.arrived().await.len() == 4).await;
    in_time(server.stop()).await;
    both.restore_store(&backup);
    let server = both.serve().await;
    relay.lose();
    relay.let_go();
    let error = in_time(client.flush()).await.unwrap_err();
    assert!(
        matches!(*error, DispatchError::Regressed { from: 3, to: 3 }),
        "{error}"
    );
    client.stop().await;
    in_time(server.stop()).await;
}

/// It was reported as another store that might have messages #0 to #0, and no verdict was taken for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_wiped_before_a_start_has_sent_anything_is_a_server_that_went_back() {
    let both = Both::new();
    let server = both.serve().await;
    let client = both.client();
    client.keep(1 << 20).await.unwrap();
    delivered(&client, 1..=2).await;
    client.stop().await;
    let client = both.client();
    client.keep(1 << 20).await.unwrap();
    in_time(client.flush()).await.unwrap();
    in_time(server.stop()).await;
    both.wipe_store();
    let server = both.serve().await;
    queue(&client, [3]).await;
    let error = in_time(client.flush()).await.unwrap_err();
    assert!(
        matches!(*error, DispatchError::Regressed { from: 1, to: 2 }),
        "{error}"
    );
    decide(&both, Verdict::Resend);
    until(async || both.arrived().await.len() == 3).await;
    assert_eq!(both.arrived().await, numbers(1..=3));
    client.stop().await;
    in_time(server.stop()).await;
}

/// Only the old key could ask for what the old store had. Nothing is unknown, so nothing stands in the way; it did, for
/// good.
#[tokio::test(flavor = "multi_thread")]
async fn another_key_goes_on_where_a_disk_was_wiped() {
    let mut both = Both::new();
    let server = both.serve().await;
    let client = both.client();
    delivered(&client, 1..=2).await;
    client.stop().await;
    in_time(server.stop()).await;
    both.wipe_store();
    both.me = identity();
    let server = both.serve().await;
    let client = both.client();
    delivered(&client, [3]).await;
    assert_eq!(both.arrived().await, numbers([3]));
    client.stop().await;
    in_time(server.stop()).await;
}

/// A message whose answer was not heard may be in the first store. To go on without it sent it to the second one.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_in_another_store_is_not_sent_when_somebody_says_so() {
    let both = Both::new();
    let server = both.serve().await;
    let relay = Relay::to(&both.address).await;
    let client = both.client_through(&relay);
    // An answer tells which store it is; a receipt would be missed.
    client.queue(too_large()).await.unwrap();
    in_time(client.flush()).await.unwrap();
    relay.hold();
    queue(&client, [1]).await;
    until(async || both.arrived().await.len() == 1).await;
    client.stop().await;
    in_time(server.stop()).await;
    both.wipe_store();
    relay.let_go();
    let server = both.serve().await;
    let client = both.client_through(&relay);
    let error = in_time(client.flush()).await.unwrap_err();
    assert!(
        matches!(*error, DispatchError::OtherStore { from: 2, to: 2 }),
        "{error}"
    );
    let decided = Outbox::open(both.outbox())
        .unwrap()
        .decide(&relay.address.to_string(), Verdict::Forget);
    assert!(decided.unwrap());
    queue(&client, [2]).await;
    until(async || !both.arrived().await.is_empty()).await;
    in_time(client.flush()).await.unwrap();
    assert_eq!(both.arrived().await, numbers([2]));
    client.stop().await;
    in_time(server.stop()).await;
}

/// The verdict is about what is missing. What waits without a receipt goes on, although it may have left.
#[tokio::test(flavor = "multi_thread")]
async fn to_go_on_without_what_is_missing_drops_nothing_that_waits() {
    let both = Both::new();
    let server = both.serve().await;
    let relay = Relay::to(&both.address).await;
    let through = || both.client_through(&relay);
    let client = through();
    delivered(&client, [1]).await;
    client.stop().await;
    let client = through();
    // An answer, and no receipt.
    client.queue(too_large()).await.unwrap();
    in_time(client.flush()).await.unwrap();
    relay.hold();
    queue(&client, [3]).await;
    until(async || both.arrived().await.len() == 2).await;
    client.stop().await;
    in_time(server.stop()).await;
    both.wipe_store();
    relay.let_go();
    let server = both.serve().await;
    let client = through();
    let error = in_time(client.flush()).await.unwrap_err();
    assert!(
        matches!(*error, DispatchError::Regressed { from: 1, to: 1 }),
        "{error}"
    );
    let decided = Outbox::open(both.outbox())
        .unwrap()
        .decide(&relay.address.to_string(), Verdict::Forget);
    assert!(decided.unwrap());
    until(async || !both.arrived().await.is_empty()).await;
    in_time(client.flush()).await.unwrap();
    assert_eq!(both.arrived().await, numbers([3]));
    client.stop().await;
    in_time(server.stop()).await;
}

/// The name led to a copy of yesterday, and somebody wants everything to be sent again; then the true store is back. What
/// it has comes under the identities that it knows, although the first of them are not here any more. Those that were
/// here were once queued anew.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_to_a_store_that_has_it_is_there_once() {
    let both = Both::new();
    let (old, latest) = (both.folder.path().join("old"), both.folder.path().join("latest"));
    let client = both.client();
    // Two messages of one byte.
    client.keep(250).await.unwrap();
    let server = both.serve().await;
    delivered(&client, 1..=3).await;
    in_time(server.stop()).await;
    both.save_store(&old);
    let server = both.serve().await;
    for number in 4..=7 {
        queue(&client, [number]).await;
        in_time(client.flush()).await.unwrap();
    }
    in_time(server.stop()).await;
    both.save_store(&latest);
    both.restore_store(&old);
    let server = both.serve().await;
    queue(&client, [8]).await;
    let error = in_time(client.flush()).await.unwrap_err();
    assert!(
        matches!(*error, DispatchError::Regressed { from: 4, to: 7 }),
        "{error}"
    );
    let routes = Outbox::open(both.outbox()).unwrap().routes().unwrap();
    assert_eq!(routes[0].lost_here, 2);
    client.stop().await;
    in_time(server.stop()).await;
    both.restore_store(&latest);
    decide(&both, Verdict::Resend);
    let server = both.serve().await;
    let client = both.client();
    in_time(client.flush()).await.unwrap();
    assert_eq!(both.arrived().await, numbers(1..=8));
    client.stop().await;
    in_time(server.stop()).await;
}

/// A server forgets a producer that an outbox has finished, after thirty days. When it went back later, all of that producer
/// was taken for missing, and sent again on demand.
#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_the_server_has_forgotten_is_not_missing() {
    let both = Both::new();
    let backup = both.folder.path().join("backup");
    let server = both.serve().await;
    let client = both.client();
    client.keep(1 << 20).await.unwrap();
    delivered(&client, 1..=2).await;
    client.stop().await;
    let client = both.client();
    client.keep(1 << 20).await.unwrap();
    delivered(&client, [3]).await;
    in_time(server.stop()).await;
    let rows = rusqlite::Connection::open(both.store()).unwrap();
    rows.execute("UPDATE store SET hours = hours + 1000", ()).unwrap();
    let server = both.serve().await;
    until(async || {
        let forgotten = "SELECT count(*) FROM stream WHERE kind = 2";
        rows.query_row(forgotten, (), |row| row.get::<_, i64>(0)).unwrap() == 1
    })
    .await;
    drop(rows);
    in_time(server.stop()).await;
    both.save_store(&backup);
    let server = both.serve().await;
    delivered(&client, [4]).await;
    in_time(server.stop()).await;
    both.restore_store(&backup);
    let server = both.serve().await;
    queue(&client, [5]).await;
    let error = in_time(client.flush()).await.unwrap_err();
    assert!(
        matches!(*error, DispatchError::Regressed { from: 4, to: 4 }),
        "{error}"
    );
    decide(&both, Verdict::Resend);
    until(async || both.arrived().await.len() >= 5).await;
    in_time(client.flush()).await.unwrap();
    assert_eq!(both.arrived().await, numbers(1..=5));
    client.stop().await;
    in_time(server.stop()).await;
}
