//! A rejoin in one line, for its end: what this member is again, how long that took, what was set aside for it.

use std::time::SystemTime;

use log::Level;
use serde::{Deserialize, Serialize};

use crate::decide::{Begin, Decision, Gravity, Start};
use crate::logging::Line;
use crate::membership::MemberId;

/// What its last line says. One image of the program hands it on to the next.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rejoin {
    began: SystemTime,
    /// Something was lost; else it joins for the first time, or goes on with what an earlier run began.
    lost: bool,
    /// In bytes.
    set_aside: u64,
}

impl Rejoin {
    /// Begins now.
    pub fn begin() -> Rejoin {
        Rejoin {
            began: SystemTime::now(),
            lost: false,
            set_aside: 0,
        }
    }

    /// This was decided and done, and so many bytes were set aside by it.
    pub fn has_done(&mut self, decision: &Decision, set_aside: u64) {
        self.lost |= decision.reason().row().gravity == Gravity::Loss;
        self.set_aside += set_aside;
    }

    /// The line for its end, if this start ends one; `member` is started.
    pub fn line(&self, start: &Start, member: Option<MemberId>) -> Option<Line> {
        let learner = match &start.begin {
            Begin::New => return None,
            Begin::WithData if !start.promote => return None,
            Begin::WithData => false,
            Begin::Existing { id, members } => members
                .iter()
                .any(|entry| entry.id == *id && entry.learner && !start.promote),
        };
        let took = self.began.elapsed().unwrap_or_default();
        let mut words = format!(
            "{} as {}, took {:.1} s",
            if self.lost { "back" } else { "in the cluster" },
            if learner { "learner" } else { "voter" },
            took.as_secs_f64(),
        );
        if self.set_aside > 0 {
            words += &format!(", {} MiB set aside", self.set_aside.div_ceil(1 << 20));
        }
        let line = Line::new(Level::Info, words);
        Some(match member {
            Some(member) => line.with("member", member),
            None => line,
        })
    }
}
