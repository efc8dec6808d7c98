//! What can be done: start etcd, or change one thing.

use serde::{Deserialize, Serialize};

use crate::Nonce;
use crate::membership::{Member, MemberId};

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
    /// Make this learner a voter, if it has caught up.
    PromoteMember(MemberId),
    /// Take the note away that it was added as a learner.
    ForgetLearner,
    /// Write that this member left on purpose.
    NoteLeft,
    /// Take that back: it is still a member, or shall be one again.
    ForgetLeft,
    /// Let this member lead in our place.
    MoveLeadership(MemberId),
    /// Change something of, or for, the store of snapshots.
    Store(StoreStep),
}

/// A step of a founding with a store, of a restore, or of an order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StoreStep {
    /// Write the marker, with the promises that the cluster is founded on: a conditional create.
    Mark {
        /// All of them, ours included.
        promises: Vec<Nonce>,
    },
    /// Write our peer URLs into the store.
    RecordUrl,
    /// Note on this volume that it begins this lineage, with a nonce, synced; then write the lineage: a conditional
    /// create. A note of the same number keeps its nonce, so that a create whose answer was lost is found to be ours.
    BeginLineage {
        /// Its number.
        number: u64,
        /// The name of the snapshot that it begins with; none where it goes on with our own data.
        base: Option<String>,
    },
    /// Make a cluster of one with the lineage's token from a copy of our own database, beside the data dir; then set
    /// the data aside for the lineage, and rename the copy there.
    Continue {
        /// The lineage's number.
        number: u64,
        /// See [`StoreStep::Restore`].
        hold: bool,
    },
    /// Restore this snapshot as a cluster of one with the lineage's token, beside the data dir, then rename it there:
    /// the note that it never ran goes with what lay there before.
    Restore {
        /// The lineage's number.
        number: u64,
        /// The snapshot's name.
        base: String,
        /// The clients of what comes of it write nothing until a second voter has caught up: till then it would be on
        /// one disk, and an old majority may come back beside it.
        hold: bool,
    },
    /// Write that this volume waits for the order of this number, synced.
    NoteOrder(u64),
    /// Take that note away.
    ForgetOrder(u64),
    /// Write that the order is begun: a conditional create of its outcome.
    BeginOrder(u64),
    /// Move the data aside, for the lineage of this number. It is kept, whatever `REJOIN_DATA` says.
    SetAsideFor(u64),
}

impl StoreStep {
    fn name(&self) -> &'static str {
        match self {
            StoreStep::Mark { .. } => "mark-store",
            StoreStep::RecordUrl => "record-url",
            StoreStep::BeginLineage { .. } => "begin-lineage",
            StoreStep::Restore { .. } => "restore-snapshot",
            StoreStep::Continue { .. } => "continue-lineage",
            StoreStep::NoteOrder(_) => "note-order",
            StoreStep::ForgetOrder(_) => "forget-order",
            StoreStep::BeginOrder(_) => "begin-order",
            StoreStep::SetAsideFor(_) => "set-aside-for",
        }
    }

    /// It gives data up, or takes a place, because etcd is to start here afterwards.
    fn counts_on_a_start(&self) -> bool {
        match self {
            StoreStep::BeginLineage { .. }
            | StoreStep::Restore { .. }
            | StoreStep::Continue { .. }
            | StoreStep::BeginOrder(_)
            | StoreStep::SetAsideFor(_) => true,
            StoreStep::Mark { .. }
            | StoreStep::RecordUrl
            | StoreStep::NoteOrder(_)
            | StoreStep::ForgetOrder(_) => false,
        }
    }

    fn words(&self) -> String {
        match self {
            StoreStep::Mark { .. } => "marks the store as this cluster's".into(),
            StoreStep::RecordUrl => "records its peer URLs in the store".into(),
            StoreStep::BeginLineage { number, base } => match base {
                Some(base) => format!("begins lineage {number} with snapshot {base}"),
                None => format!("begins lineage {number} with the data that it has"),
            },
            StoreStep::Continue { number, hold } => {
                let until = until(*hold);
                format!("goes on with the data that it has as lineage {number}{until}")
            }
            StoreStep::Restore { number, base, hold } => {
                let until = until(*hold);
                format!("restores snapshot {base} as lineage {number}{until}")
            }
            StoreStep::NoteOrder(number) => {
                format!("notes on its volume that it waits for order {number}")
            }
            StoreStep::ForgetOrder(number) => {
                format!("takes away the note that it waits for order {number}")
            }
            StoreStep::BeginOrder(number) => format!("begins order {number}"),
            StoreStep::SetAsideFor(number) => {
                format!("sets its data aside for lineage {number}, where it is kept")
            }
        }
    }
}

/// For how long clients are held.
fn until(hold: bool) -> &'static str {
    match hold {
        true => ", which no client writes to until a second voter has caught up",
        false => "",
    }
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
            Step::PromoteMember(_) => "promote-member",
            Step::ForgetLearner => "forget-learner",
            Step::NoteLeft => "note-left",
            Step::ForgetLeft => "forget-left",
            Step::MoveLeadership(_) => "move-leadership",
            Step::Store(step) => step.name(),
        }
    }

    /// Whether a start after it is another one than before: one that has just failed may be tried again.
    pub fn changes_what_starts(&self) -> bool {
        match self {
            Step::RemoveMember(_)
            | Step::AddMember { .. }
            | Step::UpdatePeerUrls(_)
            | Step::GiveUp
            | Step::Quarantine
            | Step::Store(_) => true,
            Step::NoteJoin(_)
            | Step::SettleJoin(_)
            | Step::Promise
            | Step::SetAsideLeftovers
            | Step::DeleteSetAside { .. }
            | Step::PromoteMember(_)
            | Step::ForgetLearner
            | Step::NoteLeft
            | Step::ForgetLeft
            | Step::MoveLeadership(_) => false,
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
            | Step::PromoteMember(_)
            | Step::ForgetLearner
            | Step::NoteLeft
            | Step::ForgetLeft
            | Step::MoveLeadership(_)
            | Step::Store(_) => false,
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
            Step::Store(step) => step.counts_on_a_start(),
            Step::NoteJoin(_)
            | Step::SettleJoin(_)
            | Step::Promise
            | Step::SetAsideLeftovers
            | Step::UpdatePeerUrls(_)
            | Step::DeleteSetAside { .. }
            | Step::PromoteMember(_)
            | Step::ForgetLearner
            | Step::NoteLeft
            | Step::ForgetLeft
            | Step::MoveLeadership(_) => false,
        }
    }
}

impl Start {
    /// How etcd starts; `joins`: as what, where it begins empty beside others.
    pub(super) fn words(&self, joins: &str) -> String {
        let begin = match &self.begin {
            Begin::WithData => "with its data".into(),
            Begin::New => "as a new cluster".into(),
            Begin::Existing { id, .. } => format!("{joins} {id}, which the others fill"),
        };
        let how = if self.trial { ", on trial" } else { "" };
        format!("starts etcd {begin}{how}")
    }
}

impl Step {
    pub(super) fn words(&self) -> String {
        match self {
            Step::NoteJoin(id) => format!("notes on its volume that it is the new member {id}"),
            Step::SettleJoin(id) => format!(
                "notes on its volume that it is the new member {id}, once both others have that written down"
            ),
            Step::AddMember { learner: true } => "adds itself to the cluster as learner".into(),
            Step::AddMember { learner: false } => "adds itself to the cluster as voter".into(),
            Step::RemoveMember(id) => format!("removes its own old member {id} from the cluster"),
            Step::UpdatePeerUrls(_) => "publishes its peer URLs".into(),
            Step::Quarantine => "sets its data aside, where it is kept".into(),
            Step::SetAsideLeftovers => "sets files aside that no etcd needs".into(),
            Step::GiveUp => "gives this member up: it is never started again".into(),
            Step::Promise => "promises to found a cluster with the others".into(),
            Step::PromoteMember(id) => format!("promotes its member {id} to voter"),
            Step::ForgetLearner => "takes away the note that it was added as a learner".into(),
            Step::NoteLeft => "notes that it left".into(),
            Step::ForgetLeft => "takes back the note that it left".into(),
            Step::MoveLeadership(id) => format!("lets member {id} lead"),
            Step::Store(step) => step.words(),
            Step::DeleteSetAside { keep } => {
                format!("deletes what was set aside, all but the newest {keep}")
            }
        }
    }

    /// Whether what came of it is more than what was said before it.
    pub fn tells_more(&self) -> bool {
        match self {
            Step::AddMember { .. }
            | Step::Quarantine
            | Step::SetAsideLeftovers
            | Step::DeleteSetAside { .. }
            | Step::PromoteMember(_)
            | Step::NoteLeft
            | Step::ForgetLeft
            | Step::MoveLeadership(_)
            | Step::Store(_) => true,
            Step::NoteJoin(_)
            | Step::SettleJoin(_)
            | Step::RemoveMember(_)
            | Step::UpdatePeerUrls(_)
            | Step::GiveUp
            | Step::ForgetLearner
            | Step::Promise => false,
        }
    }
}
