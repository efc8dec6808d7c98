//! Cables are cut: at most one machine writes, and what it was told is written stays.

use std::time::Instant;

use super::guest::Net;
use super::lab::lab;
use super::pair::{Pair, TEMPTATION};

/// Every packet between the machines is lost in these networks, and no carrier with it.
fn cut(pair: &Pair, nets: &[Net]) {
    std::thread::scope(|scope| {
        for guest in pair.guests.iter().filter(|guest| guest.is_on()) {
            scope.spawn(|| guest.lose_packets(nets));
        }
    });
}

/// That ends.
fn heal(pair: &Pair) {
    for guest in pair.guests.iter().filter(|guest| guest.is_on()) {
        guest.keep_packets();
    }
}

/// S2: the master goes on alone, writes, and dies: the other one's disk is old.
#[test]
#[ignore = "needs qemu"]
fn a_cut_replication_link_outdates_the_backup_before_the_next_write() {
    let lab = lab("a_cut_replication_link_outdates_the_backup_before_the_next_write");
    let used = lab.fence.used();
    lab.write_from(2);
    let cut_at = Instant::now();
    lab.guest(1).set_link(Net::Repl, false);
    lab.wait("the backup's disk is outdated", || {
        lab.disks(2) == "Outdated/DUnknown"
    });
    lab.wait("the master knows it", || {
        lab.disks(1) == "UpToDate/Outdated"
    });
    lab.wait_acknowledged_after(Instant::now(), "replication link cut");
    println!("longest gap {:.1?}", lab.record.longest_gap(cut_at));
    assert_eq!(lab.fence.used(), used, "nobody was turned off");
    lab.guest(1).kill();
    lab.never_promotes(2, "Outdated/DUnknown");
    lab.recovers_with(1);
}

/// S4: nobody hears the other one. With a fence command, one machine turns the other off.
#[test]
#[ignore = "needs qemu"]
fn of_two_machines_that_lose_each_other_one_is_turned_off() {
    let lab = lab("of_two_machines_that_lose_each_other_one_is_turned_off");
    let used = lab.fence.used();
    lab.write_from(1);
    lab.write_from(2);
    let begun = Instant::now();
    cut(&lab, &[Net::Lan, Net::Repl]);
    lab.wait("one of them is off", || lab.fence.used() == used + 1);
    lab.wait("the other one serves", || lab.serving().is_some());
    lab.wait_acknowledged_after(Instant::now(), "both networks cut");
    println!("longest gap {:.1?}", lab.record.longest_gap(begun));
    assert_eq!(lab.fence.used(), used + 1);
    let off = 3 - lab.serving().expect("a machine that serves");
    assert!(!lab.guest(off).is_on());
    heal(&lab);
    lab.recovers_with(off);
}

/// S4 without a fence command: the machine that is Primary goes on, the other one waits for a person.
#[test]
#[ignore = "needs qemu"]
fn without_a_fence_command_only_the_primary_goes_on() {
    let lab = lab("without_a_fence_command_only_the_primary_goes_on");
    lab.fence.set_working(false);
    lab.reconfigure("REJOIN_FENCE_COMMAND=");
    lab.write_from(1);
    let begun = Instant::now();
    cut(&lab, &[Net::Lan, Net::Repl]);
    lab.wait("the master goes on", || lab.disks(1) == "UpToDate/Outdated");
    lab.wait("machine 2 is keepalived's master, too", || {
        lab.has_address(2)
    });
    std::thread::sleep(TEMPTATION);
    assert_eq!(lab.guest(2).run("drbdadm role etcd"), "Secondary/Unknown");
    assert_eq!(lab.serving(), Some(1));
    println!("longest gap {:.1?}", lab.record.longest_gap(begun));
    heal(&lab);
    lab.wait_synced();
    lab.wait("one serves", || lab.serving().is_some());
    lab.reconfigure("");
    lab.check();
}

/// S5: keepalived has two masters, DRBD is well.
#[test]
#[ignore = "needs qemu"]
fn a_second_master_waits_while_the_first_one_is_connected() {
    let lab = lab("a_second_master_waits_while_the_first_one_is_connected");
    let used = lab.fence.used();
    lab.write_from(1);
    cut(&lab, &[Net::Lan]);
    lab.wait("two virtual addresses", || {
        lab.has_address(1) && lab.has_address(2)
    });
    std::thread::sleep(TEMPTATION);
    assert_eq!(lab.guest(2).run("drbdadm role etcd"), "Secondary/Primary");
    assert_eq!(lab.serving(), Some(1));
    heal(&lab);
    lab.wait("one address", || lab.has_address(1) != lab.has_address(2));
    lab.wait("one serves", || lab.serving().is_some());
    assert_eq!(lab.fence.used(), used, "nobody was turned off");
    lab.check();
}
