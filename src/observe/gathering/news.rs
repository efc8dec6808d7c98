//! What comes of one question.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::super::ask::Answered;
use crate::decide::{Peer, Quorate, StoreSeen};
use crate::gateway::{Failure, Status};
use crate::kubernetes::SetAnswer;
use crate::membership::{ClusterId, Member, MemberId};

/// What came of one question.
pub(in crate::observe) enum News {
    /// The peer of this number, how it answered, and how long that took.
    Peer(usize, Answered, Duration),
    /// The version of this peer's cluster is known too, or was not to be had.
    Version(usize),
    /// Who has proven a leader at this URL.
    Gateway(String, Result<(MemberId, Quorate), Failure>),
    /// How far a listed member has come, asked before a restart like any other.
    Far(Option<Status>),
    Twin(Option<WhoRuns>),
    /// Who answers at one of our own URLs while our assembly serves.
    OwnUrl(Option<WhoRuns>),
    /// What our StatefulSet wants, and who answers at those addresses of its service that no member has by its name.
    Set(SetAnswer, Vec<Peer>),
    /// What the store holds.
    Store(StoreSeen),
    /// Whether an entrypoint of our name still answers there.
    Stays(bool),
}

/// Who runs at an address that is ours.
pub(in crate::observe) enum WhoRuns {
    Member(MemberId),
    /// At this URL.
    ListsMembers(String, ClusterId, Vec<Member>),
    /// An entrypoint of our name at this URL, which is not this process.
    Entrypoint(String),
}

/// A question at the store.
#[derive(Default)]
pub(in crate::observe) struct Asking {
    pub open: bool,
    /// Nobody waits for its answer any more.
    pub over: Arc<AtomicBool>,
    /// This run has removed our own entry: what the store knows of our URL does not matter.
    pub rejoins: bool,
}
