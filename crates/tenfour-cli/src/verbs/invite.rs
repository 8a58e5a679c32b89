//! `tenfour invite`: a token that lets one key in.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tenfour::identity::{Identity, Invitation, Invitations, KnownHosts, Rights};
use tenfour::proto::NATIVE_PORT;
use tenfour::{Address, Client, ClientConfig, ConnectError};

use crate::amount::show_count;
use crate::args::Invite;
use crate::exit::Failure;
use crate::key_lists::KeyLists;
use crate::{output, setup};

/// Most addresses in a token: more make it long, and joining slow.
const MAX_ADDRESSES: usize = 4;

/// A server on this machine answers sooner.
const PATIENCE: Duration = Duration::from_secs(1);

/// Makes the token and prints it.
pub async fn run(arguments: Invite) -> Result<(), Failure> {
    let identity = setup::identity(&arguments.identity)?;
    let mut options = format!("send=\"{}\"", arguments.send);
    for (name, list) in [
        ("read", &arguments.read),
        ("consume", &arguments.consume),
        ("answer", &arguments.answer),
    ] {
        if let Some(list) = list {
            options.push_str(&format!(",{name}=\"{list}\""));
        }
    }
    let rights: Rights = options
        .parse()
        .map_err(|error| Failure::usage(format!("{error}")))?;
    let mut addresses = arguments.address;
    if addresses.is_empty() {
        addresses = own_addresses();
    }
    if addresses.is_empty() {
        return Err(
            Failure::local("this machine has no address that others could reach")
                .hint("name it: tenfour invite --address HOST[:PORT]"),
        );
    }
    // People call it by its name. The guest tries the addresses first.
    if let Some(name) = own_name().filter(|name| !addresses.contains(name)) {
        addresses.push(name);
    }
    warn_of_another_server(&identity).await;
    let lists = KeyLists::of_store(arguments.store.as_deref())?;
    let (given, lifetime) = (rights.clone(), arguments.lifetime);
    let invited = tokio::task::spawn_blocking(move || {
        Invitations::new(lists.invitations, lists.authorized_keys).invite(given, lifetime)
    });
    let secret = invited
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
        .map_err(|error| Failure::local(format!("cannot record the invitation: {error}")))?;
    let invitation = Invitation {
        addresses,
        server: identity.fingerprint(),
        secret,
    };
    output::line(&invitation.to_string())?;
    output::talk(&format!(
        "counts once, for {}, with {rights}; on the other machine: tenfour join TOKEN",
        show_time(arguments.lifetime)
    ));
    Ok(())
}

/// Whoever accepts it is let in by a server with this key and these lists. If another one runs here, another user has
/// started it, most likely.
async fn warn_of_another_server(identity: &Identity) {
    let mut config = ClientConfig::new(identity.clone(), KnownHosts::default());
    config.timeout = PATIENCE;
    let local = Address::from_ip(Ipv4Addr::LOCALHOST.into(), NATIVE_PORT);
    let connecting = Client::builder(&local).config(config).without_sending();
    match connecting.connect().await {
        Err(ConnectError::UnknownServer { .. } | ConnectError::ChangedServer { .. }) => output::talk(
            "tenfour: warning: the server on this machine has another key, so it does not know this invitation\n\nhint: invite as the user that runs it: sudo -u USER tenfour invite",
        ),
        Ok(client) => client.close().await,
        // Nobody listens there now, or on another port.
        Err(_) => {}
    }
}

fn show_time(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds % 60 != 0 || seconds == 0 => format!("{} s", time.as_secs_f32()),
        seconds if seconds % 3600 != 0 => show_count(seconds / 60, "minute"),
        seconds => show_count(seconds / 3600, "hour"),
    }
}

/// As the machine calls itself.
fn own_name() -> Option<Address> {
    let system = rustix::system::uname();
    let name = system.nodename().to_str().ok()?;
    let is_of_use = !name.is_empty() && name != "(none)" && !name.starts_with("localhost");
    is_of_use.then(|| name.parse().ok()).flatten()
}

fn own_addresses() -> Vec<Address> {
    let mut found: Vec<IpAddr> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .map(|interface| interface.ip())
        .filter(|ip| !ip.is_loopback() && !is_link_local(ip))
        .collect();
    // IPv4 first: it is what people recognise, and the first that answers is taken.
    found.sort_by_key(IpAddr::is_ipv6);
    found
        .into_iter()
        .take(MAX_ADDRESSES)
        .map(|ip| Address::from_ip(ip, NATIVE_PORT))
        .collect()
}

fn is_link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}
