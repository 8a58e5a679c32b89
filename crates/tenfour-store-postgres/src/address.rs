//! Where a database is: `postgres://USER@HOST[:PORT][,HOST[:PORT]]/DATABASE?sslmode=..&sslrootcert=FILE`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// So long one host may take to answer.
const CONNECT: Duration = Duration::from_secs(5);

/// A database, at one host or at several of which one is the primary.
#[derive(Clone)]
pub struct Address {
    config: Config,
    /// Certificates that are believed; those of the system otherwise.
    pub(crate) roots: Option<PathBuf>,
    is_encrypted: Option<bool>,
    /// The host that last took a write, for all who have this address.
    primary: Arc<AtomicUsize>,
}

impl Address {
    /// The host that last took a write, or the first.
    pub(crate) fn primary(&self) -> usize {
        self.primary.load(Ordering::Relaxed)
    }

    /// This host has taken a write.
    pub(crate) fn is_primary(&self, host: usize) {
        self.primary.store(host, Ordering::Relaxed);
    }

    /// Takes the password from there if the address has none.
    #[must_use]
    pub fn with_password(mut self, password: Option<&str>) -> Self {
        if let (None, Some(password)) = (self.config.get_password(), password) {
            self.config.password(password);
        }
        self
    }

    /// One for each host, in the order in which they are tried.
    pub(crate) fn hosts(&self) -> Vec<(Config, bool)> {
        let ports = self.config.get_ports();
        let hosts = self.config.get_hosts().iter().enumerate();
        hosts
            .map(|(index, host)| {
                let mut one = Config::new();
                let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
                let is_near = match host {
                    Host::Tcp(name) => {
                        one.host(name);
                        is_loopback(name)
                    }
                    #[cfg(unix)]
                    Host::Unix(folder) => {
                        one.host_path(folder);
                        true
                    }
                };
                let is_encrypted = self.is_encrypted.unwrap_or(!is_near);
                one.port(port)
                    .application_name("tenfour")
                    .connect_timeout(CONNECT)
                    .tcp_user_timeout(CONNECT * 2)
                    .keepalives_idle(CONNECT)
                    .ssl_mode(if is_encrypted {
                        SslMode::Require
                    } else {
                        SslMode::Disable
                    });
                if let Some(user) = self.config.get_user() {
                    one.user(user);
                }
                if let Some(password) = self.config.get_password() {
                    one.password(password);
                }
                if let Some(database) = self.config.get_dbname() {
                    one.dbname(database);
                }
                if let Some(options) = self.config.get_options() {
                    one.options(options);
                }
                (one, is_encrypted)
            })
            .collect()
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, query) = text.split_once('?').unwrap_or((text, ""));
        let (mut roots, mut is_encrypted, mut rest) = (None, None, Vec::new());
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
            match name {
                "sslmode" => {
                    is_encrypted = Some(match &*value {
                        "disable" => false,
                        "verify-full" => true,
                        other => {
                            return Err(format!(
                                "sslmode=`{other}` would not know the database from a stranger; say `verify-full` or `disable`"
                            ));
                        }
                    });
                }
                "sslrootcert" => roots = Some(PathBuf::from(value.as_ref())),
                // Which host is the primary is found out by trying.
                "target_session_attrs" => {}
                _ => rest.push(option),
            }
        }
        let query = if rest.is_empty() {
            String::new()
        } else {
            format!("?{}", rest.join("&"))
        };
        let config: Config = format!("{address}{query}")
            .parse()
            .map_err(|error: tokio_postgres::Error| with_cause(&error))?;
        if config.get_hosts().is_empty() {
            return Err("no host is named".to_owned());
        }
        Ok(Address {
            config,
            roots,
            is_encrypted,
            primary: Arc::default(),
        })
    }
}

pub(crate) fn with_cause(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Without the password: this is what logs and errors say.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        for (index, host) in self.config.get_hosts().iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}")?,
                #[cfg(unix)]
                Host::Unix(folder) => write!(f, "{comma}{}", folder.display())?,
            }
        }
        write!(f, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_not_taken_for_the_database() {
        let encrypted = |text: &str| -> Vec<bool> {
            let address: Address = text.parse().unwrap();
            address
                .hosts()
                .iter()
                .map(|(_, is_encrypted)| *is_encrypted)
                .collect()
        };
        assert_eq!(encrypted("postgres://u@db/tenfour"), [true]);
        assert_eq!(encrypted("postgres://u@127.0.0.1,db:5433/tenfour"), [false, true]);
        assert_eq!(encrypted("postgres://u@db/tenfour?sslmode=disable"), [false]);
        assert_eq!(
            encrypted("postgres://u@[::1]:1/tenfour?sslmode=verify-full"),
            [true]
        );
        for weak in ["prefer", "require", "allow", "verify-ca"] {
            let error = format!("postgres://db/t?sslmode={weak}")
                .parse::<Address>()
                .unwrap_err();
            assert!(error.contains("verify-full"), "{error}");
        }
        assert!("postgres://db/t?nonsense=1".parse::<Address>().is_err());
    }

    #[test]
    fn a_password_is_not_shown() {
        let address: Address = "postgres://u:secret@db,dc/tenfour?sslrootcert=/a%20b.pem"
            .parse()
            .unwrap();
        assert_eq!(address.to_string(), "postgres://db,dc/tenfour");
        assert_eq!(address.roots.as_deref(), Some(std::path::Path::new("/a b.pem")));
        assert!(!format!("{address:?}").contains("secret"));
    }
}
