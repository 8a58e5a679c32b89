//! PostgreSQL on the loopback, for tests: each cluster in a folder of its own, gone with the process that made it.

#![forbid(unsafe_code)]

mod replicated;

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use replicated::Replicated;

/// The owner of every database here.
const OWNER: &str = "tenfour";

/// A server of PostgreSQL with its data.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    port: u16,
    /// Ends the cluster when our end of its input is closed, however this process ends.
    #[allow(dead_code, reason = "held, not read")]
    keeper: Child,
}

/// The one of this process that does not replicate; `None` where PostgreSQL is not installed, which is a failure in CI.
pub fn shared() -> Option<&'static Cluster> {
    static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
    SHARED
        .get_or_init(|| is_installed().then(|| Cluster::start("")))
        .as_ref()
}

/// PostgreSQL's programs are here.
///
/// # Panics
///
/// In CI, where they are not: a proof that nobody runs is none.
pub fn is_installed() -> bool {
    let found = programs().is_some();
    assert!(
        found || std::env::var_os("CI").is_none(),
        "this test cannot run, and in CI every test must: PostgreSQL must be installed"
    );
    if !found {
        let _ = writeln!(
            std::io::stderr(),
            "passed over: PostgreSQL must be installed (apt-get install postgresql)"
        );
    }
    found
}

/// Debian does not put them on the path.
fn programs() -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&on_path).collect();
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    let all = ["initdb", "pg_basebackup", "pg_ctl", "postgres", "psql"];
    folders
        .into_iter()
        .find(|folder| all.iter().all(|name| folder.join(name).is_file()))
}

/// A command of PostgreSQL, which does not run as root.
fn program(name: &str) -> Command {
    let path = programs().unwrap_or_default().join(name);
    if !rustix::process::geteuid().is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"])
        .arg(path);
    command
}

fn finish(mut command: Command) -> Output {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .map(|address| address.port())
        .unwrap_or_else(|error| panic!("no port is free: {error}"))
}

impl Cluster {
    /// A new one, with these lines added to its settings.
    pub fn start(settings: &str) -> Self {
        let folder = new_folder();
        let data = folder.join("data");
        let mut made = program("initdb");
        made.args([
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "-U",
            OWNER,
            "-D",
        ])
        .arg(&data);
        finish(made);
        Cluster::on(folder, free_port(), settings)
    }

    /// Starts on a folder whose data are there.
    fn on(folder: PathBuf, port: u16, settings: &str) -> Self {
        let all = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{}'\nmax_connections = 60\n\
             shared_buffers = 32MB\nlog_min_messages = error\n{settings}\n",
            folder.display()
        );
        let file = folder.join("data").join("postgresql.auto.conf");
        let mut opened = std::fs::OpenOptions::new()
            .append(true)
            .open(&file)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        opened
            .write_all(all.as_bytes())
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let keeper = keeper(&folder);
        let cluster = Cluster { folder, port, keeper };
        cluster.resume();
        cluster
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn control(&self, arguments: &[&str]) -> Command {
        let mut control = program("pg_ctl");
        control
            .args(arguments)
            .args(["-w", "-s", "-t", "60", "-D"])
            .arg(self.data())
            .arg("-l")
            .arg(self.folder.join("log"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        control
    }

    /// Starts it again after [`kill`](Self::kill).
    pub fn resume(&self) {
        // A child that had just been forked may have the memory of the old one for a moment longer.
        for _ in 0..50 {
            let started = self.control(&["start"]).status();
            if started.is_ok_and(|status| status.success()) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        panic!("a cluster does not start:\n{log}");
    }

    /// Ends it as a power cut would, but for what the system's cache holds.
    pub fn kill(&self) {
        for process in self.processes() {
            let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
        }
        // Its memory and locks are freed by the system when the last of them is gone.
        while !self.processes().is_empty() {
            std::thread::yield_now();
        }
    }

    /// Stops all of its processes where they are, or lets them go on.
    pub fn freeze(&self, is_frozen: bool) {
        let signal = if is_frozen {
            rustix::process::Signal::STOP
        } else {
            rustix::process::Signal::CONT
        };
        for process in self.processes() {
            let _ = rustix::process::kill_process(process, signal);
        }
    }

    /// A standby becomes a primary.
    pub fn promote(&self) {
        finish(self.control(&["promote"]));
    }

    /// The postmaster and its children.
    fn processes(&self) -> Vec<rustix::process::Pid> {
        let Ok(file) = std::fs::read_to_string(self.data().join("postmaster.pid")) else {
            return Vec::new();
        };
        let Some(parent) = file
            .lines()
            .next()
            .and_then(|line| line.trim().parse::<i32>().ok())
        else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(number) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<i32>().ok())
            else {
                continue;
            };
            let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
                continue;
            };
            // `pid (name) state parent ...`; the name may hold anything but comes first.
            let mut rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ');
            let (state, its_parent) = (
                rest.next(),
                rest.next().and_then(|parent| parent.parse::<i32>().ok()),
            );
            let is_ours = number == parent && stat.contains("(postgres)") || its_parent == Some(parent);
            if is_ours && state != Some("Z") {
                found.extend(rustix::process::Pid::from_raw(number));
            }
        }
        found
    }

    /// A standby of it that streams under that name and listens there, with these lines added to its settings.
    pub fn standby_at(&self, name: &str, port: u16, settings: &str) -> Self {
        let folder = new_folder();
        let mut copied = program("pg_basebackup");
        copied
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", OWNER])
            .args(["-c", "fast", "--no-sync", "-D"])
            .arg(folder.join("data"));
        finish(copied);
        let signal = folder.join("data").join("standby.signal");
        std::fs::write(&signal, "").unwrap_or_else(|error| panic!("{}: {error}", signal.display()));
        give(&signal);
        let follow = format!(
            "primary_conninfo = 'host=127.0.0.1 port={} user={OWNER} application_name={name}'\n{settings}",
            self.port
        );
        Cluster::on(folder, port, &follow)
    }

    /// Runs statements in a database, and gives what they print.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        let mut psql = program("psql");
        psql.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", OWNER])
            .args([
                "-X",
                "-A",
                "-t",
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                database,
                "-c",
                statements,
            ]);
        String::from_utf8_lossy(&finish(psql).stdout).trim().to_owned()
    }

    /// The address of a database in it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{OWNER}@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes an empty database, and gives its name.
    pub fn new_database(&self) -> String {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.sql(
            "postgres",
            &format!("CREATE DATABASE {name} STRATEGY = file_copy"),
        );
        name
    }
}

/// Owned by whoever PostgreSQL runs as.
fn new_folder() -> PathBuf {
    let folder = tempfile::Builder::new()
        .prefix("tenfour-postgres-")
        .tempdir()
        .unwrap_or_else(|error| panic!("no folder: {error}"))
        .keep();
    give(&folder);
    folder
}

fn give(path: &Path) {
    if rustix::process::geteuid().is_root() {
        let mut chown = Command::new("chown");
        chown.arg("nobody:nogroup").arg(path);
        finish(chown);
    }
}

/// Waits for the end of its input, then ends the cluster and removes its folder: a process that is killed cannot.
fn keeper(folder: &Path) -> Child {
    let script = r#"trap '' INT; cat; if read -r parent < "$0/data/postmaster.pid"; then
        kill -CONT "$parent"; kill -QUIT "$parent"; while kill -0 "$parent"; do sleep 0.1; done; fi 2>/dev/null; rm -rf "$0""#;
    Command::new("sh")
        .args(["-c", script])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("sh: {error}"))
}
