//! The address of the live page, with a token in it that a browser keeps to itself.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tenfour::identity::Token;
use tenfour::proto::TokenName;
use tenfour::server::ServerConfig;

use crate::exit::Failure;

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
