//! The decision table: what to do about what was seen.
//!
//! The order of the rows is: data dir in use, own data, damaged data, then for an empty data dir
//! refusals, a quorate cluster, notes, a cluster without a leader, assembly. A store of snapshots, where there is one,
//! comes after all of these, and says which of them do not hold. Two lessons stand behind
//! it. *Unstarted is not evidence*: a listed member without client URLs may have voted and lost its
//! disk; only a note on this very volume proves that it never ran. And *only an entry committed
//! without us proves that the others hold everything*: that is what remove and add give, and no read,
//! linearizable or not, replaces it.

use super::Decision::{Do, Refuse, Wait};
use super::empty::empty;
use super::entries::{data_elsewhere, listing_twice, refusals};
use super::first_start::founding;
use super::hindrance::version_skip;
use super::leaving::leaving;
use super::own::{damaged, own_data};
use super::recovery::with_store;
use super::set::has_left;
use super::voting::voting;
use super::{
    Begin, DataDir, Decision, Misplaced, Observation, Policy, Start, Step, Wants, Why, hindrance,
    misled,
};
use crate::membership::Member;

/// So often in a row etcd may take an old list from another member before it counts as a failed start.
const MAX_OLD_LISTS: u8 = 5;

/// Whether the same start is tried again: etcd died of an old list of members, and the next one may be the right one.
fn may_list_another(seen: &Observation) -> bool {
    (1..=MAX_OLD_LISTS).contains(&seen.old_lists)
}

/// The decision table.
pub fn decide(policy: &Policy, seen: &Observation) -> Decision {
    let policy = &*policy.of_founding(seen);
    match policy.wants {
        Wants::Start => start(policy, seen),
        Wants::Vote => voting(seen),
        Wants::Leave => misplaced(seen).unwrap_or_else(|| leaving(policy, seen)),
    }
}

/// No lost disk, but a changed setting. Taken for a lost one, the member would come back empty beside its own data, or
/// what somebody else keeps in the WAL dir would be gone.
fn misplaced(seen: &Observation) -> Option<Decision> {
    Some(Refuse(match seen.misplaced.as_ref()? {
        wal @ (Misplaced::WhereItWas { .. } | Misplaced::WithinDataDir { .. }) => {
            Why::WalElsewhere(wal.clone())
        }
        wal @ Misplaced::Foreign { .. } => Why::WalDirNotEmpty(wal.clone()),
    }))
}

fn start(policy: &Policy, seen: &Observation) -> Decision {
    if seen.in_use {
        return Wait(Why::DataDirInUse);
    }
    if seen.left {
        return has_left(policy, seen);
    }
    if let Some(decision) = misplaced(seen) {
        return decision;
    }
    // Nobody can be asked, and their answers would decide. Own data starts all the same.
    if let Some(why) = &seen.unfit
        && !matches!(seen.counts_as(), DataDir::Own(_))
    {
        return Refuse(Why::KeyUnfit(why.clone()));
    }
    let decision = match seen.counts_as() {
        DataDir::Own(own) => own_data(policy, seen, own),
        DataDir::Damaged { head } => damaged(policy, seen, head),
        DataDir::Empty => empty(policy, seen),
    };
    let decision = with_store(policy, seen, decision);
    match stands_in_the_way(policy, seen, &decision) {
        Some(decision) => decision,
        None => founding(policy, seen, decision),
    }
}

/// What keeps us from what the rows of the data dir decide.
fn stands_in_the_way(policy: &Policy, seen: &Observation, decision: &Decision) -> Option<Decision> {
    match decision {
        // Nothing has changed since: it would fail again, for ever, and nobody would hear of it.
        Decision::Start(start, _)
            if seen.failed.as_ref() == Some(start) && !may_list_another(seen) =>
        {
            return Some(Refuse(Why::StartFailed));
        }
        // No lost disk, perhaps, but a changed ETCD_DATA_DIR: without this row an empty cluster is founded, under
        // the same IDs, and all that was written lies unread beside it. A rejoin needs none of it.
        Decision::Start(
            Start {
                begin: Begin::New, ..
            },
            _,
        )
        | Do(Step::Promise, _)
        | Do(Step::Store(_), Why::FirstStartMarked | Why::TotalLoss(_))
        | Wait(Why::Listening(_) | Why::FirstStartPromise(..))
        | Refuse(Why::DataSetAside(_)) => {
            if let Some(data) = data_elsewhere(policy, seen) {
                return Some(Refuse(Why::DataElsewhere(data.clone())));
            }
        }
        Decision::Start(..) | Do(..) | Wait(_) | Refuse(_) | Decision::Done(_) => {}
    }
    // It is whole, and an etcd that panics on it, or begins to change it, makes nothing better. And one that joins
    // where it may not can be the end of the others: what 3.6 publishes, 3.4 panics at, at each start.
    if counts_on_versions(decision)
        && let Some(words) = version_skip(seen)
    {
        return Some(Refuse(Why::VersionSkip(words)));
    }
    match decision {
        // A refused start leaves `member/snap/db`: nothing may lie there when etcd begins anew.
        Decision::Start(..) if seen.leftovers && seen.data == DataDir::Empty => {
            Some(Do(Step::SetAsideLeftovers, Why::Leftovers))
        }
        Do(step, _) => step_is_kept_from(policy, seen, step),
        Decision::Start(..) | Wait(_) | Refuse(_) | Decision::Done(_) => None,
    }
}

/// Whether etcd starts on the data that lies here, now or after a chore, or joins others: no step before it has asked
/// whether it fits.
pub fn counts_on_versions(decision: &Decision) -> bool {
    match decision {
        Decision::Start(start, _) => start.begin != Begin::New,
        Do(step, _) => step.is_chore(),
        Wait(_) | Refuse(_) | Decision::Done(_) => false,
    }
}

/// What keeps us from a step.
fn step_is_kept_from(policy: &Policy, seen: &Observation, step: &Step) -> Option<Decision> {
    // A quarantine that was killed halfway takes the whole of `member/` along, and what an add notes there.
    if seen.leftovers && matches!(step, Step::AddMember { .. }) {
        return Some(Do(Step::SetAsideLeftovers, Why::Leftovers));
    }
    // It would come back empty, and that member would be refused.
    if !policy.peer_urls_given && step.counts_on_a_start() {
        return Some(Refuse(Why::PeerUrlsNotGiven));
    }
    // What it began would not end: added, it could be reached by nobody, and its vote would be missing. It may
    // be told in time, as a name that is not there yet.
    if let Some(misleads) = misled(&policy.name, &seen.own_urls)
        && step.counts_on_our_url()
    {
        return Some(Wait(Why::PeerUrlMisleads(misleads)));
    }
    // Asked again, the cluster would say the same; a person has to allow it.
    if (seen.denied.as_ref()).is_some_and(|(denied, _)| denied == step) {
        return Some(Refuse(Why::NotAllowed(refusals(seen))));
    }
    if !step.counts_on_a_start() {
        return None;
    }
    // What was removed could not be added and started again.
    let twice: Vec<Member> = listing_twice(policy, seen).cloned().collect();
    if !twice.is_empty() {
        return Some(Refuse(Why::UrlListedTwice(twice)));
    }
    // A full disk or a port in use is no reason to leave the cluster.
    hindrance(seen).map(|words| Refuse(Why::CannotStart(words)))
}
