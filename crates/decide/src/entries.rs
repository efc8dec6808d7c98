//! Which entry of a member list is ours, and what the lists say together.

use std::collections::BTreeSet;

use super::{Elsewhere, Evidence, Heard, Histories, Identity, Observation, Peer, Policy, Quorate};
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

/// Data at another place that may be this member's: by its ID, which follows from our peer URLs and the token;
/// by its cluster, unless the ID is what another member of it was founded as; or by its place. What another process
/// runs on is another member's, unless it has our ID.
pub fn data_elsewhere<'a>(policy: &Policy, seen: &'a Observation) -> Option<&'a Elsewhere> {
    seen.elsewhere.iter().find(|data| match data.owner {
        Some(owner) if policy.static_others.contains(&owner.member) => false,
        Some(owner) if owner.member == policy.static_id => true,
        Some(owner) => !data.held && (data.near || owner.cluster == policy.static_cluster),
        None => !data.held && data.near,
    })
}

/// The members that list a peer URL twice; our own entry goes before we join, or is updated.
pub(super) fn listing_twice<'a>(
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

/// Both histories, where a quorate cluster lacks what was committed on this volume. Its ID is no proof of one history: that of a
/// static cluster follows from URLs and token (etcd `membership/cluster.go`, `genID`), so members that were wiped
/// and founded anew, or rolled back to a copy, have the same one.
///
/// Where it has come further than this volume meanwhile, only what it lists can tell.
pub(super) fn other_history(
    policy: &Policy,
    seen: &Observation,
    quorate: &Quorate,
) -> Option<Histories> {
    let founded_again = founded_again(policy, seen, quorate);
    let lacks = (quorate.reached).is_some_and(|reached| reached.lacks(seen.committed));
    (lacks || founded_again).then(|| Histories {
        here: seen.committed,
        there: quorate.reached,
        at: quorate.at.clone(),
        founder: founded_again.then_some(policy.static_id),
    })
}

/// Whether the cluster lists at our place the member that we were founded as, and this is the data of a later one:
/// an ID that was removed never comes back (etcd `membership/cluster.go`, `ValidateConfigurationChange`).
fn founded_again(policy: &Policy, seen: &Observation, quorate: &Quorate) -> bool {
    let Some(own) = seen.data.identity() else {
        return false;
    };
    let founder = by_id(&quorate.members, policy.static_id);
    own.cluster == policy.static_cluster
        && own.member != policy.static_id
        && by_id(&quorate.members, own.member).is_none()
        && founder.is_some_and(|founder| founder.has_peer_url(&policy.peer_urls))
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

/// Whether those that refuse us stand in the way. `own` is our entry of a list.
///
/// Where no leader is proven each view is asked: what may be old is only waited for. Who refuses us before any
/// etcd is heard was not heard itself, and stands in the way of a first start.
pub(super) fn refuse_us(
    policy: &Policy,
    seen: &Observation,
    own: impl Fn(&[Member]) -> Option<MemberId>,
) -> bool {
    let too_many = |members: &[Member]| too_many_refuse(policy, seen, members, own(members));
    match &seen.quorate {
        Some(quorate) => too_many(&quorate.members),
        None if seen.views().next().is_none() => seen.is_refused(),
        None => seen.views().any(|(_, members)| too_many(members)),
    }
}

/// Who refuses us what.
pub(super) fn refusals(seen: &Observation) -> Evidence {
    let denied = seen.denied.iter().map(|(_, words)| words);
    Evidence {
        peers: seen.peers_that(|heard| matches!(heard, Heard::Refused(_))),
        words: seen.refused.iter().chain(denied).cloned().collect(),
        knocks: Vec::new(),
    }
}

/// Whether so many refuse us that those who do not, ourselves included, are no quorum of these members.
///
/// A member between others that refuse it would not reach its peers. One that is refused by a few of them works,
/// as one does that is cut off from them.
fn too_many_refuse(
    policy: &Policy,
    seen: &Observation,
    members: &[Member],
    own: Option<MemberId>,
) -> bool {
    if !seen.is_refused() {
        return false;
    }
    // Nobody lets us in: it may be our own certificate that is wrong, and who was not asked would refuse it too.
    if seen.refused.is_some() || seen.views().next().is_none() {
        return true;
    }
    let is_other_voter = |member: &&Member| !member.learner && Some(member.id) != own;
    let voters: Vec<&Member> = members.iter().filter(is_other_voter).collect();
    let (mut refusing, mut accounted, mut unknown) = (BTreeSet::new(), BTreeSet::new(), 0);
    for peer in &seen.peers {
        let refuses = matches!(peer.heard, Heard::Refused(_));
        match listed_as(policy, peer, members) {
            Some(member) => {
                accounted.insert(member.id);
                if refuses {
                    refusing.insert(member.id);
                }
            }
            None if refuses => unknown += 1,
            None => {}
        }
    }
    let count = |ids: &BTreeSet<MemberId>| voters.iter().filter(|m| ids.contains(&m.id)).count();
    // Whose address leads to nobody who is listed is mostly nobody any more. Under another name it may still be a
    // member of whom nothing else was heard.
    let refusing = count(&refusing) + unknown.min(voters.len() - count(&accounted));
    1 + voters.len() - refusing < quorum(1 + voters.len())
}

/// The member that a peer is: it has the peer's URLs in the initial cluster, else its name.
fn listed_as<'a>(policy: &Policy, peer: &Peer, members: &'a [Member]) -> Option<&'a Member> {
    let urls = policy.initial.get(&peer.name).unwrap_or_default();
    let by_url = members.iter().find(|member| member.has_peer_url(urls));
    by_url.or_else(|| members.iter().find(|member| member.name == peer.name))
}
