//! What `members` tells of real members, and what `defrag` does to them.

use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{Cluster, PATIENCE, Version, scenarios, wait_for};

scenarios! {
    each: members_are_listed_as_they_are;
    both: a_full_quota_is_cleared_once_there_is_room;
}

fn run(cluster: &mut Cluster, n: usize, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_etcd-rejoin"));
    command
        .args(args)
        .env_clear()
        .envs(&cluster.member(n).env)
        .output()
        .unwrap()
}

/// The exit code, and all that it printed.
fn said(cluster: &mut Cluster, n: usize, args: &[&str]) -> (Option<i32>, String) {
    let said = run(cluster, n, args);
    let text = [said.stdout, said.stderr].concat();
    (said.status.code(), String::from_utf8(text).unwrap())
}

fn members(cluster: &mut Cluster) -> Value {
    let said = run(cluster, 1, &["members", "--json"]);
    serde_json::from_slice(&said.stdout).unwrap()
}

fn members_are_listed_as_they_are(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let leader = cluster.leader();
    // The one that is asked last may lag for a moment.
    wait_for("all are healthy, and none lags", PATIENCE, || {
        let seen = members(&mut cluster);
        let each = seen["members"].as_array().unwrap();
        seen["margin"] == 1
            && seen["quorate"] == true
            && each
                .iter()
                .all(|one| one["state"] == "healthy" && one["lag"] == 0)
    });
    let seen = members(&mut cluster);
    for (n, one) in seen["members"].as_array().unwrap().iter().enumerate() {
        assert_eq!(one["name"], format!("n{}", n + 1));
        assert_eq!(
            one["role"],
            if n + 1 == leader { "leader" } else { "voter" }
        );
        assert!(one["version"].as_str().unwrap().starts_with("3."), "{one}");
        assert!(
            one["bytes"].as_u64() >= one["bytes_in_use"].as_u64(),
            "{one}"
        );
        assert!(one["bytes_in_use"].as_u64() > Some(0), "{one}");
    }
    let (code, text) = said(&mut cluster, 1, &["members"]);
    assert!(code == Some(0) && text.starts_with("NAME  ID "), "{text}");
    assert!(text.ends_with("survives 1 more failure\n"), "{text}");
    let (code, text) = said(&mut cluster, 1, &["defrag", "--dry-run"]);
    let last = text.lines().last().unwrap_or_default().to_string();
    assert!(
        code == Some(0) && last.starts_with(&format!("n{leader}: ")),
        "{text}"
    );
    // A learner that nobody starts is named with what takes it out.
    let url = "--peer-urls=http://127.0.0.1:1";
    cluster.operator(&["member", "add", "n9", "--learner", url]);
    let (_, text) = said(&mut cluster, 1, &["members"]);
    let cure = text.split("take it out: etcdctl ").nth(1).expect(&text);
    let words: Vec<&str> = cure.lines().next().unwrap().split(' ').collect();
    cluster.operator(&words);
    let other = if leader == 3 { 2 } else { 3 };
    cluster.kill9(&[other]);
    let (_, text) = said(&mut cluster, 1, &["members"]);
    assert!(!text.contains("take it out"), "{text}");
    assert!(
        text.contains(" silent ") && text.contains("survives no further failure"),
        "{text}"
    );
    let (code, text) = said(&mut cluster, 1, &["defrag"]);
    assert_eq!(code, Some(74), "{text}");
    assert!(
        text.contains(&format!("n{other} is not healthy: ")),
        "{text}"
    );
    // Its quorum is lost.
    let last = (1..=3).find(|n| ![1, other].contains(n)).unwrap();
    cluster.kill9(&[last]);
    wait_for("nobody leads", PATIENCE, || {
        members(&mut cluster)["quorate"] == false
    });
    let (_, text) = said(&mut cluster, 1, &["members"]);
    assert!(
        text.contains("no leader is proven; the voters that are healthy are no quorum"),
        "{text}"
    );
}

fn a_full_quota_is_cleared_once_there_is_room(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    cluster.set("ETCD_QUOTA_BACKEND_BYTES", "16000000");
    cluster.run();
    let value = "x".repeat(1_000_000);
    // bbolt's own free pages count for the quota: at first it is full of those, and then of old revisions.
    let mut text = String::new();
    wait_for("the quota is full of old revisions", PATIENCE, || {
        wait_for("the quota is used up", PATIENCE, || {
            cluster.client(1).put("same", &value).is_err()
        });
        let (code, said) = said(&mut cluster, 1, &["defrag"]);
        assert_eq!(code, Some(0), "{said}");
        let (stays, cleared) = (said.contains("stays: "), said.contains("cleared NOSPACE"));
        assert!(stays != cleared, "{said}");
        text = said;
        stays
    });
    assert!(text.contains("etcd-rejoin defrag --compact"), "{text}");
    assert!(cluster.client(1).put("same", "x").is_err());
    let (code, text) = said(&mut cluster, 1, &["defrag", "--compact", "--dry-run"]);
    assert!(
        code == Some(0) && text.contains("would compact"),
        "{code:?} {text}"
    );
    assert!(cluster.client(1).put("same", "x").is_err());
    let leader = format!("n{}: ", cluster.leader());
    let (code, text) = said(&mut cluster, 1, &["defrag", "--compact"]);
    assert!(
        code == Some(0) && text.contains("cleared NOSPACE"),
        "{code:?} {text}"
    );
    let became: Vec<&str> = text
        .lines()
        .filter(|line| line.contains(" became "))
        .collect();
    assert!(
        became.len() == 3 && became[2].starts_with(&leader),
        "{text}"
    );
    cluster.put_some();
    cluster.verify();
}
