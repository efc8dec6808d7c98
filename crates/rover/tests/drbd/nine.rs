//! DRBD 9: what is decided on what 9.2.18 said, recorded with drbd-utils 9.22: two nodes with a disk and a third
//! one that only votes (`quorum`), or two nodes and our handler (`fencing`).

use std::time::Duration;

use etcd_rejoin_rover::table::{
    Child, Mounted, Resource, Role, VolumeDecision, VolumePolicy, VolumeSeen, VolumeState,
    decide_volume,
};

use crate::stand_in::nine;

const POLICY: VolumePolicy = VolumePolicy {
    fence_timeout: Duration::from_secs(8),
    demote_timeout: Duration::from_secs(20),
    self_fence: false,
};

fn seen(set_up: &str, state: &str) -> Resource {
    match nine(set_up, state).drbd().look() {
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
fn with_a_quorum_it_decides_who_is_promoted() {
    for (state, wanted) in [
        ("three-nodes", "do promote (quorate)"),
        ("beside-a-primary", "wait (peer-primary)"),
        ("primary-lost", "do promote (quorate)"),
        ("no-quorum", "wait (no-quorum)"),
        ("isolated", "wait (io-failing)"),
        ("forced-secondary", "wait (io-failing)"),
        ("primary-isolated", "do stop-child (quorum-lost)"),
        ("primary-frozen", "wait (io-frozen)"),
        ("last-man-standing", "serve (serving-alone)"),
    ] {
        assert_eq!(decided(seen("quorum", state)), wanted, "{state}");
    }
}

#[test]
fn without_one_our_handler_decides() {
    for (state, wanted) in [
        ("connected", "do promote (peer-secondary)"),
        ("two-primary-lost", "do promote (peer-lost)"),
        ("two-primary-frozen-fencing", "do thaw (io-frozen)"),
        ("seq2-attached-consistent", "wait (disk-outdated)"),
        ("seq2-attached-outdated", "wait (disk-outdated)"),
        // `may_promote:yes`, says drbdsetup.
        ("sync-target", "wait (sync-target)"),
        ("standalone", "wait (sync-target)"),
    ] {
        assert_eq!(decided(seen("fencing", state)), wanted, "{state}");
    }
}

/// A third node without a disk is no copy of the data: alone with it, quorum is what counts.
#[test]
fn each_peer_is_told_apart() {
    let seen = seen("quorum", "primary-lost");
    let words: Vec<String> = (seen.peers.iter())
        .map(|peer| format!("{} {:?} {}", peer.name, peer.connection, peer.witness))
        .collect();
    assert_eq!(words, ["node3 Connected true", "node1 Connecting false"]);
    // It keeps its name when it cannot be reached.
    let lost = self::seen("quorum", "no-quorum");
    assert!(
        lost.peers
            .iter()
            .any(|peer| peer.name == "node3" && peer.witness)
    );
}
