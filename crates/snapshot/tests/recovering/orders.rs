//! A person's orders: what is said before, what is written, and that one is begun or cancelled, never both.

use std::fs;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::support::etcd::{Etcd, Ours};
use crate::support::faults::{Fault, Faults};
use crate::support::s3::S3;

fn store() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// An etcd with a snapshot, and something written since.
fn stage() -> (Etcd, tempfile::TempDir, Ours, String) {
    let (etcd, store) = (Etcd::start("sid"), store());
    etcd.fill();
    let ours = Ours::new(&etcd, store.path().to_str().unwrap());
    let id = ours.json(&["save"])["id"].as_str().unwrap().to_string();
    etcd.ctl(&["put", "later", "1"]);
    (etcd, store, ours, id)
}

#[test]
fn an_order_says_what_is_lost_and_saves_it_before() {
    let (_etcd, store, ours, id) = stage();
    let order = ["restore", "--snapshot", &id];
    ours.fails(&order, 65, "--yes says that it is wanted");
    assert!(!store.path().join("order").exists());
    let said = ours.run(&[&order[..], &["--yes", "--json"]].concat());
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        said.err
            .contains("lost: 1 revisions of the cluster that runs")
    );
    let written: Value = serde_json::from_str(&said.out).unwrap();
    let backup = written["backup"].as_str().unwrap();
    assert!(backup > id.as_str(), "{backup}");
    let look = ours.json(&["look"]);
    let found = &look["orders"][0];
    assert_eq!((&found["n"], &found["outcome"]), (&2.into(), &Value::Null));
    assert_eq!(found["order"], written["order"]);
    assert_eq!(
        (
            &found["order"]["kind"],
            &found["order"]["snapshot"],
            &found["order"]["verified"]
        ),
        (&"snapshot".into(), &id.as_str().into(), &true.into())
    );
    // One at a time.
    ours.fails(
        &["restore", "--yes"],
        65,
        "`restore cancel 2` takes it back",
    );
    assert!(ours.well(&["restore", "list"]).contains("waits"));
    ours.well(&["restore", "cancel", "2"]);
    ours.well(&["restore", "cancel", "2"]);
    ours.well(&["restore", "--yes"]);
    ours.well(&["entrypoint", "begin-order", "--number", "3"]);
    ours.fails(&["restore", "cancel", "3"], 65, "order 3 is begun");
    let list = ours.json(&["restore", "list"]);
    assert_eq!(
        (&list[0]["state"], &list[1]["state"]),
        (&"cancelled".into(), &"begun".into())
    );
}

#[test]
fn what_is_damaged_or_nobodys_is_not_ordered() {
    let (etcd, store, ours, id) = stage();
    drop(etcd);
    let object = store.path().join(format!("snapshot/{id}.db.zst"));
    let whole = fs::read(&object).unwrap();
    fs::write(&object, &whole[1..]).unwrap();
    ours.fails(&["restore", "--yes"], 74, "is damaged");
    fs::write(&object, &whole).unwrap();
    let said = ours.run(&["restore", "--yes"]);
    assert!(
        said.code == 0 && said.err.contains("no snapshot before"),
        "{said:?}"
    );
    assert!(said.err.contains("how much that is is not known"));
    ours.well(&["restore", "cancel", "2"]);
    fs::remove_file(store.path().join("marker.json")).unwrap();
    ours.fails(&["restore", "--yes"], 65, "has no marker");
    ours.fails(&["restore", "cancel", "7"], 74, "there is no order 7");
}

fn ends_well(child: Child) -> bool {
    child.wait_with_output().unwrap().status.success()
}

/// Both sides at once: exactly one of them is so.
#[track_caller]
fn begun_or_cancelled(ours: &Ours) {
    for _ in 0..5 {
        let order = ours.json(&["restore", "--yes"])["order"]["n"].to_string();
        let start = |args: &[&str]| {
            let mut command = ours.command(args);
            command.stderr(Stdio::null()).stdout(Stdio::null());
            command.spawn().unwrap()
        };
        let begin = start(&["entrypoint", "begin-order", "--number", &order]);
        let cancel = start(&["restore", "cancel", &order]);
        let (begun, cancelled) = (ends_well(begin), ends_well(cancel));
        assert!(begun != cancelled, "begun {begun}, cancelled {cancelled}");
        let list = ours.json(&["restore", "list"]);
        let state = list.as_array().unwrap().last().unwrap()["state"].clone();
        assert_eq!(state, if begun { "begun" } else { "cancelled" });
    }
}

#[test]
fn an_order_is_begun_or_cancelled_in_a_directory() {
    let (_etcd, _store, ours, _) = stage();
    begun_or_cancelled(&ours);
}

#[test]
fn an_order_is_begun_or_cancelled_in_a_bucket() {
    let etcd = Etcd::start("sid");
    etcd.fill();
    let s3 = S3::seaweed();
    let ours = Ours::new(&etcd, "").with_all(s3.environment(s3.address));
    ours.well(&["save"]);
    begun_or_cancelled(&ours);
}

#[test]
fn a_store_that_ignores_conditions_takes_no_order() {
    let etcd = Etcd::start("sid");
    etcd.fill();
    let s3 = S3::seaweed();
    let proxy = Faults::before(s3.address);
    let ours = Ours::new(&etcd, "").with_all(s3.environment(proxy.address));
    ours.well(&["save"]);
    // Somebody else writes there just now, and does not succeed.
    let busy = Fault::Says(409, "ConditionalRequestConflict", "try again");
    proxy.to("PUT", "/order/2.json", 1, busy);
    ours.well(&["restore", "--yes"]);
    ours.well(&["restore", "cancel", "2"]);
    // Whatever is put there is taken, and nothing is said to be there already.
    proxy.to("PUT", "/probe/", usize::MAX, Fault::Says(200, "", ""));
    ours.fails(&["restore", "--yes"], 65, "ignores the condition");
    let look = ours.json(&["look", "--decides"]);
    assert_eq!(look["decides"], false);
    assert_eq!(look["orders"].as_array().unwrap().len(), 1);
}
