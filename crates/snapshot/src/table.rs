//! Tables for people: columns as wide as what stands in them. And the sizes and ages in them.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

/// Lines under a heading, each column as wide as its widest text.
pub fn table(heading: &[&str], lines: &[Vec<String>]) -> String {
    let width = |at: usize| {
        let texts = lines.iter().map(|line| line[at].chars().count());
        texts.chain([heading[at].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let mut text = String::new();
    let heading: Vec<String> = heading.iter().map(|word| word.to_string()).collect();
    for line in std::iter::once(&heading).chain(lines) {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        // Writing to a text does not fail.
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

/// `1.5 GiB`.
pub fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut number = bytes as f64;
    let mut unit = "B";
    for next in units {
        if number < 1024.0 {
            break;
        }
        (number, unit) = (number / 1024.0, next);
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ => format!("{number:.1} {unit}"),
    }
}

/// `3 min ago`; a time in the future is said to be one: it says nothing about freshness.
pub fn age(then: SystemTime, now: SystemTime) -> String {
    let Ok(age) = now.duration_since(then) else {
        return "in the future".into();
    };
    format!("{} ago", length(age))
}

/// `90 s`, `5 min`, `3 h`, `9 days`.
pub fn length(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_stands_in_them() {
        let lines = [
            vec!["a".into(), "1 B".into()],
            vec!["long".into(), "2 B".into()],
        ];
        assert_eq!(
            table(&["ID", "SIZE"], &lines),
            "ID    SIZE\na     1 B\nlong  2 B\n"
        );
    }

    #[test]
    fn sizes_and_ages_are_said_in_few_digits() {
        assert_eq!(
            [0, 1023, 1536, 5 << 30].map(size),
            ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]
        );
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let ago = |seconds| age(now - Duration::from_secs(seconds), now);
        assert_eq!(
            [5, 600, 7200, 864_000].map(ago),
            ["5 s ago", "10 min ago", "2 h ago", "10 days ago"]
        );
        assert_eq!(age(now + Duration::from_secs(1), now), "in the future");
    }
}
