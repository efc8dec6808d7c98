//! Whom to ask for a snapshot: a healthy follower, so that the leader is left to its work. Pure.

use super::messages::StatusResponse;

/// How far behind the leader's committed index a member may be.
const BEHIND: u64 = 1000;

/// The candidate to ask first, then the next best; learners and members without a leader last. Candidates are numbered
/// by their place.
pub fn in_order(candidates: &[Option<StatusResponse>]) -> Vec<usize> {
    let committed = candidates
        .iter()
        .flatten()
        .map(|status| status.raft_index)
        .max()
        .unwrap_or(0);
    let rank = |status: &StatusResponse| {
        let ourselves = status.header.as_ref().map(|header| header.member_id);
        let current = status.raft_applied_index + BEHIND >= committed;
        // Each member tells the alarms of all. What a corrupt one holds is not what was written, whatever its hash.
        let corrupt = ourselves.is_some_and(|id| {
            let (whose, what) = (format!("memberID:{id} "), "CORRUPT");
            (status.errors.iter()).any(|error| error.contains(&whose) && error.contains(what))
        });
        match (status.leader, status.is_learner) {
            _ if corrupt => 5,
            (0, _) => 4,
            (_, true) => 3,
            (leader, false) if Some(leader) == ourselves => 1,
            (_, false) if !current || !status.errors.is_empty() => 2,
            (_, false) => 0,
        }
    };
    let mut answered: Vec<_> = candidates
        .iter()
        .enumerate()
        .filter_map(|(at, status)| Some((rank(status.as_ref()?), at)))
        .collect();
    answered.sort_unstable();
    answered.into_iter().map(|(_, at)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::super::messages::ResponseHeader;
    use super::*;

    fn member(id: u64, leader: u64, applied: u64) -> Option<StatusResponse> {
        Some(StatusResponse {
            header: Some(ResponseHeader {
                member_id: id,
                ..ResponseHeader::default()
            }),
            leader,
            raft_index: applied,
            raft_applied_index: applied,
            ..StatusResponse::default()
        })
    }

    #[test]
    fn a_current_follower_is_asked_before_the_leader_and_a_lagging_one_after_it() {
        assert_eq!(
            in_order(&[
                member(1, 1, 9000),
                member(2, 1, 100),
                member(3, 1, 8999),
                None
            ]),
            [2, 0, 1]
        );
    }

    #[test]
    fn without_a_leader_whoever_answers_is_asked() {
        assert_eq!(in_order(&[None, member(2, 0, 5)]), [1]);
    }

    #[test]
    fn a_learner_is_asked_last_and_an_alarm_is_no_good_sign() {
        let mut learner = member(2, 1, 9);
        learner.as_mut().unwrap().is_learner = true;
        let mut alarmed = member(3, 1, 9);
        alarmed
            .as_mut()
            .unwrap()
            .errors
            .push("memberID:3 alarm:NOSPACE".into());
        assert_eq!(in_order(&[learner, alarmed, member(1, 1, 9)]), [2, 1, 0]);
    }
}
