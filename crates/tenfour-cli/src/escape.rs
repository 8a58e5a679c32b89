//! Text from strangers, made safe for a terminal, and for a log that somebody looks at later.

use std::fmt::Write;

use tenfour::proto::is_format_character;

/// How much is escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// Line ends and other control characters, text that runs the other way, and bytes that are no text.
    ForTerminal,
    /// As for a terminal, but LF and TAB stay: for a message that is looked at on its own.
    ForReading,
}

/// `body` with what could do harm written as `\n`, `\x1b`, `\u{202e}`.
pub fn escape(body: &[u8], how: Escape) -> Vec<u8> {
    let mut out = String::with_capacity(body.len());
    for chunk in body.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' | '\t' if how == Escape::ForReading => out.push(character),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if c.is_control() || is_format_character(c) => {
                    // Writing to a String cannot fail.
                    let _ = match u32::from(c) {
                        low @ 0..=0xff => write!(out, "\\x{low:02x}"),
                        high => write!(out, "\\u{{{high:x}}}"),
                    };
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.into_bytes()
}

/// A name, or words, for a terminal: they come from people and from peers.
pub fn safe(text: &str) -> String {
    String::from_utf8_lossy(&escape(text.as_bytes(), Escape::ForTerminal)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(body: &[u8], how: Escape) -> String {
        String::from_utf8(escape(body, how)).unwrap()
    }

    #[test]
    fn a_message_forges_no_line_and_moves_no_cursor() {
        assert_eq!(
            shown(b"a\r\nGot the message:b", Escape::ForTerminal),
            "a\\r\\nGot the message:b"
        );
        assert_eq!(shown(b"\x1b[2J\xff\0", Escape::ForTerminal), "\\x1b[2J\\xff\\x00");
        assert_eq!(
            shown("\u{202e}abc\u{9b}1m".as_bytes(), Escape::ForTerminal),
            "\\u{202e}abc\\x9b1m"
        );
        assert_eq!(
            shown("a\u{e0041}\u{2065}b".as_bytes(), Escape::ForTerminal),
            "a\\u{e0041}\\u{2065}b"
        );
        assert_eq!(
            shown("größe 漢 🙂".as_bytes(), Escape::ForTerminal),
            "größe 漢 🙂"
        );
        assert_eq!(shown(b"a\n\tb\r", Escape::ForReading), "a\n\tb\\r");
    }
}
