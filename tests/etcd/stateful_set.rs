//! A StatefulSet without its controller: pods by their host names, a headless service by /etc/hosts, and a stand-in for
//! the API server. Needs root: each pod has an /etc/hosts of its own.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::apiserver::{ApiServer, recorded, stateful_set};
use crate::support::{Cluster, PATIENCE, Version, scenarios, wait_for};

const DOMAIN: &str = "etcd.test.svc.cluster.local";

scenarios! {
    each: a_set_grows_and_its_first_member_does_not_found_it_again;
    both: a_set_shrinks_and_grows_again;
    newest: what_is_no_clear_answer_is_no_leave;
}

/// Member n is pod etcd-(n-1).
struct Set {
    cluster: Cluster,
    api: ApiServer,
}

impl Set {
    fn new(version: Version, pods: usize, initial_size: usize) -> Set {
        let mut cluster = Cluster::new(version, pods);
        let account = cluster.scratch().join("account");
        let api = ApiServer::start(&account, cluster.addresses.host(200));
        for n in cluster.all() {
            for name in [
                "ETCD_NAME",
                "ETCD_INITIAL_CLUSTER",
                "ETCD_INITIAL_ADVERTISE_PEER_URLS",
            ] {
                cluster.member(n).unset(name);
            }
            cluster
                .member(n)
                .set("HOSTNAME", &format!("etcd-{}", n - 1));
            let hosts = cluster
                .scratch()
                .join(format!("hosts-{n}"))
                .display()
                .to_string();
            cluster.member(n).wrapper = [
                "/usr/bin/unshare",
                "-m",
                "/bin/sh",
                "-c",
                &format!("/usr/bin/mount --bind {hosts} /etc/hosts && exec \"$@\""),
                "sh",
            ]
            .map(String::from)
            .to_vec();
        }
        // Each is on a machine of its own: here the volumes lie side by side.
        let volumes = cluster.all().into_iter();
        let volumes = volumes.map(|n| cluster.member(n).volume.display().to_string());
        let volumes = volumes.collect::<Vec<_>>().join(",");
        cluster.set("REJOIN_IGNORE", &volumes);
        cluster.set("REJOIN_STATEFULSET", DOMAIN);
        cluster.set("REJOIN_INITIAL_SIZE", &initial_size.to_string());
        for (name, value) in api.variables() {
            cluster.set(name, &value);
        }
        let mut set = Set { cluster, api };
        set.resolves(pods);
        set
    }

    /// So many pods have a name.
    fn resolves(&mut self, pods: usize) {
        let mut hosts = String::from("127.0.0.1 localhost\n");
        for n in 1..=pods {
            let host = self.cluster.addresses.host(n as u8);
            hosts += &format!(
                "{host} etcd-{}.{DOMAIN} etcd-{}\n{host} {DOMAIN} {DOMAIN}.\n",
                n - 1,
                n - 1
            );
        }
        for n in self.cluster.all() {
            let path = self.cluster.scratch().join(format!("hosts-{n}"));
            std::fs::write(path, &hosts).unwrap();
        }
    }

    /// A command of the program in this pod.
    fn run(&mut self, n: usize, args: &[&str]) -> Output {
        let member = self.cluster.member(n);
        let mut command = Command::new(&member.wrapper[0]);
        command
            .args(&member.wrapper[1..])
            .arg(env!("CARGO_BIN_EXE_etcd-rejoin"));
        command
            .args(args)
            .env_clear()
            .envs(&member.env)
            .output()
            .unwrap()
    }

    /// The pre-stop of this pod: its exit code, and what it prints.
    fn pre_stop(&mut self, n: usize) -> (i32, String) {
        let said = self.run(n, &["leave", "--if-scaled-down"]);
        let text = [said.stdout, said.stderr].concat();
        (
            said.status.code().unwrap(),
            String::from_utf8(text).unwrap(),
        )
    }

    fn members(&mut self, n: usize) -> usize {
        self.cluster.members_of(n).len()
    }

    fn has_wal(&mut self, n: usize) -> bool {
        self.cluster
            .member(n)
            .volume
            .join("member/snap/db")
            .exists()
    }
}

/// It began with one.
fn a_set_grows_and_its_first_member_does_not_found_it_again(version: Version) {
    let mut set = Set::new(version, 3, 1);
    // The names of the others are not there yet.
    set.resolves(1);
    set.api.wants(3);
    set.cluster.start(&[1]);
    set.cluster.member(1).wait_reason("not-all-heard");
    set.cluster.member(1).wait_log("etcd-2 silent: ");
    let text = String::from_utf8(set.run(1, &["status"]).stdout).unwrap();
    for words in [
        "ordinal 0 of etcd at etcd.test.svc.cluster.local",
        "ETCD_INITIAL_CLUSTER=etcd-0=http://etcd-0.etcd.test.svc.cluster.local:2380\n",
        "etcd-1 silent: ",
    ] {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
    set.resolves(3);
    set.cluster.start_all();
    set.cluster.wait_healthy();
    set.cluster.put_some();
    set.cluster.verify();
    let asked = set.api.asked();
    let head = "GET /apis/apps/v1/namespaces/test/statefulsets/etcd HTTP/1.1\r\n";
    assert!(asked[0].starts_with(head), "{}", asked[0]);
    assert!(
        asked[0]
            .to_lowercase()
            .contains("authorization: bearer a-token\r\n")
    );
    // None runs any more, so nobody knocks; the disk of the first one is lost, and it is there first.
    set.cluster.kill9(&[1, 2, 3]);
    set.cluster.member(1).lose_disk();
    set.cluster.start(&[1]);
    set.cluster.member(1).wait_reason("not-all-heard");
    // Nor where nobody says how many there are.
    set.cluster.kill9(&[1]);
    set.api
        .answers("403 Forbidden", "", recorded(403).as_bytes());
    set.cluster.start(&[1]);
    set.cluster.member(1).wait_reason("replicas-unknown");
    set.cluster.member(1).wait_log("cannot get resource");
    assert!(!set.has_wal(1));
    // Without a word of the server its service names them.
    set.cluster.kill9(&[1]);
    set.cluster.member(1).unset("KUBERNETES_SERVICE_HOST");
    set.cluster.start(&[1]);
    set.cluster
        .member(1)
        .wait_log(" of etcd.test.svc.cluster.local silent: ");
    std::thread::sleep(Duration::from_secs(6));
    assert!(!set.has_wal(1));
    set.cluster.kill9(&[1]);
    set.api.wants(3);
    for (name, value) in set.api.variables() {
        set.cluster.set(name, &value);
    }
    set.cluster.start_all();
    set.cluster.wait_healthy();
    set.cluster.put_some();
    set.cluster.verify();
}

fn a_set_shrinks_and_grows_again(version: Version) {
    let mut set = Set::new(version, 3, 3);
    set.api.wants(3);
    set.cluster.run();
    // The pod that goes is the leader.
    let leader = set.cluster.leader();
    if leader != 3 {
        let (of, to) = (set.cluster.id(leader), format!("{:x}", set.cluster.id(3)));
        let url = set.cluster.member(leader).client_url();
        set.cluster
            .operator(&["--endpoints", &url, "move-leader", &to]);
        wait_for("the last one leads", PATIENCE, || set.cluster.leader() == 3);
        assert_ne!(of, set.cluster.id(3));
    }
    // A drain: the set wants it as before.
    let (code, text) = set.pre_stop(3);
    let stays = "does not leave: the StatefulSet wants this member";
    assert!(code == 0 && text.contains(stays), "{code} {text}");
    assert_eq!(set.members(1), 3);
    // All are stopped: none leaves.
    set.api.wants(0);
    let (code, text) = set.pre_stop(3);
    assert!(
        code == 0 && text.contains("wants no replicas"),
        "{code} {text}"
    );
    assert_eq!(set.members(1), 3);
    set.api.wants(2);
    let writer = set.cluster.writer(&[1, 2]);
    let gap = Gap::watch(&set.cluster);
    let (code, text) = set.pre_stop(3);
    assert!(code == 0 && text.contains("has left"), "{code} {text}");
    let gap = gap.longest();
    println!("{version:?}: the longest gap of a client's writes is {gap:?}");
    assert!(gap < Duration::from_secs(1), "{gap:?}: {text}");
    writer.stop();
    assert_eq!(set.members(1), 2);
    set.cluster.kill9(&[3]);
    // Killed by the node's end before the set has grown again: it stays away.
    set.cluster.member(3).start();
    assert_eq!(set.cluster.member(3).wait_exit(PATIENCE), 65);
    assert!(set.cluster.member(3).log.has_reason("left"));
    set.api.wants(3);
    set.cluster.member(3).start();
    set.cluster.wait_healthy();
    assert!(set.cluster.member(3).log.has_reason("wanted-again"));
    set.cluster.put_some();
    set.cluster.verify();
}

/// The longest time between two acknowledged writes of several clients. A write that is on its way to a leader that
/// stops leading may be dropped by etcd without a word, and its client waits for its own time-out.
struct Gap {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<(Instant, Duration)>>,
    writers: Vec<std::thread::JoinHandle<()>>,
}

impl Gap {
    /// Writes through the members that stay.
    fn watch(cluster: &Cluster) -> Gap {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(Mutex::new((Instant::now(), Duration::ZERO)));
        let writers = (0..6).map(|writer| {
            let client = cluster.client(1 + writer % 2);
            let (stop, seen) = (stop.clone(), seen.clone());
            std::thread::spawn(move || {
                let mut n = 0;
                while !stop.load(Ordering::Relaxed) {
                    n += 1;
                    if client.put(&format!("gap-{writer}-{n}"), "x").is_ok() {
                        let (last, longest) = &mut *seen.lock().unwrap();
                        *longest = (*longest).max(last.elapsed());
                        *last = Instant::now();
                    }
                }
            })
        });
        Gap {
            writers: writers.collect(),
            stop,
            seen,
        }
    }

    fn longest(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        let (last, longest) = *self.seen.lock().unwrap();
        let longest = longest.max(last.elapsed());
        for writer in self.writers {
            writer.join().unwrap();
        }
        longest
    }
}

fn what_is_no_clear_answer_is_no_leave(version: Version) {
    let mut set = Set::new(version, 3, 3);
    set.api.wants(3);
    set.cluster.run();
    let json = |text: &str| text.as_bytes().to_vec();
    let good = stateful_set(2, "");
    let huge = format!("{good}{}", " ".repeat(5 << 20));
    let elsewhere = format!(
        "Location: https://{}/apis\r\n",
        set.cluster.addresses.host(200)
    );
    for (status, more, body, words) in [
        (
            "401 Unauthorized",
            "",
            json(&recorded(401)),
            "answers 401: Unauthorized",
        ),
        (
            "403 Forbidden",
            "",
            json(&recorded(403)),
            "answers 403: statefulsets.apps",
        ),
        ("404 Not Found", "", json(&recorded(404)), "not found"),
        (
            "500 Internal Server Error",
            "",
            json("etcdserver: leader changed"),
            "answers 500: etcdserver: leader changed",
        ),
        (
            "301 Moved Permanently",
            &elsewhere,
            json(""),
            "answers 301: an empty answer",
        ),
        ("200 OK", "", json(""), "its answer is no StatefulSet"),
        ("200 OK", "", json("<html>"), "its answer is no StatefulSet"),
        (
            "200 OK",
            "",
            json(r#"{"kind":"StatefulSet","metadata":{"name":"etcd"},"spec":{}}"#),
            "spec.replicas is no number",
        ),
        (
            "200 OK",
            "",
            json(r#"{"kind":"StatefulSet","metadata":{"name":"etcd"},"spec":{"replicas":-1}}"#),
            "spec.replicas is no number",
        ),
        (
            "200 OK",
            "",
            json(&good.replace(r#""name":"etcd","#, r#""name":"other","#)),
            "StatefulSet other, not",
        ),
        (
            "200 OK",
            "",
            json(&good.replace("\"StatefulSet\"", "\"Deployment\"")),
            "Deployment etcd, not",
        ),
        ("200 OK", "", json(&huge), "replicas-unknown"),
    ] {
        set.api.answers(status, more, &body);
        let (code, text) = set.pre_stop(3);
        assert_eq!(code, 74, "{status} {words}: {text}");
        assert!(
            words == "replicas-unknown" || text.contains(words),
            "{words:?} is not in: {text}"
        );
        assert!(
            text.contains("cannot leave the cluster: it is not known how many replicas"),
            "{text}"
        );
    }
    set.api.says_nothing();
    assert_eq!(set.pre_stop(3).0, 74);
    let account = set.cluster.scratch().join("account");
    set.api.wants(2);
    std::fs::rename(account.join("ca.crt"), account.join("gone")).unwrap();
    assert_eq!(set.pre_stop(3).0, 74);
    std::fs::rename(account.join("gone"), account.join("ca.crt")).unwrap();
    set.cluster.member(3).set("KUBERNETES_SERVICE_PORT", "1");
    assert_eq!(set.pre_stop(3).0, 74);
    set.cluster.member(3).unset("KUBERNETES_SERVICE_PORT");
    set.cluster.member(3).unset("KUBERNETES_SERVICE_HOST");
    assert_eq!(set.pre_stop(3).0, 74);
    for (name, value) in set.api.variables() {
        set.cluster.set(name, &value);
    }
    // Its ordinals begin elsewhere.
    let ordinals = |start: u32| stateful_set(2, &format!("\"ordinals\":{{\"start\":{start}}},"));
    set.api.answers("200 OK", "", ordinals(1).as_bytes());
    let (code, text) = set.pre_stop(3);
    assert!(
        code == 0 && text.contains("does not leave"),
        "{code} {text}"
    );
    assert_eq!(set.members(1), 3);
    set.api.answers("200 OK", "", ordinals(5).as_bytes());
    let (code, text) = set.pre_stop(3);
    assert!(code == 0 && text.contains("has left"), "{code} {text}");
    assert_eq!(set.members(1), 2);
}
