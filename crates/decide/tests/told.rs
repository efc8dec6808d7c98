//! Is what is said of a decision true of the case at hand? The words of each row stand in the table of the
//! documentation; here are those that depend on more.

use etcd_rejoin_decide::membership::{ClusterId, InitialCluster, Member, MemberId};
use etcd_rejoin_decide::{
    Bootstrap, DataDir, Decision, Heard, Holds, Identity, JoinAs, JoinsOnly, Kept, KeptLineage,
    KeptMarker, KeptSnapshot, Nonce, Observation, Peer, Policy, Quorate, Reason, Recover,
    SaidOfStore, Steady, StoreSeen, TABLE, Urgency, decide,
};

/// We are n1 of these.
fn policy(initial: &[&str]) -> Policy {
    let urls: Vec<String> = (initial.iter())
        .map(|name| format!("{name}={}", url(name)))
        .collect();
    Policy {
        name: "n1".into(),
        peer_urls: vec![url("n1")],
        initial: InitialCluster::parse(&urls.join(",")).unwrap(),
        static_id: MemberId(1),
        static_cluster: ClusterId(1),
        ..Policy::default()
    }
}

fn url(name: &str) -> String {
    format!("http://{name}:2380")
}

fn member(name: &str, started: bool) -> Member {
    let client_url = started.then(|| format!("http://{name}:2379"));
    Member {
        id: MemberId(name[1..].parse().unwrap()),
        name: name.into(),
        peer_urls: vec![url(name)],
        client_urls: client_url.into_iter().collect(),
        learner: false,
    }
}

fn peer(name: &str, heard: Heard) -> Peer {
    Peer {
        name: name.into(),
        initial: true,
        heard,
    }
}

fn empty() -> Heard {
    Heard::Entrypoint {
        holds: Holds::Empty,
        differs: None,
    }
}

fn silent() -> Heard {
    Heard::Silent("refused".into())
}

/// What is said to us while so many of the others are heard empty, and the rest is silent.
fn waits(policy: &Policy, empty_others: usize) -> String {
    let others = policy.initial.iter().filter(|(name, _)| *name != "n1");
    let peers = others.enumerate().map(|(at, (name, _))| match at {
        at if at < empty_others => peer(name, empty()),
        _ => peer(name, silent()),
    });
    let seen = Observation {
        peers: peers.collect(),
        ..Observation::default()
    };
    let decision = decide(policy, &seen);
    assert_eq!(decision.reason(), Reason::NotAllHeard);
    decision.cure()
}

const THREE: [&str; 3] = ["n1", "n2", "n3"];

/// Without a leader n2 lists these.
fn without_a_leader(policy: &Policy, listed: &[&str], started: bool, steady: Steady) -> Decision {
    let members = listed.iter().map(|name| member(name, started)).collect();
    let cluster = policy.static_cluster;
    let seen = Observation {
        steady,
        peers: vec![peer("n2", Heard::Etcd { cluster, members })],
        ..Observation::default()
    };
    decide(policy, &seen)
}

#[test]
fn without_a_leader_it_depends_on_who_is_listed() {
    let cure = |policy: &Policy, listed: &[&str], started| {
        let soon = without_a_leader(policy, listed, started, Steady::No);
        assert!(soon.cure().starts_with("nothing to do yet"));
        assert_eq!(soon.urgency(), Urgency::Told);
        let later = without_a_leader(policy, listed, started, Steady::HalfAMinute);
        assert_eq!(later.reason(), Reason::DataLostNoLeader);
        assert_eq!(later.urgency(), Urgency::Alarm);
        later.cure()
    };
    let mut policy = policy(&THREE);
    let lost = cure(&policy, &THREE, true);
    assert!(lost.contains("--force-new-cluster") && !lost.contains("name no others"));
    let two = cure(&policy, &THREE[..2], true);
    assert!(two.contains("--force-new-cluster") && two.contains("name no others"));
    let begun = cure(&policy, &THREE, false);
    assert!(begun.contains("REJOIN_BOOTSTRAP=now here too") && !begun.contains("--force"));
    policy.joins_only = Some(JoinsOnly::State);
    assert!(cure(&policy, &THREE, false).contains("--force-new-cluster"));
}

#[test]
fn of_two_members_the_other_one_is_given_half_a_minute() {
    let policy = policy(&THREE[..2]);
    let at = |steady| without_a_leader(&policy, &THREE[..2], true, steady);
    assert!((at(Steady::No).cure()).ends_with("the others may elect a leader"));
    assert!(at(Steady::Seconds).cure().contains("thirty seconds"));
    let starts = at(Steady::HalfAMinute);
    assert_eq!(starts.reason(), Reason::SecondOfTwo);
    assert_eq!(
        starts.sentence(),
        "starts etcd empty, again as member 1, which the others fill"
    );
}

#[test]
fn who_may_join_again_is_not_told_to_allow_it() {
    let mut policy = policy(&THREE);
    let cluster = policy.static_cluster;
    let seen = Observation {
        data: DataDir::Own(Identity {
            member: MemberId(9),
            cluster,
        }),
        quorate: Some(Quorate {
            cluster,
            members: vec![member("n2", true), member("n3", true)],
            reached: None,
            leader: None,
            at: String::new(),
        }),
        ..Observation::default()
    };
    let decision = decide(&policy, &seen);
    assert_eq!(decision.reason(), Reason::Removed);
    assert!(decision.cure().starts_with("nothing to do"));
    assert!(!decision.cure().contains("REJOIN_AS=auto"));
    policy.join = JoinAs::Never;
    assert!(decide(&policy, &seen).cure().contains("REJOIN_AS=auto"));
}

#[test]
fn nobody_who_waits_is_told_of_now() {
    for empty_others in [0, 1] {
        let cure = waits(&policy(&THREE), empty_others);
        assert_eq!(cure, "start the missing members");
    }
}

#[test]
fn who_only_joins_is_not_told_to_found() {
    for (only, bootstrap, what) in [
        (
            Some(JoinsOnly::State),
            Bootstrap::All,
            "ETCD_INITIAL_CLUSTER_STATE=existing",
        ),
        (None, Bootstrap::Never, "REJOIN_BOOTSTRAP=never"),
        (
            Some(JoinsOnly::SharedUrl),
            Bootstrap::All,
            "two members one peer URL",
        ),
        (
            Some(JoinsOnly::Outside),
            Bootstrap::All,
            "without this member's name and peer URL",
        ),
    ] {
        let policy = Policy {
            joins_only: only,
            bootstrap,
            ..policy(&THREE)
        };
        let cure = waits(&policy, 1);
        assert!(cure.contains(what), "{cure}");
        assert!(
            cure.contains("STATE") == (only == Some(JoinsOnly::State)),
            "{cure}"
        );
    }
}

#[test]
fn the_only_member_is_told_at_once_that_nobody_else_has_its_data() {
    let policy = policy(&THREE[..1]);
    let seen = Observation {
        data: DataDir::Damaged { head: None },
        ..Observation::default()
    };
    let decision = decide(&policy, &seen);
    assert_eq!(decision.reason(), Reason::DataDamagedNoQuorum);
    assert_eq!(decision.urgency(), Urgency::Alarm);
    assert!(decision.cure().starts_with("restore a snapshot"));
}

/// We are n1, of a cluster that has a store with a snapshot.
fn with_a_store(policy: &Policy, lineages: &[u64], seen: Observation) -> Decision {
    let nonce = |number: u64| Nonce(format!("l{number}"));
    let lineages = lineages.iter().map(|number| KeptLineage {
        number: *number,
        nonce: nonce(*number),
        parent: (*number > 1).then(|| nonce(*number - 1)),
        cluster: ClusterId(*number),
        base: (*number > 1).then(|| "s5".into()),
    });
    let snapshot = |name: &str, revision, bad| KeptSnapshot {
        name: name.into(),
        lineage: 1,
        revision,
        bad,
    };
    let kept = Kept {
        marker: Some(KeptMarker {
            nonce: nonce(1),
            promises: Vec::new(),
        }),
        lineages: lineages.collect(),
        snapshots: vec![snapshot("s5", 5, false), snapshot("s7", 7, true)],
        ..Kept::default()
    };
    let said = seen.peers.iter().map(|peer| SaidOfStore {
        name: peer.name.clone(),
        recover: Recover::Auto,
        table: TABLE,
        marker: Some(nonce(1)),
        promise: None,
        waits_for: None,
    });
    let seen = Observation {
        said: said.collect(),
        store: Some(StoreSeen::Read(kept)),
        listened: true,
        ..seen
    };
    decide(policy, &seen)
}

#[test]
fn a_total_loss_says_which_snapshot_it_passes_over_and_who_holds_it_back() {
    let lost = || Observation {
        peers: vec![peer("n2", empty()), peer("n3", empty())],
        ..Observation::default()
    };
    let held = with_a_store(&policy(&THREE), &[1], lost());
    assert!(
        held.because().contains("n1 has REJOIN_RECOVER=hold"),
        "{}",
        held.because()
    );
    assert_eq!(held.urgency(), Urgency::Alarm);
    let auto = Policy {
        recover: Recover::Auto,
        ..policy(&THREE)
    };
    let restores = with_a_store(&auto, &[1], lost());
    assert_eq!(restores.sentence(), "begins lineage 2 with snapshot s5");
    let passed_over = "passed over, as it is bad: s7, revision 7";
    assert!(
        restores.because().contains(passed_over),
        "{}",
        restores.because()
    );
    assert_eq!(restores.urgency(), Urgency::Warning);
}

#[test]
fn data_that_a_restore_passed_over_says_by_which_lineage_and_why_it_waits() {
    let own = || Observation {
        data: DataDir::Own(Identity {
            member: MemberId(1),
            cluster: ClusterId(1),
        }),
        peers: vec![peer("n2", silent()), peer("n3", silent())],
        ..Observation::default()
    };
    let waits = with_a_store(&policy(&THREE), &[1, 2], own());
    assert_eq!(waits.reason(), Reason::SupersededUnproven);
    assert!(
        waits.cure().starts_with("start the members of lineage 2"),
        "{}",
        waits.cure()
    );
    let quorate = Quorate {
        cluster: ClusterId(2),
        members: vec![member("n2", true), member("n3", true)],
        reached: None,
        leader: None,
        at: "http://n2:2379".into(),
    };
    let passed_over = with_a_store(
        &policy(&THREE),
        &[1, 2],
        Observation {
            quorate: Some(quorate),
            ..own()
        },
    );
    assert_eq!(
        passed_over.sentence(),
        "sets its data aside for lineage 2, where it is kept"
    );
    assert!(passed_over.because().contains("lineage 2 is quorate"));
}
