//! Peers that swallow every packet: a look ends in time, and own data does not wait for them.

use std::time::{Duration, Instant};

use crate::bench::{Bench, Side};
use crate::restart::ELECTED;
use crate::run;
use crate::stand_in::time_to_etcd;
use crate::support::{Cluster, Member};
use crate::table::{Row, Samples};

/// Addresses for benchmarks (RFC 2544). Sent to loopback they belong to nobody there, and vanish.
const NOBODY: &str = "198.18.0.0/15";
const OURS: usize = 3;
/// What every look may take here.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Two or four peers, of which none, one or two others answer.
pub fn black_hole(bench: &Bench) -> Vec<Row> {
    run("ip", &["route", "replace", NOBODY, "dev", "lo"]);
    let mut cluster = bench.cluster(false);
    cluster.kill9(&[OURS]);
    std::thread::sleep(ELECTED);
    let rows = [
        ("own data, 1 of 2 peers black-holed", vec![1], 1, 50.0),
        ("own data, 2 of 4 peers black-holed", vec![1, 2], 2, 50.0),
        ("own data, 3 of 4 peers black-holed", vec![1], 3, 50.0),
    ];
    let mut found = Vec::new();
    for (name, up, holes, most) in rows {
        let initial = initial(&cluster, &up, holes);
        cluster.member(OURS).set("ETCD_INITIAL_CLUSTER", &initial);
        let (ours, bare) = delays(bench, cluster.member(OURS), bench.times);
        found.push(Row::more(
            &format!("{name}: our start to etcd's"),
            &ours,
            &bare,
            most,
        ));
    }
    for (name, holes) in [("own data, 2 of 2", 2), ("own data, 4 of 4", 4)] {
        let initial = initial(&cluster, &[], holes);
        cluster.member(OURS).set("ETCD_INITIAL_CLUSTER", &initial);
        let (ours, bare) = delays(bench, cluster.member(OURS), 3);
        let name = format!("{name} peers black-holed, REJOIN_TIMEOUT=2s: our start to etcd's");
        found.push(Row::more(&name, &ours, &bare, 2050.0));
    }
    for (name, holes) in [("empty, 2 of 2", 2), ("empty, 4 of 4", 4)] {
        let looks = look_of_an_empty_volume(bench, &mut cluster, holes);
        let name = format!("{name} peers black-holed, REJOIN_TIMEOUT=2s: a look");
        found.push(Row::at_most(&name, &looks, 2050.0, "ms"));
    }
    found
}

fn initial(cluster: &Cluster, up: &[usize], holes: usize) -> String {
    let up: Vec<usize> = up.iter().copied().chain([OURS]).collect();
    let holes = (1..=holes).map(|i| format!(",hole{i}=http://198.18.0.{i}:2380"));
    cluster.initial(&up) + &holes.collect::<String>()
}

fn delays(bench: &Bench, member: &Member, times: usize) -> (Samples, Samples) {
    let (mut ours, mut bare) = (Samples::default(), Samples::default());
    for _ in 0..times {
        for (side, samples) in [(Side::Ours, &mut ours), (Side::Bare, &mut bare)] {
            let took = time_to_etcd(bench, side, member, TIMEOUT * 4);
            samples.add(took.expect("it becomes etcd"));
        }
    }
    (ours, bare)
}

/// It may not start; `status` looks once and says what it would do.
fn look_of_an_empty_volume(bench: &Bench, cluster: &mut Cluster, holes: usize) -> Samples {
    let initial = initial(cluster, &[], holes);
    let empty = cluster.scratch().join("empty");
    let member = cluster.member(OURS);
    let mut samples = Samples::default();
    for _ in 0..3 {
        let mut command = bench.command(Side::Ours, member, "etcd".as_ref());
        command
            .env("ETCD_DATA_DIR", &empty)
            .env("ETCD_INITIAL_CLUSTER", &initial);
        let begin = Instant::now();
        let done = command.arg("status").output().expect("it can be started");
        samples.add(begin.elapsed());
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(said.contains("not-all-heard"), "status said {said}");
    }
    samples
}
