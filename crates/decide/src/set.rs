//! A member of a StatefulSet: what the set wants. It forbids to found, and allows to leave; it leads to no other step.
//!
//! The initial cluster names the members that the set began with. It may want more by now, and those that came later
//! hold what a first member has lost with its disk, also while none of them runs.

use super::Decision::{Do, Done, Refuse, Wait};
use super::{Bootstrap, Decision, Heard, Holds, Observation, Policy, SetWants, Step, Unheard, Why};
use crate::held::Evidence;

/// What of its set keeps a member from founding a cluster, or from promising to.
///
/// `REJOIN_BOOTSTRAP=now` is a person's word that nothing of value is stored.
pub(super) fn forbids_founding(policy: &Policy, seen: &Observation) -> Option<Decision> {
    if policy.bootstrap == Bootstrap::Now {
        return None;
    }
    if let SetWants::Unknown(why) = &seen.set {
        return Some(Wait(Why::ReplicasUnknown(why.clone())));
    }
    let came_later = |wanted: fn(&Heard) -> bool| {
        let all = seen.peers.iter().filter(|peer| !peer.initial);
        all.filter(|peer| wanted(&peer.heard))
            .cloned()
            .collect::<Vec<_>>()
    };
    let data = came_later(|heard| match heard {
        Heard::Entrypoint { holds, .. } => matches!(holds, Holds::Own(_) | Holds::Damaged),
        Heard::Etcd { .. } | Heard::Silent(_) | Heard::Refused(_) | Heard::Nonsense(_) => false,
    });
    if !data.is_empty() {
        return Some(Wait(Why::PeerHasData(data)));
    }
    let peers = came_later(|heard| match heard {
        Heard::Entrypoint { holds, .. } => {
            !matches!(holds, Holds::Empty | Holds::Promised | Holds::Alone)
        }
        Heard::Etcd { .. } | Heard::Silent(_) | Heard::Refused(_) | Heard::Nonsense(_) => true,
    });
    (!peers.is_empty()).then(|| {
        Wait(Why::NotAllHeard(Unheard {
            evidence: Evidence {
                peers,
                ..Evidence::default()
            },
            ..Unheard::default()
        }))
    })
}

/// Whether its set may have members whom the initial cluster does not name.
pub(super) fn wants_more(seen: &Observation) -> bool {
    match seen.set {
        SetWants::NotAsked => false,
        SetWants::Unknown(_) => true,
        SetWants::Replicas { .. } => seen.peers.iter().any(|peer| !peer.initial),
    }
}

/// The start of a member that has left. One that its set has sent away comes back where the set wants it again.
pub(super) fn has_left(policy: &Policy, seen: &Observation) -> Decision {
    let ordinal = policy.ordinal.filter(|_| seen.left_scaled);
    match (ordinal, &seen.set) {
        (Some(_), SetWants::Unknown(why)) => Wait(Why::ReplicasUnknown(why.clone())),
        (Some(ordinal), set) if set.wants(ordinal) == Some(true) => {
            Do(Step::ForgetLeft, Why::WantedAgain)
        }
        (Some(_) | None, _) => Refuse(Why::Left),
    }
}

/// `leave --if-scaled-down`: why it does not leave, if so. A stop is no leave, and what is not known is none.
pub(super) fn stays(policy: &Policy, seen: &Observation) -> Option<Decision> {
    if !policy.if_scaled_down || seen.left {
        return None;
    }
    let unknown = |why: &str| Some(Refuse(Why::ReplicasUnknown(why.into())));
    let Some(ordinal) = policy.ordinal else {
        return unknown("this member has no ordinal");
    };
    match &seen.set {
        SetWants::NotAsked => unknown("nobody was asked"),
        SetWants::Unknown(why) => unknown(why),
        SetWants::Replicas { replicas: 0, .. } => Some(Done(Why::ScaledToZero)),
        set => (set.wants(ordinal) == Some(true)).then_some(Done(Why::StillWanted)),
    }
}
