//! The rows of an empty data dir beside a cluster: a member that comes back, or joins.

use super::Decision::{Do, Refuse, Wait};
use super::entries::*;
use super::first_start::{assembly, may_found_now, new};
use super::set::wants_more;
use super::{
    Begin, Decision, Evidence, Founders, JoinAs, Leaderless, Observation, Outlook, Policy, Quorate,
    Start, Steady, Step, Why,
};
use crate::membership::{ClusterId, Member, quorum};

/// An empty data dir: a first start, or a lost disk. Which of them, only the others can tell.
pub(super) fn empty(policy: &Policy, seen: &Observation) -> Decision {
    // Added under etcd's default, it could be reached by nobody, and its vote would be missing.
    if !policy.peer_urls_given && policy.has_others() {
        return Refuse(Why::PeerUrlsNotGiven);
    }
    if two_clusters(seen) {
        return Refuse(Why::TwoClusters(seen.running()));
    }
    if two_entries(policy, seen) {
        return Refuse(Why::TwoEntries);
    }
    // Before a quorate answer too: a rejoin between members that refuse each other would end in a
    // member that cannot reach its peers.
    if refuse_us(policy, seen, |members| own_id(policy, members)) {
        return Refuse(Why::NotAllowed(refusals(seen)));
    }
    // Two that come back under one name would both start as the entry that one of them has added, and
    // two on a first start as the same founding member.
    if seen.twin {
        return Refuse(Why::TwinAlive);
    }
    if let Some(quorate) = &seen.quorate {
        return empty_quorate(policy, seen, quorate);
    }
    match seen.views().next() {
        Some(_) => empty_no_leader(policy, seen),
        None => assembly(policy, seen),
    }
}

fn empty_quorate(policy: &Policy, seen: &Observation, quorate: &Quorate) -> Decision {
    let members = quorate.members.as_slice();
    let entry = match own_entry(policy, members) {
        Entry::Two => return Refuse(Why::TwoEntries),
        Entry::None => return not_listed(policy, seen, members),
        Entry::One(entry) => entry,
    };
    let remove = |why| match policy.join {
        JoinAs::Never => Refuse(Why::JoiningForbidden),
        JoinAs::Auto | JoinAs::Voter | JoinAs::Learner => Do(Step::RemoveMember(entry.id), why),
    };
    if entry.started() {
        return remove(Why::DataLost);
    }
    match seen.join_note {
        Some(id) if id == entry.id => existing(seen, quorate, entry),
        // The add's own answer alone tells that an entry is ours. One that a list shows may have been added from
        // another volume, and may have run there.
        _ if seen.added == Some(entry.id) => {
            // Of two members one may forget the add in a crash. It lists two then, and the other one, if it
            // lost its disk, would start empty beside it (`second-of-two`), while the third holds writes
            // that both lack. A learner acknowledges none, and the entry that promotes it writes the add
            // down. Nor could it be settled: the update that does it drops the learner's mark from the
            // list, and its promotion with it (3.4.23, 3.5.30: it never votes, and nothing shows it).
            let step = match members.len() {
                3 if !entry.learner => Step::SettleJoin(entry.id),
                _ => Step::NoteJoin(entry.id),
            };
            Do(step, Why::NoteAdded)
        }
        None if seen.promise && entry.id == policy.static_id => existing(seen, quorate, entry),
        // Without a note that names it, a member that is listed as unstarted may have voted and lost its disk. A
        // learner is no exception, as one that another tool has added: etcd promotes it by what the leader remembers,
        // also while it is down (`isLearnerReady` in `server/etcdserver/server.go`), and from then on counts what
        // it acknowledged before it lost its disk. A list that shows a learner may be a moment older than that.
        Some(_) | None => remove(Why::AddedNotOurs(entry.clone())),
    }
}

fn existing(seen: &Observation, quorate: &Quorate, entry: &Member) -> Decision {
    // etcd asks one member for its list, whoever answers first in the order of their URLs, and ends if that
    // is another one than ours ("member count is unequal"; 3.5: etcdserver/cluster_util.go,
    // getClusterFromRemotePeers). Where only our ID differs it even starts under that one. A member that
    // is cut off from its leader lists the old members for as long: it is not waited for.
    let lags = seen.lags(quorate).map(|peer| peer.name.clone());
    let lags: Vec<String> = lags.collect();
    match seen.steady {
        Steady::No if !lags.is_empty() => Wait(Why::PeerLags(lags)),
        Steady::No | Steady::Seconds | Steady::HalfAMinute => {
            start_existing(seen, entry, &quorate.members, Why::AddedNotStarted)
        }
    }
}

fn start_existing(seen: &Observation, entry: &Member, members: &[Member], why: Why) -> Decision {
    let promote = entry.learner && seen.added_learner == Some(entry.id);
    let start = Start {
        begin: Begin::Existing {
            id: entry.id,
            members: members.to_vec(),
        },
        trial: entry.learner,
        promote,
    };
    Decision::Start(start, why)
}

fn not_listed(policy: &Policy, seen: &Observation, members: &[Member]) -> Decision {
    if policy.join == JoinAs::Never {
        return Refuse(Why::JoiningForbidden);
    }
    // Added from this volume, then our peer URLs were changed: nobody else would ever remove it.
    if let Some(id) = seen.join_note
        && by_id(members, id).is_some_and(|entry| !entry.started() && entry.name.is_empty())
    {
        return Do(Step::RemoveMember(id), Why::AddedUnderOldUrl);
    }
    match add_as(policy, members) {
        Some(learner) => Do(Step::AddMember { learner }, Why::NotListed),
        None => Wait(Why::AnotherRejoins),
    }
}

/// Whether to join as learner, or not yet. Only adds are held back by margin, never a remove.
pub fn add_as(policy: &Policy, members: &[Member]) -> Option<bool> {
    let voters = members.iter().filter(|member| !member.learner).count();
    let unstarted_voter = (members.iter()).any(|member| !member.learner && !member.started());
    let costs_margin = quorum(voters + 1) > quorum(voters);
    let size = policy.initial.len().max(voters + 1);
    let learner = match policy.join {
        JoinAs::Learner => true,
        JoinAs::Voter => costs_margin || unstarted_voter,
        // From four members on always: two members that rejoin at once would else cost a vote.
        JoinAs::Auto | JoinAs::Never => costs_margin || unstarted_voter || size > 3,
    };
    // etcd allows one learner at a time (`max-learners` is new in 3.5 and seldom set).
    let learner_in_the_way = members.iter().any(|member| member.learner);
    let must = costs_margin || unstarted_voter || policy.join == JoinAs::Learner;
    match learner && learner_in_the_way {
        // One that stays a learner, as a reader far away, would keep us out for ever.
        true => (!must).then_some(false),
        false => Some(learner),
    }
}

/// Some peer runs etcd, no leader is proven: what the views say may be old.
fn empty_no_leader(policy: &Policy, seen: &Observation) -> Decision {
    // Who refuses us was not heard: what it lists may be what contradicts.
    if seen.is_refused() {
        return no_leader(policy, seen, false);
    }
    // etcd asks the others once more, and takes its ID from their list.
    if let Some(id) = seen.join_note
        && seen.steady >= Steady::Seconds
    {
        let unstarted = seen.views().find_map(|(_, members)| {
            let entry = by_id(members, id).filter(|entry| !entry.started())?;
            Some((entry, members))
        });
        if let Some((entry, members)) = unstarted {
            return start_existing(seen, entry, members, Why::AddedNotStarted);
        }
    }
    if may_continue(policy, seen) {
        return new(true, Why::FirstStartContinued);
    }
    let pair = second_of_two(policy, seen);
    match pair {
        // That there are two is only what it has read of its log: a third one may be listed further on.
        Some((entry, members)) if seen.steady == Steady::HalfAMinute => {
            start_existing(seen, entry, members, Why::SecondOfTwo)
        }
        _ if !seen.promise && may_found_now(policy, seen) => {
            let why = Why::FirstStartPromise(Founders::Whoever, Vec::new());
            Do(Step::Promise, why)
        }
        pair => no_leader(policy, seen, pair.is_some()),
    }
}

/// Whether our promise goes on with a first start that others have left for etcd.
///
/// It speaks for the static ID alone. Where we are listed under another ID, that one was removed; where we are
/// listed as started, it ran without this volume, and a remove of it may have been sent already.
fn may_continue(policy: &Policy, seen: &Observation) -> bool {
    let ours = seen
        .views()
        .any(|(cluster, _)| cluster == policy.static_cluster);
    let outdated = seen
        .views()
        .any(|(_, members)| match own_entry(policy, members) {
            Entry::One(entry) => entry.id != policy.static_id || entry.started(),
            Entry::None | Entry::Two => false,
        });
    seen.promise && ours && !outdated && seen.set_aside == 0
}

/// Our entry and the list of a two-member cluster that waits for us.
///
/// Every acknowledged write of such a cluster is on both, so the other one has it all. A third member, which the
/// other one has not heard of yet, may hold writes that it lacks: it asks for us; or the StatefulSet wants it, and it
/// does not run.
fn second_of_two<'a>(policy: &Policy, seen: &'a Observation) -> Option<(&'a Member, &'a [Member])> {
    if policy.initial.len() != 2 || policy.initial_others() != 1 || wants_more(seen) {
        return None;
    }
    let third = |cluster: ClusterId, members: &[Member]| {
        let listed =
            |id, its: ClusterId| its == cluster && members.iter().any(|member| member.id == id);
        seen.knocks_of_others(listed).next().is_some()
    };
    seen.views()
        .find_map(|(cluster, members)| match own_entry(policy, members) {
            // A learner acknowledges nothing: beside one, the lost voter had the only copy.
            Entry::One(entry)
                if members.len() == 2
                    && !members.iter().any(|m| m.learner)
                    && !third(cluster, members) =>
            {
                Some((entry, members))
            }
            Entry::One(_) | Entry::None | Entry::Two => None,
        })
}

/// Waits for a leader. `pair`: as the second of two it needs none, if the list stays the same.
fn no_leader(policy: &Policy, seen: &Observation, pair: bool) -> Decision {
    let first_start = || {
        policy.joins_only.is_none()
            && seen.join_note.is_none()
            && !seen.promise
            && seen.views().all(|(cluster, members)| {
                cluster == policy.static_cluster && !members.iter().any(Member::started)
            })
    };
    let only_two = || {
        let two = |members: &[Member]| {
            members.len() == 2 && members.iter().any(|m| m.has_peer_url(&policy.peer_urls))
        };
        policy.initial.len() > 2 && seen.views().all(|(_, members)| two(members))
    };
    let held = Leaderless {
        evidence: Evidence {
            words: seen.failures.clone(),
            knocks: seen.knocks_of_a_cluster(policy).cloned().collect(),
            ..Evidence::default()
        },
        noted: seen.join_note.is_some(),
        outlook: match seen.steady {
            Steady::No => Outlook::Election,
            Steady::Seconds | Steady::HalfAMinute if pair => Outlook::SecondOfTwo,
            Steady::Seconds | Steady::HalfAMinute if first_start() => Outlook::FirstStart,
            Steady::Seconds | Steady::HalfAMinute if only_two() => Outlook::OnlyTwo,
            Steady::Seconds | Steady::HalfAMinute => Outlook::Others,
        },
    };
    let listed =
        (seen.views()).any(|(_, members)| !matches!(own_entry(policy, members), Entry::None));
    match listed {
        true => Wait(Why::DataLostNoLeader(held)),
        false => Wait(Why::NotListedNoLeader(held)),
    }
}
