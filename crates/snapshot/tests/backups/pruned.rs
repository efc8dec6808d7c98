//! Which snapshots go, and what happens to their objects. The rules are `retention.txt` of crates/decide.

use std::fs;
use std::path::Path;

use crate::support::etcd::{Etcd, Ours};

fn names(store: &Path) -> Vec<String> {
    let entries = fs::read_dir(store.join("snapshot")).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_no_rule_keeps_goes_with_all_that_belongs_to_it() {
    let etcd = Etcd::start("sid");
    let store = tempfile::tempdir().unwrap();
    let ours = Ours::new(&etcd, store.path().to_str().unwrap());
    let mut ids = Vec::new();
    for n in 0..4 {
        etcd.ctl(&["put", "key", &n.to_string()]);
        ids.push(ours.json(&["save"])["id"].as_str().unwrap().to_string());
    }
    ours.well(&["drill", "--snapshot", &ids[1]]);
    assert_eq!(names(store.path()).len(), 9);
    let dry = ours.json(&["prune", "--keep-last=1", "--dry-run"]);
    assert_eq!(dry[0]["kept_for"].to_string(), "[]");
    assert_eq!(names(store.path()).len(), 9);
    let shown = ours.well(&["prune", "--keep-last=1"]);
    let line = |id: &str| {
        shown
            .lines()
            .find(|line| line.starts_with(id))
            .unwrap()
            .to_string()
    };
    assert!(
        line(&ids[0]).ends_with("removed") && line(&ids[2]).ends_with("removed"),
        "{shown}"
    );
    assert!(
        line(&ids[1]).ends_with("newest verified") && line(&ids[3]).ends_with("last, newest"),
        "{shown}"
    );
    let left = [&ids[1], &ids[1], &ids[1], &ids[3], &ids[3]];
    assert!(
        names(store.path())
            .iter()
            .zip(left)
            .all(|(name, id)| name.starts_with(id.as_str()))
    );
    assert_eq!(names(store.path()).len(), 5);
    // Once more is nothing more.
    ours.well(&["prune", "--keep-last=1"]);
    assert_eq!(names(store.path()).len(), 5);
}

#[test]
fn what_an_order_names_stays_and_half_a_snapshot_goes_when_it_is_old() {
    let etcd = Etcd::start("sid");
    let store = tempfile::tempdir().unwrap();
    let ours = Ours::new(&etcd, store.path().to_str().unwrap());
    let mut ids = Vec::new();
    for n in 0..3 {
        etcd.ctl(&["put", "key", &n.to_string()]);
        ids.push(ours.json(&["save"])["id"].as_str().unwrap().to_string());
    }
    fs::create_dir(store.path().join("order")).unwrap();
    let order = format!(r#"{{"format":1,"n":2,"snapshot":"{}"}}"#, ids[0]);
    fs::write(store.path().join("order/2.json"), order).unwrap();
    let half = |random: &str| {
        store
            .path()
            .join(format!("snapshot/0001-0000000000000000001-{random}.db.zst"))
    };
    let [old, young] = ["0000000a", "0000000b"].map(half);
    for path in [&old, &young] {
        fs::write(path, "half").unwrap();
    }
    let two_days = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 86_400);
    fs::File::options()
        .write(true)
        .open(&old)
        .unwrap()
        .set_modified(two_days)
        .unwrap();
    let shown = ours.well(&["prune", "--keep-last=1"]);
    assert!(shown.contains("a lineage or an order needs it"), "{shown}");
    assert!(!old.exists() && young.exists());
    assert_eq!(
        ours.json(&["list"])["snapshots"].as_array().unwrap().len(),
        2
    );
}

#[test]
fn without_a_rule_or_a_marker_nothing_is_removed() {
    let etcd = Etcd::start("sid");
    let store = tempfile::tempdir().unwrap();
    let ours = Ours::new(&etcd, store.path().to_str().unwrap());
    ours.well(&["save"]);
    ours.fails(&["prune"], 2, "--keep-last");
    ours.fails(&["prune", "--keep-last=0"], 2, "0 is not in 1..");
    fs::remove_file(store.path().join("marker.json")).unwrap();
    ours.fails(&["prune", "--keep-last=1"], 65, "`save` puts it back");
    assert_eq!(names(store.path()).len(), 2);
}
