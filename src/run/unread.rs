//! Settings that the etcd at hand does not read, and what they are called there. It refuses a flag that it does not
//! know; a variable it names in passing, and a key of its configuration file not at all. Changes nothing.

use std::process::Command;

use super::preflight::{FLAGS, elf, program};
use crate::config::Config;
use crate::program::run_or_kill;
use crate::signals::Stop;

/// What became a feature gate: the flag without `experimental-`, and the gate. All others kept their name without
/// that, or ended (etcd 3.6 `server/features/etcd_features.go`, `ExperimentalFlagToFeatureMap`).
const GATES: [(&str, &str); 7] = [
    ("compact-hash-check-enabled", "CompactHashCheck"),
    ("enable-lease-checkpoint", "LeaseCheckpoint"),
    ("enable-lease-checkpoint-persist", "LeaseCheckpointPersist"),
    ("initial-corrupt-check", "InitialCorruptCheck"),
    ("set-member-localaddr", "SetMemberLocalAddr"),
    ("stop-grpc-service-on-defrag", "StopGRPCServiceOnDefrag"),
    (
        "txn-mode-write-with-shared-buffer",
        "TxnModeWriteWithSharedBuffer",
    ),
];

/// Names each of them once. etcd is asked only where some setting may be one.
pub fn warn(config: &Config, stop: &Stop) {
    let suspects: Vec<(String, String)> = (config.passed_on.settings().into_iter())
        .filter(|(flag, value)| may_be_unread(flag, value))
        .collect();
    if suspects.is_empty() {
        return;
    }
    let help = || {
        let program = program(config).ok().filter(|path| elf(path).is_some())?;
        let mut command = Command::new(program);
        command.env_clear().arg("--help");
        let ran = run_or_kill(&mut command, FLAGS, &|| stop.raised().is_some()).ok()?;
        Some(ran.out + &ran.err).filter(|help| knows(help, "data-dir"))
    };
    let Some(help) = help() else {
        return;
    };
    let file = config.passed_on.file.as_ref();
    let place = file.map_or(String::new(), |(path, _)| format!("{}: ", path.display()));
    for (flag, value) in suspects.iter().filter(|(flag, _)| !knows(&help, flag)) {
        let name = |flag: &str| config.passed_on.written(flag);
        let words = instead(&help, flag, value, name);
        log::warn!(
            "{place}{} has no effect with this etcd: {words}",
            name(flag)
        );
    }
}

/// Whether a version may not read it: what was an experiment, and what ended with the v2 API.
fn may_be_unread(flag: &str, value: &str) -> bool {
    let ended = flag == "enable-v2" && value != "false";
    ended || flag.starts_with("experimental-")
}

/// Whether etcd's help has this flag.
fn knows(help: &str, flag: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
    let dashed = format!("--{flag}");
    let mut found = help.match_indices(&dashed);
    found.any(|(at, found)| ends(&help[at + found.len()..]))
}

/// What to write in its place.
fn instead(help: &str, flag: &str, value: &str, name: impl Fn(&str) -> String) -> String {
    let bare = flag.strip_prefix("experimental-").unwrap_or(flag);
    let gate = GATES.iter().find(|(known, _)| *known == bare);
    match gate {
        _ if bare != flag && knows(help, bare) => format!("write {}", name(bare)),
        Some((_, gate)) if knows(help, "feature-gates") => {
            format!("write {gate}={value} in {}", name("feature-gates"))
        }
        Some(_) | None => "it knows no such setting; take it out".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: &str =
        "  --data-dir 'x'\n  --max-learners '1'\n  --feature-gates ''\n  --v2-deprecation=x\n";

    #[test]
    fn a_flag_is_known_by_its_whole_name() {
        assert!(knows(HELP, "max-learners") && knows(HELP, "v2-deprecation"));
        assert!(!knows(HELP, "max") && !knows(HELP, "learners") && !knows(HELP, "feature"));
    }

    #[test]
    fn the_new_name_is_the_old_one_without_experimental_or_a_gate() {
        let said = |flag: &str| instead(HELP, flag, "true", |flag| format!("<{flag}>"));
        assert_eq!(said("experimental-max-learners"), "write <max-learners>");
        let gate = "write InitialCorruptCheck=true in <feature-gates>";
        assert_eq!(said("experimental-initial-corrupt-check"), gate);
        for gone in ["enable-v2", "experimental-enable-v2v3"] {
            assert_eq!(said(gone), "it knows no such setting; take it out");
        }
    }

    #[test]
    fn what_every_version_reads_or_what_is_off_is_not_asked_for() {
        assert!(may_be_unread("experimental-x", "false") && may_be_unread("enable-v2", "true"));
        assert!(!may_be_unread("enable-v2", "false") && !may_be_unread("data-dir", "/d"));
    }
}
