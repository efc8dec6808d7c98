//! keepalived itself dies, or cannot make up its mind.

use std::time::{Duration, Instant};

use super::lab::lab;
use super::pair::TEMPTATION;

#[test]
#[ignore = "needs qemu"]
fn keepalived_killed_with_its_address_left_behind() {
    let lab = lab("keepalived_killed_with_its_address_left_behind");
    lab.write_from(2);
    let begun = Instant::now();
    // Both processes at once: no event is said, and the address stays.
    lab.guest(1).run("pkill -KILL -x keepalived");
    lab.wait("one serves", || lab.serving().is_some());
    lab.wait("one address", || lab.has_address(1) != lab.has_address(2));
    lab.wait_acknowledged_after(Instant::now(), "both processes of keepalived killed");
    println!("longest gap {:.1?}", lab.record.longest_gap(begun));
    lab.check();
}

/// And it stays dead: nobody takes the address away, and the other keepalived becomes master beside it.
#[test]
#[ignore = "needs qemu"]
fn keepalived_that_stays_dead_leaves_one_that_serves() {
    let lab = lab("keepalived_that_stays_dead_leaves_one_that_serves");
    let used = lab.fence.used();
    lab.write_from(1);
    lab.guest(1).run("/guest/service end keepalived");
    lab.wait("two virtual addresses", || {
        lab.has_address(1) && lab.has_address(2)
    });
    std::thread::sleep(TEMPTATION);
    assert_eq!(lab.guest(2).run("drbdadm role etcd"), "Secondary/Primary");
    assert_eq!(lab.serving(), Some(1));
    // The rover dies, too: its machine stays Primary, and nobody serves.
    lab.guest(1).run("/guest/service end rover");
    std::thread::sleep(TEMPTATION);
    assert_eq!(lab.guest(2).run("drbdadm role etcd"), "Secondary/Primary");
    let returned = Instant::now();
    lab.guest(1).run("/guest/service start rover");
    lab.wait("one serves", || lab.serving().is_some());
    lab.guest(1).run("/guest/service start keepalived");
    lab.wait("one address", || lab.has_address(1) != lab.has_address(2));
    lab.wait("who has the address serves", || {
        lab.serving().is_some_and(|n| lab.has_address(n))
    });
    lab.write_from(2);
    println!("all is well after {:.1?}", returned.elapsed());
    assert_eq!(lab.fence.used(), used, "nobody was turned off");
    lab.check();
}

#[test]
#[ignore = "needs qemu"]
fn keepalived_killed_and_its_child_left() {
    let lab = lab("keepalived_killed_and_its_child_left");
    lab.write_from(2);
    let begun = Instant::now();
    lab.guest(1).run("kill -KILL $(cat /run/ka.pid)");
    lab.wait("machine 2 serves", || lab.serving() == Some(2));
    lab.wait_acknowledged_after(Instant::now(), "keepalived's parent killed");
    println!("longest gap {:.1?}", lab.record.longest_gap(begun));
    lab.check();
}

#[test]
#[ignore = "needs qemu"]
fn flapping_ends_with_one_that_serves() {
    let lab = lab("flapping_ends_with_one_that_serves");
    lab.write_from(1);
    for pause in [0, 1, 3, 5, 0, 2] {
        for guest in &lab.guests {
            guest.run("/guest/service stop keepalived || true; /guest/service start keepalived");
            std::thread::sleep(Duration::from_secs(pause));
        }
    }
    let flapped = Instant::now();
    lab.wait("one serves", || lab.serving().is_some());
    lab.wait_acknowledged_after(flapped, "flapping");
    lab.check();
}
