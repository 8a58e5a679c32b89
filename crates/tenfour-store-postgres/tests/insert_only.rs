//! What a commit touches is inserted, and never updated: a snapshot that stays open for long would leave the old versions of rows
//! lying, and each commit would have to look past them.

use tenfour_proto::native::ProducerKind;
use tenfour_proto::{Listener, MailboxName, Message, ProducerId, Sender, Source};
use tenfour_store::{Batch, BatchOutcome, Claim, Claimant, Store};
use tenfour_store_postgres::{Address, Demand, PostgresOptions, PostgresStore, init};

#[test]
fn a_commit_updates_nothing() {
    let Some(cluster) = tenfour_test_postgres::shared() else {
        return;
    };
    let database = cluster.new_database();
    let address: Address = cluster.url(&database).parse().unwrap();
    init(&address).unwrap();
    let options = PostgresOptions {
        demand: Demand::Disk,
        ..PostgresOptions::default()
    };
    let mut store = PostgresStore::open(&address, options).unwrap();
    let producer = ProducerId::of_key("s");
    let by = Claimant {
        process: [1; 16],
        attempt: 1,
        kind: ProducerKind::OneShot,
    };
    let Claim::Held { epoch, .. } = store.claim(&Sender::Anonymous, producer, &by).unwrap() else {
        panic!("nobody else claims it")
    };
    for sequence in 1..=200 {
        let batch = Batch {
            sender: Sender::Anonymous,
            producer: Some((producer, ProducerKind::OneShot)),
            epoch,
            source: Source {
                listener: Listener::Native,
                address: None,
            },
            messages: vec![(sequence, Message::new(MailboxName::inbox(), "x"))],
        };
        let outcome = store.deposit(&[batch], 1).unwrap().remove(0);
        assert!(matches!(outcome, BatchOutcome::Settled(_)));
    }
    // The server's counts are written down when the session ends.
    drop(store);
    let counts =
        "SELECT pg_stat_force_next_flush(); SELECT relname, n_tup_ins, n_tup_upd FROM pg_stat_user_tables
        WHERE relname IN ('mailbox', 'pack', 'run', 'stream') ORDER BY relname";
    let mut found = String::new();
    for _ in 0..100 {
        found = cluster.sql(&database, counts);
        if found.contains("pack|200|0") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let lines: Vec<&str> = found.lines().filter(|line| line.contains('|')).collect();
    assert_eq!(lines, ["mailbox|1|0", "pack|200|0", "run|200|0", "stream|1|0"]);
}
