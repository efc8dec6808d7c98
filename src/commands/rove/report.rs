//! What the rover saw last, for `status` and for keepalived's check. Never read by the rover itself:
//! truth is the kernel's state, and this file is gone with the boot that wrote it.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::decide::volume::{VolumeDecision, VolumePolicy, VolumeSeen, may_bid};
use crate::error::{Context, Error};
use crate::gate;

use super::volume_words;

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
            no_bid: match may_bid(policy, seen) {
                Ok(_) => String::new(),
                Err(reason) => format!("{reason}: {}", reason.row().when),
            },
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

    /// Says on every call that the rover is still at the step that the last report names, and never asks
    /// to give it up: for a step that may take longer than a report is fresh. keepalived would move the
    /// address away from a machine that checks its file system.
    pub fn still(self, gate: &Path) -> impl Fn() -> bool + use<> {
        let gate = gate.to_path_buf();
        let said = Cell::new(Instant::now());
        move || {
            if said.get().elapsed() >= EVERY {
                said.set(Instant::now());
                let report = VolumeReport {
                    at: now(),
                    ..self.clone()
                };
                if let Err(error) = report.write(&gate) {
                    log::debug!("{error}");
                }
            }
            false
        }
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

fn path(gate: &Path) -> PathBuf {
    gate::beside(gate, ".report")
}

/// Seconds since boot.
fn now() -> u64 {
    clock_gettime(ClockId::Boottime).tv_sec.unsigned_abs()
}
