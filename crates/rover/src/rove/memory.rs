//! What is remembered between two looks, and since when.

use std::time::{Duration, Instant};

use super::under_way::UnderWay;
use crate::table::{Gate, PeerFate, Remembered, VolumeState};

/// A peer that did not answer, or refused, is asked again after this.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// A volume that cannot be mounted for so long is left to the peer, if that one can.
const MOUNTS_BY_THEN: Duration = Duration::from_secs(30);

/// What is remembered, and since when.
#[derive(Debug)]
pub struct RoveMemory {
    pub known: Remembered,
    pub fate_at: Instant,
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
    /// See [`crate::table::VolumeSeen::unsettled`].
    pub unsettled: bool,
    /// When DRBD has refused although the peer was turned off.
    pub in_vain: Option<Instant>,
    /// Since when neither a check nor a mount has led to a mount.
    pub mounting: Option<Instant>,
    /// See [`crate::table::VolumeSeen::mount_failed`].
    pub mount_failed: Option<Instant>,
}

impl RoveMemory {
    pub fn new() -> Self {
        RoveMemory {
            known: Remembered::NOTHING,
            fate_at: Instant::now(),
            letting_go: None,
            demoted: None,
            frozen: None,
            holders: Vec::new(),
            distrusted: false,
            volume: None,
            handler: None,
            under_way: None,
            unsettled: false,
            in_vain: None,
            mounting: None,
            mount_failed: None,
        }
    }

    /// A check or a mount has failed, and may go on doing so.
    pub fn mount_fails(&mut self) {
        let since = *self.mounting.get_or_insert_with(Instant::now);
        if since.elapsed() >= MOUNTS_BY_THEN {
            self.mount_failed = Some(Instant::now());
        }
    }

    /// What this look says about what was known before.
    pub(super) fn update(&mut self, gate: Gate, volume: &VolumeState) {
        self.known = self.known.after(gate, volume);
        match self.known.fate {
            PeerFate::Alive | PeerFate::Silent if self.fate_at.elapsed() >= ASK_AGAIN => {
                self.known.fate = PeerFate::Unknown;
            }
            PeerFate::Alive
            | PeerFate::Silent
            | PeerFate::Unknown
            | PeerFate::Outdated
            | PeerFate::Fenced => {}
        }
        if self.known.beside {
            self.in_vain = None;
        }
        let suspended = match volume {
            VolumeState::Up(resource) => resource.suspended,
            VolumeState::Down | VolumeState::Unusable(_) => false,
        };
        // What is not there is promoted by nobody.
        self.unsettled &= *volume != VolumeState::Down;
        self.frozen = suspended.then(|| self.frozen.unwrap_or_else(Instant::now));
    }
}
