//! Modbus/TCP: what a PLC sees, and what a broken one sends.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::Command;

use support::{Home, Receiving, Served, mailbox, needs, python_with_pymodbus, run, wait_for};

fn serve(home: &Home) -> Served {
    home.serve_with(&["--modbus", "127.0.0.1:0"])
}

struct Plc {
    stream: TcpStream,
    transaction: u16,
}

impl Plc {
    fn connect(served: &Served) -> Self {
        let stream = TcpStream::connect(&served.modbus).unwrap();
        stream.set_read_timeout(Some(support::LONG)).unwrap();
        Plc {
            stream,
            transaction: 0,
        }
    }

    /// The PDU of the answer to one.
    fn ask(&mut self, unit: u8, pdu: &[u8]) -> Vec<u8> {
        self.transaction += 1;
        let frame = frame(self.transaction, unit, pdu);
        self.stream.write_all(&frame).unwrap();
        let (transaction, of_unit, pdu) = self.answer();
        assert_eq!((transaction, of_unit), (self.transaction, unit));
        pdu
    }

    fn answer(&mut self) -> (u16, u8, Vec<u8>) {
        let mut header = [0; 7];
        self.stream.read_exact(&mut header).unwrap();
        assert_eq!(header[2..4], [0, 0]);
        let mut pdu = vec![0; usize::from(u16::from_be_bytes([header[4], header[5]])) - 1];
        self.stream.read_exact(&mut pdu).unwrap();
        (u16::from_be_bytes([header[0], header[1]]), header[6], pdu)
    }

    fn write(&mut self, unit: u8, address: u16, value: u16) {
        let [a, b] = address.to_be_bytes();
        let [c, d] = value.to_be_bytes();
        let pdu = [6, a, b, c, d];
        assert_eq!(self.ask(unit, &pdu), pdu, "it is named again");
    }

    /// 41 times a hundred writes, each hundred at once: the last one of 50 registers are 4,050 and more.
    fn write_many(&mut self, unit: u8) {
        for round in 0..41u16 {
            let writes: Vec<u8> = (0..100u16)
                .flat_map(|n| {
                    let value = round * 100 + n;
                    let [a, b] = (n % 50).to_be_bytes();
                    let [c, d] = value.to_be_bytes();
                    frame(value, unit, &[6, a, b, c, d])
                })
                .collect();
            self.stream.write_all(&writes).unwrap();
            for _ in 0..100 {
                self.answer();
            }
        }
    }

    fn read(&mut self, function: u8, unit: u8, address: u16, quantity: u16) -> Vec<u16> {
        let [a, b] = address.to_be_bytes();
        let [c, d] = quantity.to_be_bytes();
        let answer = self.ask(unit, &[function, a, b, c, d]);
        assert_eq!(
            (answer[0], answer[1]),
            (function, (2 * quantity) as u8),
            "{answer:?}"
        );
        answer[2..]
            .chunks(2)
            .map(|word| u16::from_be_bytes([word[0], word[1]]))
            .collect()
    }

    /// Two input registers.
    fn number(&mut self, unit: u8, address: u16) -> u32 {
        let words = self.read(4, unit, address, 2);
        u32::from(words[0]) << 16 | u32::from(words[1])
    }

    fn ends(mut self) {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
        assert_eq!(rest, [0; 0]);
    }
}

fn frame(transaction: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let length = u16::try_from(pdu.len() + 1).unwrap();
    [
        &transaction.to_be_bytes()[..],
        &[0, 0],
        &length.to_be_bytes(),
        &[unit],
        pdu,
    ]
    .concat()
}

#[test]
fn pymodbus_finds_a_device_that_is_as_it_should_be() {
    let Some(python) = python_with_pymodbus() else {
        return;
    };
    let home = Home::new();
    let served = serve(&home);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop/modbus_client.py");
    let mut command = Command::new(python);
    command
        .arg("-B")
        .arg(script)
        .arg(served.modbus.rsplit(':').next().unwrap());
    let said = run(command, b"").ok();
    assert_eq!(said, "registers\nboth\ncoils\ninputs\nexceptions\n");
    let json = home.run(&["tail", &served.at("modbus/7"), "--json"]).ok();
    assert_eq!(json.lines().count(), 5);
    for field in [
        r#""listener":"modbus""#,
        r#""sender":"anonymous""#,
        r#""address":"127.0.0.1:"#,
    ] {
        assert_eq!(json.matches(field).count(), 5, "{json}");
    }
}

#[test]
fn mbpoll_writes_and_reads() {
    if !needs("mbpoll") {
        return;
    }
    let home = Home::new();
    let served = serve(&home);
    let port = served.modbus.rsplit(':').next().unwrap();
    let mbpoll = |arguments: &[&str]| {
        let mut command = Command::new("mbpoll");
        command.args(["-m", "tcp", "-p", port, "-a", "3", "-t", "4", "-r", "10", "-1"]);
        command.args(arguments);
        run(command, b"").ok()
    };
    assert!(mbpoll(&["127.0.0.1", "77", "78"]).contains("Written 2 references"));
    let read = mbpoll(&["-c", "2", "127.0.0.1"]);
    assert!(
        read.contains("[10]: \t77") && read.contains("[11]: \t78"),
        "{read}"
    );
}

#[test]
fn a_write_is_a_message_that_is_there_when_it_is_answered() {
    let home = Home::new();
    let served = serve(&home);
    let mut plc = Plc::connect(&served);
    plc.write(1, 40, 7);
    served.kill();
    let served = serve(&home);
    assert_eq!(
        mailbox(&home, &served.at("modbus/1")),
        [r#"{"unit":1,"function":6,"address":40,"values":[7]}"#]
    );
    // What was written last is there, too, and units have nothing in common.
    let mut plc = Plc::connect(&served);
    assert_eq!(plc.read(3, 1, 39, 3), [0, 7, 0]);
    assert_eq!(plc.read(3, 2, 39, 3), [0, 0, 0]);
    plc.write(0, 65_535, 65_535);
    plc.write(255, 0, 1);
    assert_eq!(plc.read(3, 0, 65_534, 2), [0, 65_535]);
    assert_eq!(plc.read(3, 255, 0, 2), [1, 0]);
    // Several requests in one packet are answered in their order.
    let both = [frame(7, 1, &[6, 0, 1, 0, 2]), frame(8, 1, &[3, 0, 1, 0, 1])].concat();
    plc.stream.write_all(&both).unwrap();
    assert_eq!(plc.answer(), (7, 1, vec![6, 0, 1, 0, 2]));
    assert_eq!(plc.answer(), (8, 1, vec![3, 2, 0, 2]));
    // A message of another way is a message, and no write.
    home.run(&[
        "send",
        &served.at("modbus/1"),
        r#"{"unit":1,"function":6,"address":1,"values":[9]}"#,
    ])
    .ok();
    assert_eq!(plc.read(3, 1, 1, 1), [2]);
}

#[test]
fn registers_are_written_down_so_that_a_start_is_short() {
    let home = Home::new();
    let served = serve(&home);
    let mut plc = Plc::connect(&served);
    plc.write_many(9);
    plc.ask(9, &[5, 0, 3, 0xff, 0]);
    wait_for("the registers to be written down", || {
        mailbox(&home, &served.at("modbus/9/registers")).len() == 1
    });
    let before = plc.read(3, 9, 0, 60);
    assert_eq!((before[0], before[49], before[50]), (4_050, 4_099, 0));
    served.kill();
    let served = serve(&home);
    let mut plc = Plc::connect(&served);
    assert_eq!(plc.read(3, 9, 0, 60), before);
    assert_eq!(plc.ask(9, &[1, 0, 0, 0, 8]), [1, 1, 0b1000]);
}

#[test]
fn input_registers_tell_whether_an_alarm_is_stored_and_handled() {
    let home = Home::new();
    let served = home.serve_with(&["--modbus", "127.0.0.1:0", "--modbus-watch", "alarms,inbox"]);
    let mut plc = Plc::connect(&served);
    assert_eq!(plc.read(4, 5, 0, 2), [1, 1], "version, and the store works");
    let none = u32::MAX;
    assert_eq!(
        (plc.number(5, 10), plc.number(5, 14), plc.number(5, 16)),
        (0, none, none)
    );
    let stored = plc.number(5, 4);
    plc.write(5, 0, 1);
    assert_eq!(plc.number(5, 4), stored + 1);
    assert_eq!((plc.number(5, 10), plc.number(5, 12)), (1, 1));
    assert!(plc.number(5, 14) < 90);
    // Somebody consumes the watched mailbox, and is behind.
    for n in 0..3 {
        home.run(&["send", &served.at("alarms"), &n.to_string()]).ok();
    }
    home.run(&["receive", &served.at("alarms"), "--as", "pager", "-C", "1"])
        .ok();
    assert_eq!(
        (plc.number(5, 20), plc.number(5, 26), plc.number(5, 28)),
        (3, 2, 1)
    );
    assert_eq!(plc.ask(5, &[2, 0, 0, 0, 4]), [2, 1, 0b0101], "works; alarms wait");
    let reader = Receiving::start(&home, &served, &["--as", "x"]);
    home.run(&["receive", &served.at("alarms"), "--as", "pager", "--drain"])
        .ok();
    wait_for("the alarms to be handled", || plc.number(5, 26) == 0);
    assert_eq!(plc.ask(5, &[2, 0, 2, 0, 1]), [2, 1, 0]);
    drop(reader);
    // The map ends behind the last mailbox.
    assert_eq!(plc.read(4, 5, 39, 1).len(), 1);
    assert_eq!(plc.ask(5, &[4, 0, 40, 0, 1]), [0x84, 2]);
    assert_eq!(plc.ask(5, &[4, 0, 39, 0, 2]), [0x84, 2]);
    assert_eq!(plc.ask(5, &[2, 0, 4, 0, 1]), [0x82, 2]);
    // What was refused is counted: another protocol at the door of the text listener.
    let refused = plc.number(5, 6);
    let mut foreign = TcpStream::connect(&served.text).unwrap();
    foreign.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    wait_for("the refusal", || plc.number(5, 6) == refused + 1);
}

/// The same offset is another message in another store.
#[test]
fn input_registers_tell_which_store_it_is() {
    let home = Home::new();
    let served = serve(&home);
    let id = Plc::connect(&served).read(4, 0, 1_000, 8);
    let shown: String = id.iter().map(|word| format!("{word:04x}")).collect();
    let status = home.run(&["status", &served.native, "--json"]).ok();
    assert!(status.contains(&shown), "{shown}: {status}");
    assert_eq!(served.stop(), Some(0));
    let served = serve(&home);
    let mut plc = Plc::connect(&served);
    assert_eq!(plc.read(4, 0, 1_000, 8), id);
    assert_eq!(plc.ask(0, &[4, 3, 0xe8, 0, 9]), [0x84, 2]);
    assert_eq!(plc.ask(0, &[4, 0xff, 0xff, 0, 1]), [0x84, 2]);
    assert_eq!(served.stop(), Some(0));
    std::fs::remove_file(home.path().join("store.db")).unwrap();
    let served = serve(&home);
    assert_ne!(Plc::connect(&served).read(4, 0, 1_000, 8), id);
}

#[test]
fn bad_requests_are_answered_and_store_nothing() {
    let home = Home::new();
    let served = serve(&home);
    let mut plc = Plc::connect(&served);
    for (pdu, exception) in [
        (&[7][..], [0x87, 1]),
        (&[43, 14, 1, 0], [0xab, 1]),
        (&[0x90, 0], [0x90, 1]),
        (&[3, 0, 0, 0, 0], [0x83, 3]),
        (&[3, 0, 0, 0, 126], [0x83, 3]),
        (&[1, 0, 0, 0x07, 0xd1], [0x81, 3]),
        (&[3, 0xff, 0xff, 0, 2], [0x83, 2]),
        (&[3, 0, 0], [0x83, 3]),
        (&[3, 0, 0, 0, 1, 0], [0x83, 3]),
        (&[6, 0, 0], [0x86, 3]),
        (&[5, 0, 0, 1, 0], [0x85, 3]),
        (&[16, 0, 0, 0, 0, 0], [0x90, 3]),
        (&[16, 0, 0, 0, 2, 2, 0, 1], [0x90, 3]),
        (&[16, 0, 0, 0, 100, 2, 0, 1], [0x90, 3]),
        (&[16, 0xff, 0xff, 0, 2, 4, 0, 1, 0, 1], [0x90, 2]),
        (&[15, 0, 0, 0, 9, 1, 0xff], [0x8f, 3]),
        (&[23, 0, 0, 0, 126, 0, 0, 0, 1, 2, 0, 1], [0x97, 3]),
        (&[23, 0xff, 0xff, 0, 2, 0, 0, 0, 1, 2, 0, 1], [0x97, 2]),
    ] {
        assert_eq!(plc.ask(1, pdu), exception, "{pdu:?}");
    }
    assert_eq!(mailbox(&home, &served.at("modbus/1")), [""; 0]);
    plc.write(1, 0, 1);
}

#[test]
fn what_is_no_modbus_ends_its_own_connection_only() {
    let home = Home::new();
    let served = serve(&home);
    let mut plc = Plc::connect(&served);
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        &[0, 1, 0, 1, 0, 6, 1, 3, 0, 0, 0, 1],
        &[0, 1, 0, 0, 0, 0, 1],
        &[0, 1, 0, 0, 0, 1, 1],
        &[0, 1, 0, 0, 0x10, 0, 1, 3],
        &[0, 1, 0, 0, 1, 4, 1, 16],
    ] {
        let mut bad = Plc::connect(&served);
        bad.stream.write_all(bytes).unwrap();
        bad.ends();
    }
    // One that is cut in the middle of a frame has asked nothing.
    let whole = frame(1, 1, &[6, 0, 0, 0, 1]);
    for end in 1..whole.len() {
        let mut cut = Plc::connect(&served);
        cut.stream.write_all(&whole[..end]).unwrap();
        cut.stream.shutdown(Shutdown::Write).unwrap();
        cut.ends();
    }
    assert_eq!(mailbox(&home, &served.at("modbus/1")), [""; 0]);
    plc.write(1, 0, 1);
    let status = home.run(&["status", &served.native, "--json"]).ok();
    assert!(
        status.contains(r#"{"kind":"counter","reason":"protocol","count":6}"#),
        "{status}"
    );
    assert!(status.contains(r#""listener":"modbus""#), "{status}");
    assert_eq!(
        served.stop(),
        Some(0),
        "a PLC that stays connected holds nothing up"
    );
}

#[test]
fn a_store_that_takes_nothing_is_said_by_exceptions() {
    let home = Home::new();
    // 256 MiB are the most that a store in memory holds.
    let served = home.serve_with(&[
        "--modbus",
        "127.0.0.1:0",
        "--store",
        "memory",
        "--max-message",
        "16M",
    ]);
    let fill = vec![b'x'; 16 * 1024 * 1024];
    for _ in 0..17 {
        let sent = home.run_with_input(
            &[
                "send",
                &served.native,
                "--durability",
                "memory",
                "--timeout",
                "2s",
            ],
            &fill,
        );
        if sent.code == Some(69) {
            break;
        }
    }
    let rest = vec![b'y'; 1024 * 1024];
    while home
        .run_with_input(
            &[
                "send",
                &served.native,
                "--durability",
                "memory",
                "--timeout",
                "1s",
            ],
            &rest,
        )
        .code
        == Some(0)
    {}
    let mut plc = Plc::connect(&served);
    let mut answer = Vec::new();
    // A few small ones may still fit.
    for _ in 0..10_000 {
        answer = plc.ask(1, &[6, 0, 0, 0, 1]);
        if answer[0] & 0x80 != 0 {
            break;
        }
    }
    assert_eq!(answer, [0x86, 6], "busy, not stored");
    assert_eq!(plc.read(4, 1, 1, 1), [1], "reading goes on");
}

/// Each of 256 units walked through the whole mailbox that they share: 3 KB of requests kept the server busy for minutes.
#[test]
fn units_that_share_a_mailbox_keep_their_registers_apart() {
    let home = Home::new();
    let serve = || home.serve_with(&["--modbus", "127.0.0.1:0", "--modbus-mailbox", "plc"]);
    let served = serve();
    let mut plc = Plc::connect(&served);
    plc.write(8, 0, 80);
    plc.write(7, 1, 70);
    plc.write_many(9);
    wait_for("the registers to be written down", || {
        mailbox(&home, &served.at("modbus/9/registers")).len() == 1
    });
    plc.write(8, 2, 82);
    plc.write(9, 0, 90);
    plc.write(9, 300, 93);
    let all = |plc: &mut Plc| [9, 8, 7, 200].map(|unit| plc.read(3, unit, 0, 3));
    let expected = [
        vec![90, 4_051, 4_052],
        vec![80, 0, 82],
        vec![0, 70, 0],
        vec![0, 0, 0],
    ];
    assert_eq!(all(&mut plc), expected);
    served.kill();
    // First the one that was written down, then the others.
    let served = serve();
    let mut plc = Plc::connect(&served);
    assert_eq!(all(&mut plc), expected);
    plc.write(7, 0, 71);
    plc.write(200, 2, 5);
    assert_eq!(
        (plc.read(3, 7, 0, 2), plc.read(3, 200, 2, 1)),
        (vec![71, 70], vec![5])
    );
    served.kill();
    // And the other way round.
    let served = serve();
    let mut plc = Plc::connect(&served);
    assert_eq!(plc.read(3, 200, 2, 1), [5]);
    assert_eq!(plc.read(3, 9, 0, 2), [90, 4_051]);
    assert_eq!(plc.read(3, 9, 300, 1), [93]);
}
