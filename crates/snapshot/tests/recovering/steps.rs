//! The entrypoint's steps: each can be done twice, and says whether it is so.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::etcd::{Etcd, Ours, Said, versions};

const FIRST: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
const OTHER: &str = "00112233445566778899aabbccddeeff";

/// A step, in words.
fn step(ours: &Ours, words: &str) -> Said {
    let words: Vec<&str> = ["entrypoint"].into_iter().chain(words.split(' ')).collect();
    ours.run(&words)
}

#[track_caller]
fn so(ours: &Ours, words: &str) {
    let said = step(ours, words);
    assert_eq!(said.code, 0, "{words}: {said:?}");
}

#[track_caller]
fn not_so(ours: &Ours, words: &str, why: &str) {
    let said = step(ours, words);
    let last = said.err.lines().last().unwrap_or_default();
    assert!(said.code == 1 && last.contains(why), "{words}: {said:?}");
}

fn place() -> (tempfile::TempDir, Ours) {
    let store = tempfile::tempdir().unwrap();
    let ours = Ours::alone(store.path().to_str().unwrap());
    (store, ours)
}

fn mark(nonce: &str) -> String {
    format!("mark --nonce {nonce} --cluster prod --cluster-id ab12 --promise aa --promise bb")
}

#[test]
fn a_place_is_marked_once_and_a_repeated_mark_is_ours() {
    let (_store, ours) = place();
    so(&ours, &mark(FIRST));
    so(&ours, &mark(FIRST));
    // Another founder, by the same promises: the first marker stays, and is theirs too.
    so(&ours, &mark(OTHER));
    let of_others = mark(OTHER).replace("--promise bb", "--promise cc");
    not_so(&ours, &of_others, FIRST);
    let look = ours.json(&["look", "--decides"]);
    let marker = &look["marker"];
    assert_eq!(marker["nonce"], FIRST);
    assert_eq!(marker["promises"].to_string(), r#"["aa","bb"]"#);
    for nothing in ["lineages", "snapshots", "bad", "orders", "members"] {
        assert_eq!(look[nothing], Value::Array(Vec::new()), "{nothing}");
    }
}

#[test]
fn a_lineage_is_begun_once() {
    let (_store, ours) = place();
    so(&ours, &mark(FIRST));
    let begin = |nonce: &str| {
        format!("begin-lineage --number 2 --nonce {nonce} --parent {FIRST} --cluster-id cd34")
    };
    so(&ours, &begin(OTHER));
    so(&ours, &begin(OTHER));
    not_so(&ours, &begin(FIRST), "was begun by another member");
    let based = format!("{} --base 0001-0000000000000000042-00c0ffee", begin(OTHER));
    not_so(
        &ours,
        &based.replace("--number 2", "--number 3"),
        "no snapshot",
    );
    let lineage = &ours.json(&["look"])["lineages"][0];
    assert_eq!((&lineage["n"], &lineage["base"]), (&2.into(), &Value::Null));
}

#[test]
fn the_urls_of_now_are_recorded() {
    let (_store, ours) = place();
    let record = |urls: &str| format!("record-url --name a/b {urls}");
    so(&ours, &record("--peer-url http://old:2380"));
    so(
        &ours,
        &record("--peer-url http://a:2380 --peer-url http://b:2380"),
    );
    so(
        &ours,
        &record("--peer-url http://a:2380 --peer-url http://b:2380"),
    );
    let members = &ours.json(&["look"])["members"];
    assert_eq!(members.as_array().unwrap().len(), 1);
    let urls = r#"["http://a:2380","http://b:2380"]"#;
    assert_eq!(
        (&members[0]["name"], members[0]["peer_urls"].to_string()),
        (&"a/b".into(), urls.into())
    );
}

#[test]
fn an_order_is_begun_unless_it_is_cancelled() {
    let (store, ours) = place();
    so(&ours, &mark(FIRST));
    not_so(&ours, "begin-order --number 2", "there is no order 2");
    let order = include_str!("../golden/order-survivor-1.json");
    fs::create_dir(store.path().join("order")).unwrap();
    let key = |name: &str| store.path().join("order").join(name);
    fs::write(key("3.json"), order).unwrap();
    so(&ours, "begin-order --number 3");
    so(&ours, "begin-order --number 3");
    let found = &ours.json(&["look"])["orders"][0];
    assert_eq!(found["n"], 3);
    assert_eq!(found["order"]["kind"], "survivor");
    assert_eq!(found["outcome"]["outcome"], "begun");
    fs::write(key("4.json"), order).unwrap();
    let outcome = include_str!("../golden/outcome-1.json").replace("begun", "cancelled");
    fs::write(key("4.outcome.json"), outcome).unwrap();
    not_so(&ours, "begin-order --number 4", "was cancelled");
}

#[test]
fn a_store_that_is_gone_is_no_step() {
    let (store, ours) = place();
    drop(store);
    not_so(&ours, &mark(FIRST), "create it, or mount it");
    not_so(&ours, "begin-order --number 2", "create it, or mount it");
}

/// What a restore is asked for, into a folder that is there.
fn restore(id: &str, into: &Path) -> String {
    format!(
        "restore --snapshot {id} --into {} --name n1 --peer-url http://127.0.0.1:1 --token t-rejoin-1",
        into.display()
    )
}

fn revision(etcd: &Etcd) -> u64 {
    let status = etcd.ctl(&["endpoint", "status", "--write-out=json"]);
    let status: Value = serde_json::from_str(&status).unwrap();
    status[0]["Status"]["header"]["revision"].as_u64().unwrap()
}

#[test]
fn a_snapshot_becomes_a_data_dir_whose_revisions_nobody_has_seen() {
    for version in versions() {
        let etcd = Etcd::start(&version);
        etcd.fill();
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        fs::create_dir(&store).unwrap();
        let ours = Ours::new(&etcd, store.to_str().unwrap());
        let id = ours.json(&["save"])["id"].as_str().unwrap().to_string();
        let into = dir.path().join("new");
        let said = step(&ours, &restore(&id, &into));
        assert_eq!(said.code, 0, "{version}: {said:?}");
        not_so(&ours, &restore(&id, &into), "nothing is written over it");
        assert!(!dir.path().join("new.part").exists());
        drop(etcd);
        let back = Etcd::on(&version, &into, dir);
        let value = back.ctl(&["get", "key/2", "--print-value-only"]);
        assert_eq!(value.trim(), "value 18");
        match said.err.contains("cannot raise the revision") {
            true => assert_eq!(version, "bookworm"),
            false => {
                let is = revision(&back);
                assert!(is > 1_000_000_000, "{version}: {is}");
            }
        }
    }
}

#[test]
fn a_damaged_snapshot_is_noted_and_no_data_dir() {
    let etcd = Etcd::start("sid");
    etcd.fill();
    let dir = tempfile::tempdir().unwrap();
    let ours = Ours::new(&etcd, dir.path().to_str().unwrap());
    let id = ours.json(&["save"])["id"].as_str().unwrap().to_string();
    let object = dir.path().join(format!("snapshot/{id}.db.zst"));
    let mut bytes = fs::read(&object).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&object, bytes).unwrap();
    let into = dir.path().join("new");
    not_so(&ours, &restore(&id, &into), "is damaged, and noted as bad");
    assert_eq!(ours.json(&["look"])["bad"][0], *id);
    assert!(!into.exists() && !dir.path().join("new.part").exists());
}

#[test]
fn a_survivor_goes_on_with_what_it_has_committed() {
    for version in versions() {
        let etcd = Etcd::start(&version);
        etcd.fill();
        let before = revision(&etcd);
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        fs::create_dir(&store).unwrap();
        let ours = Ours::new(&etcd, store.to_str().unwrap());
        let (data, held) = etcd.killed();
        let into = dir.path().join("new");
        let words = format!(
            "continue --data-dir {} --into {} --name n1 --peer-url http://127.0.0.1:1 --token t-rejoin-2",
            data.display(),
            into.display()
        );
        so(&ours, &words);
        drop(held);
        let back = Etcd::on(&version, &into, dir);
        let value = back.ctl(&["get", "key/2", "--print-value-only"]);
        assert_eq!(value.trim(), "value 18");
        assert!(revision(&back) >= before, "{version}");
    }
}
