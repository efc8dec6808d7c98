//! The first set-up of the volume: what comes next, from what is seen. Pure. Said by a person, never
//! done by itself.

use super::{Connection, Disk, PeerVolume, Replication, Resource, Role, VolumeState};

/// What is on a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnDisk {
    /// Nothing; or the next step does not depend on it.
    Nothing,
    /// No DRBD metadata, but this.
    Something(String),
    /// DRBD's metadata.
    Metadata {
        /// It was only created, and there was never any data.
        fresh: bool,
    },
    /// It cannot be told.
    Unreadable(String),
}

/// Everything that was seen of a volume that is to be set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetUpSeen {
    /// We are the first: the other's disk becomes a copy of ours.
    pub first: bool,
    /// We were asked to end.
    pub ending: bool,
    /// The volume.
    pub volume: VolumeState,
    /// What is on the disk below DRBD, attached or not.
    pub on_disk: OnDisk,
    /// Why no file system can be made on this machine; empty where it can.
    pub no_tool: String,
    /// What this process has done with the volume so far.
    pub so_far: SoFar,
}

/// What a set-up remembers of its own steps. Gone with the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SoFar {
    /// It has promoted the volume, and not demoted it since.
    pub held: bool,
    /// What was in the volume then.
    pub inside: Option<OnDisk>,
    /// It has made the file system, or why not.
    pub made: Option<Result<(), String>>,
}

/// One change of the world, or a look that needs one. May be killed at any instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetUpStep {
    /// `drbdadm down`: of a resource that came up without a disk, whose disk cannot be written otherwise.
    TakeDown,
    /// `drbdadm create-md`, on an empty disk.
    CreateMetadata,
    /// `drbdadm adjust`.
    BringUp,
    /// `drbdadm new-current-uuid --clear-bitmap`: declares both empty disks equal, and waits until the peer has
    /// taken that.
    FirstGeneration,
    /// `drbdadm primary`. Never by force.
    Promote,
    /// Look whether anything is in the volume: only a Primary can.
    LookInside,
    /// Make the file system.
    MakeFileSystem,
    /// `drbdadm secondary`.
    Demote,
}

impl SetUpStep {
    /// Its name, as the cases have it.
    pub const fn name(self) -> &'static str {
        match self {
            SetUpStep::TakeDown => "take-down",
            SetUpStep::CreateMetadata => "create-metadata",
            SetUpStep::BringUp => "bring-up",
            SetUpStep::FirstGeneration => "first-generation",
            SetUpStep::Promote => "promote",
            SetUpStep::LookInside => "look-inside",
            SetUpStep::MakeFileSystem => "make-file-system",
            SetUpStep::Demote => "demote",
        }
    }
}

/// The next step, or the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetUp {
    /// Take one step, then look again.
    Do(SetUpStep),
    /// Look again: this passes, or the other machine has to come first.
    Wait(String),
    /// All is done.
    Done(String),
    /// There is something that somebody may want back.
    Refuse(String),
    /// A step has failed, or DRBD cannot be asked.
    Fail(String),
    /// Nothing is held, and we were asked to end.
    End,
}

/// What comes next.
pub fn set_up(seen: &SetUpSeen) -> SetUp {
    if seen.so_far.held {
        return held(seen);
    }
    if let Some(end) = ended(&seen.so_far) {
        return end;
    }
    if seen.ending {
        return SetUp::End;
    }
    let (first, on_disk) = (seen.first, &seen.on_disk);
    match &seen.volume {
        VolumeState::Unusable(why) => SetUp::Fail(why.clone()),
        VolumeState::Down => detached(on_disk, false),
        VolumeState::Up(resource) => match resource.disk {
            Disk::Diskless if resource.role == Role::Primary => {
                SetUp::Refuse("the resource is Primary, without a disk of its own".into())
            }
            Disk::Diskless => detached(on_disk, true),
            Disk::Changing | Disk::Unknown => SetUp::Wait("the disk is in transition".into()),
            Disk::Inconsistent if first => empty_first(resource, on_disk),
            Disk::Inconsistent => empty(resource, on_disk),
            Disk::UpToDate if first => filled(seen, resource),
            Disk::Outdated | Disk::Consistent | Disk::UpToDate => set_up_already(),
        },
    }
}

/// We have promoted it: it is not left so, whatever comes.
fn held(seen: &SetUpSeen) -> SetUp {
    SetUp::Do(match (&seen.so_far.inside, &seen.so_far.made) {
        _ if seen.ending => SetUpStep::Demote,
        (None, None) => SetUpStep::LookInside,
        (Some(OnDisk::Nothing), None) => SetUpStep::MakeFileSystem,
        (Some(OnDisk::Something(_) | OnDisk::Metadata { .. } | OnDisk::Unreadable(_)), None)
        | (_, Some(_)) => SetUpStep::Demote,
    })
}

/// It was promoted, and is demoted again: how that ended.
fn ended(so_far: &SoFar) -> Option<SetUp> {
    match (&so_far.made, &so_far.inside) {
        (Some(Ok(())), _) => Some(SetUp::Done("the volume is ready".into())),
        (Some(Err(why)), _) | (None, Some(OnDisk::Unreadable(why))) => {
            Some(SetUp::Fail(why.clone()))
        }
        (None, Some(OnDisk::Something(found))) => {
            Some(SetUp::Refuse(format!("the volume is not empty: {found}")))
        }
        (None, Some(OnDisk::Metadata { .. })) => {
            Some(SetUp::Refuse("the volume is not empty".into()))
        }
        (None, Some(OnDisk::Nothing) | None) => None,
    }
}

/// Our disk is not attached.
fn detached(on_disk: &OnDisk, up: bool) -> SetUp {
    match on_disk {
        OnDisk::Nothing if up => SetUp::Do(SetUpStep::TakeDown),
        OnDisk::Nothing => SetUp::Do(SetUpStep::CreateMetadata),
        OnDisk::Metadata { fresh: true } => SetUp::Do(SetUpStep::BringUp),
        OnDisk::Metadata { fresh: false } => SetUp::Refuse(
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
        OnDisk::Metadata { fresh: true } => SetUp::Done(
            "this machine is ready: run `etcd-rejoin two-node init` on the other one too, then with \
             --first on exactly one of both"
                .into(),
        ),
        OnDisk::Unreadable(why) => SetUp::Fail(why.clone()),
        OnDisk::Metadata { fresh: false } | OnDisk::Something(_) | OnDisk::Nothing => unfinished(),
    }
}

/// Our disk holds nothing valid, and we are the first.
fn empty_first(resource: &Resource, on_disk: &OnDisk) -> SetUp {
    if receives(resource) {
        return SetUp::Refuse("the peer has data: this disk receives it, without --first".into());
    }
    // An unfinished copy may be the best there is. DRBD itself would refuse, with other words.
    match on_disk {
        OnDisk::Metadata { fresh: true } => {}
        OnDisk::Unreadable(why) => return SetUp::Fail(why.clone()),
        OnDisk::Metadata { fresh: false } | OnDisk::Something(_) | OnDisk::Nothing => {
            return unfinished();
        }
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
        return SetUp::Do(SetUpStep::FirstGeneration);
    }
    SetUp::Wait("run `etcd-rejoin two-node init` there: its disk is not ready".into())
}

/// Our disk is up to date and we are the first: a set-up that was interrupted before its file system, or
/// a volume in use. The file system tells.
fn filled(seen: &SetUpSeen, resource: &Resource) -> SetUp {
    if resource.role == Role::Primary {
        let cure =
            "if nothing runs on it (a set-up was cut off), `drbdadm secondary`, and run this again";
        return SetUp::Refuse(format!("the volume is in use: it is Primary here; {cure}"));
    }
    match peers(resource) {
        Ok(()) => {}
        Err(other) => return other,
    }
    if !(resource.peers.iter()).any(|peer| peer.disk == Disk::UpToDate) {
        return set_up_already();
    }
    match &seen.on_disk {
        // Seen from below, a volume in use need not be promoted to be refused.
        OnDisk::Something(what) => SetUp::Refuse(format!("the volume is not empty: {what}")),
        OnDisk::Unreadable(why) => SetUp::Fail(why.clone()),
        OnDisk::Nothing | OnDisk::Metadata { .. } if !seen.no_tool.is_empty() => {
            SetUp::Fail(seen.no_tool.clone())
        }
        OnDisk::Nothing | OnDisk::Metadata { .. } => SetUp::Do(SetUpStep::Promote),
    }
}

fn set_up_already() -> SetUp {
    SetUp::Refuse("the volume is set up already: its disk here holds data".into())
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
                return Err(SetUp::Wait(format!(
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
        true => Err(SetUp::Wait("there is no peer".into())),
        false => Ok(()),
    }
}
