//! A cluster that lost every disk comes back from its store of snapshots, and only then.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::{Client, Cluster, PATIENCE, Version, scenarios, wait_for};

scenarios! {
    each: a_total_loss_comes_back;
    newest: a_restore_that_is_killed_goes_on, a_bad_snapshot_is_passed_over, five_come_back;
}

/// The program that speaks to the store: it lies beside the one under test.
pub fn snapshot_program() -> PathBuf {
    let ours = Path::new(env!("CARGO_BIN_EXE_etcd-rejoin"));
    let program = ours.with_file_name("etcd-rejoin-snapshot");
    assert!(program.is_file(), "cargo build -p etcd-rejoin-snapshot");
    program
}

/// Runs it, as an operator would.
pub fn snapshot(cluster: &mut Cluster, words: &[&str]) -> Output {
    let running: Vec<usize> = (cluster.all().into_iter())
        .filter(|&n| cluster.member(n).is_running())
        .collect();
    let endpoints = running.iter().map(|&n| cluster.member(n).client_url());
    let endpoints: Vec<String> = endpoints.collect();
    let mut command = Command::new(snapshot_program());
    command
        .env_clear()
        .env("REJOIN_STORE", store(cluster))
        .env("REJOIN_ETCD", cluster.version.etcd())
        .env("ETCDCTL_ENDPOINTS", endpoints.join(","))
        .args(words);
    command.output().unwrap()
}

/// The same, which must succeed; what it printed.
#[track_caller]
pub fn snapshot_ok(cluster: &mut Cluster, words: &[&str]) -> String {
    let done = snapshot(cluster, words);
    assert!(done.status.success(), "{words:?}: {done:?}");
    String::from_utf8(done.stdout).unwrap()
}

pub fn store(cluster: &Cluster) -> PathBuf {
    cluster.scratch().join("store")
}

/// `n` members with a store, which run, with a snapshot of their first writes.
pub fn saved(version: Version, n: usize) -> Cluster {
    let mut cluster = Cluster::new(version, n);
    let place = store(&cluster);
    std::fs::create_dir(&place).unwrap();
    cluster.set("REJOIN_STORE", place.to_str().unwrap());
    cluster.run();
    snapshot_ok(&mut cluster, &["save"]);
    cluster
}

/// Every process is killed, and every disk lost.
pub fn lose_all(cluster: &mut Cluster) {
    cluster.kill9(&cluster.all());
    for n in cluster.all() {
        cluster.member(n).lose_disk();
    }
}

/// How many lineages the store has beside the founding's.
pub fn lineages(cluster: &Cluster) -> usize {
    std::fs::read_dir(store(cluster).join("lineage")).map_or(0, Iterator::count)
}

fn revision(client: &Client) -> u64 {
    client.revision().unwrap()
}

/// Held, then by itself; and whoever restored serves nobody alone.
fn a_total_loss_comes_back(version: Version) {
    let mut cluster = saved(version, 3);
    let saved = cluster.acked.clone();
    cluster.acked = Default::default();
    cluster.put_some();
    let seen = revision(&cluster.client(1));
    lose_all(&mut cluster);
    cluster.start_all();
    for n in cluster.all() {
        cluster.member(n).wait_reason("total-loss-held");
        assert!(cluster.member(n).steps().is_empty());
    }
    cluster.kill9(&cluster.all());
    cluster.set("REJOIN_RECOVER", "auto");
    cluster.start_all();
    cluster.member(1).wait_log("its data is that of lineage 2");
    cluster.kill9(&[2, 3]);
    cluster.wait_healthy_of(&[1]);
    let error = cluster.client(1).put("alone", "value").unwrap_err();
    assert!(error.contains("corrupt"), "{error}");
    cluster.start_all();
    // What was written after the snapshot is gone; what it holds is there.
    cluster.acked = saved;
    cluster.verify();
    wait_for("clients are served", PATIENCE, || {
        cluster.client(1).put("again", "value").is_ok()
    });
    if version != Version::oldest() {
        assert!(revision(&cluster.client(1)) > seen);
    }
    cluster.put_some();
    cluster.verify();
    // Whose data is intact is not restored over, however few they are.
    cluster.kill9(&cluster.all());
    for n in [1, 2] {
        cluster.member(n).lose_disk();
    }
    cluster.start_all();
    for n in [1, 2] {
        cluster.member(n).wait_reason("data-lost-no-leader");
        assert!(cluster.member(n).steps().is_empty());
    }
    assert_eq!(lineages(&cluster), 1);
}

/// Every process of the seed ends after each of its steps, and right at each of them.
fn a_restore_that_is_killed_goes_on(version: Version) {
    let mut cluster = saved(version, 3);
    cluster.set("REJOIN_RECOVER", "auto");
    for at_once in [false, true] {
        lose_all(&mut cluster);
        cluster.start(&[2, 3]);
        let mut steps = Vec::new();
        while !steps.contains(&"restore-snapshot".to_string()) {
            match at_once {
                true => {
                    cluster.member(1).start();
                    let next = ["begin-lineage", "restore-snapshot"][steps.len().min(1)];
                    cluster.member(1).wait_log(&format!("step={next}"));
                    cluster.kill9(&[1]);
                }
                false => {
                    cluster.member(1).start_steps(1);
                    assert_eq!(cluster.member(1).wait_exit(PATIENCE), 75);
                }
            }
            steps.extend(cluster.member(1).steps());
        }
        cluster.start_all();
        cluster.verify();
    }
    assert_eq!(lineages(&cluster), 2);
}

fn a_bad_snapshot_is_passed_over(version: Version) {
    let mut cluster = saved(version, 3);
    let saved = cluster.acked.clone();
    cluster.acked = Default::default();
    cluster.put_some();
    snapshot_ok(&mut cluster, &["save"]);
    let listed = std::fs::read_dir(store(&cluster).join("snapshot")).unwrap();
    let objects = listed.map(|entry| entry.unwrap().path());
    let newest = objects.filter(|path| path.extension().is_some_and(|it| it == "zst"));
    let newest = newest.max().unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&newest, bytes).unwrap();
    cluster.set("REJOIN_RECOVER", "auto");
    lose_all(&mut cluster);
    cluster.start_all();
    cluster.acked = saved;
    cluster.verify();
    assert_eq!(lineages(&cluster), 2, "each with a snapshot of its own");
}

fn five_come_back(version: Version) {
    let mut cluster = saved(version, 5);
    cluster.set("REJOIN_RECOVER", "auto");
    lose_all(&mut cluster);
    cluster.start_all();
    cluster.verify();
}
