//! A time in words: UTC, in the Gregorian calendar.

use std::time::{Duration, SystemTime};

const DAY: u64 = 86_400;

/// How many bytes a stamp has.
pub const STAMP: usize = 16;

/// `2026-11-21T09:30:00.123Z`, as a log line says it.
pub fn timestamp(time: SystemTime) -> String {
    let since = since_1970(time);
    let [year, month, day, hour, minute, second] = date_and_time(since.as_secs());
    let millis = since.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// `20261121T091105Z`, as a name says it: sorted by name as by time.
pub fn stamp(time: SystemTime) -> String {
    let [year, month, day, hour, minute, second] = date_and_time(since_1970(time).as_secs());
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// The time that a stamp says; `None` if it is none.
pub fn unstamp(text: &str) -> Option<SystemTime> {
    let number = |range: std::ops::Range<usize>| -> Option<u64> { text.get(range)?.parse().ok() };
    if text.len() != STAMP || text.get(8..9) != Some("T") || !text.ends_with('Z') {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
    let (hour, minute, second) = (number(9..11)?, number(11..13)?, number(13..15)?);
    // The date's day is searched for: no second calendar to keep right.
    let days = (year.checked_sub(1970)? * 365..)
        .take(2800)
        .find(|days| date(*days) == (year, month, day))?;
    let seconds = days * DAY + hour * 3600 + minute * 60 + second;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// The month of a time in seconds since 1970, counted from year 0.
pub fn month(seconds: u64) -> u64 {
    let (year, month, _) = date(seconds / DAY);
    year * 12 + month - 1
}

/// The time that a timestamp says, with a fraction of a second or without; `None` if it is none.
pub fn untimestamp(text: &str) -> Option<SystemTime> {
    let text = text.strip_suffix('Z')?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let bytes = whole.as_bytes();
    let separated = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if bytes.len() != 19 || separated.iter().any(|(at, byte)| bytes[*at] != *byte) {
        return None;
    }
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction: f64 = format!("0.{fraction}").parse().ok()?;
    let stamp = format!("{}Z", whole.replace(['-', ':'], ""));
    unstamp(&stamp)?.checked_add(Duration::from_millis((fraction * 1000.0).round() as u64))
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

fn date_and_time(seconds: u64) -> [u64; 6] {
    let (year, month, day) = date(seconds / DAY);
    let (hour, minute, second) = (seconds % DAY / 3600, seconds % 3600 / 60, seconds % 60);
    [year, month, day, hour, minute, second]
}

/// Year, month and day of a day since 1970, in the Gregorian calendar.
fn date(days: u64) -> (u64, u64, u64) {
    // Years are counted from March: the leap day is the last day of such a year.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_says_its_time_back() {
        for (seconds, text) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (1_795_252_265, "20261121T091105Z"),
            (4_107_542_399, "21000228T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(stamp(time), text);
            assert_eq!(unstamp(text), Some(time));
        }
    }

    #[test]
    fn a_timestamp_is_the_utc_time() {
        let at = |seconds| timestamp(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_795_253_025), "2026-11-21T09:23:45.000Z");
    }

    #[test]
    fn a_month_ends_with_its_last_day() {
        let of = |text: &str| {
            let time = unstamp(text).expect("a stamp");
            month(since_1970(time).as_secs())
        };
        assert_eq!(of("20261130T235959Z"), 2026 * 12 + 10);
        assert_eq!(of("20261201T000000Z"), 2026 * 12 + 11);
        assert_eq!(of("20270101T000000Z"), 2027 * 12);
    }

    #[test]
    fn a_timestamp_says_its_time_back() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_253_025_123);
        assert_eq!(untimestamp(&timestamp(time)), Some(time));
        assert_eq!(
            untimestamp("1970-01-01T00:00:01Z"),
            Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1))
        );
        for text in [
            "",
            "1970-01-01T00:00:01",
            "1970-01-01 00:00:01Z",
            "1970-01-01T00:00:01.xZ",
            "1970/01/01T00:00:01Z",
        ] {
            assert_eq!(untimestamp(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_stamp_is_none() {
        for text in [
            "",
            "20261121T091105",
            "20261321T091105Z",
            "99999999T999999Z",
            "2026112\u{e9}T091105Z",
        ] {
            assert_eq!(unstamp(text), None, "{text}");
        }
    }
}
