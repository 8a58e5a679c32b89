//! The address of the live page, with a token in it that a browser keeps to itself.

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tenfour::identity::{Home, Token};
use tenfour::proto::TokenName;
use tenfour::server::ServerConfig;

use crate::exit::Failure;
use crate::output;
use crate::remove_on_drop::RemoveOnDrop;

/// Holds the address of the page while the server runs.
const FILE: &str = "page";

/// What messages from the page carry.
pub const NAME: &str = "page";

/// Makes a token that has every right until the server stops. `None`: there is no HTTP listener.
pub fn address(
    addresses: &[(&'static str, SocketAddr)],
    config: &mut ServerConfig,
) -> Result<Option<String>, Failure> {
    let Some((scheme, address)) = addresses.iter().find(|(name, _)| name.starts_with("http")) else {
        return Ok(None);
    };
    let failed = |error| Failure::local(format!("no token can be made for the page: {error}"));
    let token = Token::generate().map_err(failed)?;
    let name: TokenName = NAME.parse().map_err(|error| Failure::local(format!("{error}")))?;
    config.access = config.access.clone().with_token_of_everything(name, &token);
    let mut address = *address;
    match address.ip() {
        ip if !ip.is_unspecified() => {}
        ip if ip.is_ipv4() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        _ => address.set_ip(Ipv6Addr::LOCALHOST.into()),
    }
    // What is behind # is not sent to anybody.
    Ok(Some(format!("{scheme}://{address}/#token={}", token.secret())))
}

/// Says where the page is. A log is read by others, so there it is the name of a file that only its owner can read; the file
/// goes with the server.
pub fn tell(page: &str, home: Option<&Home>) -> Result<Option<RemoveOnDrop>, Failure> {
    let said = "tenfour: to look at it, until it stops";
    if output::is_terminal(&std::io::stderr()) {
        output::talk(&format!("{said}: {page}"));
        return Ok(None);
    }
    let Some(home) = home else {
        return Ok(None);
    };
    let file = home.config.join(FILE);
    let failed =
        |error: std::io::Error| Failure::local(format!("cannot write `{}`: {error}", file.display()));
    std::fs::create_dir_all(&home.config).map_err(failed)?;
    // Made anew: an old one may be open to others.
    let mut beside = tempfile::NamedTempFile::new_in(&home.config).map_err(failed)?;
    writeln!(beside, "{page}").map_err(failed)?;
    beside.persist(&file).map_err(|error| failed(error.error))?;
    output::talk(&format!("{said}: the address is in `{}`", file.display()));
    Ok(Some(RemoveOnDrop::of(&file)))
}
