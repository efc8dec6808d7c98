//! Whether etcd takes the value of a flag or a variable, which it reads as Go reads a flag. What it does not
//! take ends it at once: that is to be known before anything is changed for a start.
//!
//! Source: Go's `flag` and `strconv`; the words of etcd 3.4.23, 3.5.16 and 3.5.30 about such values.

use std::collections::BTreeMap;

use super::flags::{Flag, of_variable};
use super::kinds::{Kind, of_flag};
use crate::text::shorten;

/// What etcd would not take of these flags.
pub fn wrong_flags(flags: &[Flag]) -> impl Iterator<Item = String> {
    flags.iter().filter_map(|flag| {
        let why = wrong(&flag.name, &flag.value)?;
        let value = shorten(&flag.value);
        Some(format!("--{}={value} {why}", flag.name))
    })
}

/// What etcd would not take of these variables.
pub fn wrong_variables(variables: &BTreeMap<String, String>) -> impl Iterator<Item = String> {
    variables.iter().filter_map(|(variable, value)| {
        let why = wrong(&of_variable(variable), value)?;
        Some(format!("{variable}={} {why}", shorten(value)))
    })
}

fn wrong(flag: &str, value: &str) -> Option<&'static str> {
    let (taken, why) = match of_flag(flag)? {
        Kind::Boolean => (boolean(value).is_some(), "is neither true nor false"),
        Kind::Number => (
            number(value.strip_prefix(['-', '+']).unwrap_or(value)).is_some_and(is_signed),
            "is not a whole number",
        ),
        Kind::Count if flag == "max-concurrent-streams" => (
            number(value).is_some_and(|number| number <= u32::MAX.into()),
            "is not a whole number from 0 to 4294967295",
        ),
        Kind::Count => (number(value).is_some(), "is not a whole number from 0 on"),
        Kind::Duration => (
            is_duration(value),
            "is not a duration: write 500ms, 5s, 2m or 1h",
        ),
        Kind::Text => return word(flag, value),
        Kind::Texts | Kind::Section => return None,
    };
    (!taken).then_some(why)
}

/// What is wrong with a text that stands for one of a few things. What one version alone takes is taken.
pub fn word(flag: &str, value: &str) -> Option<&'static str> {
    let lower = value.to_lowercase();
    let (taken, why): (&[&str], _) = match flag {
        "log-level" => (
            &["debug", "info", "warn", "error", "dpanic", "panic", "fatal"],
            "is no level: write debug, info, warn, error, panic or fatal",
        ),
        "logger" => (&["zap", "capnslog"], "is no logger: write zap"),
        "auto-compaction-mode" => (
            &["periodic", "revision"],
            "is neither periodic nor revision",
        ),
        "auto-compaction-retention" => {
            let taken = value.is_empty() || number(value).is_some() || is_duration(value);
            let why = "is neither a number nor a duration: write 1000, 5m or 1h";
            return (!taken).then_some(why);
        }
        _ => return None,
    };
    // etcd 3.5 takes a level in capitals, and no level at all.
    let value = if flag == "log-level" { &lower } else { value };
    (!value.is_empty() && !taken.contains(&value)).then_some(why)
}

/// From a variable or a flag, or from the configuration file, where `1e3` is whole too.
pub fn milliseconds(value: &str) -> Option<u64> {
    let float = || (value.parse::<f64>().ok()).filter(|number| number.fract() == 0.0);
    number(value).or_else(|| float().map(|number| number as u64))
}

/// Go's `strconv.ParseBool`.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        _ => None,
    }
}

/// Go's `strconv.ParseUint` with base 0: `0x10`, `0b1`, `0o7`, `07`, and `1_000` with single underscores between
/// digits, or between a prefix and them.
fn number(text: &str) -> Option<u64> {
    let prefixes = [("0x", 16), ("0X", 16), ("0b", 2), ("0B", 2), ("0o", 8)];
    let prefixed = (prefixes.into_iter().chain([("0O", 8)]))
        .find_map(|(prefix, base)| Some((text.strip_prefix(prefix)?, base)));
    let (digits, base) = match (prefixed, text.strip_prefix('0')) {
        (Some((digits, base)), _) => (digits.strip_prefix('_').unwrap_or(digits), base),
        (None, Some(digits)) if !digits.is_empty() => {
            (digits.strip_prefix('_').unwrap_or(digits), 8)
        }
        (None, _) => (text, 10),
    };
    let grouped = digits
        .split('_')
        .all(|group| !group.is_empty() && group.chars().all(|digit| digit.is_digit(base)));
    match grouped {
        true => u64::from_str_radix(&digits.replace('_', ""), base).ok(),
        false => None,
    }
}

/// Whether a number without its sign fits into Go's `int64`. Nobody writes the one that fits with a minus only.
fn is_signed(number: u64) -> bool {
    i64::try_from(number).is_ok()
}

/// Go's `time.ParseDuration`: `1h1m1.5s`, `-1s`, `0`.
fn is_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let unit = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (number, after) = rest.split_at(unit.unwrap_or(rest.len()));
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.');
        let (unit, next) = after.split_at(end.unwrap_or(after.len()));
        let unit = match unit {
            "ns" => 1e-9,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return false,
        };
        // Rust reads `1.` and `.5` too, as Go does here.
        let Ok(number) = number.parse::<f64>() else {
            return false;
        };
        seconds += number * unit;
        rest = next;
    }
    // Nanoseconds, in 63 bits.
    !text.trim_start_matches(['-', '+']).is_empty() && seconds < 9_223_372_036.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_etcd_reads_them() {
        for (flag, values) in [
            (
                "heartbeat-interval",
                "200 0200 2_00 0b11001000 0o310 0_310 0x_c8 0X80 0",
            ),
            (
                "quota-backend-bytes",
                "+5 -5 0x10 1_0 -0x1 9223372036854775807",
            ),
            ("pre-vote", "t TRUE True 1 F 0 false"),
            (
                "grpc-keepalive-interval",
                "0 +1s 1.5h 1h1m1.5s .5s 1.s -1s 1\u{b5}s 1\u{3bc}s +0 2562047h",
            ),
            ("not-known", "what ever"),
        ] {
            for value in values.split(' ') {
                assert_eq!(wrong(flag, value), None, "{flag} {value}");
            }
        }
    }

    #[test]
    fn values_that_end_etcd_are_wrong() {
        for (flag, values) in [
            (
                "heartbeat-interval",
                "+200 -1 2__00 _200 200_ 0__1 08 0x 0b2 1s 200.0 1e2 18446744073709551616",
            ),
            ("quota-backend-bytes", "9223372036854775808 8GB +-1 1.5"),
            ("max-concurrent-streams", "4294967296 x"),
            ("pre-vote", "yes on tRUE 2"),
            ("peer-client-cert-auth", "yes"),
            (
                "grpc-keepalive-interval",
                "5 1d 1e3s s . .s 1.2.3s 5000000000 1h1 --1s - 2562048h",
            ),
            ("backend-batch-limit", "1s"),
        ] {
            for value in values.split(' ').chain(["", " 1", "1\n"]) {
                assert!(wrong(flag, value).is_some(), "{flag} {value:?}");
            }
        }
    }

    #[test]
    fn a_word_is_one_that_etcd_knows() {
        for (flag, good, bad) in [
            ("log-level", "debug INFO Warn fatal", "bogus infos"),
            ("logger", "zap capnslog", "bogus ZAP"),
            (
                "auto-compaction-mode",
                "periodic revision",
                "bogus Periodic",
            ),
            ("auto-compaction-retention", "0 1000 5m 1h30m", "x 0.5 1d"),
            ("name", "what ever", ""),
        ] {
            for value in good.split(' ').chain([""]) {
                assert_eq!(wrong(flag, value), None, "{flag} {value}");
            }
            for value in bad.split(' ').filter(|value| !value.is_empty()) {
                assert!(wrong(flag, value).is_some(), "{flag} {value}");
            }
        }
    }
}
