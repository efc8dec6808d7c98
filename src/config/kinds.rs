//! Which kind of value each key of etcd's configuration file takes, and each flag. etcd ends at once where one is
//! of another kind: that is to be known before anything is changed for a start.
//!
//! Source: the words of etcd 3.4.23 and 3.5.16 about a value of a wrong kind. Only keys that both have:
//! what a version does not know it does not read.

/// The sections of etcd's configuration file, and what the flags of each begin with.
pub const SECTIONS: [(&str, &str); 2] = [
    ("client-transport-security", ""),
    ("peer-transport-security", "peer-"),
];

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

/// The kind of a key of the file.
pub fn of_key(key: &str) -> Option<Kind> {
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
        false => of_key(flag),
    }
}

/// Whether a flag takes a number, or a duration.
pub fn is_number(flag: &str) -> bool {
    match of_flag(flag) {
        Some(Kind::Number | Kind::Count | Kind::Duration) => true,
        Some(Kind::Text | Kind::Texts | Kind::Boolean | Kind::Section) | None => false,
    }
}

/// The kind of a key of one of its sections.
pub fn of_section_key(key: &str) -> Option<Kind> {
    match key {
        _ if SECTION_TEXTS.contains(&key) => Some(Kind::Text),
        _ if SECTION_BOOLEANS.contains(&key) => Some(Kind::Boolean),
        _ => None,
    }
}
