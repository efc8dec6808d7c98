//! Two S3 servers of different make, and what networks and servers do. Nothing is lost, nothing is half visible, and the
//! message says the cure.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::etcd::{Etcd, Ours, Said};
use crate::support::faults::{Fault, Faults};
use crate::support::s3::S3;

/// An etcd with enough in it for an upload in several parts, a server, a proxy in front of it, and the program.
struct Stage {
    etcd: Etcd,
    s3: S3,
    proxy: Faults,
    ours: Ours,
    dir: tempfile::TempDir,
}

impl Stage {
    fn on(s3: S3) -> Stage {
        let etcd = Etcd::start("sid");
        etcd.fill();
        let proxy = Faults::before(s3.address);
        let ours = Ours::new(&etcd, "").with_all(s3.environment(proxy.address));
        Stage {
            etcd,
            s3,
            proxy,
            ours,
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn large(s3: S3) -> Stage {
        let stage = Stage::on(s3);
        stage.etcd.fill_mib(12);
        stage
    }

    fn snapshots(&self) -> usize {
        self.ours.json(&["list"])["snapshots"]
            .as_array()
            .unwrap()
            .len()
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("fetched.db")
    }

    /// A save under this fault, which does not heal, has to fail with these words; and nothing of it is visible, also to
    /// whoever looks without us.
    #[track_caller]
    fn save_fails(
        &self,
        method: &'static str,
        part: &'static str,
        fault: Fault,
        words: &str,
    ) -> Said {
        let before = self.snapshots();
        self.proxy.to(method, part, usize::MAX, fault);
        let said = self.ours.fails(&["save"], 74, words);
        self.proxy.heal();
        assert_eq!(self.snapshots(), before, "{said:?}");
        said
    }
}

#[track_caller]
fn back_and_forth(stage: &Stage) {
    let Stage { ours, .. } = stage;
    ours.well(&["save"]);
    stage.etcd.ctl(&["put", "more", "1"]);
    let id = ours.json(&["save"])["id"].as_str().unwrap().to_string();
    assert!(
        ours.well(&["save", "--if-changed"])
            .starts_with("nothing has changed since")
    );
    assert_eq!(stage.snapshots(), 2);
    assert_eq!(
        ours.well(&["verify", "--all"]).matches("is good").count(),
        2
    );
    let file = stage.file();
    ours.well(&["fetch", file.to_str().unwrap()]);
    assert!(fs::metadata(&file).unwrap().len() > 12 << 20);
    assert_eq!(ours.json(&["drill"])["passed"], true);
    ours.well(&["prune", "--keep-last=1"]);
    assert_eq!(ours.json(&["list"])["snapshots"][0]["id"], id.as_str());
    assert_eq!(ours.json(&["look", "--decides"])["decides"], true);
}

#[test]
fn s3s_takes_and_gives_back_snapshots() {
    back_and_forth(&Stage::large(S3::s3s()));
}

#[test]
fn seaweedfs_takes_and_gives_back_snapshots() {
    back_and_forth(&Stage::large(S3::seaweed()));
}

#[test]
fn a_fault_that_passes_is_not_noticed() {
    let stage = Stage::large(S3::s3s());
    let Stage { proxy, ours, .. } = &stage;
    let slow_down = Fault::Says(503, "SlowDown", "Please reduce your request rate.");
    for (method, part, fault) in [
        (
            "PUT",
            "partNumber=1",
            Fault::Says(500, "InternalError", "We encountered an internal error."),
        ),
        ("PUT", "partNumber=2", slow_down.clone()),
        ("PUT", "partNumber=1", Fault::CutsRequest(1 << 20)),
        ("POST", "uploadId=", slow_down.clone()),
        ("GET", "list-type=2", slow_down),
        (
            "PUT",
            ".json",
            Fault::Says(500, "InternalError", "We encountered an internal error."),
        ),
        ("PUT", "partNumber=1", Fault::Delays(Duration::from_secs(2))),
    ] {
        proxy.to(method, part, 1, fault.clone());
        let saved = ours.run(&["save"]);
        assert_eq!(saved.code, 0, "{method} {part} {fault:?}: {saved:?}");
        proxy.heal();
    }
    assert_eq!(stage.snapshots(), 7);
    proxy.to("GET", ".db.zst", 1, Fault::CutsAnswer(1 << 20));
    assert!(ours.well(&["verify", "--all"]).matches("is good").count() == 7);
}

#[test]
fn a_fault_that_stays_leaves_nothing_half_visible_and_says_the_cure() {
    let stage = Stage::large(S3::s3s());
    for (method, part, status, code, words) in [
        ("PUT", "partNumber=2", 500, "InternalError", "InternalError"),
        (
            "POST",
            "uploads",
            403,
            "AccessDenied",
            "the credentials have to allow",
        ),
        (
            "PUT",
            "partNumber=1",
            403,
            "RequestTimeTooSkewed",
            "set this machine's clock",
        ),
        (
            "PUT",
            "partNumber=2",
            400,
            "ExpiredToken",
            "the credentials have expired: renew them",
        ),
        (
            "POST",
            "uploadId=",
            409,
            "OperationAborted",
            "OperationAborted",
        ),
        // The manifest: whether a server means it or not, there is no snapshot then.
        (
            "PUT",
            ".json",
            412,
            "PreconditionFailed",
            "the store contradicts itself",
        ),
        (
            "PUT",
            ".json",
            403,
            "AccessDenied",
            "the credentials have to allow",
        ),
        (
            "GET",
            "list-type=2",
            403,
            "AccessDenied",
            "the credentials have to allow listing",
        ),
    ] {
        // The place is marked once; what is written then is a manifest.
        if stage.snapshots() == 0 {
            stage.ours.well(&["save"]);
        }
        let fault = Fault::Says(status, code, "words of the server");
        let part = if part == ".json" { "snapshot/" } else { part };
        let said = match part {
            "snapshot/" => {
                // Every PUT below snapshot/ but the parts.
                stage.proxy.to(
                    "PUT",
                    "partNumber",
                    usize::MAX,
                    Fault::Delays(Duration::ZERO),
                );
                stage.save_fails(method, part, fault, words)
            }
            _ => stage.save_fails(method, part, fault, words),
        };
        assert!(!said.err.contains("panicked"), "{said:?}");
    }
    // An upload that failed is taken away.
    assert!(
        stage
            .proxy
            .seen()
            .iter()
            .any(|line| line.starts_with("DELETE") && line.contains("uploadId="))
    );
}

#[test]
fn a_connection_that_is_cut_each_time_ends_the_save() {
    let stage = Stage::large(S3::s3s());
    stage.ours.well(&["save"]);
    stage.save_fails("PUT", "partNumber=1", Fault::CutsRequest(1 << 20), "cannot");
    assert!(stage.ours.well(&["verify", "--all"]).contains("is good"));
}

#[test]
fn what_is_damaged_on_its_way_back_is_not_taken_for_good() {
    let stage = Stage::large(S3::s3s());
    let Stage { proxy, ours, .. } = &stage;
    ours.well(&["save"]);
    proxy.to("GET", ".db.zst", 2, Fault::FlipsByte(100_000));
    let said = ours.run(&["verify"]);
    assert!(
        said.code == 1 && said.out.contains("is damaged"),
        "{said:?}"
    );
    let file = stage.file();
    ours.fails(&["fetch", file.to_str().unwrap()], 74, "is damaged");
    assert!(fs::read_dir(stage.dir.path()).unwrap().next().is_none());
    // The server's object is whole: it was the way.
    assert!(ours.well(&["verify"]).contains("is good"));
    // A cut is no verdict.
    proxy.to("GET", ".db.zst", usize::MAX, Fault::CutsAnswer(0));
    ours.fails(&["verify"], 74, "cannot read");
}

#[test]
fn the_settings_that_are_wrong_are_named() {
    let stage = Stage::on(S3::s3s());
    let here = |name: &'static str, value: &str| {
        let env = stage.s3.environment(stage.s3.address);
        Ours::new(&stage.etcd, "").with_all(env).with(name, value)
    };
    here("AWS_SECRET_ACCESS_KEY", "wrong").fails(
        &["save"],
        74,
        "AWS_SECRET_ACCESS_KEY are not taken there",
    );
    here("REJOIN_STORE", "s3://nowhere/prod").fails(
        &["save"],
        74,
        "create the bucket, or correct REJOIN_STORE",
    );
    // Nobody there is no empty store.
    here("AWS_ENDPOINT_URL", "http://127.0.0.1:9").fails(&["look"], 74, "127.0.0.1:9");
}

#[test]
fn another_cluster_s_place_is_not_written_to() {
    let stage = Stage::on(S3::s3s());
    stage.ours.well(&["save", "--name=production"]);
    let other = Etcd::start("bookworm");
    let theirs = Ours::new(&other, "").with_all(stage.s3.environment(stage.s3.address));
    theirs.fails(&["save"], 65, "give each cluster a prefix of its own");
    assert_eq!(stage.snapshots(), 1);
}

#[test]
fn a_prune_whose_listing_fails_removes_nothing() {
    let stage = Stage::on(S3::s3s());
    let Stage { proxy, ours, .. } = &stage;
    for n in 0..3 {
        stage.etcd.ctl(&["put", "key", &n.to_string()]);
        ours.well(&["save"]);
    }
    proxy.to(
        "GET",
        "list-type=2",
        usize::MAX,
        Fault::Says(500, "InternalError", "words of the server"),
    );
    ours.fails(&["prune", "--keep-last=1"], 74, "cannot list");
    assert!(
        !proxy
            .seen()
            .iter()
            .any(|line| line.contains("delete") || line.starts_with("DELETE"))
    );
    proxy.heal();
    assert_eq!(stage.snapshots(), 3);
}

#[test]
fn a_listing_of_2500_snapshots_comes_in_pages() {
    let stage = Stage::on(S3::seaweed());
    let id = stage.ours.json(&["save"])["id"]
        .as_str()
        .unwrap()
        .to_string();
    let manifest = stage.ours.json(&["show"]).to_string();
    for n in 0..2500 {
        let other = format!("0001-{:019}-{n:08x}", 1);
        let key = format!("prod/snapshot/{other}.json");
        stage
            .s3
            .make(&key, manifest.replace(&id, &other).as_bytes());
    }
    let listed = stage.ours.json(&["list"]);
    assert_eq!(listed["snapshots"].as_array().unwrap().len(), 2501);
    assert_eq!(listed["snapshots"][2500]["id"], id.as_str());
    assert!(
        stage
            .proxy
            .seen()
            .iter()
            .filter(|line| line.contains("continuation-token"))
            .count()
            >= 2
    );
}
