//! What would change a decision, or how to go on: only what is true in the case at hand.

use super::is_alone;
use crate::decide::{
    Bootstrap, Decision, Elsewhere, Heard, Holds, JoinsOnly, Misplaced, Observation, Peer, Policy,
    Reason, Steady, data_elsewhere, decide,
};
use crate::membership::Member;
use crate::observe::Look;

/// What would change the decision, or how to go on.
pub fn cure(policy: &Policy, look: &Look, decision: &Decision) -> String {
    match decision.reason() {
        Reason::NobodyAnswers if is_alone(look) => "nothing to do".into(),
        Reason::NotAllHeard => not_all_heard(policy, &look.seen),
        Reason::DataDamagedNoQuorum if policy.is_alone() => {
            "restore a snapshot, or repair it by hand: no other member has this data, and it stays where it is".into()
        }
        Reason::DataLostNoLeader | Reason::NotListedNoLeader => no_leader(policy, &look.seen, decision),
        Reason::WalElsewhere => wal_elsewhere(&look.seen),
        Reason::DataElsewhere => data_elsewhere(policy, &look.seen).map_or_else(String::new, elsewhere),
        Reason::FoundingForbidden => founding_forbidden(policy),
        Reason::CalledByACluster if matches!(decision, Decision::Wait(_)) => {
            "nothing to do yet: it goes on when that etcd has said that it belongs to this first start, and refuses when it is of another cluster".into()
        }
        Reason::Listening if policy.initial_others() > 0 => {
            "nothing to do: it goes on in a second or two".into()
        }
        Reason::Removed => removed(decision).into(),
        reason => reason.row().cure.into(),
    }
}

/// The cure as a part of a log line.
pub fn to_go_on(cure: &str) -> String {
    match cure.starts_with("nothing to do") {
        true => cure.into(),
        false => format!("to go on: {cure}"),
    }
}

fn wal_elsewhere(seen: &Observation) -> String {
    match &seen.misplaced {
        Some(Misplaced::WhereItWas { noted, .. }) => {
            format!("set ETCD_WAL_DIR={}, or move the files", noted.display())
        }
        Some(Misplaced::WithinDataDir { .. }) => {
            "drop ETCD_WAL_DIR, or move the files there".into()
        }
        Some(Misplaced::Foreign { .. }) | None => Reason::WalElsewhere.row().cure.into(),
    }
}

fn elsewhere(data: &Elsewhere) -> String {
    let path = data.path.display();
    format!(
        "set ETCD_DATA_DIR={path} to start with that data; if this member shall begin without it, move it away, or set REJOIN_IGNORE={path}"
    )
}

/// Who may join again does so by itself.
fn removed(decision: &Decision) -> &'static str {
    match decision {
        Decision::Refuse(_) => "REJOIN_AS=auto lets it join again, and sets its data aside",
        Decision::Do(..) | Decision::Start(..) | Decision::Wait(_) => {
            "nothing to do: it joins again; REJOIN_AS=never keeps it out"
        }
    }
}

fn no_leader(policy: &Policy, seen: &Observation, decision: &Decision) -> String {
    if seen.steady == Steady::No {
        return "nothing to do yet: the others may elect a leader".into();
    }
    if waits_for_us(policy, seen) {
        return "nothing to do yet: it starts again beside the other one of two once that has listed the same for thirty seconds".into();
    }
    let notes = seen.join_note.is_some() || seen.promise;
    let first_start = seen.views().all(|(cluster, members)| {
        cluster == policy.static_cluster && !members.iter().any(Member::started)
    });
    if first_start && !notes && policy.joins_only.is_none() {
        // A silent member may hold what was acknowledged, and ours was lost: that is what `now` risks.
        return "start the members that are silent: a first start began without this one; where nothing of value \
                is stored yet, REJOIN_BOOTSTRAP=now here too goes on with it"
            .into();
    }
    let mut cure = String::from(decision.reason().row().cure);
    let of_two = |members: &[Member]| {
        members.len() == 2
            && members
                .iter()
                .any(|member| member.has_peer_url(&policy.peer_urls))
    };
    if policy.initial.len() > 2 && seen.views().all(|(_, members)| of_two(members)) {
        cure += "; where these two are all members that there are, name no others in ETCD_INITIAL_CLUSTER: it then goes on with what the other one has";
    }
    cure
}

/// Whether it is only time that is missing for `second-of-two`: the table itself says so.
fn waits_for_us(policy: &Policy, seen: &Observation) -> bool {
    let seen = Observation {
        steady: Steady::HalfAMinute,
        ..seen.clone()
    };
    decide(policy, &seen).reason() == Reason::SecondOfTwo
}

fn not_all_heard(policy: &Policy, seen: &Observation) -> String {
    let cure = Reason::NotAllHeard.row().cure;
    let unpromised = |peer: &&Peer| match peer.heard {
        Heard::Entrypoint {
            ref holds,
            differs: None,
        } => *holds == Holds::Empty,
        _ => false,
    };
    let waited_for: Vec<&str> = (seen.initial_peers())
        .filter(unpromised)
        .map(|peer| peer.name.as_str())
        .collect();
    if policy.bootstrap == Bootstrap::Quorum && seen.promise && !waited_for.is_empty() {
        return format!(
            "{cure}; where nothing of value is stored, set REJOIN_BOOTSTRAP=quorum on {} too: without it they do not promise",
            waited_for.join(", ")
        );
    }
    if let Some(forbids) = forbids_founding(policy) {
        return format!(
            "{cure}; with {forbids} this one founds nothing, and only joins a cluster that runs"
        );
    }
    match policy.bootstrap {
        Bootstrap::Quorum if quorum_goes_on(policy, seen) => {
            format!("{cure}, or wait: it goes on without when REJOIN_BOOTSTRAP_WAIT is over")
        }
        // In a healthy first start the others are on their way, and nobody is to be told to go on without.
        Bootstrap::All if seen.waited && quorum_goes_on(policy, seen) => format!(
            "{cure}; where nothing of value is stored, REJOIN_BOOTSTRAP=quorum on each member that waits goes on without"
        ),
        Bootstrap::All | Bootstrap::Quorum | Bootstrap::Now | Bootstrap::Never => cure.into(),
    }
}

fn founding_forbidden(policy: &Policy) -> String {
    let founds = (policy.joins_only).map_or("set REJOIN_BOOTSTRAP=all", JoinsOnly::cure);
    format!("start the cluster that this member shall join, or {founds}")
}

fn forbids_founding(policy: &Policy) -> Option<&'static str> {
    match (policy.joins_only, policy.bootstrap) {
        (Some(forbids), _) => Some(forbids.what()),
        (None, Bootstrap::Never) => Some("REJOIN_BOOTSTRAP=never"),
        (None, Bootstrap::All | Bootstrap::Quorum | Bootstrap::Now) => None,
    }
}

/// Whether `quorum`, its wait over, would go on with what is seen now: the table itself says so.
fn quorum_goes_on(policy: &Policy, seen: &Observation) -> bool {
    let policy = Policy {
        bootstrap: Bootstrap::Quorum,
        ..policy.clone()
    };
    let seen = Observation {
        waited: true,
        listened: true,
        ..seen.clone()
    };
    let reason = decide(&policy, &seen).reason();
    matches!(reason, Reason::FirstStartPromise | Reason::FirstStart)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::decide::{Step, Why};
    use crate::membership::MemberId;

    /// We are n1 of `n` members, of which so many are heard empty.
    fn waits(n: usize, empty: usize, settings: &[(&str, &str)]) -> String {
        waits_since(n, empty, settings, false)
    }

    /// The same when half a minute is over, or not.
    fn waits_since(n: usize, empty: usize, settings: &[(&str, &str)], waited: bool) -> String {
        let all: Vec<String> = (1..=n).map(|n| format!("n{n}=http://n{n}:2380")).collect();
        let all = all.join(",");
        let env = [
            ("ETCD_NAME", "n1"),
            ("ETCD_INITIAL_CLUSTER", &all),
            ("ETCD_INITIAL_ADVERTISE_PEER_URLS", "http://n1:2380"),
        ];
        let env =
            (env.iter().chain(settings)).map(|(name, value)| ((*name).into(), (*value).into()));
        let policy = Config::read(env, &[], &Default::default()).unwrap().policy;
        let peers = (1..n).map(|at| Peer {
            name: format!("n{}", at + 1),
            initial: true,
            heard: match at <= empty {
                true => Heard::Entrypoint {
                    holds: Holds::Empty,
                    differs: None,
                },
                false => Heard::Silent("refused".into()),
            },
        });
        let seen = Observation {
            peers: peers.collect(),
            waited,
            ..Observation::default()
        };
        assert_eq!(decide(&policy, &seen).reason(), Reason::NotAllHeard);
        not_all_heard(&policy, &seen)
    }

    fn founds(settings: &[(&str, &str)]) -> Policy {
        let env = [
            ("ETCD_NAME", "n1"),
            (
                "ETCD_INITIAL_CLUSTER",
                "n1=http://n1:2380,n2=http://n2:2380,n3=http://n3:2380",
            ),
            ("ETCD_INITIAL_ADVERTISE_PEER_URLS", "http://n1:2380"),
        ];
        let env =
            (env.iter().chain(settings)).map(|(name, value)| ((*name).into(), (*value).into()));
        Config::read(env, &[], &Default::default()).unwrap().policy
    }

    /// What n2 lists, without a leader: members by their peer URLs.
    fn without_a_leader(policy: &Policy, listed: &[&str], started: bool) -> String {
        let members = listed.iter().enumerate().map(|(at, name)| Member {
            id: MemberId(at as u64 + 1),
            name: (*name).into(),
            peer_urls: vec![format!("http://{name}:2380")],
            client_urls: started
                .then(|| format!("http://{name}:2379"))
                .into_iter()
                .collect(),
            learner: false,
        });
        let seen = Observation {
            steady: Steady::HalfAMinute,
            peers: vec![Peer {
                name: "n2".into(),
                initial: true,
                heard: Heard::Etcd {
                    cluster: policy.static_cluster,
                    members: members.collect(),
                },
            }],
            ..Observation::default()
        };
        let decision = decide(policy, &seen);
        assert_eq!(decision.reason(), Reason::DataLostNoLeader);
        let soon = Observation {
            steady: Steady::No,
            ..seen.clone()
        };
        assert!(no_leader(policy, &soon, &decision).starts_with("nothing to do yet"));
        no_leader(policy, &seen, &decision)
    }

    #[test]
    fn without_a_leader_it_depends_on_who_is_listed() {
        let (policy, all) = (founds(&[]), ["n1", "n2", "n3"]);
        let lost = without_a_leader(&policy, &all, true);
        assert!(lost.contains("--force-new-cluster") && !lost.contains("name no others"));
        let two = without_a_leader(&policy, &all[..2], true);
        assert!(two.contains("--force-new-cluster") && two.contains("name no others"));
        let begun = without_a_leader(&policy, &all, false);
        assert!(begun.contains("REJOIN_BOOTSTRAP=now here too") && !begun.contains("--force"));
        let existing = founds(&[("ETCD_INITIAL_CLUSTER_STATE", "existing")]);
        assert!(without_a_leader(&existing, &all, false).contains("--force-new-cluster"));
    }

    #[test]
    fn of_two_members_the_other_one_is_given_half_a_minute() {
        let of_two = "n1=http://n1:2380,n2=http://n2:2380";
        let policy = founds(&[("ETCD_INITIAL_CLUSTER", of_two)]);
        let cure = |steady| {
            let cluster = policy.static_cluster;
            let members = ["n1", "n2"].map(|name| Member {
                id: MemberId(u64::from(name == "n2") + 1),
                name: name.into(),
                peer_urls: vec![format!("http://{name}:2380")],
                client_urls: vec![format!("http://{name}:2379")],
                learner: false,
            });
            let members = members.to_vec();
            let seen = Observation {
                steady,
                peers: vec![Peer {
                    name: "n2".into(),
                    initial: true,
                    heard: Heard::Etcd { cluster, members },
                }],
                ..Observation::default()
            };
            let decision = decide(&policy, &seen);
            match decision.reason() {
                Reason::DataLostNoLeader => no_leader(&policy, &seen, &decision),
                reason => reason.to_string(),
            }
        };
        assert!(cure(Steady::No).ends_with("the others may elect a leader"));
        assert!(cure(Steady::Seconds).contains("thirty seconds"));
        assert_eq!(cure(Steady::HalfAMinute), "second-of-two");
    }

    #[test]
    fn whose_promise_is_missing_is_named() {
        let policy = founds(&[("REJOIN_BOOTSTRAP", "quorum")]);
        let peer = |name: &str, heard| Peer {
            name: name.into(),
            initial: true,
            heard,
        };
        let empty = Heard::Entrypoint {
            holds: Holds::Empty,
            differs: None,
        };
        let mut seen = Observation {
            promise: true,
            peers: vec![
                peer("n2", empty),
                peer("n3", Heard::Silent("refused".into())),
            ],
            ..Observation::default()
        };
        let cure = not_all_heard(&policy, &seen);
        assert!(cure.contains("REJOIN_BOOTSTRAP=quorum on n2 too"), "{cure}");
        seen.promise = false;
        assert!(!not_all_heard(&policy, &seen).contains("on n2"));
    }

    #[test]
    fn who_may_join_again_is_not_told_to_allow_it() {
        let quarantine = Decision::Do(Step::Quarantine, Why::Removed);
        assert!(removed(&quarantine).starts_with("nothing to do"));
        assert!(!removed(&quarantine).contains("REJOIN_AS=auto"));
        assert!(removed(&Decision::Refuse(Why::Removed)).contains("REJOIN_AS=auto"));
    }

    #[test]
    fn quorum_is_named_only_where_it_goes_on() {
        let quorum = "REJOIN_BOOTSTRAP=quorum on each member that waits goes on without";
        let late = |n, empty| waits_since(n, empty, &[], true);
        assert!(late(3, 1).ends_with(quorum));
        assert!(late(5, 2).ends_with(quorum));
        for cure in [
            late(3, 0),
            late(2, 0),
            late(5, 1),
            waits(3, 1, &[]),
            waits(5, 2, &[]),
        ] {
            assert_eq!(cure, "start the missing members");
        }
    }

    #[test]
    fn who_only_joins_is_not_told_to_found() {
        for setting in [
            ("ETCD_INITIAL_CLUSTER_STATE", "existing"),
            ("REJOIN_BOOTSTRAP", "never"),
        ] {
            let cure = waits(3, 1, &[setting]);
            assert!(
                cure.contains(&format!("{}={}", setting.0, setting.1)),
                "{cure}"
            );
            assert!(!cure.contains("quorum"), "{cure}");
        }
        for (initial, what) in [
            (
                "n1=http://n1:2380,n2=http://n1:2380,n3=http://n3:2380",
                "two members one peer URL",
            ),
            (
                "n1=http://n9:2380,n2=http://n2:2380,n3=http://n3:2380",
                "without this member's name and peer URL",
            ),
        ] {
            let cure = waits(3, 1, &[("ETCD_INITIAL_CLUSTER", initial)]);
            assert!(cure.contains(what), "{cure}");
            assert!(!cure.contains("ETCD_INITIAL_CLUSTER_STATE"), "{cure}");
        }
    }

    #[test]
    fn quorum_itself_says_when_it_goes_on() {
        let quorum = [("REJOIN_BOOTSTRAP", "quorum")];
        assert!(waits(3, 1, &quorum).ends_with("when REJOIN_BOOTSTRAP_WAIT is over"));
        assert_eq!(waits(3, 0, &quorum), "start the missing members");
    }
}
