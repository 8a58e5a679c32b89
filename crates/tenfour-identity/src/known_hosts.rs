//! Servers we know: `HOST[:PORT] FINGERPRINT`, one a line.

use std::io;
use std::path::{Path, PathBuf};

use tenfour_proto::Fingerprint;

use super::{KeyList, private_file};
use tenfour_proto::Address;

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
            .filter_map(parse)
            .map(|(host, pin)| (host.to_owned(), pin))
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

    /// Pins `host` (`HOST` or `HOST:PORT`), replacing an older pin, and writes the file. Every other line stays as it is.
    pub fn trust(&mut self, host: &str, fingerprint: Fingerprint) -> io::Result<()> {
        self.change(host, &format!("{host} {fingerprint}\n")).map(|_| ())
    }

    /// Forgets `host`; false if it was not known.
    pub fn remove(&mut self, host: &str) -> io::Result<bool> {
        self.change(host, "")
    }

    fn change(&mut self, host: &str, addition: &str) -> io::Result<bool> {
        let is_it = |line: &str| parse(line).is_some_and(|(known, _)| known.eq_ignore_ascii_case(host));
        let changed = KeyList::from(self.path.as_path()).replace_lines(is_it, addition)?;
        *self = KnownHosts::load(&self.path)?;
        Ok(changed)
    }

    /// All pins, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Fingerprint)> {
        self.lines.iter().map(|line| (line.0.as_str(), line.1))
    }
}

/// A host and its pin; `None` for a comment, and for what cannot be read.
fn parse(line: &str) -> Option<(&str, Fingerprint)> {
    let mut words = line.split_whitespace();
    let host = words.next().filter(|host| !host.starts_with('#'))?;
    Some((host, words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A comment, and a line that a newer version may understand, were gone after the next `keys trust`.
    #[test]
    fn other_lines_stay_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_hosts");
        let (one, two) = (Fingerprint::from_bytes([1; 32]), Fingerprint::from_bytes([2; 32]));
        std::fs::write(&path, format!("# the old one\na {one}\nb of:tomorrow {one}\n")).unwrap();
        let mut known = KnownHosts::load(&path).unwrap();
        known.trust("A", two).unwrap();
        assert_eq!(known.iter().collect::<Vec<_>>(), [("A", two)]);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("# the old one\nb of:tomorrow {one}\nA {two}\n"));
        assert!(known.remove("a").unwrap());
        assert!(!known.remove("a").unwrap());
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("# the old one\nb of:tomorrow {one}\n"));
    }
}
