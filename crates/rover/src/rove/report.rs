//! What the rover saw last, for `status` and for keepalived's check. Never read by the rover itself:
//! truth is the kernel's state, and this file is gone with the boot that wrote it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::drbd::summary;
use crate::gate;
use crate::table::{VolumeDecision, VolumePolicy, VolumeReason, VolumeSeen, VolumeState, may_bid};
use etcd_rejoin_host::error::{Context, Error};
use etcd_rejoin_host::work::thread;

/// A report that is older was written by a rover that hangs or has died.
const FRESH: Duration = Duration::from_secs(15);
/// How often it is written when nothing changes.
pub const EVERY: Duration = Duration::from_secs(3);
/// No report is longer.
const LONGEST: u64 = 64 << 10;

/// The last look and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeReport {
    /// The resource.
    pub resource: String,
    /// What keepalived wished.
    pub gate: String,
    /// What was seen of the volume, in words.
    pub volume: String,
    /// Since the rover started, both disks were UpToDate and connected once.
    pub met_peer: bool,
    /// What is decided: a step, or wait, refuse, serve, end.
    pub decision: String,
    /// The row.
    pub reason: String,
    /// When it holds.
    pub when: String,
    /// What would change it.
    pub to_change: String,
    /// Who holds the mount, where it is busy.
    pub holders: Vec<String>,
    /// Why this machine must not become master; empty where it may.
    pub no_bid: String,
    /// What it would be promoted by, where it may become master; empty where it may not.
    pub bid: String,
    boot: String,
    at: u64,
}

impl VolumeReport {
    /// Of a look.
    pub fn of(
        resource: &str,
        policy: &VolumePolicy,
        seen: &VolumeSeen,
        decision: VolumeDecision,
        boot: &str,
    ) -> Self {
        let row = decision.reason().row();
        let (bid, no_bid) = match may_bid(policy, seen) {
            Ok(reason) => (promotable(reason), String::new()),
            Err(reason) => {
                let why = format!("{reason}: {}{}", reason.row().when, refusal(seen, reason));
                (String::new(), why)
            }
        };
        VolumeReport {
            resource: resource.into(),
            gate: format!("{:?}", seen.gate).to_lowercase(),
            volume: volume_words(&seen.volume),
            met_peer: seen.met_peer,
            decision: decision.name().into(),
            reason: row.name.into(),
            when: row.when.into(),
            to_change: row.cure.into(),
            holders: seen.holders.clone(),
            no_bid,
            bid,
            boot: boot.into(),
            at: now(),
        }
    }

    /// Whether it says the same as another one, but for the time.
    pub fn says(&self, other: &VolumeReport) -> bool {
        let mut same_time = self.clone();
        same_time.at = other.at;
        same_time == *other
    }

    /// Writes it beside the gate.
    pub fn write(&self, gate: &Path) -> Result<(), Error> {
        let text = serde_json::to_string(self).context(|| "cannot write a report".into())?;
        gate::write(&path(gate), &text)
    }

    /// The report beside this gate, if a rover of this boot wrote it just now; else why there is none.
    pub fn read(gate: &Path) -> Result<VolumeReport, String> {
        let path = path(gate);
        let shown = path.display();
        let missing = format!("no rover has reported yet ({shown} cannot be read");
        let meta = std::fs::metadata(&path).map_err(|error| format!("{missing}: {error})"))?;
        if !meta.is_file() || meta.len() > LONGEST {
            return Err(format!("{shown} is no report"));
        }
        let text =
            std::fs::read_to_string(&path).map_err(|error| format!("{missing}: {error})"))?;
        let report: VolumeReport = serde_json::from_str(&text)
            .map_err(|error| format!("{shown} is no report: {error}"))?;
        let boot = gate::boot_id().map_err(|error| error.to_string())?;
        let age = now().checked_sub(report.at);
        match age {
            Some(age) if report.boot == boot && age <= FRESH.as_secs() => Ok(report),
            _ => Err(format!(
                "no rover runs: the last report in {shown} is an old one"
            )),
        }
    }
}

/// Keeps a report fresh while a step is under way that may take longer than it is fresh: keepalived would
/// take the address from a machine that checks its file system. Until it is dropped, or until the time
/// that the step may take is over.
#[derive(Debug)]
pub struct Beat {
    alive: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Beat {
    /// Writes this report again and again.
    pub fn start(report: VolumeReport, gate: &Path, limit: Duration) -> Beat {
        let gate = gate.to_path_buf();
        let (alive, dropped) = channel::<()>();
        let end = Instant::now() + limit;
        let thread = thread(Box::new(move || {
            while dropped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout)
                && Instant::now() < end
            {
                let report = VolumeReport {
                    at: now(),
                    ..report.clone()
                };
                if let Err(error) = report.write(&gate) {
                    log::debug!("{error}");
                }
            }
        }));
        Beat {
            alive: Some(alive),
            thread: thread.ok(),
        }
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        drop(self.alive.take());
        // Two must not write at a time.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The volume in one line.
pub fn volume_words(volume: &VolumeState) -> String {
    match volume {
        VolumeState::Unusable(words) => words.clone(),
        VolumeState::Down => "not up".into(),
        VolumeState::Up(resource) => summary(resource),
    }
}

/// The row that would promote, in words: also what has to happen first.
pub fn promotable(reason: VolumeReason) -> String {
    let row = reason.row();
    match row.cure.strip_prefix("nothing to do: ") {
        Some(then) => format!("{reason}: {}; {then}", row.when),
        None => format!("{reason}: {}", row.when),
    }
}

/// Why a takeover was refused, where it was.
pub fn refusal(seen: &VolumeSeen, reason: VolumeReason) -> String {
    match (&seen.refused, reason) {
        (Some((_, words)), VolumeReason::PromotionRefused) => format!(": {words}"),
        (Some(_) | None, _) => String::new(),
    }
}

fn path(gate: &Path) -> PathBuf {
    gate::beside(gate, ".report")
}

/// Seconds since boot.
fn now() -> u64 {
    clock_gettime(ClockId::Boottime).tv_sec.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_stays_fresh_while_a_step_is_under_way() {
        let dir = tempfile::tempdir().unwrap();
        let gate = dir.path().join("gate");
        let report: VolumeReport = serde_json::from_value(serde_json::json!({
            "resource": "etcd", "gate": "master", "volume": "", "met_peer": true,
            "decision": "check-file-system", "reason": "", "when": "", "to_change": "",
            "holders": [], "no_bid": "", "bid": "", "boot": gate::boot_id().unwrap(), "at": 0,
        }))
        .unwrap();
        report.write(&gate).unwrap();
        assert!(VolumeReport::read(&gate).unwrap_err().contains("old"));
        let beat = Beat::start(report, &gate, FRESH);
        let end = Instant::now() + FRESH;
        while VolumeReport::read(&gate).is_err() {
            assert!(Instant::now() < end, "nothing was written");
            std::thread::sleep(Duration::from_millis(50));
        }
        drop(beat);
    }
}
