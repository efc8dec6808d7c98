//! One look at the gate, the volume, the mount and the member; and what is remembered between looks.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Rove;
use super::kernel::UnderWay;
use crate::gate::{accept_loss, asked};
use crate::mount;
use crate::settings::Rover;
use crate::table::{
    AcceptLoss, Child, Gate, Mounted, PeerFate, Remembered, Role, Volume, VolumePolicy, VolumeSeen,
    letting_go,
};

/// A peer that did not answer, or refused, is asked again after this.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// A peer that was turned off in vain is not turned off again before this: it may boot meanwhile, and connect.
const FENCE_AGAIN: Duration = Duration::from_secs(300);
/// A volume that cannot be mounted for so long is left to the peer, if that one can.
const MOUNTS_BY_THEN: Duration = Duration::from_secs(30);
/// How long what DRBD said is taken for what is while nothing else is heard from it.
const HOLDS: Duration = Duration::from_secs(5);
/// How long the configuration of the handler is taken for granted while the gate is closed. Whoever changes
/// it has to wait for that long before he fails over.
const HANDLER_AGE: Duration = Duration::from_secs(60);

/// What is remembered, and since when.
#[derive(Debug)]
pub struct Memory {
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
    pub volume: Option<(Instant, Volume)>,
    /// Whether DRBD's handler is ours, and when that was read.
    pub handler: Option<(Instant, bool)>,
    /// A call into the kernel that has not come back.
    pub under_way: Option<UnderWay>,
    /// See [`VolumeSeen::unsettled`].
    pub unsettled: bool,
    /// When DRBD has refused although the peer was turned off.
    pub in_vain: Option<Instant>,
    /// Since when neither a check nor a mount has led to a mount.
    pub mounting: Option<Instant>,
    /// See [`VolumeSeen::mount_failed`].
    pub mount_failed: Option<Instant>,
}

impl Memory {
    pub fn new() -> Self {
        Memory {
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
    fn update(&mut self, gate: Gate, volume: &Volume) {
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
            Volume::Up(resource) => resource.suspended,
            Volume::Down | Volume::Unusable(_) => false,
        };
        // What is not there is promoted by nobody.
        self.unsettled &= *volume != Volume::Down;
        self.frozen = suspended.then(|| self.frozen.unwrap_or_else(Instant::now));
    }
}

impl Rove<'_> {
    /// Looks at everything once.
    pub(super) fn look(&mut self) -> VolumeSeen {
        self.hear_of_the_kernel();
        let gate = self.gate.latest();
        let volume = self.volume(gate);
        // Down for a moment that no look has seen is down, too: the peer may have gone on meanwhile.
        if self.follower.was_down() {
            self.memory.update(gate, &Volume::Down);
        }
        if self.follower.was_parted() {
            self.memory.known.part();
        }
        self.memory.update(gate, &volume);
        if self.memory.known.beside {
            self.shared.ahead.store(false, Ordering::SeqCst);
        }
        let child = self.member.look();
        let mut seen = VolumeSeen {
            gate,
            keepalived_gone: self.gate.keepalived_gone() || asked::is_overdue(&self.settings.gate),
            ending: self.stop.raised().is_some(),
            mounted: self.mounted(),
            volume,
            child,
            promoted: self.memory.known.promoted,
            met_peer: self.memory.known.met_peer,
            fate: self.memory.known.fate,
            tried: self.memory.known.tried,
            kernel_asks: self.handler_is_ours(gate) && !self.memory.known.refused,
            fenced_in_vain: (self.memory.in_vain).is_some_and(|at| at.elapsed() < FENCE_AGAIN),
            checked: self.memory.known.checked,
            mount_failed: self.memory.mount_failed.map(|at| at.elapsed()),
            frozen_for: self.memory.frozen.map(|since| since.elapsed()),
            accept_loss: self.accept_loss(),
            under_way: self.memory.under_way.as_ref().map(|call| call.step),
            unsettled: self.memory.unsettled,
            demoting_for: None,
            demoted_for: self.memory.demoted.map(|at| at.elapsed()),
            holders: self.memory.holders.clone(),
        };
        let since = match letting_go(&seen) {
            Some(_) => Some(self.memory.letting_go.unwrap_or_else(Instant::now)),
            None => None,
        };
        self.memory.letting_go = since;
        seen.demoting_for = since.map(|since| since.elapsed());
        // Its end is settled once the gate has closed and everything is let go.
        if let Child::Ended(_) = seen.child
            && since.is_none()
            && gate != Gate::Master
            && !seen.ending
        {
            self.member.forget();
            seen.child = Child::None;
        }
        seen
    }

    /// What DRBD says. Once it has said it, it holds until DRBD has something else to say, for some
    /// seconds at most: a process for each look is felt on a small machine. Never where a promotion is
    /// decided, or what a frozen volume does: there the kernel is asked anew.
    fn volume(&mut self, gate: Gate) -> Volume {
        if let Some((at, volume)) = &self.memory.volume
            && self.follower.is_quiet()
            && at.elapsed() < HOLDS
            && holds(volume, gate)
        {
            return volume.clone();
        }
        self.follower.listen();
        let at = Instant::now();
        let volume = match gate {
            Gate::Master => self.drbd.look_in_haste(),
            Gate::Backup | Gate::Fault | Gate::Stop | Gate::Unknown => self.drbd.look(),
        };
        self.memory.volume = Some((at, volume.clone()));
        volume
    }

    /// Read while there is time: with the gate open every moment counts.
    fn handler_is_ours(&mut self, gate: Gate) -> bool {
        match self.memory.handler {
            Some((read, ours)) if gate == Gate::Master || read.elapsed() < HANDLER_AGE => ours,
            Some(_) | None => {
                let ours = self.drbd.handler_is_ours();
                self.memory.handler = Some((Instant::now(), ours));
                ours
            }
        }
    }

    /// The operator's word, and whether the peer has asked us since to go on without us.
    pub(super) fn accept_loss(&self) -> AcceptLoss {
        let given = accept_loss::given(&self.settings.gate, &self.settings.resource);
        AcceptLoss::of(given, self.shared.granted.load(Ordering::SeqCst))
    }

    fn mounted(&mut self) -> Mounted {
        if self.device.is_none() {
            self.device = self.drbd.device().ok();
        }
        // A device that is not there yet is mounted nowhere.
        let device = (self.device.as_deref()).and_then(|device| mount::device(device).ok());
        mount::look(&self.settings.mount, device).unwrap_or_else(|error| {
            log::warn!("{error}");
            Mounted::SomethingElse(error.to_string())
        })
    }
}

/// Whether this may be taken for what is, as long as DRBD says nothing else.
fn holds(volume: &Volume, gate: Gate) -> bool {
    let resource = match volume {
        Volume::Up(resource) => resource,
        Volume::Down | Volume::Unusable(_) => return false,
    };
    let peer_writes = (resource.peers.iter()).any(|peer| peer.role == Role::Primary);
    match resource.role {
        Role::Primary => !resource.suspended,
        // Beside a Primary there is nothing to decide: its demotion, or its loss, will be heard.
        Role::Secondary | Role::Unknown => gate != Gate::Master || peer_writes,
    }
}

/// What the user wants, for the decision.
pub fn policy(settings: &Rover) -> VolumePolicy {
    VolumePolicy {
        can_fence: settings.can_fence(),
        can_ask: settings.fence.is_some(),
        fence_timeout: settings.fence_timeout,
        demote_timeout: settings.demote_timeout,
        self_fence: settings.self_fence,
    }
}
