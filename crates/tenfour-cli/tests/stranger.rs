//! Somebody else's program: ten lines, the client alone, in a folder of its own.

mod support;

use std::path::Path;
use std::process::Command;

use support::Home;

const MANIFEST: &str = r#"
[package]
name = "stranger"
version = "0.0.0"
edition = "2024"

[workspace]

[dependencies]
tenfour = { path = "ROOT/crates/tenfour", default-features = false, features = ["client"] }
tokio = { version = "1", features = ["macros", "rt"] }
"#;

const PROGRAM: &str = r#"
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = std::env::args().nth(1).ok_or("usage: stranger HOST")?;
    let client = tenfour::Client::builder(&server).connect().await?;
    let receipt = client.send("inbox", "hello from elsewhere").await?.await?;
    println!("{} #{}", receipt.mailbox, receipt.offset);
    client.close().await;
    Ok(())
}
"#;

#[test]
fn a_program_of_ten_lines_sends_and_knows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap();
    let home = Home::new();
    let served = home.serve();
    let folder = tempfile::tempdir().unwrap();
    let manifest = MANIFEST.replace("ROOT", root.to_str().unwrap());
    std::fs::create_dir(folder.path().join("src")).unwrap();
    std::fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    std::fs::write(folder.path().join("src/main.rs"), PROGRAM).unwrap();
    // The versions that are here already.
    std::fs::copy(root.join("Cargo.lock"), folder.path().join("Cargo.lock")).unwrap();
    let output = Command::new(env!("CARGO"))
        .current_dir(folder.path())
        .env("CARGO_TARGET_DIR", root.join("target/features"))
        .env("TENFOUR_HOME", home.path())
        .args(["run", "--quiet", "--offline", "--", &served.native])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(output.stdout, b"inbox #1\n");
    assert_eq!(home.run(&["tail", &served.native]).ok(), "hello from elsewhere\n");
}
