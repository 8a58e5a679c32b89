//! The house as its documents have it: no circles, no stairs that lead up, nobody's furniture in another's room.

#[path = "structure/mod.rs"]
mod modules;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use modules::{Crate, Module, name, rust_files};

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Of which crate each may know.
const KNOWS: [(&str, &[&str]); 10] = [
    ("tenfour-proto", &[]),
    ("tenfour-checker", &[]),
    ("tenfour-store", &["tenfour-proto"]),
    (
        "tenfour-store-postgres",
        &["tenfour-identity", "tenfour-proto", "tenfour-store"],
    ),
    ("tenfour-identity", &["tenfour-proto"]),
    ("tenfour-worker", &["tenfour-proto"]),
    (
        "tenfour-client",
        &[
            "tenfour-identity",
            "tenfour-proto",
            "tenfour-store",
            "tenfour-worker",
        ],
    ),
    (
        "tenfour-server",
        &[
            "tenfour-identity",
            "tenfour-proto",
            "tenfour-store",
            "tenfour-worker",
        ],
    ),
    (
        "tenfour",
        &[
            "tenfour-client",
            "tenfour-identity",
            "tenfour-proto",
            "tenfour-server",
            "tenfour-store",
            "tenfour-store-postgres",
            "tenfour-worker",
        ],
    ),
    ("tenfour-cli", &["tenfour", "tenfour-checker"]),
];

#[test]
fn crates_know_only_those_below_them() {
    for (crate_name, known) in KNOWS {
        let manifest = std::fs::read_to_string(crates().join(crate_name).join("Cargo.toml")).unwrap();
        let dependencies = manifest
            .split_once("[dependencies]")
            .map_or("", |(_, rest)| rest.split("\n[").next().unwrap());
        for line in dependencies.lines().filter(|line| line.starts_with("tenfour")) {
            let other = line.split(['.', ' ']).next().unwrap();
            assert!(known.contains(&other), "{crate_name} knows {other}");
        }
    }
    let there = std::fs::read_dir(crates()).unwrap().count();
    assert_eq!(there, KNOWS.len(), "a crate without a floor");
}

/// The workspace's lints only deny it: the command looks once before Rust's runtime starts, and asks the C library to give memory back.
#[test]
fn no_library_has_unsafe_code() {
    for (crate_name, _) in KNOWS
        .iter()
        .filter(|(crate_name, _)| *crate_name != "tenfour-cli")
    {
        let root = std::fs::read_to_string(crates().join(crate_name).join("src/lib.rs")).unwrap();
        assert!(root.contains("\n#![forbid(unsafe_code)]\n"), "{crate_name}");
    }
    let sources = rust_files(&crates().join("tenfour-cli/src"));
    let allowing: BTreeSet<_> = sources
        .iter()
        .filter(|file| std::fs::read_to_string(file).unwrap().contains("unsafe_code"))
        .map(|file| file.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(allowing, BTreeSet::from(["allocator.rs", "output.rs"]));
}

#[test]
fn no_modules_use_each_other_in_a_circle() {
    let mut circles = Vec::new();
    for (crate_name, _) in KNOWS {
        for circle in Crate::read(&crates().join(crate_name).join("src")).circles() {
            circles.push(format!("{crate_name}: {}", circle.join(", ")));
        }
    }
    assert!(circles.is_empty(), "circles:\n{}", circles.join("\n"));
}

/// The floors of the server, from below.
const FLOORS: [&[&str]; 7] = [
    &["neighbourhood"],
    &["broker", "counters", "event"],
    &["admission", "reading"],
    &["config", "error", "context"],
    &["handler", "mailboxes", "plain_runtime", "record", "status"],
    &["listeners"],
    &["server", "the root"],
];

#[test]
fn in_the_server_stairs_lead_down_only() {
    let floor = |module: &Module| {
        let room = module.first().map_or("the root", String::as_str);
        let found = FLOORS.iter().position(|rooms| rooms.contains(&room));
        found.unwrap_or_else(|| panic!("`{room}` is on no floor"))
    };
    for (from, used) in Crate::read(&crates().join("tenfour-server/src")).arrows() {
        for to in used {
            let (from_name, to_name) = (name(&from), name(&to));
            assert!(floor(&from) >= floor(&to), "{from_name} uses {to_name}");
            assert!(!is_another_dialect(&from, &to), "{from_name} uses {to_name}");
        }
    }
}

/// A listener knows what all of them share, and no other listener.
fn is_another_dialect(from: &Module, to: &Module) -> bool {
    let dialect = |module: &Module| match &module[..] {
        [floor, room, ..] if floor == "listeners" && room != "accept" && room != "publish_one" => {
            Some(room.clone())
        }
        _ => None,
    };
    match (dialect(from), dialect(to)) {
        (Some(one), Some(other)) => one != other,
        _ => false,
    }
}

#[test]
fn only_the_store_knows_sqlite_and_only_the_command_prints() {
    for (crate_name, _) in KNOWS {
        for file in rust_files(&crates().join(crate_name).join("src")) {
            let text = std::fs::read_to_string(&file).unwrap();
            let file = file.display();
            assert!(
                crate_name == "tenfour-store" || !text.contains("rusqlite::"),
                "{file} knows SQLite"
            );
            if ["tenfour-proto", "tenfour-store"].contains(&crate_name) {
                for word in ["tokio", "std::net::TcpStream", "async fn"] {
                    assert!(!text.contains(word), "{file} has `{word}`");
                }
            }
        }
    }
}

/// A receipt is made of a [`Stored`](tenfour_proto::Stored) and of nothing else; that is worth as much as the care with which
/// one is made. Tests may.
#[test]
fn only_the_ledger_says_that_something_is_stored() {
    let mut found = Vec::new();
    for (crate_name, _) in KNOWS {
        for path in rust_files(&crates().join(crate_name).join("src")) {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            if code.contains("Stored::after_commit(") {
                found.push(path.file_name().unwrap().to_owned());
            }
        }
    }
    found.sort();
    assert_eq!(found, ["deposit.rs", "ledger.rs"]);
}

/// What stands at the root of the facade is what a reader must know first; the rest has modules. Whoever adds or takes a name
/// changes the list, and thinks of those who use it.
#[test]
fn the_root_of_the_library_has_these_names() {
    let root = std::fs::read_to_string(crates().join("tenfour/src/lib.rs")).unwrap();
    let mut names: Vec<String> = Vec::new();
    for statement in root.split(';').map(|text| text.rsplit("\n\n").next().unwrap()) {
        let Some((_, used)) = statement.split_once("pub use ") else {
            continue;
        };
        let last = |path: &str| {
            let path = path.rsplit(" as ").next().unwrap();
            path.rsplit("::").next().unwrap().trim().to_owned()
        };
        match used.split_once("::{") {
            Some((_, group)) => {
                let group = group.trim_end_matches('}').split(',');
                names.extend(group.map(last).filter(|name| !name.is_empty()));
            }
            None if used.ends_with('*') => {}
            None => names.push(last(used)),
        }
    }
    names.sort();
    let expected = "Address AskError Client ClientBuilder ClientConfig ConnectError Consumer CursorName Delivery \
        DeliveryError Durability Handler HandlerError HandlerOptions Item MailboxName Message PendingReceipt ReadFrom Reader \
        ReaderError Receipt Reply Sender Server datagram identity proto text";
    assert_eq!(names.join(" "), expected);
}
