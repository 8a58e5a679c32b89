//! `tenfour serve`: the server with its listeners.

mod console;
mod handler;
mod key_file;
pub mod page;
mod port_owner;
mod rules;
mod sockets;
mod store;

use std::path::Path;

use tenfour::Server;
use tenfour::identity::{Home, Invitations, KeyList};
use tenfour::proto::limits;
use tenfour::server::{Access, ServeError, ServerConfig};

use crate::args::{self, Listener};
use crate::exit::Failure;
use crate::key_lists::KeyLists;
use crate::{allocator, output, service_manager, setup, signals};
use console::Console;

/// Of the memory limit, for messages that are not stored yet; the rest is for connections and caches.
const BUDGET_SHARE: u64 = 4;

/// Opens the store, binds, serves until a signal comes.
pub async fn run(arguments: args::Serve) -> Result<(), Failure> {
    allocator::give_back();
    signals::survive_file_limits();
    let files = raise_file_limit();
    let home = Home::from_environment().ok();
    let key_file = setup::identity_file(&arguments.identity)?;
    let identity = setup::identity(&arguments.identity)?;
    let own = identity.fingerprint();
    // The store first: nothing that was recovered may be served before it is on the disk.
    let (store, lists) = tokio::task::block_in_place(|| store::open(&arguments, home.as_ref()))?;
    let mut sockets = sockets::bind(&arguments)?;

    let mut config = ServerConfig::new(identity);
    config.access = access(&config, lists, arguments.open.contains(&Listener::Native))?;
    config.limits.max_message = max_message(&arguments)?;
    config.limits.max_connections = files.connections(arguments.max_connections);
    config.limits.message_budget = arguments.memory_limit / BUDGET_SHARE;
    let http = &mut sockets.listeners.http.config;
    http.names.clone_from(&arguments.http_name);
    http.open = arguments.open.contains(&Listener::Http);
    let modbus = &mut sockets.listeners.modbus.config;
    modbus.mailbox.clone_from(&arguments.modbus_mailbox);
    modbus.watch.clone_from(&arguments.modbus_watch);
    let page = page::address(&sockets.addresses, &mut config)?;
    let console = (!arguments.quiet).then(Console::new);
    config.on_event = console.as_ref().map(Console::on_event);
    let mut server = Server::new(store, config).map_err(|error| failure(&error))?;
    handler::add(&arguments, &mut server, files.of_programs())?;
    if let Some(console) = console {
        console.start(server.mailboxes());
    }

    for (name, address) in &sockets.addresses {
        output::talk(&format!("tenfour: {name} listens on {address}"));
    }
    let _page = match page.filter(|_| !arguments.quiet) {
        Some(page) => page::tell(&page, home.as_ref())?,
        None => None,
    };
    if let Some(file) = &arguments.port_file {
        write_port_file(file, &sockets.addresses)?;
    }
    key_file::watch(key_file, own);
    let counters = server.counters();
    service_manager::tell(service_manager::READY);
    let shutdown = async {
        signals::stop().await;
        service_manager::tell(service_manager::STOPPING);
        tracing::info!("stopping: the last receipts go out");
    };
    let result = server.run(sockets.listeners, shutdown).await;
    for (reason, count) in counters.iter().filter(|(_, count)| *count > 0) {
        tracing::info!(reason, count, "refused or dropped");
    }
    result.map_err(|error| failure(&error))
}

fn failure(error: &ServeError) -> Failure {
    let failure = Failure::caused(error);
    match error {
        ServeError::StoreFailed => failure.hint(
            "every receipt given is true; look at the disk, then start again: the store is read from it",
        ),
        _ => failure,
    }
}

fn max_message(arguments: &args::Serve) -> Result<u32, Failure> {
    u32::try_from(arguments.max_message)
        .ok()
        .filter(|size| (1..=limits::CEILING_MAX_MESSAGE).contains(size))
        .ok_or_else(|| {
            Failure::usage("--max-message is from 1 to 16M")
                .hint("larger files want a tool that can resume in their middle")
        })
}

fn access(config: &ServerConfig, lists: Option<KeyLists>, open: bool) -> Result<Access, Failure> {
    let mut access = config.access.clone();
    if let Some(lists) = lists {
        let unreadable =
            |list: &KeyList, error| Failure::local(format!("cannot read `{}`: {error}", list.place()));
        let (keys, tokens) = (lists.authorized_keys, lists.tokens);
        access = access
            .with_authorized_keys(keys.clone())
            .map_err(|error| unreadable(&keys, error))?
            .with_tokens(tokens.clone())
            .map_err(|error| unreadable(&tokens, error))?
            .with_invitations(Invitations::new(lists.invitations, keys));
    }
    Ok(if open { access.open_to_everybody() } else { access })
}

/// How many files we may have open.
struct OpenFiles {
    /// Before we raised the limit: programs of ours get that.
    before: Option<u64>,
    now: Option<u64>,
}

/// Files of our own: the store, its readers, sockets that listen, key files, pipes of programs.
const OWN_FILES: u64 = 64;

impl OpenFiles {
    /// What programs of ours are to have, if that is not what we have.
    fn of_programs(&self) -> Option<u64> {
        self.before.filter(|_| self.before != self.now)
    }

    /// As many connections as wanted, if there are files for them. A quarter of them is for known keys, which would be of
    /// no use if strangers could take the last file.
    fn connections(&self, wanted: usize) -> usize {
        let Some(files) = self.now else { return wanted };
        let most = usize::try_from(files.saturating_sub(OWN_FILES))
            .unwrap_or(usize::MAX)
            .max(8);
        if most < wanted {
            tracing::warn!(
                files,
                "{most} connections at once instead of {wanted}: the limit of open files does not allow more (ulimit -Hn)"
            );
        }
        wanted.min(most)
    }
}

/// Each connection needs a file handle, and the usual soft limit is 1,024.
fn raise_file_limit() -> OpenFiles {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
    OpenFiles {
        before,
        now: getrlimit(Resource::Nofile).current,
    }
}

/// Beside, then renamed: whoever waits for the file reads it whole.
fn write_port_file(file: &Path, addresses: &[(&'static str, std::net::SocketAddr)]) -> Result<(), Failure> {
    let text: String = addresses
        .iter()
        .map(|(name, address)| format!("{name} {address}\n"))
        .collect();
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let write = || {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        let mut beside = tempfile::Builder::new()
            .permissions(permissions)
            .tempfile_in(folder.unwrap_or(Path::new(".")))?;
        std::io::Write::write_all(&mut beside, text.as_bytes())?;
        beside.persist(file).map_err(|error| error.error)
    };
    write()
        .map(drop)
        .map_err(|error| Failure::local(format!("cannot write `{}`: {error}", file.display())))
}
