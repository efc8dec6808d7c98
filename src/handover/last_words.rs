//! What a dying etcd printed: its data, or its surroundings. Never evidence to touch data.
//!
//! The texts are etcd's own, from `tests/fixtures/last-words`, recorded from the versions named there.
//! Only lines that etcd dies of are read: warnings about other members say `connection refused` or
//! `no such host` all day.

use serde_json::Value;

/// What etcd printed as the cause of its death.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LastWords {
    /// Nothing was listened to: it was healthy, or printed nothing.
    #[default]
    None,
    /// The leader knows entries that are missing here (panic "tocommit").
    Behind,
    /// The cluster has removed this member.
    Removed,
    /// Told to found a cluster that exists.
    AlreadyBootstrapped,
    /// Its data does not read: etcd's own words.
    DataUnreadable(String),
    /// A port, a disk, a permission, a setting, the others: etcd's own words.
    Surroundings(String),
    /// It printed something, and nothing that we know.
    Unknown,
}

#[derive(Clone, Copy)]
enum About {
    Behind,
    Removed,
    AlreadyBootstrapped,
    Data,
    Surroundings,
}

/// Texts, in order of precedence: a database that cannot be opened for want of space is no bad
/// database. Paths are of 3.5's source; 3.4 has the same texts unless it is named.
const TEXTS: &[(&str, About)] = &[
    // raft/log.go, commitTo
    ("is out of range [lastIndex(", About::Behind),
    // rafthttp/http.go and peer.go, errMemberRemoved; server.go, "server error"
    ("the member has been permanently removed", About::Removed),
    // etcdserver/server.go, NewServer; etcdserver/cluster_util.go, isMemberBootstrapped
    ("has already been bootstrapped", About::AlreadyBootstrapped),
    // Linux's own words, as Go has them (syscall/zerrors_linux_*.go).
    ("address already in use", About::Surroundings),
    ("cannot assign requested address", About::Surroundings),
    ("permission denied", About::Surroundings),
    ("operation not permitted", About::Surroundings),
    ("read-only file system", About::Surroundings),
    ("no space left on device", About::Surroundings),
    ("disk quota exceeded", About::Surroundings),
    ("too many open files", About::Surroundings),
    ("cannot allocate memory", About::Surroundings),
    ("input/output error", About::Surroundings),
    ("stale file handle", About::Surroundings),
    ("structure needs cleaning", About::Surroundings),
    ("not a directory", About::Surroundings),
    ("is a directory", About::Surroundings),
    // runtime/panic.go and malloc.go
    ("fatal error: runtime: out of memory", About::Surroundings),
    ("fatal error: runtime: cannot allocate", About::Surroundings),
    // wal/walpb/record.go, wal/wal.go, wal/decoder.go
    ("walpb: crc mismatch", About::Data),
    ("wal: crc mismatch", About::Data),
    ("wal: file not found", About::Data),
    ("wal: max entry size limit exceeded", About::Data),
    ("wal: conflicting metadata found", About::Data),
    ("wal: snapshot", About::Data),
    ("wal: slice bounds out of range", About::Data),
    ("proto: ", About::Data),
    ("unexpected EOF", About::Data),
    // raft/raft.go, Config.validate: a WAL without its first records
    ("cannot use none as id", About::Data),
    // etcdserver/backend.go, recoverSnapshotBackend; api/snap/db.go; api/snap/snapshotter.go
    ("failed to find database snapshot file", About::Data),
    ("snap: ", About::Data),
    // bbolt: errors.go, db.go, freelist.go, page.go
    ("invalid database", About::Data),
    ("version mismatch", About::Data),
    ("checksum error", About::Data),
    ("freepages: ", About::Data),
    ("assertion failed: ", About::Data),
    ("already freed", About::Data),
    ("invalid freelist page", About::Data),
    // A database file that is shorter than its map: runtime/signal_unix.go
    ("unexpected fault address", About::Data),
    ("[signal SIGBUS", About::Data),
    // etcdmain/etcd.go and config.go, pkg/flags/flag.go, the flag package
    ("verify flags", About::Surroundings),
    ("verifying flags", About::Surroundings),
    ("conflicting environment variable", About::Surroundings),
    ("flag provided but not defined", About::Surroundings),
    ("invalid value ", About::Surroundings),
    // etcdserver/api/membership/cluster.go, config.go, etcdserver/server.go
    ("couldn't find local name", About::Surroundings),
    (
        "missing from --initial-advertise-peer-urls",
        About::Surroundings,
    ),
    ("--initial-cluster", About::Surroundings),
    ("error validating peerURLs", About::Surroundings),
    ("cannot fetch cluster info", About::Surroundings),
    ("error listing data dir", About::Surroundings),
    // embed/etcd.go, pkg/transport; crypto/tls, crypto/x509, net
    ("tls: ", About::Surroundings),
    ("x509: ", About::Surroundings),
    ("no such host", About::Surroundings),
    ("listen tcp", About::Surroundings),
    ("no such file or directory", About::Surroundings),
    // Ours: `ExecError`
    ("etcd-rejoin: cannot run ", About::Surroundings),
];

/// What a line contains that etcd dies of: 3.5's JSON and console levels, 3.4's capnslog level, and
/// lines that are no warning although their level says so.
const FINAL: &[&str] = &[
    "\"level\":\"fatal\"",
    "\"level\":\"panic\"",
    "\tfatal\t",
    "\tpanic\t",
    " C | ",
    "verify flags",
    "verifying flags",
    "the member has been permanently removed",
];

/// How a line begins that comes from Go itself, or from us.
const FINAL_START: &[&str] = &[
    "panic: ",
    "fatal error: ",
    "unexpected fault address",
    "[signal SIG",
    "flag provided but not defined",
    "invalid value ",
    "etcd-rejoin: cannot run ",
];

fn is_final(line: &str) -> bool {
    FINAL.iter().any(|mark| line.contains(mark))
        || FINAL_START.iter().any(|mark| line.starts_with(mark))
}

/// What a line says, if etcd dies of it and we know it.
fn read(line: &str) -> Option<LastWords> {
    if !is_final(line) {
        return None;
    }
    let words = words(line);
    // The flag package's text stands in `msg`, next to an `error` without it.
    let known = |text: &str| words.contains(text) || line.contains(text);
    let (_, about) = TEXTS.iter().find(|(text, _)| known(text))?;
    Some(match about {
        About::Behind => LastWords::Behind,
        About::Removed => LastWords::Removed,
        About::AlreadyBootstrapped => LastWords::AlreadyBootstrapped,
        About::Data => LastWords::DataUnreadable(words),
        About::Surroundings => LastWords::Surroundings(words),
    })
}

/// The part of a line that is for people.
fn words(line: &str) -> String {
    let mut words = match serde_json::from_str::<Value>(line) {
        Ok(entry) => {
            let text = |key| entry.get(key).and_then(Value::as_str);
            match (text("msg"), text("error")) {
                (Some(msg), Some(error)) => format!("{msg}: {error}"),
                (Some(one), None) | (None, Some(one)) => one.to_string(),
                (None, None) => line.to_string(),
            }
        }
        Err(_) => line.split_once(" | ").map_or(line, |(_, rest)| rest).into(),
    };
    if let Some((cut, _)) = words.char_indices().nth(MOST_WORDS) {
        words.truncate(cut);
    }
    words
}

/// So many characters of a line are kept for a log line of ours.
const MOST_WORDS: usize = 400;

/// So much of a line is read; etcd's stack traces stand at the end of its lines.
const MOST_LINE: usize = 16 * 1024;

/// Listens to a running etcd, a chunk at a time; keeps one unfinished line.
#[derive(Default)]
pub(super) struct LastWordsReader {
    line: Vec<u8>,
    words: LastWords,
}

impl LastWordsReader {
    /// The first line that says something known is the cause; what follows is a consequence.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        if self.words == LastWords::None && !bytes.is_empty() {
            self.words = LastWords::Unknown;
        }
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = MOST_LINE.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    /// What it has said until now.
    pub(super) fn last_words(&mut self) -> LastWords {
        self.end_line();
        self.words.clone()
    }

    fn end_line(&mut self) {
        if self.words == LastWords::Unknown {
            let line = String::from_utf8_lossy(&self.line);
            if let Some(words) = read(line.trim_end()) {
                self.words = words;
            }
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    /// What each recorded death is about; the same in every version.
    const EXPECTED: &str = "\
        already-bootstrapped: bootstrapped
        behind, behind-empty: behind
        removed: removed
        wal-flipped, wal-head-flipped, wal-size-0, wal-cut-in-head, wal-gap: data
        db-missing, db-size-0, db-meta-garbage, db-middle-garbage, db-cut: data
        db-is-a-directory, not-a-directory, wal-permission, permission-denied: surroundings
        read-only, read-only-new, disk-full-new, disk-full-running, disk-full-restart: surroundings
        port-in-use, cannot-assign-address, listen-name, certificate-missing: surroundings
        unknown-flag, flag-value, flag-and-variable, variable-value, bad-state: surroundings
        config-file-missing, name-not-in-cluster, peer-url-not-in-cluster: surroundings
        election-timeout, member-count-unequal, nobody-to-fetch-from: surroundings
        stopped: unknown";

    fn expected() -> BTreeMap<&'static str, &'static str> {
        let lines = EXPECTED.lines().filter_map(|line| line.split_once(": "));
        lines
            .flat_map(|(cases, about)| cases.split(", ").map(move |case| (case.trim(), about)))
            .collect()
    }

    fn about(words: &LastWords) -> &'static str {
        match words {
            LastWords::None => "none",
            LastWords::Behind => "behind",
            LastWords::Removed => "removed",
            LastWords::AlreadyBootstrapped => "bootstrapped",
            LastWords::DataUnreadable(_) => "data",
            LastWords::Surroundings(_) => "surroundings",
            LastWords::Unknown => "unknown",
        }
    }

    fn records() -> Vec<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/last-words");
        let files = |dir: &Path| {
            let entries = std::fs::read_dir(dir).unwrap();
            entries
                .map(|entry| entry.unwrap().path())
                .collect::<Vec<_>>()
        };
        let versions = files(&root).into_iter().filter(|path| path.is_dir());
        versions.flat_map(|version| files(&version)).collect()
    }

    fn heard(text: &[u8], chunk: usize) -> LastWords {
        let mut listener = LastWordsReader::default();
        text.chunks(chunk).for_each(|chunk| listener.hear(chunk));
        listener.last_words()
    }

    #[test]
    fn every_recorded_death_is_understood_in_every_version() {
        let mut wrong = String::new();
        let expected = expected();
        let records = records();
        for path in &records {
            let case = path.file_stem().unwrap().to_str().unwrap();
            let words = heard(&std::fs::read(path).unwrap(), 4096);
            if Some(&about(&words)) != expected.get(case) {
                wrong += &format!("{}: {words:?}\n", path.display());
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
        // One may live on: on a full disk it depends on free pages.
        let least = 3 * (expected.len() - 1);
        assert!(records.len() >= least, "{} records", records.len());
    }

    #[test]
    fn it_does_not_matter_how_the_text_is_cut() {
        for path in records() {
            let text = std::fs::read(&path).unwrap();
            let whole = heard(&text, text.len());
            for chunk in [1, 7, 1000] {
                assert_eq!(heard(&text, chunk), whole, "{}", path.display());
            }
        }
    }

    #[test]
    fn a_warning_about_another_member_is_no_last_word() {
        for line in [
            r#"{"level":"warn","msg":"prober detected unhealthy status","error":"dial tcp: lookup n2: no such host"}"#,
            "2026-11-20 10:00:00.000000 W | rafthttp: health check for peer could not connect: permission denied",
        ] {
            assert_eq!(heard(line.as_bytes(), 4096), LastWords::Unknown);
        }
    }

    #[test]
    fn an_endless_line_costs_no_memory_and_hides_nothing() {
        let mut listener = LastWordsReader::default();
        for _ in 0..100 {
            listener.hear(&[b'x'; 4096]);
        }
        assert!(listener.line.capacity() <= 2 * MOST_LINE);
        listener.hear(b"\npanic: tocommit(2) is out of range [lastIndex(1)]. Was the raft log ..");
        assert_eq!(listener.last_words(), LastWords::Behind);
    }

    #[test]
    fn silence_says_nothing() {
        assert_eq!(LastWordsReader::default().last_words(), LastWords::None);
    }
}
