//! A restart with intact data.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::bench::{Bench, Side};
use crate::stand_in::time_to_etcd;
use crate::support::Cluster;
use crate::table::{Row, Samples};

/// The member whose process ends and starts. Which one leads does not matter: it is dead meanwhile.
const OURS: usize = 3;
/// As long as the others need to see that it is gone.
const GONE: Duration = Duration::from_millis(300);
/// If it led: until the others have another leader, or know that they have none.
pub const ELECTED: Duration = Duration::from_secs(4);
/// etcd's own (`--heartbeat-interval`).
const HEARTBEAT: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(10);

/// The other two are up.
pub fn intact(bench: &Bench) -> Vec<Row> {
    both(bench, false, "restart", 5.0)
}

/// The other two are up, and both ports want client certificates.
pub fn intact_tls(bench: &Bench) -> Vec<Row> {
    both(bench, true, "restart with mutual TLS", 15.0)
}

/// The other two are up, and a store of snapshots is asked beside them: a directory.
pub fn intact_store(bench: &Bench) -> Vec<Row> {
    let mut cluster = bench.cluster(false);
    let store = cluster.scratch().join("store");
    std::fs::create_dir(&store).expect("a folder can be made");
    let (mut with, mut without) = (Samples::default(), Samples::default());
    cluster.kill9(&[OURS]);
    sleep(ELECTED);
    for _ in 0..bench.times * 2 {
        let member = cluster.member(OURS);
        for (place, samples) in [(store.to_str(), &mut with), (None, &mut without)] {
            match place {
                Some(place) => member.set("REJOIN_STORE", place),
                None => member.unset("REJOIN_STORE"),
            };
            let took = time_to_etcd(bench, Side::Ours, member, PATIENCE);
            samples.add(took.expect("it becomes etcd"));
        }
    }
    let name = "restart with a store, beside one without: our start to etcd's";
    vec![Row::more(name, &with, &without, 10.0)]
}

fn both(bench: &Bench, tls: bool, name: &str, most: f64) -> Vec<Row> {
    let mut cluster = bench.cluster(tls);
    let execve = to_etcd(bench, &mut cluster, bench.times * 2);
    let (ours, bare) = (&execve.0, &execve.1);
    let first = Row::more(&format!("{name}: our start to etcd's"), ours, bare, most);
    bench.start(Side::Bare, cluster.member(OURS));
    cluster.wait_healthy();
    let healthy = to_healthy(bench, &mut cluster, bench.times);
    let (ours, bare) = (&healthy.0, &healthy.1);
    vec![
        first,
        // Healthy is with the next heartbeat of the leader: at one phase of it both sides take as long, but for the
        // few starts that just miss one. Those move a median of all phases by several per cent, either way.
        Row::of_pairs(&format!("{name}: start to healthy"), ours, bare, 1.02),
    ]
}

/// With a stand-in for etcd: ours, and the stand-in alone.
fn to_etcd(bench: &Bench, cluster: &mut Cluster, times: usize) -> (Samples, Samples) {
    let (mut ours, mut bare) = (Samples::default(), Samples::default());
    cluster.kill9(&[OURS]);
    sleep(ELECTED);
    for _ in 0..times {
        for (side, samples) in [(Side::Ours, &mut ours), (Side::Bare, &mut bare)] {
            let took = time_to_etcd(bench, side, cluster.member(OURS), PATIENCE);
            samples.add(took.expect("it becomes etcd"));
        }
    }
    (ours, bare)
}

/// With etcd itself: ours, and etcd alone.
fn to_healthy(bench: &Bench, cluster: &mut Cluster, times: usize) -> (Samples, Samples) {
    let (mut ours, mut bare) = (Samples::default(), Samples::default());
    let begin = Instant::now();
    for i in 0..times {
        // Either side goes first in turn: what one leaves behind meets both.
        let mut sides = [(Side::Ours, &mut ours), (Side::Bare, &mut bare)];
        sides.rotate_left(i % 2);
        for (side, samples) in sides {
            // A start after one whose WAL never moved would be on trial.
            cluster.put_some();
            sleep(GONE);
            // The leader's heartbeats come every 100 ms, and the others dial a lost member as often. What is
            // measured spreads over those: both sides meet them at the same moments, and at all of them.
            sleep_until(begin, Duration::ZERO);
            cluster.kill9(&[OURS]);
            sleep(GONE);
            sleep_until(begin, Duration::from_millis(i as u64 * 37 % 100));
            samples.add(bench.time_to_healthy(side, cluster.member(OURS)));
        }
    }
    (ours, bare)
}

/// Until so long after a full heartbeat, counted from `begin`.
fn sleep_until(begin: Instant, after: Duration) {
    let past = begin.elapsed().as_micros() % HEARTBEAT.as_micros();
    let wanted = HEARTBEAT + after - Duration::from_micros(past as u64);
    sleep(match wanted >= HEARTBEAT {
        true => wanted - HEARTBEAT,
        false => wanted,
    });
}

/// Another member is down, and the third waits for us without a leader.
pub fn last_of_quorum(bench: &Bench) -> Vec<Row> {
    let mut cluster = bench.cluster(false);
    cluster.kill9(&[2]);
    cluster.wait_healthy_of(&[1, OURS]);
    let execve = to_etcd(bench, &mut cluster, bench.times);
    let name = "another member is down, the quorum waits: our start to etcd's";
    let first = Row::more(name, &execve.0, &execve.1, 50.0);
    bench.start(Side::Bare, cluster.member(OURS));
    cluster.wait_healthy_of(&[1, OURS]);
    let (ours, bare) = to_healthy(bench, &mut cluster, bench.times);
    let name = "another member is down, the quorum waits: start to healthy";
    vec![first, Row::more(name, &ours, &bare, 50.0)]
}
