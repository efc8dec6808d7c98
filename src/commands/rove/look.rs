//! One look at the gate, the volume, the mount and the member; and what is remembered between looks.

use std::time::{Duration, Instant};

use super::Rove;
use crate::config::rover::Rover;
use crate::decide::volume::{
    Checked, Child, Connection, Disk, Gate, Mounted, PeerFate, Resource, Role, Volume,
    VolumePolicy, VolumeSeen, letting_go,
};
use crate::gate::accept_loss;
use crate::mount;

/// A peer that did not answer, or refused, is asked again after this.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// What no look can tell, because it is over: forgotten when the rover ends.
#[derive(Debug)]
pub struct Memory {
    pub promoted: bool,
    pub met_peer: bool,
    pub fate: PeerFate,
    pub fate_at: Instant,
    pub checked: Checked,
    pub letting_go: Option<Instant>,
    pub frozen: Option<Instant>,
    pub holders: Vec<String>,
}

impl Memory {
    pub fn new() -> Self {
        Memory {
            promoted: false,
            met_peer: false,
            fate: PeerFate::Unknown,
            fate_at: Instant::now(),
            checked: Checked::No,
            letting_go: None,
            frozen: None,
            holders: Vec::new(),
        }
    }

    /// The volume was let go: what held for it before holds no more.
    pub fn released(&mut self) {
        self.promoted = false;
        self.holders.clear();
        if self.checked == Checked::Clean {
            self.checked = Checked::No;
        }
    }

    /// What this look says about what was known before.
    fn update(&mut self, gate: Gate, volume: &Volume) {
        match volume {
            Volume::Up(resource) => self.hear(resource),
            // While it was down, the peer may have gone on without us.
            Volume::Down => self.met_peer = false,
            Volume::Unusable(_) => {}
        }
        let stale = match self.fate {
            PeerFate::Alive | PeerFate::Silent => self.fate_at.elapsed() >= ASK_AGAIN,
            PeerFate::Unknown | PeerFate::Outdated | PeerFate::Fenced => false,
        };
        if stale || gate != Gate::Master {
            self.fate = PeerFate::Unknown;
        }
        if gate != Gate::Master && self.checked == Checked::Broken {
            self.checked = Checked::No;
        }
    }

    /// The peer's fate, as far as it is ours to ask for. While writes have been frozen for no longer than
    /// `handler`, the kernel's own handler is asking at this moment: a machine is turned off once.
    fn fate(&mut self, volume: &Volume, handler: Duration) -> PeerFate {
        let suspended = match volume {
            Volume::Up(resource) => resource.suspended,
            Volume::Down | Volume::Unusable(_) => false,
        };
        let since = suspended.then(|| self.frozen.unwrap_or_else(Instant::now));
        self.frozen = since;
        match since {
            Some(since) if since.elapsed() < handler => PeerFate::Silent,
            Some(_) | None => self.fate,
        }
    }

    fn hear(&mut self, resource: &Resource) {
        let connected = |disk: Disk| {
            (resource.peers.iter())
                .any(|peer| peer.connection == Connection::Connected && peer.disk == disk)
        };
        if connected(Disk::Diskless) {
            self.met_peer = false;
        }
        if resource.disk == Disk::UpToDate && connected(Disk::UpToDate) {
            self.met_peer = true;
        }
        let lost = |peer: &crate::decide::volume::PeerVolume| match peer.connection {
            Connection::Connected => false,
            Connection::StandAlone | Connection::Connecting => true,
        };
        if !resource.peers.iter().any(lost) {
            self.fate = PeerFate::Unknown;
        }
        match resource.role {
            Role::Primary => {}
            Role::Secondary | Role::Unknown => self.promoted = false,
        }
    }
}

impl Rove<'_> {
    /// Looks at everything once.
    pub(super) fn look(&mut self) -> VolumeSeen {
        let gate = self.gate.latest();
        let volume = self.drbd.look();
        self.memory.update(gate, &volume);
        let child = self.member.look();
        let fate = self.memory.fate(&volume, self.settings.fence_timeout);
        let mut seen = VolumeSeen {
            gate,
            ending: self.stop.raised().is_some(),
            mounted: self.mounted(),
            volume,
            child,
            promoted: self.memory.promoted,
            met_peer: self.memory.met_peer,
            fate,
            checked: self.memory.checked,
            accept_loss: accept_loss::given(&self.settings.gate, &self.settings.resource),
            demoting_for: None,
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

/// What the user wants, for the decision.
pub fn policy(settings: &Rover) -> VolumePolicy {
    VolumePolicy {
        can_fence: settings.can_fence(),
        demote_timeout: settings.demote_timeout,
        self_fence: settings.self_fence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::volume::{Fencing, PeerVolume, Replication};

    fn up(disk: Disk, peer: (Connection, Disk)) -> Volume {
        Volume::Up(Resource {
            role: Role::Secondary,
            disk,
            peers: vec![PeerVolume {
                name: "node2".into(),
                connection: peer.0,
                role: Role::Unknown,
                disk: peer.1,
                replication: Replication::Off,
            }],
            fencing: Fencing::ResourceAndStonith,
            quorum_on: false,
            quorum: true,
            may_promote: None,
            suspended: false,
            failing: false,
        })
    }

    const TOGETHER: (Connection, Disk) = (Connection::Connected, Disk::UpToDate);
    const LOST: (Connection, Disk) = (Connection::Connecting, Disk::Unknown);

    #[test]
    fn a_peer_is_met_only_while_both_disks_are_up_to_date() {
        for (disk, peer, met) in [
            (Disk::UpToDate, TOGETHER, true),
            (Disk::Inconsistent, TOGETHER, false),
            (
                Disk::UpToDate,
                (Connection::Connected, Disk::Inconsistent),
                false,
            ),
            (Disk::UpToDate, LOST, false),
            (
                Disk::UpToDate,
                (Connection::StandAlone, Disk::UpToDate),
                false,
            ),
        ] {
            let mut memory = Memory::new();
            memory.update(Gate::Backup, &up(disk, peer));
            assert_eq!(memory.met_peer, met, "{disk:?} {peer:?}");
        }
    }

    #[test]
    fn what_was_met_is_forgotten_while_the_volume_is_down_or_the_peer_has_no_disk() {
        let mut memory = Memory::new();
        memory.update(Gate::Master, &up(Disk::UpToDate, TOGETHER));
        memory.update(Gate::Master, &up(Disk::UpToDate, LOST));
        assert!(memory.met_peer, "a lost peer was met");
        memory.update(Gate::Master, &Volume::Unusable("no answer".into()));
        assert!(memory.met_peer, "a tool that fails tells nothing");
        memory.update(Gate::Master, &Volume::Down);
        assert!(!memory.met_peer);
        memory.update(Gate::Master, &up(Disk::UpToDate, TOGETHER));
        let diskless = (Connection::Connected, Disk::Diskless);
        memory.update(Gate::Master, &up(Disk::UpToDate, diskless));
        assert!(!memory.met_peer);
    }

    #[test]
    fn the_fate_of_a_peer_holds_until_it_is_back_or_the_gate_closes() {
        for (gate, peer, kept) in [
            (Gate::Master, LOST, true),
            (Gate::Backup, LOST, false),
            (Gate::Master, TOGETHER, false),
        ] {
            let mut memory = Memory::new();
            memory.fate = PeerFate::Fenced;
            memory.update(gate, &up(Disk::UpToDate, peer));
            assert_eq!(memory.fate == PeerFate::Fenced, kept, "{gate:?} {peer:?}");
        }
    }

    #[test]
    fn while_the_kernels_handler_asks_we_do_not() {
        let mut memory = Memory::new();
        let Volume::Up(mut resource) = up(Disk::UpToDate, LOST) else {
            unreachable!("it is up");
        };
        resource.suspended = true;
        let frozen = Volume::Up(resource);
        let (long, no_time) = (Duration::from_secs(60), Duration::ZERO);
        assert_eq!(memory.fate(&frozen, long), PeerFate::Silent);
        assert_eq!(memory.fate(&frozen, no_time), PeerFate::Unknown);
        memory.fate(&up(Disk::UpToDate, TOGETHER), long);
        assert_eq!(memory.frozen, None);
    }

    #[test]
    fn a_broken_file_system_is_promoted_again_only_after_the_gate_has_closed() {
        let mut memory = Memory::new();
        memory.checked = Checked::Broken;
        memory.released();
        memory.update(Gate::Master, &up(Disk::UpToDate, TOGETHER));
        assert_eq!(memory.checked, Checked::Broken);
        memory.update(Gate::Backup, &up(Disk::UpToDate, TOGETHER));
        assert_eq!(memory.checked, Checked::No);
    }
}
