//! A machine dies, or is turned off: the other one serves.

use std::time::Instant;

use super::lab::lab;

#[test]
#[ignore = "needs qemu"]
fn the_master_is_killed_and_returns() {
    let lab = lab("the_master_is_killed_and_returns");
    lab.write_from(2);
    let killed = Instant::now();
    lab.guest(1).kill();
    lab.wait_taken_over(killed, "master killed");
    assert_eq!(lab.serving(), Some(2));
    let returned = Instant::now();
    lab.return_of(1);
    lab.wait_synced();
    println!("returned and in sync after {:.1?}", returned.elapsed());
    assert_eq!(lab.serving(), Some(2), "it comes back as a backup");
    lab.check();
}

#[test]
#[ignore = "needs qemu"]
fn the_backup_is_killed_and_returns() {
    let lab = lab("the_backup_is_killed_and_returns");
    lab.write_from(1);
    let killed = Instant::now();
    lab.guest(2).kill();
    // The volume freezes until the peer's fate is settled.
    lab.wait("the peer's disk is recorded Outdated", || {
        lab.disks(1) == "UpToDate/Outdated"
    });
    lab.wait_acknowledged_after(Instant::now(), "backup killed");
    println!("longest gap {:.1?}", lab.record.longest_gap(killed));
    lab.return_of(2);
    lab.wait_synced();
    assert_eq!(lab.serving(), Some(1));
    lab.check();
}

/// S1: the machine that starts first has the older data.
#[test]
#[ignore = "needs qemu"]
fn a_rolling_restart_of_both_never_serves_old_data() {
    let lab = lab("a_rolling_restart_of_both_never_serves_old_data");
    lab.write_from(2);
    let killed = Instant::now();
    lab.guest(1).kill();
    lab.wait_taken_over(killed, "first machine killed");
    let count = lab.record.len();
    lab.wait("writes that only machine 2 has", || {
        lab.record.len() > count + 10
    });
    lab.guest(2).kill();
    // Alone, with a disk that cannot know whether the other one went on.
    lab.fence.set_working(false);
    lab.return_of(1);
    lab.never_promotes(1, "Consistent/DUnknown");
    lab.fence.set_working(true);
    lab.recovers_with(2);
}

/// S3: DRBD lets a machine be promoted that holds half a resync, and the source dies.
#[test]
#[ignore = "needs qemu"]
fn half_a_resync_is_never_served() {
    let lab = lab("half_a_resync_is_never_served");
    lab.write_from(1);
    lab.guest(2).kill();
    lab.wait_acknowledged_after(Instant::now(), "backup killed");
    lab.guest(1).run("drbdadm pause-sync etcd");
    lab.return_of(2);
    lab.wait("machine 2 lacks a part", || {
        lab.disks(2).starts_with("Inconsistent/UpToDate")
    });
    lab.guest(1).kill();
    lab.never_promotes(2, "Inconsistent/DUnknown");
    lab.recovers_with(1);
}

/// Nothing can prove that the other machine is off: a person says so, once.
#[test]
#[ignore = "needs qemu"]
fn an_operator_who_accepts_the_loss_is_obeyed_once() {
    let lab = lab("an_operator_who_accepts_the_loss_is_obeyed_once");
    lab.fence.set_working(false);
    lab.write_from(2);
    let killed = Instant::now();
    lab.guest(1).kill();
    lab.never_promotes(2, "UpToDate/DUnknown");
    let said = lab.guest(2).run(
        "REJOIN_DRBD=etcd REJOIN_MOUNT=/var/lib/etcd3 REJOIN_GATE=/run/etcd-rejoin/gate \
         ETCD_DATA_DIR=/var/lib/etcd3/data \
         etcd-rejoin two-node promote --accept-loss 2>&1",
    );
    println!("{said}");
    let accepted = Instant::now();
    lab.wait("machine 2 serves", || lab.serving() == Some(2));
    lab.wait_acknowledged_after(accepted, "loss accepted");
    println!("longest gap {:.1?}", lab.record.longest_gap(killed));
    lab.recovers_with(1);
}
