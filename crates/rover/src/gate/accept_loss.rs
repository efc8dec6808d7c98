//! The operator's word that one promotion may lose acknowledged writes: `two-node promote --accept-loss`.
//!
//! A token beside the gate, for one resource, one boot and a few minutes: a word that was not needed
//! at once must not lie in wait for the next failure.

use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::{MAX_SIZE, beside, boot_id, make_dir, missing, write};
use etcd_rejoin_host::error::{Context, Error};

/// How long the word holds.
pub const HOLDS: Duration = Duration::from_secs(300);

/// Gives the word.
pub fn give(gate: &Path, resource: &str) -> Result<(), Error> {
    make_dir(gate)?;
    let token = format!("{} {} {resource}\n", boot_id()?, now());
    write(&token_path(gate), &token)
}

/// Whether a word for this resource holds.
pub fn given(gate: &Path, resource: &str) -> bool {
    match (read(&token_path(gate)), boot_id()) {
        (Some(token), Ok(boot)) => holds(&token, &boot, now(), resource),
        (None, _) | (_, Err(_)) => false,
    }
}

/// Takes the word: it counted once. Without one this is no failure.
pub fn consume(gate: &Path) -> Result<(), Error> {
    let path = token_path(gate);
    match std::fs::remove_file(&path) {
        Err(error) if !missing(&error) => {
            Err(error).context(|| format!("cannot remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn token_path(gate: &Path) -> std::path::PathBuf {
    beside(gate, ".accept-loss")
}

fn read(path: &Path) -> Option<String> {
    let meta = std::fs::symlink_metadata(path).ok()?;
    let small = meta.is_file() && meta.len() <= MAX_SIZE;
    small.then(|| std::fs::read_to_string(path).ok()).flatten()
}

/// Seconds since boot. The clock of the wall may be set.
fn now() -> u64 {
    clock_gettime(ClockId::Boottime).tv_sec.unsigned_abs()
}

fn holds(token: &str, boot: &str, now: u64, resource: &str) -> bool {
    let words = token.strip_suffix('\n').unwrap_or_default().splitn(3, ' ');
    let [in_boot, at, of] = words.collect::<Vec<_>>()[..] else {
        return false;
    };
    let age = at.parse().ok().and_then(|at| now.checked_sub(at));
    in_boot == boot && of == resource && age.is_some_and(|age: u64| age < HOLDS.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        let gate = dir.path().join("run/gate");
        let given = |resource| given(&gate, resource);
        assert!(!given("etcd"));
        consume(&gate).unwrap();
        give(&gate, "etcd").unwrap();
        assert!(given("etcd") && !given("other"));
        consume(&gate).unwrap();
        assert!(!given("etcd"));
    }

    #[test]
    fn the_word_holds_for_its_boot_its_resource_and_a_few_minutes() {
        assert!(holds("b 100 etcd\n", "b", 399, "etcd"));
        for (token, now) in [
            ("b 100 etcd\n", 400),
            ("b 100 etcd\n", 99),
            ("a 100 etcd\n", 100),
            ("b 100 etc\n", 100),
            ("b 100 etcd", 100),
            ("b x etcd\n", 100),
            ("", 100),
        ] {
            assert!(!holds(token, "b", now, "etcd"), "{token}");
        }
    }
}
