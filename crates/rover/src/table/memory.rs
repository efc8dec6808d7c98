//! What a rover remembers between two looks, and what each look makes of it. Pure; the time after which
//! an answer is too old to count is the rover's.

use super::{Checked, Connection, Disk, Gate, PeerFate, PeerVolume, Resource, Role, VolumeState};

/// What a peer would answer, if it were asked to outdate itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Would {
    /// Yes.
    Outdate,
    /// No: it is Primary, or has a reason that may pass.
    Refuse,
    /// It cannot.
    Fail,
    /// It does not answer.
    Silent,
}

/// What no look can tell, because it is over. Gone with the rover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Remembered {
    /// See [`super::VolumeSeen::promoted`].
    pub promoted: bool,
    /// See [`super::VolumeSeen::met_peer`].
    pub met_peer: bool,
    /// The peer was met, and has been connected ever since. A disk that it loses meanwhile takes nothing
    /// with it: all that was written since then was written here too.
    pub beside: bool,
    /// See [`super::VolumeSeen::fate`].
    pub fate: PeerFate,
    /// See [`super::VolumeSeen::tried`].
    pub tried: PeerFate,
    /// A promotion has failed since the peer was lost: see [`super::VolumeSeen::kernel_asks`].
    pub refused: bool,
    /// See [`super::VolumeSeen::checked`].
    pub checked: Checked,
}

impl Remembered {
    /// What a rover knows that has just started.
    pub const NOTHING: Remembered = Remembered {
        promoted: false,
        met_peer: false,
        beside: false,
        fate: PeerFate::Unknown,
        tried: PeerFate::Unknown,
        refused: false,
        checked: Checked::No,
    };

    /// After this look.
    pub fn after(mut self, gate: Gate, volume: &VolumeState) -> Self {
        // Before the gate makes us forget it: keepalived gives the address up on a no, and would bid
        // again at once, for ever.
        match self.fate {
            PeerFate::Alive | PeerFate::Silent => self.tried = self.fate,
            PeerFate::Outdated | PeerFate::Fenced => self.tried = PeerFate::Unknown,
            PeerFate::Unknown => {}
        }
        match volume {
            VolumeState::Up(resource) => self.hear(resource),
            // While it was down, the peer may have gone on without us.
            VolumeState::Down => {
                (self.met_peer, self.beside, self.promoted) = (false, false, false);
            }
            // A tool that fails tells nothing.
            VolumeState::Unusable(_) => {}
        }
        if gate != Gate::Master {
            self.fate = PeerFate::Unknown;
            self.refused = false;
            if self.checked == Checked::Broken {
                self.checked = Checked::No;
            }
        }
        self
    }

    fn hear(&mut self, resource: &Resource) {
        let connected = |disk: Disk| {
            (resource.peers.iter())
                .any(|peer| peer.connection == Connection::Connected && peer.disk == disk)
        };
        if connected(Disk::Diskless) && !self.beside {
            self.met_peer = false;
        }
        if resource.disk == Disk::UpToDate && connected(Disk::UpToDate) {
            self.met_peer = true;
        }
        let lost = |peer: &PeerVolume| match peer.connection {
            Connection::Connected => false,
            Connection::StandAlone | Connection::Connecting => true,
        };
        let all_connected = !resource.peers.is_empty() && !resource.peers.iter().any(lost);
        self.beside = self.met_peer && all_connected && resource.disk == Disk::UpToDate;
        // A peer that is not shown at all is lost, too.
        if all_connected {
            self.fate = PeerFate::Unknown;
            self.tried = PeerFate::Unknown;
            self.refused = false;
        }
        match resource.role {
            Role::Primary => {}
            Role::Secondary | Role::Unknown => self.promoted = false,
        }
    }

    /// The connection was lost since the last look, if only for a moment.
    pub fn part(&mut self) {
        self.beside = false;
    }

    /// The peer was asked what it would say now, with the gate closed, after it had said no. `command`:
    /// there is a fence command, which would be run where it cannot say yes.
    pub fn reconsider(&mut self, would: Would, command: bool) {
        self.tried = match would {
            Would::Outdate => PeerFate::Unknown,
            // It works, or it goes first: it is not turned off.
            Would::Refuse => PeerFate::Alive,
            // Whether the command succeeds by now only a takeover can tell.
            Would::Fail | Would::Silent if command => PeerFate::Unknown,
            Would::Fail => PeerFate::Alive,
            Would::Silent => PeerFate::Silent,
        };
    }

    /// `drbdadm primary` has succeeded.
    pub fn promote(&mut self) {
        self.promoted = true;
        self.checked = Checked::No;
    }

    /// `drbdadm primary` has failed. What was known of the peer was not enough, or not true any more;
    /// why, only a question of our own can tell.
    pub fn refuse(&mut self) {
        self.fate = PeerFate::Unknown;
        self.refused = true;
    }

    /// `drbdadm secondary` has succeeded. A broken file system stays one until the gate closes.
    pub fn demote(&mut self) {
        self.promoted = false;
        if self.checked == Checked::Clean {
            self.checked = Checked::No;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Fencing, Replication};

    fn up(disk: Disk, peer: (Connection, Disk)) -> VolumeState {
        VolumeState::Up(Resource {
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
            let mut memory = Remembered::NOTHING;
            memory = memory.after(Gate::Backup, &up(disk, peer));
            assert_eq!(memory.met_peer, met, "{disk:?} {peer:?}");
        }
    }

    #[test]
    fn what_was_met_is_forgotten_while_the_volume_is_down() {
        let mut memory = Remembered::NOTHING;
        memory = memory.after(Gate::Master, &up(Disk::UpToDate, TOGETHER));
        memory = memory.after(Gate::Master, &up(Disk::UpToDate, LOST));
        assert!(memory.met_peer, "a lost peer was met");
        memory = memory.after(Gate::Master, &VolumeState::Unusable("no answer".into()));
        assert!(memory.met_peer, "a tool that fails tells nothing");
        memory = memory.after(Gate::Master, &VolumeState::Down);
        assert!(!memory.met_peer);
    }

    #[test]
    fn a_peer_that_loses_its_disk_beside_us_was_met_and_one_that_comes_without_one_was_not() {
        let diskless = (Connection::Connected, Disk::Diskless);
        let look = |memory: Remembered, peer| memory.after(Gate::Backup, &up(Disk::UpToDate, peer));
        let met = look(Remembered::NOTHING, TOGETHER);
        let beside = look(look(met, diskless), diskless);
        assert!(beside.met_peer && look(beside, LOST).met_peer);
        assert!(!look(look(beside, LOST), diskless).met_peer);
        let mut parted = met;
        parted.part();
        assert!(parted.met_peer && !look(parted, diskless).met_peer);
        let resyncing = met.after(Gate::Backup, &up(Disk::Inconsistent, TOGETHER));
        assert!(!look(resyncing, diskless).met_peer);
        assert!(!look(Remembered::NOTHING, diskless).met_peer);
    }

    #[test]
    fn the_fate_of_a_peer_holds_until_it_is_back_or_the_gate_closes() {
        for (gate, peer, kept) in [
            (Gate::Master, LOST, true),
            (Gate::Backup, LOST, false),
            (Gate::Master, TOGETHER, false),
        ] {
            let mut memory = Remembered::NOTHING;
            memory.refuse();
            memory.fate = PeerFate::Fenced;
            memory = memory.after(gate, &up(Disk::UpToDate, peer));
            assert_eq!(memory.fate == PeerFate::Fenced, kept, "{gate:?} {peer:?}");
            assert_eq!(memory.refused, kept, "{gate:?} {peer:?}");
        }
    }

    #[test]
    fn the_fate_of_a_peer_that_is_not_shown_at_all_holds_too() {
        let mut none = up(Disk::UpToDate, LOST);
        if let VolumeState::Up(resource) = &mut none {
            resource.peers.clear();
        }
        let mut memory = Remembered::NOTHING;
        memory.fate = PeerFate::Fenced;
        let after = memory.after(Gate::Master, &none);
        assert_eq!(after.fate, PeerFate::Fenced);
    }

    #[test]
    fn what_is_down_is_promoted_by_nobody() {
        let mut memory = Remembered::NOTHING;
        memory.promote();
        let unusable = VolumeState::Unusable("no answer".into());
        assert!(memory.after(Gate::Master, &unusable).promoted);
        assert!(!memory.after(Gate::Master, &VolumeState::Down).promoted);
    }

    #[test]
    fn a_no_of_the_peer_outlives_the_gate_until_the_peer_is_back_or_says_otherwise() {
        for no in [PeerFate::Alive, PeerFate::Silent] {
            let mut memory = Remembered::NOTHING;
            memory.fate = no;
            memory = memory.after(Gate::Master, &up(Disk::UpToDate, LOST));
            memory = memory.after(Gate::Fault, &up(Disk::UpToDate, LOST));
            memory = memory.after(Gate::Backup, &VolumeState::Unusable("no answer".into()));
            assert_eq!((memory.fate, memory.tried), (PeerFate::Unknown, no));
            let back = memory.after(Gate::Backup, &up(Disk::UpToDate, TOGETHER));
            assert_eq!(back.tried, PeerFate::Unknown);
            for yes in [PeerFate::Outdated, PeerFate::Fenced] {
                memory.fate = yes;
                let settled = memory.after(Gate::Master, &up(Disk::UpToDate, LOST));
                assert_eq!(settled.tried, PeerFate::Unknown);
            }
        }
    }

    #[test]
    fn a_peer_that_said_no_is_believed_what_it_would_say_now() {
        for (would, without_command, with_command) in [
            (Would::Outdate, PeerFate::Unknown, PeerFate::Unknown),
            (Would::Refuse, PeerFate::Alive, PeerFate::Alive),
            (Would::Fail, PeerFate::Alive, PeerFate::Unknown),
            (Would::Silent, PeerFate::Silent, PeerFate::Unknown),
        ] {
            for (command, tried) in [(false, without_command), (true, with_command)] {
                let mut memory = Remembered::NOTHING;
                memory.tried = PeerFate::Silent;
                memory.reconsider(would, command);
                assert_eq!(memory.tried, tried, "{would:?} {command}");
            }
        }
    }

    #[test]
    fn a_broken_file_system_is_promoted_again_only_after_the_gate_has_closed() {
        let mut memory = Remembered::NOTHING;
        memory.checked = Checked::Broken;
        memory.demote();
        memory = memory.after(Gate::Master, &up(Disk::UpToDate, TOGETHER));
        assert_eq!(memory.checked, Checked::Broken);
        memory = memory.after(Gate::Backup, &up(Disk::UpToDate, TOGETHER));
        assert_eq!(memory.checked, Checked::No);
    }
}
