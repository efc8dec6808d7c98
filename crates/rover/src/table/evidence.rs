//! What proves that no acknowledged write is missing here. Silence, a successful `drbdadm primary` and
//! a disk that calls itself UpToDate prove nothing.

use std::time::Duration;

use super::step::VolumeDecision::{Do, Refuse, Wait};
use super::{
    Connection, Disk, Fencing, PeerVolume, Replication, Resource, Role, VolumeDecision,
    VolumePolicy, VolumeReason, VolumeSeen, VolumeState, VolumeStep,
};

/// So soon after a refusal nothing is tried again.
const PAUSE: Duration = Duration::from_secs(2);

/// The gate is open and nothing is held: promote, or why not.
pub fn promotion(seen: &VolumeSeen, resource: &Resource) -> VolumeDecision {
    // Nobody may accept these: two writers, half a resync, no data.
    if let Some(reason) = impossible(resource) {
        return Wait(reason);
    }
    let decision = evidence(seen, resource);
    match decision {
        _ if !seen.accept_loss => decision,
        // Whoever was refused without the word is not refused with it.
        Do(VolumeStep::Promote, VolumeReason::PeerLost | VolumeReason::PeerRecordedOutdated)
            if seen.refused.is_some() =>
        {
            Do(VolumeStep::ForcePromote, VolumeReason::LossAccepted)
        }
        Wait(reason) | Refuse(reason) if acceptable(reason) => match is_refused(seen) {
            true => Wait(VolumeReason::PromotionRefused),
            false => Do(VolumeStep::ForcePromote, VolumeReason::LossAccepted),
        },
        _ => decision,
    }
}

/// Whether an operator may accept what may be lost. The rest passes by itself, or is nobody's to accept.
fn acceptable(reason: VolumeReason) -> bool {
    matches!(
        reason,
        VolumeReason::DiskOutdated
            | VolumeReason::SplitBrain
            | VolumeReason::UnsafeConfig
            | VolumeReason::NoQuorum
            | VolumeReason::PeerNotMet
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
pub fn word(seen: &VolumeSeen, resource: &Resource) -> Word {
    if resource.role == Role::Primary {
        return Word::Primary;
    }
    if is_half_up(resource) {
        return Word::Useless(VolumeReason::VolumeDown);
    }
    if let Some(reason) = impossible(resource) {
        return Word::Useless(reason);
    }
    match evidence(seen, resource) {
        // Where the kernel's handler says no, the word counts.
        Do(_, reason @ VolumeReason::PeerLost) => Word::Forces(reason),
        Do(_, reason) => Word::NotNeeded(reason),
        Wait(reason) | Refuse(reason) if acceptable(reason) => Word::Forces(reason),
        decision => Word::Useless(decision.reason()),
    }
}

/// Whether the resource is there without its disk and without a connection, as a `drbdadm adjust` leaves it
/// that failed or was killed half way (`tests/fixtures/drbd/8.4/half-up.events2`): the next one goes on.
pub fn is_half_up(resource: &Resource) -> bool {
    let alone = |peer: &PeerVolume| peer.connection == Connection::StandAlone;
    resource.role == Role::Secondary
        && resource.disk == Disk::Diskless
        && resource.peers.iter().all(alone)
}

/// What no operator can accept either.
fn impossible(resource: &Resource) -> Option<VolumeReason> {
    for peer in &resource.peers {
        if peer.role == Role::Primary {
            return Some(VolumeReason::PeerPrimary);
        }
        // DRBD promotes a SyncTarget (rc 0), and what it has not received yet is gone with the source.
        if peer.replication == Replication::SyncTarget {
            return Some(VolumeReason::SyncTarget);
        }
    }
    if resource.failing {
        return Some(VolumeReason::IoFailing);
    }
    match resource.disk {
        Disk::Diskless => Some(VolumeReason::Diskless),
        Disk::Changing | Disk::Unknown => Some(VolumeReason::InTransition),
        Disk::Inconsistent => Some(VolumeReason::SyncTarget),
        Disk::Outdated | Disk::Consistent | Disk::UpToDate => None,
    }
}

/// Whether DRBD is set up in one of the two ways in which a stale disk is told from the newest one: with a
/// quorum, or with one peer beside whose loss a Primary freezes.
pub fn is_supported(resource: &Resource) -> bool {
    match resource.quorum_on {
        // Frozen by fencing it would wait for a handler that settles nothing about several peers.
        true => resource.fencing == Fencing::DontCare,
        // The handler's answer about one of several peers would count for all.
        false => resource.fencing == Fencing::ResourceAndStonith && resource.peers.len() <= 1,
    }
}

/// Whether all that decides about the set-up can be seen: DRBD 8.4 shows `fencing` with an attached disk only, 9
/// with a peer.
pub fn shows_set_up(resource: &Resource) -> bool {
    let attached = match resource.disk {
        Disk::UpToDate | Disk::Outdated | Disk::Consistent | Disk::Inconsistent => true,
        Disk::Diskless | Disk::Changing | Disk::Unknown => false,
    };
    let alone = |peer: &PeerVolume| peer.connection == Connection::StandAlone;
    attached && !resource.peers.is_empty() && !resource.peers.iter().any(alone)
}

/// Why a rover must not begin on this set-up: `None` where it may, or where too little can be seen.
pub fn unsafe_set_up(resource: &Resource) -> Option<&'static str> {
    if !shows_set_up(resource) {
        return None;
    }
    if resource.quorum_on && resource.fencing != Fencing::DontCare {
        return Some("`quorum` together with `fencing` freezes for ever: remove `fencing`");
    }
    if resource.quorum_on && resource.peers.len() < 2 {
        return Some("of two machines a quorum needs both: add a third one");
    }
    (!is_supported(resource)).then_some("writes can be lost")
}

/// The peers that may hold data.
fn with_data(resource: &Resource) -> impl Iterator<Item = &PeerVolume> {
    resource.peers.iter().filter(|peer| !peer.witness)
}

/// Whether a connection was given up: nothing connects by itself any more. DRBD 8.4 shows no peer at all then.
fn is_apart(resource: &Resource) -> bool {
    let mut peers = with_data(resource);
    resource.peers.is_empty() || peers.any(|peer| peer.connection == Connection::StandAlone)
}

/// Primary and frozen, and the other side was promoted meanwhile.
pub fn is_frozen_apart(seen: &VolumeSeen) -> bool {
    match &seen.volume {
        VolumeState::Up(resource) => {
            resource.role == Role::Primary
                && resource.suspended
                && !resource.quorum_on
                && is_apart(resource)
        }
        VolumeState::Down | VolumeState::Unusable(_) => false,
    }
}

fn evidence(seen: &VolumeSeen, resource: &Resource) -> VolumeDecision {
    match resource.disk {
        Disk::UpToDate => {}
        Disk::Outdated | Disk::Consistent => return Wait(VolumeReason::DiskOutdated),
        Disk::Diskless | Disk::Changing | Disk::Inconsistent | Disk::Unknown => {
            return Wait(VolumeReason::InTransition);
        }
    }
    if is_apart(resource) {
        return Refuse(VolumeReason::SplitBrain);
    }
    if !is_supported(resource) || !(resource.quorum_on || seen.handler_ours) {
        return Refuse(VolumeReason::UnsafeConfig);
    }
    let unclear = |peer: &PeerVolume| {
        let disk = matches!(peer.disk, Disk::Changing | Disk::Unknown);
        peer.connection == Connection::Connected && (peer.role == Role::Unknown || disk)
    };
    if resource.quorum_on && !resource.quorum {
        return Wait(VolumeReason::NoQuorum);
    }
    if with_data(resource).any(unclear) {
        return Wait(VolumeReason::InTransition);
    }
    // Our disk is UpToDate, no Primary is seen, and the others are outvoted. `may_promote` is what drbdsetup
    // makes of the same (drbd-utils 9.22), and says yes to a SyncTarget: no evidence.
    if resource.quorum_on {
        return Do(VolumeStep::Promote, VolumeReason::Quorate);
    }
    let lost = |peer: &&PeerVolume| peer.connection != Connection::Connected;
    match resource.peers.iter().find(lost) {
        Some(peer) => disconnected(seen, peer),
        None => match resource
            .peers
            .iter()
            .any(|peer| peer.disk != Disk::Diskless)
            || seen.met_peer
        {
            true => Do(VolumeStep::Promote, VolumeReason::PeerSecondary),
            // It came without a disk: it has compared nothing with ours, and DRBD 8.4 calls even an outdated disk
            // UpToDate beside it.
            false => Wait(VolumeReason::PeerNotMet),
        },
    }
}

/// The peer is lost. What DRBD has recorded of it decides; else the kernel's handler does.
fn disconnected(seen: &VolumeSeen, peer: &PeerVolume) -> VolumeDecision {
    if is_refused(seen) {
        return Wait(VolumeReason::PromotionRefused);
    }
    // DRBD keeps both in its metadata; neither disk can be promoted before it has met us.
    if matches!(peer.disk, Disk::Outdated | Disk::Inconsistent) {
        return Do(VolumeStep::Promote, VolumeReason::PeerRecordedOutdated);
    }
    // A disk that was never told that it is stale calls itself UpToDate.
    match seen.met_peer {
        false => Wait(VolumeReason::PeerNotMet),
        // `primary` asks the handler, and without its yes it is refused (8.4.11 and 9.2.18: -7).
        true => Do(VolumeStep::Promote, VolumeReason::PeerLost),
    }
}

fn is_refused(seen: &VolumeSeen) -> bool {
    (seen.refused.as_ref()).is_some_and(|(ago, _)| *ago < PAUSE)
}

/// Whether a peer is lost, and DRBD has recorded here that its disk lacks writes: `primary` asks no handler then.
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

/// Primary, frozen. The kernel's handler was asked when the peer was lost; where it failed, the same
/// questions can be asked again, and nothing else thaws it but the peer's return.
pub fn frozen(policy: &VolumePolicy, seen: &VolumeSeen, resource: &Resource) -> VolumeDecision {
    // Asked by both at once, a machine would be turned off twice.
    if (seen.frozen_for).is_none_or(|frozen| frozen < policy.fence_timeout) || resource.quorum_on {
        return Wait(VolumeReason::IoFrozen);
    }
    // The other side was promoted meanwhile: what hangs here is in no history any more, and `resume-io` would
    // begin one of its own.
    if is_apart(resource) {
        return match policy.self_fence {
            true => Do(VolumeStep::SelfFence, VolumeReason::FrozenApart),
            false => Wait(VolumeReason::FrozenApart),
        };
    }
    // Frozen for want of data, or by hand: not ours to thaw.
    let lost = |peer: &PeerVolume| peer.connection == Connection::Connecting;
    let by_fencing = is_supported(resource)
        && resource.disk == Disk::UpToDate
        && resource.peers.iter().any(lost);
    match by_fencing && !is_refused(seen) {
        true => Do(VolumeStep::Thaw, VolumeReason::IoFrozen),
        false => Wait(VolumeReason::IoFrozen),
    }
}

/// Whether a Primary has anything to read from and to write to.
pub fn has_data(resource: &Resource) -> bool {
    resource.disk == Disk::UpToDate || resource.peers.iter().any(is_complete)
}

fn is_complete(peer: &PeerVolume) -> bool {
    peer.connection == Connection::Connected && peer.disk == Disk::UpToDate
}

/// How well a running member is served.
pub fn serving(resource: &Resource) -> VolumeReason {
    if is_apart(resource) {
        VolumeReason::ServingSplitBrain
    } else if resource.disk != Disk::UpToDate || !resource.peers.iter().any(is_complete) {
        VolumeReason::ServingAlone
    } else {
        VolumeReason::Serving
    }
}

/// Whether what becomes of the peer can prove anything for this Secondary: it has all that was
/// acknowledged up to the loss, and nothing was acknowledged after it.
///
/// DRBD promotes a Consistent disk when its handler says 7, and calls it UpToDate then (8.4.11 and 9.2.18):
/// what the turned off peer had written alone is gone.
pub fn proves(resource: &Resource) -> bool {
    is_supported(resource) && !resource.quorum_on && resource.disk == Disk::UpToDate
}

/// What a rover answers when the other one asks it to outdate the disk here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Outdates it.
    Grant,
    /// Says that it is Primary: it works, and nobody turns it off.
    Primary,
    /// Says no for now, and is left alone: what only this disk holds would be lost with it.
    NotNow,
    /// Cannot. Where there is a fence command, the other one turns this machine off.
    Cannot,
}

/// What a rover answers when it is asked to outdate its disk. `ahead`: we have thawed our writes since the peer
/// was lost; DRBD records that of the peer's disk only where its own handler has said yes.
pub fn asked_to_outdate(volume: &VolumeState, ahead: bool) -> Reply {
    match volume {
        VolumeState::Up(resource) => match resource.role {
            Role::Primary => Reply::Primary,
            Role::Secondary | Role::Unknown if resource.disk == Disk::Diskless => Reply::Cannot,
            Role::Secondary if !ahead && may_outdate_itself(resource) => Reply::Grant,
            Role::Secondary | Role::Unknown => Reply::NotNow,
        },
        VolumeState::Down | VolumeState::Unusable(_) => Reply::Cannot,
    }
}

/// Whether this machine may record its own disk as outdated because the peer asks it to, over the
/// second network. The peer takes a yes for the proof that nothing was written here without it.
///
/// DRBD itself would outdate any Secondary: also one that went on alone for a while, holds what it
/// acknowledged then, and demoted itself since. After a yes the answer is our disk, read again: only
/// `Outdated` is one.
pub fn may_outdate_itself(resource: &Resource) -> bool {
    // Half a resync is less than outdated; without a disk there is nothing to record it on.
    let knows = matches!(
        resource.disk,
        Disk::Inconsistent | Disk::Outdated | Disk::Consistent | Disk::UpToDate
    );
    // While connected DRBD 8.4 turns Outdated back into UpToDate at once, and reports success. And whoever went
    // on alone was frozen until DRBD had recorded that the other side lacks what is here.
    let against = |peer: &PeerVolume| match peer.connection {
        Connection::Connected if peer.disk != Disk::Diskless => true,
        _ => matches!(peer.disk, Disk::Outdated | Disk::Inconsistent),
    };
    resource.role == Role::Secondary && knows && !resource.peers.iter().any(against)
}
