//! A store of snapshots beside the members: a first start is written into it, and is none where it says so. A restart
//! with intact data needs nothing of it, whatever becomes of it.
//!
//! `etcd-rejoin-snapshot` lies beside the program: `cargo build -p etcd-rejoin-snapshot`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Cluster, PATIENCE, Version, executable, scenarios, wait_for};

const A_WHILE: Duration = Duration::from_millis(1500);
/// What a restart may take where a store that hangs were waited for.
const LOOK: Duration = Duration::from_secs(20);

scenarios! {
    each:
        a_first_start_marks_its_store_and_founds_with_its_nonce;
    both:
        a_first_start_waits_while_the_store_is_away,
        a_store_of_another_founding_founds_nothing,
        founders_that_lost_their_disks_found_nothing_beside_a_store,
        a_restart_does_not_wait_for_a_store_that_hangs,
        a_program_that_fails_is_a_store_that_is_silent;
}

/// A cluster of so many, whose store is a directory of the test's.
fn cluster(version: Version, n: usize) -> (Cluster, PathBuf) {
    let beside =
        Path::new(env!("CARGO_BIN_EXE_etcd-rejoin")).with_file_name("etcd-rejoin-snapshot");
    assert!(beside.is_file(), "cargo build -p etcd-rejoin-snapshot");
    let mut cluster = Cluster::new(version, n);
    let store = cluster.scratch().join("store");
    std::fs::create_dir(&store).unwrap();
    cluster.set("REJOIN_STORE", store.to_str().unwrap());
    (cluster, store)
}

fn marker(store: &Path) -> Value {
    let text = std::fs::read(store.join("marker.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// What `status` of a member says of its cluster.
fn status(cluster: &mut Cluster, n: usize) -> Value {
    let text = cluster.member(n).ask(&["status", "--json"]);
    serde_json::from_str(&text).unwrap()
}

fn a_first_start_marks_its_store_and_founds_with_its_nonce(version: Version) {
    let (mut cluster, store) = cluster(version, 3);
    cluster.run();
    let marked = (1..=3).filter(|n| cluster.member(*n).log.has_reason("first-start-marked"));
    assert!(marked.count() > 0);
    let marker = marker(&store);
    assert_eq!(marker["promises"].as_array().unwrap().len(), 3);
    let seen = status(&mut cluster, 3);
    assert_eq!(seen["data_dir"]["cluster_id"], marker["cluster_id"]);
    assert_eq!(seen["store"]["marker"], marker["nonce"]);
    assert_eq!(seen["store"]["lineage"], 1);
    // Its IDs are nobody else's: not those of its names, URLs and token alone.
    cluster.kill9(&[1, 2, 3]);
    cluster.member(1).unset("REJOIN_STORE");
    let text = cluster.member(1).ask(&["status", "--json"]);
    let alone: Value = serde_json::from_str(&text).unwrap();
    assert!(alone["store"].is_null());
    // All of them start with what they have, with the store or without; a lost disk rejoins without.
    cluster.start_all();
    cluster.wait_healthy();
    std::fs::rename(&store, store.with_extension("away")).unwrap();
    cluster.member(2).lose_disk();
    cluster.put_some();
    cluster.start(&[2]);
    cluster.put_some();
    cluster.verify();
    assert_eq!(
        status(&mut cluster, 2)["data_dir"]["cluster_id"],
        marker["cluster_id"]
    );
}

/// It may hold what says that this is no first start.
fn a_first_start_waits_while_the_store_is_away(version: Version) {
    let (mut cluster, store) = cluster(version, 3);
    std::fs::remove_dir(&store).unwrap();
    cluster.start_all();
    for n in cluster.all() {
        let member = cluster.member(n);
        member.assert_waits("store-unreachable", A_WHILE);
        let why = "does not open: create it, or mount it";
        assert!(member.log.text().contains(why), "{}", member.log.text());
    }
    std::fs::create_dir(&store).unwrap();
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
    assert_eq!(marker(&store)["promises"].as_array().unwrap().len(), 3);
}

fn a_store_of_another_founding_founds_nothing(version: Version) {
    let (mut first, store) = cluster(version, 1);
    first.run();
    let before = std::fs::read(store.join("marker.json")).unwrap();
    let mut second = Cluster::new(version, 2);
    second.set("REJOIN_STORE", store.to_str().unwrap());
    second.start_all();
    for n in second.all() {
        let member = second.member(n);
        member.wait_reason("marked-without-snapshot");
        assert!(!member.is_etcd(), "{}", member.log.text());
    }
    // The same member whose disk is lost cannot be told from them.
    first.member(1).lose_disk();
    first.member(1).start();
    first.member(1).wait_reason("marked-without-snapshot");
    std::thread::sleep(A_WHILE);
    for n in second.all() {
        assert!(!second.member(n).is_etcd());
    }
    assert!(!first.member(1).is_etcd());
    assert_eq!(std::fs::read(store.join("marker.json")).unwrap(), before);
}

/// The initial cluster of the founders does not name who came later and does not run. The store does.
fn founders_that_lost_their_disks_found_nothing_beside_a_store(version: Version) {
    let (mut cluster, store) = cluster(version, 3);
    cluster.set("REJOIN_RECOVER", "auto");
    cluster.run();
    for _ in 0..2 {
        let n = cluster.grow();
        for (key, value) in [
            ("REJOIN_STORE", store.to_str().unwrap()),
            ("REJOIN_RECOVER", "auto"),
        ] {
            cluster.member(n).set(key, value);
        }
        cluster.start(&[n]);
        cluster.wait_healthy();
        assert!(cluster.member(n).steps().contains(&"record-url".into()));
    }
    cluster.put_some();
    let endpoint = cluster.member(1).client_url();
    cluster
        .member(1)
        .ask(&["snapshot", "save", "--endpoints", &endpoint]);
    cluster.kill9(&[1, 2, 3, 4, 5]);
    // Here all volumes lie side by side: none of them is to be found as another place of one's own data.
    let others = [4, 5].map(|n| cluster.member(n).volume.display().to_string());
    for n in [1, 2, 3] {
        cluster.member(n).lose_disk();
        cluster.member(n).set("REJOIN_IGNORE", &others.join(","));
    }
    cluster.start(&[1, 2, 3]);
    for n in [1, 2, 3] {
        let member = cluster.member(n);
        member.wait_reason("not-all-heard");
        let log = member.log.text();
        assert!(log.contains("n4") && log.contains("n5"), "{log}");
    }
    std::thread::sleep(A_WHILE);
    for n in [1, 2, 3] {
        assert!(
            !cluster.member(n).is_etcd(),
            "{}",
            cluster.member(n).log.text()
        );
    }
    let lineages = std::fs::read_dir(store.join("lineage"));
    assert!(lineages.map_or(true, |mut all| all.next().is_none()));
}

/// The program under test in a folder of its own, beside a program for the store that is this script.
fn with_script(cluster: &mut Cluster, script: &str) -> PathBuf {
    let dir = cluster.scratch().join("bin");
    std::fs::create_dir_all(&dir).unwrap();
    let ours = dir.join("etcd-rejoin");
    if !ours.exists() {
        std::fs::copy(env!("CARGO_BIN_EXE_etcd-rejoin"), &ours).unwrap();
    }
    executable(
        &dir.join("etcd-rejoin-snapshot"),
        format!("#!/bin/sh\n{script}\n"),
    );
    let run = format!("exec {} \"$@\"", ours.display());
    for n in cluster.all() {
        let member = cluster.member(n);
        member.wrapper = ["/bin/sh", "-c", &run].map(String::from).into();
        member.set("REJOIN_STORE", "/nowhere");
        member.set("PATH", "/usr/bin:/bin");
        // Waited for, it would be long.
        member.set("REJOIN_TIMEOUT", "60s");
    }
    dir
}

/// Beside others that run nobody waits for it, and nothing of it is left.
fn a_restart_does_not_wait_for_a_store_that_hangs(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let dir = with_script(&mut cluster, "echo $$ >> ${0%/*}/asked; sleep 300 & wait");
    cluster.kill9(&[3]);
    let begun = Instant::now();
    cluster.member(3).start();
    cluster.wait_healthy();
    assert!(begun.elapsed() < LOOK, "{:?}", begun.elapsed());
    cluster.put_some();
    cluster.verify();
    let asked = std::fs::read_to_string(dir.join("asked")).unwrap_or_default();
    for pid in asked.lines() {
        assert!(!Path::new("/proc").join(pid).exists(), "{pid} is left");
    }
    // Where nobody runs there is time to ask for an order: for one look, and no longer.
    cluster.set("REJOIN_TIMEOUT", "1s");
    cluster.kill9(&[1, 2, 3]);
    cluster.start_all();
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

/// Each says nothing: a first start waits, and says why; intact data starts.
fn a_program_that_fails_is_a_store_that_is_silent(version: Version) {
    let mut cluster = Cluster::new(version, 1);
    for (script, why) in [
        (
            "echo 'etcd-rejoin-snapshot: access denied' >&2; exit 74",
            "access denied",
        ),
        ("kill -9 $$", "ended with 137"),
        ("echo nonsense", "is no JSON"),
        ("head -c 100000000 /dev/zero", "said more than 8 MiB"),
        (
            "trap '' TERM; sleep 300 & wait",
            "it had not answered by the end of the look",
        ),
    ] {
        with_script(&mut cluster, script);
        cluster.set("REJOIN_TIMEOUT", "1s");
        let member = cluster.member(1);
        member.start();
        member.assert_waits("store-unreachable", Duration::from_millis(100));
        member.wait_log(why);
        assert_eq!(member.sigterm(), 143);
    }
    let member = cluster.member(1);
    member.unset("REJOIN_STORE");
    member.start();
    cluster.wait_healthy();
    cluster.put_some();
    cluster.member(1).kill9();
    cluster.member(1).set("REJOIN_STORE", "/nowhere");
    cluster.start_all();
    cluster.wait_healthy();
    wait_for("the last write is there", PATIENCE, || {
        !cluster
            .client(1)
            .everything()
            .unwrap_or_default()
            .is_empty()
    });
}
