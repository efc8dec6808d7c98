//! A machine is taken down in order: nothing is lost, and a disk that was left behind knows it.

use std::time::Instant;

use super::lab::lab;

#[test]
#[ignore = "needs qemu"]
fn an_orderly_rolling_restart_of_both_loses_nothing() {
    let lab = lab("an_orderly_rolling_restart_of_both_loses_nothing");
    let used = lab.fence.used();
    for n in [2, 1] {
        lab.check_before_bids(n);
    }
    lab.wait("one serves", || lab.serving().is_some());
    lab.move_to(1);
    // The standby; then the one that serves, whose address a failed check has to move; then the other one
    // that serves, with keepalived stopped before it.
    for (down, serves, command) in [
        (2, 1, "/guest/shutdown"),
        (1, 2, "/guest/shutdown rover-first"),
        (2, 1, "/guest/shutdown"),
    ] {
        lab.write_from(serves);
        let begun = Instant::now();
        lab.shut_down_by(down, command);
        lab.wait("the other one serves", || lab.serving() == Some(serves));
        lab.wait_acknowledged_after(Instant::now(), &format!("machine {down} shut down"));
        println!("longest gap {:.1?}", lab.record.longest_gap(begun));
        lab.return_of(down);
        lab.wait_synced();
        lab.wait("three healthy members", || lab.healthy() == 3);
        assert_eq!(lab.serving(), Some(serves), "it comes back as a backup");
    }
    assert_eq!(
        lab.fence.used(),
        used,
        "a machine was turned off in its shutdown"
    );
    lab.check();
}

/// Taken down while the other one went on, then that one too: the first to return has the older data, and
/// no crash says so.
#[test]
#[ignore = "needs qemu"]
fn a_standby_that_was_taken_down_never_serves_old_data() {
    let lab = lab("a_standby_that_was_taken_down_never_serves_old_data");
    let used = lab.fence.used();
    lab.write_from(1);
    lab.shut_down(2);
    let count = lab.record.len();
    lab.wait("writes that only machine 1 has", || {
        lab.record.len() > count + 10
    });
    lab.stop_writing();
    lab.shut_down(1);
    lab.return_of(2);
    lab.never_promotes(2, "Outdated/DUnknown");
    assert_eq!(lab.fence.used(), used, "nobody was turned off");
    lab.recovers_with(1);
}
