//! `vrrp_notify_fifo`: keepalived writes, the rover reads.

use etcd_rejoin::rover::gate::GateReader;
use etcd_rejoin::rover::table::Gate;

use crate::machines::{By, Machines, PATIENCE};
use crate::support::wait_for;

#[test]
#[ignore = "needs root and keepalived"]
fn a_late_reader_hears_the_last_wish() {
    let mut machines = Machines::new(By::Fifo);
    machines.one.start();
    wait_for("it has the address", PATIENCE, || {
        machines.one.has_address()
    });
    let mut reader = GateReader::open(&machines.one.gate, None);
    wait_for("it says so", PATIENCE, || reader.latest() == Gate::Master);
    // The reader's successor knows it too, though the lines are read.
    assert_eq!(machines.one.gate(), Gate::Master);
    machines.one.stop();
    assert_eq!(reader.latest(), Gate::Stop);
    assert!(reader.keepalived_gone());
    machines.one.start();
    wait_for("it is master again", PATIENCE, || {
        reader.latest() == Gate::Master
    });
}

#[test]
#[ignore = "needs root and keepalived"]
fn a_fifo_that_keepalived_makes_and_removes_is_followed() {
    let mut machines = Machines::new(By::OwnFifo);
    let mut reader = GateReader::open(&machines.one.gate, None);
    assert_eq!(reader.latest(), Gate::Unknown);
    machines.one.start();
    wait_for("it is master", PATIENCE, || reader.latest() == Gate::Master);
    machines.one.stop();
    assert_eq!(reader.latest(), Gate::Stop);
    machines.one.start();
    wait_for("it is master again", PATIENCE, || {
        reader.latest() == Gate::Master
    });
}

#[test]
#[ignore = "needs root and keepalived"]
fn killed_both_ways_the_fifo_says_what_can_be_known() {
    let mut machines = Machines::running(By::Fifo);
    let mut one = GateReader::open(&machines.one.gate, None);
    assert_eq!(one.latest(), Gate::Master);
    // The child alone: another one begins with BACKUP.
    let before = machines.one.times_master();
    machines.one.kill_child();
    wait_for("it is master once more", PATIENCE, || {
        // Until then the gate still says what the first child has said.
        machines.one.times_master() > before
            && one.latest() == Gate::Master
            && !one.keepalived_gone()
    });
    // Both: nothing is said, the address stays, and that nobody writes any more can be seen.
    machines.one.kill_both();
    assert_eq!(one.latest(), Gate::Master);
    assert!(one.keepalived_gone() && machines.one.has_address());
    machines.two.becomes(Gate::Master);
    // A rover that starts now has nobody's word.
    assert_eq!(machines.one.gate(), Gate::Unknown);
    let before = machines.one.times_master();
    machines.one.start();
    wait_for("it is master again", PATIENCE, || {
        machines.one.times_master() > before && one.latest() == Gate::Master
    });
    // The parent alone: an orderly end.
    machines.one.kill_parent();
    assert_eq!(one.latest(), Gate::Stop);
}

#[test]
#[ignore = "needs root and keepalived"]
fn flapping_ends_with_the_last_line() {
    let machines = Machines::running(By::Fifo);
    let mut reader = GateReader::open(&machines.one.gate, None);
    machines.one.flap();
    wait_for("the last one counts", PATIENCE, || {
        reader.latest() == Gate::Master
    });
    assert_eq!(reader.latest(), Gate::Master);
}
