//! `tenfour invite`: a token that lets one key in.

use std::net::IpAddr;

use tenfour::Address;
use tenfour::identity::{Invitation, Invitations, Rights};
use tenfour::proto::NATIVE_PORT;

use crate::args::Invite;
use crate::exit::Failure;
use crate::{output, setup};

/// Most addresses in a token: more make it long, and joining slow.
const MAX_ADDRESSES: usize = 4;

/// Makes the token and prints it.
pub fn run(arguments: Invite) -> Result<(), Failure> {
    let home = setup::home()?;
    let identity = setup::identity(&arguments.identity)?;
    let mut options = format!("send=\"{}\"", arguments.send);
    if let Some(read) = &arguments.read {
        options.push_str(&format!(",read=\"{read}\""));
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
    let secret = Invitations::new(&home.invitations(), &home.authorized_keys())
        .invite(rights.clone(), arguments.lifetime)
        .map_err(|error| Failure::local(format!("cannot record the invitation: {error}")))?;
    let invitation = Invitation {
        addresses,
        server: identity.fingerprint(),
        secret,
    };
    output::line(&invitation.to_string())?;
    output::talk(&format!(
        "counts once, for {} minutes, with {rights}; on the other machine: tenfour join TOKEN",
        arguments.lifetime.as_secs().div_ceil(60)
    ));
    Ok(())
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
