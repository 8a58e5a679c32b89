//! Where things are kept.

use std::env;
use std::path::PathBuf;

/// The folders of one user: configuration (keys, pins) and data (the store).
#[derive(Clone, Debug)]
pub struct Home {
    /// `identity.pem`, `known_hosts`, `authorized_keys`, `tokens`, `invitations`.
    pub config: PathBuf,
    /// `store.db`, `outbox.db`.
    pub data: PathBuf,
}

/// Neither `TENFOUR_HOME` nor `HOME` is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no home directory")]
pub struct NoHome;

impl Home {
    /// `$TENFOUR_HOME` for both; else `$XDG_CONFIG_HOME/tenfour` and `$XDG_DATA_HOME/tenfour`, which
    /// are `~/.config/tenfour` and `~/.local/share/tenfour` when not set.
    pub fn from_environment() -> Result<Self, NoHome> {
        let folder = |name| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        if let Some(home) = folder("TENFOUR_HOME") {
            return Ok(Home {
                config: home.clone(),
                data: home,
            });
        }
        let place = |xdg, below: &str| {
            folder(xdg)
                .filter(|path| path.is_absolute())
                .or_else(|| Some(folder("HOME")?.join(below)))
                .map(|path| path.join("tenfour"))
                .ok_or(NoHome)
        };
        Ok(Home {
            config: place("XDG_CONFIG_HOME", ".config")?,
            data: place("XDG_DATA_HOME", ".local/share")?,
        })
    }

    /// The user's key.
    pub fn identity(&self) -> PathBuf {
        self.config.join("identity.pem")
    }

    /// Messages that wait for their servers.
    pub fn outbox(&self) -> PathBuf {
        self.data.join("outbox.db")
    }

    /// Pins of servers.
    pub fn known_hosts(&self) -> PathBuf {
        self.config.join("known_hosts")
    }

    /// Keys of clients and their rights.
    pub fn authorized_keys(&self) -> PathBuf {
        self.config.join("authorized_keys")
    }

    /// Hashes of tokens for the HTTP listener and their rights.
    pub fn tokens(&self) -> PathBuf {
        self.config.join("tokens")
    }

    /// Invitations that are open.
    pub fn invitations(&self) -> PathBuf {
        self.config.join("invitations")
    }

    /// The mailboxes.
    pub fn store(&self) -> PathBuf {
        self.data.join("store.db")
    }
}
