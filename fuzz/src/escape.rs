//! The terminal escaper.

#[path = "../../crates/tenfour-cli/src/escape.rs"]
#[allow(dead_code, reason = "the command uses the rest")]
mod escaper;

use escaper::{Escape, safe};

/// Whatever comes in, nothing goes out that moves a cursor, begins a line, or reads the other way.
pub fn escape(input: &[u8]) {
    for (how, allowed) in [
        (Escape::ForTerminal, &[][..]),
        (Escape::ForReading, &['\n', '\t'][..]),
    ] {
        let out = escaper::escape(input, how);
        let out = std::str::from_utf8(&out).expect("a terminal is given text");
        for character in out.chars() {
            assert!(
                allowed.contains(&character) || is_harmless(character),
                "{character:?} of {input:?}"
            );
        }
        // What was harmless is as it was.
        if let Ok(text) = std::str::from_utf8(input)
            && text.chars().all(is_harmless)
        {
            assert_eq!(out, text);
        }
    }
    assert!(safe(&String::from_utf8_lossy(input)).chars().all(is_harmless));
}

/// A list of its own, by the names of Unicode: no controls (Cc), no format characters that reorder, hide or separate, no
/// tags.
fn is_harmless(character: char) -> bool {
    let code = u32::from(character);
    let is_control = code < 0x20 || (0x7f..0xa0).contains(&code);
    let reorders = matches!(code, 0x061c | 0x200e | 0x200f | 0x202a..=0x202e | 0x2066..=0x2069);
    let hides = matches!(code, 0xad | 0x180e | 0x200b..=0x200d | 0x2060..=0x2065 | 0x206a..=0x206f | 0xfeff);
    let separates = matches!(code, 0x2028 | 0x2029 | 0xfff9..=0xfffb);
    let tags = code >> 12 == 0xe0;
    !(is_control || reorders || hides || separates || tags)
}
