//! The orders of an operator: to restore a snapshot, or to go on with what a survivor has.
//!
//! *Waiting is durable*: who says that it waits for an order has noted so first, and starts its data again only when
//! the order was cancelled. So once the rest is no quorum, it stays none.

use super::Decision::{Do, Wait};
use super::total_loss::{everybody_else, may_repeat, said, seed, total_loss};
use super::{
    DataDir, Decision, Heard, Holds, Identity, Kept, KeptLineage, KeptOrder, Observation,
    OrderOutcome, Ordered, Peer, Policy, Steady, Step, StoreSeen, StoreStep, Why,
};
use crate::membership::quorum;

/// Whether own data does not start before it is known who leads: an order is there, or a later lineage.
pub(super) fn needs_leader(seen: &Observation, own: Identity) -> bool {
    let Some(StoreSeen::Read(kept)) = &seen.store else {
        return seen.order_note.is_some();
    };
    let newest = kept.newest().map_or(own.cluster, |newest| newest.cluster);
    let order = kept.newest_order();
    let ours = kept.lineage_of(own.cluster);
    seen.order_note.is_some()
        || ours.is_some_and(|ours| {
            newest != own.cluster || order.is_some_and(|order| order.number > ours.number)
        })
}

/// An order to restore.
pub(super) fn ordered(
    policy: &Policy,
    seen: &Observation,
    kept: &Kept,
    decision: &Decision,
) -> Option<Decision> {
    let own = seen.data.identity();
    let ours = own.and_then(|own| kept.lineage_of(own.cluster));
    let runs = (seen.quorate.as_ref()).and_then(|quorate| kept.lineage_of(quorate.cluster));
    let has_come_to = |number: u64| match seen.counts_as() {
        DataDir::Own(_) => ours.is_some_and(|it| it.number >= number),
        DataDir::Empty => runs.is_some_and(|it| it.number >= number),
        DataDir::Damaged { .. } => false,
    };
    if let Some(number) = seen.order_note {
        let order = kept.order(number);
        let cancelled = order.is_some_and(|it| it.outcome == Some(OrderOutcome::Cancelled));
        if cancelled || has_come_to(number) {
            let step = StoreStep::ForgetOrder(number);
            return Some(Do(Step::Store(step), Why::OrderOver(number)));
        }
        if order.is_none() {
            let words = "the store has no such order".into();
            return Some(Wait(Why::RestoreOrdered(number, vec![words])));
        }
    }
    let order = kept.newest_order()?;
    let newest = kept.newest().map_or(0, |lineage| lineage.number);
    let noted = seen.order_note == Some(order.number);
    // An old copy of a store, or another cluster's: its orders are none of ours.
    let foreign = own.is_some() && ours.is_none() || kept.cannot_decide;
    let passed = order.number < newest || has_come_to(order.number);
    if !noted && (foreign || passed) {
        return None;
    }
    // A total loss has begun its number before it was written: another snapshot.
    let other = |lineage: &KeptLineage| lineage.base.as_ref() != order.what.base();
    if kept.lineage(order.number).is_some_and(other) && order.outcome.is_some() {
        return None;
    }
    // What runs is newer than what is ordered: own data is superseded.
    if runs.is_some_and(|it| it.number >= order.number) {
        return None;
    }
    match &order.outcome {
        // A lineage has taken its number.
        None if !noted && order.number <= newest => None,
        // An order never lowers the margin: a rolling restart keeps the cluster running.
        None if !noted && runs.is_some() => Some(match decision {
            Decision::Start(start, Why::OwnData(_)) => {
                Decision::Start(start.clone(), Why::RestorePending(order.number))
            }
            decision => decision.clone(),
        }),
        None => Some(awaited(policy, seen, kept, order)),
        Some(_) => begun(policy, seen, kept, order),
    }
}

/// Nobody has a quorum of the history that the order ends; is that so for good?
fn awaited(policy: &Policy, seen: &Observation, kept: &Kept, order: &KeptOrder) -> Decision {
    let number = order.number;
    let wait = |missing| Wait(Why::RestoreOrdered(number, missing));
    if seen.order_note != Some(number) {
        // Between two leaders, and in a short look, a cluster that runs well shows none.
        let running = seen.running();
        if !running.is_empty() && seen.steady != Steady::HalfAMinute {
            let watched =
                |peer: &Peer| format!("whether {} finds a leader, within half a minute", peer.name);
            return wait(running.iter().map(watched).collect());
        }
        let why = Why::RestoreOrdered(number, Vec::new());
        return Do(Step::Store(StoreStep::NoteOrder(number)), why);
    }
    let others = everybody_else(policy, kept);
    let waits = |name: &&String| {
        let said = said(seen, name);
        said.is_some_and(|said| said.waits_for == Some(number))
    };
    let missing = others.iter().filter(|it| !waits(it)).cloned();
    let begin = |why| Do(Step::Store(StoreStep::BeginOrder(number)), why);
    match &order.what {
        // Who was not heard to wait may run, or start, and a quorum of these would go on with what is rolled back.
        Ordered::Snapshot { name, verified } => {
            let (missing, seed) = (missing.collect::<Vec<_>>(), seed(policy, &others));
            let waiting = others.iter().filter(waits);
            let voters = waiting.filter(|name| has_newest(seen, kept, name) && votes(kept, name));
            let own = (seen.data.identity()).filter(|_| votes(kept, &policy.name));
            let own = own.filter(|own| kept.newest().is_some_and(|it| it.cluster == own.cluster));
            let voters = voters.count() + own.iter().count();
            match missing.len() < quorum(missing.len() + voters) {
                false => wait(missing),
                true if !verified => wait(vec![format!("snapshot {name} is not verified")]),
                true if seed != policy.name => wait(vec![format!("{seed} begins it")]),
                true => begin(Why::RestoreBegun(number, seed)),
            }
        }
        // Who neither waits nor is destroyed may have more, or go on without us: nobody is passed over unnamed.
        Ordered::Survivor { name, destroyed } => {
            let answers = |name: &String| {
                let peer = seen.peers.iter().find(|peer| peer.name == *name);
                peer.is_some_and(|peer| !matches!(peer.heard, Heard::Silent(_)))
            };
            let gone = |name: &String| destroyed.contains(name) && !answers(name);
            let missing: Vec<String> = missing.filter(|name| !gone(name)).collect();
            let own = seen.data.identity().filter(|_| is_own(seen));
            let newest = kept.newest().map(|newest| newest.cluster);
            match missing.is_empty() && seen.views().next().is_none() {
                false => wait(missing),
                true if *name != policy.name => wait(vec![format!("{name} begins it")]),
                true if own.map(|own| own.cluster) != newest => {
                    wait(vec!["this volume has no data of the newest lineage".into()])
                }
                true => begin(Why::SurvivorSeeds(number, name.clone())),
            }
        }
    }
}

/// It says that it has data of the newest lineage.
fn has_newest(seen: &Observation, kept: &Kept, name: &str) -> bool {
    let newest = kept.newest().map(|newest| newest.cluster);
    let peer = seen.peers.iter().find(|peer| peer.name == name);
    peer.is_some_and(|peer| match &peer.heard {
        Heard::Entrypoint { holds, .. } => match holds {
            Holds::Own(cluster) => Some(*cluster) == newest,
            Holds::Empty
            | Holds::Alone
            | Holds::Promised
            | Holds::Damaged
            | Holds::SetAside
            | Holds::Called => false,
        },
        Heard::Etcd { .. } | Heard::Silent(_) | Heard::Refused(_) | Heard::Nonsense(_) => false,
    })
}

/// As far as the store knows: a learner that waits keeps nobody from a quorum.
fn votes(kept: &Kept, name: &str) -> bool {
    let mut known = kept.members.iter().filter(|member| member.name == name);
    known.all(|member| member.voter)
}

fn is_own(seen: &Observation) -> bool {
    matches!(seen.counts_as(), DataDir::Own(_))
}

/// The order is carried out.
fn begun(policy: &Policy, seen: &Observation, kept: &Kept, order: &KeptOrder) -> Option<Decision> {
    let number = order.number;
    let begins = kept.lineage(number).is_none();
    let repeats = may_repeat(seen, kept) == Some(number);
    let (why, base) = match &order.what {
        Ordered::Snapshot { name, .. } => {
            let seed = seed(policy, &everybody_else(policy, kept));
            (Why::RestoreBegun(number, seed), Some(name.clone()))
        }
        Ordered::Survivor { name, .. } => (Why::SurvivorSeeds(number, name.clone()), None),
    };
    let (Why::RestoreBegun(_, seed) | Why::SurvivorSeeds(_, seed)) = &why else {
        return None;
    };
    let ours = *seed == policy.name;
    // A cluster of one has nobody to wait for.
    let hold = !everybody_else(policy, kept).is_empty();
    let step = match (seen.counts_as(), base) {
        // A copy is made first, so it stays until then.
        (DataDir::Own(_), base @ None) if ours && begins => {
            StoreStep::BeginLineage { number, base }
        }
        // Killed between the two renames, it has only to be brought.
        (DataDir::Own(_) | DataDir::Empty, None) if ours && repeats => {
            StoreStep::Continue { number, hold }
        }
        // Unless all have lost what they had since.
        (DataDir::Empty, None) if !ours => {
            return total_loss(policy, seen, kept).or(Some(Wait(why)));
        }
        (_, None) if !ours || is_own(seen) => return Some(Wait(why)),
        // Its disk is lost now, too.
        (_, None) => return None,
        (DataDir::Own(_) | DataDir::Damaged { .. }, Some(_)) => StoreStep::SetAsideFor(number),
        (DataDir::Empty, Some(_)) if !ours => return Some(Wait(why)),
        (DataDir::Empty, base) if begins => StoreStep::BeginLineage { number, base },
        (DataDir::Empty, Some(base)) if repeats => StoreStep::Restore { number, base, hold },
        // It was restored already, or may have been, and what became of it is lost.
        (DataDir::Empty, Some(_)) => return None,
    };
    Some(Do(Step::Store(step), why))
}
