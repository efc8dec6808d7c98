//! Log lines on stderr: sentences with `key=value`, or JSON with etcd's own keys.

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::config::LogConfig;
use crate::signals::Stop;

/// How often a write that does not get on looks at the stop flag.
const TICK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 10_000_000,
};
/// A pipe that has room takes so much at once (pipe(7), `PIPE_BUF`).
const AT_ONCE: usize = 4096;

/// Stderr, which waits for its reader until we are asked to stop: a log that nobody reads must not hold that up.
struct Patient(Stop);

impl Write for Patient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stderr = io::stderr();
        loop {
            let ready = poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], Some(&TICK));
            match ready {
                Ok(0) if self.0.raised().is_some() => return Ok(bytes.len()),
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return stderr.write(&bytes[..bytes.len().min(AT_ONCE)]),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts logging. A second start changes nothing.
pub fn start(config: LogConfig, stop: &Stop) {
    let mut builder = env_logger::Builder::new();
    builder.filter_module("etcd_rejoin", config.level);
    builder.target(env_logger::Target::Pipe(Box::new(Patient(stop.clone()))));
    builder.format(move |out, record| {
        let (time, level) = (timestamp(SystemTime::now()), record.level());
        match config.json {
            false => {
                let text = one_line(record.args().to_string());
                writeln!(out, "{time} {level:<5} {text}")
            }
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

/// A text on one line: what others are named, or say, may have any character.
pub fn one_line(text: String) -> String {
    match text.contains(char::is_control) {
        true => (text.chars())
            .map(|c| match c.is_control() {
                true => c.escape_default().to_string(),
                false => c.into(),
            })
            .collect(),
        false => text,
    }
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
