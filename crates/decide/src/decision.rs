//! What the table returns.

use crate::reason::{Reason, Why};
use crate::step::{Start, Step};

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

    /// What it is, in one word.
    pub fn kind(&self) -> &'static str {
        match self {
            Decision::Start(..) => "start",
            Decision::Do(..) => "do",
            Decision::Wait(_) => "wait",
            Decision::Refuse(_) => "refuse",
            Decision::Done(_) => "done",
        }
    }

    /// The row that decided.
    pub fn reason(&self) -> Reason {
        self.why().reason()
    }
}
