//! Wall clocks that are wrong by decades, on either side, and another way after each start: nothing that is promised
//! depends on them. And how times are written.

mod support;

use std::process::Command;

use support::{Home, mailbox, needs, run};

/// What makes the clock of a program wrong. `faketime` itself would stand between us and the program.
fn library() -> Option<String> {
    if !needs("faketime") {
        return None;
    }
    let mut asked = Command::new("faketime");
    asked.args(["-f", "+0", "printenv", "LD_PRELOAD"]);
    Some(format!("LD_PRELOAD={}", run(asked, b"").ok().trim()))
}

#[test]
fn servers_and_senders_in_other_decades() {
    let Some(library) = library() else { return };
    let home = Home::new();
    let clocks = [
        "FAKETIME=+60y",
        "FAKETIME=-40y",
        "FAKETIME=+0",
        "FAKETIME=+10y",
        "FAKETIME=-10y",
    ];
    // Time that passes is what it is.
    let under = |clock| ["env", &library, "FAKETIME_DONT_FAKE_MONOTONIC=1", clock];
    let mut wanted: Vec<String> = Vec::new();
    let mut years = Vec::new();
    let mut native = tenfour_checker::free_address().to_string();
    for (round, clock) in clocks.iter().enumerate() {
        let served = home.serve_under(&under(clock), &["--native", &native, "--retain", "30d"]);
        native.clone_from(&served.native);
        for (n, clock) in clocks.iter().enumerate() {
            let ran = |arguments: &[&str]| run(home.command_under(&under(clock), arguments), b"").ok();
            // What was sent in another decade under its id is there.
            let id = format!("id{n}");
            ran(&["send", &native, &id, "--id", &id]);
            // Neither does the outbox begin anew, or give up.
            let body = format!("queued {round} {n}");
            ran(&["queue", &native, &body]);
            ran(&["queue", "--flush"]);
            if round == 0 {
                wanted.push(id);
            }
            wanted.push(body);
        }
        assert_eq!(mailbox(&home, &native), wanted, "the server's {clock}");
        let items = home.run(&["tail", &native, "--json"]).ok();
        let last: serde_json::Value = serde_json::from_str(items.lines().last().unwrap()).unwrap();
        years.push(last["time"].as_str().unwrap()[..4].to_owned());
        served.stop();
    }
    years.dedup();
    assert_eq!(years.len(), clocks.len(), "the clocks were wrong: {years:?}");
    home.run(&["check"]).ok();
}

/// Text order is time order, and strict parsers take it.
#[test]
fn times_have_one_width() {
    let home = Home::new();
    let served = home.serve();
    for _ in 0..30 {
        home.run(&["send", &served.native, "x"]).ok();
    }
    let lines = home.run(&["tail", &served.native, "--json"]).ok();
    let times: Vec<&str> = lines
        .lines()
        .map(|line| {
            line.split(r#""time":""#)
                .nth(1)
                .unwrap()
                .split('"')
                .next()
                .unwrap()
        })
        .collect();
    assert!(times.iter().all(|time| time.len() == 27), "{times:?}");
    assert!(times.is_sorted());
}
