//! The tables and vectors of `docs/protocol/` say what the code does.

use tenfour_proto::native::{
    Client, ClientEvent, ClientOptions, Credit, EndReason, ErrorCode, Frame, ProducerKind, RemoveOutcome,
    ResumeState, Resumption, Splitter, Welcome,
};
use tenfour_proto::{Durability, MailboxName, Message, Moment, ProducerId, RefusalCode, TemporaryCode};

fn table(name: &str) -> Vec<String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs/protocol")
        .join(name);
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// An unknown frame with the critical flag ends the connection with words of its own.
#[test]
fn the_frames_are_those_of_the_table() {
    let listed: Vec<u8> = table("frames.csv")[1..]
        .iter()
        .map(|line| u8::from_str_radix(&line[2..4], 16).unwrap())
        .collect();
    let known: Vec<u8> = (0..=u8::MAX)
        .filter(|kind| {
            let mut splitter = Splitter::new();
            splitter.push(&[0, 0, 0, 0, *kind, 0x80, 0, 0]);
            !splitter
                .take()
                .is_err_and(|fault| fault.text.contains("critical frame"))
        })
        .collect();
    assert_eq!(listed, known);
}

#[test]
fn the_codes_are_those_of_the_table() {
    let mut known = vec!["table,number,word".to_owned()];
    let mut add = |table: &str, codes: Vec<(u16, &str)>| {
        known.extend(
            codes
                .into_iter()
                .map(|(number, word)| format!("{table},{number},{word}")),
        );
    };
    add(
        "refusal",
        RefusalCode::ALL
            .iter()
            .map(|code| (code.to_wire(), code.as_str()))
            .collect(),
    );
    add(
        "error",
        ErrorCode::ALL
            .iter()
            .map(|code| (code.to_wire(), code.as_str()))
            .collect(),
    );
    add(
        "end",
        EndReason::ALL
            .iter()
            .map(|code| (code.to_wire(), code.as_str()))
            .collect(),
    );
    add(
        "temporary",
        TemporaryCode::ALL
            .iter()
            .map(|code| (code.to_wire(), code.as_str()))
            .collect(),
    );
    add(
        "removal",
        RemoveOutcome::ALL
            .iter()
            .map(|code| (code.to_wire(), code.as_str()))
            .collect(),
    );
    assert_eq!(table("codes.csv"), known);
}

/// A client that has sent three messages and has no answer.
fn sender() -> Client {
    let mut client = Client::new(ClientOptions {
        software: "test".into(),
        process: [1; 16],
        durability: Durability::Disk,
        producer: Some((
            ProducerId::of_key("vectors"),
            Resumption::Repeat,
            ProducerKind::OneShot,
        )),
        resume_state: ResumeState::default(),
        invitation: None,
    });
    for _ in 0..3 {
        client.send(Message::new(MailboxName::inbox(), "x"));
    }
    client.connected(Moment::default());
    let mut welcome = Vec::new();
    Frame::Welcome(Welcome {
        version: 1,
        software: "test".into(),
        store: [2; 16],
        max_message: 1_000,
        credit: Credit {
            messages: 10,
            bytes: 1_000,
        },
        heartbeat_ms: 15_000,
        durability: Durability::Disk,
        high_water_mark: Some(0),
        features: 0,
        rights: String::new(),
    })
    .encode(&mut welcome);
    client.handle_bytes(Moment::default(), &welcome).unwrap();
    client.poll_transmit(&mut Vec::new(), usize::MAX);
    while client.poll_event().is_some() {}
    client
}

#[test]
fn receipts_are_believed_or_not() {
    let lines = table("receipts.txt");
    assert!(lines.len() > 15);
    for line in lines {
        let [verdict, hex, why] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let body: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect();
        let mut frame = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
        frame.extend([0x12, 0, 0, 0]);
        frame.extend(&body);
        let mut client = sender();
        let taken = client.handle_bytes(Moment::default(), &frame);
        assert_eq!(taken.is_ok(), verdict == "good", "{why}: {taken:?}");
        let settled = matches!(client.poll_event(), Some(ClientEvent::Settled(..)));
        assert_eq!(settled, verdict == "good", "{why}");
    }
}

/// Each block of section 14 is frames, to the last byte.
#[test]
fn the_examples_are_frames() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md");
    let page = std::fs::read_to_string(page).unwrap();
    let examples = page
        .split("\n## 14.")
        .nth(1)
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap();
    let mut frames = 0;
    for block in examples.split("\n\n").filter(|block| block.starts_with("    ")) {
        let mut splitter = Splitter::new();
        splitter.allow_full_frames();
        for line in block.lines() {
            // Behind the bytes stands a remark: behind three blanks, or where no byte can be.
            let bytes = line.trim_start().split("   ").next().unwrap();
            let bytes = bytes
                .split_whitespace()
                .map_while(|byte| u8::from_str_radix(byte, 16).ok());
            splitter.push(&bytes.collect::<Vec<u8>>());
        }
        while splitter
            .take()
            .unwrap_or_else(|fault| panic!("{fault}: {block}"))
            .is_some()
        {
            frames += 1;
        }
        assert_eq!(splitter.buffered(), 0, "{block}");
    }
    assert!(frames > 15, "{frames}");
}
