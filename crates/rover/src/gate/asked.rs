//! When keepalived's check (`probe promotable`) asked last. keepalived runs it every second or so; one that
//! asked in this boot and has fallen silent is gone, and may have left its address behind.

use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::{MAX_SIZE, beside, boot_id, write};

/// No check comes less often than that.
const OVERDUE: Duration = Duration::from_secs(60);

/// Notes that keepalived asks now. A person who asks is not keepalived.
pub fn note(gate: &Path) {
    if !by_keepalived() {
        return;
    }
    if let Ok(boot) = boot_id() {
        // Where that fails nobody learns that keepalived has died, as without a check.
        let _ = write(&beside(gate, ".asked"), &format!("{boot} {}\n", now()));
    }
}

/// Whether keepalived has asked in this boot, and not for a while. One that never asked says nothing.
pub fn is_overdue(gate: &Path) -> bool {
    let path = beside(gate, ".asked");
    let small = std::fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() <= MAX_SIZE);
    let text = small.then(|| std::fs::read_to_string(&path).ok()).flatten();
    match (text, boot_id()) {
        (Some(text), Ok(boot)) => overdue(&text, &boot, now()),
        (None, _) | (_, Err(_)) => false,
    }
}

fn overdue(text: &str, boot: &str, now: u64) -> bool {
    let (in_boot, at) = text.trim_end().split_once(' ').unwrap_or_default();
    let at = at.parse::<u64>().ok();
    let age = at.and_then(|at| now.checked_sub(at));
    in_boot == boot && age.is_some_and(|age| age >= OVERDUE.as_secs())
}

/// keepalived starts its scripts itself, without a shell.
fn by_keepalived() -> bool {
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero());
    let comm = parent.map(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")));
    comm.and_then(Result::ok)
        .is_some_and(|comm| comm.starts_with("keepalived"))
}

/// Seconds since boot, the same for all of this machine.
fn now() -> u64 {
    clock_gettime(ClockId::Boottime).tv_sec.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_was_run_in_this_boot_and_no_more_is_overdue() {
        assert!(overdue("b 100\n", "b", 160));
        for (text, now) in [
            ("b 100\n", 159),
            ("b 100\n", 99),
            ("a 100\n", 1000),
            ("b x\n", 1000),
            ("b\n", 1000),
            ("", 1000),
        ] {
            assert!(!overdue(text, "b", now), "{text:?} {now}");
        }
    }

    #[test]
    fn a_check_that_was_never_run_is_not_overdue_and_a_person_is_not_keepalived() {
        let dir = tempfile::tempdir().unwrap();
        let gate = dir.path().join("gate");
        note(&gate);
        assert!(!dir.path().join("gate.asked").exists());
        assert!(!is_overdue(&gate));
        let text = format!("{} 0\n", boot_id().unwrap());
        std::fs::write(dir.path().join("gate.asked"), text).unwrap();
        assert!(is_overdue(&gate) || now() < OVERDUE.as_secs());
    }
}
