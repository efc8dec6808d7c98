//! What proves that no acknowledged write is missing here. Silence, a successful `drbdadm primary` and
//! a disk that calls itself UpToDate prove nothing.

use super::step::VolumeDecision::{Do, Refuse, Wait};
use super::{
    AcceptLoss, Connection, Disk, Fencing, PeerFate, PeerVolume, Replication, Resource, Role,
    VolumeDecision, VolumePolicy, VolumeReason, VolumeSeen, VolumeState, VolumeStep,
};

/// The gate is open and nothing is held: promote, or why not.
pub fn promotion(policy: &VolumePolicy, seen: &VolumeSeen, resource: &Resource) -> VolumeDecision {
    // Nobody may accept these: two writers, half a resync, no data.
    if let Some(reason) = impossible(resource) {
        return Wait(reason);
    }
    let decision = evidence(policy, seen, resource);
    match decision {
        Wait(reason) | Refuse(reason) if acceptable(reason) => match seen.accept_loss {
            AcceptLoss::No => decision,
            AcceptLoss::Yes => accepted(policy, seen, resource),
            // Nothing is asked or turned off for it either.
            AcceptLoss::Overtaken => Do(VolumeStep::DropWord, VolumeReason::WordOvertaken),
        },
        Do(..) | Wait(_) | Refuse(_) | VolumeDecision::Serve(_) | VolumeDecision::End(_) => {
            decision
        }
    }
}

/// Whether an operator may accept what may be lost. The rest passes by itself, or is nobody's to accept.
fn acceptable(reason: VolumeReason) -> bool {
    matches!(
        reason,
        VolumeReason::DiskOutdated
            | VolumeReason::DiskConsistent
            | VolumeReason::SplitBrain
            | VolumeReason::UnsafeConfig
            | VolumeReason::NoQuorum
            | VolumeReason::PeerWithoutDisk
            | VolumeReason::PeerNotMet
            | VolumeReason::NotFrozen
            | VolumeReason::NoWayToFence
            | VolumeReason::FencedInVain
            | VolumeReason::PeerSilent
    )
}

/// What an operator's word would change here, said now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Nothing: it is Primary already.
    Primary,
    /// Nothing: nobody can accept this, or it passes by itself.
    Useless(VolumeReason),
    /// Nothing: there is evidence.
    NotNeeded(VolumeReason),
    /// It would be promoted by force, in spite of this row.
    Forces(VolumeReason),
}

/// What an operator's word would change, with the gate open and nothing held.
pub fn word(policy: &VolumePolicy, seen: &VolumeSeen, resource: &Resource) -> Word {
    match resource.role {
        Role::Primary => return Word::Primary,
        Role::Secondary | Role::Unknown => {}
    }
    if is_half_up(resource) {
        return Word::Useless(VolumeReason::HalfUp);
    }
    if let Some(reason) = impossible(resource) {
        return Word::Useless(reason);
    }
    match evidence(policy, seen, resource) {
        // The peer is asked; where it says nothing, the word counts.
        Do(VolumeStep::FencePeer, reason)
        | Do(VolumeStep::Promote, reason @ VolumeReason::PeerLost) => Word::Forces(reason),
        Do(_, reason) => Word::NotNeeded(reason),
        Wait(reason) | Refuse(reason) if acceptable(reason) => Word::Forces(reason),
        decision => Word::Useless(decision.reason()),
    }
}

/// Writes may be lost, but there is still one writer: where the peer can be asked, it is.
fn accepted(policy: &VolumePolicy, seen: &VolumeSeen, resource: &Resource) -> VolumeDecision {
    let lost = |peer: &PeerVolume| peer.connection != Connection::Connected;
    let lost = resource.peers.is_empty() || resource.peers.iter().any(lost);
    match seen.fate {
        PeerFate::Unknown if lost && policy.can_fence => {
            Do(VolumeStep::FencePeer, VolumeReason::LossAccepted)
        }
        PeerFate::Alive => Wait(VolumeReason::PeerAlive),
        PeerFate::Unknown | PeerFate::Outdated | PeerFate::Fenced | PeerFate::Silent => {
            Do(VolumeStep::ForcePromote, VolumeReason::LossAccepted)
        }
    }
}

/// Whether the resource is there without its disk and without a connection, as a `drbdadm adjust` leaves it
/// that failed or was killed half way (`tests/fixtures/drbd/8.4/half-up.events2`): the next one goes on.
pub fn is_half_up(resource: &Resource) -> bool {
    let secondary = match resource.role {
        Role::Secondary => true,
        Role::Primary | Role::Unknown => false,
    };
    let alone = |peer: &PeerVolume| peer.connection == Connection::StandAlone;
    secondary && resource.disk == Disk::Diskless && resource.peers.iter().all(alone)
}

/// What no operator can accept either.
fn impossible(resource: &Resource) -> Option<VolumeReason> {
    for peer in &resource.peers {
        match peer.role {
            Role::Primary => return Some(VolumeReason::PeerPrimary),
            Role::Secondary | Role::Unknown => {}
        }
        // DRBD promotes a SyncTarget (rc 0), and what it has not received yet is gone with the source.
        match peer.replication {
            Replication::SyncTarget => return Some(VolumeReason::SyncTarget),
            Replication::Off
            | Replication::Established
            | Replication::SyncSource
            | Replication::Other => {}
        }
    }
    if resource.failing {
        return Some(VolumeReason::IoFailing);
    }
    match resource.disk {
        Disk::Diskless => Some(VolumeReason::Diskless),
        Disk::Changing | Disk::Unknown => Some(VolumeReason::DiskChanging),
        Disk::Inconsistent => Some(VolumeReason::DiskInconsistent),
        Disk::Outdated | Disk::Consistent | Disk::UpToDate => None,
    }
}

fn evidence(policy: &VolumePolicy, seen: &VolumeSeen, resource: &Resource) -> VolumeDecision {
    match resource.disk {
        Disk::UpToDate => {}
        Disk::Outdated => return Wait(VolumeReason::DiskOutdated),
        Disk::Consistent => return Wait(VolumeReason::DiskConsistent),
        Disk::Diskless | Disk::Changing | Disk::Inconsistent | Disk::Unknown => {
            return Wait(VolumeReason::DiskChanging);
        }
    }
    let stand_alone = |peer: &PeerVolume| peer.connection == Connection::StandAlone;
    // 8.4 shows no peer at all of a connection that is StandAlone.
    if resource.peers.is_empty() || resource.peers.iter().any(stand_alone) {
        return Refuse(VolumeReason::SplitBrain);
    }
    if resource.quorum_on {
        return match (resource.quorum, resource.may_promote) {
            (false, _) => Wait(VolumeReason::NoQuorum),
            (true, Some(true)) => Do(VolumeStep::Promote, VolumeReason::Quorate),
            (true, Some(false) | None) => Wait(VolumeReason::MayNotPromote),
        };
    }
    match resource.fencing {
        Fencing::DontCare => return Refuse(VolumeReason::UnsafeConfig),
        Fencing::ResourceOnly | Fencing::ResourceAndStonith => {}
    }
    if resource.may_promote == Some(false) {
        return Wait(VolumeReason::MayNotPromote);
    }
    let lost = |peer: &&PeerVolume| peer.connection != Connection::Connected;
    match resource.peers.iter().find(lost) {
        None => connected(seen, resource),
        Some(peer) => disconnected(policy, seen, resource, peer),
    }
}

/// Every peer is connected, and none is Primary.
fn connected(seen: &VolumeSeen, resource: &Resource) -> VolumeDecision {
    let unclear = |peer: &PeerVolume| {
        let role = match peer.role {
            Role::Unknown => true,
            Role::Primary | Role::Secondary => false,
        };
        let disk = match peer.disk {
            Disk::Changing | Disk::Unknown => true,
            Disk::Diskless
            | Disk::Inconsistent
            | Disk::Outdated
            | Disk::Consistent
            | Disk::UpToDate => false,
        };
        role || disk
    };
    let has_disk = |peer: &PeerVolume| peer.disk != Disk::Diskless;
    if resource.peers.iter().any(unclear) {
        Wait(VolumeReason::PeerUnclear)
    } else if resource.peers.iter().any(has_disk) {
        Do(VolumeStep::Promote, VolumeReason::PeerSecondary)
    } else if seen.met_peer {
        Do(VolumeStep::Promote, VolumeReason::PeerLostItsDisk)
    // It came without one: it has compared nothing with ours, and DRBD 8.4 calls even an outdated disk
    // UpToDate beside it.
    } else {
        Wait(VolumeReason::PeerWithoutDisk)
    }
}

/// Whether a peer is lost, and DRBD has recorded here that its disk lacks writes.
pub fn is_recorded_outdated(volume: &VolumeState) -> bool {
    let lost = |peer: &PeerVolume| {
        peer.connection != Connection::Connected
            && matches!(peer.disk, Disk::Outdated | Disk::Inconsistent)
    };
    match volume {
        VolumeState::Up(resource) => resource.peers.iter().any(lost),
        VolumeState::Down | VolumeState::Unusable(_) => false,
    }
}

/// A peer is lost. What it did since then decides.
fn disconnected(
    policy: &VolumePolicy,
    seen: &VolumeSeen,
    resource: &Resource,
    peer: &PeerVolume,
) -> VolumeDecision {
    match peer.disk {
        // DRBD keeps both in its metadata; neither disk can be promoted before it has met us.
        Disk::Outdated | Disk::Inconsistent => {
            return match (seen.fate, policy.can_ask) {
                // An operator may have let it go on since, or it has recorded the same of us.
                (PeerFate::Alive, _) => Wait(VolumeReason::PeerAlive),
                (PeerFate::Unknown, true) => {
                    Do(VolumeStep::AskPeer, VolumeReason::PeerRecordedOutdated)
                }
                (PeerFate::Unknown, false)
                | (PeerFate::Outdated | PeerFate::Fenced | PeerFate::Silent, _) => {
                    Do(VolumeStep::Promote, VolumeReason::PeerRecordedOutdated)
                }
            };
        }
        Disk::Diskless | Disk::Changing | Disk::Unknown | Disk::Consistent | Disk::UpToDate => {}
    }
    // A disk that was never told that it is stale calls itself UpToDate.
    if !seen.met_peer {
        return Wait(VolumeReason::PeerNotMet);
    }
    match resource.fencing {
        Fencing::ResourceAndStonith => {}
        // It acknowledged between the loss of the link and its end, whatever ended it.
        Fencing::ResourceOnly | Fencing::DontCare => return Wait(VolumeReason::NotFrozen),
    }
    match (seen.fate, policy.can_fence) {
        (PeerFate::Outdated, _) => Do(VolumeStep::Promote, VolumeReason::PeerOutdatedItself),
        (PeerFate::Fenced, _) => Do(VolumeStep::Promote, VolumeReason::PeerFenced),
        // It would be turned off for ever, and never come back to say what is true.
        (PeerFate::Unknown, true) if seen.fenced_in_vain => Wait(VolumeReason::FencedInVain),
        // Asked twice, a dead machine costs its silence twice. The kernel's question is the one that
        // counts: it is asked after everything else was looked at. DRBD 8.4 refuses without its yes
        // (measured, and `drbd_state.c`: SS_PRIMARY_NOP); of DRBD 9 that is not known for every setting.
        (PeerFate::Unknown, true) if seen.kernel_asks && resource.may_promote.is_none() => {
            Do(VolumeStep::Promote, VolumeReason::PeerLost)
        }
        (PeerFate::Unknown, true) => Do(VolumeStep::FencePeer, VolumeReason::PeerLost),
        (PeerFate::Alive, _) => Wait(VolumeReason::PeerAlive),
        (PeerFate::Silent, true) => Wait(VolumeReason::PeerSilent),
        (PeerFate::Unknown | PeerFate::Silent, false) => Wait(VolumeReason::NoWayToFence),
    }
}

/// Primary, frozen. The kernel's handler was asked when the peer was lost; where it failed, the same
/// questions can be asked again, and nothing else thaws it but the peer's return.
pub fn frozen(policy: &VolumePolicy, seen: &VolumeSeen, resource: &Resource) -> VolumeDecision {
    let lost = |peer: &PeerVolume| peer.connection == Connection::Connecting;
    // Frozen by quorum, for want of data, or by hand: not ours to thaw.
    let by_fencing = !resource.quorum_on
        && resource.fencing == Fencing::ResourceAndStonith
        && resource.disk == Disk::UpToDate
        && resource.peers.iter().any(lost);
    if !by_fencing {
        return Wait(VolumeReason::IoFrozen);
    }
    // Asked by both at once, a machine would be turned off twice.
    if (seen.frozen_for).is_none_or(|frozen| frozen < policy.fence_timeout) {
        return Wait(VolumeReason::HandlerAsks);
    }
    match (seen.fate, policy.can_fence && !seen.fenced_in_vain) {
        // Whatever was known is asked again: DRBD has frozen because the peer was lost once more.
        (PeerFate::Unknown | PeerFate::Outdated | PeerFate::Fenced, true) => {
            Do(VolumeStep::Thaw, VolumeReason::IoFrozen)
        }
        (PeerFate::Unknown | PeerFate::Outdated | PeerFate::Fenced, false)
        | (PeerFate::Alive | PeerFate::Silent, _) => Wait(VolumeReason::IoFrozen),
    }
}

/// Whether a Primary has anything to read from and to write to.
pub fn has_data(resource: &Resource) -> bool {
    let peer_has =
        |peer: &PeerVolume| peer.connection == Connection::Connected && peer.disk == Disk::UpToDate;
    resource.disk == Disk::UpToDate || resource.peers.iter().any(peer_has)
}

/// How well a running member is served.
pub fn serving(resource: &Resource) -> VolumeReason {
    let stand_alone = |peer: &PeerVolume| peer.connection == Connection::StandAlone;
    let complete =
        |peer: &PeerVolume| peer.connection == Connection::Connected && peer.disk == Disk::UpToDate;
    if resource.peers.is_empty() || resource.peers.iter().any(stand_alone) {
        VolumeReason::ServingSplitBrain
    } else if resource.disk != Disk::UpToDate {
        VolumeReason::ServingDiskless
    } else if !resource.peers.iter().any(complete) {
        VolumeReason::ServingAlone
    } else {
        VolumeReason::Serving
    }
}

/// What the kernel's `fence-peer` handler ends with, given what became of the peer: 4 the peer has
/// outdated itself, 5 it is assumed dead, 7 it was turned off, 1 nothing is settled.
///
/// It is asked when a Primary loses its peer, and by `drbdadm primary` on a Secondary. There DRBD takes a
/// 4 or 7 for enough, and nobody else looks between our decision and the promotion: so a Secondary gets
/// one only where a Primary that was lost meanwhile is frozen.
pub fn handler_exit_code(resource: &Resource, fate: PeerFate, has_fence_command: bool) -> u8 {
    let primary = match resource.role {
        Role::Primary => true,
        Role::Secondary | Role::Unknown => false,
    };
    let proves = primary || may_ask_of_the_peer(resource);
    match fate {
        PeerFate::Outdated if proves => 4,
        PeerFate::Fenced if proves => 7,
        // Two machines that cannot fence cannot tell a dead peer from a cut cable: whoever writes
        // goes on, and the other one waits for a person.
        PeerFate::Silent if primary && !has_fence_command => 5,
        PeerFate::Unknown
        | PeerFate::Outdated
        | PeerFate::Fenced
        | PeerFate::Alive
        | PeerFate::Silent => 1,
    }
}

/// Whether what becomes of the peer can prove anything for this Secondary: it has all that was
/// acknowledged up to the loss, and nothing was acknowledged after it.
///
/// DRBD 8.4.11 promotes a Consistent disk when its handler says 7, and calls it UpToDate then: what the
/// turned off peer had written alone is gone.
pub fn may_ask_of_the_peer(resource: &Resource) -> bool {
    let frozen = match resource.fencing {
        Fencing::ResourceAndStonith => true,
        Fencing::ResourceOnly | Fencing::DontCare => false,
    };
    frozen && resource.disk == Disk::UpToDate
}

/// What a rover answers when the other one asks it to outdate the disk here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Outdates it.
    Grant,
    /// Says that it is Primary: it works, and nobody turns it off.
    Primary,
    /// Says no for now, and is left alone.
    NotNow(&'static str),
    /// Cannot. Where there is a fence command, the other one turns this machine off.
    Cannot,
}

/// What a rover knows that its look does not show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The peer is settled already, and we are about to be promoted.
    pub promoting: bool,
    /// We have thawed our writes since the peer was lost. DRBD records that of the peer's disk only where its
    /// own handler has said yes.
    pub ahead: bool,
}

/// Whether the other machine may go on without us, though its own record says so already: it asks before it
/// is promoted, where it can. A yes does nothing.
pub fn asked_to_be_left_out(volume: &VolumeState, standing: Standing) -> Reply {
    let why = "this disk may hold what the other one lacks";
    asked(volume, standing, |resource| !is_ahead(resource), why)
}

/// What a rover answers when it is asked to outdate its disk. What only this disk holds would be lost with
/// it: never a reason to be turned off.
pub fn asked_to_outdate(volume: &VolumeState, standing: Standing) -> Reply {
    let why = "this disk is still connected, or may hold what the other one lacks";
    asked(volume, standing, may_outdate_itself, why)
}

fn asked(
    volume: &VolumeState,
    standing: Standing,
    may: impl Fn(&Resource) -> bool,
    why: &'static str,
) -> Reply {
    let resource = match volume {
        VolumeState::Up(resource) => resource,
        VolumeState::Down | VolumeState::Unusable(_) => return Reply::Cannot,
    };
    match resource.role {
        Role::Primary => Reply::Primary,
        Role::Secondary | Role::Unknown if standing.promoting => {
            Reply::NotNow("it is about to be promoted here")
        }
        Role::Secondary | Role::Unknown if standing.ahead || !may(resource) => Reply::NotNow(why),
        Role::Secondary | Role::Unknown => Reply::Grant,
    }
}

/// Whether this machine may record its own disk as outdated because the peer asks it to, over the
/// second network. The peer takes a yes for the proof that nothing was written here without it.
///
/// DRBD itself would outdate any Secondary: also one that went on alone for a while, holds what it
/// acknowledged then, and demoted itself since. After a yes the answer is our disk, read again: only
/// `Outdated` is one.
pub fn may_outdate_itself(resource: &Resource) -> bool {
    let secondary = match resource.role {
        Role::Secondary => true,
        Role::Primary | Role::Unknown => false,
    };
    // While connected DRBD 8.4 turns Outdated back into UpToDate at once, and reports success.
    let connected =
        |peer: &PeerVolume| peer.connection == Connection::Connected && peer.disk != Disk::Diskless;
    secondary && knows(resource) && !resource.peers.iter().any(connected) && !is_ahead(resource)
}

/// Half a resync says so by itself; without a disk there is nothing to record it on.
fn knows(resource: &Resource) -> bool {
    match resource.disk {
        Disk::Outdated | Disk::Consistent | Disk::UpToDate => true,
        Disk::Inconsistent | Disk::Diskless | Disk::Changing | Disk::Unknown => false,
    }
}

/// Whether DRBD's metadata says that the other side lacks what is here: whoever went on alone was frozen
/// until DRBD had recorded that.
fn is_ahead(resource: &Resource) -> bool {
    let lacks = |peer: &PeerVolume| match peer.disk {
        Disk::Outdated | Disk::Inconsistent => true,
        Disk::Diskless | Disk::Changing | Disk::Unknown | Disk::Consistent | Disk::UpToDate => {
            false
        }
    };
    knows(resource) && resource.peers.iter().any(lacks)
}
