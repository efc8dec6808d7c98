//! One look at the gate, the volume, the mount and the member.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::parts::Rove;
use crate::gate::tokens;
use crate::mount;
use crate::settings::Rover;
use crate::table::{
    Child, Gate, Mounted, Role, VolumePolicy, VolumeSeen, VolumeState, child_is_settled, letting_go,
};

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
            self.ahead.store(false, Ordering::SeqCst);
        }
        let child = self.member.look();
        let rested = self.memory.hear_of_the_member(child);
        let asks = matches!(&volume, VolumeState::Up(resource) if !resource.quorum_on);
        let ago = |at: Option<Instant>| at.map(|at| at.elapsed());
        let mut seen = VolumeSeen {
            gate,
            keepalived_gone: tokens::is_keepalived_gone(&self.settings.gate),
            ending: self.stop.raised().is_some(),
            mounted: self.mounted(),
            volume,
            child,
            promoted: self.memory.known.promoted,
            met_peer: self.memory.known.met_peer,
            handler_ours: !asks || self.handler_is_ours(gate),
            refused: (self.memory.refused.as_ref()).map(|(at, why)| (at.elapsed(), why.clone())),
            refusals: self.memory.refusals,
            checked: self.memory.known.checked,
            failed_here: ago(self.memory.failed_here),
            frozen_for: ago(self.memory.frozen),
            accept_loss: tokens::is_loss_accepted(&self.settings.gate, &self.settings.resource),
            under_way: self.memory.under_way.as_ref().map(|call| call.step),
            unsettled: self.memory.unsettled,
            demoting_for: None,
            demoted_for: ago(self.memory.demoted),
            holders: self.memory.holders.clone(),
        };
        let since = letting_go(&seen).map(|_| self.memory.letting_go.unwrap_or_else(Instant::now));
        self.memory.letting_go = since;
        seen.demoting_for = ago(since);
        if child_is_settled(&seen) && (rested || gate != Gate::Master) {
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

    /// Read while there is time: with the gate open every moment counts. Not known is no.
    fn handler_is_ours(&mut self, gate: Gate) -> bool {
        match self.memory.handler {
            Some((read, ours))
                if ours && (gate == Gate::Master || read.elapsed() < HANDLER_AGE) =>
            {
                ours
            }
            Some((read, false)) if read.elapsed() < HOLDS => false,
            Some(_) | None => {
                let ours = self.drbd.handler_is_ours().unwrap_or(false);
                self.memory.handler = Some((Instant::now(), ours));
                ours
            }
        }
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
    let VolumeState::Up(resource) = volume else {
        return false;
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
        fence_timeout: settings.fence_timeout,
        demote_timeout: settings.demote_timeout,
        self_fence: settings.self_fence,
    }
}
