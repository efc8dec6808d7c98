//! The rows of an empty data dir while no etcd was heard: is this a first start, or a lost disk beside a
//! cut cable? Only the other entrypoints can tell.

use super::Decision::{Do, Refuse, Wait};
use super::{Begin, Bootstrap, Decision, Heard, Holds, Observation, Policy, Reason, Start, Step};
use crate::membership::quorum;

/// No etcd was heard: the entrypoints ask each other whether this is a first start.
pub(super) fn assembly(policy: &Policy, seen: &Observation) -> Decision {
    let mut count = Assembly::default();
    for peer in seen.initial_peers() {
        match &peer.heard {
            Heard::Entrypoint { holds, differs } => {
                count.disagree |= differs.is_some();
                match holds {
                    Holds::Empty => count.empty += 1,
                    // Its cluster will be another one than ours, and we shall join it.
                    Holds::Alone => count.alone += 1,
                    Holds::Promised => count.promised += 1,
                    Holds::SetAside => count.set_aside += 1,
                    Holds::Own(cluster) if *cluster != policy.static_cluster => count.foreign += 1,
                    Holds::Own(_) | Holds::Damaged => count.data += 1,
                }
            }
            // Views are asked before: no peer runs etcd here.
            Heard::Silent(_) | Heard::Refused(_) | Heard::Nonsense(_) | Heard::Etcd { .. } => {}
        }
    }
    // Counted against the initial cluster: a member that was not even asked is silent too.
    let heard = count.empty + count.promised + count.set_aside + count.foreign + count.data;
    let silent = policy.initial.len().saturating_sub(1 + heard);
    if count.data > 0 && seen.promise {
        // It has left the first start already: all had promised then.
        return new(true, Reason::FirstStartContinued);
    }
    if count.data + count.foreign > 0 {
        return Wait(Reason::PeerHasData);
    }
    if count.disagree {
        return Refuse(Reason::PeersDisagree);
    }
    let alone = policy.initial.len() == 1;
    // In a larger initial cluster a peer that has left the same first start calls us too.
    if alone && seen.called.is_some() {
        return match policy.knows_others {
            true => Wait(Reason::NotAllHeard),
            false => Refuse(Reason::CalledByACluster),
        };
    }
    let all_heard = silent == 0 && !(alone && policy.knows_others);
    if all_heard && (count.set_aside > 0 || seen.set_aside > 0) {
        return Refuse(Reason::DataSetAside);
    }
    if policy.existing || policy.bootstrap == Bootstrap::Never {
        return match all_heard {
            true => Wait(Reason::FoundingForbidden),
            false => Wait(Reason::NotAllHeard),
        };
    }
    // Nobody can be asked whether this is a lost disk in a cluster that has grown since. But such a
    // cluster asks for us: without this row we would found a second one, with the same IDs.
    if policy.is_alone()
        && policy.is_reachable()
        && !seen.listened
        && policy.bootstrap != Bootstrap::Now
    {
        return Wait(Reason::Listening);
    }
    let nothing_set_aside = count.set_aside == 0 && seen.set_aside == 0;
    let majority = quorum(policy.initial.len());
    let (may_promise, may_start) = match policy.bootstrap {
        Bootstrap::All | Bootstrap::Never => (all_heard, all_heard && count.empty == 0),
        Bootstrap::Quorum => (
            all_heard || (seen.waited && 1 + count.empty + count.promised >= majority),
            (all_heard && count.empty == 0) || (seen.waited && 1 + count.promised >= majority),
        ),
        // Silence rules nothing out here; whoever answers is asked to promise first.
        Bootstrap::Now => (count.alone == 0, count.alone + count.empty == 0),
    };
    match (
        seen.promise,
        may_promise && nothing_set_aside,
        may_start && nothing_set_aside,
    ) {
        (_, true, true) if alone => new(false, Reason::FirstStart),
        (true, _, true) => new(true, Reason::FirstStart),
        (true, _, false) if silent == 0 => Wait(Reason::FirstStartPromise),
        (false, true, _) => Do(Step::Promise, Reason::FirstStartPromise),
        (true | false, _, _) => Wait(Reason::NotAllHeard),
    }
}

#[derive(Default)]
struct Assembly {
    empty: usize,
    promised: usize,
    /// Data of the cluster that would be founded, or data that does not read.
    data: usize,
    /// Data of another cluster.
    foreign: usize,
    set_aside: usize,
    /// About to found a cluster of its own.
    alone: usize,
    disagree: bool,
}

/// `REJOIN_BOOTSTRAP=now` beside an etcd that has never been part of a running cluster.
pub(super) fn may_found_now(policy: &Policy, seen: &Observation) -> bool {
    policy.bootstrap == Bootstrap::Now
        && !policy.existing
        && seen.set_aside == 0
        && seen
            .views()
            .all(|(_, members)| members.iter().all(|member| !member.started()))
}

pub(super) fn new(trial: bool, reason: Reason) -> Decision {
    let start = Start {
        begin: Begin::New,
        trial,
        promote: false,
    };
    Decision::Start(start, reason)
}
