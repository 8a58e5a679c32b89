//! Other protocols that knock at the text listener, or come as datagrams. Nothing of them is stored.
//!
//! A web page can make a browser speak some of them to this machine, with words of the page's choice inside.

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
    /// A STUN or TURN header with its magic cookie (RFC 8489, section 5), also behind the length that ICE puts before it on
    /// TCP (RFC 4571, section 2).
    Stun,
    /// A DTLS record (RFC 6347, section 4.1).
    Dtls,
    /// A QUIC packet with a long header (RFC 9000, section 17.2).
    Quic,
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
            Foreign::Dtls => "DTLS",
            Foreign::Quic => "QUIC",
        }
    }

    /// Looks for a binary protocol. `None`: the bytes so far could still become one.
    pub(super) fn in_prefix(bytes: &[u8]) -> Option<Option<Foreign>> {
        /// Pieces at their places; between them, in the length fields of these headers, stands anything.
        type Pattern = &'static [(usize, &'static [u8])];
        const COOKIE: &[u8] = b"\x21\x12\xa4\x42";
        const TABLE: [(Foreign, Pattern); 8] = [
            (Foreign::Tls, &[(0, b"\x16\x03")]),
            (Foreign::Rdp, &[(0, b"\x03\0\0")]),
            (Foreign::Smb, &[(0, b"\0\0"), (4, b"\xfeSMB")]),
            (Foreign::Smb, &[(0, b"\0\0"), (4, b"\xffSMB")]),
            (Foreign::Stun, &[(0, b"\0"), (4, COOKIE)]),
            (Foreign::Stun, &[(0, b"\x01"), (4, COOKIE)]),
            (Foreign::Stun, &[(0, b"\0"), (2, b"\0"), (6, COOKIE)]),
            (Foreign::Ssh, &[(0, b"SSH-")]),
        ];
        let mut open = false;
        for (protocol, pattern) in TABLE {
            let fits = pattern.iter().all(|(at, piece)| {
                let there = bytes.get(*at..).unwrap_or_default();
                there.iter().zip(*piece).all(|(is, want)| is == want)
            });
            let length = pattern.last().map_or(0, |(at, piece)| at + piece.len());
            if fits && bytes.len() >= length {
                return Some(Some(protocol));
            }
            open |= fits;
        }
        (!open).then_some(None)
    }

    /// Looks at a whole datagram.
    pub fn in_datagram(bytes: &[u8]) -> Option<Foreign> {
        match bytes {
            [0..=3, _, _, _, 0x21, 0x12, 0xa4, 0x42, ..] => Some(Foreign::Stun),
            [20..=26, 0xfe, 0xfd | 0xff, ..] => Some(Foreign::Dtls),
            // Version 1, a draft, version 2 (RFC 9369), or the negotiation of one.
            [0xc0..=0xff, 0, 0, 0, 0 | 1, ..]
            | [0xc0..=0xff, 0xff, 0, 0, _, ..]
            | [0xc0..=0xff, 0x6b, 0x33, 0x43, 0xcf, ..] => Some(Foreign::Quic),
            _ => None,
        }
    }

    /// Looks for HTTP in a first line that is too long to be kept whole: it begins with a method and a blank.
    pub(super) fn in_long_line(begin: &[u8]) -> Option<Foreign> {
        let method = begin.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
        let is_request = (3..=20).contains(&method) && begin.get(method) == Some(&b' ');
        is_request.then_some(Foreign::Http)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a browser sends where a web page says, with words of the page's choice in it.
    #[test]
    fn datagrams_of_browsers_are_known() {
        let cases: [(&[u8], Option<Foreign>); 9] = [
            (b"\0\x01\0\x50\x21\x12\xa4\x42 rm -rf home", Some(Foreign::Stun)),
            (b"\0\x03\0\x50\x21\x12\xa4\x42", Some(Foreign::Stun)),
            (b"\x16\xfe\xfd\0\0", Some(Foreign::Dtls)),
            (b"\xc3\0\0\0\x01\x08", Some(Foreign::Quic)),
            (b"\xd3\x6b\x33\x43\xcf\x08", Some(Foreign::Quic)),
            (b"hello", None),
            (b"", None),
            (b"1234\x21\x12\xa4\x42", None),
            ("größe".as_bytes(), None),
        ];
        for (bytes, protocol) in cases {
            assert_eq!(Foreign::in_datagram(bytes), protocol, "{bytes:?}");
        }
    }
}
