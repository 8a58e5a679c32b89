//! Handling a message by a program: its body on stdin, what it is in the environment.
//!
//! The program runs in a process group of its own, which is ended whole: when the program ends, when its time is
//! over, when it writes too much, and when nobody waits for it any more.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tenfour_proto::{Item, Reply, limits};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::orphans::Running;

/// What a program is told begins so. No flag of a command does: a variable of a message that is a flag as well would be one
/// of the next `tenfour` that the program starts.
pub const MESSAGE_VARIABLES: &str = "TENFOUR_MSG_";

/// What a program does not inherit of our environment: it is for this process alone.
const OURS: [&str; 6] = [
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// What left the group may keep stdout open; nobody waits longer for its end.
const LAST_BYTES: Duration = Duration::from_millis(500);

/// A program that handles messages.
#[derive(Clone, Debug)]
pub struct Exec {
    /// Program and arguments; no shell reads them.
    pub argv: Vec<OsString>,
    /// After this time it is ended.
    pub timeout: Duration,
    /// Most bytes that it may write to stdout; then it is ended.
    pub output: usize,
    /// Its soft limit of open files, where ours is not the one that it is to have. A shell sets it.
    pub open_files: Option<u64>,
}

/// A program that handled a message, for good or bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handled {
    /// What it wrote to stdout.
    pub output: Vec<u8>,
    /// How it ended.
    pub status: ExitStatus,
}

/// A program did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// It cannot be started.
    #[error("cannot start `{program}`: {source}")]
    Start {
        /// The program.
        program: String,
        /// The reason.
        source: std::io::Error,
    },
    /// Its time was over.
    #[error("it was ended after {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// It wrote more than it may.
    #[error("it was ended: it wrote more than {0} bytes")]
    TooMuch(usize),
    /// It ended with a code that is not 0, and nobody has asked for a reply.
    #[error("exit code {0}")]
    Code(i32),
    /// A signal has ended it.
    #[error("signal {0}")]
    Signal(i32),
    /// It cannot be waited for.
    #[error("it cannot be waited for")]
    Lost(#[source] std::io::Error),
}

impl Exec {
    /// Limits of 30 seconds and 64 KiB.
    pub fn new(argv: Vec<OsString>) -> Self {
        Exec {
            argv,
            timeout: Duration::from_secs(30),
            output: limits::MAX_REPLY,
            open_files: None,
        }
    }

    /// Runs the program with one message. `cursor` is the name by which it was read. The program inherits the environment of
    /// this process, and is told of the message in variables of [`MESSAGE_VARIABLES`].
    ///
    /// # Errors
    ///
    /// When the program cannot start, or had to be ended.
    pub async fn handle(&self, item: &Item, cursor: &str) -> Result<Handled, ExecError> {
        let start = |source| ExecError::Start {
            program: self
                .argv
                .first()
                .map(|p| p.to_string_lossy().into_owned())
                .unwrap_or_default(),
            source,
        };
        let Some((program, arguments)) = self.argv.split_first() else {
            return Err(start(std::io::ErrorKind::InvalidInput.into()));
        };
        let mut command = match self.open_files {
            None => Command::new(program),
            Some(files) => {
                // A limit that is set from here, once the program runs, may come too late for it.
                if !can_be_found(Path::new(program)) {
                    return Err(start(std::io::ErrorKind::NotFound.into()));
                }
                let mut shell = Command::new("sh");
                let line = r#"ulimit -Sn "$0"; exec "$@""#;
                shell.args(["-c", line, &files.to_string()]).arg(program);
                shell
            }
        };
        command
            .args(arguments)
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| is_inherited(name)))
            .envs(metadata(item, cursor))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0);
        let (mut child, _running) = Running::start(&mut command).map_err(start)?;
        let group = ProcessGroup::of(&child);
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let body = item.message.body.clone();
        let feeding = async move {
            if let Some(mut stdin) = stdin {
                // A program need not read.
                let _ = stdin.write_all(&body).await;
            }
        };
        let running = async {
            let mut output = Vec::new();
            let mut feeding = std::pin::pin!(feeding);
            let mut stdout = stdout;
            let (mut fed, mut status) = (false, None);
            loop {
                tokio::select! {
                    () = &mut feeding, if !fed => fed = true,
                    more = read_some(&mut stdout, &mut output) => {
                        if output.len() > self.output {
                            return Err(ExecError::TooMuch(self.output));
                        }
                        if !more {
                            stdout = None;
                        }
                    }
                    ended = child.wait(), if status.is_none() => {
                        status = Some(ended.map_err(ExecError::Lost)?);
                    }
                }
                if let Some(status) = status {
                    // What it left running ends here, and with it the last hold on its stdout.
                    group.end();
                    if let Some(stdout) = &mut stdout {
                        let rest = read_rest(stdout, &mut output, self.output);
                        let _ = tokio::time::timeout(LAST_BYTES, rest).await;
                    }
                    if output.len() > self.output {
                        return Err(ExecError::TooMuch(self.output));
                    }
                    return Ok(Handled { output, status });
                }
            }
        };
        match tokio::time::timeout(self.timeout, running).await {
            Ok(result) => result,
            Err(_) => Err(ExecError::TimedOut(self.timeout)),
        }
    }
}

impl Handled {
    /// The reply of a program: its output and its exit code, if `asks`; else only success counts.
    ///
    /// # Errors
    ///
    /// [`ExecError::Signal`], and [`ExecError::Code`] where nobody has asked.
    pub fn reply(self, asks: bool) -> Result<Reply, ExecError> {
        use std::os::unix::process::ExitStatusExt;
        let code = match (self.status.code(), self.status.signal()) {
            (Some(code), _) => code,
            (None, signal) => return Err(ExecError::Signal(signal.unwrap_or_default())),
        };
        if code != 0 && !asks {
            return Err(ExecError::Code(code));
        }
        Ok(Reply::new(self.output).with_code(u8::try_from(code).unwrap_or(u8::MAX)))
    }
}

/// False at the end; without a stream it waits for ever.
async fn read_some(from: &mut Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) -> bool {
    match from {
        Some(from) => matches!(from.read_buf(into).await, Ok(count) if count > 0),
        None => std::future::pending().await,
    }
}

async fn read_rest(from: &mut (impl AsyncRead + Unpin), into: &mut Vec<u8>, most: usize) {
    while into.len() <= most && matches!(from.read_buf(into).await, Ok(count) if count > 0) {}
}

/// What a program is told of a message: `TENFOUR_MSG_MAILBOX` and so on, where it is known.
fn metadata(item: &Item, cursor: &str) -> Vec<(&'static str, String)> {
    let message = &item.message;
    let mut told = vec![
        ("TENFOUR_MSG_MAILBOX", message.mailbox.to_string()),
        ("TENFOUR_MSG_OFFSET", item.offset.to_string()),
        ("TENFOUR_MSG_SENDER", item.sender.to_string()),
        ("TENFOUR_MSG_TIME", jiff_text(item.time)),
        ("TENFOUR_MSG_BYTES", message.body.len().to_string()),
        ("TENFOUR_MSG_CURSOR", cursor.to_owned()),
        ("TENFOUR_MSG_ATTEMPT", (item.attempts + 1).to_string()),
        ("TENFOUR_MSG_ASKS", u8::from(message.asks).to_string()),
    ];
    let mut tell = |name, value: Option<String>| told.extend(value.map(|value| (name, value)));
    tell("TENFOUR_MSG_NAME", message.name.as_ref().map(ToString::to_string));
    tell(
        "TENFOUR_MSG_TYPE",
        message.content_type.as_ref().map(ToString::to_string),
    );
    tell(
        "TENFOUR_MSG_LISTENER",
        item.source.map(|source| source.listener.to_string()),
    );
    tell(
        "TENFOUR_MSG_ADDRESS",
        item.source
            .and_then(|source| source.address)
            .map(|address| address.to_string()),
    );
    tell(
        "TENFOUR_MSG_ORIGIN",
        item.origin.as_ref().map(ToString::to_string),
    );
    if item.sequence > 0 {
        tell("TENFOUR_MSG_STREAM", Some(item.producer.to_string()));
        tell("TENFOUR_MSG_SEQUENCE", Some(item.sequence.to_string()));
    }
    told
}

fn jiff_text(time: i64) -> String {
    jiff::Timestamp::from_microsecond(time).map_or_else(|_| time.to_string(), |time| format!("{time:.6}"))
}

/// There is such a program: as a path, or in PATH.
pub fn can_be_found(program: &Path) -> bool {
    if program.components().count() > 1 {
        return program.is_file();
    }
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

fn is_inherited(name: &OsStr) -> bool {
    // Those of the message that whoever started us was handling.
    !name.as_encoded_bytes().starts_with(MESSAGE_VARIABLES.as_bytes())
        && OURS.iter().all(|ours| name != *ours)
}

/// A process group that ends with this value.
struct ProcessGroup(Option<rustix::process::Pid>);

impl ProcessGroup {
    fn of(child: &Child) -> Self {
        ProcessGroup(
            child
                .id()
                .and_then(|id| i32::try_from(id).ok())
                .and_then(rustix::process::Pid::from_raw),
        )
    }
}

impl ProcessGroup {
    fn end(&self) {
        if let Some(group) = self.0 {
            // It may be gone already.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.end();
    }
}
