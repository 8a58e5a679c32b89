//! Machines that get to know each other, as people name them.

mod support;

use support::Home;

/// A guest of a server, and what it says.
fn invited(server: &Home, options: &[&str]) -> String {
    server
        .run(&[&["invite"], options].concat())
        .ok()
        .trim()
        .to_owned()
}

/// `join` learned an address, and `send NAME` ended with 76.
#[test]
fn who_has_joined_may_call_the_server_by_its_name() {
    let (home, guest) = (Home::new(), Home::new());
    let served = home.serve();
    let port = served.native.rsplit(':').next().unwrap();
    let token = invited(&home, &["--address", &served.native]);
    let named = format!("localhost:{port}");
    let said = guest.run(&["join", &token, &named]);
    assert!(
        said.stderr.contains(&format!("tenfour send {named}")),
        "{}",
        said.stderr
    );
    said.ok();
    for name in [&named, &served.native] {
        guest.run(&["send", name, "hello"]).ok();
    }
    // The machine's own name is in the token.
    let hosts = std::fs::read_to_string(guest.path().join("known_hosts")).unwrap();
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert!(
        own.trim().is_empty() || own.starts_with("localhost") || hosts.contains(own.trim()),
        "{hosts}"
    );
}

#[test]
fn a_key_that_is_known_by_another_name_is_said_so() {
    let (home, guest) = (Home::new(), Home::new());
    let served = home.serve();
    let port = served.native.rsplit(':').next().unwrap();
    let other = format!("localhost:{port}");
    // A server that was never seen: the first word is how to be let in.
    let hint = guest.run(&["send", &other, "x"]).failed(76, "").stderr;
    let hint = hint.split("hint: ").nth(1).unwrap();
    assert!(hint.starts_with("on the server: tenfour invite"), "{hint}");
    guest
        .run(&["keys", "trust", &served.native, &home.fingerprint()])
        .ok();
    guest
        .run(&["send", &other, "x"])
        .failed(76, &format!("known here as {}", served.native));
}

/// A typing error, or somebody between, replaced the key that had been compared.
#[test]
fn another_key_for_a_known_name_is_no_accident() {
    let guest = Home::new();
    let (one, two) = (Home::new().fingerprint(), Home::new().fingerprint());
    guest.run(&["keys", "trust", "a", &one]).ok();
    guest.run(&["keys", "trust", "a", &one]).ok();
    guest.run(&["keys", "trust", "a", &two]).failed(76, "--replace");
    assert_eq!(guest.run(&["keys", "list"]).ok(), format!("trusted a {one}\n"));
    guest.run(&["keys", "trust", "a", &two, "--replace"]).ok();
    assert_eq!(guest.run(&["keys", "list"]).ok(), format!("trusted a {two}\n"));
}

/// `keys allow` replaced what the key could do, and `keys list` printed lines that let it in without its limits when they
/// were copied.
#[test]
fn what_a_key_may_do_grows_and_is_listed_as_it_is_typed() {
    let home = Home::new();
    let key = Home::new().fingerprint();
    let allow = |options: &[&str]| home.run(&[&["keys", "allow", &key], options].concat()).ok();
    let listed = || home.run(&["keys", "list"]).ok();
    allow(&["send=logs/*", "from=10.0.0.0/8", "--comment", "web"]);
    assert_eq!(
        listed(),
        format!("allowed send=\"logs/*\",from=\"10.0.0.0/8\" {key} web\n")
    );
    // What is not named stays: the comment, the limit, and that it may not send to the inbox.
    allow(&["read=inbox"]);
    assert_eq!(
        listed(),
        format!("allowed send=\"logs/*\",read=\"inbox\",from=\"10.0.0.0/8\" {key} web\n")
    );
    let line = listed();
    std::fs::write(
        home.path().join("authorized_keys"),
        line.strip_prefix("allowed ").unwrap(),
    )
    .unwrap();
    assert_eq!(listed(), line);
    allow(&["--replace"]);
    assert_eq!(listed(), format!("allowed send=\"inbox\" {key}\n"));
}

#[test]
fn an_invitation_never_takes_anything_away() {
    let (home, guest) = (Home::new(), Home::new());
    let served = home.serve();
    home.run(&[
        "keys",
        "allow",
        &guest.fingerprint(),
        "send=*",
        "read=*",
        "--comment",
        "the old one",
    ])
    .ok();
    let token = invited(&home, &["--address", &served.native]);
    guest.run(&["join", &token]).ok();
    let listed = home.run(&["keys", "list"]).ok();
    assert!(
        listed.contains("send=\"*") && listed.contains("read=\"*\""),
        "{listed}"
    );
    guest.run(&["send", &served.at("anywhere"), "still"]).ok();
}

#[test]
fn what_is_said_can_be_typed() {
    let (home, guest) = (Home::new(), Home::new());
    let served = home.serve();
    let said = home.run(&["invite", "--address", &served.native, "--for", "30s"]);
    assert!(said.stderr.contains("for 30 s"), "{}", said.stderr);
    guest.run(&["join", said.ok().trim()]).ok();
    let (key, elsewhere) = (guest.fingerprint(), served.at("logs"));
    guest
        .run(&["send", &elsewhere, "x"])
        .failed(77, &format!("tenfour keys allow {key} send=logs"));
    guest
        .run(&["tail", &elsewhere])
        .failed(77, &format!("tenfour keys allow {key} read=logs"));
    // What is refused is seen.
    served.log.wait_for("messages were refused");
    let status = home.run(&["status", &served.native, "--json"]).ok();
    assert!(
        status.contains(r#""refused","count":1"#) || status.contains("\"refused\""),
        "{status}"
    );
}

#[cfg(unix)]
#[test]
fn rights_that_others_may_write_let_nobody_in() {
    use std::os::unix::fs::PermissionsExt;
    let (home, guest) = (Home::new(), Home::new());
    let served = home.serve();
    home.run(&["keys", "allow", &guest.fingerprint()]).ok();
    guest
        .run(&["keys", "trust", &served.native, &home.fingerprint()])
        .ok();
    guest.run(&["send", &served.native, "x"]).ok();
    let keys = home.path().join("authorized_keys");
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o666)).unwrap();
    support::wait_for("nobody to be let in", || {
        guest.run(&["send", &served.native, "x", "--timeout", "1s"]).code == Some(77)
    });
    home.run(&["keys", "list"]).failed(1, "chmod go-w");
}

/// The first address took the connection and said nothing, and the deadline was over before the second was tried.
#[test]
fn a_first_address_that_is_silent_or_wrong_costs_little() {
    let (home, guest) = (Home::new(), Home::new());
    let served = home.serve_with(&["--datagram", "off"]);
    let port: u16 = served.native.rsplit(':').next().unwrap().parse().unwrap();
    // `localhost` is [::1] first.
    let silent = std::net::TcpListener::bind(("::1", port)).unwrap();
    let name = format!("localhost:{port}");
    guest.run(&["keys", "trust", &name, &home.fingerprint()]).ok();
    home.run(&["keys", "allow", &guest.fingerprint()]).ok();
    guest
        .run(&["send", &name, "past a silent one", "--timeout", "5s"])
        .ok();
    drop(silent);
    // Another server there has another key.
    let other = Home::new();
    let native = format!("[::1]:{port}");
    let _wrong = other.serve_with(&["--native", &native, "--datagram", "off"]);
    guest
        .run(&["send", &name, "past a wrong one", "--timeout", "5s"])
        .ok();
    assert_eq!(
        support::mailbox(&home, &served.native),
        ["past a silent one", "past a wrong one"]
    );
}

/// The same for datagrams.
#[test]
fn a_datagram_tries_all_addresses() {
    let home = Home::new();
    let served = home.serve();
    let port: u16 = served.datagram.rsplit(':').next().unwrap().parse().unwrap();
    let _silent = std::net::UdpSocket::bind(("::1", port)).unwrap();
    let url = format!("udp://localhost:{port}");
    home.run(&["send", &url, "past a silent one", "--timeout", "5s"])
        .ok();
    assert_eq!(support::mailbox(&home, &served.native), ["past a silent one"]);
}
