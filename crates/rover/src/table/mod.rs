//! The two-node volume: who may promote it, and in which order it is taken and given back. Pure: no
//! clock, disk, network or environment, one step at a time.
//!
//! The heart is the evidence. A disk calls itself UpToDate as long as nobody has told it otherwise, and
//! `drbdadm primary` then succeeds, so neither is evidence. What is: a connected peer that has its disk
//! and does not write; DRBD's own record that the peer lacks writes; quorum; or a peer that was met and froze
//! when it was lost, of which the kernel's handler settles what became. Letting go comes before taking, and is never
//! left half way because the gate opens again in between: it goes on upwards from where it is.

mod bid;
mod evidence;
mod memory;
mod reason;
mod set_up;
mod settle;
mod state;
mod step;

pub use bid::may_bid;
pub use evidence::{
    Reply, Word, asked_to_outdate, is_recorded_outdated, is_supported, may_outdate_itself, proves,
    shows_set_up, unsafe_set_up, word,
};
pub use memory::Remembered;
pub use reason::{VolumeReason, VolumeRow, volume_cures_table, volume_table};
pub use set_up::{OnDisk, SetUp, SetUpSeen, SetUpStep, SoFar, set_up};
pub use settle::{
    HandlerDecision, MARGIN, OutdateAnswer, Settle, Settled, Settling, decide_handler, settle,
    time_to_ask,
};
pub use state::*;
pub use step::{VolumeDecision, VolumeStep};

use std::time::Duration;

use VolumeDecision::{Do, End, Refuse, Serve, Wait};

/// Decides about the volume. The order: what must be let go, then what is missing on the way up.
pub fn decide_volume(policy: &VolumePolicy, seen: &VolumeSeen) -> VolumeDecision {
    if seen.under_way.is_some() {
        return under_way(policy, seen);
    }
    let Some(reason) = unwanted(seen) else {
        return climb(policy, seen);
    };
    match held(seen) {
        true => release(policy, seen, reason),
        false => released(seen, reason),
    }
}

/// Why something that is held must be let go, if it must. The rover measures from here how long it has
/// taken (`demoting_for`).
pub fn letting_go(seen: &VolumeSeen) -> Option<VolumeReason> {
    let stopping = (seen.child == Child::Stopping).then_some(VolumeReason::ChildStopping);
    unwanted(seen).filter(|_| held(seen)).or(stopping)
}

/// Whether the end of the member needs nothing any more: everything is let go. It is forgotten then, after a
/// moment, and another one may be started.
pub fn child_is_settled(seen: &VolumeSeen) -> bool {
    matches!(seen.child, Child::Ended(_)) && !seen.ending && letting_go(seen).is_none()
}

/// Whether anything here stands in the way of the other machine, or would be left behind by an end.
pub fn held(seen: &VolumeSeen) -> bool {
    let child = match seen.child {
        Child::Running | Child::Stopping => true,
        Child::None | Child::Ended(_) => false,
    };
    let mounted = match seen.mounted {
        Mounted::Yes | Mounted::ReadOnly => true,
        // Not ours to unmount; it is held where it keeps us Primary.
        Mounted::No | Mounted::SomethingElse(_) | Mounted::Elsewhere(_) => false,
    };
    child || mounted || primary(seen) || seen.unsettled || seen.under_way.is_some()
}

/// What DRBD's tools do not say now is still what this rover has made of it.
fn primary(seen: &VolumeSeen) -> bool {
    match &seen.volume {
        VolumeState::Up(resource) => match resource.role {
            Role::Primary => true,
            Role::Secondary | Role::Unknown => false,
        },
        VolumeState::Unusable(_) => seen.promoted,
        VolumeState::Down => false,
    }
}

/// A step has not come back from the kernel. A second mount, a member on it or a demotion below it would
/// race with it; the deadline holds all the same.
fn under_way(policy: &VolumePolicy, seen: &VolumeSeen) -> VolumeDecision {
    match (overdue(policy, seen), in_the_way(seen) && policy.self_fence) {
        (true, true) => Do(VolumeStep::SelfFence, VolumeReason::DemotionOverdue),
        (true, false) => Wait(kept(seen, VolumeReason::DemotionOverdue)),
        (false, _) => Wait(kept(seen, VolumeReason::StepUnderWay)),
    }
}

/// The reason that is said: what hangs since the other side was promoted can be let go by a reboot only.
fn kept(seen: &VolumeSeen, reason: VolumeReason) -> VolumeReason {
    let by_wish = matches!(
        reason,
        VolumeReason::GateBackup
            | VolumeReason::GateFault
            | VolumeReason::GateUnknown
            | VolumeReason::DemotionOverdue
            | VolumeReason::StepUnderWay
    );
    match by_wish && evidence::is_frozen_apart(seen) {
        true => VolumeReason::FrozenApart,
        false => reason,
    }
}

fn overdue(policy: &VolumePolicy, seen: &VolumeSeen) -> bool {
    (seen.demoting_for).is_some_and(|under_way| under_way >= policy.demote_timeout)
}

/// A Secondary stands in nobody's way, whatever else is stuck.
fn in_the_way(seen: &VolumeSeen) -> bool {
    primary(seen) || !matches!(seen.volume, VolumeState::Up(_))
}

/// Why the volume must not be held here, the wish first, then what is wrong with it.
fn unwanted(seen: &VolumeSeen) -> Option<VolumeReason> {
    if seen.ending {
        return Some(VolumeReason::Ending);
    }
    match seen.gate {
        Gate::Master => {}
        Gate::Backup => return Some(VolumeReason::GateBackup),
        Gate::Fault => return Some(VolumeReason::GateFault),
        Gate::Stop | Gate::Unknown => return Some(VolumeReason::GateUnknown),
    }
    match seen.child {
        Child::Ended(_) => {
            return Some(match &seen.volume {
                VolumeState::Up(resource) if fails_here(seen, resource) => VolumeReason::FailsHere,
                VolumeState::Up(_) | VolumeState::Down | VolumeState::Unusable(_) => {
                    VolumeReason::ChildEnded
                }
            });
        }
        Child::None | Child::Running | Child::Stopping => {}
    }
    unsound(seen)
}

/// What makes it useless or dangerous to hold the volume, with the gate open.
fn unsound(seen: &VolumeSeen) -> Option<VolumeReason> {
    let running = matches!(seen.child, Child::Running | Child::Stopping);
    match &seen.mounted {
        Mounted::ReadOnly => return Some(VolumeReason::IoFailing),
        // etcd opens its next WAL by path: it would write to whatever lies there.
        Mounted::SomethingElse(_) => return Some(VolumeReason::MountPointTaken),
        Mounted::Elsewhere(_) => return Some(VolumeReason::MountedElsewhere),
        Mounted::No if running => return Some(VolumeReason::VolumeLost),
        Mounted::No | Mounted::Yes => {}
    }
    let mounted = seen.mounted == Mounted::Yes;
    let resource = match &seen.volume {
        // A tool that fails for once is no reason to stop what runs.
        VolumeState::Unusable(_) => return None,
        VolumeState::Down if mounted || running => return Some(VolumeReason::VolumeLost),
        VolumeState::Down => return None,
        VolumeState::Up(resource) => resource,
    };
    match resource.role {
        Role::Primary => {}
        Role::Secondary | Role::Unknown if mounted || running => {
            return Some(VolumeReason::VolumeLost);
        }
        Role::Secondary | Role::Unknown => return useless(seen, resource),
    }
    if !seen.promoted && !running {
        return Some(VolumeReason::FoundHeld);
    }
    if !mounted
        && !running
        && let Some(reason) = useless(seen, resource)
    {
        return Some(reason);
    }
    if resource.failing {
        return Some(VolumeReason::IoFailing);
    }
    // `primary` succeeds on a SyncTarget, also where it has become one since we looked.
    let whole = resource.disk == Disk::UpToDate;
    let idle = !running && !mounted;
    if !whole && idle && (resource.suspended || evidence::has_data(resource)) {
        return Some(VolumeReason::NotWhole);
    }
    // Frozen is not failing: it may go on, and nothing could be unmounted now.
    if resource.suspended {
        return None;
    }
    if resource.quorum_on && !resource.quorum {
        return Some(VolumeReason::QuorumLost);
    }
    if !evidence::has_data(resource) {
        return Some(VolumeReason::IoFailing);
    }
    (!running && !whole).then_some(VolumeReason::NotWhole)
}

/// For so long after it has failed here a volume is left to a peer that can serve it, and for as long as that
/// one does.
const TRY_AGAIN: Duration = Duration::from_secs(300);

/// Why no member could be started on the volume here, were it promoted.
fn useless(seen: &VolumeSeen, resource: &Resource) -> Option<VolumeReason> {
    if seen.checked == Checked::Broken {
        return Some(VolumeReason::FileSystemBroken);
    }
    fails_here(seen, resource).then_some(VolumeReason::FailsHere)
}

/// Whether it was tried here for long enough, and the peer can serve it.
fn fails_here(seen: &VolumeSeen, resource: &Resource) -> bool {
    let able = |peer: &PeerVolume| {
        peer.connection == Connection::Connected
            && peer.disk == Disk::UpToDate
            && (peer.role == Role::Primary || seen.failed_here.is_some_and(|ago| ago < TRY_AGAIN))
    };
    seen.failed_here.is_some() && resource.peers.iter().any(able)
}

/// How long etcd may take to end once keepalived has taken its address away.
///
/// Measured on one machine: 3.4.23 ends within 0.1 s, 3.5.16 and 3.5.30 within 1.1 s. Without its address
/// a leader of 3.4 took 1.2 s, any member of 3.5.30 6 s, and one of 3.4 in a virtual machine had not ended
/// after 10 s: it waits for peers that cannot reach it. Clients wait meanwhile, for nothing: all that it
/// has acknowledged is in its WAL.
const WITHOUT_ADDRESS: Duration = Duration::from_secs(2);

/// How long the member may take to end, told to for this reason. The rest is for unmounting and demoting.
fn patience(policy: &VolumePolicy, seen: &VolumeSeen, reason: VolumeReason) -> Duration {
    let half = policy.demote_timeout / 2;
    match reason {
        VolumeReason::GateBackup | VolumeReason::GateFault => half.min(WITHOUT_ADDRESS),
        VolumeReason::GateUnknown if seen.gate == Gate::Stop => half.min(WITHOUT_ADDRESS),
        _ => half,
    }
}

/// The next step of letting go: the member, the mount, the role.
fn release(policy: &VolumePolicy, seen: &VolumeSeen, reason: VolumeReason) -> VolumeDecision {
    let under_way = seen.demoting_for.unwrap_or_default();
    let overdue = overdue(policy, seen);
    if overdue && in_the_way(seen) && policy.self_fence {
        return Do(VolumeStep::SelfFence, VolumeReason::DemotionOverdue);
    }
    let go_on = |step| match overdue {
        true => Do(step, kept(seen, VolumeReason::DemotionOverdue)),
        false => Do(step, kept(seen, reason)),
    };
    match seen.child {
        Child::Running => return go_on(VolumeStep::StopChild),
        Child::Stopping if under_way >= patience(policy, seen, reason) => {
            return go_on(VolumeStep::KillChild);
        }
        Child::Stopping => return Wait(kept(seen, reason)),
        Child::None | Child::Ended(_) => {}
    }
    match seen.mounted {
        Mounted::Yes | Mounted::ReadOnly => return go_on(VolumeStep::Unmount),
        Mounted::Elsewhere(_) => return Refuse(VolumeReason::MountedElsewhere),
        Mounted::No | Mounted::SomethingElse(_) => {}
    }
    go_on(VolumeStep::Demote)
}

/// How long the other machine has to be promoted after we were asked to end. keepalived's check fails for
/// two seconds before the address moves (`two-node config`), and its promotion takes about one.
const HAND_OVER: Duration = Duration::from_secs(5);

/// Whether the other machine is about to take over. What follows our end may be the end of DRBD here. To a
/// Secondary its peer is then lost, and cannot be told from a dead one (`drbdadm down`, 8.4.11: pdsk UpToDate
/// becomes DUnknown): where there is a fence command it is turned off in the middle of its shutdown. To a
/// Primary it is Outdated.
fn handing_over(seen: &VolumeSeen) -> bool {
    let VolumeState::Up(resource) = &seen.volume else {
        return false;
    };
    let takes_over = |peer: &PeerVolume| {
        (peer.connection, peer.role, peer.disk)
            == (Connection::Connected, Role::Secondary, Disk::UpToDate)
    };
    (seen.demoted_for).is_some_and(|ago| ago < HAND_OVER) && resource.peers.iter().any(takes_over)
}

/// Nothing is held: what remains of the reason to let go.
fn released(seen: &VolumeSeen, reason: VolumeReason) -> VolumeDecision {
    match reason {
        VolumeReason::Ending if handing_over(seen) => return Wait(VolumeReason::HandingOver),
        VolumeReason::Ending => return End(reason),
        VolumeReason::MountPointTaken
        | VolumeReason::MountedElsewhere
        | VolumeReason::FileSystemBroken => return Refuse(reason),
        _ => {}
    }
    match &seen.volume {
        VolumeState::Unusable(_) => Refuse(VolumeReason::Unusable),
        // On the standby too: it has to receive what the other machine writes.
        VolumeState::Down => Do(VolumeStep::BringUp, VolumeReason::VolumeDown),
        VolumeState::Up(resource) if evidence::is_half_up(resource) => {
            Do(VolumeStep::BringUp, VolumeReason::VolumeDown)
        }
        VolumeState::Up(_) => Wait(reason),
    }
}

/// The next step towards a member that runs.
fn climb(policy: &VolumePolicy, seen: &VolumeSeen) -> VolumeDecision {
    // A stop that was begun is ended: a member that is told to end and to go on does neither.
    if seen.child == Child::Stopping {
        let under_way = seen.demoting_for.unwrap_or_default();
        return match under_way >= patience(policy, seen, VolumeReason::ChildStopping) {
            true => Do(VolumeStep::KillChild, VolumeReason::ChildStopping),
            false => Wait(VolumeReason::ChildStopping),
        };
    }
    let resource = match &seen.volume {
        VolumeState::Unusable(_) if seen.child == Child::Running => {
            return Wait(VolumeReason::Unusable);
        }
        VolumeState::Unusable(_) => return Refuse(VolumeReason::Unusable),
        VolumeState::Down => return Do(VolumeStep::BringUp, VolumeReason::VolumeDown),
        VolumeState::Up(resource) => resource,
    };
    if evidence::is_half_up(resource) {
        return Do(VolumeStep::BringUp, VolumeReason::VolumeDown);
    }
    match resource.role {
        Role::Secondary | Role::Unknown => return evidence::promotion(seen, resource),
        Role::Primary => {}
    }
    if resource.suspended {
        return evidence::frozen(policy, seen, resource);
    }
    match (&seen.mounted, seen.child) {
        (Mounted::Yes, Child::Running) => Serve(match evidence::serving(resource) {
            VolumeReason::Serving if seen.keepalived_gone => VolumeReason::ServingUnwatched,
            reason => reason,
        }),
        (Mounted::Yes, _) => Do(VolumeStep::StartChild, VolumeReason::Promoted),
        (_, _) => match seen.checked {
            Checked::No => Do(VolumeStep::CheckFileSystem, VolumeReason::Promoted),
            Checked::Clean => Do(VolumeStep::Mount, VolumeReason::Promoted),
            Checked::Broken => Refuse(VolumeReason::FileSystemBroken),
        },
    }
}
