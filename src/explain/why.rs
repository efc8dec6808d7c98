//! Why something is decided: the row's condition, as it holds in the case at hand.

use super::{heard, is_alone};
use crate::decide::{
    Bootstrap, Decision, Elsewhere, Heard, Holds, Identity, JoinsOnly, Knock, Observation, Policy,
    Progress, Reason, Step, data_elsewhere, founded_again, hindrance, is_settled, listing_twice,
    misled,
};
use crate::membership::{Member, MemberId};
use crate::observe::Look;

/// Why: the row's condition, as it holds here, with the names that the row leaves out.
pub fn why(policy: &Policy, look: &Look, decision: &Decision) -> String {
    let mut text = match decision.reason() {
        Reason::NobodyAnswers if is_alone(look) => "there is no other member".into(),
        Reason::FoundingForbidden => format!(
            "all are empty, but no cluster is founded with {}",
            (policy.joins_only).map_or("REJOIN_BOOTSTRAP=never", JoinsOnly::what)
        ),
        _ => condition(policy, &look.seen, decision).to_string(),
    };
    let names = names(policy, look, decision.reason());
    if !names.is_empty() {
        text += &format!(" ({})", names.join("; "));
    }
    text
}

/// Rows that say several things say the one that holds.
fn condition(policy: &Policy, seen: &Observation, decision: &Decision) -> &'static str {
    let without = match policy.bootstrap {
        _ if are_all_in_assembly(policy, seen) => None,
        Bootstrap::Now => Some("REJOIN_BOOTSTRAP=now: whoever answers is in the same first start"),
        Bootstrap::Quorum => Some(
            "REJOIN_BOOTSTRAP=quorum: its wait is over, and a majority is in the same first start",
        ),
        Bootstrap::All | Bootstrap::Never => None,
    };
    match (decision.reason(), decision) {
        (Reason::FirstStartPromise, Decision::Do(..)) => {
            without.unwrap_or("every other member was heard empty or promised in one look")
        }
        (Reason::FirstStartPromise, _) => "not every other member has promised yet",
        (Reason::NoteAdded, Decision::Do(Step::SettleJoin(_), _)) => {
            "quorate, listed as unstarted, as our add was answered, and the third voter: both others must know of it across a crash"
        }
        (Reason::NoteAdded, _) => "quorate, listed as unstarted, as our add was answered",
        (Reason::AddedNotOurs, Decision::Do(Step::RemoveMember(id), _))
            if is_learner(seen, *id) =>
        {
            "quorate, listed as an unstarted learner that no note on this volume names: it may have run on a disk that is gone, and what it acknowledged there counts once it is promoted, so it joins under another ID, and promotes that itself; a tool that added this one cannot promote it any more"
        }
        (Reason::DataLostNoLeader, _) if seen.join_note.is_none() => {
            "no leader, listed, no note on this volume"
        }
        (Reason::DataDamaged, Decision::Do(Step::GiveUp | Step::RemoveMember(_), _)) => {
            "quorate without it, listed"
        }
        (Reason::DataDamaged, _) => "quorate without it, and not listed",
        (Reason::OwnData, _) if is_settled(policy, seen) => {
            "a peer lists this member just as it is here; no leader was waited for"
        }
        (Reason::OwnData, _) => "quorate, listed",
        (Reason::OtherHistory, _) => {
            "the others have this volume's cluster ID, and not its history: they were founded anew, or rolled back to an older copy"
        }
        (Reason::Removed, _) => "quorate, id not listed",
        (Reason::GivenUp, Decision::Wait(_)) => {
            "this identity was given up, and no leader is proven"
        }
        (Reason::GivenUp, _) => "this identity was given up",
        (Reason::FirstStart, Decision::Start(start, _)) if !start.trial => {
            "the initial cluster has no other member"
        }
        (Reason::FirstStart, _) => without.unwrap_or("every other member has promised"),
        (Reason::VolumeOfAnotherMember, _) if seen.views().next().is_none() => {
            "nobody answers, and another member of our initial cluster was founded with this ID"
        }
        (Reason::VolumeOfAnotherMember, _) => {
            "the cluster lists the volume's member under a name and peer URLs that are not ours"
        }
        (Reason::PeerUrlMisleads, Decision::Start(..)) => {
            "quorate, listed; its new peer URL leads nowhere, or to somebody else, and is not published"
        }
        (Reason::PeerUrlMisleads, _) => {
            "the others would look for this member at its peer URL, and that leads nowhere, or to somebody else"
        }
        (Reason::DataElsewhere, _) => {
            "a first start is due, and etcd's data lies at another place that this member may have had"
        }
        (Reason::PeerLags, _) => {
            "added, not started; a peer does not list the members yet that the leader does, and etcd may take its list from there"
        }
        (Reason::CalledByACluster, Decision::Wait(_)) => {
            "a first start is due, and an etcd looks whether this member is here, and has not said yet who it is"
        }
        (Reason::CalledByACluster, _) => {
            "a first start is due, and a running cluster asks for this member at its peer URL"
        }
        (Reason::Listening, _) if policy.initial_others() > 0 => {
            "all the others were heard; a running cluster that lists this member would ask for it now"
        }
        (Reason::NotAllHeard, _) if policy.initial_others() == 0 => {
            "the initial cluster names only this member, and none of the others that are known shows a leader"
        }
        (reason, _) => reason.row().when,
    }
}

fn is_learner(seen: &Observation, id: MemberId) -> bool {
    let mut members = seen.quorate.iter().flat_map(|quorate| &quorate.members);
    members.any(|member| member.id == id && member.learner)
}

/// Whether every other member of the initial cluster answers as an entrypoint.
fn are_all_in_assembly(policy: &Policy, seen: &Observation) -> bool {
    let entrypoints = (seen.initial_peers())
        .filter(|peer| matches!(peer.heard, Heard::Entrypoint { .. }))
        .count();
    entrypoints == policy.initial_others()
}

fn names(policy: &Policy, look: &Look, reason: Reason) -> Vec<String> {
    let peers = |wanted: fn(&Heard) -> bool| -> Vec<String> {
        (look.seen.peers.iter())
            .filter(|peer| wanted(&peer.heard))
            .map(|peer| format!("{} {}", peer.name, heard(&peer.heard)))
            .collect()
    };
    let unheard = |heard: &Heard| match heard {
        Heard::Silent(_) | Heard::Nonsense(_) | Heard::Refused(_) => true,
        Heard::Entrypoint { holds, .. } => matches!(holds, Holds::Alone | Holds::Called),
        Heard::Etcd { .. } => false,
    };
    match reason {
        Reason::KeyUnfit => look.seen.unfit.iter().cloned().collect(),
        Reason::NotAllHeard => {
            let mut names = match look.seen.peers.is_empty() {
                true => look.seen.failures.clone(),
                false => peers(unheard),
            };
            names.extend(knocks(policy, &look.seen));
            names
        }
        Reason::NowRuledOut => {
            let mut names = peers(|heard| !matches!(heard, Heard::Silent(_)));
            names.extend(look.seen.unclear.clone());
            names
        }
        Reason::PeerLags => {
            let lags = look.seen.quorate.iter().flat_map(|q| look.seen.lags(q));
            lags.map(|peer| peer.name.clone()).collect()
        }
        Reason::FirstStartPromise => peers(|heard| {
            matches!(
                heard,
                Heard::Entrypoint {
                    holds: Holds::Empty,
                    ..
                }
            )
        }),
        Reason::PeerHasData => peers(|heard| {
            matches!(
                heard,
                Heard::Entrypoint {
                    holds: Holds::Own(_) | Holds::Damaged,
                    ..
                }
            )
        }),
        Reason::PeersDisagree => peers(|heard| {
            matches!(
                heard,
                Heard::Entrypoint {
                    differs: Some(_),
                    ..
                }
            )
        }),
        Reason::WalElsewhere | Reason::WalDirNotEmpty => look
            .seen
            .misplaced
            .iter()
            .map(ToString::to_string)
            .collect(),
        Reason::DataElsewhere => data_elsewhere(policy, &look.seen)
            .map(elsewhere)
            .into_iter()
            .collect(),
        Reason::DataSetAside => peers(|heard| {
            matches!(
                heard,
                Heard::Entrypoint {
                    holds: Holds::SetAside,
                    ..
                }
            )
        }),
        Reason::TwoClusters | Reason::OtherCluster | Reason::VolumeOfAnotherMember => {
            peers(|heard| matches!(heard, Heard::Etcd { .. }))
        }
        Reason::OtherHistory => history(policy, look),
        Reason::NotAllowed => {
            let mut names = peers(|heard| matches!(heard, Heard::Refused(_)));
            names.extend(look.seen.refused.clone());
            names.extend(look.seen.denied.iter().map(|(_, words)| words.clone()));
            names
        }
        Reason::CalledByACluster => knocks(policy, &look.seen),
        Reason::UrlListedTwice => listing_twice(policy, &look.seen).map(update).collect(),
        Reason::PeerUrlMisleads => match (
            misled(&policy.name, &look.seen.own_urls),
            &look.seen.quorate,
        ) {
            (Some(why), _) => vec![why],
            (None, Some(quorate)) => (quorate.members.iter())
                .filter(|member| member.has_peer_url(&policy.peer_urls))
                .map(|member| format!("it is listed for {}", member.label()))
                .collect(),
            (None, None) => Vec::new(),
        },
        Reason::CannotStart => hindrance(&look.seen).into_iter().collect(),
        Reason::DataLostNoLeader | Reason::NotListedNoLeader => {
            let mut names = look.seen.failures.clone();
            names.extend(knocks(policy, &look.seen));
            names
        }
        Reason::DataDamagedNoQuorum | Reason::GivenUp => look.seen.failures.clone(),
        _ => Vec::new(),
    }
}

fn elsewhere(data: &Elsewhere) -> String {
    let path = data.path.display();
    match data.owner {
        Some(Identity { member, cluster }) => {
            format!("{path} holds data of member {member} of cluster {cluster}")
        }
        None => format!("{path} holds data whose head does not read"),
    }
}

/// Which side holds what.
fn history(policy: &Policy, look: &Look) -> Vec<String> {
    let Some(quorate) = &look.seen.quorate else {
        return Vec::new();
    };
    let at = look.endpoints.first().map_or("", String::as_str);
    let mut sides = vec![format!("this volume has {}", progress(look.seen.committed))];
    sides.extend((quorate.reached).map(|reached| format!("{at} has {}", progress(reached))));
    if founded_again(policy, &look.seen, quorate) {
        let founder = policy.static_id;
        sides.push(format!(
            "they list member {founder}, as which this one was founded and which was removed since"
        ));
    }
    sides
}

fn progress(progress: Progress) -> String {
    let Progress { index, term } = progress;
    match term {
        0 => format!("all up to index {index}"),
        _ => format!("all up to index {index} of term {term}"),
    }
}

/// What a person has to run for a member that lists a peer URL twice.
fn update(member: &Member) -> String {
    let (label, id) = (member.label(), member.id);
    let urls = member.urls_listed_twice().unwrap_or_default().join(",");
    format!("{label}: run `etcdctl member update {id} --peer-urls={urls}`")
}

/// Without its data we cannot tell what we were there: a member that lost its disk, or one just added.
fn knocks(policy: &Policy, seen: &Observation) -> Vec<String> {
    let words = seen.knocks_of_a_cluster(policy).map(|knock| match knock {
        Knock::Member { id, cluster, wants } => {
            let wants = wants.map_or("us".into(), |id| format!("member {id}"));
            format!(
                "member {id} of cluster {cluster} asks for {wants} here: its data was here, or it was added there"
            )
        }
        Knock::Probe => {
            "the etcd of a cluster that lists this address looks whether its member is here".into()
        }
        Knock::Unreadable(words) => format!("{words}: it may be the etcd of a cluster that lists this address"),
    });
    words.collect()
}
