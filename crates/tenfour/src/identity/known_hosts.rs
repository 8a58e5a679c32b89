//! Servers we know: `HOST[:PORT] FINGERPRINT`, one a line.

use std::io;
use std::path::{Path, PathBuf};

use tenfour_proto::Fingerprint;

use super::private_file;
use crate::Address;

/// The pins of servers. A pin for `HOST:PORT` goes before one for `HOST`.
#[derive(Clone, Debug, Default)]
pub struct KnownHosts {
    path: PathBuf,
    lines: Vec<(String, Fingerprint)>,
}

/// What is known of a server's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It is the one we know.
    Known,
    /// We know none.
    Unknown,
    /// We know another one; this is it.
    Changed(Fingerprint),
}

impl KnownHosts {
    /// Reads the file; one that is not there is empty. Lines that cannot be read are left out, which
    /// makes a server unknown, never trusted.
    pub fn load(path: &Path) -> io::Result<Self> {
        let lines = private_file::read_or_empty(path)?
            .lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                let host = words.next().filter(|host| !host.starts_with('#'))?;
                Some((host.to_owned(), words.next()?.parse().ok()?))
            })
            .collect();
        Ok(KnownHosts {
            path: path.to_owned(),
            lines,
        })
    }

    /// Only these addresses, all with one pin, and no file.
    pub fn pinned(addresses: &[Address], fingerprint: Fingerprint) -> Self {
        KnownHosts {
            path: PathBuf::new(),
            lines: addresses
                .iter()
                .map(|address| (address.to_string(), fingerprint))
                .collect(),
        }
    }

    /// The pin for this address, if there is one.
    pub fn pin(&self, address: &Address) -> Option<Fingerprint> {
        let with_port = address.to_string();
        let find = |name: &str| {
            self.lines
                .iter()
                .find(|line| line.0.eq_ignore_ascii_case(name))
                .map(|line| line.1)
        };
        find(&with_port).or_else(|| find(&address.host_text()))
    }

    /// Judges a key that was shown under this address.
    pub fn judge(&self, address: &Address, shown: Fingerprint) -> Trust {
        match self.pin(address) {
            Some(pin) if pin == shown => Trust::Known,
            Some(pin) => Trust::Changed(pin),
            None => Trust::Unknown,
        }
    }

    /// Pins `host` (`HOST` or `HOST:PORT`), replacing an older pin, and writes the file.
    pub fn trust(&mut self, host: &str, fingerprint: Fingerprint) -> io::Result<()> {
        private_file::exclusively(&self.path.clone(), || {
            *self = KnownHosts::load(&self.path)?;
            self.lines.retain(|line| !line.0.eq_ignore_ascii_case(host));
            self.lines.push((host.to_owned(), fingerprint));
            self.save()
        })
    }

    /// Forgets `host`; false if it was not known.
    pub fn remove(&mut self, host: &str) -> io::Result<bool> {
        private_file::exclusively(&self.path.clone(), || {
            *self = KnownHosts::load(&self.path)?;
            let before = self.lines.len();
            self.lines.retain(|line| !line.0.eq_ignore_ascii_case(host));
            self.save()?;
            Ok(self.lines.len() < before)
        })
    }

    /// All pins, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Fingerprint)> {
        self.lines.iter().map(|line| (line.0.as_str(), line.1))
    }

    fn save(&self) -> io::Result<()> {
        let text: String = self
            .lines
            .iter()
            .map(|line| format!("{} {}\n", line.0, line.1))
            .collect();
        private_file::replace(&self.path, text.as_bytes())
    }
}
