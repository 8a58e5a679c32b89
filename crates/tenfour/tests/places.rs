//! A place in a mailbox is more than an offset: after a restore, or in another store, offsets come again with other
//! messages. Nobody may take the one for the other.

mod running;

use tenfour::store::MemoryStore;
use tenfour::{Client, Delivery, ReadFrom, ReaderError, Reply, server::ServerConfig};

use running::both::*;
use running::relay::Relay;
use running::*;

async fn next(consumer: &mut tenfour::Consumer) -> Delivery {
    in_time(consumer.try_next()).await.unwrap().unwrap()
}

fn text(item: &tenfour::Item) -> &str {
    std::str::from_utf8(&item.message.body).unwrap()
}

/// A server with one message in its store, a copy of that store, and a client that reads there.
async fn with_a_backup() -> (Both, Running, Client) {
    let both = Both::new();
    let server = both.serve().await;
    let sender = connect(&both.address, client_config(&both.me)).await.unwrap();
    deliver(&sender, inbox("first")).await.unwrap();
    in_time(sender.close()).await;
    in_time(server.stop()).await;
    both.save_store(&both.folder.path().join("backup"));
    let server = both.serve().await;
    let reader = reading(&both.address, client_config(&both.me)).await;
    (both, server, reader)
}

async fn send(both: &Both, messages: &[&str]) {
    let sender = connect(&both.address, client_config(&both.me)).await.unwrap();
    for body in messages {
        deliver(&sender, inbox(body)).await.unwrap();
    }
    in_time(sender.close()).await;
}

/// The copy is restored, and messages come under the offsets that others had.
async fn restore(both: &Both, server: Running, messages: &[&str]) -> Running {
    in_time(server.stop()).await;
    both.restore_store(&both.folder.path().join("backup"));
    let server = both.serve().await;
    send(both, messages).await;
    server
}

/// What was done under old offsets marked the new messages as handled: nobody ever saw them.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_before_a_restore_is_not_done_after_it() {
    let (both, server, client) = with_a_backup().await;
    let mut consumer = client.consumer("inbox", "worker").open().await.unwrap();
    in_time(next(&mut consumer).await.ack()).await.unwrap();
    send(&both, &["old 2", "old 3"]).await;
    let old = [next(&mut consumer).await, next(&mut consumer).await];
    let server = restore(&both, server, &["new 2", "new 3"]).await;
    // The backup has the first message as not done: it comes again.
    let first = next(&mut consumer).await;
    assert_eq!(text(&first), "first");
    for delivery in old {
        assert!(text(&delivery).starts_with("old"));
        drop(delivery.ack());
    }
    for body in ["new 2", "new 3"] {
        let delivery = next(&mut consumer).await;
        assert_eq!(
            (delivery.offset, text(&delivery)),
            (first.offset + 1 + u64::from(body == "new 3"), body)
        );
        in_time(delivery.ack()).await.unwrap();
    }
    drop((first, consumer));
    in_time(server.stop()).await;
}

/// `ask` printed the reply to somebody else's question.
#[tokio::test(flavor = "multi_thread")]
async fn a_reply_does_not_reach_the_question_that_came_in_the_place_of_another() {
    let me = identity();
    let address = tenfour_checker::free_address().to_string();
    let serve = async || {
        let config = ServerConfig::new(me.clone());
        Running::start_on(&address, Box::new(MemoryStore::default()), config).await
    };
    let ask = |server: &Running, question: &'static str| {
        let (address, config) = (server.native.clone(), client_config(&me));
        tokio::spawn(async move {
            let asker = connect(&address, config).await.unwrap();
            asker.ask("inbox", question).await
        })
    };
    let server = serve().await;
    let client = reading(&server.native, client_config(&me)).await;
    let mut consumer = client.consumer("inbox", "worker").open().await.unwrap();
    let nobody = ask(&server, "old");
    let old = next(&mut consumer).await;
    nobody.abort();
    in_time(server.stop()).await;
    let server = serve().await;
    let asked = ask(&server, "new");
    let new = next(&mut consumer).await;
    assert_eq!((old.offset, new.offset, text(&new)), (1, 1, "new"));
    drop(old.reply(Reply::new("to the old one")));
    drop(new.reply(Reply::new("to the new one")));
    let (_, reply) = in_time(asked).await.unwrap().unwrap();
    assert_eq!(reply.body, "to the new one");
    in_time(consumer.close()).await.unwrap();
    in_time(server.stop()).await;
}

/// It waited in silence beyond the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_is_told_that_the_server_went_back() {
    for new in [&["new 2", "new 3", "new 4"][..], &[]] {
        let (both, server, client) = with_a_backup().await;
        send(&both, &["old 2"]).await;
        let mut reader = client.reader("inbox").follow(true).open().await.unwrap();
        for body in ["first", "old 2"] {
            assert_eq!(text(&in_time(reader.try_next()).await.unwrap().unwrap()), body);
        }
        let server = restore(&both, server, new).await;
        let error = in_time(reader.try_next()).await.unwrap_err();
        // It may come back before all of the new messages do.
        let ends = 1..=1 + new.len() as u64;
        assert!(
            matches!(&error, ReaderError::Regressed { last, .. } if ends.contains(last)),
            "{error}"
        );
        in_time(server.stop()).await;
    }
}

/// It asked again for what comes from now on, and lost what had come while it was away.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_has_seen_nothing_loses_nothing() {
    let (both, server, _) = with_a_backup().await;
    let relay = Relay::to(&both.address).await;
    let client = reading(&relay.address, client_config(&both.me)).await;
    let reader = client.reader("inbox").from(ReadFrom::Last(0)).follow(true);
    let mut reader = reader.open().await.unwrap();
    // Nothing of the server's reaches it any more.
    relay.hold();
    send(&both, &["while it is away"]).await;
    relay.lose();
    relay.let_go();
    send(&both, &["later"]).await;
    for body in ["while it is away", "later"] {
        assert_eq!(text(&in_time(reader.try_next()).await.unwrap().unwrap()), body);
    }
    in_time(server.stop()).await;
}

#[tokio::test]
async fn a_read_from_beyond_the_end_says_so() {
    let (both, server, client) = with_a_backup().await;
    let reader = client.reader("inbox").from(ReadFrom::Offset(2)).open().await;
    assert!(
        in_time(reader.unwrap().try_next()).await.unwrap().is_none(),
        "directly behind the last one is its end"
    );
    for follow in [false, true] {
        let reader = client.reader("inbox").from(ReadFrom::Offset(3)).follow(follow);
        let error = in_time(reader.open().await.unwrap().try_next())
            .await
            .unwrap_err();
        assert!(matches!(error, ReaderError::Regressed { last: 1, .. }), "{error}");
    }
    let consumer = client
        .consumer("inbox", "new")
        .from(ReadFrom::Offset(3))
        .open()
        .await;
    let error = in_time(consumer.unwrap().try_next()).await.unwrap_err();
    assert!(matches!(error, ReaderError::Regressed { last: 1, .. }), "{error}");
    drop(both);
    in_time(server.stop()).await;
}
