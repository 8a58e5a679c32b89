//! Each feature alone: it builds, and draws in nothing that its user did not ask for.

use std::path::Path;
use std::process::Command;

/// Package, feature, and how many crates it may draw in at most, itself included.
const ALONE: [(&str, &str, Option<usize>); 11] = [
    // Whoever only sends needs neither a compiler for C nor a minute.
    ("tenfour-client", "", Some(50)),
    ("tenfour-client", "outbox", None),
    ("tenfour-server", "", None),
    ("tenfour-server", "http", None),
    ("tenfour-server", "modbus", None),
    ("tenfour", "client", Some(51)),
    ("tenfour", "outbox", None),
    ("tenfour", "exec", None),
    ("tenfour", "server", None),
    ("tenfour", "http", None),
    ("tenfour", "modbus", None),
];

fn cargo(arguments: &[&str], package: &str, feature: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(env!("CARGO"))
        .current_dir(&root)
        // The folder of the tests themselves is in use.
        .env("CARGO_TARGET_DIR", root.join("target/features"))
        .env("RUSTFLAGS", "-Dwarnings")
        .args(arguments)
        .args([
            "--locked",
            "--offline",
            "--package",
            package,
            "--no-default-features",
            "--features",
            feature,
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{package} with `{feature}`: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Names and versions of all crates that are built, for programs that run here.
fn drawn_in(package: &str, feature: &str) -> Vec<String> {
    let tree = cargo(
        &["tree", "--prefix", "none", "--edges", "normal,build"],
        package,
        feature,
    );
    let mut crates: Vec<String> = tree
        .lines()
        .map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
        .collect();
    crates.sort();
    crates.dedup();
    crates
}

#[test]
fn whoever_only_sends_draws_in_no_web_framework_and_no_database() {
    for (package, feature, most) in ALONE {
        let crates = drawn_in(package, feature);
        if let Some(most) = most {
            assert!(
                crates.len() <= most,
                "{package}: {} crates:\n{}",
                crates.len(),
                crates.join("\n")
            );
            for name in &crates {
                let name = name.split(' ').next().unwrap();
                let heavy = ["axum", "hyper", "tower", "utoipa", "rusqlite"].contains(&name);
                assert!(!heavy && !name.ends_with("-sys"), "{package} draws in {name}");
            }
        }
        let has = |name: &str| crates.iter().any(|one| one.starts_with(&format!("{name} ")));
        assert_eq!(has("axum"), feature == "http", "{package} with `{feature}`");
    }
}

#[test]
fn each_feature_builds_alone() {
    for (package, feature, _) in ALONE {
        cargo(&["check", "--quiet"], package, feature);
    }
}
