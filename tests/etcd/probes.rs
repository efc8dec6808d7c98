//! Do the probes tell an illness from a wait? Whom `startup` or `live` denies is restarted, whom `ready` denies loses
//! its clients.

use std::process::Command;

use crate::support::{Cluster, Member, PATIENCE, Version, scenarios, wait_for};

scenarios! { each: probes_of_three_members; both: probes_beside_a_full_quota_and_of_a_learner; }

/// What the probes say in the environment of this member: their exit codes, and all they print.
fn probes(member: &Member) -> ([i32; 3], String) {
    let mut text = String::new();
    let codes = ["startup", "live", "ready"].map(|probe| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_etcd-rejoin"));
        let said = command.args(["probe", probe]).env_clear().envs(&member.env);
        let said = said.output().unwrap();
        text += &String::from_utf8_lossy(&said.stdout);
        said.status.code().unwrap()
    });
    (codes, text)
}

#[track_caller]
fn say(member: &Member, codes: [i32; 3], words: &[&str]) {
    let mut last = None;
    wait_for("the probes say so", PATIENCE, || {
        let now = probes(member);
        let is_so = now.0 == codes;
        last = Some(now);
        is_so
    });
    let (_, text) = last.unwrap();
    for words in words {
        assert!(text.contains(words), "{words:?} is not in:\n{text}");
    }
}

fn probes_of_three_members(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    say(
        cluster.member(1),
        [1, 1, 1],
        &["neither etcd nor etcd-rejoin holds the data dir"],
    );
    cluster.start(&[1]);
    // It waits for the others: no illness.
    cluster.member(1).wait_log("not-all-heard");
    say(cluster.member(1), [1, 0, 1], &["brings this member up"]);
    cluster.start_all();
    cluster.wait_healthy();
    say(
        cluster.member(1),
        [0, 0, 0],
        &["etcd answers at", "answers with a leader"],
    );
    // Its quorum is lost.
    cluster.kill9(&[2, 3]);
    say(cluster.member(1), [0, 0, 1], &[]);
    // The same, and it has had none since its start: it answers at its peer URL alone.
    cluster.kill9(&[1]);
    cluster.start(&[1]);
    wait_for("it is etcd", PATIENCE, || cluster.member(1).is_etcd());
    say(cluster.member(1), [0, 0, 1], &[":2380"]);
    // The kernel answers, etcd does not.
    cluster.member(1).pause();
    say(
        cluster.member(1),
        [1, 1, 1],
        &["holds the data dir, and answers at none of its URLs"],
    );
    cluster.member(1).resume();
    cluster.start_all();
    cluster.wait_healthy();
    say(cluster.member(1), [0, 0, 0], &[]);
}

fn probes_beside_a_full_quota_and_of_a_learner(version: Version) {
    let mut cluster = Cluster::new(version, 1);
    cluster.set("ETCD_QUOTA_BACKEND_BYTES", "1000000");
    cluster.run();
    let value = "x".repeat(400_000);
    wait_for("the quota is used up", PATIENCE, || {
        cluster.client(1).put("large", &value).is_err()
    });
    assert_ne!(cluster.member(1).probe(), 0);
    say(cluster.member(1), [0, 0, 0], &[]);
    let learner = cluster.grow();
    let url = format!("--peer-urls={}", cluster.member(learner).peer_url());
    cluster.operator(&["member", "add", "n2", "--learner", &url]);
    let member = cluster.member(learner);
    member.set("ETCD_INITIAL_CLUSTER_STATE", "existing");
    member.start_etcd(&[]);
    say(cluster.member(learner), [0, 0, 1], &["is a learner"]);
}
