//! What only a person can tell: the program says what is wrong, ends with 65, and has touched nothing.

use std::time::Duration;

use crate::support::files::{self, Damage, damage};
use crate::support::{Cluster, PATIENCE, Tree, Version, scenarios, wait_for};

scenarios! {
    each:
        swapped_volumes,
        volumes_that_are_swapped_while_nobody_runs,
        a_twin_with_an_empty_volume,
        two_empty_twins_on_a_first_start;
    both:
        a_twin_on_the_same_volume_waits,
        a_copy_of_the_volume_elsewhere,
        a_volume_of_another_cluster,
        name_and_url_of_two_members,
        a_twin_on_the_volume_of_a_waiting_entrypoint,
        a_peer_url_that_nobody_gave,
        answers_from_two_clusters,
        set_aside_data_forbids_founding,
        peer_with_damaged_data_forbids_founding,
        removed_and_joining_forbidden;
}

fn swapped_volumes(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.kill9(&[1, 2]);
    let before = swap(&mut cluster, 1, 2);
    for (n, before) in [(1, &before.0), (2, &before.1)] {
        cluster.start(&[n]);
        cluster.member(n).assert_refuses("volume-of-another-member");
        Tree::of(&cluster.member(n).volume.clone()).assert_is(before);
    }
    swap(&mut cluster, 1, 2);
    cluster.start_all();
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

/// As by a wrong compose file: nobody runs who could say whose is whose, but each database does.
fn volumes_that_are_swapped_while_nobody_runs(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    // Its ID is none that anybody could compute from then on.
    cluster.member(1).lose_disk();
    cluster.start(&[1]);
    cluster.verify();
    let before = cluster.members_of(1);
    for n in cluster.all() {
        cluster.member(n).sigterm();
    }
    let trees = swap(&mut cluster, 1, 2);
    cluster.start_all();
    for (n, before) in [(1, &trees.0), (2, &trees.1)] {
        cluster.member(n).assert_refuses("volume-of-another-member");
        Tree::of(&cluster.member(n).volume.clone()).assert_is(before);
    }
    swap(&mut cluster, 1, 2);
    cluster.start(&[1, 2]);
    cluster.wait_healthy();
    assert_eq!(cluster.members_of(1), before);
    cluster.put_some();
    cluster.verify();
}

/// Plain etcd minds neither peer URL nor initial cluster beside data: its default is not published for it.
/// Without data nothing would be right but what nobody said.
fn a_peer_url_that_nobody_gave(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let before = cluster.members_of(1);
    let others = [1, 2].map(|n| cluster.member(n).client_url()).join(",");
    cluster.kill9(&[3]);
    cluster
        .member(3)
        .unset("ETCD_INITIAL_ADVERTISE_PEER_URLS")
        .unset("ETCD_INITIAL_CLUSTER")
        .set("ETCD_OTHER_PEERS_CLIENT_URLS", &others);
    cluster.start(&[3]);
    cluster.wait_healthy();
    assert_eq!(cluster.members_of(1), before);
    // One of the others was not asked: how many failures the cluster survives is not known here.
    let log = cluster.member(3).log.text();
    assert!(!log.contains("margin=-"), "{log}");
    cluster.kill9(&[3]);
    cluster.member(3).lose_disk();
    cluster.start(&[3]);
    assert_eq!(cluster.member(3).wait_exit(PATIENCE), 78);
    let log = cluster.member(3).log.text();
    assert!(
        log.contains("set ETCD_INITIAL_ADVERTISE_PEER_URLS"),
        "{log}"
    );
    assert_eq!(cluster.members_of(1), before);
}

/// Swaps the contents of two volumes; what each of them holds then.
fn swap(cluster: &mut Cluster, a: usize, b: usize) -> (Tree, Tree) {
    let (va, vb) = (
        cluster.member(a).volume.clone(),
        cluster.member(b).volume.clone(),
    );
    let aside = va.with_extension("swap");
    for (from, to) in [(&va, &aside), (&vb, &va), (&aside, &vb)] {
        std::fs::rename(from, to).unwrap();
    }
    (Tree::of(&va), Tree::of(&vb))
}

fn a_twin_with_an_empty_volume(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let before = cluster.members_of(1);
    let mut twin = cluster.twin_of(3);
    twin.start();
    twin.assert_refuses("twin-alive");
    assert_eq!(cluster.members_of(1), before);
    cluster.put_some();
    cluster.verify();
}

/// Both are empty, each listens on an address of its own, and no etcd runs yet: of either order, the one
/// that the peer URL does not lead to refuses.
fn two_empty_twins_on_a_first_start(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    let host = cluster.addresses.host(33);
    let mut twin = cluster.twin_of(3);
    twin.set("ETCD_LISTEN_PEER_URLS", &format!("http://{host}:2380"));
    twin.set("ETCD_LISTEN_CLIENT_URLS", &format!("http://{host}:2379"));
    twin.start();
    twin.wait_reason("not-all-heard");
    cluster.start(&[3]);
    twin.assert_refuses("twin-alive");
    cluster.member(3).wait_reason("not-all-heard");
    // Again with all the others there: one look more, and it would have promised.
    cluster.start(&[1]);
    cluster.member(1).wait_reason("not-all-heard");
    twin.start();
    cluster.start(&[2]);
    twin.assert_refuses("twin-alive");
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

/// It names who holds the data dir, and goes on when that one is gone.
fn a_twin_on_the_same_volume_waits(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.kill9(&[3]);
    cluster.start(&[3]);
    cluster.wait_healthy();
    assert!(cluster.member(3).is_etcd());
    let holder = cluster.member(3).process().pid().to_string();
    let mut twin = cluster.twin_of(3);
    twin.set(
        "ETCD_DATA_DIR",
        &cluster.member(3).volume.display().to_string(),
    );
    twin.start();
    twin.assert_waits("data-dir-in-use", Duration::from_millis(500));
    let named = twin.log.lines("data-dir-in-use");
    assert!(
        named.iter().any(|line| line.contains(&holder)),
        "{named:?} does not name {holder}"
    );
    cluster.kill9(&[3]);
    wait_for("the twin took its place", PATIENCE, || {
        twin.client().linearizable_read().is_ok()
    });
    assert!(twin.is_etcd());
    twin.kill9();
    cluster.start(&[3]);
    cluster.verify();
}

fn a_twin_on_the_volume_of_a_waiting_entrypoint(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    cluster.start(&[3]);
    cluster.member(3).wait_reason("not-all-heard");
    let mut twin = cluster.twin_of(3);
    twin.set(
        "ETCD_DATA_DIR",
        &cluster.member(3).volume.display().to_string(),
    );
    twin.start();
    twin.assert_waits("data-dir-in-use", Duration::from_millis(500));
    twin.kill9();
    cluster.start_all();
    cluster.wait_healthy();
    cluster.verify();
}

fn a_copy_of_the_volume_elsewhere(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.kill9(&[3]);
    let mut twin = cluster.twin_of(3);
    files::copy(&cluster.member(3).volume.clone(), &twin.volume);
    let before = Tree::of(&twin.volume);
    cluster.start(&[3]);
    cluster.wait_healthy();
    // Its own listeners are elsewhere, as on another machine.
    let host = cluster.addresses.host(33);
    twin.set("ETCD_LISTEN_PEER_URLS", &format!("http://{host}:2380"));
    twin.set("ETCD_LISTEN_CLIENT_URLS", &format!("http://{host}:2379"));
    twin.start();
    twin.assert_refuses("twin-alive");
    Tree::of(&twin.volume).assert_is(&before);
    cluster.put_some();
    cluster.verify();
}

fn a_volume_of_another_cluster(version: Version) {
    let mut other = Cluster::running(version, 1);
    other.kill9(&[1]);
    let mut cluster = Cluster::running(version, 3);
    cluster.member(3).lose_disk();
    let volume = cluster.member(3).volume.clone();
    files::copy(&other.member(1).volume.clone(), &volume);
    let before = Tree::of(&volume);
    cluster.start(&[3]);
    cluster.member(3).assert_refuses("other-cluster");
    Tree::of(&volume).assert_is(&before);
    // A person looks, and says that it is not wanted.
    cluster.member(3).lose_disk();
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.verify();
}

/// n3 has the address of n2 in its settings, and n2's that of n3.
fn name_and_url_of_two_members(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let before = cluster.members_of(1);
    let right = cluster.member(3).env.clone();
    let (url2, url3) = (cluster.member(2).peer_url(), cluster.member(3).peer_url());
    cluster.member(3).lose_disk();
    let initial = format!("{},n2={url3},n3={url2}", cluster.initial(&[1]));
    let member = cluster.member(3);
    member.set("ETCD_INITIAL_ADVERTISE_PEER_URLS", &url2);
    member.set("ETCD_INITIAL_CLUSTER", &initial);
    member.start();
    member.assert_refuses("two-entries");
    member.env = right;
    let now = cluster.members_of(1);
    assert_eq!(now, before);
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.verify();
}

fn answers_from_two_clusters(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    cluster.set_initial(&[1]);
    cluster.set_initial(&[2]);
    cluster.start(&[1, 2]);
    cluster.wait_healthy_of(&[1, 2]);
    cluster.start(&[3]);
    cluster.member(3).assert_refuses("two-clusters");
}

/// n3 was damaged and set aside; then all lose what they have, but not what n3 set aside.
fn set_aside_data_forbids_founding(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.kill9(&[3]);
    let wal = cluster.member(3).volume.join("member/wal");
    damage(&files::wal_files(&wal)[0], Damage::FlippedTail);
    cluster.start(&[3]);
    cluster.wait_healthy_restarting(3);
    for n in [1, 2] {
        cluster.member(n).lose_disk();
    }
    cluster.kill9(&[3]);
    std::fs::remove_dir_all(cluster.member(3).volume.join("member")).unwrap();
    cluster.start_all();
    cluster.member(3).assert_refuses("data-set-aside");
    // The others have heard it, or only that n3 is gone again.
    std::thread::sleep(Duration::from_secs(1));
    for n in [1, 2] {
        assert!([None, Some(65)].contains(&cluster.member(n).process().code()));
        assert!(!cluster.member(n).is_etcd() && !cluster.member(n).log.has_reason("first-start"));
    }
}

fn peer_with_damaged_data_forbids_founding(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.kill9(&[3]);
    let wal = cluster.member(3).volume.join("member/wal");
    damage(&files::wal_files(&wal)[0], Damage::FlippedMiddle);
    for n in [1, 2] {
        cluster.member(n).lose_disk();
    }
    let volume = cluster.member(3).volume.clone();
    let before = Tree::of(&volume);
    cluster.start_all();
    for n in [1, 2] {
        cluster
            .member(n)
            .assert_waits("peer-has-data", Duration::from_millis(300));
    }
    cluster
        .member(3)
        .assert_waits("data-damaged-no-quorum", Duration::from_secs(1));
    Tree::of(&volume).assert_is(&before);
}

fn removed_and_joining_forbidden(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let id = format!("{:x}", cluster.id(3));
    cluster.kill9(&[3]);
    cluster.operator(&["member", "remove", &id]);
    cluster.member(3).set("REJOIN_AS", "never");
    let volume = cluster.member(3).volume.clone();
    let before = Tree::of(&volume);
    cluster.start(&[3]);
    cluster.member(3).assert_refuses("removed");
    Tree::of(&volume).assert_is(&before);
    cluster.verify_of(&[1, 2]);
}
