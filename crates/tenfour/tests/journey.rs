//! The way of a message, over real sockets on the loopback.

mod running;

use std::time::Duration;

use tenfour::identity::{AuthorizedKey, AuthorizedKeys, Identity, Invitations, KnownHosts, Rights};
use tenfour::proto::RefusalCode;
use tenfour::server::{Access, ServerConfig};
use tenfour::store::MemoryStore;
use tenfour::{Address, Client, ClientConfig, ConnectError, DeliveryError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use running::relay::Relay;
use running::*;

async fn join(
    address: &Address,
    secret: [u8; 32],
    config: ClientConfig,
) -> Result<(Address, String), ConnectError> {
    Client::builder(address).config(config).join(secret).await
}

#[tokio::test]
async fn messages_are_receipted_in_order_and_read_again() {
    let me = identity();
    let server = Running::start(ServerConfig::new(me.clone())).await;
    let client = connect(&server.native, client_config(&me)).await.unwrap();
    let mut sending = Vec::new();
    for n in 0..5_000 {
        sending.push(put(&client, inbox(&n.to_string())).await);
    }
    for (n, sending) in sending.into_iter().enumerate() {
        let receipt = in_time(sending).await.unwrap();
        assert_eq!((receipt.offset, receipt.sequence), (n as u64 + 1, n as u64 + 1));
        assert!(!receipt.duplicate);
    }
    in_time(client.close()).await;
    let found = in_time(bodies(&server.native, client_config(&me), "inbox")).await;
    assert_eq!(found, (0..5_000).map(|n| n.to_string()).collect::<Vec<_>>());
    in_time(server.stop()).await;
}

/// A connection that had gone silent after the last receipt was waited for half a minute more.
#[tokio::test]
async fn a_goodbye_that_is_not_heard_holds_nobody_up() {
    let me = identity();
    let server = Running::start(ServerConfig::new(me.clone())).await;
    let relay = Relay::to(&server.native).await;
    let client = connect(&relay.address, client_config(&me)).await.unwrap();
    in_time(deliver(&client, inbox("one"))).await.unwrap();
    relay.hold();
    // Less than any silence.
    tokio::time::timeout(Duration::from_secs(20), client.close())
        .await
        .unwrap();
    in_time(server.stop()).await;
}

#[tokio::test]
async fn a_large_message_is_whole_and_a_larger_one_refused_among_others() {
    let me = identity();
    let server = Running::start(ServerConfig::new(me.clone())).await;
    let client = connect(&server.native, client_config(&me)).await.unwrap();
    let large = "x".repeat(1024 * 1024);
    let (a, b, c) = (
        put(&client, inbox(&large)).await,
        put(&client, inbox(&(large.clone() + "y"))).await,
        put(&client, inbox("small")).await,
    );
    assert_eq!(in_time(a).await.unwrap().offset, 1);
    assert!(matches!(
        in_time(b).await,
        Err(DeliveryError::Refused(RefusalCode::TooLarge))
    ));
    assert_eq!(in_time(c).await.unwrap().offset, 2);
    let found = in_time(bodies(&server.native, client_config(&me), "inbox")).await;
    assert!(found == [large, "small".to_owned()]);
    in_time(server.stop()).await;
}

#[tokio::test]
async fn the_recipe() {
    let server = Running::start(ServerConfig::new(identity())).await;
    let mut stream = TcpStream::connect(server.text).await.unwrap();
    let mut greeting = [0; 18];
    stream.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"You are connected!");
    stream.write_all(b"hi\nthere").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = String::new();
    in_time(stream.read_to_string(&mut rest)).await.unwrap();
    assert_eq!(rest, "10-4 inbox 1 memory\n10-4 inbox 2 memory\n");
    in_time(server.stop()).await;
}

#[tokio::test]
async fn a_stopping_server_answers_what_it_has_and_the_client_goes_on_with_the_next() {
    let me = identity();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let open = || Box::new(tenfour::store::SqliteStore::open(&path, Default::default()).unwrap());
    let server = Running::start_on(
        &tenfour_checker::free_address().to_string(),
        open(),
        ServerConfig::new(me.clone()),
    )
    .await;
    let address = server.native.clone();
    let client = connect(&address, client_config(&me)).await.unwrap();
    let mut sent = Vec::new();
    for n in 0..2_000 {
        sent.push(put(&client, inbox(&n.to_string())).await);
    }
    in_time(server.stop()).await;
    for n in 2_000..4_000 {
        sent.push(put(&client, inbox(&n.to_string())).await);
    }
    let server = Running::start_on(&address.to_string(), open(), ServerConfig::new(me.clone())).await;
    for (n, sending) in sent.into_iter().enumerate() {
        assert_eq!(in_time(sending).await.unwrap().offset, n as u64 + 1);
    }
    in_time(client.close()).await;
    let found = in_time(bodies(&address, client_config(&me), "inbox")).await;
    assert_eq!(found, (0..4_000).map(|n| n.to_string()).collect::<Vec<_>>());
    in_time(server.stop()).await;
}

#[tokio::test]
async fn a_follower_replays_and_follows_in_one_path() {
    let me = identity();
    let server = Running::start(ServerConfig::new(me.clone())).await;
    let client = connect(&server.native, client_config(&me)).await.unwrap();
    deliver(&client, inbox("before")).await.unwrap();
    let mut reader = client.reader("inbox").follow(true).open().await.unwrap();
    assert_eq!(
        in_time(reader.try_next()).await.unwrap().unwrap().message.body,
        "before"
    );
    for n in 0..3_000 {
        let body = format!("after {n}");
        let sending = put(&client, inbox(&body)).await;
        assert_eq!(
            in_time(reader.try_next()).await.unwrap().unwrap().message.body,
            body
        );
        sending.await.unwrap();
    }
    drop(reader);
    in_time(server.stop()).await;
}

#[tokio::test]
async fn an_unknown_server_is_told_nothing_and_an_unknown_key_is_turned_away() {
    let server_key = identity();
    let me = identity();
    let server = Running::start(ServerConfig::new(server_key.clone())).await;
    let refused = in_time(connect(&server.native, client_config(&me))).await;
    assert!(
        matches!(refused, Err(ConnectError::UnknownServer { shown, .. }) if shown == server_key.fingerprint())
    );
    let folder = tempfile::tempdir().unwrap();
    let mut known = KnownHosts::load(&folder.path().join("known_hosts")).unwrap();
    known
        .trust(&server.native.to_string(), server_key.fingerprint())
        .unwrap();
    let mut config = client_config(&me);
    config.known_hosts = known.clone();
    let refused = in_time(connect(&server.native, config.clone())).await;
    let Err(ConnectError::NotAllowed { reason, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert!(reason.contains(&me.fingerprint().to_string()));
    known
        .trust(&server.native.to_string(), identity().fingerprint())
        .unwrap();
    config.known_hosts = known;
    let refused = in_time(connect(&server.native, config)).await;
    assert!(matches!(refused, Err(ConnectError::ChangedServer { .. })));
    in_time(server.stop()).await;
}

struct Guarded {
    server: Running,
    server_key: Identity,
    keys: std::path::PathBuf,
    invitations: Invitations,
    folder: tempfile::TempDir,
}

impl Guarded {
    async fn start() -> Self {
        let server_key = identity();
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("authorized_keys");
        let invitations = Invitations::new(folder.path().join("invitations"), keys.as_path());
        let mut config = ServerConfig::new(server_key.clone());
        config.access = Access::own_key_only(server_key.fingerprint())
            .with_authorized_keys(keys.as_path())
            .unwrap()
            .with_invitations(invitations.clone());
        Guarded {
            server: Running::start(config).await,
            server_key,
            keys,
            invitations,
            folder,
        }
    }

    fn config_of(&self, who: &Identity) -> ClientConfig {
        let mut known = KnownHosts::load(&self.folder.path().join("known_hosts")).unwrap();
        known.trust("127.0.0.1", self.server_key.fingerprint()).unwrap();
        let mut config = client_config(who);
        config.known_hosts = known;
        config
    }

    fn allow(&self, who: &Identity, rights: &str) {
        let key = AuthorizedKey {
            fingerprint: who.fingerprint(),
            rights: rights.parse().unwrap(),
            comment: String::new(),
        };
        AuthorizedKeys::replace(&self.keys.as_path().into(), &key).unwrap();
    }
}

#[tokio::test]
async fn rights_are_checked_for_every_send_and_read() {
    let guarded = Guarded::start().await;
    let address = guarded.server.native.clone();
    let (friend, own) = (identity(), guarded.server_key.clone());
    guarded.allow(&friend, "send=\"a,b/*\",read=a");
    let config = guarded.config_of(&friend);
    // A key that is not known makes the server look at the file again.
    let client = in_time(connect(&address, config.clone())).await.unwrap();
    let to = async |mailbox: &str| client.send(mailbox, "x").await.unwrap();
    let (a, inbox, below) = (to("a").await, to("inbox").await, to("b/c").await);
    assert!(in_time(a).await.is_ok());
    assert!(matches!(
        in_time(inbox).await,
        Err(DeliveryError::Refused(RefusalCode::NotAllowed))
    ));
    assert!(in_time(below).await.is_ok());
    assert_eq!(in_time(bodies(&address, config.clone(), "a")).await, ["x"]);
    let mut forbidden = client.reader("b/c").open().await.unwrap();
    assert!(matches!(
        in_time(forbidden.try_next()).await,
        Err(tenfour::ReaderError::NotAllowed(_))
    ));
    assert_eq!(
        in_time(bodies(&address, guarded.config_of(&own), "inbox")).await,
        [""; 0]
    );
    in_time(guarded.server.stop()).await;
}

#[tokio::test]
async fn a_removed_key_is_cut_off() {
    let guarded = Guarded::start().await;
    let friend = identity();
    let secret = guarded
        .invitations
        .invite(Rights::default(), Duration::from_secs(60))
        .unwrap();
    let address = guarded.server.native.clone();
    in_time(join(&address, secret, guarded.config_of(&friend)))
        .await
        .unwrap();
    let client = in_time(connect(&address, guarded.config_of(&friend)))
        .await
        .unwrap();
    in_time(deliver(&client, inbox("still allowed"))).await.unwrap();
    assert!(AuthorizedKeys::remove(&guarded.keys.as_path().into(), friend.fingerprint()).unwrap());
    let removed = std::time::Instant::now();
    let refused = in_time(async {
        loop {
            match deliver(&client, inbox("?")).await {
                Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                Err(error) => break error,
            }
        }
    })
    .await;
    assert!(
        removed.elapsed() < Duration::from_secs(2),
        "{:?}",
        removed.elapsed()
    );
    let DeliveryError::Failed { failure, .. } = refused else {
        panic!("{refused:?}")
    };
    assert!(
        matches!(
            *failure,
            tenfour::client::Failure::Connect(ConnectError::NotAllowed { .. })
        ),
        "{failure:?}"
    );
    in_time(guarded.server.stop()).await;
}

#[tokio::test]
async fn an_invitation_counts_once() {
    let guarded = Guarded::start().await;
    let (one, two) = (identity(), identity());
    let address = guarded.server.native.clone();
    let secret = guarded
        .invitations
        .invite("send=x".parse().unwrap(), Duration::from_secs(60))
        .unwrap();
    let (_, rights) = in_time(join(&address, secret, guarded.config_of(&one)))
        .await
        .unwrap();
    assert_eq!(rights, "send=\"x\"");
    let refused = in_time(join(&address, secret, guarded.config_of(&two))).await;
    assert!(
        matches!(refused, Err(ConnectError::Invitation { .. })),
        "{refused:?}"
    );
    let late = guarded
        .invitations
        .invite(Rights::default(), Duration::ZERO)
        .unwrap();
    let refused = in_time(join(&address, late, guarded.config_of(&two))).await;
    assert!(
        matches!(refused, Err(ConnectError::Invitation { .. })),
        "{refused:?}"
    );
    in_time(guarded.server.stop()).await;
}

#[tokio::test]
async fn under_one_id_the_later_process_wins_and_the_same_content_is_stored_once() {
    let me = identity();
    let server = Running::start(ServerConfig::new(me.clone())).await;
    let mut config = client_config(&me);
    config.id = Some("backup-7".to_owned());
    let address = server.native.clone();
    let first = connect(&address, config.clone()).await.unwrap();
    in_time(deliver(&first, inbox("one"))).await.unwrap();
    let second = connect(&address, config).await.unwrap();
    assert!(in_time(deliver(&second, inbox("one"))).await.unwrap().duplicate);
    assert!(matches!(
        in_time(deliver(&second, inbox("two"))).await,
        Ok(receipt) if receipt.offset == 2 && !receipt.duplicate
    ));
    let Err(DeliveryError::Failed { failure, .. }) = in_time(deliver(&first, inbox("uno"))).await else {
        panic!()
    };
    assert!(matches!(*failure, tenfour::client::Failure::TakenOver));
    in_time(server.stop()).await;
}

#[tokio::test]
async fn another_store_under_the_same_name_gets_nothing() {
    let me = identity();
    let server = Running::start(ServerConfig::new(me.clone())).await;
    let address = server.native.clone();
    let client = connect(&address, client_config(&me)).await.unwrap();
    in_time(deliver(&client, inbox("one"))).await.unwrap();
    in_time(server.stop()).await;
    let other = Box::new(MemoryStore::default());
    let server = Running::start_on(&address.to_string(), other, ServerConfig::new(me.clone())).await;
    let Err(DeliveryError::Failed { failure, .. }) = in_time(deliver(&client, inbox("two"))).await else {
        panic!()
    };
    // Its disk may have been wiped: what the first one gave a receipt for is not there.
    assert!(
        matches!(*failure, tenfour::client::Failure::Regressed(it) if it.receipted == 1 && it.first != it.now),
        "{failure:?}"
    );
    assert!(
        in_time(bodies(&address, client_config(&me), "inbox"))
            .await
            .is_empty()
    );
    in_time(server.stop()).await;
}

#[tokio::test]
async fn the_wrong_listener_says_so() {
    let me = identity();
    let server = Running::start(ServerConfig::new(me.clone())).await;
    let text = Address::from_ip(server.text.ip(), server.text.port());
    let refused = in_time(connect(&text, client_config(&me))).await;
    assert!(
        matches!(refused, Err(ConnectError::TextListener(_))),
        "{refused:?}"
    );
    let mut plain = TcpStream::connect(("127.0.0.1", server.native.port()))
        .await
        .unwrap();
    plain.write_all(b"hello, are you there?\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = in_time(plain.read_to_end(&mut answer)).await;
    assert!(!answer.starts_with(b"10-4"));
    in_time(server.stop()).await;
}

#[tokio::test]
async fn a_full_store_pauses_the_client_until_its_deadline() {
    let me = identity();
    let server = Running::start_on(
        "127.0.0.1:0",
        Box::new(MemoryStore::new(2_000)),
        ServerConfig::new(me.clone()),
    )
    .await;
    let mut config = client_config(&me);
    config.timeout = Duration::from_secs(2);
    let client = connect(&server.native, config).await.unwrap();
    in_time(deliver(&client, inbox(&"x".repeat(1_500))))
        .await
        .unwrap();
    let Err(DeliveryError::Failed { stored, failure }) =
        in_time(deliver(&client, inbox(&"y".repeat(1_500)))).await
    else {
        panic!()
    };
    assert_eq!(stored, tenfour::client::MaybeStored::No);
    assert!(matches!(
        *failure,
        tenfour::client::Failure::Deadline {
            paused: Some(tenfour::proto::TemporaryCode::Full),
            ..
        }
    ));
    in_time(server.stop()).await;
}
