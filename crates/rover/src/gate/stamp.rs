//! When an event was said: by the moment its notify script was started, not by when it got to write.

use std::fmt;

use etcd_rejoin_host::error::{Context, Error};

/// When a process was started: its tick (10 ms) since this boot, then its process ID.
///
/// keepalived neither waits for its scripts nor keeps them in order, and a script that was started
/// first may run last. The kernel notes the time of the fork, so the order of the forks is the order
/// of the events. Two forks in one tick have ascending process IDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Clock ticks since boot.
    pub ticks: u64,
    /// The process.
    pub pid: u32,
}

impl Stamp {
    /// Of this very process.
    pub fn own() -> Result<Stamp, Error> {
        let path = "/proc/self/stat";
        let stat = std::fs::read(path).context(|| format!("cannot read {path}"))?;
        let ticks = start_time(&String::from_utf8_lossy(&stat))
            .ok_or_else(|| Error::new(format!("{path} has no start time")))?;
        let pid = std::process::id();
        Ok(Stamp { ticks, pid })
    }

    /// Reads `ticks.pid`.
    pub fn parse(text: &str) -> Option<Stamp> {
        let (ticks, pid) = text.split_once('.')?;
        Some(Stamp {
            ticks: ticks.parse().ok()?,
            pid: pid.parse().ok()?,
        })
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.ticks, self.pid)
    }
}

/// Field 22 of `/proc/PID/stat` (proc_pid_stat(5)). The second one, the program's name, may hold
/// anything, brackets and blanks too.
fn start_time(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(22 - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_cannot_shift_the_start_time() {
        let stat = "7 (a) 1 2 (x) S 1 7 7 0 -1 4194304 90 0 0 0 0 0 0 0 20 0 1 0 4711 2 3";
        assert_eq!(start_time(stat), Some(4711));
        assert_eq!(start_time("7 (a) S 1"), None);
    }

    #[test]
    fn the_later_fork_has_the_greater_stamp() {
        let later = [(5, 9), (6, 2), (6, 3)].map(|(ticks, pid)| Stamp { ticks, pid });
        assert!(later.is_sorted());
        assert_eq!(Stamp::parse(&later[0].to_string()), Some(later[0]));
        assert!(Stamp::own().unwrap() > later[2]);
    }
}
