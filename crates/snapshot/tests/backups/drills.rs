//! A snapshot is restored into a throw-away etcd, and by hand.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::etcd::{Etcd, Ours, restorer, versions};

#[test]
fn a_drill_proves_a_snapshot_of_each_version() {
    for version in versions() {
        let etcd = Etcd::start(&version);
        etcd.fill();
        let store = tempfile::tempdir().unwrap();
        let ours = Ours::new(&etcd, store.path().to_str().unwrap());
        ours.well(&["save", "--hashkv"]);
        // What is written since is not in it, and its revision is compacted in the cluster.
        etcd.ctl(&["put", "later", "1"]);
        etcd.ctl(&["compact", "23"]);
        let drill = ours.json(&["drill"]);
        assert_eq!(drill["passed"], true, "{version}: {drill}");
        assert_eq!(
            drill["compared"].to_string(),
            r#"["revision","keys","hashkv"]"#,
            "{version}"
        );
        let id = drill["id"].as_str().unwrap();
        let record =
            fs::read_to_string(store.path().join(format!("snapshot/{id}.drill.json"))).unwrap();
        assert!(record.contains(r#""passed": true"#), "{record}");
        // What lies beside it is no snapshot.
        assert_eq!(
            ours.json(&["list"])["snapshots"].as_array().unwrap().len(),
            1
        );
    }
}

#[test]
fn without_a_hash_of_its_own_the_running_cluster_is_asked_for_it() {
    let etcd = Etcd::start("sid");
    etcd.fill();
    let store = tempfile::tempdir().unwrap();
    let ours = Ours::new(&etcd, store.path().to_str().unwrap());
    ours.well(&["save"]);
    let said = ours.well(&["drill"]);
    assert!(
        said.contains("as they have to be: revision, keys, hashkv\nproven restorable at 20"),
        "{said}"
    );
    drop(etcd);
    let said = ours.well(&["drill"]);
    assert!(
        said.contains("its hashkv was compared with nothing"),
        "{said}"
    );
}

#[test]
fn what_was_not_saved_so_is_told_and_written_down() {
    let etcd = Etcd::start("sid");
    etcd.fill();
    let store = tempfile::tempdir().unwrap();
    let ours = Ours::new(&etcd, store.path().to_str().unwrap());
    let id = ours.json(&["save", "--hashkv"])["id"]
        .as_str()
        .unwrap()
        .to_string();
    let manifest = store.path().join(format!("snapshot/{id}.json"));
    let text = fs::read_to_string(&manifest).unwrap();
    assert!(text.contains(r#""keys": 7,"#), "{text}");
    fs::write(&manifest, text.replace(r#""keys": 7,"#, r#""keys": 8,"#)).unwrap();
    let said = ours.run(&["drill"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.out
            .contains("NOT what was saved: keys is 7, and has to be 8"),
        "{said:?}"
    );
    let record =
        fs::read_to_string(store.path().join(format!("snapshot/{id}.drill.json"))).unwrap();
    assert!(record.contains(r#""passed": false"#), "{record}");
}

#[test]
fn without_the_user_of_the_snapshot_there_is_no_verdict() {
    for version in versions() {
        let etcd = Etcd::start(&version);
        etcd.fill();
        for args in [
            "user add root:secret",
            "user grant-role root root",
            "auth enable",
        ] {
            etcd.ctl(&args.split(' ').collect::<Vec<_>>());
        }
        let store = tempfile::tempdir().unwrap();
        let place = store.path().to_str().unwrap();
        let root = Ours::new(&etcd, place)
            .with("REJOIN_USER", "root")
            .with("REJOIN_PASSWORD", "secret");
        root.well(&["save", "--hashkv"]);
        let nobody = Ours::new(&etcd, place);
        nobody.fails(
            &["drill"],
            74,
            "set REJOIN_USER to a user with the root role",
        );
        let drill = root.json(&["drill"]);
        assert_eq!(
            drill["compared"].to_string(),
            r#"["revision","keys","hashkv"]"#,
            "{version}"
        );
        assert_eq!(drill["passed"], true, "{version}: {drill}");
    }
}

#[test]
fn an_older_etcd_is_not_let_at_a_newer_snapshot() {
    let etcd = Etcd::start("sid");
    let store = tempfile::tempdir().unwrap();
    let place = store.path().to_str().unwrap();
    Ours::new(&etcd, place).well(&["save"]);
    let old = Etcd::start("bookworm");
    Ours::new(&old, place).fails(&["drill"], 74, "the snapshot is of etcd 3.5.");
    Ours::new(&old, place)
        .with("REJOIN_ETCD", "no-such-etcd")
        .fails(&["drill"], 74, "set REJOIN_ETCD");
}

/// The two lines of docs/backups.md, without a program of ours.
#[test]
fn a_snapshot_is_restored_without_us() {
    for version in versions() {
        let etcd = Etcd::start(&version);
        etcd.fill();
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        fs::create_dir(&store).unwrap();
        let id = Ours::new(&etcd, store.to_str().unwrap()).json(&["save"])["id"]
            .as_str()
            .unwrap()
            .to_string();
        let here = dir.path().join("here");
        fs::create_dir(&here).unwrap();
        let packed = here.join("snapshot.db.zst");
        fs::copy(store.join(format!("snapshot/{id}.db.zst")), &packed).unwrap();
        let opened = Command::new("zstd")
            .args(["-q", "-d"])
            .arg(&packed)
            .status()
            .expect("zstd is needed");
        assert!(opened.success());
        let data = here.join("data");
        let restored = restorer(&version)
            .arg(here.join("snapshot.db"))
            .arg("--data-dir")
            .arg(&data)
            .output()
            .unwrap();
        assert!(
            restored.status.success(),
            "{version}: {}",
            String::from_utf8_lossy(&restored.stderr)
        );
        drop(etcd);
        let back = Etcd::on(&version, &data, dir);
        assert_eq!(
            back.ctl(&["get", "key/2", "--print-value-only"]).trim(),
            "value 18"
        );
    }
}

/// Whether a process runs whose command line has these words.
fn runs(words: &str) -> bool {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let lines = all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let mut lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.any(|line| line.contains(words))
}

#[test]
fn a_drill_that_is_killed_leaves_no_etcd() {
    let etcd = Etcd::start("sid");
    etcd.fill();
    let (store, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ours = Ours::new(&etcd, store.path().to_str().unwrap());
    ours.well(&["save"]);
    let within = scratch.path().to_str().unwrap();
    let mut drill = ours.command(&["drill", "--scratch", within]);
    let mut drill = drill.stdout(Stdio::null()).spawn().unwrap();
    let restored = format!("--data-dir {within}/etcd-drill-");
    let end = Instant::now() + Duration::from_secs(60);
    while !runs(&restored) {
        assert!(Instant::now() < end, "after 60s still not: it restores");
    }
    drill.kill().unwrap();
    drill.wait().unwrap();
    while runs(&restored) {
        assert!(
            Instant::now() < end,
            "after 60s still not: its children are gone"
        );
    }
}
