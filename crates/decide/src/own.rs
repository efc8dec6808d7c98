//! The rows of own and of damaged data: started as it is, or given up once the cluster has confirmed
//! that it does not need it.

use super::Decision::{Do, Refuse, Wait};
use super::enough::is_settled;
use super::entries::*;
use super::own_url::misled;
use super::{Begin, Decision, Identity, JoinAs, Observation, Policy, Reason, Start, Step, Trial};
use crate::membership::Member;

/// Own data starts as it is, unless the cluster positively contradicts it.
pub(super) fn own_data(policy: &Policy, seen: &Observation, own: Identity) -> Decision {
    if another_members(policy, seen, own) {
        return Refuse(Reason::VolumeOfAnotherMember);
    }
    if founded_as_another(policy, seen, own) {
        return Refuse(Reason::VolumeOfAnotherMember);
    }
    if seen.twin {
        return Refuse(Reason::TwinAlive);
    }
    let quorate = (seen.quorate.as_ref()).filter(|quorate| quorate.cluster == own.cluster);
    let Some(quorate) = quorate else {
        if is_another_cluster(policy, seen, own.cluster) {
            return Refuse(Reason::OtherCluster);
        }
        if seen.given_up {
            return Wait(Reason::GivenUp);
        }
        return match seen.views().next() {
            Some(_) if is_settled(policy, seen) => with_data(seen, own, None, Reason::OwnData),
            Some(_) => with_data(seen, own, None, Reason::NoLeader),
            None => with_data(seen, own, None, Reason::NobodyAnswers),
        };
    };
    // Whatever is done beside it would be done to the only copy: what follows sets it aside, or lets an etcd
    // loose on it that panics ("tocommit", "conflict with committed entry") or overwrites what others acknowledged.
    if is_other_history(policy, seen, quorate) {
        return Refuse(Reason::OtherHistory);
    }
    let Some(entry) = by_id(&quorate.members, own.member) else {
        return match (policy.join, seen.given_up) {
            (JoinAs::Never, true | false) => Refuse(Reason::Removed),
            (JoinAs::Auto | JoinAs::Voter | JoinAs::Learner, true) => {
                Do(Step::Quarantine, Reason::GivenUp)
            }
            (JoinAs::Auto | JoinAs::Voter | JoinAs::Learner, false) => {
                Do(Step::Quarantine, Reason::Removed)
            }
        };
    };
    if seen.given_up {
        // Never start it again: a remove that timed out may still be applied to it.
        return match policy.join {
            JoinAs::Never => Refuse(Reason::JoiningForbidden),
            JoinAs::Auto | JoinAs::Voter | JoinAs::Learner => {
                Do(Step::RemoveMember(own.member), Reason::GivenUp)
            }
        };
    }
    match seen.trial {
        Trial::Behind if policy.join != JoinAs::Never => {
            return Do(Step::GiveUp, Reason::DataBehind);
        }
        Trial::Behind | Trial::Unreadable | Trial::OldList | Trial::Other | Trial::None => {}
    }
    // Before its URLs: an update drops the learner's mark from the list, and with it the promotion
    // (recorded from 3.4.23, 3.5.16 and 3.5.30). Once it is a voter they are updated.
    if entry.learner {
        return with_data(seen, own, Some(entry), Reason::OwnLearner);
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
        let anothers =
            others(&quorate.members, own.member).any(|m| m.has_peer_url(&policy.peer_urls));
        return match anothers || misled(&policy.name, &seen.own_urls).is_some() {
            // The URL that is listed works, or did.
            true => with_data(seen, own, Some(entry), Reason::PeerUrlMisleads),
            false => Do(Step::UpdatePeerUrls(own.member), Reason::PeerUrlsChanged),
        };
    }
    // What was set aside is deleted only now that the cluster has this member's data again: it
    // has published as a voter, and nothing says that its last start made no progress.
    let well = entry.started() && !seen.stalled && seen.trial == Trial::None;
    match policy.keep {
        Some(keep) if well && !seen.no_chores && seen.set_aside > keep => {
            Do(Step::DeleteSetAside { keep }, Reason::SetAsideNotNeeded)
        }
        Some(_) | None => with_data(seen, own, Some(entry), Reason::OwnData),
    }
}

/// Whether nobody says whose this is, and it is what another member of our initial cluster was founded as:
/// where all volumes are swapped and all members start at once, nobody runs who could say so.
fn founded_as_another(policy: &Policy, seen: &Observation, own: Identity) -> bool {
    let nobody_says = seen.views().next().is_none() && seen.quorate.is_none();
    nobody_says
        && own.cluster == policy.static_cluster
        && own.member != policy.static_id
        && policy.static_others.contains(&own.member)
}

fn with_data(
    seen: &Observation,
    own: Identity,
    entry: Option<&Member>,
    reason: Reason,
) -> Decision {
    let promote = seen.added_learner == Some(own.member) && entry.is_none_or(|entry| entry.learner);
    let start = Start {
        begin: Begin::WithData,
        trial: seen.stalled || promote,
        promote,
    };
    Decision::Start(start, reason)
}

/// Damaged data is given up only once the cluster has confirmed that it does not need it.
pub(super) fn damaged(policy: &Policy, seen: &Observation, head: Option<Identity>) -> Decision {
    if head.is_some_and(|head| another_members(policy, seen, head)) {
        return Refuse(Reason::VolumeOfAnotherMember);
    }
    if seen.twin {
        return Refuse(Reason::TwinAlive);
    }
    if two_clusters(seen) {
        return Refuse(Reason::TwoClusters);
    }
    if let Some(head) = head {
        let heard = seen.views().map(|(cluster, _)| cluster);
        let mut clusters = heard.chain(seen.quorate.as_ref().map(|quorate| quorate.cluster));
        if clusters.any(|cluster| cluster != head.cluster) {
            return Refuse(Reason::OtherCluster);
        }
    }
    if two_entries(policy, seen) {
        return Refuse(Reason::TwoEntries);
    }
    let own =
        |members: &[Member]| head.map_or_else(|| own_id(policy, members), |head| Some(head.member));
    if refuse_us(policy, seen, own) {
        return Refuse(Reason::NotAllowed);
    }
    let Some(quorate) = &seen.quorate else {
        return Wait(Reason::DataDamagedNoQuorum);
    };
    if is_other_history(policy, seen, quorate) {
        return Refuse(Reason::OtherHistory);
    }
    let listed = match head {
        // The WAL's own ID decides: another ID under our URL means that this one is gone already.
        Some(head) => by_id(&quorate.members, head.member),
        None => match own_entry(policy, &quorate.members) {
            Entry::Two => return Refuse(Reason::TwoEntries),
            Entry::One(entry) => Some(entry),
            Entry::None => None,
        },
    };
    // A remove that times out may be applied later. What reads badly today may start tomorrow, on a
    // repaired disk or under another etcd, and would then be removed while it runs.
    let to_give_up = head.is_some() && !seen.given_up;
    match (listed, policy.join) {
        (_, JoinAs::Never) => Refuse(Reason::JoiningForbidden),
        (Some(_), JoinAs::Auto | JoinAs::Voter | JoinAs::Learner) if to_give_up => {
            Do(Step::GiveUp, Reason::DataDamaged)
        }
        (Some(entry), JoinAs::Auto | JoinAs::Voter | JoinAs::Learner) => {
            Do(Step::RemoveMember(entry.id), Reason::DataDamaged)
        }
        (None, JoinAs::Auto | JoinAs::Voter | JoinAs::Learner) => {
            Do(Step::Quarantine, Reason::DataDamaged)
        }
    }
}
