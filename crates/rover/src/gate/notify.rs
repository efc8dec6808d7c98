//! keepalived's notify script: writes the latest wish into the gate file, and does nothing else.
//!
//! keepalived starts scripts without waiting for them, several at a time, and kills that of a STOP
//! after a second. So this waits for nothing but a lock, and an older event never replaces a newer one.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::{Stamp, Wish, beside, boot_id, gate, make_dir, read_wish, write};
use crate::table::Gate;
use etcd_rejoin_host::error::{Context, Error};

/// How long to wait for another script that writes just now. Each holds the lock for a moment only.
const LOCK_WAIT: Duration = Duration::from_millis(500);

/// What keepalived told its script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateEvent {
    /// A new state of an instance or a group.
    State {
        /// The state.
        gate: Gate,
        /// Whose.
        name: String,
    },
    /// Something that changes no state: a priority, or an advertisement of a lower one.
    NoChange,
}

impl GateEvent {
    /// Reads what keepalived appends to the configured words:
    /// `INSTANCE|GROUP NAME STATE PRIORITY` (keepalived.conf(5), `notify`).
    pub fn parse(words: &[OsString]) -> Result<GateEvent, String> {
        let said = || {
            let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
            words.join(" ").chars().take(200).collect::<String>()
        };
        let last = words.len().checked_sub(4).map(|from| &words[from..]);
        let Some([kind, name, state, _]) = last else {
            return Err(format!(
                "{:?} are not the four words that keepalived's `notify` appends",
                said()
            ));
        };
        if !matches!(kind.to_str(), Some("INSTANCE" | "GROUP")) {
            return Err(format!("{:?} names neither INSTANCE nor GROUP", said()));
        }
        // What a file's line is made of.
        let name: String = (name.to_string_lossy().chars())
            .map(|c| if c.is_control() { '?' } else { c })
            .take(200)
            .collect();
        match state.to_str() {
            Some(word) if gate(word).is_some() => Ok(GateEvent::State {
                gate: gate(word).unwrap_or(Gate::Unknown),
                name,
            }),
            Some(word) if is_no_change(word) => Ok(GateEvent::NoChange),
            Some(_) | None => Err(format!("{:?} has no state of keepalived", said())),
        }
    }
}

/// Whether a word of keepalived stands for an event that changes no state.
fn is_no_change(word: &str) -> bool {
    word == "MASTER_RX_LOWER_PRI" || word.ends_with("_PRIORITY")
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// The gate file says it.
    Written,
    /// A newer event was there first.
    Older,
    /// It changes nothing.
    NoChange,
}

/// Writes the event into the gate file.
pub fn notify(path: &Path, event: &GateEvent, stamp: Stamp) -> Result<Noted, Error> {
    let GateEvent::State { gate, name } = event else {
        return Ok(Noted::NoChange);
    };
    let boot = boot_id()?;
    make_dir(path)?;
    let _lock = lock(path)?;
    // What is no wish, or of an earlier boot, is replaced.
    if let Ok(Some(there)) = read_wish(path)
        && there.boot == boot
        && there.stamp > stamp
    {
        return Ok(Noted::Older);
    }
    let (gate, name) = (*gate, name.clone());
    let wish = Wish {
        gate,
        stamp,
        boot,
        name,
    };
    write(path, &wish.to_string())?;
    Ok(Noted::Written)
}

/// Nobody else writes while this is held; it ends with the process, however that ends. A lock of the
/// scripts alone: the rover holds one of its own for as long as it runs.
fn lock(path: &Path) -> Result<File, Error> {
    let path = beside(path, ".writing");
    let failed = || format!("cannot lock {}", path.display());
    let file = (OpenOptions::new().write(true).create(true).truncate(false))
        .mode(0o600)
        .open(&path)
        .context(failed)?;
    let end = Instant::now() + LOCK_WAIT;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) if Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) => return Err(Error::caused(failed(), error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    fn state(gate: Gate) -> GateEvent {
        let name = "etcd".into();
        GateEvent::State { gate, name }
    }

    fn at(ticks: u64) -> Stamp {
        Stamp { ticks, pid: 1 }
    }

    #[test]
    fn the_last_four_words_are_keepaliveds() {
        for (text, event) in [
            ("INSTANCE etcd MASTER 100", state(Gate::Master)),
            ("GROUP etcd FAULT 0", state(Gate::Fault)),
            ("--own word INSTANCE etcd DELETED 1", state(Gate::Stop)),
            ("INSTANCE etcd MASTER_RX_LOWER_PRI 1", GateEvent::NoChange),
            ("INSTANCE etcd BACKUP_PRIORITY 1", GateEvent::NoChange),
        ] {
            assert_eq!(GateEvent::parse(&words(text)), Ok(event), "{text}");
        }
        for text in [
            "",
            "MASTER",
            "INSTANCE etcd UP 1",
            "x etcd MASTER 1",
            "INSTANCE MASTER 1",
        ] {
            assert!(GateEvent::parse(&words(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn an_older_event_never_replaces_a_newer_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/gate");
        assert_eq!(
            notify(&path, &state(Gate::Master), at(7)).unwrap(),
            Noted::Written
        );
        assert_eq!(
            notify(&path, &state(Gate::Backup), at(6)).unwrap(),
            Noted::Older
        );
        let there = read_wish(&path).unwrap().unwrap();
        assert_eq!(there.gate, Gate::Master);
        assert_eq!(
            notify(&path, &state(Gate::Stop), at(8)).unwrap(),
            Noted::Written
        );
    }

    #[test]
    fn what_an_earlier_boot_left_is_replaced_whatever_its_stamp() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gate");
        for left in ["MASTER 99.1 earlier etcd\n", "garbage", ""] {
            std::fs::write(&path, left).unwrap();
            assert_eq!(
                notify(&path, &state(Gate::Backup), at(1)).unwrap(),
                Noted::Written
            );
        }
    }

    #[test]
    fn a_rover_that_runs_stops_no_script() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gate");
        let rover = File::create(beside(&path, ".lock")).unwrap();
        flock(&rover, FlockOperation::LockExclusive).unwrap();
        let noted = notify(&path, &state(Gate::Master), at(1)).unwrap();
        assert_eq!(noted, Noted::Written);
    }
}
