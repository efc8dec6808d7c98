//! What is remembered between two looks, and since when.

use std::time::{Duration, Instant};

use super::under_way::UnderWay;
use crate::table::{Child, Connection, Gate, Remembered, Resource, VolumeState};

/// A volume that cannot be mounted for so long is left to the peer, if that one can.
const MOUNTS_BY_THEN: Duration = Duration::from_secs(30);
/// So is one whose member has ended by itself so often, and never served for so long.
const ENDS: u32 = 3;
const SERVES: Duration = Duration::from_secs(60);

/// What is remembered, and since when.
#[derive(Debug, Default)]
pub struct RoveMemory {
    pub known: Remembered,
    pub letting_go: Option<Instant>,
    /// When we have demoted the volume.
    pub demoted: Option<Instant>,
    pub frozen: Option<Instant>,
    pub holders: Vec<String>,
    /// Since the last promotion a mount has failed.
    pub distrusted: bool,
    /// What DRBD said last, and since when nothing else was heard.
    pub volume: Option<(Instant, VolumeState)>,
    /// Whether DRBD's handler is ours, and when that was read.
    pub handler: Option<(Instant, bool)>,
    /// A call into the kernel that has not come back.
    pub under_way: Option<UnderWay>,
    /// See [`VolumeSeen::unsettled`].
    pub unsettled: bool,
    /// See [`VolumeSeen::refused`].
    pub refused: Option<(Instant, String)>,
    /// See [`VolumeSeen::refusals`].
    pub refusals: u32,
    /// Since when neither a check nor a mount has led to a mount.
    pub mounting: Option<Instant>,
    /// When the member was started, when it ended by itself, and how often in a row.
    pub started: Option<Instant>,
    pub ended: Option<Instant>,
    pub ends: u32,
    /// See [`VolumeSeen::failed_here`].
    pub failed_here: Option<Instant>,
}

impl RoveMemory {
    /// A check or a mount has failed, and may go on doing so.
    pub fn mount_fails(&mut self) {
        let since = *self.mounting.get_or_insert_with(Instant::now);
        if since.elapsed() >= MOUNTS_BY_THEN {
            self.failed_here = Some(Instant::now());
        }
    }

    /// A takeover was refused.
    pub fn refuse(&mut self, words: String) {
        self.refusals = match &self.refused {
            Some((_, last)) if *last == words => self.refusals.saturating_add(1),
            Some(_) | None => 1,
        };
        self.refused = Some((Instant::now(), words));
    }

    /// How the member does. Whether it has ended, and may be started once more.
    pub fn hear_of_the_member(&mut self, child: Child) -> bool {
        match child {
            Child::Ended(_) => {
                let ended = *self.ended.get_or_insert_with(|| {
                    self.ends += 1;
                    Instant::now()
                });
                if self.ends >= ENDS && self.failed_here.is_none_or(|at| at < ended) {
                    self.failed_here = Some(ended);
                }
                return ended.elapsed() >= Duration::from_secs(1 << self.ends.min(5));
            }
            Child::Running if self.started.is_some_and(|at| at.elapsed() >= SERVES) => {
                (self.ends, self.failed_here) = (0, None);
            }
            Child::None | Child::Running | Child::Stopping => {}
        }
        self.ended = None;
        false
    }

    /// What this look says about what was known before.
    pub fn update(&mut self, gate: Gate, volume: &VolumeState) {
        self.known = self.known.after(gate, volume);
        let (suspended, together) = match volume {
            VolumeState::Up(resource) => (resource.suspended, is_together(resource)),
            VolumeState::Down | VolumeState::Unusable(_) => (false, false),
        };
        if together {
            (self.refused, self.refusals) = (None, 0);
        }
        // What is not there is promoted by nobody.
        self.unsettled &= *volume != VolumeState::Down;
        self.frozen = suspended.then(|| self.frozen.unwrap_or_else(Instant::now));
    }
}

fn is_together(resource: &Resource) -> bool {
    let mut peers = resource.peers.iter();
    peers.any(|peer| peer.connection == Connection::Connected && !peer.witness)
}
