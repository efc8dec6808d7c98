//! The rows of a cluster that has a store of snapshots: how it is founded, comes back after it lost every disk, and
//! follows an order to restore. Without a store nothing of this holds. Here is a first start, growth, and data that a
//! restore has passed over; the others are `total_loss.rs` and `orders.rs`.
//!
//! Three rules stand behind it. *A lineage is never rolled back while a member holds data of the newest one*, without
//! an order that names the loss. *What is decided once is a conditional create*: two that decide at once read back
//! what was decided. *Waiting is durable*: who says that it waits for an order has noted so first, and starts its data
//! again only when the order was cancelled.

use super::Decision::{Do, Refuse, Wait};
use super::first_start::not_all_heard;
use super::orders::ordered;
use super::total_loss::{said, total_loss, unfit};
use super::{
    Begin, DataDir, Decision, Founders, Heard, Holds, Identity, JoinAs, Kept, Nonce, Observation,
    Policy, Step, StoreSeen, StoreStep, Why,
};
use crate::membership::ClusterId;

/// What was seen, without what is over: an etcd of an earlier lineage that waits for its quorum beside a later one.
///
/// Else it would be another cluster: an empty member would join neither, and data of the later one would not start. An
/// earlier one that has a leader is passed over by nobody.
pub fn without_passed_over(mut seen: Observation) -> Observation {
    let over = passed_over(&seen);
    for (peer, number) in seen.peers.iter_mut().zip(over) {
        if let Some(number) = number {
            let words = format!("it waits for its quorum in lineage {number}: start it again");
            peer.heard = Heard::Silent(words);
        }
    }
    seen
}

/// The earlier lineage that each peer is of, where a later one is here.
fn passed_over(seen: &Observation) -> Vec<Option<u64>> {
    let Some(StoreSeen::Read(kept)) = &seen.store else {
        return Vec::new();
    };
    let number = |cluster| kept.lineage_of(cluster).map(|lineage| lineage.number);
    let leads = seen.quorate.as_ref().map(|quorate| number(quorate.cluster));
    let own = seen.data.identity().and_then(|own| number(own.cluster));
    let latest = own.max(leads.flatten());
    let astray = kept.disagreement().is_some() || leads.is_some_and(|leads| leads != latest);
    let Some(latest) = latest.filter(|_| !astray) else {
        return Vec::new();
    };
    let peers = seen.peers.iter().map(|peer| match &peer.heard {
        Heard::Etcd { cluster, .. } => number(*cluster).filter(|number| *number < latest),
        Heard::Silent(_) | Heard::Refused(_) | Heard::Nonsense(_) | Heard::Entrypoint { .. } => {
            None
        }
    });
    peers.collect()
}

/// What is decided where there is a store; `decision` is what is decided without.
pub(super) fn with_store(policy: &Policy, seen: &Observation, decision: Decision) -> Decision {
    if seen.store.is_none() && seen.order_note.is_none() || is_of_ourselves(decision.why()) {
        return decision;
    }
    let waits = seen.order_note.is_some() && matches!(seen.counts_as(), DataDir::Own(_));
    match (decided(policy, seen, decision), seen.order_note) {
        // Whatever else holds: what has said that it waits does not start.
        (Decision::Start(..), Some(number)) if waits => {
            Wait(Why::RestoreOrdered(number, Vec::new()))
        }
        (decision, _) => decision,
    }
}

fn decided(policy: &Policy, seen: &Observation, decision: Decision) -> Decision {
    let kept = match &seen.store {
        Some(StoreSeen::Read(kept)) => kept,
        Some(StoreSeen::Silent(words)) => return silent(policy, seen, words, decision),
        None => return silent(policy, seen, "REJOIN_STORE is not set", decision),
    };
    if let Some(decision) = ordered(policy, seen, kept, &decision) {
        return decision;
    }
    // What does not go back to one founding proves nothing of what came after what.
    let disagreement = kept.disagreement();
    match seen.counts_as() {
        DataDir::Own(own) => match disagreement {
            Some(words) => silent(policy, seen, &words, decision),
            None => superseded(policy, seen, kept, own).unwrap_or(decision),
        },
        DataDir::Damaged { head } => {
            let newer = head.and_then(|head| superseded(policy, seen, kept, head));
            // It never starts as it is: what is not proven yet is none of its affairs.
            let newer = newer.filter(|decision| !matches!(decision, Wait(_)));
            let lost = matches!(decision, Wait(Why::DataDamagedNoQuorum(_)));
            (newer.or_else(|| total_loss(policy, seen, kept).filter(|_| lost))).unwrap_or(decision)
        }
        DataDir::Empty => {
            total_loss(policy, seen, kept).unwrap_or_else(|| first(policy, seen, kept, decision))
        }
    }
}

/// Whose this is, and who speaks to us, comes before what the store says.
fn is_of_ourselves(why: &Why) -> bool {
    matches!(
        why,
        Why::VolumeOfAnotherMember(_)
            | Why::TwinAlive
            | Why::TwoEntries
            | Why::PeerUrlsNotGiven
            | Why::NotAllowed(_)
            | Why::PeersDisagree(_)
    )
}

/// The store proves nothing. Intact data starts all the same, unless somebody else runs under its name: after a restore
/// that this volume missed, the others are another cluster.
fn silent(policy: &Policy, seen: &Observation, words: &str, decision: Decision) -> Decision {
    if let Some(number) = seen.order_note {
        return Wait(Why::RestoreOrdered(number, vec![words.into()]));
    }
    let unreachable = || Wait(Why::StoreUnreachable(words.into()));
    match seen.counts_as() {
        DataDir::Own(own) if !is_quorate(seen, own.cluster) => {
            let another = |heard: &Heard| matches!(heard, Heard::Etcd { cluster, .. } if *cluster != own.cluster);
            let others = seen.peers_that(another);
            let listed = others.iter().any(|peer| peer.initial);
            match listed {
                true => Wait(Why::SupersededUnproven(None, others)),
                false => decision,
            }
        }
        DataDir::Empty if is_first_start(&decision) => unreachable(),
        DataDir::Empty if grows(policy, seen, None, &decision) => unreachable(),
        DataDir::Own(_) | DataDir::Empty | DataDir::Damaged { .. } => decision,
    }
}

fn is_quorate(seen: &Observation, cluster: ClusterId) -> bool {
    seen.quorate.as_ref().is_some_and(|q| q.cluster == cluster)
}

/// Whether it founds a cluster, or is about to.
fn is_first_start(decision: &Decision) -> bool {
    match decision {
        Decision::Start(start, _) => start.begin == Begin::New,
        Do(step, _) => *step == Step::Promise,
        Wait(why) => matches!(why, Why::FirstStartPromise(..)),
        Refuse(_) | Decision::Done(_) => false,
    }
}

/// Whether the cluster grows by a peer URL that the store does not know: a total loss would not ask for this member.
///
/// One whose entry this run has removed had that URL before.
fn grows(policy: &Policy, seen: &Observation, kept: Option<&Kept>, decision: &Decision) -> bool {
    let adds = matches!(decision, Do(Step::AddMember { .. }, _));
    let members = kept.iter().flat_map(|kept| &kept.members);
    let mut urls = members.flat_map(|member| &member.peer_urls);
    adds && !seen.rejoins && !urls.any(|url| policy.peer_urls.contains(url))
}

/// The history that came after ours runs, or was begun.
///
/// Before `other-cluster` and `other-history`, which refuse: the store proves what came after what, and this volume
/// was passed over by a restore.
fn superseded(policy: &Policy, seen: &Observation, kept: &Kept, own: Identity) -> Option<Decision> {
    let (ours, newest) = (kept.lineage_of(own.cluster)?, kept.newest()?);
    if ours.number == newest.number || is_quorate(seen, own.cluster) {
        return None;
    }
    let runs = (seen.quorate.as_ref()).and_then(|quorate| kept.lineage_of(quorate.cluster));
    Some(match runs {
        Some(lineage) if lineage.number > ours.number => match policy.join {
            JoinAs::Never => Refuse(Why::JoiningForbidden),
            JoinAs::Auto | JoinAs::Voter | JoinAs::Learner => {
                let step = StoreStep::SetAsideFor(lineage.number);
                Do(Step::Store(step), Why::Superseded(lineage.number))
            }
        },
        // Started, it would be a second history of one cluster.
        Some(_) | None => Wait(Why::SupersededUnproven(Some(newest.number), seen.running())),
    })
}

/// A first start, and growth, of a cluster that has a store.
fn first(policy: &Policy, seen: &Observation, kept: &Kept, decision: Decision) -> Decision {
    if grows(policy, seen, Some(kept), &decision) {
        return Do(Step::Store(StoreStep::RecordUrl), Why::UrlUnrecorded);
    }
    if !is_first_start(&decision) {
        return decision;
    }
    if let Some(refusal) = unfit(kept) {
        return refusal;
    }
    let own = seen.promise_nonce.as_ref();
    let Some(marker) = &kept.marker else {
        return unmarked(seen, decision);
    };
    // `now` founds beside silence; who is silent may hold the data that the store knows of.
    if !kept.snapshots.is_empty() && !is_continued(&decision) {
        return not_all_heard(policy, seen);
    }
    let (unsaid, heard) = promises(seen, Some(&marker.nonce));
    if !unsaid.is_empty() {
        return Wait(Why::SettingsDiffer(unsaid));
    }
    let listed = |nonce: &Nonce| marker.promises.contains(nonce);
    match own.is_some_and(listed) && heard.iter().all(listed) {
        true => decision,
        // A promise of this founding is listed, and has gone when etcd ran. Who was founded here, and lost it, cannot
        // be told from who was not: a person knows.
        false => Wait(Why::MarkedWithoutSnapshot(marker.nonce.clone())),
    }
}

/// The store was empty when it was listed: the first start of its cluster.
fn unmarked(seen: &Observation, decision: Decision) -> Decision {
    if is_continued(&decision) {
        let words = "others have begun this first start, and there is no marker of it";
        return Refuse(Why::StoreDisagrees(words.into()));
    }
    let Decision::Start(..) = &decision else {
        return decision;
    };
    let Some(own) = &seen.promise_nonce else {
        let why = Why::FirstStartPromise(Founders::Alone, Vec::new());
        return Do(Step::Promise, why);
    };
    let (unsaid, mut promises) = promises(seen, None);
    if !unsaid.is_empty() {
        return Wait(Why::SettingsDiffer(unsaid));
    }
    // Marked before everybody has promised, nobody would know whose founding it is.
    promises.push(own.clone());
    promises.sort_unstable();
    let step = StoreStep::Mark { promises };
    Do(Step::Store(step), Why::FirstStartMarked)
}

fn is_continued(decision: &Decision) -> bool {
    matches!(decision, Decision::Start(_, Why::FirstStartContinued))
}

/// Who has promised and looks at another store than we do, or at none; and the promises that were heard. `marker`: the one
/// that we read.
fn promises(seen: &Observation, marker: Option<&Nonce>) -> (Vec<String>, Vec<Nonce>) {
    let promised = seen.peers_that(
        |heard| matches!(heard, Heard::Entrypoint { holds, .. } if *holds == Holds::Promised),
    );
    let (mut unsaid, mut promises) = (Vec::new(), Vec::new());
    for peer in promised {
        let name = &peer.name;
        match said(seen, name).map(|said| (said.promise.clone(), said.marker.as_ref())) {
            // Founded by another marker, it would be another cluster.
            Some((Some(_), theirs)) if theirs != marker => {
                unsaid.push(format!(
                    "{name} has another store, or has not read the marker yet"
                ));
            }
            Some((Some(nonce), _)) => promises.push(nonce),
            Some((None, _)) | None => unsaid.push(format!("{name} says nothing of a store")),
        }
    }
    (unsaid, promises)
}
