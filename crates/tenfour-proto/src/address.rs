//! `HOST[:PORT]`, as people write it.

use crate::from_text::from_text;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// Where the Modbus listener is, when asked for.
pub const MODBUS_PORT: u16 = 5020;

/// Port of the text listener, and of the recipe.
pub const TEXT_PORT: u16 = 50544;

/// The port of HTTP.
pub const HTTP_PORT: u16 = 50546;

/// Port of the native listener.
pub const NATIVE_PORT: u16 = 50545;

/// A host by name or number, and a port. IPv6 wants brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    host: String,
    port: u16,
}

/// A text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseAddressError(String);

impl Address {
    /// Reads `HOST[:PORT]`, with `default_port` when none is given.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, ParseAddressError> {
        let bad = |why: &str| ParseAddressError(format!("`{text}` is not an address: {why}"));
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, after) = rest
                .split_once(']')
                .ok_or_else(|| bad("a bracket is not closed"))?;
            // A scope such as %eth0 belongs to the address.
            let number = host.split('%').next().unwrap_or(host);
            number
                .parse::<Ipv6Addr>()
                .map_err(|_| bad("between brackets belongs an IPv6 address"))?;
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err(bad("behind the bracket comes `:` and a port")),
            }
        } else if text.parse::<Ipv6Addr>().is_ok() {
            return Err(bad(
                "an IPv6 address wants brackets, like `[::1]` or `[::1]:50545`",
            ));
        } else {
            match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        if host.is_empty() {
            return Err(bad("the host is empty"));
        }
        if host.len() > 255 || host.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/') {
            return Err(bad("the host has a character that no host has"));
        }
        let port = match port {
            None => default_port,
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| bad("a port is a number from 1 to 65535"))?,
        };
        Ok(Address {
            host: host.to_owned(),
            port,
        })
    }

    /// The address of an IP and a port.
    pub fn from_ip(ip: IpAddr, port: u16) -> Self {
        Address {
            host: ip.to_string(),
            port,
        }
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host as it is written before a port: IPv6 in brackets.
    pub fn host_text(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// As people type it where `usual` is the port when none is given.
    pub fn without_port(&self, usual: u16) -> String {
        if self.port == usual {
            self.host_text()
        } else {
            self.to_string()
        }
    }

    /// It is a number, not a name.
    pub fn is_ip(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok()
    }

    /// It can only be this machine.
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self
                .host
                .parse::<IpAddr>()
                .is_ok_and(|ip| ip.to_canonical().is_loopback())
    }
}

impl FromStr for Address {
    type Err = ParseAddressError;

    /// With the native listener's port when none is given.
    fn from_str(text: &str) -> Result<Self, ParseAddressError> {
        Address::parse(text, NATIVE_PORT)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host_text(), self.port)
    }
}

from_text!(Address, ParseAddressError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_write_them() {
        for (text, host, port, written) in [
            ("a", "a", 50545, "a:50545"),
            ("a.example:7", "a.example", 7, "a.example:7"),
            ("10.0.0.1", "10.0.0.1", 50545, "10.0.0.1:50545"),
            ("[::1]", "::1", 50545, "[::1]:50545"),
            ("[fe80::1%eth0]:9", "fe80::1%eth0", 9, "[fe80::1%eth0]:9"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.host(), address.port()), (host, port));
            assert_eq!(address.to_string(), written);
        }
        for bad in [
            "", ":1", "a:", "a:0", "a:65536", "a:b", "::1", "[::1", "[a]", "[::1]x", "a b", "a/b",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
        assert!("localhost".parse::<Address>().unwrap().is_loopback());
        assert!("[::1]".parse::<Address>().unwrap().is_loopback());
        assert!(!"10.0.0.1".parse::<Address>().unwrap().is_loopback());
    }
}
