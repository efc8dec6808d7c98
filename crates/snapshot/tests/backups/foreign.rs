//! Snapshots that other programs have taken.

use std::fs;
use std::process::Command;

use crate::support::etcd::{Etcd, Ours, restorer};
use crate::support::s3::S3;

const META: &str = r#"{"etcdVersion":"3.5.30","timestamp":"1769734923","clusterSpec":{"memberCount":3,"etcdVersion":"3.5.30"}}"#;
const MANAGERS: &str = "2026-01-30T01:02:03Z-000009";

/// A `.db` of etcdctl, and the same as etcd-manager keeps it.
fn saved(etcd: &Etcd, dir: &std::path::Path) -> (Vec<u8>, Vec<u8>) {
    let db = dir.join("saved.db");
    etcd.ctl(&["snapshot", "save", db.to_str().unwrap()]);
    let packed = Command::new("gzip")
        .arg("-c")
        .arg(&db)
        .output()
        .expect("gzip");
    (fs::read(&db).unwrap(), packed.stdout)
}

#[test]
fn etcd_managers_and_a_bare_db_are_listed_verified_fetched_and_drilled() {
    let etcd = Etcd::start("sid");
    etcd.fill();
    let (dir, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (db, packed) = saved(&etcd, dir.path());
    let folder = store.path().join(MANAGERS);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("etcd.backup.gz"), &packed).unwrap();
    fs::write(folder.join("_etcd_backup.meta"), META).unwrap();
    fs::write(store.path().join("by-hand.db"), &db).unwrap();
    let ours = Ours::new(&etcd, store.path().to_str().unwrap());
    let theirs = format!("{MANAGERS}/etcd.backup.gz");
    let listed = ours.json(&["list", "--foreign"]);
    assert_eq!(listed[0]["name"], theirs, "{listed}");
    assert_eq!(listed[0]["taken"], "2026-01-30T01:02:03.000Z");
    assert_eq!(listed[0]["etcd_version"], "3.5.30");
    assert_eq!(listed[1]["name"], "by-hand.db");
    for name in ["by-hand.db", theirs.as_str()] {
        assert!(
            ours.well(&["verify", "--foreign", name])
                .contains("is good")
        );
        let drilled = ours.well(&["drill", "--foreign", name]);
        assert!(drilled.contains("revision 22, keys 7"), "{drilled}");
        let file = dir.path().join("fetched.db");
        ours.well(&["fetch", file.to_str().unwrap(), "--foreign", name]);
        assert_eq!(fs::read(&file).unwrap(), db);
        let restored = restorer("sid")
            .arg(&file)
            .arg("--data-dir")
            .arg(dir.path().join(&name[..4]))
            .output()
            .unwrap();
        assert!(restored.status.success());
        fs::remove_file(&file).unwrap();
    }
    // Nothing was written into their place.
    let mut left: Vec<_> = fs::read_dir(store.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, [MANAGERS, "by-hand.db"]);
}

#[test]
fn a_damaged_one_is_never_written_out() {
    let etcd = Etcd::start("sid");
    etcd.fill();
    let (dir, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut db, packed) = saved(&etcd, dir.path());
    db[5000] ^= 1;
    fs::write(store.path().join("flipped.db"), &db).unwrap();
    fs::write(store.path().join("bare.db"), &db[..db.len() - 32]).unwrap();
    let folder = store.path().join(MANAGERS);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("etcd.backup.gz"), &packed[..packed.len() / 2]).unwrap();
    fs::write(folder.join("_etcd_backup.meta"), META).unwrap();
    let ours = Ours::new(&etcd, store.path().to_str().unwrap());
    let file = dir.path().join("fetched.db");
    for (name, words) in [
        ("flipped.db", "it is cut, or damaged"),
        ("bare.db", "it has no hash"),
        (
            &format!("{MANAGERS}/etcd.backup.gz"),
            "gzip is damaged or cut",
        ),
        ("none.db", "`list --foreign` has them"),
    ] {
        ours.fails(
            &["fetch", file.to_str().unwrap(), "--foreign", name],
            74,
            words,
        );
        assert!(!file.exists());
    }
    assert_eq!(ours.run(&["verify", "--foreign", "flipped.db"]).code, 1);
}

#[test]
fn those_in_a_bucket_are_found_too() {
    let (etcd, s3) = (Etcd::start("sid"), S3::s3s());
    etcd.fill();
    let dir = tempfile::tempdir().unwrap();
    let (_, packed) = saved(&etcd, dir.path());
    s3.make(&format!("prod/{MANAGERS}/etcd.backup.gz"), &packed);
    s3.make(
        &format!("prod/{MANAGERS}/_etcd_backup.meta"),
        META.as_bytes(),
    );
    let ours = Ours::new(&etcd, "").with_all(s3.environment(s3.address));
    let name = format!("{MANAGERS}/etcd.backup.gz");
    assert_eq!(ours.json(&["list", "--foreign"])[0]["name"], name);
    assert!(
        ours.well(&["verify", "--foreign", &name])
            .contains("is good")
    );
}
