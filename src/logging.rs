//! Log lines on stderr: sentences with `key=value`, or JSON with etcd's own keys.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::LogConfig;

/// Starts logging. A second start changes nothing.
pub fn start(config: LogConfig) {
    let mut builder = env_logger::Builder::new();
    builder.filter_module("etcd_rejoin", config.level);
    builder.target(env_logger::Target::Stderr);
    builder.format(move |out, record| {
        let (time, level) = (timestamp(SystemTime::now()), record.level());
        match config.json {
            false => writeln!(out, "{time} {level:<5} {}", record.args()),
            true => {
                let level = level.as_str().to_lowercase();
                let line = serde_json::json!({
                    "level": level,
                    "ts": time,
                    "caller": "etcd-rejoin",
                    "msg": record.args().to_string(),
                });
                writeln!(out, "{line}")
            }
        }
    });
    // Only a test starts it twice.
    let _ = builder.try_init();
}

/// `2026-11-21T09:30:00.123Z`.
pub fn timestamp(now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, millis) = (since.as_secs(), since.subsec_millis());
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// The date of a day since 1970, by the Gregorian calendar.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    loop {
        let length = if leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_timestamp_is_the_utc_time() {
        let at = |seconds| timestamp(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_795_253_025), "2026-11-21T09:23:45.000Z");
    }
}
