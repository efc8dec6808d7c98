//! `status`, `quarantine` and `leave` in every state of a data dir that needs no cluster.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{self, Cluster, Tree, Version, addresses::Addresses, files, scenarios};
use crate::{Said, call, of_two};

scenarios! {
    newest:
        an_etcd_on_trial_runs_also_when_the_quorum_is_lost,
        an_etcd_of_any_name_is_known_by_its_locks,
        a_cluster_of_three_survives_one_more_failure,
        run_warns_once_where_a_rejoin_would_fail,
        a_running_member_has_nothing_to_do,
        own_and_damaged_data_are_told_apart,
        set_aside_data_is_listed_and_put_back,
        data_at_another_place_is_shown_before_anything_is_founded;
}

/// A one-member cluster that has written something.
fn alone(version: Version) -> Cluster {
    let mut cluster = Cluster::running(version, 1);
    cluster.put_some();
    cluster
}

/// Our program in the environment of its member.
fn beside(cluster: &mut Cluster, args: &[&str]) -> Said {
    let member = cluster.member(1);
    let mut call = call(args);
    for (name, value) in &member.env {
        call = call.env(name, value);
    }
    call.run()
}

#[track_caller]
fn json(said: &Said) -> Value {
    said.ends_with(0);
    serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:#?}"))
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_keys_of_json_are_the_documented_ones() {
    let said = call(&["status", "--json"]).run();
    let status = json(&said);
    let expected = [
        "name",
        "set",
        "data_dir",
        "etcd",
        "peers",
        "cluster",
        "store",
        "failures",
        "volume",
        "decision",
        "step",
        "action",
        "reason",
        "why",
        "to_change",
        "hindered",
        "took_ms",
    ];
    assert_eq!(keys(&status), expected.map(String::from).into());
    let help = call(&["status", "--help"]).run();
    for part in ["data_dir", "etcd", "cluster"] {
        for key in keys(&status[part]) {
            help.has(&[&key]);
        }
    }
    help.has(&expected);
    // Without `etcd-rejoin-snapshot`, or without its directory, it says nothing.
    let status = call(&["status", "--json"])
        .env("REJOIN_STORE", "/nowhere/store")
        .run();
    let status = json(&status);
    assert_eq!(status["reason"], "store-unreachable");
    assert!(
        status["store"]["words"]
            .as_str()
            .unwrap()
            .starts_with("silent: ")
    );
    for key in keys(&status["store"]) {
        help.has(&[&key]);
    }
}

#[test]
fn an_empty_data_dir_would_be_founded_or_waited_for() {
    let mut alone = call(&["status", "--json"]).stand_in();
    let status = json(&alone.run());
    assert_eq!(status["data_dir"]["state"], "empty");
    assert_eq!(
        (&status["decision"], &status["reason"]),
        (&"start".into(), &"first-start".into())
    );
    assert_eq!(status["cluster"]["state"], "alone");
    assert!(!alone.data_dir().exists(), "status has made the data dir");

    // Where others could call, it would listen first.
    let addresses = Addresses::take();
    let peer = format!("http://{}:2380", addresses.host(1));
    let reachable = call(&["status", "--json"]).env("ETCD_INITIAL_ADVERTISE_PEER_URLS", &peer);
    let initial = format!("default={peer}");
    let status = json(
        &reachable
            .env("ETCD_INITIAL_CLUSTER", &initial)
            .stand_in()
            .run(),
    );
    assert_eq!(
        (&status["decision"], &status["reason"]),
        (&"wait".into(), &"listening".into())
    );

    // This machine may have an etcd of its own.
    let beside = |args| of_two(call(args).env("PATH", "/nowhere"), &addresses).run();
    let status = json(&beside(&["status", "--json"]));
    assert_eq!(
        (&status["decision"], &status["reason"]),
        (&"wait".into(), &"not-all-heard".into())
    );
    assert_eq!(status["peers"][0]["heard"], "silent");
    assert_eq!(status["etcd"]["program"], Value::Null);
    let text = beside(&["status"]);
    text.ends_with(0).has(&[
        "peer       n2 silent",
        "to change  start the missing",
        "no etcd in PATH",
    ]);
}

fn a_running_member_has_nothing_to_do(version: Version) {
    let mut cluster = alone(version);
    let status = json(&beside(&mut cluster, &["status", "--json"]));
    assert_eq!(
        (&status["decision"], &status["reason"]),
        (&"none".into(), &"running".into())
    );
    assert_eq!(status["hindered"], Value::Null);
    let check = beside(&mut cluster, &["status", "--check"]);
    check
        .ends_with(0)
        .has(&["OK: nothing to do: etcd runs here and is healthy (running: "]);
    assert_eq!(check.out.lines().count(), 1);
    assert_eq!(status["etcd"]["running"], true);
    assert_eq!(status["etcd"]["healthy"], true);
    assert!(
        status["data_dir"]["held_by"]
            .as_str()
            .unwrap()
            .contains("(etcd)")
    );
    let text = beside(&mut cluster, &["status"]);
    text.has(&[
        "decision   nothing to do: etcd runs here and is healthy",
        "because    running: ",
    ]);
    beside(&mut cluster, &["probe"])
        .ends_with(0)
        .has(&["healthy\n"]);
    beside(&mut cluster, &["quarantine", "put-back", "x"])
        .ends_with(65)
        .has(&["(etcd)"]);
    let leave = beside(&mut cluster, &["leave"]);
    leave.ends_with(74).has(&["to end this cluster, stop it"]);
    // The kernel answers, etcd does not.
    cluster.member(1).pause();
    beside(&mut cluster, &["probe"])
        .ends_with(1)
        .has(&["not healthy: http://127."]);
    let status = json(&beside(&mut cluster, &["status", "--json"]));
    assert_eq!(
        (&status["decision"], &status["etcd"]["healthy"]),
        (&"none".into(), &false.into())
    );
    assert_eq!(status["reason"], "not-healthy");
    let check = beside(&mut cluster, &["status", "--check"]);
    check
        .ends_with(2)
        .has(&["CRITICAL: nothing to do here: etcd runs, and is not healthy"]);
    cluster.member(1).resume();
}

/// What `status` says once the etcd that it stands beside is not healthy.
#[track_caller]
fn unhealthy(cluster: &mut Cluster) -> Value {
    support::wait_for("an unhealthy etcd", support::PATIENCE, || {
        !beside(cluster, &["probe"]).out.starts_with("healthy")
    });
    let status = json(&beside(cluster, &["status", "--json"]));
    assert_eq!(
        [&status["etcd"]["running"], &status["etcd"]["healthy"]],
        [true, false],
        "{status:#}"
    );
    assert_eq!(status["decision"], "none", "{status:#}");
    status
}

fn an_etcd_on_trial_runs_also_when_the_quorum_is_lost(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    assert!(!cluster.member(1).is_etcd());
    cluster.kill9(&[2, 3]);
    let status = unhealthy(&mut cluster);
    let held_by = status["data_dir"]["held_by"].as_str().unwrap();
    assert!(held_by.ends_with(" (etcd-rejoin)"), "{held_by}");
    let text = beside(&mut cluster, &["status"]);
    text.has(&["decision   nothing to do here: etcd runs, and is not healthy"]);
    text.has(&[
        "(etcd-rejoin), which has started process",
        "(etcd) on trial",
    ]);
}

fn an_etcd_of_any_name_is_known_by_its_locks(version: Version) {
    let mut cluster = Cluster::new(version, 1);
    let named = cluster.scratch().join("another-name");
    std::os::unix::fs::symlink(version.etcd(), &named).unwrap();
    let named = named.display().to_string();
    cluster.member(1).set("REJOIN_ETCD", &named);
    cluster.run();
    assert_eq!(cluster.member(1).process().comm(), "another-name");
    cluster.member(1).pause();
    let status = unhealthy(&mut cluster);
    let held_by = status["data_dir"]["held_by"].as_str().unwrap();
    assert!(held_by.ends_with(" (another-name)"), "{held_by}");
    let said = beside(&mut cluster, &["status"]);
    assert!(!said.out.contains("data dir of its own"), "{said:#?}");
    cluster.member(1).resume();
}

fn a_cluster_of_three_survives_one_more_failure(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let status = json(&beside(&mut cluster, &["status", "--json"]));
    assert_eq!(status["cluster"]["margin"], 1);
    assert_eq!(status["cluster"]["members"].as_array().unwrap().len(), 3);
    beside(&mut cluster, &["status"]).has(&["survives 1 more failure", "peer       n2 runs etcd"]);
    let check = |cluster: &mut Cluster| beside(cluster, &["status", "--check"]);
    let well = check(&mut cluster);
    well.ends_with(0)
        .has(&["OK: ", "the cluster survives 1 more failure"]);
    cluster.kill9(&[3]);
    cluster.wait_healthy_of(&[1, 2]);
    let lacks = check(&mut cluster);
    lacks
        .ends_with(1)
        .has(&["WARNING: ", "the cluster survives no further failure"]);
    cluster.kill9(&[1]);
    check(&mut cluster).ends_with(2).has(&["CRITICAL: "]);
}

#[test]
fn a_monitor_hears_that_status_could_not_look() {
    let wrong = call(&["status", "--check"]).env("REJOIN_AS", "boss").run();
    wrong.ends_with(3).has(&["REJOIN_AS=boss"]);
    let elsewhere = call(&["status", "--check"])
        .env("ETCD_DATA_DIR", "/etc/passwd")
        .run();
    elsewhere.ends_with(3).has(&["/etc/passwd"]);
    let json = call(&["status", "--check", "--json"]).run();
    json.ends_with(2);
    assert!(serde_json::from_str::<Value>(&json.out).is_ok());
}

/// Whatever is decided: `run` would find it late, or etcd.
#[test]
fn what_hinders_a_start_is_said_at_once() {
    let addresses = Addresses::take();
    let hindered = |setting: (&str, &str), why: &str| {
        let call = |args| {
            of_two(call(args), &addresses)
                .env(setting.0, setting.1)
                .stand_in()
        };
        let status = json(&call(&["status", "--json"]).run());
        assert_eq!(status["reason"], "not-all-heard");
        let said = status["hindered"].as_str().unwrap();
        assert!(said.contains(why), "{said}");
        let text = call(&["status"]).run();
        text.ends_with(0).has(&["\nhindered   ", why]);
    };
    // An address of documentation: no machine has it.
    let foreign = "http://192.0.2.1:2379";
    hindered(
        ("ETCD_LISTEN_CLIENT_URLS", foreign),
        "no interface of this machine has",
    );
    hindered(
        ("ETCD_ADVERTISE_CLIENT_URLS", ""),
        "ETCD_ADVERTISE_CLIENT_URLS is missing",
    );
    hindered(("ETCD_DATA_DIR", "/proc/data"), "/proc");
}

fn run_warns_once_where_a_rejoin_would_fail(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let warns = |cluster: &mut Cluster| {
        cluster.kill9(&[3]);
        cluster.start(&[3]);
        cluster.wait_healthy();
        cluster.member(3).log.lines("could not come back").len()
    };
    assert_eq!(warns(&mut cluster), 0);
    let env = cluster.member(3).env.clone();
    let others = env["ETCD_INITIAL_CLUSTER"].replace("n3=", "n4=");
    cluster.member(3).set("ETCD_INITIAL_CLUSTER", &others);
    cluster.member(3).unset("ETCD_INITIAL_ADVERTISE_PEER_URLS");
    assert_eq!(warns(&mut cluster), 1);
    let check = {
        let mut call = call(&["status", "--check"]);
        for (name, value) in &cluster.member(3).env {
            call = call.env(name, value);
        }
        call.run()
    };
    check.ends_with(1).has(&[
        "WARNING: ",
        "could not come back: set ETCD_INITIAL_ADVERTISE_PEER_URLS",
    ]);
}

fn own_and_damaged_data_are_told_apart(version: Version) {
    let mut cluster = alone(version);
    cluster.member(1).sigterm();
    let volume = cluster.member(1).volume.clone();
    let before = Tree::of(&volume);
    let status = json(&beside(&mut cluster, &["status", "--json"]));
    assert_eq!(
        (&status["data_dir"]["state"], &status["reason"]),
        (&"own".into(), &"nobody-answers".into())
    );
    assert_eq!(status["data_dir"]["held_by"], Value::Null);
    let id = status["data_dir"]["member_id"].as_str().unwrap();
    beside(&mut cluster, &["status"]).has(&[
        id,
        "starts etcd with its data",
        "to change  nothing to do\n",
    ]);
    beside(&mut cluster, &["probe"])
        .ends_with(1)
        .has(&["refused"]);
    beside(&mut cluster, &["leave"])
        .ends_with(74)
        .has(&["cannot leave the cluster"]);
    Tree::of(&volume).assert_is(&before);

    let wal = files::wal_files(&volume.join("member/wal"));
    files::damage(&wal[0], files::Damage::FlippedHead);
    let status = json(&beside(&mut cluster, &["status", "--json"]));
    assert_eq!(status["data_dir"]["state"], "damaged");
    assert!(status["data_dir"]["damage"].is_string());
    assert_eq!(
        (&status["decision"], &status["reason"]),
        (&"wait".into(), &"data-damaged-no-quorum".into())
    );
}

fn set_aside_data_is_listed_and_put_back(version: Version) {
    let mut cluster = alone(version);
    cluster.member(1).sigterm();
    let volume = cluster.member(1).volume.clone();
    let aside = volume.join("quarantine/20261121T101112Z-1");
    std::fs::create_dir_all(&aside).unwrap();
    std::fs::rename(volume.join("member"), aside.join("member")).unwrap();
    let listed = beside(&mut cluster, &["quarantine", "list"]);
    listed
        .ends_with(0)
        .has(&["20261121T101112Z-1 bytes=", "path="]);
    let listed = json(&beside(&mut cluster, &["quarantine", "list", "--json"]));
    assert_eq!(listed.as_array().unwrap().len(), 1);
    for (key, value) in [
        ("name", "20261121T101112Z-1".into()),
        ("path", aside.display().to_string().into()),
        ("wal", Value::Null),
        ("member_id", "1".into()),
        ("time", "2026-11-21T10:11:12.000Z".into()),
        ("counts", true.into()),
    ] {
        assert_eq!(listed[0][key], value, "{listed:#}");
    }
    assert!(listed[0]["bytes"].as_u64() > Some(1 << 20), "{listed:#}");
    let status = json(&beside(&mut cluster, &["status", "--json"]));
    assert_eq!(status["data_dir"]["set_aside"], 1);
    assert_eq!(
        (&status["decision"], &status["reason"]),
        (&"refuse".into(), &"data-set-aside".into())
    );
    for wrong in ["nope", "..", "../member", "/etc"] {
        let said = beside(&mut cluster, &["quarantine", "put-back", wrong]);
        said.ends_with(74).has(&[wrong]);
    }
    let dir = volume.display().to_string();
    let by_flag = call(&["quarantine", "list", "--", "--data-dir", &dir])
        .unset("ETCD_DATA_DIR")
        .run();
    by_flag.ends_with(0).has(&["20261121T101112Z-1"]);
    let put = beside(
        &mut cluster,
        &["quarantine", "put-back", "20261121T101112Z-1"],
    );
    put.ends_with(0).has(&["put back 20261121T101112Z-1"]);
    beside(&mut cluster, &["quarantine", "list"]).has(&["nothing is set aside"]);
    let file = cluster.scratch().join("env");
    std::fs::write(&file, format!("export ETCD_DATA_DIR={dir}/not-mounted\n")).unwrap();
    let args = ["quarantine", "list", "--env-file", file.to_str().unwrap()];
    let elsewhere = call(&args).run();
    elsewhere.ends_with(74).has(&["no data dir", "not-mounted"]);
    cluster.start(&[1]);
    cluster.wait_healthy();
    cluster.verify();
}

/// A person who has changed ETCD_DATA_DIR is shown where the data lies, and both ways on.
fn data_at_another_place_is_shown_before_anything_is_founded(version: Version) {
    let mut cluster = alone(version);
    let id = format!("{:x}", cluster.id(1));
    cluster.member(1).sigterm();
    let before = cluster.member(1).env["ETCD_DATA_DIR"].clone();
    let changed = format!("{before}/data");
    cluster.member(1).set("ETCD_DATA_DIR", &changed);
    let status = json(&beside(&mut cluster, &["status", "--json"]));
    assert_eq!(
        (&status["decision"], &status["reason"]),
        (&"refuse".into(), &"data-elsewhere".into())
    );
    let text = beside(&mut cluster, &["status"]);
    text.has(&[
        &format!("{before} holds data of member {id} of cluster "),
        &format!("set ETCD_DATA_DIR={before} to start with that data"),
        &format!("REJOIN_IGNORE={before}"),
    ]);
    cluster.member(1).set("REJOIN_IGNORE", &before);
    let status = json(&beside(&mut cluster, &["status", "--json"]));
    assert_eq!(status["reason"], "listening");
    assert!(!Path::new(&changed).exists());
}

#[test]
fn who_left_without_data_is_told_so() {
    let said = call(&["leave"]).run();
    said.ends_with(74)
        .has(&["nothing here says which member this is"]);
}

/// Another user, who may not read the data dir.
#[test]
fn a_data_dir_that_may_not_be_read_is_no_evidence() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let shown = data.display().to_string();
    set_mode(dir.path(), 0o755);
    set_mode(&data, 0o700);
    let commands: [&[&str]; 5] = [
        &["status"],
        &["quarantine", "list"],
        &["leave"],
        &["leave", "--undo"],
        &["run"],
    ];
    for args in commands {
        let output = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
            .arg("env")
            .args(["-i", "PATH=/usr/bin:/bin", "REJOIN_ETCD=/bin/true"])
            .arg(format!("ETCD_DATA_DIR={shown}"))
            .arg(public_copy(dir.path()))
            .args(args)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(74), "{args:?}: {said}");
        assert!(
            said.contains(&shown) && said.contains("ermission denied"),
            "{args:?}: {said}"
        );
    }
}

/// The program where everybody may run it.
fn public_copy(dir: &Path) -> std::path::PathBuf {
    let copy = dir.join("etcd-rejoin");
    if !copy.exists() {
        let program = std::fs::read(env!("CARGO_BIN_EXE_etcd-rejoin")).unwrap();
        support::executable(&copy, program);
    }
    copy
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
