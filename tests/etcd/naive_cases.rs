//! The ways in which "try `new` first, on failure wipe and re-add" loses data with plain etcd. Each is
//! the same accident, with this program as the entrypoint of the wiped members.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Cluster, PATIENCE, Version, files, scenarios, wait_for};

const A_WHILE: Duration = Duration::from_millis(1500);

scenarios! {
    each:
        two_wiped_while_the_one_with_data_is_down,
        one_wiped_while_both_others_are_down,
        an_acknowledged_write_on_the_one_that_is_down,
        re_added_members_wiped_while_the_first_is_down,
        the_lone_first_member_of_a_grown_cluster_founds_no_second,
        a_stale_copy_of_its_own_volume;
    both:
        wiped_right_after_the_others_restarted,
        wiped_in_a_grown_cluster,
        two_wiped_in_a_grown_cluster,
        one_peer_paused_and_one_down,
        all_wiped_is_a_first_start,
        a_remove_that_timed_out_is_applied_later,
        an_unstarted_fourth_and_one_of_three_lost,
        data_of_a_refused_new_cluster,
        an_initial_cluster_of_itself_alone,
        a_copy_of_another_members_volume,
        state_existing_and_an_acknowledged_write_elsewhere;
    newest:
        two_unstarted_members_at_once;
}

/// R1. Nobody may serve without n1's data; a person's one command on n1 brings all of them back.
fn two_wiped_while_the_one_with_data_is_down(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    the_first_has_all_and_stops(&mut cluster);
    for n in [2, 3] {
        cluster.member(n).lose_disk();
    }
    cluster.start(&[2, 3]);
    for n in [2, 3] {
        cluster
            .member(n)
            .assert_waits("not-all-heard", Duration::from_millis(700));
    }
    cluster.start(&[1]);
    wait_for_the_last_copy(&mut cluster);
}

/// A quorum has each write; that n1 has it too takes a moment. It is stopped, not killed: etcd writes
/// the last commit index late, and `--force-new-cluster` drops what lies beyond it.
fn the_first_has_all_and_stops(cluster: &mut Cluster) {
    cluster.verify();
    cluster.member(1).sigterm();
}

/// n1 has the only data, n2 and n3 are empty: they wait, until a person says that n1 is the cluster.
fn wait_for_the_last_copy(cluster: &mut Cluster) {
    for n in [2, 3] {
        cluster.member(n).wait_reason("data-lost-no-leader");
    }
    std::thread::sleep(A_WHILE);
    for n in [2, 3] {
        assert!(cluster.member(n).is_running());
        assert!(!cluster.member(n).is_etcd());
    }
    assert!(cluster.client(1).linearizable_read().is_err());
    cluster.member(1).sigterm();
    cluster.member(1).start_etcd(&["--force-new-cluster"]);
    cluster.wait_healthy();
    cluster.kill9(&[1]);
    cluster.start(&[1]);
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

/// R2.
fn one_wiped_while_both_others_are_down(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.kill9(&[1, 2]);
    cluster.member(3).lose_disk();
    cluster.start(&[3]);
    cluster
        .member(3)
        .assert_waits("not-all-heard", Duration::from_millis(700));
    cluster.start(&[1]);
    cluster.member(3).wait_reason("data-lost-no-leader");
    cluster.start(&[2]);
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

/// R2loss: n2 and n3 have acknowledged a write, n3 is wiped, n1 returns before n2.
fn an_acknowledged_write_on_the_one_that_is_down(version: Version) {
    acknowledged_elsewhere(version, "new");
}

/// R2lossE: the same with `existing`.
fn state_existing_and_an_acknowledged_write_elsewhere(version: Version) {
    acknowledged_elsewhere(version, "existing");
}

fn acknowledged_elsewhere(version: Version, state: &str) {
    let mut cluster = Cluster::running(version, 3);
    cluster.set("ETCD_INITIAL_CLUSTER_STATE", state);
    cluster.kill9(&[1]);
    cluster.put_some();
    cluster.kill9(&[2]);
    cluster.member(3).lose_disk();
    cluster.start(&[1, 3]);
    cluster
        .member(3)
        .assert_waits("data-lost-no-leader", A_WHILE);
    assert!(cluster.client(1).linearizable_read().is_err());
    cluster.start(&[2]);
    cluster.wait_healthy();
    cluster.verify();
}

/// R3b: luck decides whether etcd would notice.
fn wiped_right_after_the_others_restarted(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.set("ETCD_INITIAL_CLUSTER_STATE", "existing");
    cluster.kill9(&[1, 2]);
    cluster.member(3).lose_disk();
    cluster.start_all();
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

/// R4: their old static IDs would form an empty cluster.
fn re_added_members_wiped_while_the_first_is_down(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    for n in [2, 3] {
        cluster.member(n).lose_disk();
        cluster.start(&[n]);
        cluster.wait_healthy();
    }
    cluster.put_some();
    the_first_has_all_and_stops(&mut cluster);
    for n in [2, 3] {
        cluster.member(n).lose_disk();
    }
    cluster.start(&[2, 3]);
    cluster
        .member(2)
        .assert_waits("not-all-heard", Duration::from_millis(500));
    cluster.start(&[1]);
    wait_for_the_last_copy(&mut cluster);
}

/// One member, grown to three: its cluster ID cannot be computed from the initial cluster of three.
fn grown(version: Version) -> Cluster {
    let mut cluster = Cluster::running(version, 1);
    for _ in 0..2 {
        let n = cluster.grow();
        cluster.start(&[n]);
        cluster.wait_healthy();
    }
    let all = cluster.all();
    cluster.set_initial(&all);
    cluster.put_some();
    cluster.verify();
    cluster
}

/// 2f, with the manifest that the first member has had since: its initial cluster names itself alone,
/// and plain etcd founds a cluster with the same IDs beside the one that runs.
fn the_lone_first_member_of_a_grown_cluster_founds_no_second(version: Version) {
    let mut cluster = grown(version);
    let before = cluster.members_of(2);
    cluster.member(1).lose_disk();
    cluster.set_initial(&[1]);
    for _ in 0..2 {
        cluster.start(&[1]);
        cluster.member(1).assert_refuses("called-by-a-cluster");
        assert!(!cluster.member(1).volume.join("member").exists());
    }
    let (id, said) = (cluster.id(2), cluster.member(1).log.text());
    let third = cluster.id(3);
    let names = |id| said.contains(&format!("member {id:x} of cluster"));
    assert!(names(id) || names(third), "who calls is not in {said}");
    assert_eq!(cluster.members_of(2), before);
    cluster.put_some();
    let others = format!(
        "{},{}",
        cluster.member(2).client_url(),
        cluster.member(3).client_url()
    );
    cluster
        .member(1)
        .set("ETCD_OTHER_PEERS_CLIENT_URLS", &others);
    cluster.start(&[1]);
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

/// R5.
fn wiped_in_a_grown_cluster(version: Version) {
    let mut cluster = grown(version);
    cluster.member(3).lose_disk();
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.verify();
}

/// R5b: two wiped, n1 up. Plain etcd splits here.
fn two_wiped_in_a_grown_cluster(version: Version) {
    let mut cluster = grown(version);
    the_first_has_all_and_stops(&mut cluster);
    cluster.start(&[1]);
    for n in [2, 3] {
        cluster.member(n).lose_disk();
    }
    cluster.start(&[2, 3]);
    wait_for_the_last_copy(&mut cluster);
}

/// R5x: somebody has tried plain etcd with `new` on the wiped volume, and its WAL lies there.
fn data_of_a_refused_new_cluster(version: Version) {
    let mut cluster = grown(version);
    cluster.member(3).lose_disk();
    cluster.member(3).start_etcd(&[]);
    let wal = cluster.member(3).volume.join("member/wal");
    wait_for("plain etcd has made a WAL", PATIENCE, || {
        wal.is_dir() && !files::wal_files(&wal).is_empty()
    });
    std::thread::sleep(A_WHILE);
    cluster.kill9(&[3]);
    cluster.start(&[3]);
    cluster.member(3).assert_refuses("other-cluster");
    cluster.member(3).lose_disk();
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.verify();
}

/// R9: no disk is left that could contradict. They begin anew, together.
fn all_wiped_is_a_first_start(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    for n in cluster.all() {
        cluster.member(n).lose_disk();
    }
    cluster.start_all();
    cluster.wait_healthy();
    cluster.acked = Default::default();
    cluster.put_some();
    cluster.verify();
}

/// 2f: it knows others by their client URLs, so it is not alone.
fn an_initial_cluster_of_itself_alone(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let others = format!(
        "{},{}",
        cluster.member(1).client_url(),
        cluster.member(2).client_url()
    );
    cluster.member(3).lose_disk();
    let alone = cluster.initial(&[3]);
    cluster.member(3).set("ETCD_INITIAL_CLUSTER", &alone);
    cluster
        .member(3)
        .set("ETCD_OTHER_PEERS_CLIENT_URLS", &others);
    cluster.start(&[3]);
    cluster.wait_healthy();
    // And with the others down it does not begin alone either.
    cluster.put_some();
    cluster.kill9(&[1, 2]);
    cluster.member(3).lose_disk();
    cluster.start(&[3]);
    cluster.member(3).assert_waits("not-all-heard", A_WHILE);
    cluster.start(&[1, 2]);
    cluster.wait_healthy();
    cluster.verify();
}

/// 3c.
fn a_copy_of_another_members_volume(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.kill9(&[1]);
    cluster.member(3).lose_disk();
    let volume = cluster.member(3).volume.clone();
    files::copy(&cluster.member(1).volume.clone(), &volume);
    cluster.start(&[1]);
    cluster.wait_healthy_of(&[1, 2]);
    cluster.start(&[3]);
    cluster.member(3).assert_refuses("volume-of-another-member");
    cluster.member(3).lose_disk();
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

/// 3s: the leader notices, etcd panics, and the member gives that data up.
fn a_stale_copy_of_its_own_volume(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let leader = cluster.leader();
    let stale = if leader == 3 { 2 } else { 3 };
    cluster.kill9(&[stale]);
    let volume = cluster.member(stale).volume.clone();
    let copy = cluster.scratch().join("copy");
    files::copy(&volume, &copy);
    cluster.start(&[stale]);
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
    cluster.member(stale).lose_disk();
    files::copy(&copy, &volume);
    cluster.start(&[stale]);
    cluster.wait_healthy_restarting(stale);
    cluster.put_some();
    cluster.verify();
}

/// X1: an operator's remove hung without a quorum, and goes through when the member is back.
fn a_remove_that_timed_out_is_applied_later(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    while cluster.leader() != 1 {
        let id = format!("{:x}", cluster.id(1));
        cluster.etcdctl(&["move-leader", &id]);
    }
    let id = format!("{:x}", cluster.id(3));
    cluster.kill9(&[2, 3]);
    let done = cluster.etcdctl_at(&[1], &["member", "remove", &id]);
    assert!(!done.status.success(), "it was to time out");
    cluster.start(&[2, 3]);
    cluster.wait_healthy_restarting(2);
    cluster.wait_healthy_restarting(3);
    cluster.put_some();
    wait_for("n3 stays", PATIENCE, || {
        if !cluster.member(3).is_running() {
            cluster.member(3).start();
        }
        cluster.client(3).linearizable_read().is_ok()
    });
    cluster.verify();
}

/// X4: a paused peer says nothing, which is not "nothing there".
fn one_peer_paused_and_one_down(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.kill9(&[2]);
    cluster.member(1).pause();
    cluster.member(3).lose_disk();
    cluster.start(&[3]);
    cluster
        .member(3)
        .assert_waits("not-all-heard", Duration::from_secs(3));
    cluster.member(1).resume();
    cluster.member(3).wait_reason("data-lost-no-leader");
    cluster.start(&[2]);
    cluster.wait_healthy();
    cluster.verify();
}

/// 7b: four listed, two up: no quorum. Whichever of the two missing ones brings a vote heals it.
fn an_unstarted_fourth_and_one_of_three_lost(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let fourth = cluster.grow();
    let url = cluster.member(fourth).peer_url();
    cluster.operator(&["member", "add", "n4", &format!("--peer-urls={url}")]);
    cluster.member(3).lose_disk();
    cluster.start(&[3]);
    cluster
        .member(3)
        .assert_waits("data-lost-no-leader", A_WHILE);
    // The operator's own entry: no note says that it never ran.
    cluster.start(&[fourth]);
    cluster
        .member(fourth)
        .assert_waits("data-lost-no-leader", A_WHILE);
    cluster.member(fourth).process().signal(Signal::TERM);
    assert_eq!(cluster.member(fourth).wait_exit(PATIENCE), 143);
    cluster
        .member(fourth)
        .set("ETCD_INITIAL_CLUSTER_STATE", "existing");
    cluster.member(fourth).start_etcd(&[]);
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

/// 7x: since late 3.5 etcd lets an operator add two at once; three of five are up.
fn two_unstarted_members_at_once(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    for _ in 0..2 {
        let n = cluster.grow();
        let url = format!("--peer-urls={}", cluster.member(n).peer_url());
        cluster.operator(&["member", "add", &format!("n{n}"), &url]);
    }
    cluster.start(&[4, 5]);
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}
