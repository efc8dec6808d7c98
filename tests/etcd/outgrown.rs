//! A cluster that has outgrown its initial cluster: whoever was there at first, and lost its disk, is told of
//! nobody who came later. Those who run ask for it, and that is what keeps it from founding the cluster again.

use std::time::Duration;

use crate::support::{Cluster, PATIENCE, Version, scenarios, wait_for};

const A_WHILE: Duration = Duration::from_millis(1500);

scenarios! {
    each:
        two_founders_lose_their_disks_beside_the_third;
    both:
        three_founders_of_five_lose_their_disks,
        an_old_stack_comes_up_empty_beside_the_cluster_that_replaced_it;
}

/// The founders' initial cluster names themselves, as at first; they are started again and again, as by Docker.
/// None of them becomes etcd, and all say who asks for them.
#[track_caller]
fn none_founds(cluster: &mut Cluster, founders: &[usize]) {
    let until = std::time::Instant::now() + A_WHILE;
    let mut told = false;
    wait_for("a founder says who asks for it", PATIENCE, || {
        for &n in founders {
            let member = cluster.member(n);
            if !member.is_running() {
                assert_eq!(member.wait_exit(PATIENCE), 65, "{}", member.log.text());
                assert!(member.log.has_reason("called-by-a-cluster"));
                member.start();
            }
            assert!(!member.is_etcd(), "{}", member.log.text());
            assert!(!has_wal(&member.volume));
            let log = member.log.text();
            told |= log.contains(" of cluster ") && log.contains(" asks for member ");
        }
        told && std::time::Instant::now() > until
    });
}

fn has_wal(volume: &std::path::Path) -> bool {
    let Ok(files) = std::fs::read_dir(volume.join("member/wal")) else {
        return false;
    };
    files
        .flatten()
        .any(|file| file.file_name().to_string_lossy().ends_with(".wal"))
}

/// n1 and n2 hear each other empty; n3, which came later, holds every write, and has no quorum any more.
fn two_founders_lose_their_disks_beside_the_third(version: Version) {
    let mut cluster = Cluster::running(version, 2);
    cluster.grow();
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
    for n in [1, 2] {
        cluster.member(n).lose_disk();
    }
    cluster.start(&[1, 2]);
    none_founds(&mut cluster, &[1, 2]);
    assert!(cluster.client(3).linearizable_read().is_err());
    // A person says that n3 is the cluster, and who its members are.
    cluster.kill9(&[1, 2]);
    cluster.set_initial(&[1, 2, 3]);
    cluster.member(3).sigterm();
    cluster.member(3).start_etcd(&["--force-new-cluster"]);
    cluster.wait_healthy_of(&[3]);
    cluster.kill9(&[3]);
    cluster.start_all();
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

fn three_grown_to_five(version: Version) -> Cluster {
    let mut cluster = Cluster::running(version, 3);
    for _ in 0..2 {
        let n = cluster.grow();
        cluster.start(&[n]);
        cluster.wait_healthy();
    }
    cluster
}

/// n4 and n5 came later, and are no quorum of the five.
fn three_founders_of_five_lose_their_disks(version: Version) {
    let mut cluster = three_grown_to_five(version);
    cluster.put_some();
    cluster.verify();
    for n in [1, 2, 3] {
        cluster.member(n).lose_disk();
    }
    cluster.start(&[1, 2, 3]);
    none_founds(&mut cluster, &[1, 2, 3]);
}

/// Of n1, n2 and n3 the last is in a cluster with n4 and n5 by now; its disk is lost while n4 is down, and the
/// old stack of three is started, with empty volumes. n5 alone has what n3 and it acknowledged.
fn an_old_stack_comes_up_empty_beside_the_cluster_that_replaced_it(version: Version) {
    let mut cluster = three_grown_to_five(version);
    for n in [1, 2] {
        let id = format!("{:x}", cluster.id(n));
        cluster.member(n).lose_disk();
        cluster.operator(&["member", "remove", &id]);
    }
    cluster.wait_healthy_of(&[3, 4, 5]);
    cluster.kill9(&[4]);
    cluster.put_some();
    cluster.member(3).lose_disk();
    // On a machine of its own: here its volume lies beside theirs, and would hold them up already.
    let fourth = cluster.member(4).volume.display().to_string();
    cluster.set("REJOIN_IGNORE", &fourth);
    cluster.start(&[1, 2, 3]);
    none_founds(&mut cluster, &[1, 2, 3]);
    cluster.kill9(&[1, 2, 3]);
    cluster.set_initial(&[3, 4, 5]);
    cluster.start(&[3, 4]);
    cluster.wait_healthy_of(&[3, 4, 5]);
    cluster.put_some();
    cluster.verify_of(&[3, 4, 5]);
}
