//! What a rover remembers between two looks, and what each look makes of it. Pure.

use super::{Checked, Connection, Disk, Gate, Resource, Role, VolumeState};

/// What no look can tell, because it is over. Gone with the rover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Remembered {
    /// See [`super::VolumeSeen::promoted`].
    pub promoted: bool,
    /// See [`super::VolumeSeen::met_peer`].
    pub met_peer: bool,
    /// The peer was met, and has been connected ever since. A disk that it loses meanwhile takes nothing
    /// with it: all that was written since then was written here too.
    pub beside: bool,
    /// See [`super::VolumeSeen::checked`].
    pub checked: Checked,
}

impl Remembered {
    /// What a rover knows that has just started.
    pub const NOTHING: Remembered = Remembered {
        promoted: false,
        met_peer: false,
        beside: false,
        checked: Checked::No,
    };

    /// After this look.
    pub fn after(mut self, gate: Gate, volume: &VolumeState) -> Self {
        match volume {
            VolumeState::Up(resource) => self.hear(resource),
            // While it was down, the peer may have gone on without us.
            VolumeState::Down => {
                (self.met_peer, self.beside, self.promoted) = (false, false, false);
            }
            // A tool that fails tells nothing.
            VolumeState::Unusable(_) => {}
        }
        if gate != Gate::Master && self.checked == Checked::Broken {
            self.checked = Checked::No;
        }
        self
    }

    fn hear(&mut self, resource: &Resource) {
        let mut data = resource.peers.iter().filter(|peer| !peer.witness);
        let together = data
            .clone()
            .any(|peer| peer.connection == Connection::Connected);
        let connected = |wanted: Disk| {
            (data.clone())
                .any(|peer| peer.connection == Connection::Connected && peer.disk == wanted)
        };
        // A disk that was away comes back as Outdated or Consistent, and may have missed what the peer wrote. Once
        // the peer is lost DRBD 9 says Consistent of one that was there all along, for 26 ms.
        let passes = self.beside && resource.disk == Disk::Consistent && !together;
        let whole = resource.disk == Disk::UpToDate;
        if !whole && !passes || connected(Disk::Diskless) && !self.beside {
            self.met_peer = false;
        }
        if whole && connected(Disk::UpToDate) {
            self.met_peer = true;
        }
        let all = data.all(|peer| peer.connection == Connection::Connected);
        self.beside = self.met_peer && whole && together && all;
        if resource.role != Role::Primary {
            self.promoted = false;
        }
    }

    /// The connection was lost since the last look, if only for a moment.
    pub fn part(&mut self) {
        self.beside = false;
    }

    /// `drbdadm primary` has succeeded.
    pub fn promote(&mut self) {
        self.promoted = true;
        self.checked = Checked::No;
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
    use crate::table::{Fencing, PeerVolume, Replication};

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
                witness: false,
            }],
            fencing: Fencing::ResourceAndStonith,
            quorum_on: false,
            quorum: true,
            suspended: false,
            failing: false,
        })
    }

    const TOGETHER: (Connection, Disk) = (Connection::Connected, Disk::UpToDate);
    const LOST: (Connection, Disk) = (Connection::Connecting, Disk::Unknown);

    fn looks(looks: &[(Disk, (Connection, Disk))]) -> Remembered {
        (looks.iter()).fold(Remembered::NOTHING, |memory, (disk, peer)| {
            memory.after(Gate::Backup, &up(*disk, *peer))
        })
    }

    #[test]
    fn a_peer_is_met_only_while_both_disks_are_up_to_date() {
        assert!(looks(&[(Disk::UpToDate, TOGETHER)]).met_peer);
        for (disk, peer) in [
            (Disk::Inconsistent, TOGETHER),
            (Disk::UpToDate, (Connection::Connected, Disk::Inconsistent)),
            (Disk::UpToDate, LOST),
            (Disk::UpToDate, (Connection::StandAlone, Disk::UpToDate)),
        ] {
            assert!(!looks(&[(disk, peer)]).met_peer, "{disk:?} {peer:?}");
        }
    }

    /// Real DRBD 9 says both after an attach, and a yes of the handler would make them whole.
    #[test]
    fn a_disk_that_was_away_has_met_nobody() {
        let met = (Disk::UpToDate, TOGETHER);
        for away in [
            Disk::Outdated,
            Disk::Inconsistent,
            Disk::Diskless,
            Disk::Changing,
        ] {
            let lost = looks(&[met, (away, LOST), (Disk::UpToDate, LOST)]);
            assert!(!lost.met_peer, "{away:?}");
        }
        // Said for a moment of one that was there all along, where the peer has died.
        let consistent = (Disk::Consistent, LOST);
        assert!(looks(&[met, consistent, (Disk::UpToDate, LOST)]).met_peer);
        assert!(!looks(&[met, consistent, consistent]).met_peer);
        assert!(!looks(&[met, (Disk::UpToDate, LOST), consistent]).met_peer);
    }

    #[test]
    fn what_was_met_is_forgotten_while_the_volume_is_down() {
        let mut memory = looks(&[(Disk::UpToDate, TOGETHER), (Disk::UpToDate, LOST)]);
        assert!(memory.met_peer, "a lost peer was met");
        memory.promote();
        memory = memory.after(Gate::Master, &VolumeState::Unusable("no answer".into()));
        assert!(
            memory.met_peer && memory.promoted,
            "a tool that fails tells nothing"
        );
        memory = memory.after(Gate::Master, &VolumeState::Down);
        assert!(!memory.met_peer && !memory.promoted);
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
        assert!(!look(Remembered::NOTHING, diskless).met_peer);
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
