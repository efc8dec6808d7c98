//! The harness itself, on plain etcd: it must be able to fail.

use crate::support::{Cluster, Version, scenarios};

scenarios! { each: plain_etcd_passes; oldest: a_lost_write_is_noticed; }

fn plain_etcd_passes(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    for n in cluster.all() {
        cluster.member(n).start_etcd(&[]);
    }
    cluster.wait_healthy();
    let writer = cluster.writer(&[1, 2, 3]);
    cluster.put_some();
    cluster.kill9(&[2]);
    cluster.member(2).start_etcd(&[]);
    cluster.wait_healthy();
    writer.stop();
    cluster.verify();
    assert_eq!(cluster.member(2).sigterm(), 143);
}

/// Two of three disks lost while the third is down: plain etcd serves without the write.
fn a_lost_write_is_noticed(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    for n in cluster.all() {
        cluster.member(n).start_etcd(&[]);
    }
    cluster.wait_healthy();
    cluster.put_some();
    cluster.kill9(&[1]);
    for n in [2, 3] {
        cluster.member(n).lose_disk();
    }
    for n in [2, 3] {
        cluster.member(n).start_etcd(&[]);
    }
    cluster.wait_healthy_of(&[2, 3]);
    let held = cluster.client(2).everything().unwrap();
    assert!(
        cluster
            .acked
            .all()
            .keys()
            .all(|key| !held.contains_key(key))
    );
}
