//! Other protocols that knock at the text listener. Nothing of them is stored.

use std::fmt;

/// A protocol that is not ours, recognised by a connection's first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Foreign {
    /// A first line `METHOD SP target SP HTTP/` (RFC 9112, section 3).
    Http,
    /// A TLS record of type handshake (RFC 8446, section 5.1).
    Tls,
    /// An SSH identification string (RFC 4253, section 4.2).
    Ssh,
    /// A NetBIOS session message that carries SMB.
    Smb,
    /// A TPKT header (RFC 1006), as RDP begins.
    Rdp,
    /// A STUN header with its magic cookie (RFC 8489, section 5).
    Stun,
}

impl Foreign {
    /// The protocol's usual name.
    pub fn as_str(self) -> &'static str {
        match self {
            Foreign::Http => "HTTP",
            Foreign::Tls => "TLS",
            Foreign::Ssh => "SSH",
            Foreign::Smb => "SMB",
            Foreign::Rdp => "RDP",
            Foreign::Stun => "STUN",
        }
    }

    /// Looks for a binary protocol. `None`: the bytes so far could still become one.
    pub(super) fn in_prefix(bytes: &[u8]) -> Option<Option<Foreign>> {
        /// A pattern that ignores the length fields inside these headers.
        type Pattern = &'static [Option<u8>];
        const TABLE: [(Foreign, Pattern); 6] = [
            (Foreign::Tls, &[Some(0x16), Some(0x03)]),
            (Foreign::Rdp, &[Some(0x03), Some(0x00), Some(0x00)]),
            (
                Foreign::Smb,
                &[
                    Some(0),
                    Some(0),
                    None,
                    None,
                    Some(0xfe),
                    Some(b'S'),
                    Some(b'M'),
                    Some(b'B'),
                ],
            ),
            (
                Foreign::Smb,
                &[
                    Some(0),
                    Some(0),
                    None,
                    None,
                    Some(0xff),
                    Some(b'S'),
                    Some(b'M'),
                    Some(b'B'),
                ],
            ),
            (
                Foreign::Stun,
                &[
                    Some(0),
                    Some(1),
                    Some(0),
                    None,
                    Some(0x21),
                    Some(0x12),
                    Some(0xa4),
                    Some(0x42),
                ],
            ),
            (Foreign::Ssh, &[Some(b'S'), Some(b'S'), Some(b'H'), Some(b'-')]),
        ];
        let mut open = false;
        for (protocol, pattern) in TABLE {
            let fits = pattern
                .iter()
                .zip(bytes)
                .all(|(want, is)| want.is_none_or(|want| want == *is));
            if fits && bytes.len() >= pattern.len() {
                return Some(Some(protocol));
            }
            open |= fits;
        }
        (!open).then_some(None)
    }

    /// Looks for HTTP in a whole first line.
    pub(super) fn in_line(line: &[u8]) -> Option<Foreign> {
        let mut words = line.split(|b| *b == b' ');
        let method = words.next()?;
        let target = words.next()?;
        let version = words.next()?;
        let http = !method.is_empty()
            && method.iter().all(u8::is_ascii_uppercase)
            && !target.is_empty()
            && version.starts_with(b"HTTP/");
        http.then_some(Foreign::Http)
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
