//! One mailbox, and every way into it.

mod support;

use std::process::Command;

use serde_json::Value;
use support::browser::Browser;
use support::{Home, compiled, needs, python_with_pymodbus, run};

#[test]
fn one_mailbox_takes_messages_from_everybody_and_tells_who_and_how() {
    let Some(python) = python_with_pymodbus() else {
        return;
    };
    for program in ["g++", "nc", "curl", "chromium", "chromedriver"] {
        if !needs(program) {
            return;
        }
    }
    let home = Home::new();
    let served = home.serve_with(&[
        "--http",
        "127.0.0.1:0",
        "--modbus",
        "127.0.0.1:0",
        "--modbus-mailbox",
        "inbox",
    ]);
    let (host, text) = served.text.split_once(':').unwrap();
    let command = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments);
        command
    };

    let recipe = compiled("client");
    run(
        command(recipe.to_str().unwrap(), &[host, text]),
        b"from the recipe's client\n",
    )
    .ok();
    // The recipe's client hangs up without waiting; the others are told when they are stored.
    support::wait_for("the first", || support::mailbox(&home, &served.native).len() == 1);
    run(command("nc", &["-N", host, text]), b"from nc\n").ok();
    let short_form = format!("http://{}/inbox", served.http);
    run(command("curl", &["-sf", "-d", "from curl", &short_form]), b"").ok();
    home.run(&["send", &served.datagram_url(), "from a datagram"])
        .ok();
    let port = served.modbus.rsplit(':').next().unwrap();
    let script = format!(
        "from pymodbus.client import ModbusTcpClient as C; c = C('127.0.0.1', port={port}); c.connect(); assert not c.write_register(40, 7, device_id=1).isError()"
    );
    run(command(python.to_str().unwrap(), &["-c", &script]), b"").ok();
    let browser = Browser::start();
    browser.open(&served.page());
    browser.wait_for("#list", "from a datagram");
    browser.types("#text", "from the page");
    browser.click("#send button");
    browser.wait_for("#receipt", "10-4  inbox #6  stored");
    home.run(&["send", &served.native, "from tenfour send"]).ok();

    let tail = home.run(&["tail", &served.native, "--json"]).ok();
    let own = home.fingerprint();
    let wanted = [
        ("text", "anonymous", "from the recipe's client"),
        ("text", "anonymous", "from nc"),
        ("http", "anonymous", "from curl"),
        ("datagram", "datagram", "from a datagram"),
        (
            "modbus",
            "anonymous",
            r#"{"unit":1,"function":6,"address":40,"values":[7]}"#,
        ),
        ("http", "token:page", "from the page"),
        ("native", own.as_str(), "from tenfour send"),
    ];
    let lines: Vec<Value> = tail
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), wanted.len(), "{tail}");
    for ((line, (listener, sender, text)), offset) in lines.iter().zip(wanted).zip(1..) {
        assert_eq!(line["offset"], offset);
        assert_eq!(line["listener"], listener, "{line}");
        assert_eq!(line["sender"], sender, "{line}");
        assert_eq!(line["text"], text, "{line}");
        // Who has shown no key is known by an address at least.
        let address = line["address"].as_str().unwrap_or_default();
        assert_eq!(address.starts_with("127.0.0.1:"), listener != "native", "{line}");
    }
    browser.wait_for("#list li:first-child", "from tenfour send");
    let shown = browser.run("return document.querySelectorAll('#list li').length");
    assert_eq!(shown, 7);
}
