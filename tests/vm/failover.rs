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
    lab.wait_acknowledged_after(killed, "master killed");
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
    lab.wait_acknowledged_after(killed, "first machine killed");
    let count = lab.record.len();
    lab.wait("writes that only machine 2 has", || {
        lab.record.len() > count + 10
    });
    lab.guest(2).kill();
    // Alone, with a disk that cannot know whether the other one went on.
    lab.fence.set_working(false);
    lab.return_of(1);
    lab.wait("machine 1 is keepalived's master", || lab.has_address(1));
    std::thread::sleep(std::time::Duration::from_secs(15));
    assert_eq!(lab.disks(1), "Consistent/DUnknown");
    assert_eq!(lab.guest(1).ask("drbdadm role etcd"), "Secondary/Unknown");
    lab.fence.set_working(true);
    lab.return_of(2);
    lab.wait_synced();
    lab.check();
}
