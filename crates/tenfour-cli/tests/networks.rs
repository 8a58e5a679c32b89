//! Networks as they are: a resolver that is silent, a host without IPv4, a proxy in between.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use support::http::getting;
use support::network::in_a_network_of_its_own;
use support::{Home, LONG, needs, wait_for};

/// `send udp://NAME --timeout 2s` took as long as the resolver liked.
#[test]
fn a_resolver_that_is_silent_does_not_outlast_the_deadline() {
    if !["unshare", "ip", "mount", "python3"]
        .iter()
        .all(|name| needs(name))
    {
        return;
    }
    let said = in_a_network_of_its_own(
        r#"echo 'nameserver 127.0.0.53' >resolv.conf
        mount --bind resolv.conf /etc/resolv.conf
        mkfifo bound
        python3 -c '
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.53", 53))
open("bound", "w").close()
time.sleep(50)' & resolver=$!
        cat bound
        for target in slow.example.net:1 udp://slow.example.net:1 tcp://slow.example.net:1; do
            code=0
            timeout 4 tenfour send $target x --timeout 500ms 2>>log || code=$?
            echo $code
        done
        kill $resolver"#,
    );
    assert_eq!(said, "69\n69\n69\n");
}

/// The default listeners are those of two families, and a host may have only one.
#[test]
fn a_host_without_ipv4_is_served() {
    if !needs("unshare") || !needs("ip") {
        return;
    }
    let said = in_a_network_of_its_own(
        "ip address del 127.0.0.1/8 dev lo
        tenfour serve --quiet 2>log & server=$!
        until tenfour tail localhost >>log 2>&1; do :; done
        tenfour send localhost 'a message'
        tenfour send tcp://localhost 'a line'
        tenfour send udp://localhost 'a datagram'
        tenfour tail localhost
        kill $server; wait $server",
    );
    assert!(said.ends_with("a message\na line\na datagram\n"), "{said}");
}

struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// nginx holds back what it proxies until its buffer is full, unless it is told not to.
#[test]
fn events_pass_through_nginx_as_it_comes() {
    if !needs("nginx") {
        return;
    }
    let home = Home::new();
    let served = home.serve_with(&["--http", "127.0.0.1:0"]);
    let folder = home.path().join("nginx");
    std::fs::create_dir(&folder).unwrap();
    let address = tenfour_checker::free_address();
    let own = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {own}/{kind};\n"))
        .concat();
    let configuration = format!(
        "daemon off; master_process off; pid {own}/pid; error_log {own}/errors; events {{}}
        http {{ access_log off; {temporary}
            server {{ listen {address}; location / {{ proxy_pass http://{}; }} }} }}",
        served.http
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, configuration).unwrap();
    let mut nginx = Command::new("nginx");
    nginx.arg("-p").arg(&folder).arg("-c").arg(&file);
    let _proxy = Proxy(nginx.stderr(Stdio::null()).spawn().unwrap());
    let mut connection = None;
    wait_for("nginx", || {
        connection = TcpStream::connect(address).ok();
        connection.is_some()
    });
    let mut connection = connection.unwrap();
    connection.set_read_timeout(Some(LONG)).unwrap();
    let request = getting(&served.token(), "/v1/events?mailbox=inbox", "");
    connection.write_all(request.as_bytes()).unwrap();
    let mut events = BufReader::new(connection);
    let mut until = |words: &str| {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            assert_ne!(events.read_line(&mut line).unwrap(), 0, "`{words}` did not come");
        }
    };
    until("HTTP/1.1 200");
    // The stream stays open: an event that is held back does not come at all.
    home.run(&["send", &served.native, "through a proxy"]).ok();
    until("through a proxy");
    let _ = events.into_inner().read(&mut []);
}

/// A terminal cuts what is pasted into one line at 4,095 bytes and says nothing; the message was stored without its end.
#[test]
fn a_line_that_the_terminal_cut_is_not_sent() {
    if !needs("python3") {
        return;
    }
    let home = Home::new();
    let served = home.serve();
    // Types a line and then the end of input, and ends with the exit code of what reads them.
    let typist = "
import os, pty, sys
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[2], sys.argv[2:])
heard = b''
def hear():
    global heard
    try:
        heard += os.read(terminal, 65536)
    except OSError:
        return False
    return True
import select, termios
for piece in (b'x' * int(sys.argv[1]) + b'\\n', b'\\x04'):
    while piece:
        if select.select([terminal], [terminal], [])[0]:
            hear()
        piece = piece[os.write(terminal, piece[:512]):]
while hear():
    pass
status = os.waitpid(child, 0)[1]
sys.stdout.write(heard.decode())
sys.exit(os.waitstatus_to_exitcode(status))
";
    for (length, code) in [(1_000, 0), (5_000, 1)] {
        let send = home.command(&["send", &served.native]);
        let mut command = Command::new("python3");
        command
            .args(["-c", typist, &length.to_string()])
            .arg(send.get_program())
            .args(send.get_args())
            .env("TENFOUR_HOME", home.path());
        let ran = support::run(command, b"");
        assert_eq!(ran.code, Some(code), "{}{}", ran.stdout, ran.stderr);
        assert_eq!(
            code != 0,
            ran.stdout.contains("the rest was cut"),
            "{}",
            ran.stdout
        );
    }
    assert_eq!(support::mailbox(&home, &served.native), ["x".repeat(1_000)]);
}

/// A server that is full cuts whoever comes: a script that ran at that moment failed, with half a minute left.
#[test]
fn a_first_connection_that_is_cut_is_tried_again_until_the_deadline() {
    let home = Home::new();
    let served = home.serve();
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = door.local_addr().unwrap().to_string();
    let native = served.native.clone();
    std::thread::spawn(move || {
        for (number, come) in door.incoming().enumerate() {
            let (mut come, Ok(mut go)) = (come.unwrap(), TcpStream::connect(&native)) else {
                break;
            };
            // The first two are cut: one at once, one in the middle of its handshake.
            if number == 0 {
                continue;
            }
            let (mut from, mut to) = (come.try_clone().unwrap(), go.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            let most = if number == 1 { 20 } else { u64::MAX };
            let _ = std::io::copy(&mut (&mut go).take(most), &mut come);
            let _ = come.shutdown(Shutdown::Both);
        }
    });
    home.run(&["send", &address, "through"]).ok();
    assert_eq!(support::mailbox(&home, &served.native), ["through"]);
    // Who cuts for ever is reported when the time is over, by the reason and not by the clock.
    let cutter = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = cutter.local_addr().unwrap().to_string();
    std::thread::spawn(move || cutter.incoming().for_each(drop));
    let cut = home.run(&["send", &address, "x", "--timeout", "300ms"]);
    let said = cut.failed(69, "could not deliver").stderr;
    // Closed, or closed over what was not read.
    assert!(
        said.contains("the other end is gone") || said.contains("reset"),
        "{said}"
    );
    // Where nothing listens there is nothing to wait for.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let begun = std::time::Instant::now();
    home.run(&["send", &nobody.to_string(), "x"])
        .failed(69, "refused");
    assert!(begun.elapsed() < LONG / 2);
}
