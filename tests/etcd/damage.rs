//! Data that is there and no good: it is set aside once the cluster has confirmed that it has all.

use std::path::PathBuf;
use std::time::Duration;

use crate::support::files::{self, Damage, damage};
use crate::support::{Cluster, Tree, Version, scenarios};

scenarios! {
    each:
        wal_flipped_in_the_middle,
        wal_flipped_at_the_end,
        wal_zeroed_at_the_end,
        wal_cut_at_the_end,
        a_record_without_end_is_no_torn_write,
        a_record_that_swallows_the_rest_is_no_torn_write,
        database_gone,
        database_garbage;
    both:
        wal_emptied,
        database_emptied,
        damaged_without_quorum_waits,
        wal_dir_gone_beside_its_database,
        wal_head_unreadable,
        a_stale_lock_file_is_no_damage,
        killed_between_every_two_steps_of_a_damaged_member,
        killed_in_the_midst_of_each_step_of_a_damaged_member;
}

fn wal(cluster: &mut Cluster, n: usize) -> PathBuf {
    let wal = cluster.member(n).volume.join("member/wal");
    files::wal_files(&wal).pop().unwrap()
}

fn database(cluster: &mut Cluster, n: usize) -> PathBuf {
    cluster.member(n).volume.join("member/snap/db")
}

/// Damages a file of member 3 while it is down; in the end all is as it was.
fn heals(version: Version, file: fn(&mut Cluster, usize) -> PathBuf, how: Damage) -> Cluster {
    let mut cluster = Cluster::running(version, 3);
    let writer = cluster.writer(&[1, 2]);
    cluster.kill9(&[3]);
    let path = file(&mut cluster, 3);
    damage(&path, how);
    cluster.start(&[3]);
    cluster.wait_healthy_restarting(3);
    writer.stop();
    cluster.put_some();
    cluster.verify();
    cluster
}

fn wal_flipped_in_the_middle(version: Version) {
    heals(version, wal, Damage::FlippedMiddle);
}

fn wal_flipped_at_the_end(version: Version) {
    heals(version, wal, Damage::FlippedTail);
}

fn wal_zeroed_at_the_end(version: Version) {
    heals(version, wal, Damage::ZeroedTail);
}

fn wal_cut_at_the_end(version: Version) {
    heals(version, wal, Damage::CutTail);
}

fn wal_emptied(version: Version) {
    heals(version, wal, Damage::Emptied);
}

fn wal_head_unreadable(version: Version) {
    heals(version, wal, Damage::FlippedHead);
}

fn database_gone(version: Version) {
    heals(version, database, Damage::Gone);
}

fn database_garbage(version: Version) {
    heals(version, database, Damage::FlippedHead);
}

fn database_emptied(version: Version) {
    heals(version, database, Damage::Emptied);
}

fn wal_dir_gone_beside_its_database(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.kill9(&[3]);
    std::fs::remove_dir_all(cluster.member(3).volume.join("member/wal")).unwrap();
    cluster.start(&[3]);
    cluster.wait_healthy_restarting(3);
    cluster.put_some();
    cluster.verify();
}

/// It may be the last copy: nothing is touched until the others have a leader.
fn damaged_without_quorum_waits(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.kill9(&[2, 3]);
    let path = wal(&mut cluster, 3);
    damage(&path, Damage::FlippedMiddle);
    let volume = cluster.member(3).volume.clone();
    let before = Tree::of(&volume);
    cluster.start(&[3]);
    cluster
        .member(3)
        .assert_waits("data-damaged-no-quorum", Duration::from_secs(1));
    Tree::of(&volume).assert_is(&before);
    cluster.start(&[2]);
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

/// An acknowledged write is on n2 and on n3, whose WAL is damaged before it. etcd may take the damage
/// for the trace of a crash and cut off all that follows: then n1 and n3 would elect a leader, and the
/// write would be gone with one damaged disk.
fn is_no_torn_write(version: Version, how: Damage) {
    let mut cluster = Cluster::running(version, 3);
    cluster.kill9(&[1]);
    cluster.put_some();
    cluster.kill9(&[2, 3]);
    let path = wal(&mut cluster, 3);
    damage(&path, how);
    cluster.start(&[1, 3]);
    cluster
        .member(3)
        .assert_waits("data-damaged-no-quorum", Duration::from_secs(1));
    assert!(cluster.client(1).linearizable_read().is_err());
    cluster.start(&[2]);
    cluster.wait_healthy();
    cluster.verify();
}

fn a_record_without_end_is_no_torn_write(version: Version) {
    is_no_torn_write(version, Damage::EndlessRecord);
}

fn a_record_that_swallows_the_rest_is_no_torn_write(version: Version) {
    is_no_torn_write(version, Damage::LongRecord);
}

/// Files that do not belong there are etcd's business, not ours.
fn a_stale_lock_file_is_no_damage(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.kill9(&[3]);
    let volume = cluster.member(3).volume.clone();
    std::fs::create_dir(volume.join("lost+found")).unwrap();
    std::fs::write(volume.join("member/wal/0.tmp.tmp"), "left by a crash").unwrap();
    std::fs::write(
        volume.join("member/snap/0000.snap.broken"),
        "left by a crash",
    )
    .unwrap();
    cluster.start(&[3]);
    cluster.wait_healthy();
    assert!(cluster.member(3).is_etcd());
    assert_eq!(cluster.member(3).steps(), Vec::<String>::new());
    cluster.verify();
}

fn killed_between_every_two_steps_of_a_damaged_member(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let writer = cluster.writer(&[1, 2]);
    for steps in 1..=5 {
        cluster.kill9(&[3]);
        let path = wal(&mut cluster, 3);
        damage(&path, Damage::FlippedMiddle);
        cluster.member(3).start_steps(steps);
        assert_eq!(cluster.member(3).wait_exit(crate::support::PATIENCE), 75);
        cluster.start(&[3]);
        cluster.wait_healthy_of(&[3]);
    }
    writer.stop();
    cluster.verify();
}

/// With SIGKILL, as soon as the step has begun.
fn killed_in_the_midst_of_each_step_of_a_damaged_member(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let writer = cluster.writer(&[1, 2]);
    for step in ["give-up", "remove-member", "quarantine", "add-member"] {
        cluster.kill9(&[3]);
        let path = wal(&mut cluster, 3);
        damage(&path, Damage::FlippedMiddle);
        cluster.start(&[3]);
        cluster.member(3).wait_log(&format!("step={step}"));
        cluster.kill9(&[3]);
        cluster.start(&[3]);
        cluster.wait_healthy_of(&[3]);
    }
    writer.stop();
    cluster.verify();
}
