//! Does a StatefulSet of our manifests live under the real controllers of Kubernetes? It grows, shrinks, is drained,
//! upgraded and loses its volumes, under a client that writes: no acknowledged write is lost, no member is left over.
//!
//! The control plane is Kubernetes 1.20.2 of Debian's source, built once by `tests/setup/kube.sh`; a stand-in for the
//! kubelet runs each pod as a Docker container. Needs root. One case by name:
//! `cargo test --test kube -- --ignored --nocapture drained`. `ETCD_REJOIN_IMAGE` names another image for the pods; with
//! `ETCD_REJOIN_KEEP` set the folder stays, where all have logged.

#[path = "kube/api.rs"]
mod api;
#[path = "kube/dns.rs"]
mod dns;
#[path = "support/docker.rs"]
mod docker;
#[path = "kube/kubelet.rs"]
mod kubelet;
#[path = "kube/plane.rs"]
mod plane;
#[path = "kube/pod.rs"]
mod pod;
#[path = "kube/set.rs"]
mod set;
mod support;

use std::collections::BTreeSet;

use dns::Names;
use kubelet::Killed;
use serde_json::Value;
use set::{PATIENCE, Set};
use support::wait_for;

#[test]
#[ignore = "needs docker, and a control plane"]
fn a_set_of_three_grows_and_shrinks_and_grows_again() {
    let mut set = Set::new("three", 3);
    for size in [5, 3, 1, 3] {
        set.scale(size);
        set.wait_whole(size);
        set.wrote_on(&format!("to {size}"));
    }
    set.verify(3);
}

#[test]
#[ignore = "needs docker, and a control plane"]
fn a_set_of_one_grows_and_shrinks_and_is_never_founded_again() {
    let mut set = Set::new("one", 1);
    let founder = set.members(0)[0].id;
    for size in [3, 5, 3, 1, 3] {
        set.scale(size);
        set.wait_whole(size);
        set.wrote_on(&format!("to {size}"));
    }
    // Its first member, which alone is its initial cluster, loses everything.
    set.delete_claim(0);
    set.delete_pod(0, None);
    wait_for("its first member is another one", PATIENCE, || {
        let members = set.members(1);
        members.len() == 3
            && members
                .iter()
                .all(|member| member.id != founder && member.started)
    });
    set.wait_whole(3);
    set.wrote_on("its founder lost");
    set.verify(3);
}

#[test]
#[ignore = "needs docker, and a control plane"]
fn what_is_drained_or_updated_stays_and_what_lost_its_claim_heals() {
    let mut set = Set::new("drained", 3);
    let before = set.members(0);
    for ordinal in 0..3 {
        set.evict(ordinal);
        set.wait_whole(3);
    }
    set.wrote_on("drained");
    let pods: Vec<String> = (0..3).map(|ordinal| set.uid(ordinal)).collect();
    set.update("once");
    for ordinal in (0..3).rev() {
        set.wait_replaced(ordinal, &pods[ordinal]);
    }
    set.wait_whole(3);
    set.wrote_on("updated");
    assert_eq!(set.members(0), before, "neither removes anything");
    for ordinal in [1, 0] {
        set.delete_claim(ordinal);
        set.delete_pod(ordinal, None);
        wait_for("it is another member", PATIENCE, || {
            let members = set.members(2);
            let same = members.iter().filter(|member| before.contains(member));
            members.len() == 3 && same.count() < 3 - (1 - ordinal)
        });
        set.wait_whole(3);
        set.wrote_on("a claim lost");
    }
    set.verify(3);
}

#[test]
#[ignore = "needs docker, and a control plane"]
fn two_pods_that_stop_at_once_stay_and_a_set_shrinks_while_one_rejoins() {
    let mut set = Set::new("stopped", 3);
    let before = set.members(0);
    let pods: Vec<String> = (0..3).map(|ordinal| set.uid(ordinal)).collect();
    for ordinal in [1, 2] {
        set.delete_pod(ordinal, None);
    }
    for ordinal in [1, 2] {
        set.wait_replaced(ordinal, &pods[ordinal]);
    }
    set.wait_whole(3);
    assert_eq!(set.members(0), before);
    set.scale(5);
    set.wait_whole(5);
    set.gap();
    set.delete_claim(2);
    set.delete_pod(2, None);
    set.wait_replaced(2, &pods[2]);
    set.scale(3);
    set.wait_whole(3);
    set.wrote_on("shrunk while one rejoins");
    set.verify(3);
}

#[test]
#[ignore = "needs docker, and a control plane"]
fn a_pre_stop_that_is_killed_half_way_leaves_a_set_that_grows_again() {
    let mut set = Set::new("killed", 3);
    let mut seen = BTreeSet::new();
    let mut kill = |killed: Killed| {
        set.lead(2);
        set.gap();
        set.kill_pre_stop(killed);
        set.scale(2);
        wait_for("the pod is gone", PATIENCE, || set.pod(2).is_none());
        let listed = set.members(0).len();
        set.scale(3);
        set.wait_whole(3);
        let noted = set
            .said(2, &set.uid(2))
            .contains(r#""reason":"wanted-again""#);
        set.wrote_on(&format!(
            "killed {killed:?}: {listed} members, noted: {noted}"
        ));
        seen.insert((listed, noted));
        set.pre_stop_took()
    };
    let whole = kill(Killed::Never);
    kill(Killed::Noted);
    for eighth in [0, 2, 4, 6, 7] {
        kill(Killed::After(whole * eighth / 8));
    }
    // Before its first step, between its first and its last, and behind its last.
    for step in [(3, false), (3, true), (2, true)] {
        assert!(seen.contains(&step), "{step:?} is not among {seen:?}");
    }
    set.verify(3);
}

#[test]
#[ignore = "needs docker, and a control plane"]
fn a_pod_of_a_lost_node_that_still_runs_is_no_second_member() {
    let mut set = Set::doomed("lost", 3);
    let before = set.members(0);
    // With the same volume, as a shared one is; then with another one.
    for lost in [false, true] {
        let (node, old) = (set.node(2), set.uid(2));
        set.lose_node(&node, true);
        wait_for("the pod is given up", PATIENCE, || {
            set.pod(2)
                .is_some_and(|pod| !pod["metadata"]["deletionTimestamp"].is_null())
        });
        if lost {
            set.delete_claim(2);
        }
        set.delete_pod(2, Some(0));
        set.wait_replaced(2, &old);
        let new = set.uid(2);
        if lost {
            // It takes the place, and the old one does not take it back.
            set.wait_whole(3);
            let members = set.members(0);
            set.wait_said(2, &old, r#""reason":"peer-url-misleads""#);
            assert_ne!(members, before);
            assert_eq!(set.members(0), members);
        } else {
            set.wait_said(2, &new, r#""reason":"data-dir-in-use""#);
            assert_eq!(set.members(0), before);
        }
        let members = set.members(0);
        set.wrote_on("a node is lost");
        // The node hears again: its pod is gone there.
        set.lose_node(&node, false);
        wait_for("the old one is gone", PATIENCE, || {
            set.containers(2, &old).is_empty()
        });
        set.wait_whole(3);
        assert_eq!(set.members(0), members);
        set.wrote_on("the node is back");
    }
    set.verify(3);
}

#[test]
#[ignore = "needs docker, and a control plane"]
fn names_that_are_late_or_gone_are_waited_for() {
    let mut set = Set::applied("names", 3);
    set.names(Some(Names::Gone));
    set.wait_said(0, &set.uid(0), "silent: ");
    set.names(Some(Names::Silent));
    set.wait_said(1, &set.uid(1), "silent: ");
    assert!((0..3).all(|ordinal| !set.is_ready(ordinal)));
    set.names(None);
    set.wait_whole(3);
    set.write();
    let before = set.members(0);
    for names in [Names::Gone, Names::Silent] {
        set.names(Some(names));
        let pod = set.uid(1);
        set.delete_pod(1, None);
        set.wait_replaced(1, &pod);
        set.wait_said(1, &set.uid(1), r#""reason":""#);
        set.names(None);
        set.wait_whole(3);
    }
    set.wrote_on("names gone and back");
    assert_eq!(set.members(0), before);
    set.verify(3);
}

#[test]
#[ignore = "needs docker, and a control plane"]
fn a_set_that_lost_every_claim_at_once_is_founded_anew() {
    let mut set = Set::applied("every-claim", 3);
    set.wait_whole(3);
    let pods: Vec<String> = (0..3).map(|ordinal| set.uid(ordinal)).collect();
    for ordinal in 0..3 {
        set.delete_claim(ordinal);
        set.delete_pod(ordinal, Some(0));
    }
    for (ordinal, pod) in pods.iter().enumerate() {
        set.wait_replaced(ordinal, pod);
    }
    // The limit that the book names: nobody is left who could remember.
    set.wait_whole(3);
    set.write();
    set.verify(3);
}

/// What `tests/etcd/stateful_set.rs` replays; `UPDATE_FIXTURES=1` records it again.
#[test]
#[ignore = "needs docker, and a control plane"]
fn the_api_server_answers_what_was_recorded() {
    let set = Set::applied("answers", 0);
    let (own, other) = (set.token("etcd"), set.token("default"));
    let sets = "/apis/apps/v1/namespaces/answers/statefulsets";
    for (status, token, path) in [
        (200, own.as_str(), "etcd"),
        (401, "nonsense", "etcd"),
        (403, &other, "etcd"),
        (404, &own, "etcd"),
    ] {
        if status == 404 {
            set.plane
                .api
                .delete(&format!("{sets}/etcd"), &Value::Null)
                .unwrap();
            wait_for("the set is gone", PATIENCE, || {
                set.plane.api.get(&format!("{sets}/etcd")).is_err()
            });
        }
        let answer = set.plane.answer(token, &format!("{sets}/{path}"));
        assert_eq!(answer.0, status);
        let file = format!(
            "{}/tests/fixtures/kubernetes/{status}.json",
            env!("CARGO_MANIFEST_DIR")
        );
        if std::env::var_os("UPDATE_FIXTURES").is_some() {
            std::fs::write(&file, &answer.1).unwrap();
        }
        let recorded: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let answer: Value = serde_json::from_slice(&answer.1).unwrap();
        for part in ["kind", "apiVersion", "message", "reason", "code"] {
            assert_eq!(answer[part], recorded[part], "{part} of {file}");
        }
        let fields = |answer: &Value| {
            answer["spec"]
                .as_object()
                .map(|spec| spec.keys().cloned().collect::<Vec<_>>())
        };
        assert_eq!(fields(&answer), fields(&recorded), "{file}");
    }
}
