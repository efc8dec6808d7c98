//! From the oldest etcd to the newest, one after the other, and one step down again, under a client that writes: each
//! member loses its disk once while each step is half done. Nothing is lost.

use std::time::{Duration, Instant};

use etcd_rejoin::access::TlsFiles;
use etcd_rejoin::gateway::Client;

use crate::support::{Cluster, PATIENCE, Version, scenarios, wait_for};

scenarios! { oldest: up_through_every_etcd_that_is_there_and_down_again; }

/// etcd takes a snapshot each so many entries.
const SNAPSHOT_COUNT: usize = 50;

/// The rows that a restart may reach, and a lost disk.
const RESTART: [&str; 1] = ["own-data"];
const LOST: [&str; 5] = [
    "data-lost",
    "not-listed",
    "note-added",
    "added-not-started",
    "peer-lags",
];

/// Debian's go from 3.4 to 3.5; the downgrade needs 3.6, and a version too many needs a third minor.
fn up_through_every_etcd_that_is_there_and_down_again(oldest: Version) {
    let mut cluster = Cluster::new(oldest, 3);
    cluster.set("ETCD_SNAPSHOT_COUNT", &SNAPSHOT_COUNT.to_string());
    cluster.run();
    let route = route();
    for pair in route.windows(2) {
        let [old, new] = [pair[0], pair[1]];
        let too_new = route
            .iter()
            .find(|version| version.minor() > old.minor() + 1);
        up(&mut cluster, old, new, too_new.copied());
    }
    let newest = route[route.len() - 1];
    let before = route
        .iter()
        .rfind(|version| version.minor() < newest.minor());
    if let (Some(before), 6..) = (before, newest.minor()) {
        down(&mut cluster, newest, *before);
    }
}

/// Each etcd that is there, the oldest first, up to where a minor version is missing.
fn route() -> Vec<Version> {
    let all = Version::all();
    let gap = |pair: &[Version]| pair[0].minor() + 1 < pair[1].minor();
    let end = all.windows(2).position(gap).map_or(all.len(), |at| at + 1);
    all[..end].to_vec()
}

/// n1 loses its disk with the new etcd, n2 with the old one, and n3 in between.
fn up(cluster: &mut Cluster, old: Version, new: Version, too_new: Option<Version>) {
    eprintln!("{old} to {new}");
    let writer = cluster.writer(&[1, 2, 3]);
    cluster.member(1).sigterm();
    cluster.member(1).use_etcd(new);
    comes_back(cluster, 1, &RESTART);
    cluster.member(1).lose_disk();
    comes_back(cluster, 1, &LOST);
    cluster.member(2).lose_disk();
    comes_back(cluster, 2, &LOST);
    cluster.member(2).sigterm();
    cluster.member(2).use_etcd(new);
    comes_back(cluster, 2, &RESTART);
    cluster.member(3).lose_disk();
    // One of 3.6 or 3.7 beside 3.4 would be the end of that: each 3.4 panics, at each start, at what it publishes (3.4
    // `etcdserver/apply.go`, "not implemented").
    if let Some(too_new) = too_new {
        cluster.member(3).use_etcd(too_new);
        stays_out(cluster, 3);
    }
    cluster.member(3).use_etcd(new);
    comes_back(cluster, 3, &LOST);
    if old.minor() < new.minor() {
        wait_version(cluster, new.minor());
    }
    // What 3.4 and 3.5 write about themselves are requests of the v2 API (3.5 `server/etcdserver/server.go`,
    // `publish`). 3.7 cannot replay them (`server/etcdserver/apply/apply.go`, `Apply`): a snapshot has to lie behind.
    let written = writer.written();
    wait_for("each has taken a snapshot", PATIENCE, || {
        writer.written() > written + 3 * SNAPSHOT_COUNT
    });
    writer.stop();
    cluster.verify();
}

/// n2 loses its disk halfway. etcd lets nobody join then; a person ends the downgrade, and the rest goes down as well:
/// the version of the cluster is the lower one by then.
fn down(cluster: &mut Cluster, new: Version, old: Version) {
    eprintln!("{new} to {old}");
    let writer = cluster.writer(&[1, 2, 3]);
    let target = format!("3.{}", old.minor());
    let enabled = cluster.etcdctl_at(&[3], &["downgrade", "enable", &target]);
    assert!(enabled.status.success(), "{enabled:?}");
    wait_version(cluster, old.minor());
    cluster.member(1).sigterm();
    cluster.member(1).use_etcd(old);
    comes_back(cluster, 1, &RESTART);
    cluster.member(2).lose_disk();
    cluster.member(2).use_etcd(old);
    stays_out(cluster, 2);
    let client = Client::new(&TlsFiles::default(), None).unwrap();
    let peer_url = cluster.member(3).peer_url();
    wait_for("the downgrade is cancelled", PATIENCE, || {
        // It says so also where it failed (3.6 and 3.7 `server/etcdserver/v3_server.go`, `downgradeCancel`).
        cluster.etcdctl_at(&[3], &["downgrade", "cancel"]);
        client.is_downgraded(&peer_url, soon()).ok() == Some(false)
    });
    comes_back(cluster, 2, &LOST);
    cluster.member(3).sigterm();
    cluster.member(3).use_etcd(old);
    comes_back(cluster, 3, &RESTART);
    writer.stop();
    cluster.verify();
}

/// It serves again, and no other rows were reached on the way.
fn comes_back(cluster: &mut Cluster, n: usize, rows: &[&str]) {
    cluster.start(&[n]);
    cluster.wait_healthy();
    let reached = cluster.member(n).log.reasons();
    let mut others = reached.iter().filter(|row| !rows.contains(&row.as_str()));
    assert_eq!(others.next(), None, "n{n} of {rows:?}");
}

/// It ends, as its etcd could not join, and what the others list stays as it was.
fn stays_out(cluster: &mut Cluster, n: usize) {
    let others: Vec<usize> = cluster.all().into_iter().filter(|&one| one != n).collect();
    let listed = cluster.members_of(others[0]);
    cluster.start(&[n]);
    assert_eq!(cluster.member(n).wait_exit(PATIENCE), 74);
    assert!(cluster.member(n).log.has_reason("cannot-start"));
    cluster.wait_healthy_of(&others);
    assert_eq!(cluster.members_of(others[0]), listed);
}

/// The cluster has this version once its leader has heard it of every member: after four seconds at most.
fn wait_version(cluster: &mut Cluster, minor: u32) {
    let client = Client::new(&TlsFiles::default(), None).unwrap();
    for n in cluster.all() {
        let url = cluster.member(n).client_url();
        let heard = || client.versions(&url, soon()).map(|said| said.cluster);
        let what = format!("n{n} is in a cluster of 3.{minor}");
        wait_for(&what, PATIENCE, || {
            heard().is_ok_and(|version| version == (3, minor.into()))
        });
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(1)
}
