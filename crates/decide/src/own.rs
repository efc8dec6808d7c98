//! The rows of own and of damaged data: started as it is, or given up once the cluster has confirmed
//! that it does not need it.

use super::Decision::{Do, Refuse, Wait};
use super::enough::is_settled;
use super::entries::*;
use super::own_url::misled;
use super::{
    Alone, Begin, Confirmed, Decision, Evidence, Identity, JoinAs, Leaderless, ListedHere,
    Misleads, Observation, Outlook, Policy, Start, Steady, Step, Trial, Whose, Why,
};
use crate::membership::Member;

/// Own data starts as it is, unless the cluster positively contradicts it.
pub(super) fn own_data(policy: &Policy, seen: &Observation, own: Identity) -> Decision {
    if another_members(policy, seen, own) {
        return Refuse(Why::VolumeOfAnotherMember(Whose::Listed(seen.running())));
    }
    if let Some(entry) = listed_here_as_another(policy, seen) {
        let whose = Whose::ListedHere(entry.clone());
        return Refuse(Why::VolumeOfAnotherMember(whose));
    }
    if seen.twin {
        return Refuse(Why::TwinAlive);
    }
    let quorate = (seen.quorate.as_ref()).filter(|quorate| quorate.cluster == own.cluster);
    let Some(quorate) = quorate else {
        return without_leader(policy, seen, own);
    };
    // Whatever is done beside it would be done to the only copy: what follows sets it aside, or lets an etcd
    // loose on it that panics ("tocommit", "conflict with committed entry") or overwrites what others acknowledged.
    if let Some(histories) = other_history(policy, seen, quorate) {
        return Refuse(Why::OtherHistory(histories));
    }
    let Some(entry) = by_id(&quorate.members, own.member) else {
        return match (policy.join, seen.given_up) {
            (JoinAs::Never, true | false) => Refuse(Why::Removed(None)),
            (JoinAs::Auto | JoinAs::Voter | JoinAs::Learner, true) => {
                Do(Step::Quarantine, Why::GivenUp(None))
            }
            (JoinAs::Auto | JoinAs::Voter | JoinAs::Learner, false) => {
                Do(Step::Quarantine, Why::Removed(None))
            }
        };
    };
    if seen.given_up {
        // Never start it again: a remove that timed out may still be applied to it.
        return match policy.join {
            JoinAs::Never => Refuse(Why::JoiningForbidden),
            JoinAs::Auto | JoinAs::Voter | JoinAs::Learner => {
                Do(Step::RemoveMember(own.member), Why::GivenUp(None))
            }
        };
    }
    match seen.trial {
        Trial::Behind if policy.join != JoinAs::Never => {
            return Do(Step::GiveUp, Why::DataBehind);
        }
        Trial::Behind | Trial::Unreadable | Trial::OldList | Trial::Other | Trial::None => {}
    }
    // Before its URLs: an update drops the learner's mark from the list, and with it the promotion
    // (recorded from 3.4.23, 3.5.16 and 3.5.30). Once it is a voter they are updated.
    if entry.learner {
        return with_data(seen, own, Some(entry), Why::OwnLearner);
    }
    // Only a chore: where the cluster does not take it, own data starts all the same.
    if policy.join != JoinAs::Never
        && !seen.no_chores
        // etcd minds no peer URL of its own beside data, so a restart may well come without: its default is
        // no news for the cluster.
        && policy.peer_urls_given
        && entry.name == policy.name
        && !entry.has_exactly_peer_urls(&policy.peer_urls)
    {
        let anothers = others(&quorate.members, own.member);
        let anothers = anothers.filter(|member| member.has_peer_url(&policy.peer_urls));
        let misleads = misled(&policy.name, &seen.own_urls).or_else(|| {
            let listed: Vec<_> = anothers.cloned().collect();
            (!listed.is_empty()).then_some(Misleads::Listed(listed))
        });
        return match misleads {
            // The URL that is listed works, or did.
            Some(misleads) => with_data(seen, own, Some(entry), Why::PeerUrlMisleads(misleads)),
            None => {
                let reason = Why::PeerUrlsChanged(policy.peer_urls.clone());
                Do(Step::UpdatePeerUrls(own.member), reason)
            }
        };
    }
    // What was set aside is deleted only now that the cluster has this member's data again: it
    // has published as a voter, and nothing says that its last start made no progress.
    let well = entry.started() && !seen.stalled && seen.trial == Trial::None;
    match policy.keep {
        Some(keep) if well && !seen.no_chores && seen.set_aside > keep => {
            Do(Step::DeleteSetAside { keep }, Why::SetAsideNotNeeded)
        }
        Some(_) | None => with_data(seen, own, Some(entry), Why::OwnData(Confirmed::ByLeader)),
    }
}

/// Nobody has proved a leader of this data's cluster.
fn without_leader(policy: &Policy, seen: &Observation, own: Identity) -> Decision {
    if is_another_cluster(policy, seen, own.cluster) {
        return Refuse(Why::OtherCluster(seen.running()));
    }
    if seen.given_up {
        return Wait(Why::GivenUp(Some(leaderless(policy, seen))));
    }
    // Its etcd would ask to be let in for ever, or end at once; alone it has no leader, and looks for no one.
    if seen.listed_here == ListedHere::Removed {
        return match policy.join {
            JoinAs::Never => Refuse(Why::Removed(None)),
            JoinAs::Auto | JoinAs::Voter | JoinAs::Learner => {
                Wait(Why::Removed(Some(leaderless(policy, seen))))
            }
        };
    }
    let reason = match seen.views().next() {
        Some(_) if is_settled(policy, seen) => Why::OwnData(Confirmed::ByPeer),
        Some(_) => Why::NoLeader,
        None => Why::NobodyAnswers(Alone(policy.is_alone())),
    };
    with_data(seen, own, None, reason)
}

/// The member that this is, where nobody says it but the database, and it is another one of our initial cluster:
/// where all volumes are swapped and all members start at once, nobody runs who could say so.
///
/// One that the initial cluster does not name may be ourselves, under the name and URLs of before.
fn listed_here_as_another<'a>(policy: &Policy, seen: &'a Observation) -> Option<&'a Member> {
    let nobody_says = seen.views().next().is_none() && seen.quorate.is_none();
    let ListedHere::As(entry) = &seen.listed_here else {
        return None;
    };
    let is_ours = entry.name == policy.name || entry.has_peer_url(&policy.peer_urls);
    let mut others = (policy.initial.iter()).filter(|(name, _)| *name != policy.name);
    let is_named = others.any(|(name, urls)| name == entry.name || entry.has_peer_url(urls));
    (nobody_says && !is_ours && is_named).then_some(entry)
}

/// No leader is proven, and what is here is not started without one.
fn leaderless(policy: &Policy, seen: &Observation) -> Leaderless {
    Leaderless {
        evidence: Evidence {
            words: seen.failures.clone(),
            ..Evidence::default()
        },
        noted: false,
        outlook: match (policy.is_alone(), seen.steady) {
            (true, _) => Outlook::Nobody,
            (false, Steady::No) => Outlook::Election,
            (false, Steady::Seconds | Steady::HalfAMinute) => Outlook::Others,
        },
    }
}

fn with_data(seen: &Observation, own: Identity, entry: Option<&Member>, why: Why) -> Decision {
    let promote = seen.added_learner == Some(own.member) && entry.is_none_or(|entry| entry.learner);
    let start = Start {
        begin: Begin::WithData,
        trial: seen.stalled || promote,
        promote,
    };
    Decision::Start(start, why)
}

/// Damaged data is given up only once the cluster has confirmed that it does not need it.
pub(super) fn damaged(policy: &Policy, seen: &Observation, head: Option<Identity>) -> Decision {
    if head.is_some_and(|head| another_members(policy, seen, head)) {
        return Refuse(Why::VolumeOfAnotherMember(Whose::Listed(seen.running())));
    }
    if seen.twin {
        return Refuse(Why::TwinAlive);
    }
    if two_clusters(seen) {
        return Refuse(Why::TwoClusters(seen.running()));
    }
    if let Some(head) = head {
        let heard = seen.views().map(|(cluster, _)| cluster);
        let mut clusters = heard.chain(seen.quorate.as_ref().map(|quorate| quorate.cluster));
        if clusters.any(|cluster| cluster != head.cluster) {
            return Refuse(Why::OtherCluster(seen.running()));
        }
    }
    if two_entries(policy, seen) {
        return Refuse(Why::TwoEntries);
    }
    let own =
        |members: &[Member]| head.map_or_else(|| own_id(policy, members), |head| Some(head.member));
    if refuse_us(policy, seen, own) {
        return Refuse(Why::NotAllowed(refusals(seen)));
    }
    let Some(quorate) = &seen.quorate else {
        return Wait(Why::DataDamagedNoQuorum(leaderless(policy, seen)));
    };
    if let Some(histories) = other_history(policy, seen, quorate) {
        return Refuse(Why::OtherHistory(histories));
    }
    let listed = match head {
        // The WAL's own ID decides: another ID under our URL means that this one is gone already.
        Some(head) => by_id(&quorate.members, head.member),
        None => match own_entry(policy, &quorate.members) {
            Entry::Two => return Refuse(Why::TwoEntries),
            Entry::One(entry) => Some(entry),
            Entry::None => None,
        },
    };
    // A remove that times out may be applied later. What reads badly today may start tomorrow, on a
    // repaired disk or under another etcd, and would then be removed while it runs.
    let to_give_up = head.is_some() && !seen.given_up;
    match (listed, policy.join) {
        (_, JoinAs::Never) => Refuse(Why::JoiningForbidden),
        (Some(_), JoinAs::Auto | JoinAs::Voter | JoinAs::Learner) if to_give_up => {
            Do(Step::GiveUp, Why::DataDamaged)
        }
        (Some(entry), JoinAs::Auto | JoinAs::Voter | JoinAs::Learner) => {
            Do(Step::RemoveMember(entry.id), Why::DataDamaged)
        }
        (None, JoinAs::Auto | JoinAs::Voter | JoinAs::Learner) => {
            Do(Step::Quarantine, Why::DataDamaged)
        }
    }
}
