//! Which entry of a member list is ours, and what the lists say together.

use super::{Identity, Observation, Policy};
use crate::membership::{ClusterId, Member, MemberId, quorum};

/// Which entry of a member list is ours.
pub(super) enum Entry<'a> {
    None,
    One(&'a Member),
    /// URL and name point at different entries, or one of them at several.
    Two,
}

/// The one entry that has our peer URL, else the one that has our name.
pub(super) fn own_entry<'a>(policy: &Policy, members: &'a [Member]) -> Entry<'a> {
    let mut by_url = members.iter().filter(|m| m.has_peer_url(&policy.peer_urls));
    // Every member that was added and has not published yet has an empty name: none of them is ours.
    let named = |m: &&Member| !m.name.is_empty() && m.name == policy.name;
    let mut by_name = members.iter().filter(named);
    match (by_url.next(), by_url.next()) {
        (_, Some(_)) => Entry::Two,
        (Some(entry), None) if entry.name == policy.name => Entry::One(entry),
        (Some(entry), None) => match by_name.next() {
            Some(_) => Entry::Two,
            None => Entry::One(entry),
        },
        (None, None) => match (by_name.next(), by_name.next()) {
            (_, Some(_)) => Entry::Two,
            (Some(entry), None) => Entry::One(entry),
            (None, None) => Entry::None,
        },
    }
}

/// The ID of the entry that is ours, if it is exactly one.
pub fn own_id(policy: &Policy, members: &[Member]) -> Option<MemberId> {
    match own_entry(policy, members) {
        Entry::One(entry) => Some(entry.id),
        Entry::None | Entry::Two => None,
    }
}

pub(super) fn by_id(members: &[Member], id: MemberId) -> Option<&Member> {
    members.iter().find(|member| member.id == id)
}

pub(super) fn others(members: &[Member], id: MemberId) -> impl Iterator<Item = &Member> {
    members.iter().filter(move |member| member.id != id)
}

/// Whether any list of the same cluster gives this identity a name and peer URLs that are not ours.
pub(super) fn another_members(policy: &Policy, seen: &Observation, own: Identity) -> bool {
    let quorate = (seen.quorate.iter()).map(|q| (q.cluster, q.members.as_slice()));
    (seen.views().chain(quorate))
        .filter(|(cluster, _)| *cluster == own.cluster)
        .filter_map(|(_, members)| by_id(members, own.member))
        .any(|entry| is_anothers(policy, entry))
}

/// The members that list a peer URL twice; our own entry goes before we join, or is updated.
pub fn listing_twice<'a>(
    policy: &'a Policy,
    seen: &'a Observation,
) -> impl Iterator<Item = &'a Member> {
    let members = seen.quorate.iter().flat_map(|quorate| &quorate.members);
    let others = members.filter(|member| !member.has_peer_url(&policy.peer_urls));
    others.filter(|member| member.urls_listed_twice().is_some())
}

/// Whether an entry has a name and peer URLs, and neither is ours.
pub(super) fn is_anothers(policy: &Policy, entry: &Member) -> bool {
    !entry.name.is_empty() && entry.name != policy.name && !entry.has_peer_url(&policy.peer_urls)
}

/// Whether so many peers are another cluster that ours could have no quorum among the rest.
///
/// One stray member must not stop the restart of all others.
pub(super) fn is_another_cluster(policy: &Policy, seen: &Observation, own: ClusterId) -> bool {
    if seen.views().any(|(cluster, _)| cluster == own) {
        return false;
    }
    let strangers = seen.views().count();
    let all = policy.initial.len().max(1 + seen.peers.len());
    strangers > 0 && all - strangers < quorum(all)
}

/// Whether our peer URL and our name are two entries of the committed list, or of some view where
/// no leader is proven.
pub(super) fn two_entries(policy: &Policy, seen: &Observation) -> bool {
    let two = |members: &[Member]| matches!(own_entry(policy, members), Entry::Two);
    match &seen.quorate {
        Some(quorate) => two(&quorate.members),
        None => seen.views().any(|(_, members)| two(members)),
    }
}

/// Whether the answers name two clusters.
pub(super) fn two_clusters(seen: &Observation) -> bool {
    let mut clusters = (seen.views().map(|(cluster, _)| cluster))
        .chain(seen.quorate.as_ref().map(|quorate| quorate.cluster));
    match clusters.next() {
        Some(first) => clusters.any(|cluster| cluster != first),
        None => false,
    }
}
