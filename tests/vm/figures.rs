//! How long a takeover takes, beside the same done by a script: the master is killed again and again, and
//! nothing of what was acknowledged is lost.

use std::time::{Duration, Instant};

use super::lab::lab;
use super::pair::Pair;

/// How often the master is killed: `ETCD_REJOIN_FAILOVERS`, else this.
const FAILOVERS: usize = 2;
/// After as many of ours, one by hand: `ETCD_REJOIN_BY_HAND`, else this.
const BY_HAND: usize = 4;

#[test]
#[ignore = "needs qemu"]
fn the_master_is_killed_again_and_again() {
    let lab = lab("the_master_is_killed_again_and_again");
    let count = std::env::var("ETCD_REJOIN_FAILOVERS");
    let count = count.map_or(FAILOVERS, |n| n.parse().expect("a number"));
    let each = std::env::var("ETCD_REJOIN_BY_HAND");
    let each = each.map_or(BY_HAND, |n| n.parse().expect("a number"));
    let (mut ours, mut by_hand) = (Vec::new(), Vec::new());
    for n in 0..count {
        ours.push(failover(&lab, false));
        if n % each == 0 {
            by_hand.push(failover(&lab, true));
        }
    }
    for (whose, taken) in [("ours", &ours), ("by hand", &by_hand)] {
        let outage = median(taken.iter().map(|taken| taken.outage));
        let share = median(taken.iter().map(|taken| taken.share));
        println!(
            "{whose}: {} failovers, medians: killed to first acknowledged write {outage:.1?}, \
             keepalived's master to etcd serving {share:.2?}",
            taken.len()
        );
    }
    let share = |taken: &[Taken]| median(taken.iter().map(|taken| taken.share)).as_secs_f64();
    println!("ratio {:.2}", share(&ours) / share(&by_hand));
}

/// DRBD throttles a resync beside writes to `c-min-rate`, 250 KB/s where nobody says otherwise: a gigabyte would
/// take more than an hour, and be the only copy all that time.
#[test]
#[ignore = "needs qemu"]
fn a_gigabyte_is_resynced_beside_writes() {
    let lab = lab("a_gigabyte_is_resynced_beside_writes");
    lab.guest(2).kill();
    lab.wait("the peer's disk is recorded Outdated", || {
        lab.disks(1) == "UpToDate/Outdated"
    });
    for _ in 0..8 {
        lab.guest(1)
            .run("head -c 134217728 /dev/zero >> /var/lib/etcd3/fill && sync");
    }
    lab.write_from(1);
    lab.return_of(2);
    let begun = Instant::now();
    lab.wait_synced();
    let took = begun.elapsed();
    println!(
        "1 GB in sync after {took:.1?}, {:.1} MB/s",
        1024.0 / took.as_secs_f64()
    );
    println!("longest gap {:.1?}", lab.record.longest_gap(begun));
    lab.guest(1).run("rm /var/lib/etcd3/fill");
    lab.check();
}

/// One takeover.
struct Taken {
    /// From the death of the master to the first acknowledged write.
    outage: Duration,
    /// From keepalived's word to etcd's, on the machine that takes over.
    share: Duration,
}

fn failover(pair: &Pair, by_hand: bool) -> Taken {
    let master = pair.serving().expect("a machine that serves");
    let other = pair.guest(3 - master);
    let log = match by_hand {
        false => "/run/rover.log",
        true => {
            other.run(
                "/guest/service stop rover || true
                setsid /guest/by-hand > /run/by-hand.log 2>&1 < /dev/null &",
            );
            "/run/by-hand.log"
        }
    };
    pair.write_from(other.n);
    let killed = Instant::now();
    pair.guest(master).kill();
    let whose = if by_hand { "by hand" } else { "ours" };
    let outage = pair.wait_taken_over(killed, whose);
    let said = other.run(&format!(
        "tail -n 1 /run/master.log; grep 'ready to serve client requests' {log} | tail -n 1"
    ));
    let (master_at, serving_at) = said.split_once('\n').expect("two lines");
    // Midnight may lie between.
    let share = (serving(serving_at) - told(master_at)).rem_euclid(86_400.0);
    println!("{whose}: master to serving {:.2} s", share);
    if std::env::var_os("ETCD_REJOIN_VM_REPORT").is_some() {
        println!(
            "{}",
            other.run(&format!("tail -n 150 {log}; cat /run/master.log"))
        );
        pair.report();
    }
    if by_hand {
        // The rover finds everything let go, and keepalived's word still there.
        other.run(
            "kill $(cat /run/by-hand.etcd)
            while [ -d /proc/$(cat /run/by-hand.pid) ]; do sleep 0.1; done",
        );
        other.run("/guest/service start rover");
    }
    pair.return_of(master);
    pair.wait_synced();
    pair.check();
    Taken {
        outage,
        share: Duration::from_secs_f64(share),
    }
}

/// Seconds since midnight, of seconds since 1970.
fn told(epoch: &str) -> f64 {
    let seconds: f64 = epoch.parse().unwrap_or_else(|_| panic!("{epoch:?}"));
    seconds % 86_400.0
}

/// Seconds since midnight, of a line of etcd 3.4: `2026-11-21 09:30:00.123456 I | embed: ...`.
fn serving(line: &str) -> f64 {
    let time = line.split(' ').nth(1).unwrap_or_default();
    let parts: Vec<f64> = time
        .split(':')
        .filter_map(|part| part.parse().ok())
        .collect();
    let [hours, minutes, seconds] = parts[..] else {
        panic!("no time in {line:?}");
    };
    (hours * 60.0 + minutes) * 60.0 + seconds
}

fn median(values: impl Iterator<Item = Duration>) -> Duration {
    let mut values: Vec<_> = values.collect();
    values.sort();
    values[values.len() / 2]
}
