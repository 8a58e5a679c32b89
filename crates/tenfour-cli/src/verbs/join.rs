//! `tenfour join`: accepts an invitation.

use std::io::Read;

use tenfour::identity::{Invitation, KnownHosts};
use tenfour::proto::NATIVE_PORT;
use tenfour::{Client, Durability};

use crate::args::Join;
use crate::exit::Failure;
use crate::{output, setup};

/// Longest token that is read from stdin.
const MAX_TOKEN: u64 = 4096;

/// Pins the server, shows the secret, remembers the server.
pub async fn run(arguments: Join) -> Result<(), Failure> {
    let token = match arguments.token {
        Some(token) => token,
        None => {
            let mut token = String::new();
            std::io::stdin()
                .take(MAX_TOKEN)
                .read_to_string(&mut token)
                .map_err(|error| Failure::local(format!("cannot read the token from stdin: {error}")))?;
            token
        }
    };
    let invitation: Invitation = token
        .parse()
        .map_err(|error| Failure::usage(format!("{error}")).hint("on the server: tenfour invite"))?;
    let mut config = setup::client(&arguments.identity, arguments.timeout, Durability::Memory, None)?;
    config.known_hosts = KnownHosts::pinned(&invitation.addresses, invitation.server);
    let mut addresses = invitation.addresses.iter();
    let first = addresses
        .next()
        .ok_or_else(|| Failure::usage("the token names no address").hint("on the server: tenfour invite"))?;
    let connecting = addresses.fold(Client::builder(first).config(config), |connecting, address| {
        connecting.or_address(address.clone())
    });
    let (address, rights) = connecting.join(invitation.secret).await.map_err(|error| {
        let mut failure = Failure::connect(&error, "the server");
        failure.message = format!("could not join: {error}");
        failure
    })?;
    // Under each name that people may call it by, and the address that answered.
    let named = invitation.addresses.iter().filter(|address| !address.is_ip());
    let mut hosts: Vec<String> = arguments
        .name
        .iter()
        .chain(named)
        .chain([&address])
        .map(|address| address.without_port(NATIVE_PORT))
        .collect();
    hosts.dedup();
    let home = setup::home()?;
    let mut known = setup::known_hosts()?;
    for host in &hosts {
        known.trust(host, invitation.server).map_err(|error| {
            Failure::local(format!(
                "cannot write `{}`: {error}",
                home.known_hosts().display()
            ))
        })?;
    }
    let host = address.without_port(NATIVE_PORT);
    let host = arguments.name.map_or(host, |name| name.without_port(NATIVE_PORT));
    output::talk(&format!(
        "joined {}, with {rights}; now: tenfour send {host} \"hello\"",
        hosts.join(", ")
    ));
    Ok(())
}
