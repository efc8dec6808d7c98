//! Why a command of DRBD's failed: a kind that can be matched on, with DRBD's own words. Pure.

use std::fmt;

/// What stood in the way.
///
/// The numbers are those of DRBD's `drbd_ret_code` and `drbd_state_rv` (`drbd.h`); `drbdsetup` prints
/// them in parentheses, and its exit codes are coarser (`user/v84/drbdsetup.c`, `print_config_error`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Somebody has the device open: a mount, a process, another device on top of it.
    HeldOpen,
    /// Something else changes the state right now: try again.
    Passing,
    /// We are Primary: what was asked for needs a Secondary.
    Primary,
    /// The disk is less than outdated already: Inconsistent, or not there.
    LessThanOutdated,
    /// A disk that DRBD holds to be connected is not outdated: 9 refuses, and 8.4 says yes and records nothing.
    NotRecorded,
    /// The disk has no DRBD metadata.
    NoMetadata,
    /// The tool did not end in time, and was killed.
    TimedOut,
    /// The tool was given up for something else.
    GivenUp,
    /// Anything else that nobody acts on: DRBD's words say it.
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
    let outdate = command == "outdate";
    match (number(words), code) {
        // Whoever is Primary is not outdated. drbdadm hides the words of `outdate` (`adm_outdate`).
        (Some(-2), _) | (None, 17) if outdate => FailureKind::Primary,
        (Some(-16), _) => FailureKind::LessThanOutdated,
        (None, 5) if outdate => FailureKind::LessThanOutdated,
        (Some(-6), _) => FailureKind::NotRecorded,
        (Some(-12), _) => FailureKind::HeldOpen,
        (Some(-18 | -19 | -23), _) => FailureKind::Passing,
        (Some(119), _) => FailureKind::NoMetadata,
        (None, _) if words.contains("No valid meta") => FailureKind::NoMetadata,
        (Some(_) | None, _) => FailureKind::Other,
    }
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
        ("status", 10, "etcd: No such resource", FailureKind::Other),
        (
            "role",
            10,
            "0: Failure: (127) Device minor not allocated",
            FailureKind::Other,
        ),
        (
            "sh-dev",
            1,
            "'nosuch' not defined in your config (for this host).",
            FailureKind::Other,
        ),
        (
            "sh-dev",
            10,
            "a.res:4: Parse error: 'resync-rate' expected,",
            FailureKind::Other,
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
