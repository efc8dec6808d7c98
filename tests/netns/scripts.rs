//! `etcd-rejoin notify` as keepalived's notify script.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use etcd_rejoin::rover::table::Gate;

use crate::machines::{By, Machines, PATIENCE};
use crate::support::wait_for;

#[test]
#[ignore = "needs root and keepalived"]
fn each_machine_knows_what_keepalived_wishes() {
    let mut machines = Machines::running(By::Script);
    // keepalived's umask for its scripts is 0177; the rover is another user, perhaps.
    let mode = fs::metadata(&machines.one.gate)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o644);
    machines.one.stop();
    assert_eq!(machines.one.gate(), Gate::Stop);
    machines.two.becomes(Gate::Master);
    machines.one.start();
    machines.one.becomes(Gate::Master);
    machines.two.becomes(Gate::Backup);
}

#[test]
#[ignore = "needs root and keepalived"]
fn the_gates_directory_is_made_where_it_is_missing() {
    let mut machines = Machines::new(By::Script);
    machines.one.gate = machines.one.gate.with_file_name("run").join("gate");
    machines.one.start();
    machines.one.becomes(Gate::Master);
    let dir = machines.one.gate.parent().unwrap();
    assert_eq!(
        fs::metadata(dir).unwrap().permissions().mode() & 0o777,
        0o755
    );
}

#[test]
#[ignore = "needs root and keepalived"]
fn a_fault_is_said_at_once_and_ends() {
    let machines = Machines::running(By::Script);
    machines.one.ip(&["link", "set", "lan", "down"]);
    machines.one.becomes(Gate::Fault);
    machines.one.ip(&["link", "set", "lan", "up"]);
    machines.one.becomes(Gate::Master);
}

#[test]
#[ignore = "needs root and keepalived"]
fn a_script_that_ends_late_changes_nothing() {
    // BACKUP is always said first, and this script takes longer than the election.
    let mut machines = Machines::new(By::SlowScript("BACKUP"));
    machines.one.start();
    machines.one.becomes(Gate::Master);
    let log = machines.one.gate.with_file_name("notify.log");
    let said = fs::read_to_string(&log).unwrap();
    assert!(
        said.starts_with("BACKUP ") && said.contains("MASTER "),
        "{said}"
    );
    let pid = said.split_whitespace().nth(1).unwrap();
    let late = format!("/proc/{pid}");
    wait_for("the script of BACKUP has ended", PATIENCE, || {
        !Path::new(&late).exists()
    });
    assert_eq!(machines.one.gate(), Gate::Master);
}

#[test]
#[ignore = "needs root and keepalived"]
fn flapping_ends_with_the_last_wish() {
    let mut machines = Machines::new(By::SlowScript("FAULT|BACKUP"));
    machines.one.start();
    machines.one.becomes(Gate::Master);
    machines.one.flap();
    let log = machines.one.gate.with_file_name("notify.log");
    let all_ended = || {
        let said = fs::read_to_string(&log).unwrap();
        let mut pids = said
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1));
        said.matches("MASTER").count() == 6
            && pids.all(|pid| !Path::new(&format!("/proc/{pid}")).exists())
    };
    wait_for("every script has ended", PATIENCE, all_ended);
    assert_eq!(machines.one.gate(), Gate::Master);
}

#[test]
#[ignore = "needs root and keepalived"]
fn a_child_of_keepalived_that_is_killed_says_master_twice() {
    let machines = Machines::running(By::Script);
    let before = fs::read_to_string(&machines.one.gate).unwrap();
    machines.one.kill_child();
    // No STOP and no FAULT came: BACKUP, and MASTER once more.
    wait_for("it is master once more", PATIENCE, || {
        machines.one.gate() == Gate::Master
            && fs::read_to_string(&machines.one.gate).unwrap() != before
    });
    machines.two.becomes(Gate::Backup);
}

#[test]
#[ignore = "needs root and keepalived"]
fn a_parent_that_is_killed_leaves_a_stop() {
    let mut machines = Machines::running(By::Script);
    machines.one.kill_parent();
    machines.one.becomes(Gate::Stop);
    machines.two.becomes(Gate::Master);
    assert!(!machines.one.has_address());
}

#[test]
#[ignore = "needs root and keepalived"]
fn both_killed_leave_their_last_wish_and_the_address() {
    let mut machines = Machines::running(By::Script);
    machines.one.kill_both();
    machines.two.becomes(Gate::Master);
    assert_eq!(machines.one.gate(), Gate::Master);
    assert!(machines.one.has_address() && machines.two.has_address());
    machines.one.start();
    machines.one.becomes(Gate::Master);
    machines.two.becomes(Gate::Backup);
}
