//! Amounts, as people write them.

/// A number of bytes, with `K`, `M` or `G` for 1,024 and its powers.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let bad = || "a size is a number of bytes, with `K`, `M` or `G` for 1,024 and its powers".to_owned();
    let text = text.trim_end_matches("iB").trim_end_matches('B');
    let (number, factor) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(bad)
}

/// A number of bytes for people.
pub fn show_size(bytes: u64) -> String {
    const UNITS: [&str; 3] = ["KiB", "MiB", "GiB"];
    if bytes < 10_000 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit < UNITS.len() - 1 {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// So many things: `1 message`, `2 messages`, `3 mailboxes`.
pub fn show_count(count: u64, thing: &str) -> String {
    match (count, thing.ends_with('x')) {
        (1, _) => format!("1 {thing}"),
        (_, false) => format!("{count} {thing}s"),
        (_, true) => format!("{count} {thing}es"),
    }
}

/// 1234567 as 1,234,567.
pub fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one() {
        assert_eq!(show_count(1, "message"), "1 message");
        assert_eq!(show_count(0, "message"), "0 messages");
        assert_eq!(show_count(2, "mailbox"), "2 mailboxes");
    }

    #[test]
    fn sizes_are_read_and_shown() {
        assert_eq!(parse_size("128"), Ok(128));
        assert_eq!(parse_size("64K"), Ok(65_536));
        assert_eq!(parse_size("1MiB"), Ok(1 << 20));
        assert!(parse_size("").is_err() && parse_size("x").is_err() && parse_size("-1").is_err());
        assert_eq!(show_size(18), "18 B");
        assert_eq!(show_size(1 << 20), "1.0 MiB");
    }
}
