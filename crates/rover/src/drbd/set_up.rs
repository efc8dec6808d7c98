//! The first set-up of the volume: what comes next, from what is seen. Pure. Said by a person, never
//! done by itself.

use super::Metadata;
use crate::table::{Connection, Disk, PeerVolume, Replication, Resource, Role, Volume};

/// What is on our disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnDisk {
    /// Nothing.
    Nothing,
    /// No DRBD metadata, but this.
    Something(String),
    /// DRBD's metadata.
    Metadata(Metadata),
    /// It cannot be told.
    Unreadable(String),
}

/// The next step, or the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetUp {
    /// Take a resource down that came up without a disk: its disk cannot be written otherwise.
    TakeDown,
    /// Create DRBD's metadata on the empty disk.
    CreateMetadata,
    /// Bring the resource up.
    BringUp,
    /// Something passes: look again.
    LookAgain,
    /// The other machine has to come first: for this.
    WaitForPeer(String),
    /// Declare both empty disks equal.
    FirstGeneration,
    /// Promote, look whether the volume is empty, make the file system, demote.
    MakeFileSystem,
    /// All is done.
    Done(String),
    /// There is something that somebody may want back.
    Refuse(String),
    /// DRBD cannot be asked.
    Fail(String),
}

/// What comes next. `on_disk` is asked of the disk below DRBD, attached or not.
pub fn set_up(first: bool, volume: &Volume, on_disk: &OnDisk) -> SetUp {
    match volume {
        Volume::Unusable(why) => SetUp::Fail(why.clone()),
        Volume::Down => detached(on_disk, false),
        Volume::Up(resource) => match resource.disk {
            Disk::Diskless if resource.role == Role::Primary => {
                SetUp::Refuse("the resource is Primary, without a disk of its own".into())
            }
            Disk::Diskless => detached(on_disk, true),
            Disk::Changing | Disk::Unknown => SetUp::LookAgain,
            Disk::Inconsistent if first => empty_first(resource, on_disk),
            Disk::Inconsistent => empty(resource, on_disk),
            Disk::UpToDate if first => filled(resource),
            Disk::Outdated | Disk::Consistent | Disk::UpToDate => {
                SetUp::Refuse("the volume is set up already: its disk here holds data".into())
            }
        },
    }
}

/// Our disk is not attached.
fn detached(on_disk: &OnDisk, up: bool) -> SetUp {
    match on_disk {
        OnDisk::Nothing if up => SetUp::TakeDown,
        OnDisk::Nothing => SetUp::CreateMetadata,
        OnDisk::Metadata(metadata) if metadata.fresh => SetUp::BringUp,
        OnDisk::Metadata(_) => SetUp::Refuse(
            "the disk has DRBD metadata with data: `drbdadm adjust` brings it up".into(),
        ),
        OnDisk::Something(what) => SetUp::Refuse(format!("the disk is not empty: {what}")),
        OnDisk::Unreadable(why) => SetUp::Fail(why.clone()),
    }
}

fn has_data(peer: &PeerVolume) -> bool {
    match peer.disk {
        Disk::Outdated | Disk::Consistent | Disk::UpToDate => true,
        Disk::Diskless | Disk::Changing | Disk::Inconsistent | Disk::Unknown => false,
    }
}

fn receives(resource: &Resource) -> bool {
    let target = |peer: &PeerVolume| peer.replication == Replication::SyncTarget;
    let beside = |peer: &PeerVolume| peer.connection == Connection::Connected && has_data(peer);
    resource
        .peers
        .iter()
        .any(|peer| target(peer) || beside(peer))
}

/// Our disk holds nothing valid, and we are not the first.
fn empty(resource: &Resource, on_disk: &OnDisk) -> SetUp {
    if receives(resource) {
        return SetUp::Done("this machine is ready: its disk receives the peer's data".into());
    }
    match on_disk {
        OnDisk::Metadata(metadata) if metadata.fresh => SetUp::Done(
            "this machine is ready: run `etcd-rejoin two-node init` on the other one too, then with \
             --first on exactly one of both"
                .into(),
        ),
        OnDisk::Unreadable(why) => SetUp::Fail(why.clone()),
        OnDisk::Metadata(_) | OnDisk::Something(_) | OnDisk::Nothing => unfinished(),
    }
}

/// Our disk holds nothing valid, and we are the first.
fn empty_first(resource: &Resource, on_disk: &OnDisk) -> SetUp {
    if receives(resource) {
        return SetUp::Refuse("the peer has data: this disk receives it, without --first".into());
    }
    // An unfinished copy may be the best there is. DRBD itself would refuse, with other words.
    match on_disk {
        OnDisk::Metadata(metadata) if metadata.fresh => {}
        OnDisk::Unreadable(why) => return SetUp::Fail(why.clone()),
        OnDisk::Metadata(_) | OnDisk::Something(_) | OnDisk::Nothing => return unfinished(),
    }
    match peers(resource) {
        Ok(()) => {}
        Err(other) => return other,
    }
    let disks = resource.peers.iter().map(|peer| peer.disk);
    // A peer without a disk is a tie-breaker, or one that has not been set up: one needs a disk.
    if disks.clone().any(|disk| disk == Disk::Inconsistent)
        && disks
            .clone()
            .all(|disk| matches!(disk, Disk::Inconsistent | Disk::Diskless))
    {
        return SetUp::FirstGeneration;
    }
    SetUp::WaitForPeer("run `etcd-rejoin two-node init` there: its disk is not ready".into())
}

/// Our disk is up to date and we are the first: a set-up that was interrupted before its file system, or
/// a volume in use. The file system tells.
fn filled(resource: &Resource) -> SetUp {
    if resource.role == Role::Primary {
        let cure =
            "if nothing runs on it (a set-up was cut off), `drbdadm secondary`, and run this again";
        return SetUp::Refuse(format!("the volume is in use: it is Primary here; {cure}"));
    }
    match peers(resource) {
        Ok(()) => {}
        Err(other) => return other,
    }
    match resource
        .peers
        .iter()
        .any(|peer| peer.disk == Disk::UpToDate)
    {
        true => SetUp::MakeFileSystem,
        false => SetUp::Refuse("the volume is set up already: its disk here holds data".into()),
    }
}

fn unfinished() -> SetUp {
    SetUp::Refuse(
        "the disk holds an unfinished copy of the peer's data, which only the peer can complete"
            .into(),
    )
}

/// All peers are there and Secondary; else what is to be done.
fn peers(resource: &Resource) -> Result<(), SetUp> {
    for peer in &resource.peers {
        let name = &peer.name;
        match (peer.connection, peer.role) {
            (Connection::StandAlone, _) => {
                return Err(SetUp::Refuse(format!(
                    "DRBD has given up the connection to {name}: `etcd-rejoin two-node status` says what to do"
                )));
            }
            (Connection::Connecting, _) | (Connection::Connected, Role::Unknown) => {
                return Err(SetUp::WaitForPeer(format!(
                    "{name} is not connected: run `etcd-rejoin two-node init` there (`drbdadm up` where it has no disk)"
                )));
            }
            (Connection::Connected, Role::Primary) => {
                return Err(SetUp::Refuse(format!(
                    "{name} is Primary: the volume is in use"
                )));
            }
            (Connection::Connected, Role::Secondary) => {}
        }
    }
    match resource.peers.is_empty() {
        true => Err(SetUp::WaitForPeer("there is no peer".into())),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, parse};
    use super::*;
    use crate::table::Fencing;

    const CONNECTING: &str = include_str!("../../tests/fixtures/drbd/8.4/connecting.events2");
    const NO_DATA: &str = include_str!("../../tests/fixtures/drbd/8.4/no-data.events2");
    const HALF_UP: &str = include_str!("../../tests/fixtures/drbd/8.4/half-up.events2");
    const CONNECTED: &str = include_str!("../../tests/fixtures/drbd/8.4/connected.events2");
    const PRIMARY: &str = include_str!("../../tests/fixtures/drbd/8.4/primary.events2");

    fn up(text: &str) -> Volume {
        let state = parse::events(text, "etcd").unwrap().unwrap();
        let settings = Settings {
            fencing: Fencing::ResourceOnly,
            quorum_on: false,
        };
        Volume::Up(super::super::tool::resource(state, settings))
    }

    fn metadata(fresh: bool) -> OnDisk {
        OnDisk::Metadata(Metadata {
            fresh,
            consistent: !fresh,
            up_to_date: !fresh,
            peer_outdated: false,
        })
    }

    fn refuses(next: SetUp) -> bool {
        matches!(next, SetUp::Refuse(_))
    }

    #[test]
    fn an_empty_disk_gets_metadata_and_comes_up() {
        for first in [false, true] {
            let down = |on_disk: &OnDisk| set_up(first, &Volume::Down, on_disk);
            assert_eq!(down(&OnDisk::Nothing), SetUp::CreateMetadata);
            assert_eq!(down(&metadata(true)), SetUp::BringUp);
            let half_up = |on_disk: &OnDisk| set_up(first, &up(HALF_UP), on_disk);
            assert_eq!(half_up(&OnDisk::Nothing), SetUp::TakeDown);
            assert_eq!(half_up(&metadata(true)), SetUp::BringUp);
        }
    }

    #[test]
    fn anything_on_the_disk_refuses() {
        for first in [false, true] {
            for volume in [Volume::Down, up(HALF_UP)] {
                assert!(refuses(set_up(first, &volume, &metadata(false))));
                let ext4 = OnDisk::Something("TYPE=ext4".into());
                assert!(refuses(set_up(first, &volume, &ext4)));
            }
            assert!(refuses(set_up(first, &up(PRIMARY), &metadata(false))));
            assert!(refuses(set_up(first, &up(NO_DATA), &metadata(false))));
        }
        assert!(refuses(set_up(false, &up(CONNECTED), &metadata(false))));
    }

    #[test]
    fn the_first_generation_needs_two_empty_disks_that_see_each_other() {
        let first = |text: &str| set_up(true, &up(text), &metadata(true));
        assert_eq!(first(NO_DATA), SetUp::FirstGeneration);
        assert!(matches!(first(CONNECTING), SetUp::WaitForPeer(_)));
        for (from, to) in [
            ("peer-disk:Inconsistent", "peer-disk:UpToDate"),
            ("peer-disk:Inconsistent", "peer-disk:Outdated"),
            ("replication:Established", "replication:SyncTarget"),
            (
                "connection:Connected role:Secondary",
                "connection:Connected role:Primary",
            ),
            (
                "connection:Connected role:Secondary",
                "connection:StandAlone role:Unknown",
            ),
        ] {
            assert!(refuses(first(&NO_DATA.replace(from, to))), "{to}");
        }
        let diskless = NO_DATA.replace("peer-disk:Inconsistent", "peer-disk:Diskless");
        assert!(matches!(first(&diskless), SetUp::WaitForPeer(_)));
    }

    #[test]
    fn a_fresh_disk_beside_data_only_receives_it() {
        let beside = NO_DATA.replace("peer-disk:Inconsistent", "peer-disk:UpToDate");
        let next = set_up(false, &up(&beside), &metadata(true));
        assert!(matches!(next, SetUp::Done(what) if what.contains("receives")));
    }

    #[test]
    fn the_file_system_is_made_while_both_are_secondary_and_up_to_date() {
        let first = |text: &str| set_up(true, &up(text), &metadata(false));
        assert_eq!(first(CONNECTED), SetUp::MakeFileSystem);
        let alone = CONNECTED.replace("Connected role:Secondary", "Connecting role:Unknown");
        assert!(matches!(first(&alone), SetUp::WaitForPeer(_)));
    }
}
