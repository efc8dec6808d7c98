//! The decision table: what to do about what was seen. Pure: no clock, disk, network or environment.
//!
//! The order of the rows is: data dir in use, own data, damaged data, then for an empty data dir
//! refusals, a quorate cluster, notes, a cluster without a leader, assembly. Two lessons stand behind
//! it. *Unstarted is not evidence*: a listed member without client URLs may have voted and lost its
//! disk; only a note on this very volume proves that it never ran. And *only an entry committed
//! without us proves that the others hold everything*: that is what remove and add give, and no read,
//! linearizable or not, replaces it.

mod observation;
mod reason;
pub mod volume;

pub use observation::{
    Bootstrap, DataDir, Heard, Holds, Identity, JoinAs, JoinNote, Observation, Peer, Policy,
    Quorate, Trial,
};
pub use reason::{Reason, Row, table};

use serde::{Deserialize, Serialize};

use crate::membership::{ClusterId, Member, MemberId, quorum};

/// What etcd is told about the cluster when it starts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Begin {
    /// Its WAL says everything.
    WithData,
    /// State `new`, the initial cluster as the user gave it.
    New,
    /// State `existing`, as this unstarted member of this list.
    Existing {
        /// Our entry.
        id: MemberId,
        /// The list that the initial cluster is made from.
        members: Vec<Member>,
    },
}

/// How etcd is started.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Start {
    /// What etcd is told.
    pub begin: Begin,
    /// As a child that may fail, instead of in our place.
    pub trial: bool,
    /// Promote it from learner to voter when it has caught up.
    pub promote: bool,
}

/// One change of the world. Idempotent; may be killed at any instruction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Write the join note, first without an ID, then with that of our entry.
    NoteJoin(Option<MemberId>),
    /// Add ourselves to the member list.
    AddMember {
        /// As learner, else as voter.
        learner: bool,
    },
    /// Remove our own entry.
    RemoveMember(MemberId),
    /// Publish our peer URLs under our entry.
    UpdatePeerUrls(MemberId),
    /// Move the data aside, all of it, into a folder of its own.
    Quarantine,
    /// Move aside what lies in the data dir without a WAL.
    SetAsideLeftovers,
    /// Write that this identity is never started again.
    GiveUp,
    /// Write the founding promise.
    Promise,
    /// Delete the oldest set-aside data, all but this many.
    DeleteSetAside {
        /// How many to keep.
        keep: usize,
    },
}

/// What to do now, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Become etcd.
    Start(Start, Reason),
    /// Change one thing, then look again.
    Do(Step, Reason),
    /// Look again later.
    Wait(Reason),
    /// Only a person can tell.
    Refuse(Reason),
}

impl Decision {
    /// The row that decided.
    pub fn reason(&self) -> Reason {
        match self {
            Decision::Start(_, reason)
            | Decision::Do(_, reason)
            | Decision::Wait(reason)
            | Decision::Refuse(reason) => *reason,
        }
    }
}

use Decision::{Do, Refuse, Wait};

/// The decision table.
pub fn decide(policy: &Policy, seen: &Observation) -> Decision {
    if seen.in_use {
        return Wait(Reason::DataDirInUse);
    }
    if seen.left {
        return Refuse(Reason::Left);
    }
    let decision = match &seen.data {
        DataDir::Own(own) => own_data(policy, seen, *own),
        DataDir::Damaged { head } => damaged(policy, seen, *head),
        DataDir::Empty => empty(policy, seen),
    };
    match decision {
        // Nothing has changed since: it would fail again, for ever, and nobody would hear of it.
        Decision::Start(start, _) if seen.failed.as_ref() == Some(&start) => {
            Refuse(Reason::StartFailed)
        }
        // A refused start leaves `member/snap/db`: nothing may lie there when etcd begins anew.
        Decision::Start(..) if seen.leftovers && seen.data == DataDir::Empty => {
            Do(Step::SetAsideLeftovers, Reason::Leftovers)
        }
        decision => decision,
    }
}

/// Own data starts as it is, unless the cluster positively contradicts it.
fn own_data(policy: &Policy, seen: &Observation, own: Identity) -> Decision {
    if another_members(policy, seen, own) {
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
            Some(_) => with_data(seen, own, None, Reason::NoLeader),
            None => with_data(seen, own, None, Reason::NobodyAnswers),
        };
    };
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
        Trial::Behind | Trial::Unreadable | Trial::Other | Trial::None => {}
    }
    // Before its URLs: an update drops the learner's mark from the list, and with it the promotion
    // (recorded from 3.4.23, 3.5.16 and 3.5.30). Once it is a voter they are updated.
    if entry.learner {
        return with_data(seen, own, Some(entry), Reason::OwnLearner);
    }
    // Only a chore: where the cluster does not take it, own data starts all the same.
    if policy.join != JoinAs::Never
        && !seen.no_chores
        && entry.name == policy.name
        && !entry.has_exactly_peer_urls(&policy.peer_urls)
        && !others(&quorate.members, own.member).any(|m| m.has_peer_url(&policy.peer_urls))
    {
        return Do(Step::UpdatePeerUrls(own.member), Reason::PeerUrlsChanged);
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
fn damaged(policy: &Policy, seen: &Observation, head: Option<Identity>) -> Decision {
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
    if seen.is_refused() {
        return Refuse(Reason::NotAllowed);
    }
    let Some(quorate) = &seen.quorate else {
        return Wait(Reason::DataDamagedNoQuorum);
    };
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

/// An empty data dir: a first start, or a lost disk. Which of them, only the others can tell.
fn empty(policy: &Policy, seen: &Observation) -> Decision {
    if two_clusters(seen) {
        return Refuse(Reason::TwoClusters);
    }
    if two_entries(policy, seen) {
        return Refuse(Reason::TwoEntries);
    }
    // Before a quorate answer too: a rejoin between members that refuse each other would end in a
    // member that cannot reach its peers.
    if seen.is_refused() {
        return Refuse(Reason::NotAllowed);
    }
    if let Some(quorate) = &seen.quorate {
        return empty_quorate(policy, seen, &quorate.members);
    }
    match seen.views().next() {
        Some(_) => empty_no_leader(policy, seen),
        None => assembly(policy, seen),
    }
}

fn empty_quorate(policy: &Policy, seen: &Observation, members: &[Member]) -> Decision {
    let entry = match own_entry(policy, members) {
        Entry::Two => return Refuse(Reason::TwoEntries),
        Entry::None => return not_listed(policy, seen, members),
        Entry::One(entry) => entry,
    };
    if seen.twin {
        return Refuse(Reason::TwinAlive);
    }
    let remove = |reason| match policy.join {
        JoinAs::Never => Refuse(Reason::JoiningForbidden),
        JoinAs::Auto | JoinAs::Voter | JoinAs::Learner => Do(Step::RemoveMember(entry.id), reason),
    };
    if entry.started() {
        return remove(Reason::DataLost);
    }
    match seen.join_note {
        JoinNote::Named(id) if id == entry.id => existing(seen, entry, members),
        JoinNote::Named(_) | JoinNote::Unnamed => {
            Do(Step::NoteJoin(Some(entry.id)), Reason::NoteAdded)
        }
        JoinNote::None if seen.promise && entry.id == policy.static_id => {
            existing(seen, entry, members)
        }
        // Without a note a member that is listed as unstarted may have voted and lost its disk.
        JoinNote::None => remove(Reason::AddedNotOurs),
    }
}

fn existing(seen: &Observation, entry: &Member, members: &[Member]) -> Decision {
    start_existing(seen, entry, members, Reason::AddedNotStarted)
}

fn start_existing(
    seen: &Observation,
    entry: &Member,
    members: &[Member],
    reason: Reason,
) -> Decision {
    let promote = entry.learner && seen.added_learner == Some(entry.id);
    let start = Start {
        begin: Begin::Existing {
            id: entry.id,
            members: members.to_vec(),
        },
        trial: entry.learner,
        promote,
    };
    Decision::Start(start, reason)
}

fn not_listed(policy: &Policy, seen: &Observation, members: &[Member]) -> Decision {
    if policy.join == JoinAs::Never {
        return Refuse(Reason::JoiningForbidden);
    }
    // Added from this volume, then our peer URLs were changed: nobody else would ever remove it.
    if let JoinNote::Named(id) = seen.join_note
        && by_id(members, id).is_some_and(|entry| !entry.started() && entry.name.is_empty())
    {
        return Do(Step::RemoveMember(id), Reason::AddedUnderOldUrl);
    }
    match seen.join_note {
        // First the note, then the add: the note says that no etcd ran here since.
        JoinNote::None | JoinNote::Named(_) => Do(Step::NoteJoin(None), Reason::NotListed),
        JoinNote::Unnamed => match add_as(policy, members) {
            Some(learner) => Do(Step::AddMember { learner }, Reason::NotListed),
            None => Wait(Reason::AnotherRejoins),
        },
    }
}

/// Whether to join as learner, or not yet. Only adds are held back by margin, never a remove.
pub(crate) fn add_as(policy: &Policy, members: &[Member]) -> Option<bool> {
    let voters = members.iter().filter(|member| !member.learner).count();
    let unstarted_voter = (members.iter()).any(|member| !member.learner && !member.started());
    let costs_margin = quorum(voters + 1) > quorum(voters);
    let size = policy.initial.len().max(members.len() + 1);
    let learner = match policy.join {
        JoinAs::Learner => true,
        JoinAs::Voter => costs_margin || unstarted_voter,
        // From four members on always: two members that rejoin at once would else cost a vote.
        JoinAs::Auto | JoinAs::Never => costs_margin || unstarted_voter || size > 3,
    };
    // etcd allows one learner at a time (`max-learners` is new in 3.5 and seldom set).
    let learner_in_the_way = members.iter().any(|member| member.learner);
    (!learner || !learner_in_the_way).then_some(learner)
}

/// Some peer runs etcd, no leader is proven: what the views say may be old.
fn empty_no_leader(policy: &Policy, seen: &Observation) -> Decision {
    if seen.twin {
        return Refuse(Reason::TwinAlive);
    }
    if let JoinNote::Named(id) = seen.join_note {
        let unstarted = seen.views().find_map(|(_, members)| {
            let entry = by_id(members, id).filter(|entry| !entry.started())?;
            Some((entry, members))
        });
        if let Some((entry, members)) = unstarted {
            return start_existing(seen, entry, members, Reason::AddedNotStarted);
        }
    }
    let ours = seen
        .views()
        .any(|(cluster, _)| cluster == policy.static_cluster);
    // The promise speaks for the static ID alone. Where we are listed under another ID, that one was
    // removed; where we are listed as started, it ran without this volume, and a remove of it may
    // have been sent already.
    let outdated = seen
        .views()
        .any(|(_, members)| match own_entry(policy, members) {
            Entry::One(entry) => entry.id != policy.static_id || entry.started(),
            Entry::None | Entry::Two => false,
        });
    if seen.promise && ours && !outdated {
        return new(true, Reason::FirstStartContinued);
    }
    if policy.initial.len() == 2 {
        // Every acknowledged write of a two-member cluster is on both, so the other one has it all.
        let pair = seen
            .views()
            .find_map(|(_, members)| match own_entry(policy, members) {
                // A learner acknowledges nothing: beside one, the lost voter had the only copy.
                Entry::One(entry) if members.len() == 2 && !members.iter().any(|m| m.learner) => {
                    Some((entry, members))
                }
                Entry::One(_) | Entry::None | Entry::Two => None,
            });
        if let Some((entry, members)) = pair {
            return start_existing(seen, entry, members, Reason::SecondOfTwo);
        }
    }
    if may_found_now(policy, seen) && ours {
        return Do(Step::Promise, Reason::FirstStartPromise);
    }
    let listed =
        (seen.views()).any(|(_, members)| !matches!(own_entry(policy, members), Entry::None));
    match listed {
        true => Wait(Reason::DataLostNoLeader),
        false => Wait(Reason::NotListedNoLeader),
    }
}

/// No etcd was heard: the entrypoints ask each other whether this is a first start.
fn assembly(policy: &Policy, seen: &Observation) -> Decision {
    let mut count = Assembly::default();
    for peer in seen.initial_peers() {
        match &peer.heard {
            Heard::Entrypoint { holds, differs } => {
                count.disagree |= differs.is_some();
                match holds {
                    Holds::Empty => count.empty += 1,
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
    let nothing_set_aside = count.set_aside == 0 && seen.set_aside == 0;
    let majority = quorum(policy.initial.len());
    let (may_promise, may_start) = match policy.bootstrap {
        Bootstrap::All | Bootstrap::Never => (all_heard, all_heard && count.empty == 0),
        Bootstrap::Quorum => (
            all_heard || (seen.waited && 1 + count.empty + count.promised >= majority),
            (all_heard && count.empty == 0) || (seen.waited && 1 + count.promised >= majority),
        ),
        // Silence rules nothing out here; whoever answers is asked to promise first.
        Bootstrap::Now => (true, count.empty == 0),
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
    disagree: bool,
}

/// `REJOIN_BOOTSTRAP=now` beside an etcd that has never been part of a running cluster.
fn may_found_now(policy: &Policy, seen: &Observation) -> bool {
    policy.bootstrap == Bootstrap::Now
        && !policy.existing
        && seen.set_aside == 0
        && seen
            .views()
            .all(|(_, members)| members.iter().all(|member| !member.started()))
}

fn new(trial: bool, reason: Reason) -> Decision {
    let start = Start {
        begin: Begin::New,
        trial,
        promote: false,
    };
    Decision::Start(start, reason)
}

/// Which entry of a member list is ours.
enum Entry<'a> {
    None,
    One(&'a Member),
    /// URL and name point at different entries, or one of them at several.
    Two,
}

/// The one entry that has our peer URL, else the one that has our name.
fn own_entry<'a>(policy: &Policy, members: &'a [Member]) -> Entry<'a> {
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

fn by_id(members: &[Member], id: MemberId) -> Option<&Member> {
    members.iter().find(|member| member.id == id)
}

fn others(members: &[Member], id: MemberId) -> impl Iterator<Item = &Member> {
    members.iter().filter(move |member| member.id != id)
}

/// Whether any list of the same cluster gives this identity a name and peer URLs that are not ours.
fn another_members(policy: &Policy, seen: &Observation, own: Identity) -> bool {
    let quorate = (seen.quorate.iter()).map(|q| (q.cluster, q.members.as_slice()));
    (seen.views().chain(quorate))
        .filter(|(cluster, _)| *cluster == own.cluster)
        .filter_map(|(_, members)| by_id(members, own.member))
        .any(|entry| {
            !entry.name.is_empty()
                && entry.name != policy.name
                && !entry.has_peer_url(&policy.peer_urls)
        })
}

/// Whether so many peers are another cluster that ours could have no quorum among the rest.
///
/// One stray member must not stop the restart of all others.
fn is_another_cluster(policy: &Policy, seen: &Observation, own: ClusterId) -> bool {
    if seen.views().any(|(cluster, _)| cluster == own) {
        return false;
    }
    let strangers = seen.views().count();
    let all = policy.initial.len().max(1 + seen.peers.len());
    strangers > 0 && all - strangers < quorum(all)
}

/// Whether our peer URL and our name are two entries of the committed list, or of some view where
/// no leader is proven.
fn two_entries(policy: &Policy, seen: &Observation) -> bool {
    let two = |members: &[Member]| matches!(own_entry(policy, members), Entry::Two);
    match &seen.quorate {
        Some(quorate) => two(&quorate.members),
        None => seen.views().any(|(_, members)| two(members)),
    }
}

/// Whether the answers name two clusters.
fn two_clusters(seen: &Observation) -> bool {
    let mut clusters = (seen.views().map(|(cluster, _)| cluster))
        .chain(seen.quorate.as_ref().map(|quorate| quorate.cluster));
    match clusters.next() {
        Some(first) => clusters.any(|cluster| cluster != first),
        None => false,
    }
}
