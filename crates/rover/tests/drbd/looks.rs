//! A look is what the kernel says, or why it cannot be known.

use etcd_rejoin_rover::table::{Connection, Disk, Fencing, Resource, Role, VolumeState};

use crate::stand_in::{StandIn, recorded};

fn up(volume: VolumeState) -> Resource {
    match volume {
        VolumeState::Up(resource) => resource,
        other => panic!("{other:?}"),
    }
}

#[test]
fn state_and_settings_come_together() {
    let stand_in = StandIn::new();
    let seen = up(stand_in.drbd().look());
    assert_eq!((seen.role, seen.disk), (Role::Secondary, Disk::UpToDate));
    assert_eq!(seen.fencing, Fencing::ResourceAndStonith);
    assert!(!seen.quorum_on && seen.quorum);
    assert_eq!(seen.peers.len(), 1);
    assert_eq!(seen.peers[0].role, Role::Secondary);
}

#[test]
fn drbd_9_tells_quorum() {
    let stand_in = StandIn::new();
    stand_in.put("state", &recorded("9/connected.events2"));
    stand_in.put("show", &recorded("9/quorum.show"));
    let seen = up(stand_in.drbd().look());
    assert!(seen.quorum_on && seen.quorum);
    let none = recorded("9/connected.events2").replace(" quorum:yes", "");
    stand_in.put("state", &none);
    assert!(!up(stand_in.drbd().look()).quorum);
}

#[test]
fn a_peer_that_is_recorded_as_outdated_is_seen_while_it_is_away() {
    let stand_in = StandIn::new();
    stand_in.put("state", &recorded("8.4/standalone-outdated-peer.events2"));
    let seen = up(stand_in.drbd().look());
    assert_eq!(seen.peers[0].connection, Connection::StandAlone);
    assert_eq!(seen.peers[0].disk, Disk::Outdated);
}

#[test]
fn settings_that_cannot_be_read_are_no_protection() {
    let stand_in = StandIn::new();
    stand_in.put("show", "what is this?\n");
    assert_eq!(up(stand_in.drbd().look()).fencing, Fencing::DontCare);
}

#[test]
fn settings_that_are_not_told_are_no_answer() {
    let stand_in = StandIn::new();
    stand_in.fails("drbdsetup show", 20, "received netlink error reply: Busy");
    let seen = stand_in.drbd().look();
    assert!(
        matches!(&seen, VolumeState::Unusable(why) if why.contains("netlink")),
        "{seen:?}"
    );
}

#[test]
fn a_resource_that_is_not_up_is_down_only_where_it_is_configured() {
    let stand_in = StandIn::new();
    stand_in.put("state", "exists -\n");
    assert_eq!(stand_in.drbd().look(), VolumeState::Down);
    stand_in.fails(
        "drbdadm sh-dev",
        1,
        "'etcd' not defined in your config (for this host).",
    );
    let seen = stand_in.drbd().look();
    assert!(
        matches!(&seen, VolumeState::Unusable(why) if why.contains("not defined")),
        "{seen:?}"
    );
}

#[test]
fn what_cannot_be_known_says_why() {
    let stand_in = StandIn::new();
    for (script, wanted) in [
        ("echo 'Failed to modprobe drbd' >&2; exit 20", "modprobe"),
        (
            "echo 'exists resource name:etcd role:King suspended:no'; echo exists -",
            "King",
        ),
        ("head -n 2 state", "no end"),
        ("head -c 3000000 /dev/zero", "more than can be understood"),
        ("printf 'exists \\377\\n'", "events2 said"),
    ] {
        stand_in.answers("drbdsetup events2", script);
        let seen = stand_in.drbd().look();
        assert!(
            matches!(&seen, VolumeState::Unusable(why) if why.contains(wanted)),
            "{seen:?}"
        );
    }
}

/// What a promotion is decided on may rest on our own handler alone, so nothing else counts as it.
#[test]
fn only_our_own_handler_is_ours() {
    let dump = recorded("8.4/handler.dump");
    let stand_in = StandIn::new();
    let ours = |text: &str| {
        stand_in.put("dump", text);
        stand_in.answers("drbdadm dump", "cat dump");
        stand_in.drbd().handler_is_ours().unwrap()
    };
    assert!(ours(&dump));
    for (old, new) in [
        (
            "/usr/bin/etcd-rejoin fence-peer",
            "/usr/bin/crm-fence-peer.sh",
        ),
        (
            "/usr/bin/etcd-rejoin fence-peer",
            "/usr/bin/etcd-rejoin status",
        ),
        (
            "/usr/bin/etcd-rejoin fence-peer",
            "/usr/bin/env etcd-rejoin fence-peer",
        ),
        ("fence-peer       \"", "split-brain      \""),
        ("resource etcd {", "resource other {"),
        ("handlers {", "startup {"),
    ] {
        assert!(dump.contains(old), "{old}");
        assert!(!ours(&dump.replace(old, new)), "{new}");
    }
    assert!(!ours(""));
    assert!(!ours(&dump[..dump.len() - 3]));
    stand_in.fails("drbdadm dump", 10, "Parse error");
    assert!(stand_in.drbd().handler_is_ours().is_err());
}
