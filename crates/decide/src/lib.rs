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
mod hindrance;
mod leaving;
pub mod membership;
mod memory;
mod observation;
mod own;
mod own_url;
mod reason;
mod surroundings;
mod versions;

pub use empty::add_as;
pub use enough::{ToAsk, is_settled, still_to_ask};
pub use entries::{data_elsewhere, founded_again, listing_twice, own_id};
pub use first_start::listens;
pub use hindrance::{hindrance, rejoin_fails};
pub use leaving::may_leave;
pub use memory::{Happened, Memory};
pub use observation::{
    Bootstrap, DataDir, Elsewhere, Heard, Holds, Identity, JoinAs, JoinsOnly, Knock,
    MemberProgress, Misplaced, Observation, Peer, Policy, Progress, Quorate, Steady, Trial,
};
pub use own_url::{FoundThere, OwnUrl, misled};
pub use reason::{Ending, Gravity, Reason, Row, cures_table, table};
pub use surroundings::{Dir, Surroundings};
pub use versions::{MinorVersion, Misfit, Versions, fits};

use serde::{Deserialize, Serialize};

use crate::membership::{Member, MemberId};
use empty::empty;
use first_start::founding;
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
            | Step::DeleteSetAside { .. } => false,
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
            | Step::Promise => false,
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
            | Step::DeleteSetAside { .. } => false,
        }
    }
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

/// So often in a row etcd may take an old list from another member before it counts as a failed start.
const MAX_OLD_LISTS: u8 = 5;

/// Whether the same start is tried again: etcd died of an old list of members, and the next one may be the right one.
fn may_list_another(seen: &Observation) -> bool {
    (1..=MAX_OLD_LISTS).contains(&seen.old_lists)
}

/// The decision table.
pub fn decide(policy: &Policy, seen: &Observation) -> Decision {
    if seen.in_use {
        return Wait(Reason::DataDirInUse);
    }
    if seen.left {
        return Refuse(Reason::Left);
    }
    // No lost disk, but a changed setting. Taken for a lost one, the member would come back empty beside its own data,
    // or what somebody else keeps in the WAL dir would be gone.
    match seen.misplaced {
        Some(Misplaced::WhereItWas { .. } | Misplaced::WithinDataDir { .. }) => {
            return Refuse(Reason::WalElsewhere);
        }
        Some(Misplaced::Foreign { .. }) => return Refuse(Reason::WalDirNotEmpty),
        None => {}
    }
    // Nobody can be asked, and their answers would decide. Own data starts all the same.
    if seen.unfit.is_some() && !matches!(seen.counts_as(), DataDir::Own(_)) {
        return Refuse(Reason::KeyUnfit);
    }
    let decision = match seen.counts_as() {
        DataDir::Own(own) => own_data(policy, seen, own),
        DataDir::Damaged { head } => damaged(policy, seen, head),
        DataDir::Empty => empty(policy, seen),
    };
    match decision {
        // Nothing has changed since: it would fail again, for ever, and nobody would hear of it.
        Decision::Start(start, _)
            if seen.failed.as_ref() == Some(&start) && !may_list_another(seen) =>
        {
            Refuse(Reason::StartFailed)
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
        | Wait(Reason::Listening | Reason::FirstStartPromise)
        | Refuse(Reason::DataSetAside)
            if data_elsewhere(policy, seen).is_some() =>
        {
            Refuse(Reason::DataElsewhere)
        }
        // A refused start leaves `member/snap/db`: nothing may lie there when etcd begins anew.
        Decision::Start(..) if seen.leftovers && seen.data == DataDir::Empty => {
            Do(Step::SetAsideLeftovers, Reason::Leftovers)
        }
        // A quarantine that was killed halfway takes the whole of `member/` along, and what an add notes there.
        Do(Step::AddMember { .. }, _) if seen.leftovers => {
            Do(Step::SetAsideLeftovers, Reason::Leftovers)
        }
        // It would come back empty, and that member would be refused.
        Do(step, _) if !policy.peer_urls_given && step.counts_on_a_start() => {
            Refuse(Reason::PeerUrlsNotGiven)
        }
        // What it began would not end: added, it could be reached by nobody, and its vote would be missing. It may
        // be told in time, as a name that is not there yet.
        Do(step, _)
            if misled(&policy.name, &seen.own_urls).is_some() && step.counts_on_our_url() =>
        {
            Wait(Reason::PeerUrlMisleads)
        }
        // Asked again, the cluster would say the same; a person has to allow it.
        Do(step, _)
            if seen
                .denied
                .as_ref()
                .is_some_and(|(denied, _)| *denied == step) =>
        {
            Refuse(Reason::NotAllowed)
        }
        // What was removed could not be added and started again.
        Do(step, _) if step.counts_on_a_start() && listing_twice(policy, seen).next().is_some() => {
            Refuse(Reason::UrlListedTwice)
        }
        // A full disk or a port in use is no reason to leave the cluster.
        Do(step, _) if step.counts_on_a_start() && hindrance(seen).is_some() => {
            Refuse(Reason::CannotStart)
        }
        decision => founding(policy, seen, decision),
    }
}
