//! The table with one rule broken each.

use etcd_rejoin_rover::table::{
    Checked, Child, Connection, Disk, Fencing, Gate, HandlerDecision, Mounted, Replication,
    Resource, Role, Settled, VolumeDecision, VolumePolicy, VolumeReason, VolumeSeen, VolumeState,
    VolumeStep, decide_handler, decide_volume,
};

use VolumeDecision::{Do, Refuse, Wait};

fn changed(
    policy: &VolumePolicy,
    seen: &VolumeSeen,
    change: impl FnOnce(&mut VolumeSeen),
) -> VolumeDecision {
    let mut seen = seen.clone();
    change(&mut seen);
    decide_volume(policy, &seen)
}

/// Promotes where the table says one of these.
fn promotes(policy: &VolumePolicy, seen: &VolumeSeen, reasons: &[VolumeReason]) -> VolumeDecision {
    match decide_volume(policy, seen) {
        Wait(reason) | Refuse(reason) if reasons.contains(&reason) => {
            Do(VolumeStep::Promote, reason)
        }
        decision => decision,
    }
}

/// `drbdadm primary` is tried whenever the gate is open: if it returns 0, it must be right.
pub fn primary_rc_0_is_evidence(policy: &VolumePolicy, seen: &VolumeSeen) -> VolumeDecision {
    promotes(
        policy,
        seen,
        &[
            VolumeReason::PeerPrimary,
            VolumeReason::SyncTarget,
            VolumeReason::DiskOutdated,
            VolumeReason::SplitBrain,
            VolumeReason::UnsafeConfig,
            VolumeReason::PeerNotMet,
            VolumeReason::NoQuorum,
        ],
    )
}

/// A peer that was not met since the start counts as met.
pub fn everybody_was_met(policy: &VolumePolicy, seen: &VolumeSeen) -> VolumeDecision {
    changed(policy, seen, |seen| seen.met_peer = true)
}

/// A fenced or outdated peer proves the same, frozen or not.
pub fn resource_only_freezes(policy: &VolumePolicy, seen: &VolumeSeen) -> VolumeDecision {
    changed(policy, seen, |seen| {
        if let VolumeState::Up(resource) = &mut seen.volume
            && resource.fencing == Fencing::ResourceOnly
        {
            resource.fencing = Fencing::ResourceAndStonith;
        }
    })
}

/// Neither fencing nor quorum is asked for.
pub fn any_settings_will_do(policy: &VolumePolicy, seen: &VolumeSeen) -> VolumeDecision {
    changed(policy, seen, |seen| {
        if let VolumeState::Up(resource) = &mut seen.volume
            && resource.fencing == Fencing::DontCare
        {
            resource.fencing = Fencing::ResourceAndStonith;
        }
    })
}

/// The same, and a split brain is a lost peer.
pub fn stand_alone_is_lost(policy: &VolumePolicy, seen: &VolumeSeen) -> VolumeDecision {
    changed(policy, seen, |seen| {
        if let VolumeState::Up(resource) = &mut seen.volume {
            for peer in &mut resource.peers {
                if peer.connection == Connection::StandAlone {
                    peer.connection = Connection::Connecting;
                }
            }
        }
    })
}

/// A running resync is no hindrance: `drbdadm primary` returns 0.
pub fn sync_target_will_do(policy: &VolumePolicy, seen: &VolumeSeen) -> VolumeDecision {
    changed(policy, seen, |seen| {
        if let VolumeState::Up(resource) = &mut seen.volume
            && resource.peers[0].replication == Replication::SyncTarget
        {
            resource.peers[0].replication = Replication::Established;
            resource.disk = Disk::UpToDate;
        }
    })
}

/// A connected peer is enough, with or without a disk.
pub fn any_peer_will_do(policy: &VolumePolicy, seen: &VolumeSeen) -> VolumeDecision {
    promotes(policy, seen, &[VolumeReason::PeerNotMet])
}

/// What was found Primary or mounted at the start is taken over as it is.
pub fn found_is_taken_over(policy: &VolumePolicy, seen: &VolumeSeen) -> VolumeDecision {
    changed(policy, seen, |seen| seen.promoted = true)
}

/// The member starts without a look at the mount.
pub fn starts_unmounted(policy: &VolumePolicy, seen: &VolumeSeen) -> VolumeDecision {
    match decide_volume(policy, seen) {
        Do(VolumeStep::Mount, reason) => Do(VolumeStep::StartChild, reason),
        decision => decision,
    }
}

/// Mounts what it wants to have promoted, and starts the member, without a look at the role.
pub fn mounts_unpromoted(policy: &VolumePolicy, seen: &VolumeSeen) -> VolumeDecision {
    changed(policy, seen, |seen| {
        if let VolumeState::Up(resource) = &mut seen.volume
            && seen.gate == Gate::Master
        {
            resource.role = Role::Primary;
            resource.suspended = false;
            seen.promoted = true;
            // And takes the success of `mount` for granted.
            if seen.checked == Checked::Clean {
                seen.mounted = Mounted::Yes;
            }
        }
    })
}

/// The peer's disk is thought to be outdated whenever it is lost.
pub fn lost_is_outdated(policy: &VolumePolicy, seen: &VolumeSeen) -> VolumeDecision {
    changed(policy, seen, |seen| {
        if let VolumeState::Up(resource) = &mut seen.volume
            && resource.peers[0].connection == Connection::Connecting
        {
            resource.peers[0].disk = Disk::Outdated;
        }
    })
}

/// The wish goes unheard once the member runs.
pub fn backup_is_ignored(policy: &VolumePolicy, seen: &VolumeSeen) -> VolumeDecision {
    changed(policy, seen, |seen| {
        if seen.child == Child::Running {
            seen.gate = Gate::Master;
        }
    })
}

/// A peer that is silent is dead, whoever asks.
pub fn whoever_asks_assumes(
    own: &Resource,
    command: bool,
    settled: Option<&Settled>,
    time_left: bool,
) -> HandlerDecision {
    match (settled, decide_handler(own, command, settled, time_left)) {
        (Some(Settled::Silent(_)), HandlerDecision::End(1)) if !command => HandlerDecision::End(5),
        (_, decision) => decision,
    }
}

/// A Primary goes on beside a silent peer, though that one could turn it off.
pub fn assumes_beside_a_fence_command(
    own: &Resource,
    _: bool,
    settled: Option<&Settled>,
    time_left: bool,
) -> HandlerDecision {
    decide_handler(own, false, settled, time_left)
}

/// The own disk is whole, and the peer was frozen: nobody looks.
fn unchecked(own: &Resource) -> Resource {
    Resource {
        disk: Disk::UpToDate,
        fencing: Fencing::ResourceAndStonith,
        ..own.clone()
    }
}

/// A yes is a yes, whatever our own disk is, and whether the peer was frozen or not.
pub fn every_yes_counts(
    own: &Resource,
    command: bool,
    settled: Option<&Settled>,
    time_left: bool,
) -> HandlerDecision {
    decide_handler(&unchecked(own), command, settled, time_left)
}
