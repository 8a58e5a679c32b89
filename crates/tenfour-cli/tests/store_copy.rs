//! From one machine to many, and back: `tenfour store copy`, and backups of a store that many share.

mod support;

use support::{Home, SERVE, Served, mailbox};
use tenfour_test_postgres::Cluster;

fn serve(home: &Home, store: &str) -> Served {
    home.serve_with(&["--store", store, "--durability", "disk"])
}

/// A database without a store, and a path without a file; `None` where there is no PostgreSQL.
fn places(home: &Home) -> Option<(&'static Cluster, String, String)> {
    let cluster = tenfour_test_postgres::shared()?;
    let url = cluster.url(&cluster.new_database());
    let file = home.path().join("moved.db").to_str().unwrap().to_owned();
    Some((cluster, url, file))
}

/// A guest sends with an id before, between and after: nothing of it is there twice, and it need not know.
#[test]
fn a_store_moves_to_a_database_and_back_and_senders_notice_nothing() {
    let (home, guest) = (Home::new(), Home::new());
    let Some((_, url, file)) = places(&home) else {
        return;
    };
    let own = home.path().join("store.db");
    let own = own.to_str().unwrap();
    let served = home.serve();
    guest
        .run(&["keys", "trust", &served.native, &home.fingerprint()])
        .ok();
    home.run(&["keys", "allow", &guest.fingerprint()]).ok();
    let address = served.native.clone();
    guest.run(&["send", &address, "one", "--id", "x"]).ok();
    guest.run(&["send", &address, "two"]).ok();
    let received = home.run(&["receive", &address, "--as", "w", "--count", "1"]).ok();
    assert_eq!(received.trim(), "one");
    home.run(&["store", "copy", own, &url])
        .failed(1, "stop the server first");
    assert_eq!(served.stop(), Some(0));
    let said = home.run(&["store", "copy", own, &url]);
    assert!(said.stderr.contains("2 messages in 1 mailbox"), "{}", said.stderr);
    assert!(said.stderr.contains("with the rights"), "{}", said.stderr);
    said.ok();
    home.run(&["store", "copy", own, &url])
        .failed(1, "has a store already");

    let served = home.serve_with(&["--store", &url, "--durability", "disk", "--native", &address]);
    guest.run(&["send", &address, "one", "--id", "x"]).ok();
    guest.run(&["send", &address, "three"]).ok();
    assert_eq!(mailbox(&home, &address), ["one", "two", "three"]);
    let received = home.run(&["receive", &address, "--as", "w", "--count", "1"]).ok();
    assert_eq!(received.trim(), "two");
    home.run(&["store", "copy", &url, &file]).failed(1, "is served");
    assert_eq!(served.stop(), Some(0));
    home.run(&["store", "copy", &url, &file]).ok();
    home.run(&["store", "copy", &url, &file])
        .failed(1, "is there already");
    home.run(&["check", &file]).ok();

    let served = home.serve_with(&["--store", &file, "--native", &address]);
    guest.run(&["send", &address, "one", "--id", "x"]).ok();
    assert_eq!(mailbox(&home, &address), ["one", "two", "three"]);
    let received = home.run(&["receive", &address, "--as", "w", "--count", "1"]).ok();
    assert_eq!(received.trim(), "three");
    drop(served);
}

/// Rights that are here already are somebody's; they are not replaced without a word.
#[test]
fn rights_come_with_a_store_from_a_database_where_there_are_none() {
    let (home, away) = (Home::new(), Home::new());
    let Some((_, url, file)) = places(&home) else {
        return;
    };
    home.run(&["store", "init", &url]).ok();
    let guest = Home::new().fingerprint();
    home.run(&["keys", "allow", &guest, "read=logs", "--store", &url])
        .ok();
    away.run(&["store", "copy", &url, &file]).ok();
    let listed = away.run(&["keys", "list"]).ok();
    assert!(
        listed.contains(&guest) && listed.contains("read=\"logs\""),
        "{listed}"
    );
    std::fs::remove_file(&file).unwrap();
    let other = Home::new().fingerprint();
    home.run(&["keys", "allow", &other]).ok();
    let said = home.run(&["store", "copy", &url, &file]);
    assert!(said.stderr.contains("stays as it is"), "{}", said.stderr);
    said.ok();
    let listed = home.run(&["keys", "list"]).ok();
    assert!(listed.contains(&other) && !listed.contains(&guest), "{listed}");
    // From file to file they lie where they lay.
    let second = home.path().join("second.db");
    home.run(&["store", "copy", &file, second.to_str().unwrap()]).ok();
    home.run(&["check", second.to_str().unwrap()]).ok();
}

#[test]
fn what_cannot_be_copied_is_said_and_leaves_nothing() {
    let home = Home::new();
    let Some((cluster, url, file)) = places(&home) else {
        return;
    };
    home.run(&["store", "copy", "nothing.db", &url])
        .failed(1, "cannot open `nothing.db`");
    home.run(&["store", "copy", "memory", &url])
        .failed(2, "in memory");
    home.run(&["store", "copy", &url, &file])
        .failed(1, "has no store");
    home.run(&["store", "copy", &cluster.url("nowhere"), &file])
        .failed(1, "does not exist");
    std::fs::write(home.path().join("strange.db"), "nothing of ours").unwrap();
    let strange = home.path().join("strange.db");
    home.run(&["store", "copy", strange.to_str().unwrap(), &url])
        .failed(1, "is not a tenfour store");
    // Damage is not copied as if it were sound.
    let served = home.serve();
    home.run(&["send", &served.native, "rots away"]).ok();
    assert_eq!(served.stop(), Some(0));
    let own = home.path().join("store.db");
    let bytes = std::fs::read(&own).unwrap();
    let at = bytes
        .windows(9)
        .position(|window| window == b"rots away")
        .unwrap();
    let mut rotten = bytes.clone();
    rotten[at] ^= 1;
    std::fs::write(&own, rotten).unwrap();
    home.run(&["store", "copy", own.to_str().unwrap(), &url])
        .failed(1, "inbox #1 is damaged");
    home.run(&[&SERVE[..], &["--store", &url, "--durability", "disk"]].concat())
        .failed(1, "tenfour store init");
    let left: Vec<String> = std::fs::read_dir(home.path())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("part") || name.contains("moved"))
        .collect();
    assert_eq!(left, [""; 0]);
}

/// A backup of a store that many share is a store in a file, as it was at one moment.
#[test]
fn a_backup_of_a_shared_store_is_a_store() {
    let home = Home::new();
    let Some((_, url, file)) = places(&home) else {
        return;
    };
    home.run(&["store", "init", &url]).ok();
    let served = serve(&home, &url);
    home.run(&["send", &served.native, "one", "--id", "x"]).ok();
    home.run(&["send", &served.at("logs"), "two"]).ok();
    let said = home.run(&["backup", &file, &served.native]);
    assert!(
        said.stderr.contains("2 messages in 2 mailboxes"),
        "{} {:?}",
        said.stderr,
        served.log.all()
    );
    said.ok();
    home.run(&["send", &served.native, "later"]).ok();
    home.run(&["check", &file]).ok();
    let restored = home.serve_with(&["--store", &file]);
    home.run(&["send", &restored.native, "one", "--id", "x"]).ok();
    assert_eq!(mailbox(&home, &restored.native), ["one"]);
    assert_eq!(mailbox(&home, &restored.at("logs")), ["two"]);
    let copies = std::fs::read_dir(home.path()).unwrap();
    let copies = copies.filter(|file| {
        let name = file.as_ref().unwrap().file_name();
        name.to_string_lossy().contains("copy-")
    });
    assert_eq!(copies.count(), 0, "a copy was left");
}
