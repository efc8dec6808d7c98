//! DRBD 9: what is decided where it says quorum, `may_promote` and what is suspended. No ordinary kernel
//! has it, so these states are in the form in which drbd-utils prints them (`print_resource_changes` and
//! its kind in `user/v9/drbdsetup.c`): two nodes with a disk and a third one that only votes.

use std::time::Duration;

use etcd_rejoin_rover::table::{
    Child, Mounted, Resource, Role, VolumeDecision, VolumePolicy, VolumeSeen, VolumeState,
    decide_volume,
};

use crate::stand_in::nine;

const POLICY: VolumePolicy = VolumePolicy {
    can_fence: false,
    can_ask: false,
    fence_timeout: Duration::from_secs(8),
    demote_timeout: Duration::from_secs(20),
    self_fence: false,
};

fn seen(state: &str) -> Resource {
    match nine(state).drbd().look() {
        VolumeState::Up(resource) => resource,
        other => panic!("{state}: {other:?}"),
    }
}

/// With the gate open; a Primary is ours and serves.
fn decided(resource: Resource) -> String {
    let serves = resource.role == Role::Primary;
    let frozen = resource.suspended.then_some(Duration::from_secs(60));
    let seen = VolumeSeen {
        mounted: if serves { Mounted::Yes } else { Mounted::No },
        child: if serves { Child::Running } else { Child::None },
        promoted: serves,
        met_peer: true,
        frozen_for: frozen,
        ..VolumeSeen::by_a_stranger(VolumeState::Up(resource))
    };
    let decision = decide_volume(&POLICY, &seen);
    match decision {
        VolumeDecision::Do(step, reason) => format!("do {} ({reason})", step.name()),
        other => format!("{} ({})", other.name(), other.reason()),
    }
}

#[test]
fn quorum_and_may_promote_decide_who_is_promoted() {
    for (state, wanted) in [
        ("three-nodes", "do promote (quorate)"),
        ("beside-a-primary", "wait (peer-primary)"),
        // 26 ms long: then it may be promoted.
        ("primary-just-lost", "wait (disk-consistent)"),
        ("primary-lost", "do promote (quorate)"),
        ("may-not-promote", "wait (may-not-promote)"),
        ("no-quorum", "wait (no-quorum)"),
        ("isolated", "wait (disk-consistent)"),
        ("forced-secondary", "wait (io-failing)"),
        ("primary-isolated", "do stop-child (quorum-lost)"),
        ("primary-frozen", "wait (io-frozen)"),
    ] {
        assert_eq!(decided(seen(state)), wanted, "{state}");
    }
}

/// A third node without a disk is no copy of the data: alone with it, quorum is what counts.
#[test]
fn each_peer_is_told_apart() {
    let seen = seen("primary-lost");
    let words: Vec<String> = (seen.peers.iter())
        .map(|peer| format!("{} {:?} {:?}", peer.name, peer.connection, peer.disk))
        .collect();
    assert_eq!(
        words,
        ["node2 Connecting Outdated", "node3 Connected Diskless"]
    );
}
