//! Why a command of DRBD's failed: a kind that can be matched on, with DRBD's own words. Pure.

use std::fmt;

/// What stood in the way.
///
/// The numbers are those of DRBD's `drbd_ret_code` and `drbd_state_rv` (`drbd.h`); `drbdsetup` prints
/// them in parentheses, and its exit codes are coarser (`user/v84/drbdsetup.c`, `print_config_error`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The peer is Primary, or is not yet known to be dead.
    TwoPrimaries,
    /// No disk that can be reached is UpToDate.
    NoUpToDateDisk,
    /// There is no local disk.
    NoLocalDisk,
    /// Fencing is on, and nobody has confirmed that the peer is outdated.
    PeerNotOutdated,
    /// Somebody has the device open: a mount, a process, another device on top of it.
    HeldOpen,
    /// DRBD 9 has no quorum here.
    NoQuorum,
    /// Something else changes the state right now: try again.
    Passing,
    /// We are Primary: what was asked for needs a Secondary.
    Primary,
    /// The disk is less than outdated already: Inconsistent, or not there.
    LessThanOutdated,
    /// A disk that DRBD holds to be connected is not outdated: 9 refuses, and 8.4 says yes and records nothing.
    NotRecorded,
    /// The configuration has no such resource for this host.
    NotConfigured,
    /// The configuration does not parse, or cannot be read.
    BadConfiguration,
    /// The resource is not up.
    NotUp,
    /// The disk has no DRBD metadata.
    NoMetadata,
    /// The disk cannot be opened, or another has claimed it.
    BackingDisk,
    /// The kernel module is not loaded and cannot be.
    NoModule,
    /// The tool is not installed.
    NoTool,
    /// The tool did not end in time, and was killed.
    TimedOut,
    /// The tool was given up for something else.
    GivenUp,
    /// Anything else, or a tool that could not be run.
    Other,
}

/// A failed command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrbdFailure {
    /// What stood in the way.
    pub kind: FailureKind,
    /// The command as it was given.
    pub command: String,
    /// What DRBD said, shortened.
    pub words: String,
}

impl fmt::Display for DrbdFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.command, self.words)
    }
}

impl std::error::Error for DrbdFailure {}

/// The kind behind an exit code and the words beside it.
pub fn kind(command: &str, code: i32, words: &str) -> FailureKind {
    match number(words) {
        // Whoever is Primary is not outdated.
        Some(-2) if command == "outdate" => return FailureKind::Primary,
        Some(number) if let Some(kind) = numbered(number) => return kind,
        Some(_) | None => {}
    }
    let says = |part: &str| words.contains(part);
    if says("not defined in your config") {
        return FailureKind::NotConfigured;
    }
    if says("Parse error") || says("Can not open") || says("no resources defined") {
        return FailureKind::BadConfiguration;
    }
    if says("modprobe") || says("generic netlink") || says("Is the module loaded") {
        return FailureKind::NoModule;
    }
    if says("No valid meta") {
        return FailureKind::NoMetadata;
    }
    if says("No such resource") || says("not allocated") {
        return FailureKind::NotUp;
    }
    match code {
        // drbdadm hides the words of `outdate` (`drbdadm_main.c`, `adm_outdate`).
        17 if command == "outdate" => FailureKind::Primary,
        5 if command == "outdate" => FailureKind::LessThanOutdated,
        17 => FailureKind::NoUpToDateDisk,
        16 => FailureKind::NoLocalDisk,
        _ => FailureKind::Other,
    }
}

fn numbered(number: i32) -> Option<FailureKind> {
    let kind = match number {
        -1 => FailureKind::TwoPrimaries,
        -2 => FailureKind::NoUpToDateDisk,
        -4 => FailureKind::NoLocalDisk,
        -6 => FailureKind::NotRecorded,
        -7 => FailureKind::PeerNotOutdated,
        -12 => FailureKind::HeldOpen,
        -16 => FailureKind::LessThanOutdated,
        -18 | -19 | -23 => FailureKind::Passing,
        -25 => FailureKind::NoQuorum,
        104 | 105 | 114 | 115 => FailureKind::BackingDisk,
        119 => FailureKind::NoMetadata,
        127 | 158 => FailureKind::NotUp,
        _ => return None,
    };
    Some(kind)
}

/// The number after `State change failed:` or `Failure:`.
fn number(words: &str) -> Option<i32> {
    ["State change failed: (", "Failure: ("]
        .iter()
        .find_map(|mark| {
            let (_, rest) = words.split_once(mark)?;
            rest.split_once(')')?.0.parse().ok()
        })
}

/// What was said, on one line, without what says nothing: a shell that misses `modinfo`, and the exit
/// code of the tool behind the tool.
pub fn words(out: &str, err: &str) -> String {
    let telling = |line: &&str| {
        let noise = line.contains("modinfo: not found")
            || line.contains("modprobe: not found")
            || (line.starts_with("Command '") && line.contains("terminated with exit code"));
        !line.is_empty() && !noise
    };
    let lines = err.lines().chain(out.lines()).map(str::trim);
    let text: Vec<&str> = lines.filter(telling).collect();
    let text = text.join("; ");
    let printable = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>();
    match printable.char_indices().nth(400) {
        None => printable,
        Some((end, _)) => format!("{}…", &printable[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As recorded with DRBD 8.4.11 and 9.2.18, drbd-utils 9.22; what a step meets is in
    /// `tests/drbd/failures.rs`.
    const RECORDED: &[(&str, i32, &str, FailureKind)] = &[
        ("status", 10, "etcd: No such resource", FailureKind::NotUp),
        (
            "role",
            10,
            "0: Failure: (127) Device minor not allocated",
            FailureKind::NotUp,
        ),
        (
            "sh-dev",
            1,
            "'nosuch' not defined in your config (for this host).",
            FailureKind::NotConfigured,
        ),
        (
            "sh-dev",
            10,
            "a.res:4: Parse error: 'resync-rate' expected,",
            FailureKind::BadConfiguration,
        ),
        (
            "connect",
            10,
            "etcd: Failure: (102) Local address(port) already in use.",
            FailureKind::Other,
        ),
        ("primary", 1, "", FailureKind::Other),
    ];

    #[test]
    fn every_recorded_answer_has_its_kind() {
        for (command, code, said, wanted) in RECORDED {
            assert_eq!(kind(command, *code, said), *wanted, "{command} {said}");
        }
    }

    #[test]
    fn words_are_one_line_without_what_says_nothing() {
        let err = "sh: 1: modinfo: not found\n0: State change failed: (-12) Device is held open by someone\nCommand 'drbdsetup-84 secondary 0' terminated with exit code 11\n";
        assert_eq!(
            words("", err),
            "0: State change failed: (-12) Device is held open by someone"
        );
        assert_eq!(words("a\u{7}b", ""), "a b");
        assert_eq!(words(&"x".repeat(9999), "").chars().count(), 401);
    }
}
