//! The README's commands, as they stand there, in a network of their own: its ports are the usual ones.

mod support;

use std::path::Path;

use support::needs;
use support::network::in_a_network_of_its_own;

fn readme() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join("README.md")).unwrap()
}

/// The lines of all blocks of that kind. What begins with `cargo` is run by `.ci/run`.
fn blocks(kind: &str) -> Vec<String> {
    let readme = readme();
    let opening = format!("```{kind}\n");
    let blocks = readme.split(&opening).skip(1);
    let lines = blocks.flat_map(|block| block.split("```").next().unwrap().lines());
    lines
        .filter(|line| !line.starts_with("cargo "))
        .map(str::to_owned)
        .collect()
}

const WAIT: &str = "until tenfour tail localhost >>waited 2>&1; do :; done";

/// What a server says goes to a file: a line of its log once came between the two lines that a test looked for.
fn in_the_background(server: &str) -> String {
    format!("exec 3>&1 4>&2 >server.log 2>&1\n{server}\nserver=$!\nexec >&3 2>&4 3>&- 4>&-\n")
}

#[test]
fn each_command_does_what_it_says() {
    if !needs("unshare") || !needs("ip") {
        return;
    }
    let lines = blocks("sh");
    assert!(lines.len() > 10, "{lines:?}");
    assert_eq!(lines[0], "tenfour serve &");
    let script = format!(
        "{}{WAIT}\n{}\nkill $server\nwait $server",
        in_the_background(&lines[0]),
        lines[1..].join("\n")
    );
    let said = in_a_network_of_its_own(&script);
    assert!(
        said.contains("it is on the server's disk, once\nbackup done\n"),
        "{said}"
    );
    assert!(said.contains("one\ntwo\n"), "{said}");
}

#[test]
fn two_machines_are_introduced_to_each_other() {
    if !needs("unshare") || !needs("ip") {
        return;
    }
    let mut script = String::from("mkdir server client\n");
    for line in blocks("console") {
        let (machine, command) = line.split_once("$ ").unwrap();
        let command = command.replace("SERVER", "127.0.0.1").replace("TOKEN", "$token");
        let command = format!("TENFOUR_HOME=$PWD/{machine} {command}");
        script += &match () {
            () if command.ends_with("tenfour serve") => {
                let server = in_the_background(&format!("{command} &"));
                format!("{server}TENFOUR_HOME=$PWD/server; export TENFOUR_HOME\n{WAIT}\n")
            }
            () if command.contains("invite") => format!("token=$({command})\n"),
            () => command + "\n",
        };
    }
    script += "tenfour tail 127.0.0.1\nkill $server\nwait $server";
    assert!(in_a_network_of_its_own(&script).ends_with("hello\n"));
}

/// A newcomer reads that far.
#[test]
fn it_is_short_and_begins_with_an_example() {
    let readme = readme();
    assert!(readme.lines().count() <= 150);
    let first = readme.lines().position(|line| line.starts_with("tenfour "));
    assert!(first.unwrap() < 15);
}
