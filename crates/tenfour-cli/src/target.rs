//! Where to: `HOST[:PORT][/MAILBOX]`, `tcp://HOST[:PORT]`, or `udp://HOST[:PORT]`.

use std::fmt;
use std::str::FromStr;

use tenfour::proto::{NATIVE_PORT, TEXT_PORT};
use tenfour::{Address, MailboxName};

/// A place on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How it is spoken to.
    pub dialect: Dialect,
    /// The server.
    pub address: Address,
    /// The mailbox, if one is named, or why it is none.
    pub mailbox: Option<Result<MailboxName, NoMailbox>>,
}

/// A way to speak to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// TLS, receipts, reading.
    Native,
    /// The recipe's wire.
    Text,
    /// The recipe's wire without a connection.
    Datagram,
}

/// A name that no mailbox can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoMailbox(String);

impl Target {
    /// The server on this machine.
    pub fn localhost() -> Self {
        Target {
            dialect: Dialect::Native,
            // A constant that is known to be an address.
            address: Address::parse("localhost", NATIVE_PORT)
                .unwrap_or_else(|_| Address::from_ip(std::net::Ipv4Addr::LOCALHOST.into(), NATIVE_PORT)),
            mailbox: None,
        }
    }

    /// The mailbox named, or `usual`. A name that no mailbox can have is refused, like a server would.
    pub fn mailbox_or(&self, usual: &MailboxName) -> Result<MailboxName, NoMailbox> {
        self.mailbox.clone().unwrap_or_else(|| Ok(usual.clone()))
    }

    /// The host as it was typed: without the port, if that is the usual one.
    pub fn host(&self) -> String {
        self.address.without_port(usual_port(self.dialect))
    }
}

fn usual_port(dialect: Dialect) -> u16 {
    match dialect {
        Dialect::Native => NATIVE_PORT,
        Dialect::Text | Dialect::Datagram => TEXT_PORT,
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (dialect, rest) = match text.split_once("://") {
            None => (Dialect::Native, text),
            Some(("tcp", rest)) => (Dialect::Text, rest.strip_suffix('/').unwrap_or(rest)),
            Some(("udp", rest)) => (Dialect::Datagram, rest.strip_suffix('/').unwrap_or(rest)),
            Some((other, _)) => {
                return Err(format!(
                    "`{other}://` is not known; a target is HOST[:PORT][/MAILBOX], tcp://HOST[:PORT] or udp://HOST[:PORT][/MAILBOX]"
                ));
            }
        };
        let (address, mailbox) = match rest.split_once('/') {
            Some((address, mailbox)) => (address, Some(mailbox)),
            None => (rest, None),
        };
        if dialect == Dialect::Text && mailbox.is_some() {
            return Err("tcp:// has no mailbox: it always goes to `inbox`".to_owned());
        }
        Ok(Target {
            dialect,
            address: Address::parse(address, usual_port(dialect)).map_err(|error| error.to_string())?,
            mailbox: mailbox.map(|name| {
                name.parse()
                    .map_err(|error| NoMailbox(format!("mailbox `{name}`: {error}")))
            }),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.dialect {
            Dialect::Text => "tcp://",
            Dialect::Datagram => "udp://",
            Dialect::Native => "",
        })?;
        f.write_str(&self.host())?;
        match &self.mailbox {
            Some(Ok(mailbox)) => write!(f, "/{mailbox}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_as_people_write_them() {
        for text in [
            "a",
            "a:7",
            "a/logs/web",
            "a:7/x",
            "[::1]/inbox",
            "tcp://a",
            "tcp://a:7",
            "udp://a",
            "udp://a:7/logs/web",
            "10.0.0.1",
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        assert_eq!("tcp://a".parse::<Target>().unwrap().address.port(), 50544);
        for bad in ["a/", "a/X", "a//b"] {
            let target = bad.parse::<Target>().unwrap();
            assert!(target.mailbox_or(&MailboxName::inbox()).is_err(), "{bad}");
        }
        for bad in ["", "tcp://a/b", "::1", "x://a", "a:b"] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
