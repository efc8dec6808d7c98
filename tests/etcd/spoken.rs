//! What a person says: leave, come back, put back what was set aside, delete it. And many accidents in
//! a row, in an order that nobody planned.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::files::{self, Damage, damage};
use crate::support::{Cluster, PATIENCE, Version, scenarios, wait_for};

scenarios! {
    each:
        accidents_in_any_order;
    both:
        leaving_asks_its_own_cluster_only,
        leaving_is_final_until_taken_back,
        leaving_takes_nobody_else_out,
        leaving_through_its_own_etcd_alone_is_final_too,
        leaving_never_costs_the_quorum,
        who_may_have_left_is_told_how_to_go_on,
        set_aside_data_is_deleted_when_allowed,
        set_aside_data_is_put_back,
        the_last_copy_lies_aside_and_is_made_the_cluster,
        the_last_copy_holds_its_own_removal_and_is_restored;
    newest: status_says_whose_data_runs_here;
}

/// Runs a command of the program with the settings of member 3, beside it.
#[track_caller]
fn say(cluster: &mut Cluster, words: &[&str]) -> (i32, String) {
    say_of(cluster, 3, words)
}

#[track_caller]
fn say_of(cluster: &mut Cluster, n: usize, words: &[&str]) -> (i32, String) {
    let mut beside = cluster.twin_of(n);
    beside.env = cluster.member(n).env.clone();
    let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
    beside.start_with(&words);
    let code = beside.wait_exit(PATIENCE);
    (code, beside.log.text())
}

/// It started before anybody could say that its data is another cluster's: nothing ends it.
fn status_says_whose_data_runs_here(version: Version) {
    let mut other = Cluster::running(version, 3);
    other.kill9(&[1, 2, 3]);
    let mut cluster = Cluster::running(version, 3);
    cluster.kill9(&[1, 2, 3]);
    cluster.member(3).lose_disk();
    let volume = cluster.member(3).volume.clone();
    files::copy(&other.member(3).volume.clone(), &volume);
    cluster.start(&[3]);
    cluster.member(3).wait_reason("nobody-answers");
    let said = |cluster: &mut Cluster, n: usize, parts: &[&str]| {
        let words = format!("status of n{n} says {parts:?}");
        wait_for(&words, PATIENCE, || {
            let said = say_of(cluster, n, &["status"]).1;
            parts.iter().all(|part| said.contains(part))
        });
    };
    cluster.start(&[1, 2]);
    let refused = ["etcd runs", "other-cluster: ", "to change  stop it; "];
    said(&mut cluster, 3, &refused);
    // What answers at n3's address is no member of this cluster.
    said(
        &mut cluster,
        1,
        &["runs here and is healthy", "survives no further failure"],
    );
}

fn leaving_is_final_until_taken_back(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    // etcd takes no change while a member is connected for less than five seconds: once is enough all the same.
    let (code, words) = say(&mut cluster, &["leave"]);
    assert_eq!(code, 0, "{words}");
    cluster.member(3).wait_exit(PATIENCE);
    for _ in 0..2 {
        cluster.start(&[3]);
        cluster.member(3).assert_refuses("left");
    }
    cluster.put_some();
    cluster.verify_of(&[1, 2]);
    let (code, words) = say(&mut cluster, &["leave", "--undo"]);
    assert_eq!(code, 0, "{words}");
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.verify();
}

/// Its own etcd is the only way to the cluster, and goes with the member: nobody is left who says that it is gone.
fn leaving_through_its_own_etcd_alone_is_final_too(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    let urls = [1, 2].map(|n| cluster.member(n).client_url());
    for n in [1, 2] {
        (cluster.member(n)).set("ETCD_ADVERTISE_CLIENT_URLS", "http://127.0.0.1:1");
    }
    cluster.start_all();
    cluster.wait_healthy_of(&[3]);
    let (code, words) = say(&mut cluster, &["leave"]);
    // etcd may be gone before it has answered. That is said, and the note stays.
    let unheard = code == 74 && words.contains("server stopped");
    assert!(code == 0 || unheard, "{code}: {words}");
    cluster.member(3).wait_exit(PATIENCE);
    cluster.start(&[3]);
    cluster.member(3).assert_refuses("left");
    // For the test's own clients.
    for n in [1, 2] {
        (cluster.member(n)).set("ETCD_ADVERTISE_CLIENT_URLS", &urls[n - 1]);
    }
    assert_eq!(cluster.members_of(1).len(), 2);
}

/// By the data alone it would be another member that goes.
fn leaving_takes_nobody_else_out(version: Version) {
    let mut cluster = Cluster::running(version, 5);
    cluster.member(3).lose_disk();
    let (from, to) = (
        cluster.member(1).volume.clone(),
        cluster.member(3).volume.clone(),
    );
    files::copy(&from, &to);
    wait_for("the others are one cluster", PATIENCE, || {
        let (code, words) = say(&mut cluster, &["leave"]);
        assert_eq!(code, 74, "{words}");
        words.contains("under a name and peer URLs that are not ours")
    });
    assert_eq!(cluster.members_of(1).len(), 5);
}

/// Also where etcd does not look at who answers.
fn leaving_never_costs_the_quorum(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    cluster.set("ETCD_STRICT_RECONFIG_CHECK", "false");
    cluster.run();
    cluster.kill9(&[2]);
    cluster.wait_healthy_of(&[1, 3]);
    let (code, words) = say(&mut cluster, &["leave"]);
    assert_eq!(code, 74, "{words}");
    assert!(words.contains("would have no quorum"), "{words}");
    assert_eq!(cluster.members_of(1).len(), 3);
    cluster.start(&[2]);
    cluster.wait_healthy();
    wait_for("leaving succeeds", PATIENCE, || {
        say(&mut cluster, &["leave"]).0 == 0
    });
    cluster.verify_of(&[1, 2]);
}

/// Another cluster says "member not found" of every member of ours: that is no leaving.
fn leaving_asks_its_own_cluster_only(version: Version) {
    let mut other = Cluster::running(version, 1);
    let mut cluster = Cluster::running(version, 3);
    let url = other.member(1).client_url();
    cluster.member(3).set("ETCD_OTHER_PEERS_CLIENT_URLS", &url);
    let id = cluster.id(3);
    // Nobody of our own cluster can do it: it is said, and nothing is noted.
    cluster.kill9(&[1, 2]);
    let (code, words) = say(&mut cluster, &["leave"]);
    assert_eq!(code, 74, "{words}");
    assert!(
        words.contains(&format!("{url} runs etcd of cluster")),
        "{words}"
    );
    cluster.kill9(&[3]);
    cluster.start_all();
    cluster.wait_healthy();
    // The next one that is asked is of our own.
    wait_for("leaving succeeds", PATIENCE, || {
        say(&mut cluster, &["leave"]).0 == 0
    });
    let listed = cluster.members_of(1);
    assert!(listed.iter().all(|member| member.id != id), "{listed:?}");
}

/// A gateway that passes everything on but a remove, which it keeps without an answer.
fn without_removes(client_url: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let to = client_url.trim_start_matches("http://").to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // It may not run yet.
            let Ok(etcd) = TcpStream::connect(&to) else {
                continue;
            };
            let (mut from, mut back) = (stream.try_clone().unwrap(), stream);
            let (mut into, mut answers) = (etcd.try_clone().unwrap(), etcd);
            thread::spawn(move || std::io::copy(&mut answers, &mut back));
            thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(n @ 1..) = from.read(&mut bytes) {
                    let text = String::from_utf8_lossy(&bytes[..n]);
                    if !text.contains("/member/remove") && into.write_all(&bytes[..n]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    url
}

/// A remove without an answer may be applied later: the note stays, and a person has to know of it.
fn who_may_have_left_is_told_how_to_go_on(version: Version) {
    let mut cluster = Cluster::new(version, 3);
    for n in 1..=3 {
        let gateway = without_removes(&cluster.member(n).client_url());
        (cluster.member(n)).set("ETCD_ADVERTISE_CLIENT_URLS", &gateway);
    }
    cluster.run();
    let before = cluster.member(3).env.clone();
    (cluster.member(3)).set("ETCD_LISTEN_CLIENT_URLS", "http://127.0.0.1:1");
    let (code, words) = say(&mut cluster, &["leave"]);
    assert_eq!(code, 74, "{words}");
    for part in ["stays noted", "reason=left", "leave --undo", "leave` again"] {
        assert!(words.contains(part), "{part}: {words}");
    }
    cluster.member(3).env = before;
    cluster.kill9(&[3]);
    cluster.start(&[3]);
    cluster.member(3).assert_refuses("left");
    assert_eq!(say(&mut cluster, &["leave", "--undo"]).0, 0);
    cluster.start(&[3]);
    cluster.wait_healthy();
}

/// Damages member 3's WAL and lets it rejoin, so that something lies set aside.
fn set_something_aside(cluster: &mut Cluster) {
    cluster.kill9(&[3]);
    let wal = cluster.member(3).volume.join("member/wal");
    let file = files::wal_files(&wal).pop().unwrap();
    damage(&file, Damage::FlippedTail);
    cluster.start(&[3]);
    cluster.wait_healthy_restarting(3);
}

fn lying_aside(cluster: &mut Cluster) -> usize {
    let quarantine = cluster.member(3).volume.join("quarantine");
    std::fs::read_dir(quarantine).map_or(0, |entries| entries.count())
}

/// `REJOIN_DATA=delete` keeps as many as it is told, and only once the member is itself again.
fn set_aside_data_is_deleted_when_allowed(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    for _ in 0..3 {
        set_something_aside(&mut cluster);
    }
    assert_eq!(lying_aside(&mut cluster), 3);
    cluster.member(3).set("REJOIN_DATA", "delete");
    cluster.kill9(&[3]);
    cluster.start(&[3]);
    cluster.wait_healthy();
    assert_eq!(lying_aside(&mut cluster), 1);
    cluster.put_some();
    cluster.verify();
}

/// Every disk is lost but for what n3 set aside: nobody founds beside it. Put back it still has no quorum,
/// until a person runs etcd with `--force-new-cluster`; then the others rejoin
/// (docs/lost-majority.md).
fn the_last_copy_lies_aside_and_is_made_the_cluster(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.put_some();
    cluster.verify();
    let id = format!("{:x}", cluster.id(3));
    // While it is down: a copy that knows of its own removal ends again at once. Stopped, not killed: etcd
    // writes the last commit index late, and `--force-new-cluster` drops what lies beyond it.
    cluster.member(3).sigterm();
    cluster.operator(&["member", "remove", &id]);
    cluster.start(&[3]);
    cluster.wait_healthy_restarting(3);
    lose_all_but_what_lies_aside(&mut cluster);
    cluster.start(&[1, 2, 3]);
    cluster.member(3).assert_refuses("data-set-aside");
    for n in [1, 2] {
        cluster.kill9(&[n]);
    }
    put_back(&mut cluster);
    cluster.start(&[1, 2, 3]);
    for n in [1, 2] {
        cluster.member(n).wait_reason("data-lost-no-leader");
        // Once it is no election that passes.
        cluster.member(n).wait_log("--force-new-cluster");
    }
    cluster.member(3).sigterm();
    cluster.member(3).start_etcd(&["--force-new-cluster"]);
    cluster.wait_healthy();
    cluster.member(3).sigterm();
    cluster.start(&[3]);
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

/// Such a copy ends at once, forced or not, where it holds the removal. etcd's own restore makes a cluster of one member of it, and the
/// others join that (docs/lost-majority.md).
fn the_last_copy_holds_its_own_removal_and_is_restored(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    cluster.put_some();
    cluster.verify();
    let id = format!("{:x}", cluster.id(3));
    cluster.operator(&["member", "remove", &id]);
    // It may answer for a moment longer, and ends with 0; if it led, it may be started once more before there
    // is a leader, and then ends with 1 ("server is stopping"): its WAL holds the removal.
    wait_for("what it had lies aside", PATIENCE, || {
        cluster.wait_healthy_restarting(3);
        lying_aside(&mut cluster) == 1
    });
    lose_all_but_what_lies_aside(&mut cluster);
    put_back(&mut cluster);
    cluster.member(3).start_etcd(&["--force-new-cluster"]);
    // It may have heard of its removal by the others' refusal alone: then its copy does not hold it, and serves.
    let client = cluster.client(3);
    wait_for("it has ended, or serves", PATIENCE, || {
        cluster.member(3).process().code().is_some() || client.linearizable_read().is_ok()
    });
    if cluster.member(3).process().code().is_none() {
        cluster.member(3).sigterm();
    }
    restore_as_one_member(&mut cluster, version);
    cluster.start(&[1, 2, 3]);
    cluster.wait_healthy();
    cluster.put_some();
    cluster.verify();
}

/// One copy is left, in member 3's quarantine.
fn lose_all_but_what_lies_aside(cluster: &mut Cluster) {
    assert_eq!(lying_aside(cluster), 1);
    cluster.kill9(&[3]);
    std::fs::remove_dir_all(cluster.member(3).volume.join("member")).unwrap();
    for n in [1, 2] {
        cluster.member(n).lose_disk();
    }
}

/// What the one that lies aside is called.
fn name_aside(cluster: &mut Cluster) -> String {
    let quarantine = cluster.member(3).volume.join("quarantine");
    let first = std::fs::read_dir(quarantine).unwrap().next().unwrap();
    first.unwrap().file_name().into_string().unwrap()
}

fn put_back(cluster: &mut Cluster) {
    let name = name_aside(cluster);
    let (code, words) = say(cluster, &["quarantine", "put-back", &name]);
    assert_eq!(code, 0, "{words}");
}

/// As docs/lost-majority.md says: the restored data dir takes the place of what it was made of.
fn restore_as_one_member(cluster: &mut Cluster, version: Version) {
    let restored = cluster.scratch().join("restored");
    let member = cluster.member(3);
    let (old, url) = (member.volume.join("member"), member.peer_url());
    let done = Command::new(version.etcdutl())
        .args(["snapshot", "restore", "--skip-hash-check"])
        .arg(old.join("snap/db"))
        .args(["--name", "n3", "--initial-advertise-peer-urls", &url])
        .args(["--initial-cluster", &format!("n3={url}"), "--data-dir"])
        .arg(&restored)
        .output()
        .expect("etcd's restore runs");
    let words = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{words}");
    std::fs::remove_dir_all(&old).unwrap();
    std::fs::rename(restored.join("member"), &old).unwrap();
}

/// What a removed member had is put back by a person, and found useless again: its ID is gone.
fn set_aside_data_is_put_back(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    set_something_aside(&mut cluster);
    let (code, words) = say(&mut cluster, &["quarantine", "list"]);
    assert_eq!(code, 0);
    let name = name_aside(&mut cluster);
    assert!(words.contains(&name), "{words}");
    // Not while etcd runs here.
    let (code, words) = say(&mut cluster, &["quarantine", "put-back", &name]);
    assert_eq!(code, 65, "{words}");
    cluster.kill9(&[3]);
    // Nor over what is there.
    let (code, words) = say(&mut cluster, &["quarantine", "put-back", &name]);
    assert_ne!(code, 0, "{words}");
    std::fs::remove_dir_all(cluster.member(3).volume.join("member")).unwrap();
    let (code, words) = say(&mut cluster, &["quarantine", "put-back", &name]);
    assert_eq!(code, 0, "{words}");
    cluster.start(&[3]);
    cluster.wait_healthy_restarting(3);
    cluster.put_some();
    cluster.verify();
}

/// One accident after the other, each at one member, with the next one sometimes before the last is
/// healed; never two lost disks at once.
fn accidents_in_any_order(version: Version) {
    let mut cluster = Cluster::running(version, 3);
    let writer = cluster.writer(&[1, 2, 3]);
    let mut chance = Chance(u64::from(std::process::id()) + version.place() as u64);
    eprintln!("started from {}", chance.0);
    let end = Instant::now() + Duration::from_secs(15);
    while Instant::now() < end {
        let victim = 1 + chance.below(3);
        match chance.below(5) {
            0 => cluster.kill9(&[victim]),
            1 | 2 => cluster.member(victim).lose_disk(),
            3 => {
                cluster.kill9(&[victim]);
                let wal = cluster.member(victim).volume.join("member/wal");
                if wal.is_dir()
                    && let Some(file) = files::wal_files(&wal).pop()
                {
                    damage(&file, Damage::FlippedTail);
                }
            }
            _ => drop(cluster.member(victim).sigterm()),
        }
        // Killed again in the midst of what it does.
        for _ in 0..chance.below(4) {
            cluster.start(&[victim]);
            std::thread::sleep(Duration::from_millis(chance.below(400) as u64));
            cluster.kill9(&[victim]);
        }
        let other = 1 + (victim + chance.below(2)) % 3;
        if chance.below(3) == 0 {
            // Without a quorum for a moment.
            cluster.kill9(&[other]);
        }
        cluster.start_all();
        wait_for("all are healthy again", PATIENCE, || {
            for n in [1, 2, 3] {
                let code = cluster.member(n).process().code();
                assert!(
                    ![Some(65), Some(78)].contains(&code),
                    "n{n} ended with {code:?}"
                );
            }
            cluster.start_all();
            (1..=3).all(|n| cluster.client(n).linearizable_read().is_ok())
        });
        // Until every member has every write: the next disk may be one of those that have it.
        cluster.verify();
    }
    writer.stop();
    cluster.verify();
}

/// Numbers that look like chance, the same again from the same start (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.max(1);
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % n
    }
}
