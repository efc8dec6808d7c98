//! One look at the gate, the volume, the mount and the member.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::parts::Rove;
use crate::gate::{accept_loss, asked};
use crate::mount;
use crate::settings::Rover;
use crate::table::{
    AcceptLoss, Child, Gate, Mounted, Role, VolumePolicy, VolumeSeen, VolumeState,
    child_is_settled, letting_go,
};

/// A peer that was turned off in vain is not turned off again before this: it may boot meanwhile, and connect.
const FENCE_AGAIN: Duration = Duration::from_secs(300);
/// How long what DRBD said is taken for what is while nothing else is heard from it.
const HOLDS: Duration = Duration::from_secs(5);
/// How long the configuration of the handler is taken for granted while the gate is closed. Whoever changes
/// it has to wait for that long before he fails over.
const HANDLER_AGE: Duration = Duration::from_secs(60);

impl Rove<'_> {
    /// Looks at everything once.
    pub(super) fn look(&mut self) -> VolumeSeen {
        self.hear_of_the_kernel();
        let gate = self.gate.latest();
        let volume = self.volume(gate);
        // Down for a moment that no look has seen is down, too: the peer may have gone on meanwhile.
        if self.follower.was_down() {
            self.memory.update(gate, &VolumeState::Down);
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
        if child_is_settled(&seen) {
            self.member.forget();
            seen.child = Child::None;
        }
        seen
    }

    /// What DRBD says. Once it has said it, it holds until DRBD has something else to say, for some
    /// seconds at most: a process for each look is felt on a small machine. Never where a promotion is
    /// decided, or what a frozen volume does: there the kernel is asked anew.
    fn volume(&mut self, gate: Gate) -> VolumeState {
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
fn holds(volume: &VolumeState, gate: Gate) -> bool {
    let resource = match volume {
        VolumeState::Up(resource) => resource,
        VolumeState::Down | VolumeState::Unusable(_) => return false,
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
