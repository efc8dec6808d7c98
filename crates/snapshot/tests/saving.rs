//! Is a snapshot whole or not there, whoever is killed, cut off or replaced meanwhile? The program beside real etcd.

#[path = "../../../tests/support/certs.rs"]
mod certs;
#[path = "saving/member.rs"]
mod member;
#[path = "saving/relay.rs"]
mod relay;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use member::{Founders, Lone, Ours, wait_for};
use relay::Relay;

/// What lies in a folder of the store, finished or not.
fn names(store: &Path, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(store.join(folder)).into_iter().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn store() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn each_version_is_saved_listed_verified_and_fetched() {
    for version in ["bookworm", "trixie", "sid"] {
        let (etcd, store) = (Lone::start(version), store());
        etcd.fill(20);
        let ours = Ours::new(&etcd.url, store.path());
        let saved = ours.json(&["save", "--name", "prod"]);
        assert_eq!(
            (&saved["keys"], &saved["marker"]["cluster"]),
            (&20.into(), &"prod".into()),
            "{version}: {saved}"
        );
        let again = ours.json(&["save", "--if-changed"]);
        assert_eq!(again["unchanged"], saved["id"]);
        etcd.fill(1);
        let newer = ours.json(&["save", "--if-changed"]);
        assert!(newer["revision"].as_u64() > saved["revision"].as_u64());
        let listed = ours.json(&["list"]);
        let ids: Vec<_> = listed["snapshots"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| &one["id"])
            .collect();
        assert_eq!(ids, [&saved["id"], &newer["id"]]);
        assert!(
            ours.well(&["verify", "--all"])
                .lines()
                .all(|line| line.ends_with(" is good"))
        );
        let file = store.path().join("fetched.db");
        ours.well(&[
            "fetch",
            file.to_str().unwrap(),
            "--snapshot",
            saved["id"].as_str().unwrap(),
        ]);
        assert_eq!(
            fs::metadata(&file).unwrap().len(),
            saved["size"].as_u64().unwrap()
        );
        let look = ours.json(&["look", "--decides"]);
        assert_eq!(
            (&look["decides"], &look["marker"]),
            (&true.into(), &saved["marker"])
        );
        assert_eq!(look["snapshots"].as_array().unwrap().len(), 2);
        // Whoever may not read the database may not read its copies.
        for name in names(store.path(), "snapshot") {
            let meta = fs::metadata(store.path().join("snapshot").join(name)).unwrap();
            assert_eq!(
                std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o77,
                0
            );
        }
    }
}

#[test]
fn a_follower_is_asked_also_where_only_the_leader_is_named() {
    let (founders, store) = (Founders::start("sid"), store());
    let (url, leader) = founders.leader();
    let saved = Ours::new(&url, store.path()).json(&["save"]);
    assert_ne!(saved["member"], leader.as_str());
    assert_eq!(saved["members"].as_array().unwrap().len(), 3);
}

#[test]
fn a_stream_that_is_cut_once_begins_again_and_one_that_is_always_cut_leaves_nothing() {
    let (etcd, store) = (Lone::start("sid"), store());
    etcd.fill_mib(8);
    let relay = Relay::to(&etcd.url);
    let ours = Ours::new(&relay.url, store.path());
    relay.cut_after(3 << 20, usize::MAX);
    ours.fails(&["save"], 74, "no whole snapshot came in 3 tries");
    assert_eq!(names(store.path(), "snapshot"), [""; 0]);
    relay.cut_after(3 << 20, 1);
    let said = ours.run(&["save"]);
    assert!(
        said.code == 0 && said.err.contains("begins again"),
        "{said:?}"
    );
    ours.well(&["verify"]);
    assert_eq!(names(store.path(), "snapshot").len(), 2);
}

#[test]
fn whoever_is_stopped_in_the_middle_leaves_nothing_and_whoever_is_killed_nothing_visible() {
    let (etcd, store) = (Lone::start("sid"), store());
    etcd.fill_mib(8);
    let relay = Relay::to(&etcd.url);
    let ours = Ours::new(&relay.url, store.path());
    for (signal, left) in [("TERM", 0), ("KILL", 1)] {
        relay.hold_after(3 << 20);
        let mut child = ours
            .command(&["save"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for("an upload has begun", || {
            !names(store.path(), "snapshot").is_empty()
        });
        let pid = child.id().to_string();
        let kill = std::process::Command::new("kill")
            .args(["-s", signal, &pid])
            .status();
        assert!(kill.unwrap().success());
        let code = child.wait().unwrap().code();
        assert_eq!(code, (signal == "TERM").then_some(143));
        relay.go_on();
        let names = names(store.path(), "snapshot");
        assert!(
            names.len() == left && names.iter().all(|name| name.starts_with(".unfinished-")),
            "{names:?}"
        );
        assert_eq!(
            ours.json(&["list"])["snapshots"].as_array().unwrap().len(),
            0
        );
    }
    ours.well(&["save"]);
}

#[test]
fn a_marker_that_was_taken_away_is_put_back_as_it_was() {
    let (etcd, store) = (Lone::start("sid"), store());
    let ours = Ours::new(&etcd.url, store.path());
    ours.well(&["save"]);
    let marker = store.path().join("marker.json");
    let before = fs::read(&marker).unwrap();
    fs::remove_file(&marker).unwrap();
    let said = ours.run(&["save"]);
    assert!(said.err.contains("it is put back from"), "{said:?}");
    assert_eq!(fs::read(&marker).unwrap(), before);
}

#[test]
fn another_cluster_is_refused_also_under_the_same_id() {
    let (etcd, store) = (Lone::start("sid"), store());
    etcd.fill(20);
    Ours::new(&etcd.url, store.path()).well(&["save"]);
    let other = Lone::start("sid");
    let words = "give each cluster a prefix of its own";
    Ours::new(&other.url, store.path()).fails(&["save"], 65, words);
    // Names, URLs and token make the ID: a cluster that was founded anew has it again.
    let again = etcd.anew();
    let said = Ours::new(&again.url, store.path()).fails(
        &["save"],
        65,
        "founded anew or restored by hand",
    );
    assert!(!said.err.contains(words));
    assert_eq!(names(store.path(), "snapshot").len(), 2);
}

#[test]
fn a_cluster_with_certificates_and_users_is_saved_with_etcdctls_settings() {
    let (certs, store) = (store(), store());
    let etcd = Lone::secured("sid", certs.path());
    let ours = Ours::new(&etcd.url, store.path());
    ours.fails(&["save"], 74, "REJOIN_CACERT");
    let path = |name: &str| certs.path().join(name).display().to_string();
    let ours = ours.with("ETCDCTL_CACERT", &path("ca.crt"));
    let ours = ours
        .with("ETCDCTL_CERT", &path("client.crt"))
        .with("ETCDCTL_KEY", &path("client.key"));
    etcd.with_users("root", "secret");
    ours.fails(&["save"], 74, "set REJOIN_USER");
    let wrong = Ours::like(&ours).with("ETCDCTL_USER", "root:wrong");
    let said = wrong.fails(&["save"], 74, "does not take us for root");
    assert!(
        !said.err.contains("wrong"),
        "a password is in no message: {said:?}"
    );
    ours.with("ETCDCTL_USER", "root:secret").well(&["save"]);
}

#[test]
fn of_two_sidecars_one_uploads_and_the_last_snapshot_is_saved_on_the_way_out() {
    let (etcd, store) = (Lone::start("sid"), store());
    let ours = Ours::new(&etcd.url, store.path());
    let first = ours.every(&["every", "1h", "--on-stop"]);
    wait_for("the first has saved", || {
        names(store.path(), "snapshot").len() == 2
    });
    let second = ours.every(&["every", "1h"]);
    wait_for("the second waits", || {
        second.said().contains("this one waits for its turn")
    });
    etcd.fill(3);
    first.stop();
    assert_eq!(names(store.path(), "snapshot").len(), 4);
    assert!(!store.path().join("uploader.json").exists());
    second.stop();
    assert_eq!(names(store.path(), "snapshot").len(), 4);
}

#[test]
fn a_sidecar_removes_what_no_rule_keeps() {
    let (etcd, store) = (Lone::start("sid"), store());
    let ours = Ours::new(&etcd.url, store.path());
    for _ in 0..3 {
        ours.well(&["save"]);
    }
    let sidecar = ours.every(&["every", "1h", "--keep-last=2"]);
    wait_for("it has pruned", || {
        sidecar.said().contains("2 snapshots removed, 2 left")
    });
    assert_eq!(names(store.path(), "snapshot").len(), 4);
    sidecar.stop();
}

#[test]
fn a_place_that_is_not_there_is_an_error_and_no_empty_list() {
    let (etcd, gone) = (Lone::start("sid"), store());
    let path = gone.path().to_path_buf();
    drop(gone);
    let ours = Ours::new(&etcd.url, &path);
    for command in [["save"].as_slice(), &["list"], &["look"], &["verify"]] {
        ours.fails(command, 74, "create it, or mount it");
    }
    let began = Instant::now();
    let ours = Ours::new(&etcd.url, Path::new("s3://bucket/prefix"));
    let ours = ours
        .with("AWS_ENDPOINT_URL", "http://127.99.99.99:9")
        .with("AWS_ACCESS_KEY_ID", "a");
    let ours = ours
        .with("AWS_SECRET_ACCESS_KEY", "b")
        .with("AWS_REGION", "eu");
    let said = ours.run(&["look", "--timeout", "2s"]);
    assert!(said.code == 74 && said.out.is_empty(), "{said:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
}
