//! Consumers: whoever handles a message may take as long as it takes, and what was said is not lost.

mod running;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tenfour::server::ServerConfig;
use tenfour::{Client, Consumer, Item, ReaderError, Reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use running::relay::Relay;
use running::*;

/// After two of them without a word a peer is cut.
const HEARTBEAT: Duration = Duration::from_millis(150);

/// A server, a client of it, and what makes more of those.
async fn served() -> (Running, tenfour::identity::Identity, Client) {
    let me = identity();
    let mut config = ServerConfig::new(me.clone());
    config.limits.heartbeat = HEARTBEAT;
    let server = Running::start(config).await;
    let client = connect(&server.native, client_config(&me)).await.unwrap();
    (server, me, client)
}

async fn consumer(client: &Client) -> Consumer {
    client
        .consumer("inbox", "worker")
        .retries(0)
        .open()
        .await
        .unwrap()
}

async fn letters(server: &Running, me: &tenfour::identity::Identity) -> usize {
    in_time(bodies(&server.native, client_config(me), "dead/worker"))
        .await
        .len()
}

/// The connection of a consumer lived only while it was polled: a handler that took longer than two heartbeats was cut off,
/// its message went to the other reader, who was cut off as well, and in the end to the dead letters.
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_takes_long_keeps_its_message() {
    let (server, me, client) = served().await;
    let other = connect(&server.native, client_config(&me)).await.unwrap();
    let (mut one, mut two) = (consumer(&client).await, consumer(&other).await);
    deliver(&client, inbox("slow")).await.unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    let handle = async |consumer: &mut Consumer| {
        let delivery = consumer.try_next().await.unwrap().unwrap();
        runs.fetch_add(1, Ordering::Relaxed);
        // Nothing is polled meanwhile.
        tokio::time::sleep(HEARTBEAT * 8).await;
        delivery.ack().await.unwrap();
    };
    in_time(async {
        tokio::select! {
            () = handle(&mut one) => {}
            () = handle(&mut two) => {}
        }
    })
    .await;
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    assert_eq!(letters(&server, &me).await, 0);
    drop((one, two));
    in_time(server.stop()).await;
}

/// What was said went out only while the consumer was awaited: whoever said *done* and went away had said nothing.
#[tokio::test]
async fn what_is_said_arrives_though_nobody_waits_for_it() {
    let (server, me, client) = served().await;
    for body in ["one", "two", "three"] {
        deliver(&client, inbox(body)).await.unwrap();
    }
    let mut first = consumer(&client).await;
    let one = in_time(first.try_next()).await.unwrap().unwrap();
    drop(one.ack());
    // Nothing is said of the second, and nobody has taken the third.
    drop(in_time(first.try_next()).await.unwrap().unwrap());
    in_time(first.close()).await.unwrap();
    in_time(client.close()).await;
    let client = connect(&server.native, client_config(&me)).await.unwrap();
    let mut second = client
        .consumer("inbox", "worker")
        .retry_for_ever()
        .drain()
        .open()
        .await
        .unwrap();
    let mut bodies = Vec::new();
    while let Some(delivery) = in_time(second.try_next()).await.unwrap() {
        bodies.push((delivery.message.body.clone(), delivery.attempts));
        drop(delivery.ack());
    }
    bodies.sort();
    assert_eq!(bodies, [("three".into(), 0), ("two".into(), 1)]);
    in_time(server.stop()).await;
}

/// Whoever holds the message may outlive both the consumer and the connection.
#[tokio::test]
async fn what_is_done_after_its_consumer_has_gone_is_saved_over_the_next_connection() {
    let (server, me, client) = served().await;
    let relay = Relay::to(&server.native).await;
    let through = connect(&relay.address, client_config(&me)).await.unwrap();
    deliver(&client, inbox("one")).await.unwrap();
    let mut first = consumer(&through).await;
    let one = in_time(first.try_next()).await.unwrap().unwrap();
    in_time(one.begun()).await.unwrap();
    drop(first);
    relay.lose();
    in_time(one.ack()).await.unwrap();
    let mut second = client.consumer("inbox", "worker").drain().open().await.unwrap();
    assert!(in_time(second.try_next()).await.unwrap().is_none());
    drop((second, through));
    in_time(server.stop()).await;
}

#[tokio::test]
async fn one_client_sends_asks_looks_reads_and_consumes_over_one_connection() {
    let (server, me, client) = served().await;
    let mut consumer = consumer(&client).await;
    let asking = client.clone();
    let asked = tokio::spawn(async move { asking.ask("inbox", "what?").await.unwrap().1 });
    let question = in_time(consumer.try_next()).await.unwrap().unwrap();
    question.reply(Reply::new("that")).await.unwrap();
    assert_eq!(in_time(asked).await.unwrap(), Reply::new("that"));
    let rows = in_time(client.status()).await.unwrap();
    assert_eq!(rows.iter().filter(|row| row.kind == "connection").count(), 1);
    // A connection has one read at a time: this one has another.
    let mut reader = client.reader("inbox").open().await.unwrap();
    assert_eq!(
        in_time(reader.try_next()).await.unwrap().unwrap().message.body,
        "what?"
    );
    assert_eq!(in_time(reader.try_next()).await.unwrap(), None);
    // Once the consumer has gone, its place is free for the next one, and the client still sends.
    in_time(consumer.close()).await.unwrap();
    deliver(&client, inbox("on")).await.unwrap();
    let mut again = client.reader("inbox").open().await.unwrap();
    let mut bodies = Vec::new();
    while let Some(item) = in_time(again.try_next()).await.unwrap() {
        bodies.push(item.message.body);
    }
    assert_eq!(bodies, ["what?", "on"]);
    drop((reader, again));
    in_time(client.close()).await;
    let _ = me;
    in_time(server.stop()).await;
}

/// A deadline ends the stream; whoever reads on the same connection goes on.
#[tokio::test]
async fn a_stream_that_ends_does_not_take_the_reader_with_it() {
    let (server, me, _) = served().await;
    let relay = Relay::to(&server.native).await;
    let mut config = client_config(&me);
    config.timeout = Duration::from_secs(1);
    let client = connect(&relay.address, config).await.unwrap();
    let mut consumer = consumer(&client).await;
    deliver(&client, inbox("before")).await.unwrap();
    drop(in_time(consumer.try_next()).await.unwrap().unwrap().ack());
    relay.hold();
    assert!(in_time(deliver(&client, inbox("lost"))).await.is_err());
    relay.let_go();
    let other = connect(&server.native, client_config(&me)).await.unwrap();
    deliver(&other, inbox("after")).await.unwrap();
    loop {
        let delivery = in_time(consumer.try_next()).await.unwrap().unwrap();
        let body = delivery.message.body.clone();
        drop(delivery.ack());
        if body == "after" {
            break;
        }
    }
    drop(consumer);
    in_time(server.stop()).await;
}

#[tokio::test]
async fn a_client_handles_as_a_server_does() {
    let (server, me, client) = served().await;
    let worker = connect(&server.native, client_config(&me)).await.unwrap();
    let handling = tokio::spawn(async move {
        let upper = |item: Item| async move {
            Ok::<_, std::io::Error>(Reply::new(item.message.body.to_ascii_uppercase()))
        };
        worker.handle("inbox", "upper", upper).await
    });
    for n in 0..50 {
        let (_, reply) = in_time(client.ask("inbox", format!("q{n}"))).await.unwrap();
        assert_eq!(reply, Reply::new(format!("Q{n}")));
    }
    handling.abort();
    in_time(client.close()).await;
    in_time(server.stop()).await;
}

/// A server of another version, or one that takes our words for a breach of the protocol, was asked again for ever, in
/// silence.
#[tokio::test]
async fn what_does_not_pass_is_not_tried_again() {
    let (server, me, _) = served().await;
    let relay = Relay::to(&server.native).await;
    let client = reading(&relay.address, client_config(&me)).await;
    let mut reader = client.reader("inbox").follow(true).open().await.unwrap();
    let mut consumer = reading(&relay.address, client_config(&me))
        .await
        .consumer("inbox", "worker")
        .open()
        .await
        .unwrap();
    // What answers there from now on has another key.
    let stranger = Running::start(ServerConfig::new(identity())).await;
    relay.lead_to(&stranger.native);
    relay.lose();
    for error in [
        in_time(reader.try_next()).await.unwrap_err(),
        in_time(consumer.try_next()).await.unwrap_err(),
    ] {
        assert!(
            matches!(&error, ReaderError::Connect(error) if !error.is_temporary()),
            "{error:?}"
        );
    }
    in_time(server.stop()).await;
    in_time(stranger.stop()).await;
}

/// The text listener answers where the native one was: that is no server of ours, and said.
#[tokio::test]
async fn a_listener_of_another_kind_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tenfour::Address::from_ip([127, 0, 0, 1].into(), listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"You are connected!").await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    });
    let client = Client::builder(&address)
        .config(client_config(&identity()))
        .without_sending();
    let error = in_time(client.connect()).await.unwrap_err();
    assert_eq!(error.reason(), "that is the text listener");
    assert_eq!(error.address(), Some(&address));
}
