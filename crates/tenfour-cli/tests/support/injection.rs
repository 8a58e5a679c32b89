//! Killing a program at its k-th system call, or failing that call: `strace -e inject=...`.

use std::process::{Child, Stdio};

use tempfile::NamedTempFile;

use super::{Home, needs, wait_for};

/// What happens at which call.
#[derive(Debug)]
pub struct Injection {
    words: Vec<String>,
    /// What strace saw.
    seen: NamedTempFile,
}

impl Injection {
    /// The words in front of the command. `None` where strace is missing.
    fn new(call: &str, what: &str, when: &str) -> Option<Self> {
        if !needs("strace") {
            return None;
        }
        let seen = NamedTempFile::new().unwrap();
        // -D: the program stays our child, so that a kill reaches it and its exit code us.
        let words = [
            "strace",
            "-D",
            "-f",
            "-qq",
            "-o",
            seen.path().to_str().unwrap(),
            "-e",
        ];
        let mut words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        words.push(format!("trace={call}"));
        words.push("-e".to_owned());
        words.push(format!("inject={call}:{what}:when={when}"));
        Some(Injection { words, seen })
    }

    /// `kill -9` at the k-th call of a thread.
    pub fn kill(call: &str, k: u64) -> Option<Self> {
        Self::new(call, "signal=KILL", &k.to_string())
    }

    /// That error at the k-th call of a thread, once or from then on.
    pub fn error(call: &str, error: &str, k: u64, for_ever: bool) -> Option<Self> {
        let when = format!("{k}{}", if for_ever { "+" } else { "" });
        Self::new(call, &format!("error={error}"), &when)
    }

    /// A thread made its k-th call, and it failed.
    pub fn has_happened(&self) -> bool {
        std::fs::read_to_string(&self.seen)
            .unwrap()
            .contains("(INJECTED)")
    }

    pub fn front(&self) -> Vec<&str> {
        self.words.iter().map(String::as_str).collect()
    }
}

/// A server that may die at any moment, while it starts too.
pub struct Fragile {
    child: Child,
    pub native: String,
}

impl Fragile {
    pub fn start(home: &Home, native: &str, injection: Option<&Injection>, more: &[&str]) -> Self {
        let front = injection.map(Injection::front).unwrap_or_default();
        let ports = home.path().join("ports");
        let _ = std::fs::remove_file(&ports);
        let ports = ports.to_str().unwrap();
        let arguments = [
            "serve",
            "--quiet",
            "--text",
            "off",
            "--datagram",
            "off",
            "--native",
            native,
            "--port-file",
            ports,
        ];
        let mut child = home
            .command_under(&front, &arguments)
            .args(more)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(home.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        wait_for("the server to start, or to end", || {
            child.try_wait().unwrap().is_some() || std::path::Path::new(ports).exists()
        });
        let listed = std::fs::read_to_string(ports).unwrap_or_default();
        let native = listed.trim().strip_prefix("native ").unwrap_or(native).to_owned();
        Fragile { child, native }
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
