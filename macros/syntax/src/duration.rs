//! Times as a Dockerfile has them: `500ms`, `5s`, `1m30s`.

use std::time::Duration;

/// Units and their length in nanoseconds.
const UNITS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a time: one or more decimal numbers, each with a unit, largest unit first or not.
///
/// A bare `0` is a time too. `None` for anything else and for what exceeds 292 years, as in Go.
pub fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let (_, length) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(nanoseconds(number, *length)?)?;
        rest = after;
    }
    (!text.is_empty() && total <= i64::MAX as u64).then(|| Duration::from_nanos(total))
}

/// A decimal number times a unit.
fn nanoseconds(number: &str, length: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = whole.checked_mul(length)?;
    let mut scale = length;
    for digit in fraction.bytes() {
        scale /= 10;
        total = total.checked_add(u64::from(digit - b'0') * scale)?;
    }
    Some(total)
}

/// Writes a time so that [`parse`] gives the same one back.
pub fn format(time: Duration) -> String {
    let mut rest = time.as_nanos();
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (name, length) in
        [("h", UNITS[6].1), ("m", UNITS[5].1), ("s", UNITS[4].1), ("ms", UNITS[3].1), ("us", UNITS[1].1), ("ns", 1)]
    {
        let count = rest / u128::from(length);
        rest %= u128::from(length);
        if count > 0 {
            text.push_str(&format!("{count}{name}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_go_reads_them() {
        for (text, milliseconds) in
            [("5s", 5000), ("500ms", 500), ("1m30s", 90_000), ("1.5s", 1500), ("0", 0), ("1h", 3_600_000), (".5s", 500)]
        {
            assert_eq!(parse(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn other_text_is_no_time() {
        for text in ["", "5", "5x", "s", "-5s", "5 s", "1..5s", ".s", "999999999999h", "５s"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_written_time_reads_back() {
        for nanoseconds in [0, 1, 1_500, 1_000_000, 90_000_000_000, 3_661_001_002_003] {
            let time = Duration::from_nanos(nanoseconds);
            assert_eq!(parse(&format(time)), Some(time));
        }
    }
}
