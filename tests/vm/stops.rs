//! Stops: by plan, by SIGTERM, by SIGKILL of what runs inside a machine.

use std::time::Instant;

use super::lab::lab;

#[test]
#[ignore = "needs qemu"]
fn a_planned_move_and_back() {
    let lab = lab("a_planned_move_and_back");
    lab.write_from(1);
    for n in [2, 1] {
        let begun = Instant::now();
        lab.move_to(n);
        lab.wait_acknowledged_after(Instant::now(), &format!("moved to machine {n}"));
        println!(
            "move to machine {n}: longest gap {:.1?}",
            lab.record.longest_gap(begun)
        );
    }
    lab.check();
}

#[test]
#[ignore = "needs qemu"]
fn sigterm_leaves_it_secondary_and_unmounted() {
    let lab = lab("sigterm_leaves_it_secondary_and_unmounted");
    lab.write_from(2);
    let stopped = Instant::now();
    let said = lab
        .guest(1)
        .try_run("/guest/service stop rover", super::guest::SCRIPT)
        .unwrap();
    println!("stopped in {:.1?}", stopped.elapsed());
    assert_eq!(said.code, 128 + 15, "{}", said.text);
    assert_eq!(lab.guest(1).run("drbdadm role etcd"), "Secondary/Secondary");
    assert_eq!(
        lab.guest(1)
            .run("grep -c ' /srv/etcd ' /proc/mounts || true"),
        "0"
    );
    lab.guest(1).run("/guest/service start rover");
    lab.wait_acknowledged_after(stopped, "stopped and started");
    lab.check();
}

#[test]
#[ignore = "needs qemu"]
fn a_killed_container_starts_again() {
    let lab = lab("a_killed_container_starts_again");
    lab.write_from(2);
    let killed = Instant::now();
    lab.guest(1).run("/guest/service kill rover");
    lab.wait_acknowledged_after(killed, "rover and member killed");
    assert_eq!(lab.serving(), Some(1));
    lab.check();
}
