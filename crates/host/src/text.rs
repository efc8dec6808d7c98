//! Text that is read, or shown, the same everywhere.

use std::io::Read;
use std::path::Path;
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

/// The words of a list, which commas separate.
pub fn listed(value: Option<&str>) -> impl Iterator<Item = &str> {
    let words = value.unwrap_or_default().split(',').map(str::trim);
    words.filter(|word| !word.is_empty())
}

/// A small file of text. A pipe or a device has no size, may never end, and is read only once.
pub fn read_text(path: &Path, most: u64, what: &str) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("does not read: {error}");
    let meta = std::fs::metadata(path).map_err(unreadable)?;
    if meta.is_dir() {
        return Err("is a directory".into());
    }
    if !meta.is_file() {
        return Err("is not a regular file".into());
    }
    if meta.len() > most {
        return Err(format!("has {} bytes: that is no {what}", meta.len()));
    }
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    match file.take(most).read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Err("is not text".into()),
        Err(error) => Err(unreadable(error)),
    }
}

/// A value as a message shows it: its beginning, as it may be huge, in one line, and no password in a URL.
pub fn shorten(value: &str) -> String {
    let mut shown = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("://") {
        let end = after.find([',', '"', ' ']).unwrap_or(after.len());
        let (url, next) = after.split_at(end);
        shown += before;
        shown += "://";
        match url.rsplit_once('@') {
            Some((_, host)) => shown.extend(["***@", host]),
            None => shown += url,
        }
        rest = next;
    }
    shown += rest;
    if shown.contains(char::is_control) {
        shown = (shown.chars())
            .map(|c| match c.is_control() {
                true => c.escape_default().to_string(),
                false => c.into(),
            })
            .collect();
    }
    match shown.char_indices().nth(200) {
        Some((end, _)) => format!("{}... ({} bytes)", &shown[..end], value.len()),
        None => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_value_is_one_line() {
        assert_eq!(shorten("a\nb\u{1b}é"), "a\\nb\\u{1b}é");
    }

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
