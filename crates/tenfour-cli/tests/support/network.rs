//! A network in which nobody else listens, so that the usual ports are free.

use std::path::Path;
use std::process::Command;

/// Runs it in a namespace without anybody else's servers, with `HOME` empty; gives what it printed.
pub fn in_a_network_of_its_own(script: &str) -> String {
    let home = tempfile::tempdir().unwrap();
    let tenfour = Path::new(env!("CARGO_BIN_EXE_tenfour"));
    let path = format!(
        "{}:/usr/bin:/bin:/usr/sbin:/sbin",
        tenfour.parent().unwrap().display()
    );
    let script = format!("ip link set lo up\n{script}\n");
    let output = Command::new("timeout")
        .args([
            "60",
            "unshare",
            "--map-root-user",
            "--net",
            "--mount",
            "bash",
            "-euo",
            "pipefail",
            "-c",
            &script,
        ])
        .current_dir(&home)
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}\n{said}");
    String::from_utf8(output.stdout).unwrap()
}
