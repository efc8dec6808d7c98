//! Stops: by plan, by SIGTERM, by SIGKILL of what runs inside a machine.

use std::time::Instant;

use super::lab::lab;

#[test]
#[ignore = "needs qemu"]
fn a_planned_move_and_back() {
    let lab = lab("a_planned_move_and_back");
    lab.write_from(1);
    let rounds = std::env::var("ETCD_REJOIN_MOVES").map_or(1, |n| n.parse().expect("a number"));
    let mut gaps = Vec::new();
    for n in [2, 1].repeat(rounds) {
        let begun = Instant::now();
        lab.move_to(n);
        lab.wait_acknowledged_after(Instant::now(), &format!("moved to machine {n}"));
        let gap = lab.record.longest_gap(begun);
        println!("move to machine {n}: longest gap {gap:.1?}");
        gaps.push(gap);
        lab.wait("three healthy members", || lab.healthy() == 3);
    }
    gaps.sort();
    println!(
        "{} moves, median gap {:.1?}",
        gaps.len(),
        gaps[gaps.len() / 2]
    );
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
            .run("grep -c ' /var/lib/etcd3 ' /proc/mounts || true"),
        "0"
    );
    let started = Instant::now();
    lab.guest(1).run("/guest/service start rover");
    lab.wait_acknowledged_after(started, "started again");
    lab.check();
}

#[test]
#[ignore = "needs qemu"]
fn a_killed_container_starts_again() {
    let lab = lab("a_killed_container_starts_again");
    lab.write_from(2);
    lab.guest(1).run("/guest/service kill rover");
    let killed = Instant::now();
    lab.wait_acknowledged_after(killed, "rover and member killed");
    assert_eq!(lab.serving(), Some(1));
    lab.check();
}

/// A program that nobody stops holds a file open on the volume.
const HOLD: &str =
    "setsid tail -f /var/lib/etcd3/data/member/snap/db > /dev/null 2>&1 < /dev/null & echo $!";

#[test]
#[ignore = "needs qemu"]
fn a_held_file_delays_the_demotion_and_is_named() {
    let lab = lab("a_held_file_delays_the_demotion_and_is_named");
    lab.write_from(2);
    let holder = lab.guest(1).run(HOLD);
    lab.guest(1).run("/guest/service stop keepalived || true");
    let begun = Instant::now();
    lab.wait("the holder is named", || {
        lab.guest(1).ask(&format!(
            "grep -q 'tail.*{holder}\\|{holder}.*tail' /run/rover.log && echo yes"
        )) == "yes"
    });
    assert_eq!(lab.guest(2).run("drbdadm role etcd"), "Secondary/Primary");
    lab.guest(1).run(&format!("kill {holder}"));
    lab.wait("the move", || lab.serving() == Some(2));
    lab.wait_acknowledged_after(Instant::now(), "holder gone");
    println!("longest gap {:.1?}", lab.record.longest_gap(begun));
    lab.guest(1).run("/guest/service start keepalived");
    lab.check();
}

#[test]
#[ignore = "needs qemu"]
fn a_demotion_that_does_not_end_ends_the_machine_where_that_is_wanted() {
    let lab = lab("a_demotion_that_does_not_end_ends_the_machine_where_that_is_wanted");
    lab.reconfigure("REJOIN_SELF_FENCE=reboot REJOIN_DEMOTE_TIMEOUT=8s");
    lab.write_from(2);
    lab.guest(1).run(HOLD);
    let begun = Instant::now();
    lab.guest(1).run("/guest/service stop keepalived || true");
    lab.wait("the machine ends", || !lab.guest(1).is_on());
    println!("ended after {:.1?}", begun.elapsed());
    lab.wait_acknowledged_after(Instant::now(), "self-fenced");
    println!("longest gap {:.1?}", lab.record.longest_gap(begun));
    lab.return_of(1);
    lab.wait_synced();
    lab.reconfigure("");
    lab.check();
}

/// The volume is frozen with something still to be written, and the unmount waits for it in the kernel.
#[test]
#[ignore = "needs qemu"]
fn an_unmount_that_hangs_ends_the_machine_where_that_is_wanted() {
    let lab = lab("an_unmount_that_hangs_ends_the_machine_where_that_is_wanted");
    lab.reconfigure("REJOIN_SELF_FENCE=reboot REJOIN_DEMOTE_TIMEOUT=8s");
    lab.write_from(2);
    // The rover hears nothing until all is prepared.
    let frozen = "rover=$(cat /run/service/rover/pid)
        kill -STOP $rover && pkill -KILL -P $rover -x etcd
        until ps -o stat= -C etcd --ppid $rover | grep -q Z; do sleep 0.1; done
        dd if=/dev/zero of=/var/lib/etcd3/unwritten bs=1M count=4 2> /dev/null
        drbdadm suspend-io etcd
        kill -CONT $rover";
    let begun = Instant::now();
    lab.guest(1).run(frozen);
    lab.wait("the unmount hangs, and the rover says so", || {
        let said = "grep -q step-under-way /run/rover.log && echo yes";
        let says = lab.guest(1).ask(said) == "yes";
        assert!(says || lab.guest(1).is_on(), "it ended without a word");
        says
    });
    lab.wait("the machine ends", || !lab.guest(1).is_on());
    println!("ended after {:.1?}", begun.elapsed());
    lab.wait_acknowledged_after(Instant::now(), "self-fenced");
    lab.return_of(1);
    lab.wait_synced();
    lab.reconfigure("");
    lab.check();
}
