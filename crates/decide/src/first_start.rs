//! The rows of an empty data dir while no etcd was heard: is this a first start, or a lost disk beside a
//! cut cable? Only the other entrypoints can tell.

use std::time::Duration;

use super::Decision::{Do, Refuse, Wait};
use super::set::forbids_founding;
use super::{
    Alone, Begin, Bootstrap, Decision, Evidence, Founders, Heard, Holds, Knock, Observation, Peer,
    Policy, Start, Step, Unheard, Why,
};
use crate::membership::Member;

/// What leads to a new cluster, or promises it, does so only where no running cluster asks for us.
///
/// The initial cluster names who was there at first. A cluster that has grown since lists others too, and of
/// these nobody is asked: whoever lost its disk beside them would found the old cluster again, with the same
/// IDs. But a running etcd asks for each member that it lists, ten times a second.
pub(super) fn founding(policy: &Policy, seen: &Observation, decision: Decision) -> Decision {
    let founds = match &decision {
        Decision::Start(start, _) => start.begin == Begin::New,
        Do(Step::Store(_), why) => matches!(why, Why::FirstStartMarked | Why::TotalLoss(_)),
        Do(step, _) => *step == Step::Promise,
        Wait(_) | Refuse(_) | Decision::Done(_) => false,
    };
    let promised = matches!(decision, Wait(Why::FirstStartPromise(..)));
    let knocks: Vec<Knock> = seen.knocks_of_a_cluster(policy).cloned().collect();
    if (founds || promised) && !knocks.is_empty() {
        let answers =
            |heard: &Heard| matches!(heard, Heard::Entrypoint { .. } | Heard::Etcd { .. });
        let answering = seen.initial_peers().filter(|peer| answers(&peer.heard));
        let others_known = policy.initial_others() == 0 && policy.knows_others;
        if answering.count() != policy.initial_others() || others_known {
            // Who is silent may belong to that cluster, and lead us back to it.
            return not_all_heard(policy, seen);
        }
        let only_probes = knocks.iter().all(|knock| *knock == Knock::Probe);
        // With a store the IDs of this first start are known only once its marker is read.
        let ids_unknown = policy.token.is_some() && seen.founding_token(policy).is_none();
        return match (only_probes || ids_unknown) && policy.initial_others() > 0 {
            // It may have left this very first start for etcd, and says so within moments.
            true => Wait(Why::CalledByACluster(knocks)),
            false => Refuse(Why::CalledByACluster(knocks)),
        };
    }
    let begins = matches!(
        decision,
        Decision::Start(_, Why::FirstStart(_))
            | Do(Step::Promise, _)
            | Do(Step::Store(_), Why::FirstStartMarked | Why::TotalLoss(_))
    );
    if begins && let Some(decision) = forbids_founding(policy, seen) {
        return decision;
    }
    // `now` tries at once; and who is alone on this machine's own addresses cannot be a member of anything.
    let can_be_called = policy.has_others() || policy.is_reachable();
    if founds && can_be_called && !seen.listened && policy.bootstrap != Bootstrap::Now {
        return Wait(Why::Listening(Alone(policy.initial_others() == 0)));
    }
    decision
}

/// So long we listen at least where the initial cluster names only us: see [`listens`].
const ALONE: Duration = Duration::from_secs(5);
/// And so long beside others.
const BESIDE_OTHERS: Duration = Duration::from_millis(1500);

/// So long we listen before a cluster is founded: an etcd that lists us has knocked by then.
///
/// Where our address refused its connections, or its streams have ended, it dials each 100 ms (etcd
/// `server/etcdserver/bootstrap.go`, `DialRetryFrequency`). Where our address was away without a word, its
/// streams may stay half open until TCP gives them up, minutes later. What comes then is its probe, every four
/// seconds (etcd `rafthttp/transport.go`, `startPeer`; `rafthttp/probing_status.go`, `proberInterval`), or, while
/// one hangs in a dial, when that has timed out: after a second and the election timeout (`peerDialTimeout`,
/// `server/etcdserver/bootstrap.go`). A dial begins with a SYN, and repeats it after one second, then after ever
/// longer pauses (Linux, `TCP_TIMEOUT_INIT`). In fifty runs with 3.4.23, 3.5.16 and 3.5.30, an address that was
/// away for 0 to 64 s, and election timeouts of one to ten seconds, the first knock came within 3.9 s.
///
/// Beside others that is too long for each first start. Where two founders were away without a word for 1 to 20 s,
/// and came back empty beside a third member, the first knock at one of them came within 0.8 s: with the next SYN,
/// or with an election. Half a second was too short: they founded the cluster again in three of seven runs.
pub fn listens(policy: &Policy, election_timeout: Duration) -> Duration {
    match policy.initial_others() {
        0 => ALONE.max(Duration::from_secs(2) + election_timeout),
        _ => BESIDE_OTHERS.max(Duration::from_millis(500) + election_timeout),
    }
}

/// A first start waits for who was not heard. Who is alone in another initial cluster, or is asked for by a running
/// cluster, is in none.
pub(super) fn not_all_heard(policy: &Policy, seen: &Observation) -> Decision {
    let unheard = |heard: &Heard| match heard {
        Heard::Silent(_) | Heard::Nonsense(_) | Heard::Refused(_) => true,
        Heard::Entrypoint { holds, .. } => matches!(holds, Holds::Alone | Holds::Called),
        Heard::Etcd { .. } => false,
    };
    Wait(Why::NotAllHeard(Unheard {
        evidence: Evidence {
            peers: seen.peers_that(unheard),
            words: match seen.peers.is_empty() {
                true => seen.failures.clone(),
                false => Vec::new(),
            },
            knocks: seen.knocks_of_a_cluster(policy).cloned().collect(),
        },
        alone: policy.initial_others() == 0,
        forbids: policy.forbids_founding(),
    }))
}

/// The peers that hold this, by their own words.
fn that_hold(seen: &Observation, wanted: impl Fn(&Holds) -> bool) -> Vec<Peer> {
    seen.peers_that(|heard| matches!(heard, Heard::Entrypoint { holds, .. } if wanted(holds)))
}

/// No etcd was heard: the entrypoints ask each other whether this is a first start.
pub(super) fn assembly(policy: &Policy, seen: &Observation) -> Decision {
    let count = Assembly::of(policy, seen);
    // Counted against the initial cluster: a member that was not even asked is silent too.
    let heard = count.empty + count.promised + count.set_aside + count.foreign + count.data;
    let silent = policy.initial_others().saturating_sub(heard);
    // A promise under `now` was given beside silence: it proves nothing against data that shows up later.
    let left = count.data > 0 && seen.promise && seen.set_aside == 0;
    if left && policy.bootstrap != Bootstrap::Now {
        // It has left the first start already: all had promised then.
        return new(true, Why::FirstStartContinued);
    }
    if count.data + count.foreign > 0 {
        let data = |holds: &Holds| matches!(holds, Holds::Own(_) | Holds::Damaged);
        return Wait(Why::PeerHasData(that_hold(seen, data)));
    }
    if count.disagree {
        let differs = |heard: &Heard| {
            matches!(
                heard,
                Heard::Entrypoint {
                    differs: Some(_),
                    ..
                }
            )
        };
        return Refuse(Why::PeersDisagree(seen.peers_that(differs)));
    }
    let alone = policy.initial_others() == 0;
    // Whatever else stands in the way of founding: this is what a person has to know.
    let knocks: Vec<Knock> = seen.knocks_of_a_cluster(policy).cloned().collect();
    if alone && !policy.knows_others && !knocks.is_empty() {
        return Refuse(Why::CalledByACluster(knocks));
    }
    let all_heard = silent == 0 && !(alone && policy.knows_others);
    if all_heard && (count.set_aside > 0 || seen.set_aside > 0) {
        let set_aside = |holds: &Holds| *holds == Holds::SetAside;
        return Refuse(Why::DataSetAside(that_hold(seen, set_aside)));
    }
    if let Some(forbids) = policy.forbids_founding() {
        return match all_heard {
            true => Wait(Why::FoundingForbidden(forbids)),
            false => not_all_heard(policy, seen),
        };
    }
    if policy.bootstrap == Bootstrap::Now && is_ruled_out(policy, seen) {
        return Wait(Why::NowRuledOut(Evidence {
            peers: seen.peers_that(|heard| !matches!(heard, Heard::Silent(_))),
            words: seen.unclear.iter().cloned().collect(),
            knocks: Vec::new(),
        }));
    }
    let nothing_set_aside = count.set_aside == 0 && seen.set_aside == 0;
    let (may_promise, may_start) = match policy.bootstrap {
        Bootstrap::All | Bootstrap::Never => (all_heard, all_heard && count.empty == 0),
        // Silence rules nothing out here. Who is empty or promised is in the same first start, and founds
        // the same cluster with the same IDs: it is only asked to promise first.
        Bootstrap::Now => (true, count.empty == 0),
    };
    let founders = match policy.bootstrap {
        Bootstrap::Now if silent > 0 => Founders::Whoever,
        Bootstrap::All | Bootstrap::Never | Bootstrap::Now => Founders::All,
    };
    let promise = || {
        let unpromised = that_hold(seen, |holds| *holds == Holds::Empty);
        Why::FirstStartPromise(founders, unpromised)
    };
    match (
        seen.promise,
        may_promise && nothing_set_aside,
        may_start && nothing_set_aside,
    ) {
        (_, true, true) if alone => new(false, Why::FirstStart(Founders::Alone)),
        (true, _, true) => new(true, Why::FirstStart(founders)),
        (true, _, false) if silent == 0 => Wait(promise()),
        (false, true, _) => Do(Step::Promise, promise()),
        (true | false, _, _) => not_all_heard(policy, seen),
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
    disagree: bool,
}

impl Assembly {
    fn of(policy: &Policy, seen: &Observation) -> Assembly {
        let mut count = Assembly::default();
        for peer in seen.initial_peers() {
            match &peer.heard {
                Heard::Entrypoint { holds, differs } => {
                    count.disagree |= differs.is_some();
                    match holds {
                        Holds::Empty => count.empty += 1,
                        // Its cluster will be another one than ours: we shall join it, and it counts for
                        // nothing here.
                        // The same for one that a cluster asks for.
                        Holds::Alone | Holds::Called => {}
                        Holds::Promised => count.promised += 1,
                        Holds::SetAside => count.set_aside += 1,
                        Holds::Own(cluster) if *cluster != policy.static_cluster => {
                            count.foreign += 1;
                        }
                        Holds::Own(_) | Holds::Damaged => count.data += 1,
                    }
                }
                // Views are asked before: no peer runs etcd here.
                Heard::Silent(_) | Heard::Refused(_) | Heard::Nonsense(_) | Heard::Etcd { .. } => {}
            }
        }
        count
    }
}

/// `REJOIN_BOOTSTRAP=now` beside an etcd that has never been part of a running cluster.
///
/// `now` lets members start one after the other, so this etcd may be the first one of our own static
/// first start: it waits for a quorum, and without this row it would wait for ever. State `new` is right
/// beside it: the IDs are the same. If one member has lost its disk it can also be that one, started anew
/// by hand, while a third that is silent holds all writes; that is what `now` risks, and says so. What does
/// answer must not contradict.
pub(super) fn may_found_now(policy: &Policy, seen: &Observation) -> bool {
    policy.bootstrap == Bootstrap::Now
        && policy.joins_only.is_none()
        && seen.set_aside == 0
        && !is_ruled_out(policy, seen)
}

/// Whether somebody answers who is not known to be in the same first start as we are.
fn is_ruled_out(policy: &Policy, seen: &Observation) -> bool {
    let of_this_first_start = |heard: &Heard| match heard {
        Heard::Silent(_) => true,
        Heard::Entrypoint { holds, differs } => match holds {
            Holds::Empty | Holds::Promised => differs.is_none(),
            Holds::Alone | Holds::Own(_) | Holds::Damaged | Holds::SetAside | Holds::Called => {
                false
            }
        },
        Heard::Etcd { cluster, members } => {
            *cluster == policy.static_cluster && !members.iter().any(Member::started)
        }
        Heard::Refused(_) | Heard::Nonsense(_) => false,
    };
    seen.unclear.is_some() || !(seen.peers.iter()).all(|peer| of_this_first_start(&peer.heard))
}

pub(super) fn new(trial: bool, why: Why) -> Decision {
    let start = Start {
        begin: Begin::New,
        trial,
        promote: false,
    };
    Decision::Start(start, why)
}
