//! What the volume is made of, and who may bid for it.

use std::time::Instant;

use super::lab::lab;
use super::pair::{Pair, TEMPTATION};

/// The first set-up is the beginning of every pair; here it meets what it has made.
#[test]
#[ignore = "needs qemu"]
fn a_volume_is_made_once() {
    let lab = lab("a_volume_is_made_once");
    lab.write_from(1);
    for guest in &lab.guests {
        for more in ["", " --first", " --first --fs xfs"] {
            let script = format!("etcd-rejoin two-node init --resource etcd{more}");
            let said = guest.try_run(&script, super::guest::SCRIPT).unwrap();
            assert_eq!(said.code, 65, "{}", said.text);
        }
    }
    lab.wait_acknowledged_after(Instant::now(), "refused");
    assert_eq!(lab.disks(2), "UpToDate/UpToDate");
    lab.check();
}

#[test]
#[ignore = "needs qemu"]
fn xfs_is_replayed_by_the_machine_that_takes_over() {
    // Two pairs at a time would be slow.
    let lab = lab("xfs_is_replayed_by_the_machine_that_takes_over");
    lab.guests.iter().for_each(super::guest::Guest::kill);
    let pair = Pair::new("xfs");
    pair.set_up();
    pair.write_from(2);
    let killed = Instant::now();
    pair.guest(1).kill();
    pair.wait_taken_over(killed, "master killed");
    let mounts = pair.guest(2).run("grep ' /var/lib/etcd3 ' /proc/mounts");
    assert!(mounts.contains(" xfs "), "{mounts}");
    pair.return_of(1);
    pair.wait_synced();
    pair.move_to(1);
    pair.check();
    drop(pair);
    lab.power_on();
    lab.check();
}

/// The roving member is a member like any other: with new disks on both machines it comes back empty, by
/// remove and add, and the other two fill it again.
#[test]
#[ignore = "needs qemu"]
fn a_volume_that_is_lost_on_both_machines_is_filled_again() {
    let lab = lab("a_volume_that_is_lost_on_both_machines_is_filled_again");
    lab.write_from(2);
    let members =
        "etcdctl --endpoints http://10.1.0.1:2379 member list | grep -w etcd3 | cut -d, -f1";
    let before = lab.guest(1).run(members);
    lab.stop_writing();
    lab.lose_the_volume();
    let after = lab.guest(1).run(members);
    assert_ne!(before, after, "it was removed and added");
    lab.write_from(1);
    lab.check();
}

/// As `NEXT-STEPS.txt` says it: its disk is filled by DRBD, and its own member joins with an empty data dir.
#[test]
#[ignore = "needs qemu"]
fn a_machine_that_is_gone_for_good_is_replaced() {
    let lab = lab("a_machine_that_is_gone_for_good_is_replaced");
    lab.write_from(1);
    let killed = Instant::now();
    lab.guest(2).kill();
    lab.wait_acknowledged_after(killed, "one machine is gone");
    lab.guest(2).replace();
    lab.guest(2).start();
    lab.guest(2).wait_up();
    lab.guest(2)
        .run("etcd-rejoin two-node init --resource etcd");
    lab.guest(2)
        .run("/guest/up; /guest/service start keepalived");
    lab.wait_synced();
    lab.wait("three healthy members", || lab.healthy() == 3);
    lab.check();
}

/// A machine with nothing to offer does not take the address from nobody.
#[test]
#[ignore = "needs qemu"]
fn a_machine_that_must_not_be_promoted_never_bids() {
    let lab = lab("a_machine_that_must_not_be_promoted_never_bids");
    for n in [2, 1] {
        lab.check_before_bids(n);
    }
    lab.wait("one serves", || lab.serving().is_some());
    lab.move_to(1);
    lab.write_from(1);
    let cut = Instant::now();
    lab.guest(1).set_link(super::guest::Net::Repl, false);
    lab.wait("the backup's disk is outdated", || {
        lab.disks(2) == "Outdated/DUnknown"
    });
    lab.wait_acknowledged_after(cut, "replication link cut");
    lab.guest(1).kill();
    std::thread::sleep(TEMPTATION);
    assert!(!lab.has_address(2), "a bid for a volume that is outdated");
    let why = lab
        .guest(2)
        .ask("etcd-rejoin probe promotable --gate /run/etcd-rejoin/gate || true");
    assert!(why.contains("disk-outdated"), "{why}");
    lab.return_of(1);
    lab.wait_synced();
    lab.wait("somebody serves", || lab.serving().is_some());
    for guest in &lab.guests {
        guest.run("rm -f /run/track; /guest/service stop keepalived || true; /guest/service start keepalived");
    }
    lab.wait("one serves", || lab.serving().is_some());
    lab.check();
}

/// It goes on without a disk of its own, and the other machine takes over as ever: it has all of it.
#[test]
#[ignore = "needs qemu"]
fn a_failed_disk_below_the_one_that_serves_needs_no_person() {
    let lab = lab("a_failed_disk_below_the_one_that_serves_needs_no_person");
    let used = lab.fence.used();
    for n in [2, 1] {
        lab.check_before_bids(n);
    }
    lab.wait("one serves", || lab.serving().is_some());
    lab.move_to(1);
    lab.write_from(1);
    lab.guest(1).run("drbdadm detach --force etcd");
    lab.wait("machine 1 goes on without a disk", || {
        lab.disks(1) == "Diskless/UpToDate"
    });
    lab.wait_acknowledged_after(Instant::now(), "disk detached");
    let begun = Instant::now();
    lab.guest(1).run("/guest/service stop keepalived");
    lab.wait("the other one takes over", || lab.serving() == Some(2));
    lab.wait_acknowledged_after(begun, "taken over from a machine without a disk");
    assert_eq!(lab.fence.used(), used, "nobody was turned off");
    lab.guest(1)
        .run("drbdadm attach etcd; /guest/service start keepalived");
    lab.wait_synced();
    for guest in &lab.guests {
        guest.run("rm -f /run/track; /guest/service stop keepalived || true; /guest/service start keepalived");
    }
    lab.wait("one serves", || lab.serving().is_some());
    lab.check();
}
