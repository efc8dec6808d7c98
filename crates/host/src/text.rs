//! Text that is read, or shown, the same everywhere.

use std::time::Duration;

/// `500ms`, `5s`, `2m`, `1h`.
pub fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit);
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    }
    // A year is for ever; more only overflows clocks.
    .filter(|duration| *duration <= Duration::from_secs(366 * 24 * 3600))
}

/// Words of others on one line, cut where they are long.
pub fn one_line(text: &str, most: usize) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let words: String = text.chars().map(clean).collect();
    let mut short: String = words.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = (short.char_indices()).find(|(at, c)| at + c.len_utf8() > most) {
        short.truncate(end);
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_with_their_unit_only() {
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
        for wrong in [
            "5",
            "s",
            "",
            "-1s",
            "1.5s",
            "99999999999999999999s",
            "9999999h",
        ] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }
}
