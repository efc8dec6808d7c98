//! Everybody holds nothing: the row of a total loss, and who everybody is.

use super::Decision::{Do, Refuse, Wait};
use super::{
    DataDir, Decision, Heard, Holds, Kept, KeptMember, Observation, Peer, Policy, Recover,
    SaidOfStore, Step, StoreStep, Why,
};

/// The version of these rows. Members with different ones would decide differently: none of them restores.
pub const TABLE: u32 = 1;

/// Everybody was heard in this look, and nobody holds anything. None where that is not so, or nothing was ever kept.
pub(super) fn total_loss(policy: &Policy, seen: &Observation, kept: &Kept) -> Option<Decision> {
    let founded_only = kept.snapshots.is_empty() && kept.lineages.len() < 2;
    let runs = seen.quorate.is_some() || seen.views().next().is_some();
    if founded_only || runs || seen.is_refused() || seen.set_aside > 0 {
        return None;
    }
    let others = everybody_else(policy, kept);
    let asked = |name: &String| seen.peers.iter().any(|peer| peer.name == *name);
    let all_asked = others.iter().all(asked);
    let of_everybody = |peer: &&Peer| others.contains(&peer.name);
    // Whoever answers counts, whether somebody lists it or not.
    let others_data = seen.peers.iter().any(has_something);
    let lost = (seen.peers.iter().filter(of_everybody)).all(is_lost);
    if !all_asked || others_data || !lost {
        return None;
    }
    if let Some(refusal) = unfit(kept) {
        return Some(refusal);
    }
    let differing = differing(seen, kept, &others);
    if !differing.is_empty() {
        return Some(Wait(Why::SettingsDiffer(differing)));
    }
    let holds = |name: &&String| said(seen, name).is_some_and(|it| it.recover == Recover::Hold);
    let mut held: Vec<String> = others.iter().filter(holds).cloned().collect();
    held.extend((policy.recover == Recover::Hold).then(|| policy.name.clone()));
    if !held.is_empty() {
        return Some(Wait(Why::TotalLossHeld(held)));
    }
    let Some(base) = kept.base() else {
        let words = "no snapshot of its history is good".into();
        return Some(Refuse(Why::StoreDisagrees(words)));
    };
    let seed = seed(policy, &others);
    if seed != policy.name {
        return Some(Wait(Why::SeedRestores(seed)));
    }
    let repeats = may_repeat(seen, kept).and_then(|number| kept.lineage(number));
    let step = match repeats {
        // With a base that turned out to be bad it never will run.
        Some(lineage) if lineage.base.as_ref() == Some(&base.name) => match seen.counts_as() {
            DataDir::Empty => StoreStep::Restore {
                number: lineage.number,
                base: base.name.clone(),
                hold: !others.is_empty(),
            },
            DataDir::Own(_) | DataDir::Damaged { .. } => StoreStep::SetAsideFor(lineage.number),
        },
        Some(_) | None => StoreStep::BeginLineage {
            number: kept.next_number(),
            base: Some(base.name.clone()),
        },
    };
    Some(Do(Step::Store(step), Why::TotalLoss(base)))
}

/// Who restores: the first by name of everybody.
pub(super) fn seed(policy: &Policy, others: &[String]) -> String {
    // One that is known by its URL alone has said no name, and has another one for itself.
    let named = others.iter().filter(|name| !name.contains("://"));
    let first = named.chain([&policy.name]).min();
    first.expect("we are one of them").clone()
}

/// Everybody who may hold data of the newest lineage, by name, without us: the initial cluster, the members of the
/// newest manifest, and the recorded ones. A cluster that has grown lists more than the initial cluster does.
pub(super) fn everybody_else(policy: &Policy, kept: &Kept) -> Vec<String> {
    let same = |member: &&KeptMember, urls: &[String]| {
        member.peer_urls.iter().any(|url| urls.contains(url))
    };
    let initial = policy.initial.iter();
    let initial: Vec<(&str, &[String])> = initial.collect();
    let others = (kept.members.iter())
        .filter(|member| !same(member, &policy.peer_urls))
        .filter(|member| !initial.iter().any(|(_, urls)| same(member, urls)))
        .map(|member| member.name.clone());
    let mut all: Vec<String> = initial.iter().map(|(name, _)| name.to_string()).collect();
    for name in others {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all.retain(|name| *name != policy.name);
    all
}

/// The lineage that this volume has begun and that has never run.
pub(super) fn may_repeat(seen: &Observation, kept: &Kept) -> Option<u64> {
    let (number, nonce) = seen.restoring.as_ref()?;
    let newest = kept.newest()?;
    (newest.number == *number && newest.nonce == *nonce).then_some(*number)
}

pub(super) fn said<'a>(seen: &'a Observation, name: &str) -> Option<&'a SaidOfStore> {
    seen.said.iter().find(|said| said.name == name)
}

/// It answered, and holds something that a restore would pass over, or belongs to somebody who does.
fn has_something(peer: &Peer) -> bool {
    match &peer.heard {
        Heard::Entrypoint { holds, .. } => match holds {
            Holds::Own(_) | Holds::SetAside | Holds::Called => true,
            Holds::Empty | Holds::Alone | Holds::Promised | Holds::Damaged => false,
        },
        Heard::Etcd { .. } => true,
        Heard::Silent(_) | Heard::Refused(_) | Heard::Nonsense(_) => false,
    }
}

/// It says itself that it holds nothing, or nothing that reads. What it set aside for a restore it says nothing of.
fn is_lost(peer: &Peer) -> bool {
    matches!(
        &peer.heard,
        Heard::Entrypoint {
            holds: Holds::Empty | Holds::Promised | Holds::Damaged,
            differs: None
        }
    )
}

/// Why nothing can be decided by this store.
pub(super) fn unfit(kept: &Kept) -> Option<Decision> {
    if let Some(words) = kept.disagreement() {
        return Some(Refuse(Why::StoreDisagrees(words)));
    }
    kept.cannot_decide.then_some(Refuse(Why::StoreCannotDecide))
}

/// Who would decide otherwise than we do, and why.
fn differing(seen: &Observation, kept: &Kept, others: &[String]) -> Vec<String> {
    let marker = kept.marker.as_ref().map(|marker| &marker.nonce);
    let differs = |name: &String| {
        let what = match said(seen, name) {
            None => "says nothing of a store",
            Some(said) if said.table != TABLE => "runs another version of the rows of a restore",
            Some(said) if said.marker.as_ref() != marker => "has another store, or cannot read it",
            Some(_) => return None,
        };
        Some(format!("{name} {what}"))
    };
    others.iter().filter_map(differs).collect()
}
