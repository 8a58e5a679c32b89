//! Datagrams: the recipe's connectionless pair, receipts, and what gets none.

mod support;

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};

use support::network::in_a_network_of_its_own;
use support::{Home, Lines, Served, compiled, mailbox, needs, run, signal, wait_for};
use tenfour::datagram::Request as DatagramRequest;
use tenfour::proto::ProducerId;

/// A request of the producer `k`, as bytes.
fn request(sequence: u64, body: &str) -> Vec<u8> {
    let request = DatagramRequest {
        producer: ProducerId::of_key("k"),
        sequence,
        mailbox: "inbox".parse().unwrap(),
        body: body.to_owned().into(),
    };
    request.encode()
}

fn socket(served: &Served) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(&served.datagram).unwrap();
    socket.set_read_timeout(Some(support::LONG)).unwrap();
    socket
}

/// The offset in the receipt that comes.
fn receipt(socket: &UdpSocket) -> (u8, u64) {
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).unwrap();
    assert_eq!(length, 45 + "inbox".len());
    (buffer[32], u64::from_be_bytes(buffer[36..44].try_into().unwrap()))
}

/// The counts that a stopping server writes to its log.
fn counted(log: &[String], reason: &str) -> u64 {
    let line = log.iter().find(|line| line.contains(&format!("\"{reason}\"")));
    let count = line.and_then(|line| line.split("count=").nth(1));
    count.map_or(0, |count| count.trim().parse().unwrap())
}

/// What the kernel holds for the socket bound there: proc(5), /proc/net/udp, the second half of `tx_queue:rx_queue`.
#[cfg(target_os = "linux")]
fn bytes_waiting(address: &str) -> u64 {
    let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
    let port = format!(":{port:04X}");
    let table = std::fs::read_to_string("/proc/net/udp").unwrap();
    let queues = table.lines().find_map(|line| {
        let mut columns = line.split_whitespace().skip(1);
        columns.next()?.ends_with(&port).then(|| columns.nth(2))?
    });
    let waiting = queues.and_then(|queues| queues.split(':').nth(1));
    waiting.map_or(0, |bytes| u64::from_str_radix(bytes, 16).unwrap())
}

fn stop(served: Served) -> Vec<String> {
    let log: Lines = served.log.clone();
    assert_eq!(served.stop(), Some(0));
    log.wait_for_end();
    log.all()
}

#[test]
fn the_recipes_connectionless_client_against_our_server() {
    if !needs("g++") {
        return;
    }
    let home = Home::new();
    let served = home.serve();
    let (host, port) = served.datagram.split_once(':').unwrap();
    let client = compiled("udp_client");
    // Not locked to the first peer.
    for text in ["hello", "again"] {
        let mut command = Command::new(&client);
        command.args([host, port]);
        run(command, format!("{text}\n").as_bytes()).ok();
        served.console.wait_for(&format!("Got the message:{text}"));
    }
    assert_eq!(mailbox(&home, &served.native), ["hello", "again"]);
    let console = served.console.all();
    assert!(
        !console
            .iter()
            .any(|line| line.contains("got connection") && line.contains(port)),
        "a datagram is no connection: {console:?}"
    );
    let json = home.run(&["tail", &served.native, "-n", "1", "--json"]).ok();
    assert!(
        json.contains("\"sender\":\"anonymous\"")
            && json.contains("\"listener\":\"datagram\",\"address\":\"127.0.0.1:"),
        "{json}"
    );
}

#[test]
fn our_client_against_the_recipes_connectionless_server() {
    if !needs("g++") {
        return;
    }
    let home = Home::new();
    let mut server = Command::new(compiled("udp_server"));
    let mut server = server.arg("0").stdout(Stdio::piped()).spawn().unwrap();
    let lines = Lines::of(server.stdout.take().unwrap());
    lines.wait_for("waiting on port ");
    let port = lines.all()[0].rsplit(' ').next().unwrap().to_owned();
    let target = format!("udp://127.0.0.1:{port}");
    home.run(&["send", &target, "--no-receipt", "over there"]).ok();
    lines.wait_for("Got the message:over there");
    assert!(server.wait().unwrap().success());
}

#[test]
fn a_datagram_with_an_identity_is_stored_once_and_receipted() {
    let home = Home::new();
    let served = home.serve();
    let url = served.datagram_url();
    let first = home.run(&["send", &url, "--id", "k", "--json", "hello"]).ok();
    for part in [
        "\"outcome\":\"stored\"",
        "\"offset\":1",
        "\"sender\":\"datagram\"",
        "\"listener\":\"datagram\"",
        "\"durability\":\"disk\"",
        "\"duplicate\":false",
    ] {
        assert!(first.contains(part), "{part} is not in {first}");
    }
    let again = home.run(&["send", &url, "--id", "k", "--json", "hello"]).ok();
    assert!(
        again.contains("\"offset\":1") && again.contains("\"duplicate\":true"),
        "{again}"
    );
    home.run(&["send", &url, "--id", "k", "other"])
        .failed(65, "another message was stored");
    home.run(&["send", &url, "", ""]).ok();
    assert_eq!(mailbox(&home, &served.native), ["hello", " "]);
}

/// Only the next sequence is stored, so an overtaking datagram can make no false receipt. Nothing else is answered.
#[test]
fn what_comes_out_of_turn_or_malformed_gets_no_answer_and_is_counted() {
    let home = Home::new();
    let served = home.serve();
    let socket = socket(&served);
    socket.send(&request(2, "two")).unwrap();
    socket.send(&request(1, "one")).unwrap();
    assert_eq!(receipt(&socket), (0, 1), "the answer is to the first in turn");
    socket.send(&request(2, "two")).unwrap();
    assert_eq!(receipt(&socket), (0, 2));
    socket.send(&request(1, "one")).unwrap();
    assert_eq!(receipt(&socket), (1, 1), "a repeat gets the first receipt again");
    // A header that is cut, and a receipt in place of a request.
    socket.send(&request(3, "")[..40]).unwrap();
    let mut turned = request(3, "three");
    turned[7] = 1;
    socket.send(&turned).unwrap();
    socket.send(&request(3, "three")).unwrap();
    assert_eq!(receipt(&socket), (0, 3), "no answer came before");
    assert_eq!(mailbox(&home, &served.native), ["one", "two", "three"]);
    let log = stop(served);
    assert_eq!(counted(&log, "datagram-out-of-turn"), 1, "{log:?}");
    assert_eq!(counted(&log, "datagram-malformed"), 2, "{log:?}");
}

/// The server dies before it answers; the sender repeats, and the next server stores the message once.
#[cfg(target_os = "linux")]
#[test]
fn a_sender_repeats_until_there_is_a_receipt() {
    let home = Home::new();
    let served = home.serve();
    let address = served.datagram.clone();
    signal(served.pid(), "STOP");
    let mut send = home.command(&["send", &served.datagram_url(), "--timeout", "60", "once"]);
    let send = send
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // More than its first datagram lies at the socket that nobody reads.
    let mut first = 0;
    wait_for("a repeat", || {
        let waiting = bytes_waiting(&address);
        if first == 0 {
            first = waiting;
        }
        waiting > first
    });
    served.kill();
    let served = home.serve_with(&["--datagram", &address]);
    let sent: support::Ran = send.wait_with_output().unwrap().into();
    sent.ok();
    assert_eq!(mailbox(&home, &served.native), ["once"]);
}

#[test]
fn what_cannot_be_sent_is_said_before() {
    let home = Home::new();
    let served = home.serve();
    let url = served.datagram_url();
    let long = "x".repeat(65_507);
    home.run_with_input(&["send", &url], long.as_bytes())
        .failed(65, "a datagram carries at most 65466");
    home.run_with_input(&["send", &url, "--no-receipt"], format!("{long}x").as_bytes())
        .failed(65, "a datagram carries at most 65507");
    home.run_with_input(&["send", &url], &long.as_bytes()[..65_466])
        .ok();
    home.run(&["send", &url, "-l"]).failed(2, "udp://");
    home.run(&["send", &url, "--id", "k", "--no-receipt", "x"])
        .failed(2, "carries no id");
    assert_eq!(mailbox(&home, &served.native).len(), 1);
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    home.run(&["send", &format!("udp://{nobody}"), "x"])
        .failed(69, "connection refused");
    // Somebody is there and never answers.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("udp://{}", silent.local_addr().unwrap());
    home.run(&["send", &url, "--timeout", "300ms", "x"])
        .failed(75, "may have the message")
        .failed(75, "hint: repeat the same command with --id ");
}

/// What the kernel drops while the server is busy is known to the last datagram.
#[cfg(target_os = "linux")]
#[test]
fn stored_and_dropped_are_together_what_was_sent() {
    const SENT: u64 = 30_000;
    let home = Home::new();
    let served = home.serve_with(&["--store", "memory", "--quiet"]);
    let socket = socket(&served);
    signal(served.pid(), "STOP");
    for _ in 0..SENT {
        socket.send(b"a datagram that may be lost").unwrap();
    }
    signal(served.pid(), "CONT");
    let last = || {
        let json = home.run(&["tail", &served.native, "-n", "1", "--json"]).ok();
        let offset = json.split("\"offset\":").nth(1).unwrap_or("0,");
        offset.split(',').next().unwrap().parse::<u64>().unwrap()
    };
    let mut stored = 0;
    wait_for("the last of them", || {
        let before = std::mem::replace(&mut stored, last());
        stored > 0 && before == stored
    });
    let log = stop(served);
    let dropped = counted(&log, "datagram-kernel");
    assert!(
        log.iter().any(|line| line.contains("datagrams were dropped")),
        "{log:?}"
    );
    assert!(dropped > 0, "the buffer held all {SENT}: nothing was shown");
    assert_eq!(stored + dropped, SENT);
}

/// As small as a microcontroller wants it: examples/c.
#[test]
fn the_client_in_c_gets_its_receipt() {
    if !needs("gcc") {
        return;
    }
    let home = Home::new();
    let served = home.serve();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/c/tenfour_datagram.c");
    let lines = std::fs::read_to_string(&source).unwrap().lines().count();
    assert!(lines < 60, "it has {lines} lines");
    let program = home.path().join("client");
    let mut compile = Command::new("gcc");
    compile.args(["-Wall", "-Wextra", "-Werror", "-O1", "-o"]);
    compile.args([&program, &source]);
    run(compile, b"").ok();
    let (host, port) = served.datagram.split_once(':').unwrap();
    let send = |sequence: &str, text: &str| {
        let mut command = Command::new(&program);
        command.args([host, port, sequence, text]);
        run(command, b"")
    };
    assert_eq!(send("1", "21.5 C").ok(), "10-4 inbox 1\n");
    assert_eq!(send("2", "").ok(), "10-4 inbox 2\n");
    assert_eq!(send("1", "21.5 C").ok(), "10-4 inbox 1 duplicate\n");
    assert_eq!(
        send("2", "22.0 C").code,
        Some(1),
        "another message under the same number"
    );
    assert_eq!(mailbox(&home, &served.native), ["21.5 C", ""]);
}

#[test]
fn datagrams_go_to_the_inbox_unless_a_line_says_more() {
    let home = Home::new();
    let served = home.serve();
    let logs = format!("{}/logs", served.datagram_url());
    home.run(&["send", &logs, "x"]).failed(77, "anonymous send=");
    home.run(&["send", &logs, "--no-receipt", "x"])
        .failed(2, "always goes to `inbox`");
    let socket = socket(&served);
    let elsewhere = DatagramRequest {
        producer: ProducerId::of_key("k"),
        sequence: 1,
        mailbox: "logs".parse().unwrap(),
        body: "a message of some length".into(),
    };
    socket.send(&elsewhere.encode()).unwrap();
    let mut buffer = [0; 512];
    assert_eq!(socket.recv(&mut buffer).unwrap(), 45);
    assert_eq!(
        (buffer[32], u16::from_be_bytes([buffer[34], buffer[35]])),
        (2, 3),
        "refused: not allowed"
    );
    // It did not use up the sequence.
    socket.send(&request(1, "here")).unwrap();
    assert_eq!(receipt(&socket), (0, 1));
}

/// A machine has many addresses, and a sender hears only the one that it asked. A server on 0.0.0.0 let the kernel
/// choose, which answered from 127.0.0.1 what had been asked of 127.0.0.2: the sender repeated until its deadline.
#[cfg(target_os = "linux")]
#[test]
fn an_answer_comes_from_the_address_that_was_asked() {
    let home = Home::new();
    let served = home.serve_with(&["--datagram", "0.0.0.0:0"]);
    let port = served.datagram.rsplit(':').next().unwrap();
    for address in ["127.0.0.1", "127.0.0.2"] {
        home.run(&["send", &format!("udp://{address}:{port}"), "--timeout", "20", "x"])
            .ok();
    }
    assert_eq!(mailbox(&home, &served.native), ["x", "x"]);
}

/// `localhost` is [::1] first, and the listener was on 127.0.0.1 alone: what no receipt was asked for was lost, with 0.
#[test]
fn a_bare_datagram_to_localhost_arrives() {
    if !needs("unshare") || !needs("ip") || !needs("nc") {
        return;
    }
    let said = in_a_network_of_its_own(
        "tenfour serve --store memory --quiet 2>log & server=$!
        until tenfour tail localhost >>log 2>&1; do :; done
        tenfour send udp://localhost --no-receipt 'to a name'
        printf 'from nc' | nc -u -w 1 localhost 50544
        printf 'from nc over IPv4' | nc -4 -u -w 1 localhost 50544
        tenfour tail localhost -f -C 3
        kill $server; wait $server",
    );
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["from nc", "from nc over IPv4", "to a name"]);
}

/// A name may have several addresses, and the first may be the wrong one.
#[test]
fn a_bare_datagram_goes_on_to_the_next_address_when_nobody_listens_at_the_first() {
    let home = Home::new();
    let served = home.serve();
    let (_, port) = served.datagram.rsplit_once(':').unwrap();
    let target = format!("udp://localhost:{port}");
    home.run(&["send", &target, "--no-receipt", "--clear", "hello"])
        .ok();
    wait_for("it", || mailbox(&home, &served.native).len() == 1);
    served.stop();
    home.run(&["send", &target, "--no-receipt", "--clear", "lost"])
        .failed(69, "connection refused");
}
