//! A cluster that grows by one, beside a person who does it without a pause; and a leader that leaves, beside a client
//! that writes.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::bench::{Bench, Side};
use crate::healing::CONNECTED;
use crate::support::{Cluster, PATIENCE, files, wait_for};
use crate::table::{Row, Samples};

/// A fourth member: from its start, or the person's first command, until it votes.
pub fn fourth_member(bench: &Bench) -> Vec<Row> {
    let mut cluster = bench.cluster(false);
    let new = cluster.grow();
    let (mut ours, mut bare) = (Samples::default(), Samples::default());
    for i in 0..bench.times.div_ceil(3) {
        let mut sides = [(Side::Ours, &mut ours), (Side::Bare, &mut bare)];
        sides.rotate_left(i % 2);
        for (side, samples) in sides {
            sleep(CONNECTED);
            let url = cluster.member(new).peer_url();
            let begin = Instant::now();
            match side {
                Side::Ours => bench.start(side, cluster.member(new)),
                Side::Bare => by_hand(bench, &mut cluster, new, &url),
            }
            wait_for("it is a voter", PATIENCE, || {
                listed(&cluster, &url).is_some_and(|(_, votes)| votes)
            });
            samples.add(begin.elapsed());
            let (id, _) = listed(&cluster, &url).expect("it is listed");
            cluster.operator(&["member", "remove", &format!("{id:x}")]);
            cluster.member(new).kill9();
            let member = cluster.member(new);
            files::wipe(&member.volume);
            member.set("ETCD_INITIAL_CLUSTER_STATE", "new");
        }
    }
    let name = "fourth member: start to voter, beside learner add, start and promotion by hand";
    vec![Row::ratio(name, &ours, &bare, 1.5)]
}

/// As fast as a person with a script can: the learner is promoted as soon as etcd lets it be.
fn by_hand(bench: &Bench, cluster: &mut Cluster, new: usize, url: &str) {
    let name = format!("n{new}");
    cluster.operator(&[
        "member",
        "add",
        &name,
        "--learner",
        &format!("--peer-urls={url}"),
    ]);
    let member = cluster.member(new);
    member.set("ETCD_INITIAL_CLUSTER_STATE", "existing");
    bench.start(Side::Bare, member);
    let (id, _) = listed(cluster, url).expect("it is listed");
    let id = format!("{id:x}");
    wait_for("it is promoted", PATIENCE, || {
        let done = cluster.etcdctl_at(&[1], &["member", "promote", &id]);
        done.status.success()
    });
}

/// The member with this peer URL, and whether it votes.
fn listed(cluster: &Cluster, url: &str) -> Option<(u64, bool)> {
    let members = cluster.client(1).members().ok()?;
    let url = url.to_string();
    let ours = members.iter().find(|m| m.peer_urls.contains(&url))?;
    Some((ours.id, ours.started && !ours.learner))
}

/// The leader leaves: the longest time in which no write of a client was acknowledged.
pub fn leader_leaves(bench: &Bench) -> Vec<Row> {
    let mut gaps = Samples::default();
    for _ in 0..bench.times.div_ceil(10) {
        let mut cluster = bench.cluster(false);
        sleep(CONNECTED);
        let leader = cluster.leader();
        let other = if leader == 1 { 2 } else { 1 };
        let client = cluster.client(other);
        let over = Arc::new(AtomicBool::new(false));
        let writer = std::thread::spawn({
            let over = over.clone();
            move || {
                let (mut longest, mut last) = (Duration::ZERO, Instant::now());
                while !over.load(Ordering::Relaxed) {
                    if client.put("gap", "x").is_ok() {
                        longest = longest.max(last.elapsed());
                        last = Instant::now();
                    }
                }
                longest.max(last.elapsed())
            }
        });
        let mut leave = Command::new(&bench.program);
        leave
            .arg("leave")
            .env_clear()
            .envs(&cluster.member(leader).env);
        let left = leave.output().expect("it runs");
        assert!(left.status.success(), "{left:?}");
        // An election that nobody prepared would come within this.
        sleep(Duration::from_secs(3));
        over.store(true, Ordering::Relaxed);
        gaps.add(writer.join().expect("it writes"));
    }
    let name = "`leave` of the leader: the longest gap in a client's writes";
    vec![Row::at_most(name, &gaps, 1000.0, "ms")]
}
