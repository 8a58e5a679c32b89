//! Times as people write them.

use std::time::Duration;

/// A number with `ms`, `s`, `m`, `h` or `d`; a bare number is seconds.
///
/// # Errors
///
/// What a time looks like, in words.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return Err("a time is a number with `ms`, `s`, `m`, `h` or `d`".to_owned()),
    };
    number
        .parse::<f64>()
        .ok()
        .and_then(|number| Duration::try_from_secs_f64(number * unit).ok())
        // A deadline further away than a century is a mistake, and clocks cannot hold it.
        .filter(|time| time.as_secs() < 100 * 365 * 86_400)
        .ok_or_else(|| "a time is a number with `ms`, `s`, `m`, `h` or `d`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(parse_time("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_time("1.5"), Ok(Duration::from_millis(1_500)));
        assert_eq!(parse_time("2h"), Ok(Duration::from_secs(7_200)));
        for bad in ["", "s", "-1", "1w", "1e99", "nan", "99999999d"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }
}
