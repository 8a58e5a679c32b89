//! Killing a program at its k-th system call, or failing that call: `strace -e inject=...`.

use super::needs;

/// What happens at which call.
#[derive(Clone, Debug)]
pub struct Injection {
    words: Vec<String>,
}

impl Injection {
    /// The words in front of the command. `None` where strace is missing.
    fn new(call: &str, what: &str, when: &str) -> Option<Self> {
        if !needs("strace") {
            return None;
        }
        // -D: the program stays our child, so that a kill reaches it and its exit code us.
        let words = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e"];
        let mut words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        words.push(format!("trace={call}"));
        words.push("-e".to_owned());
        words.push(format!("inject={call}:{what}:when={when}"));
        Some(Injection { words })
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

    pub fn front(&self) -> Vec<&str> {
        self.words.iter().map(String::as_str).collect()
    }
}
