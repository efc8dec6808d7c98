//! The rows of a member that runs, and was added as a learner: it shall become a voter.

use super::Decision::{Do, Done, Wait};
use super::entries::by_id;
use super::{Decision, Observation, Step, Why};
use crate::membership::Member;

/// Decides for a policy that wants a vote.
pub(super) fn voting(seen: &Observation) -> Decision {
    let Some(own) = seen.added_learner else {
        return Done(Why::Voter);
    };
    let listed: Vec<&Member> = seen
        .views()
        .filter_map(|(_, members)| by_id(members, own))
        .collect();
    match listed.as_slice() {
        [] => Wait(Why::OwnLearner),
        // A person may have promoted it; and no voter becomes a learner again. But as long as our etcd lists what it
        // was started with, it lists no client URLs, and no learners.
        listed if listed.iter().any(|entry| !entry.learner && entry.started()) => {
            Do(Step::ForgetLearner, Why::Voter)
        }
        _ => Do(Step::PromoteMember(own), Why::OwnLearner),
    }
}
