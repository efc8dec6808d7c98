//! Values that mean the same everywhere: log levels, small files, and a value as it is shown.

use std::io::Read;
use std::path::Path;

/// A log level by name.
pub fn level(text: &str) -> Option<log::LevelFilter> {
    match text {
        "error" => Some(log::LevelFilter::Error),
        "warn" => Some(log::LevelFilter::Warn),
        "info" => Some(log::LevelFilter::Info),
        "debug" => Some(log::LevelFilter::Debug),
        _ => None,
    }
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
}
