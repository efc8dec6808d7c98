//! The decision table: what to do about what was seen. Pure: no clock, disk, network or environment.
//!
//! The order of the rows is: data dir in use, own data, damaged data, then for an empty data dir
//! refusals, a quorate cluster, notes, a cluster without a leader, assembly. Two lessons stand behind
//! it. *Unstarted is not evidence*: a listed member without client URLs may have voted and lost its
//! disk; only a note on this very volume proves that it never ran. And *only an entry committed
//! without us proves that the others hold everything*: that is what remove and add give, and no read,
//! linearizable or not, replaces it.

mod empty;
mod enough;
mod entries;
mod first_start;
mod held;
mod hindrance;
mod leaving;
pub mod membership;
mod memory;
mod observation;
mod own;
mod own_url;
mod reason;
mod seen;
mod surroundings;
mod told;
mod versions;

pub use empty::add_as;
pub use enough::{ToAsk, is_settled, still_to_ask};
pub use entries::{data_elsewhere, own_id};
pub use first_start::listens;
pub use held::{
    Alone, Confirmed, Evidence, Founders, Histories, Leaderless, Misleads, Outlook, Unheard, Whose,
    Without,
};
pub use hindrance::{hindrance, rejoin_fails};
pub use memory::{Happened, Memory};
pub use observation::{
    Bootstrap, DataDir, Elsewhere, Heard, Holds, Identity, JoinAs, JoinsOnly, Knock,
    MemberProgress, Misplaced, Observation, Peer, Policy, Progress, Quorate, Removal, Steady,
    Trial, Wants,
};
pub use own_url::{FoundThere, OwnUrl, misled};
pub use reason::{Ending, Gravity, Reason, Row, Why, cures_table, table};
pub use seen::in_one_line;
pub use surroundings::{Dir, Surroundings};
pub use told::{Urgency, to_go_on};
pub use versions::{MinorVersion, Misfit, Versions, fits};

use serde::{Deserialize, Serialize};

use crate::membership::{Member, MemberId};
use empty::empty;
use entries::{listing_twice, refusals};
use first_start::founding;
use leaving::leaving;
use own::{damaged, own_data};

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

/// One change of the world. May be killed at any instruction: what it leaves is a row of the table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Add ourselves to the member list; its answer names our entry.
    ///
    /// The founding promise goes first: it speaks for the static ID.
    AddMember {
        /// As learner, else as voter.
        learner: bool,
    },
    /// Write the join note with the ID of our entry.
    NoteJoin(MemberId),
    /// Commit one more entry, then write the join note with the ID of our entry.
    ///
    /// What a member commits last it writes down with the entry after it (etcd `raft`, `MustSync`: a commit
    /// index alone is not synced). Killed before that it forgets the add that it has acknowledged. One more
    /// entry, committed by both others as we do not run yet, writes it down.
    SettleJoin(MemberId),
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
    /// Write that this member left on purpose.
    NoteLeft,
    /// Take that back: it is still a member.
    ForgetLeft,
}

impl Step {
    /// Its name, as the log and `--max-steps` have it.
    pub fn name(&self) -> &'static str {
        match self {
            Step::NoteJoin(_) => "note-join",
            Step::SettleJoin(_) => "settle-join",
            Step::AddMember { .. } => "add-member",
            Step::RemoveMember(_) => "remove-member",
            Step::UpdatePeerUrls(_) => "update-peer-urls",
            Step::Quarantine => "quarantine",
            Step::SetAsideLeftovers => "set-aside-leftovers",
            Step::GiveUp => "give-up",
            Step::Promise => "promise",
            Step::DeleteSetAside { .. } => "delete-set-aside",
            Step::NoteLeft => "note-left",
            Step::ForgetLeft => "forget-left",
        }
    }

    /// Whether a start after it is another one than before: one that has just failed may be tried again.
    pub fn changes_what_starts(&self) -> bool {
        match self {
            Step::RemoveMember(_)
            | Step::AddMember { .. }
            | Step::UpdatePeerUrls(_)
            | Step::GiveUp
            | Step::Quarantine => true,
            Step::NoteJoin(_)
            | Step::SettleJoin(_)
            | Step::Promise
            | Step::SetAsideLeftovers
            | Step::DeleteSetAside { .. }
            | Step::NoteLeft
            | Step::ForgetLeft => false,
        }
    }

    /// Own data can do without it: where it does not succeed, etcd starts all the same.
    pub fn is_chore(&self) -> bool {
        match self {
            Step::UpdatePeerUrls(_) | Step::DeleteSetAside { .. } => true,
            Step::NoteJoin(_)
            | Step::SettleJoin(_)
            | Step::AddMember { .. }
            | Step::RemoveMember(_)
            | Step::Quarantine
            | Step::SetAsideLeftovers
            | Step::GiveUp
            | Step::Promise
            | Step::NoteLeft
            | Step::ForgetLeft => false,
        }
    }

    /// The others look for this member at its peer URLs after it.
    pub fn counts_on_our_url(&self) -> bool {
        matches!(self, Step::UpdatePeerUrls(_)) || self.counts_on_a_start()
    }

    /// It gives something up, or takes a place, because etcd is to start here afterwards.
    pub fn counts_on_a_start(&self) -> bool {
        match self {
            Step::RemoveMember(_) | Step::AddMember { .. } | Step::Quarantine | Step::GiveUp => {
                true
            }
            Step::NoteJoin(_)
            | Step::SettleJoin(_)
            | Step::Promise
            | Step::SetAsideLeftovers
            | Step::UpdatePeerUrls(_)
            | Step::DeleteSetAside { .. }
            | Step::NoteLeft
            | Step::ForgetLeft => false,
        }
    }
}

/// What to do now, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Become etcd.
    Start(Start, Why),
    /// Change one thing, then look again.
    Do(Step, Why),
    /// Look again later.
    Wait(Why),
    /// Only a person can tell.
    Refuse(Why),
    /// Nothing is left to do.
    Done(Why),
}

impl Decision {
    /// The row that decided, and what in it held.
    pub fn why(&self) -> &Why {
        match self {
            Decision::Start(_, why)
            | Decision::Do(_, why)
            | Decision::Wait(why)
            | Decision::Refuse(why)
            | Decision::Done(why) => why,
        }
    }

    /// The row that decided.
    pub fn reason(&self) -> Reason {
        self.why().reason()
    }
}

use Decision::{Do, Refuse, Wait};

/// So often in a row etcd may take an old list from another member before it counts as a failed start.
const MAX_OLD_LISTS: u8 = 5;

/// Whether the same start is tried again: etcd died of an old list of members, and the next one may be the right one.
fn may_list_another(seen: &Observation) -> bool {
    (1..=MAX_OLD_LISTS).contains(&seen.old_lists)
}

/// The decision table.
pub fn decide(policy: &Policy, seen: &Observation) -> Decision {
    match policy.wants {
        Wants::Start => start(policy, seen),
        Wants::Leave => leaving(policy, seen),
    }
}

fn start(policy: &Policy, seen: &Observation) -> Decision {
    if seen.in_use {
        return Wait(Why::DataDirInUse);
    }
    if seen.left {
        return Refuse(Why::Left);
    }
    // No lost disk, but a changed setting. Taken for a lost one, the member would come back empty beside its own data,
    // or what somebody else keeps in the WAL dir would be gone.
    match &seen.misplaced {
        Some(wal @ (Misplaced::WhereItWas { .. } | Misplaced::WithinDataDir { .. })) => {
            return Refuse(Why::WalElsewhere(wal.clone()));
        }
        Some(wal @ Misplaced::Foreign { .. }) => {
            return Refuse(Why::WalDirNotEmpty(wal.clone()));
        }
        None => {}
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
        | Wait(Why::Listening(_) | Why::FirstStartPromise(..))
        | Refuse(Why::DataSetAside(_)) => {
            if let Some(data) = data_elsewhere(policy, seen) {
                return Some(Refuse(Why::DataElsewhere(data.clone())));
            }
        }
        Decision::Start(..) | Do(..) | Wait(_) | Refuse(_) | Decision::Done(_) => {}
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
    if let Some(words) = misled(&policy.name, &seen.own_urls)
        && step.counts_on_our_url()
    {
        return Some(Wait(Why::PeerUrlMisleads(Misleads::Seen(words))));
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
