//! What is noted beside the gate for this boot, with the second in which it was: an operator's word, and
//! keepalived's last question.

use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::{MAX_SIZE, beside, boot_id, make_dir, missing, write};
use etcd_rejoin_host::error::{Context, Error};

/// The word that one promotion may lose acknowledged writes: `two-node promote --accept-loss`.
const ACCEPT_LOSS: &str = ".accept-loss";
/// That keepalived has run its check (`probe promotable`).
const ASKED: &str = ".asked";
/// How long the word holds: one that was not needed at once must not lie in wait for the next failure.
pub const HOLDS: Duration = Duration::from_secs(300);
/// No check comes less often than that.
const OVERDUE: Duration = Duration::from_secs(60);

/// Gives the word for this resource.
pub fn accept_loss(gate: &Path, resource: &str) -> Result<(), Error> {
    make_dir(gate)?;
    note(gate, ACCEPT_LOSS, resource)
}

/// Whether a word for this resource holds.
pub fn is_loss_accepted(gate: &Path, resource: &str) -> bool {
    age(gate, ACCEPT_LOSS, resource).is_some_and(|age| age < HOLDS.as_secs())
}

/// Takes the word: it counted once. Without one this is no failure.
pub fn take_word(gate: &Path) -> Result<(), Error> {
    let path = beside(gate, ACCEPT_LOSS);
    match std::fs::remove_file(&path) {
        Err(error) if !missing(&error) => {
            Err(error).context(|| format!("cannot remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Notes that keepalived asks now. A person who asks is not keepalived, which starts its scripts itself, without a
/// shell.
pub fn keepalived_asks(gate: &Path) {
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero());
    let comm = parent.map(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")));
    if (comm.and_then(Result::ok)).is_some_and(|comm| comm.starts_with("keepalived")) {
        // Where that fails nobody learns that keepalived has died, as without a check.
        let _ = note(gate, ASKED, "");
    }
}

/// Whether keepalived has asked in this boot, and not for a while: it is gone, and may have left its address
/// behind. One that never asked says nothing.
pub fn is_keepalived_gone(gate: &Path) -> bool {
    age(gate, ASKED, "").is_some_and(|age| age >= OVERDUE.as_secs())
}

fn note(gate: &Path, ending: &str, about: &str) -> Result<(), Error> {
    write(
        &beside(gate, ending),
        &format!("{} {} {about}\n", boot_id()?, now()),
    )
}

/// How many seconds ago it was noted in this boot.
fn age(gate: &Path, ending: &str, about: &str) -> Option<u64> {
    let path = beside(gate, ending);
    let meta = std::fs::symlink_metadata(&path).ok()?;
    let small = meta.is_file() && meta.len() <= MAX_SIZE;
    let text = small
        .then(|| std::fs::read_to_string(&path).ok())
        .flatten()?;
    age_of(&text, &boot_id().ok()?, now(), about)
}

fn age_of(text: &str, boot: &str, now: u64, about: &str) -> Option<u64> {
    let words: Vec<_> = text.strip_suffix('\n')?.splitn(3, ' ').collect();
    match words[..] {
        [in_boot, at, of] if in_boot == boot && of == about => now.checked_sub(at.parse().ok()?),
        _ => None,
    }
}

/// Seconds since boot, the same for all of this machine. The clock of the wall may be set.
fn now() -> u64 {
    clock_gettime(ClockId::Boottime).tv_sec.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        let gate = dir.path().join("run/gate");
        let given = |resource| is_loss_accepted(&gate, resource);
        assert!(!given("etcd"));
        take_word(&gate).unwrap();
        accept_loss(&gate, "etcd").unwrap();
        assert!(given("etcd") && !given("other"));
        take_word(&gate).unwrap();
        assert!(!given("etcd"));
    }

    #[test]
    fn a_note_is_of_its_boot_and_about_one_thing() {
        assert_eq!(age_of("b 100 etcd\n", "b", 399, "etcd"), Some(299));
        for (text, now) in [
            ("b 100 etcd\n", 99),
            ("a 100 etcd\n", 100),
            ("b 100 etc\n", 100),
            ("b 100 etcd", 100),
            ("b x etcd\n", 100),
            ("", 100),
        ] {
            assert_eq!(age_of(text, "b", now, "etcd"), None, "{text}");
        }
    }

    #[test]
    fn a_check_that_was_never_run_is_not_overdue_and_a_person_is_not_keepalived() {
        let dir = tempfile::tempdir().unwrap();
        let gate = dir.path().join("gate");
        keepalived_asks(&gate);
        assert!(!dir.path().join("gate.asked").exists() && !is_keepalived_gone(&gate));
        let text = format!("{} 0 \n", boot_id().unwrap());
        std::fs::write(dir.path().join("gate.asked"), text).unwrap();
        assert!(is_keepalived_gone(&gate) || now() < OVERDUE.as_secs());
    }
}
