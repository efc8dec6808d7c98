//! An operator's orders: to restore a snapshot, or to go on with what a survivor has.

use crate::recovery::{lineages, saved, snapshot, snapshot_ok, store};
use crate::support::{Cluster, PATIENCE, Version, scenarios, wait_for};

scenarios! {
    each: an_order_is_carried_out_or_taken_back;
    both: a_survivor_goes_on;
}

/// The newest snapshot.
fn newest(cluster: &Cluster) -> String {
    let listed = std::fs::read_dir(store(cluster).join("snapshot")).unwrap();
    let names = listed.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let all = names.filter_map(|name| Some(name.strip_suffix(".db.zst")?.to_string()));
    all.max().unwrap()
}

fn an_order_is_carried_out_or_taken_back(version: Version) {
    let mut cluster = saved(version, 3);
    let (ordered, before) = (newest(&cluster), cluster.acked.clone());
    let order = ["restore", "--snapshot", &ordered, "--yes"];
    snapshot_ok(&mut cluster, &order);
    // One alone waits, and goes on when the order is taken back.
    cluster.kill9(&cluster.all());
    cluster.start(&[1]);
    cluster.member(1).wait_reason("restore-ordered");
    snapshot_ok(&mut cluster, &["restore", "cancel", "2"]);
    cluster.start(&[2, 3]);
    cluster.verify();
    assert_eq!(lineages(&cluster), 0);

    cluster.acked = Default::default();
    cluster.put_some();
    snapshot_ok(&mut cluster, &order);
    // A rolling restart keeps the old cluster running, whether the store has answered in time or not.
    cluster.kill9(&[2]);
    cluster.start(&[2]);
    cluster.verify();
    let steps = cluster.member(2).steps();
    assert!(steps.is_empty(), "{steps:?}");
    // Two of three are enough.
    cluster.kill9(&cluster.all());
    cluster.start(&[1, 2]);
    let after = std::mem::replace(&mut cluster.acked, before);
    cluster.verify_of(&[1, 2]);
    let held = cluster.client(1).everything().unwrap();
    assert!(after.all().keys().all(|key| !held.contains_key(key)));
    assert_eq!(lineages(&cluster), 1);
    let cancelled = snapshot(&mut cluster, &["restore", "cancel", "3"]);
    assert!(!cancelled.status.success(), "it is begun: {cancelled:?}");
    // Whose data is of before sets it aside, and rejoins.
    cluster.start(&[3]);
    cluster.verify();
    let steps = cluster.member(3).steps();
    assert!(steps.contains(&"set-aside-for".into()), "{steps:?}");
    // It is kept, and the rest is as after any restart.
    for n in cluster.all() {
        let aside = cluster.member(n).volume.join("quarantine");
        let names = std::fs::read_dir(aside).unwrap();
        let mut names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert!(names.any(|name| name.contains("-for-3")), "n{n}");
    }
    cluster.kill9(&cluster.all());
    cluster.start_all();
    cluster.put_some();
    cluster.verify();
}

/// Two of three disks are gone for good: what the third one has goes on, with all that it knows to be committed.
fn a_survivor_goes_on(version: Version) {
    let mut cluster = saved(version, 3);
    cluster.put_some();
    // A member writes down what is committed with the next entry.
    cluster.client(1).put("the next one", "value").unwrap();
    cluster.kill9(&cluster.all());
    for n in [2, 3] {
        cluster.member(n).lose_disk();
    }
    cluster.start(&[1]);
    cluster.member(1).wait_log("etcd=");
    let destroyed = ["--destroyed", "n2", "--destroyed", "n3", "--yes"];
    let words = [&["recover", "--from-survivor", "n1"], &destroyed[..]].concat();
    // Between its assembly and its etcd nobody answers for it.
    wait_for("it answers, and the order is written", PATIENCE, || {
        snapshot(&mut cluster, &words).status.success()
    });
    // An etcd that waits for its quorum hears no order.
    cluster.kill9(&[1]);
    cluster.start(&[1]);
    cluster.wait_healthy_of(&[1]);
    assert!(cluster.client(1).put("alone", "value").is_err());
    cluster.start_all();
    cluster.verify();
    assert_eq!(lineages(&cluster), 1);
    cluster.put_some();
    cluster.verify();
}
