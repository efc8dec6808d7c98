//! Which kind of value each key of etcd's configuration file takes. etcd ends at once where one is of another
//! kind: that is to be known before anything is changed for a start.
//!
//! Source: the words of etcd 3.4.23 and 3.5.16 about a value of a wrong kind. Only keys that both have:
//! what a version does not know it does not read.

use serde_json::{Map, Value};

use super::file::SECTIONS;
use super::values;
use super::words::shorten;

const TEXTS: &[&str] = &[
    "advertise-client-urls",
    "auth-token",
    "auto-compaction-mode",
    "auto-compaction-retention",
    "cors",
    "data-dir",
    "discovery",
    "discovery-proxy",
    "discovery-srv",
    "discovery-srv-name",
    "host-whitelist",
    "initial-advertise-peer-urls",
    "initial-cluster",
    "initial-cluster-state",
    "initial-cluster-token",
    "listen-client-urls",
    "listen-metrics-urls",
    "listen-peer-urls",
    "log-level",
    "logger",
    "metrics",
    "name",
    "wal-dir",
];

const BOOLEANS: &[&str] = &[
    "enable-grpc-gateway",
    "enable-pprof",
    "enable-v2",
    "experimental-initial-corrupt-check",
    "force-new-cluster",
    "initial-election-tick-advance",
    "pre-vote",
    "strict-reconfig-check",
];

const NUMBERS: &[&str] = &[
    "backend-batch-limit",
    "experimental-compaction-batch-limit",
    "quota-backend-bytes",
];

/// In the file a number of nanoseconds.
const DURATIONS: &[&str] = &[
    "backend-batch-interval",
    "experimental-corrupt-check-time",
    "experimental-warning-apply-duration",
    "experimental-watch-progress-notify-interval",
    "grpc-keepalive-interval",
    "grpc-keepalive-min-time",
    "grpc-keepalive-timeout",
];

/// As flags each of them is one text.
const LISTS: &[&str] = &["cipher-suites", "log-outputs"];

const COUNTS: &[&str] = &[
    "auth-token-ttl",
    "bcrypt-cost",
    "election-timeout",
    "heartbeat-interval",
    "max-concurrent-streams",
    "max-request-bytes",
    "max-snapshots",
    "max-txn-ops",
    "max-wals",
    "snapshot-count",
];

const SECTION_TEXTS: &[&str] = &[
    "cert-file",
    "client-cert-file",
    "client-key-file",
    "key-file",
    "trusted-ca-file",
];

const SECTION_BOOLEANS: &[&str] = &["auto-tls", "client-cert-auth"];

/// Booleans that are flags of all versions, and no keys.
const FLAG_BOOLEANS: &[&str] = &[
    "auto-tls",
    "client-cert-auth",
    "experimental-enable-lease-checkpoint",
    "experimental-peer-skip-client-san-verification",
    "peer-auto-tls",
    "peer-client-cert-auth",
];

/// So many mistakes are named at once: a key can be written in thousands of ways.
const NAMED: usize = 10;

/// What a value has to be.
#[derive(Clone, Copy)]
pub enum Kind {
    Text,
    /// A list of texts.
    Texts,
    Boolean,
    Number,
    /// A number without a sign.
    Count,
    Duration,
    Section,
}

/// What is wrong with the file's keys and values, if anything is.
pub fn check(file: &Map<String, Value>) -> Result<(), String> {
    let mut wrong = wrong(file, kind);
    for (section, _) in SECTIONS {
        if let Some(Value::Object(keys)) = file.get(section) {
            let of_section = self::wrong(keys, section_kind);
            wrong.extend(of_section.iter().map(|why| format!("{section}: {why}")));
        }
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(wrong[..wrong.len().min(NAMED)].join("; ")),
    }
}

fn wrong(map: &Map<String, Value>, kind: fn(&str) -> Option<Kind>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (key, value) in map {
        let lower = key.to_lowercase();
        match kind(&lower) {
            None => {}
            // Go's JSON reader minds no case: unread by us, it could lead etcd to another data dir.
            Some(_) if lower != *key => wrong.push(format!("{key} is written {lower}")),
            Some(kind) => wrong.extend(mistake(key, value, kind)),
        }
    }
    wrong
}

fn kind(key: &str) -> Option<Kind> {
    let is_section = SECTIONS.iter().any(|(section, _)| *section == key);
    match key {
        _ if is_section => Some(Kind::Section),
        _ if TEXTS.contains(&key) => Some(Kind::Text),
        _ if BOOLEANS.contains(&key) => Some(Kind::Boolean),
        _ if LISTS.contains(&key) => Some(Kind::Texts),
        _ if NUMBERS.contains(&key) => Some(Kind::Number),
        _ if DURATIONS.contains(&key) => Some(Kind::Duration),
        _ if COUNTS.contains(&key) => Some(Kind::Count),
        _ => None,
    }
}

/// The kind of a flag's value, and of its variable's.
pub fn of_flag(flag: &str) -> Option<Kind> {
    match FLAG_BOOLEANS.contains(&flag) {
        true => Some(Kind::Boolean),
        false => kind(flag),
    }
}

/// Whether a flag takes a number, or a duration.
pub fn is_number(flag: &str) -> bool {
    match of_flag(flag) {
        Some(Kind::Number | Kind::Count | Kind::Duration) => true,
        Some(Kind::Text | Kind::Texts | Kind::Boolean | Kind::Section) | None => false,
    }
}

fn section_kind(key: &str) -> Option<Kind> {
    match key {
        _ if SECTION_TEXTS.contains(&key) => Some(Kind::Text),
        _ if SECTION_BOOLEANS.contains(&key) => Some(Kind::Boolean),
        _ => None,
    }
}

fn mistake(key: &str, value: &Value, kind: Kind) -> Option<String> {
    let wanted = match (kind, value) {
        // The same as a key that is not there.
        (_, Value::Null) => return None,
        (Kind::Text, Value::String(text)) => {
            let why = values::word(key, text)?;
            return Some(format!("{key}: {} {why}", shorten(text)));
        }
        (Kind::Boolean, Value::Bool(_)) | (Kind::Section, Value::Object(_)) => return None,
        (Kind::Texts, Value::Array(items)) if items.iter().all(is_text) => return None,
        (Kind::Number | Kind::Duration, Value::Number(n)) if is_whole(n) => return None,
        (Kind::Count, Value::Number(n)) if is_whole(n) && n.as_f64() >= Some(0.0) => return None,
        (Kind::Text, _) => "no text: put it in quotes",
        (Kind::Boolean, _) => "neither true nor false: write it without quotes",
        (Kind::Section, _) => "no map of settings",
        (Kind::Texts, _) => "no list of texts: write [TEXT]",
        (Kind::Number, _) => "no whole number: write it without quotes",
        (Kind::Duration, _) => "no whole number of nanoseconds: write it without quotes",
        (Kind::Count, _) => "no whole number from 0 on: write it without quotes",
    };
    let value = shorten(&value.to_string());
    Some(format!("{key}: {value} is {wanted}"))
}

fn is_text(value: &Value) -> bool {
    matches!(value, Value::String(_) | Value::Null)
}

fn is_whole(number: &serde_json::Number) -> bool {
    number.as_f64().is_some_and(|number| number.fract() == 0.0)
}

#[cfg(test)]
mod tests {
    use super::super::file::parse;
    use super::*;

    #[test]
    fn what_etcd_would_not_take_is_named() {
        for (text, why) in [
            ("name: yes", "name: true is no text"),
            ("name: 5", "put it in quotes"),
            ("log-level: loud", "is no level"),
            ("pre-vote: 'yes'", "without quotes"),
            ("pre-vote: 1", "neither true nor false"),
            ("quota-backend-bytes: 8GB", "no whole number"),
            ("quota-backend-bytes: 1.5", "no whole number"),
            ("max-wals: -1", "from 0 on"),
            ("grpc-keepalive-interval: 5s", "nanoseconds"),
            ("log-outputs: stderr", "no list of texts"),
            ("cipher-suites: [1]", "no list of texts"),
            ("client-transport-security: x", "no map of settings"),
            (
                "peer-transport-security: {client-cert-auth: x}",
                "peer-transport-security: client-cert-auth: \"x\"",
            ),
            ("Data-Dir: /d", "Data-Dir is written data-dir"),
        ] {
            let said = check(&parse(text).unwrap()).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn what_etcd_takes_is_no_mistake() {
        for text in [
            "name: 'yes'",
            "pre-vote: yes",
            "quota-backend-bytes: 8_589_934_592",
            "quota-backend-bytes: -1",
            "max-wals: 1e1",
            "wal-dir: ~",
            "client-transport-security: {client-cert-auth: on}",
            "log-outputs: [stderr]",
            "cipher-suites: ~",
            "grpc-keepalive-interval: 5000000000",
            "unknown: [1, yes]",
        ] {
            assert_eq!(check(&parse(text).unwrap()), Ok(()), "{text}");
        }
    }
}
