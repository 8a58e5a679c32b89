//! The command as a child process, with a home of its own.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::print_stderr, reason = "a test that is passed over says so")]

pub mod browser;
pub mod disk;
pub mod hasty;
pub mod history;
pub mod http;
pub mod injection;
pub mod network;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The longest that any of these conversations may take.
pub const LONG: Duration = Duration::from_secs(90);

/// A server on a port of its own, without the listeners that everybody finds at the usual ports.
pub const SERVE: [&str; 7] = [
    "serve",
    "--native",
    "127.0.0.1:0",
    "--text",
    "off",
    "--datagram",
    "off",
];

/// One user on one machine.
pub struct Home(PathBuf, Option<TempDir>);

impl Home {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Home(folder.path().to_owned(), Some(folder))
    }

    /// A home that is not removed.
    pub fn at(path: &Path) -> Self {
        Home(path.to_owned(), None)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `tenfour ARGUMENTS`, with nothing of our own environment but PATH.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenfour"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TENFOUR_HOME", self.path())
            .stdin(Stdio::null())
            .args(arguments);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        run(self.command(arguments), b"")
    }

    pub fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Ran {
        run(self.command(arguments), input)
    }

    pub fn fingerprint(&self) -> String {
        self.run(&["keys", "show"]).ok().trim().to_owned()
    }

    pub fn serve(&self) -> Served {
        self.serve_with(&[])
    }

    pub fn serve_with(&self, arguments: &[&str]) -> Served {
        Served::start(self, &[], arguments)
    }

    /// The same with other words in front of the command.
    pub fn serve_under(&self, front: &[&str], arguments: &[&str]) -> Served {
        Served::start(self, front, arguments)
    }

    /// `tenfour ARGUMENTS` with other words in front.
    pub fn command_under(&self, front: &[&str], arguments: &[&str]) -> Command {
        let command = self.command(arguments);
        let Some((first, rest)) = front.split_first() else {
            return command;
        };
        let mut under = Command::new(first);
        under
            .args(rest)
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear()
            .stdin(Stdio::null());
        for (name, value) in command.get_envs() {
            under.env(name, value.unwrap_or_default());
        }
        under
    }
}

/// What a command did.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Its output, if it ended with 0.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(
            self.code,
            Some(0),
            "stdout: {}\nstderr: {}",
            self.stdout,
            self.stderr
        );
        self.stdout
    }

    /// It ended with `code`, and said `words` on stderr.
    #[track_caller]
    pub fn failed(self, code: i32, words: &str) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout: {}\nstderr: {}",
            self.stdout,
            self.stderr
        );
        assert!(
            self.stderr.contains(words),
            "`{words}` is not in: {}",
            self.stderr
        );
        self
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

pub fn run(mut command: Command, input: &[u8]) -> Ran {
    if !input.is_empty() {
        command.stdin(Stdio::piped());
    }
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdin = child.stdin.take();
    let input = input.to_vec();
    let feeding = std::thread::spawn(move || {
        if let Some(mut stdin) = stdin {
            // A command that has heard enough may be gone.
            let _ = stdin.write_all(&input);
        }
    });
    let ran = child.wait_with_output().unwrap().into();
    feeding.join().unwrap();
    ran
}

/// A server that ends with the test.
pub struct Served {
    child: Child,
    pub text: String,
    pub native: String,
    pub datagram: String,
    pub http: String,
    pub https: String,
    pub modbus: String,
    pub console: Lines,
    pub log: Lines,
}

impl Served {
    fn start(home: &Home, front: &[&str], arguments: &[&str]) -> Self {
        let ports = home.path().join("ports");
        let _ = std::fs::remove_file(&ports);
        let mut command = home.command_under(front, &["serve", "--port-file", ports.to_str().unwrap()]);
        if !arguments.contains(&"--text") {
            command.args(["--text", "127.0.0.1:0"]);
        }
        if !arguments.contains(&"--datagram") {
            command.args(["--datagram", "127.0.0.1:0"]);
        }
        if !arguments.contains(&"--native") {
            // It may be started again at the same place.
            command.args(["--native", &tenfour_checker::free_address().to_string()]);
        }
        command.args(arguments);
        Self::spawn(command, &ports)
    }

    /// The reader of its stdout goes away at once.
    pub fn spawn_unread(command: Command, ports: &Path) -> Self {
        let mut served = Self::spawn_child(command, ports);
        drop(served.child.stdout.take());
        served
    }

    pub fn spawn(command: Command, ports: &Path) -> Self {
        let mut served = Self::spawn_child(command, ports);
        served.console = Lines::of(served.child.stdout.take().unwrap());
        served
    }

    fn spawn_child(mut command: Command, ports: &Path) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Lines::of(child.stderr.take().unwrap());
        wait_for("the port file", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("serve ended: {status}; {:?}", log.all());
            }
            ports.exists()
        });
        let listed = std::fs::read_to_string(ports).unwrap();
        let find = |name: &str| {
            listed
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
                .unwrap_or_default()
                .to_owned()
        };
        Served {
            text: find("text"),
            native: find("native"),
            datagram: find("datagram"),
            http: find("http"),
            https: find("https"),
            modbus: find("modbus"),
            child,
            console: Lines::of(std::io::empty()),
            log,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A target for the native listener, with a mailbox.
    pub fn at(&self, mailbox: &str) -> String {
        format!("{}/{mailbox}", self.native)
    }

    pub fn text_url(&self) -> String {
        format!("tcp://{}", self.text)
    }

    pub fn datagram_url(&self) -> String {
        format!("udp://{}", self.datagram)
    }

    /// The address of the live page, with its token.
    pub fn page(&self) -> String {
        const SAID: &str = "the address is in `";
        self.log.wait_for(SAID);
        let lines = self.log.all();
        let file = lines.iter().find_map(|line| line.split_once(SAID)).unwrap().1;
        std::fs::read_to_string(file.trim_end_matches('`'))
            .unwrap()
            .trim_end()
            .to_owned()
    }

    /// The token in it, which has every right.
    pub fn token(&self) -> String {
        self.page().split_once("#token=").unwrap().1.to_owned()
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and the exit code.
    pub fn stop(self) -> Option<i32> {
        signal(self.child.id(), "TERM");
        self.wait()
    }

    /// Waits until it has ended.
    pub fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn signal(process: u32, name: &str) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &process.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
    // The signal is on its way to every thread when `kill` ends: one that still ran has answered once.
    if name == "STOP" && Path::new("/proc/self/task").exists() {
        wait_for("every thread to stop", || {
            let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
            threads.flatten().all(|thread| {
                let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
                stat.rsplit(") ")
                    .next()
                    .is_some_and(|state| state.starts_with('T'))
            })
        });
    }
}

/// Lines of a child, as they come. The second part is true once there are no more.
#[derive(Clone)]
pub struct Lines(
    std::sync::Arc<Mutex<Vec<String>>>,
    std::sync::Arc<std::sync::atomic::AtomicBool>,
);

impl Lines {
    pub fn of(producer: impl Read + Send + 'static) -> Self {
        let lines = Lines(std::sync::Arc::default(), std::sync::Arc::default());
        let Lines(into, ended) = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(producer).split(b'\n').map_while(Result::ok) {
                into.lock()
                    .unwrap()
                    .push(String::from_utf8_lossy(&line).into_owned());
            }
            ended.store(true, std::sync::atomic::Ordering::Release);
        });
        lines
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub fn wait_for_end(&self) {
        wait_for("the end", || self.1.load(std::sync::atomic::Ordering::Acquire));
    }

    pub fn wait_for(&self, line: &str) {
        wait_for(line, || self.all().iter().any(|l| l.contains(line)));
    }
}

/// A `receive` that goes on until it is ended.
pub struct Receiving {
    pub child: Child,
    pub out: Lines,
}

impl Receiving {
    pub fn start(home: &Home, served: &Served, arguments: &[&str]) -> Self {
        let mut child = home
            .command(&[&["receive", &served.native][..], arguments].concat())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Receiving {
            out: Lines::of(child.stdout.take().unwrap()),
            child,
        }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks again and again until it is so; a test that hangs is a failure that says what it waited for.
#[track_caller]
pub fn wait_for(what: &str, mut so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !so() {
        assert!(started.elapsed() < LONG, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Of the process whose number is in the file. One that nobody waits for any more is a zombie at most.
pub fn wait_for_the_end_of(pid: &Path) {
    let pid = std::fs::read_to_string(pid).unwrap();
    let stat = Path::new("/proc").join(pid.trim()).join("stat");
    wait_for("the process to end", || {
        std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "))
    });
}

/// A program that a test needs.
pub fn needs(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()));
    found || is_passed_over(&format!("`{program}` must be installed"), in_ci())
}

/// The same for being root.
pub fn needs_root() -> bool {
    let root = std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    root || is_passed_over("it must run as root", in_ci())
}

fn in_ci() -> bool {
    std::env::var_os("CI").is_some()
}

/// A test that lacks something says that it is passed over. In CI that is a failure: a proof that nobody runs is none.
/// Gives false, for whoever asked whether it is there.
#[track_caller]
pub fn is_passed_over(lacking: &str, in_ci: bool) -> bool {
    assert!(
        !in_ci,
        "this test cannot run, and in CI every test must: {lacking}"
    );
    eprintln!("passed over: {lacking}");
    false
}

/// A python that has pymodbus: of the folder that CI makes, or the one of the system.
pub fn python_with_pymodbus() -> Option<PathBuf> {
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/pymodbus/bin/python");
    let has = |python: &Path| {
        let found = Command::new(python).args(["-c", "import pymodbus"]).output();
        found.is_ok_and(|output| output.status.success())
    };
    let found = [made, PathBuf::from("python3")]
        .into_iter()
        .find(|python| has(python));
    if found.is_none() {
        is_passed_over("a python with pymodbus must be installed", in_ci());
    }
    found
}

/// A program of tests/interop, compiled once a test process: a second compiler would write into the program that another
/// test is running.
pub fn compiled(name: &str) -> PathBuf {
    static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());
    static COMPILED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let program = FOLDER.path().join(name);
    // A test that fails here has left nothing half done that another could take for whole.
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if !compiled.contains(name) {
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../tests/interop")
            .join(format!("{name}.cpp"));
        let status = Command::new("g++")
            .args(["-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(&program)
            .arg(source)
            .status();
        assert!(status.unwrap().success());
        compiled.insert(name.to_owned());
    }
    program
}

/// All bodies of a mailbox, one a line.
pub fn mailbox(home: &Home, target: &str) -> Vec<String> {
    home.run(&["tail", target])
        .ok()
        .lines()
        .map(str::to_owned)
        .collect()
}
