//! A cluster with our cluster ID that lacks what was committed here: founded anew on wiped disks, or rolled back to
//! old copies. Nothing of this volume is touched, and a person is told which side holds what.

use crate::support::files::{self, Damage, damage};
use crate::support::{Cluster, PATIENCE, Tree, Version, scenarios, wait_for};

scenarios! {
    each:
        a_member_that_was_added_again_beside_a_cluster_founded_anew,
        a_founder_beside_a_cluster_founded_anew,
        damaged_data_beside_a_cluster_founded_anew,
        a_member_that_is_listed_as_it_is_beside_a_cluster_that_was_rolled_back;
    both:
        damaged_data_beside_a_cluster_that_was_rolled_back,
        the_right_side_goes_on_as_the_refusal_says,
        a_cluster_that_holds_our_history_gets_a_removed_member_back;
    middle:
        an_etcd_that_hangs_beside_a_cluster_that_was_rolled_back;
}

/// n1 and n2 lose their disks while nobody runs, and plain etcd founds their cluster anew.
fn founded_anew(cluster: &mut Cluster) {
    cluster.kill9(&[1, 2, 3]);
    for n in [1, 2] {
        cluster.member(n).lose_disk();
    }
    for n in [1, 2] {
        cluster.member(n).start_etcd(&[]);
    }
    cluster.wait_healthy_of(&[1, 2]);
}

/// Refuses, with all of its data in place, however often it is asked.
#[track_caller]
fn refuses(cluster: &mut Cluster) {
    let volume = cluster.member(3).volume.clone();
    let before = Tree::of(&volume);
    for data in ["quarantine", "delete"] {
        cluster.member(3).set("REJOIN_DATA", data).start();
        cluster.member(3).assert_refuses("other-history");
        assert_eq!(cluster.member(3).steps(), Vec::<String>::new());
        Tree::of(&volume).assert_is(&before);
    }
}

/// It was removed once and joined again, so the new cluster does not list its ID: it looks as removed.
fn a_member_that_was_added_again_beside_a_cluster_founded_anew(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let founder = cluster.id(3);
    cluster.member(3).lose_disk();
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.put_some();
    let ours = cluster.id(3);
    founded_anew(&mut cluster);
    refuses(&mut cluster);
    eprintln!("{}", cluster.member(3).log.ours().join("\n"));
    let status = cluster.member(3).ask(&["status"]);
    eprintln!("{status}");
    for part in [
        "refuses to start",
        "other-history: ",
        "this volume has all up to index ",
        "founded anew, or rolled back",
        &format!("member={ours:x}"),
        &format!("they list member {founder:x}, as which this one was founded"),
        "--force-new-cluster",
    ] {
        assert!(status.contains(part), "{part} is not told");
    }
    let json: serde_json::Value =
        serde_json::from_str(&cluster.member(3).ask(&["status", "--json"])).unwrap();
    let index = |side: &str, what: &str| json[side][what]["index"].as_u64().unwrap();
    let (here, there) = (index("data_dir", "committed"), index("cluster", "reached"));
    assert!(here > there, "{here} here, {there} there");
    // It comes further than the old one had: what it lists still tells.
    for _ in 0..here.div_ceil(10) {
        cluster.put_some();
    }
    refuses(&mut cluster);
    let status = cluster.member(3).ask(&["status"]);
    assert!(status.contains("which was removed since"), "{status}");
}

/// Listed there under its own ID, it is not removed: etcd would start it beside the others.
fn a_founder_beside_a_cluster_founded_anew(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.put_some();
    founded_anew(&mut cluster);
    refuses(&mut cluster);
}

fn damaged_data_beside_a_cluster_founded_anew(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.put_some();
    founded_anew(&mut cluster);
    let wal = cluster.member(3).volume.join("member/wal");
    let last = files::wal_files(&wal).pop().unwrap();
    damage(&last, Damage::FlippedMiddle);
    refuses(&mut cluster);
    // Where not even the head reads, the database may tell how far this was (3.4 writes it down late).
    if version.minor() > 4 {
        damage(&last, Damage::FlippedHead);
        refuses(&mut cluster);
    }
}

/// n1 and n2 are back at what they were some writes ago, while n3 is down.
fn rolled_back(cluster: &mut Cluster) {
    let copies = cluster.scratch().join("copies");
    cluster.kill9(&[1, 2, 3]);
    for n in [1, 2] {
        let volume = cluster.member(n).volume.clone();
        files::copy(&volume, &copies.join(n.to_string()));
    }
    cluster.start_all();
    cluster.wait_healthy();
    for _ in 0..3 {
        cluster.put_some();
    }
    cluster.kill9(&[1, 2, 3]);
    for n in [1, 2] {
        let volume = cluster.member(n).volume.clone();
        files::wipe(&volume);
        files::copy(&copies.join(n.to_string()), &volume);
    }
    cluster.start(&[1, 2]);
    cluster.wait_healthy_of(&[1, 2]);
}

fn damaged_data_beside_a_cluster_that_was_rolled_back(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    rolled_back(&mut cluster);
    let wal = cluster.member(3).volume.join("member/wal");
    damage(&files::wal_files(&wal).pop().unwrap(), Damage::FlippedTail);
    refuses(&mut cluster);
}

/// The others list it just as it is here. With its longer log, and a later term, its etcd would become their leader,
/// and what they have acknowledged since would be on some members and not on others.
fn a_member_that_is_listed_as_it_is_beside_a_cluster_that_was_rolled_back(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    rolled_back(&mut cluster);
    refuses(&mut cluster);
}

/// Started without us beside others that list it just as it is here, etcd hangs (with 3.4 the others lose their
/// leader, too). `status` asks them, and tells. From 3.6 on the others' leader panics at what this etcd answers (raft
/// `maybeSendSnapshot`, "need non-empty snapshot"), and once it is started again, all of them serve.
fn an_etcd_that_hangs_beside_a_cluster_that_was_rolled_back(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    rolled_back(&mut cluster);
    cluster.member(3).start_etcd(&[]);
    let mut status = String::new();
    wait_for("status tells", PATIENCE, || {
        status = cluster.member(3).ask(&["status"]);
        status.contains("and is not healthy") && status.contains("other-history: the others have")
    });
    eprintln!("{status}");
    assert!(status.contains("stop it; keep a copy of both sides"));
}

/// The others are stopped and emptied, and this copy becomes the cluster: nothing is lost.
fn the_right_side_goes_on_as_the_refusal_says(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    for n in cluster.all() {
        // A last commit index is written with the entry after it, and what lies beyond is dropped.
        assert_eq!(cluster.member(n).sigterm(), 143);
    }
    founded_anew(&mut cluster);
    refuses(&mut cluster);
    for n in [1, 2] {
        cluster.member(n).lose_disk();
    }
    cluster.member(3).start_etcd(&["--force-new-cluster"]);
    cluster.start(&[1, 2]);
    cluster.wait_healthy();
    cluster.member(3).sigterm();
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

/// The other way round: what has come further is our future, and a removed member's data may be set aside.
fn a_cluster_that_holds_our_history_gets_a_removed_member_back(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.put_some();
    let id = format!("{:x}", cluster.id(3));
    cluster.kill9(&[3]);
    cluster.operator(&["member", "remove", &id]);
    // Nothing else is committed since: its entries are all that this volume lacks.
    cluster.start(&[3]);
    cluster.wait_healthy();
    let steps = cluster.member(3).steps();
    assert!(steps.contains(&"quarantine".into()), "{steps:?}");
    cluster.verify();
}
