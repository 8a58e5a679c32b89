//! What the exit code is worth: crashes, many senders, flushes counted, machines apart.

mod support;

use std::process::{Command, Stdio};

use support::{Home, mailbox, needs, needs_root, run, wait_for};

/// How many processes each of eight shells starts, one after the other. `TENFOUR_TEST_SENDS=1000` for the long one.
fn sends() -> usize {
    std::env::var("TENFOUR_TEST_SENDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(40)
}

#[test]
fn eight_shells_at_once() {
    let home = Home::new();
    let served = home.serve_with(&["--quiet"]);
    let sends = sends();
    let shells: Vec<_> = (0..8)
        .map(|shell| {
            let script =
                format!("for i in $(seq 1 {sends}); do \"$1\" send \"$2\" \"{shell} $i\" || exit $?; done");
            Command::new("bash")
                .env("TENFOUR_HOME", home.path())
                .args([
                    "-c",
                    &script,
                    "bash",
                    env!("CARGO_BIN_EXE_tenfour"),
                    &served.native,
                ])
                .stdin(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut shell in shells {
        assert!(shell.wait().unwrap().success());
    }
    let found = mailbox(&home, &served.native);
    assert_eq!(found.len(), 8 * sends);
    for shell in 0..8 {
        let prefix = format!("{shell} ");
        let its: Vec<&str> = found
            .iter()
            .filter_map(|line| line.strip_prefix(&prefix))
            .collect();
        let wanted: Vec<String> = (1..=sends).map(|n| n.to_string()).collect();
        assert_eq!(its, wanted, "none missing, none twice, in order");
    }
}

#[test]
fn a_server_killed_in_the_middle_of_200_000_lines() {
    let home = Home::new();
    let served = home.serve_with(&["--quiet"]);
    let native = served.native.clone();
    let lines: String = (1..=200_000).map(|n| format!("line {n}\n")).collect();
    let input = home.path().join("lines");
    std::fs::write(&input, lines).unwrap();
    let mut sender = home.command(&["send", &native, "-l", "--json"]);
    let receipts = home.path().join("receipts");
    let mut sender = sender
        .stdin(std::fs::File::open(&input).unwrap())
        .stdout(std::fs::File::create(&receipts).unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let count = |path| {
        std::fs::read(path)
            .unwrap()
            .iter()
            .filter(|b| **b == b'\n')
            .count()
    };
    for killed_after in [20_000, 100_000] {
        wait_for("some receipts", || {
            count(&receipts) > killed_after || sender.try_wait().unwrap().is_some()
        });
        assert!(sender.try_wait().unwrap().is_none(), "it is not done yet");
    }
    served.kill();
    let served = home.serve_with(&["--quiet", "--native", &native]);
    let ended = sender.wait().unwrap();
    assert!(ended.success(), "{ended}");
    assert_eq!(count(&receipts), 200_000);
    let found = mailbox(&home, &served.native);
    assert_eq!(found.len(), 200_000);
    for (index, line) in found.iter().enumerate() {
        assert_eq!(
            *line,
            format!("line {}", index + 1),
            "each exactly once, in order"
        );
    }
    let receipts = std::fs::read_to_string(&receipts).unwrap();
    for (index, line) in receipts.lines().enumerate() {
        assert!(line.contains(&format!("\"offset\":{},", index + 1)), "{line}");
    }
}

/// One flush pays for everyone who is waiting; and what was recovered is flushed before anybody is let in.
#[test]
fn flushes() {
    if !needs("strace") {
        return;
    }
    let home = Home::new();
    home.serve().stop();
    let trace = home.path().join("trace");
    let ports = home.path().join("ports");
    let _ = std::fs::remove_file(&ports);
    let mut command = Command::new("strace");
    command
        .env("TENFOUR_HOME", home.path())
        .args(["-f", "-qq", "-e", "trace=fsync,fdatasync,listen", "-o"])
        .arg(&trace)
        .arg(env!("CARGO_BIN_EXE_tenfour"))
        .args([
            "serve",
            "--quiet",
            "--text",
            "127.0.0.1:0",
            "--datagram",
            "127.0.0.1:0",
            "--native",
            "127.0.0.1:0",
            "--port-file",
        ])
        .arg(&ports);
    let served = support::Served::spawn(command, &ports);
    let calls = || std::fs::read_to_string(&trace).unwrap();
    let flushes = |text: &str| {
        text.lines()
            .filter(|l| l.contains("fsync(") || l.contains("fdatasync("))
            .count()
    };
    let opening = calls();
    let before_listening = opening.split("listen(").next().unwrap();
    assert!(
        flushes(before_listening) >= 1,
        "a flush before the first listener: {opening}"
    );
    let before = flushes(&opening);
    let lines: String = (0..20_000).map(|n| format!("{n}\n")).collect();
    home.run_with_input(&["send", &served.native, "-l"], lines.as_bytes())
        .ok();
    let flushed = flushes(&calls()) - before;
    assert!(
        (1..2_000).contains(&flushed),
        "{flushed} flushes for 20,000 receipts"
    );
    let before = flushes(&calls());
    home.run(&["send", &served.native, "one"]).ok();
    assert!(flushes(&calls()) > before, "one receipt, one flush");
    // strace is our child, the server is strace's.
    let owner = std::fs::read_to_string(home.path().join("store.db.lock")).unwrap();
    support::signal(
        owner.trim().strip_prefix("process ").unwrap().parse().unwrap(),
        "TERM",
    );
    // A strace that is killed may take the signal with it, and leave the server behind.
    served.wait();
}

/// Three network namespaces as three machines: four commands from nothing to exit 0.
#[test]
fn machines_apart() {
    if !needs("ip") || !needs_root() {
        return;
    }
    let Some(net) = Net::make() else { return };
    let (server, guest, stranger) = (Home::new(), Home::new(), Home::new());
    let ports = server.path().join("ports");
    let command = net.command(0, &server, &["serve", "--port-file", ports.to_str().unwrap()]);
    let served = support::Served::spawn(command, &ports);
    let token = run(net.command(0, &server, &["invite"]), b"").ok();
    run(net.command(1, &guest, &["join", token.trim()]), b"").ok();
    let address = net.address(0);
    run(
        net.command(1, &guest, &["send", &address, "hello from afar"]),
        b"",
    )
    .ok();
    run(net.command(2, &stranger, &["send", &address, "x"]), b"").failed(76, "the server's key is not known");
    let fingerprint = server.fingerprint();
    run(
        net.command(2, &stranger, &["keys", "trust", &address, &fingerprint]),
        b"",
    )
    .ok();
    run(net.command(2, &stranger, &["send", &address, "x"]), b"").failed(77, "is not allowed here");
    let found = run(net.command(0, &server, &["tail", "localhost"]), b"").ok();
    assert_eq!(found, "hello from afar\n");
    drop(served);
}

/// A bridge with three hosts on it, gone when dropped.
struct Net(String);

impl Net {
    fn make() -> Option<Self> {
        let net = Net(format!("tf{}", std::process::id() % 100_000));
        let bridge = format!("{}br", net.0);
        let mut script = format!(
            "set -e; ip netns add {0}-sw; ip netns exec {0}-sw ip link add {bridge} type bridge; ip netns exec {0}-sw ip link set {bridge} up\n",
            net.0
        );
        for host in 0..3 {
            let (name, address) = (net.host(host), net.address(host));
            script.push_str(&format!(
                "ip netns add {name}; ip link add e{name} type veth peer name s{name}\n\
                 ip link set e{name} netns {name}; ip link set s{name} netns {0}-sw\n\
                 ip netns exec {0}-sw ip link set s{name} master {bridge} up\n\
                 ip netns exec {name} ip addr add {address}/24 dev e{name}\n\
                 ip netns exec {name} ip link set e{name} up; ip netns exec {name} ip link set lo up\n",
                net.0
            ));
        }
        let mut shell = Command::new("bash");
        shell.args(["-c", &script]);
        let made = run(shell, b"");
        if made.code != Some(0) {
            // Some containers do not let even root make one.
            assert!(
                std::env::var_os("CI").is_none(),
                "no network namespaces: {}",
                made.stderr
            );
            return None;
        }
        Some(net)
    }

    fn host(&self, host: usize) -> String {
        format!("{}-{host}", self.0)
    }

    fn address(&self, host: usize) -> String {
        format!("10.77.0.{}", host + 1)
    }

    fn command(&self, host: usize, home: &Home, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.host(host), env!("CARGO_BIN_EXE_tenfour")])
            .env("TENFOUR_HOME", home.path())
            .stdin(Stdio::null())
            .args(arguments);
        command
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for name in [format!("{}-sw", self.0), self.host(0), self.host(1), self.host(2)] {
            let _ = Command::new("ip")
                .args(["netns", "del", &name])
                .stderr(Stdio::null())
                .status();
        }
    }
}
