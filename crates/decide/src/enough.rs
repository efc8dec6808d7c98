//! Is the look enough? What it still has to ask before anything is decided, from what it has seen so far.
//!
//! The observer asks for that and for no more. How long an answer may take is its own affair.

use super::entries::{by_id, is_anothers};
use super::orders::needs_leader;
use super::{DataDir, Identity, Observation, Policy, Trial};
use crate::membership::{ClusterId, Member};

/// What a look still has to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToAsk {
    /// Everybody, for as long as it takes.
    Everybody,
    /// How far one of the others has come: own data, and each peer that was heard lists this member just as it is
    /// here. Who cannot be asked is not waited for long.
    HowFar,
    /// Whether our member runs elsewhere. For a leader nobody need be asked: own data, listed as it is here by others
    /// that have come as far.
    TwinBesideListed,
    /// The same. A leader of this volume's cluster is proven.
    TwinBesideLeader,
    /// Who proves a leader. Own data waits a moment for it: it starts as well without.
    LeaderForAMoment,
    /// Who proves a leader, for as long as it takes: own data, and what a leader says may be why it must not start.
    Leader,
    /// Whether somebody contradicts the leader that is proven; and, for as long as it takes, whether our member runs
    /// elsewhere: it may be removed next.
    Contradiction,
    /// For a moment, whether the peer that has left the first start for etcd has a leader by now.
    FirstStart,
}

/// What is still to be asked. `open`: some peer may still answer.
pub fn still_to_ask(policy: &Policy, seen: &Observation, open: bool) -> ToAsk {
    if seen.heard_out {
        return ToAsk::Everybody;
    }
    let leads = |own: Identity| (seen.quorate.as_ref()).is_some_and(|q| q.cluster == own.cluster);
    match seen.counts_as() {
        DataDir::Own(own) if leads(own) => ToAsk::TwinBesideLeader,
        DataDir::Own(own) if needs_no_leader(policy, seen, own) => match far(seen, own) {
            Far::Unknown => ToAsk::HowFar,
            Far::Enough | Far::Lacking { .. } => ToAsk::TwinBesideListed,
        },
        DataDir::Own(own) => {
            let led = far(seen, own) == Far::Lacking { led: true };
            let no_progress = seen.stalled || seen.trial != Trial::None;
            let restored = needs_leader(seen, own);
            match seen.has_ended()
                || no_progress
                || led
                || restored
                || !is_listed(policy, seen, own)
            {
                true => ToAsk::Leader,
                false => ToAsk::LeaderForAMoment,
            }
        }
        // How many of them do decides: a certificate of ours that is wrong is refused by all.
        DataDir::Damaged { .. } | DataDir::Empty if open && seen.is_refused() => ToAsk::Everybody,
        DataDir::Damaged { .. } | DataDir::Empty if seen.quorate.is_some() => ToAsk::Contradiction,
        DataDir::Empty if seen.promise && goes_on(&policy.of_founding(seen), seen) => {
            ToAsk::FirstStart
        }
        DataDir::Damaged { .. } | DataDir::Empty => ToAsk::Everybody,
    }
}

/// Whether own data starts because others list it as it is, without a proven leader.
pub fn is_settled(policy: &Policy, seen: &Observation) -> bool {
    match seen.counts_as() {
        DataDir::Own(own) => {
            !seen.heard_out && seen.quorate.is_none() && needs_no_leader(policy, seen, own)
        }
        DataDir::Damaged { .. } | DataDir::Empty => false,
    }
}

/// Whether nobody need be waited for to prove a leader.
///
/// What lists us just as we are here may be a cluster that was restored or rolled back, with the same IDs: an
/// etcd that is let loose beside it becomes its leader where its own log is longer, and what was acknowledged
/// since is on some members and not on others. So whoever has come less far than this volume has to wait for a
/// leader, which knows what is committed.
fn needs_no_leader(policy: &Policy, seen: &Observation, own: Identity) -> bool {
    let lacking = matches!(far(seen, own), Far::Lacking { .. });
    !lacking && is_plain_restart(policy, seen, own)
}

/// Whether own data is listed by each peer that was heard just as it is here.
///
/// Such a list may be behind what is committed. But own data starts as well where no leader is proven; only
/// a member that was removed could have learned something. Its etcd learns that too, and ends: its database says so at
/// its next start, or that is one after a start without progress. Either asks, and waits for the answer.
fn is_plain_restart(policy: &Policy, seen: &Observation, own: Identity) -> bool {
    let as_it_is = |(cluster, members): (ClusterId, &[Member])| {
        cluster == own.cluster
            && by_id(members, own.member).is_some_and(|entry| {
                entry.started()
                    && !entry.learner
                    && entry.name == policy.name
                    && (!policy.peer_urls_given || entry.has_exactly_peer_urls(&policy.peer_urls))
            })
    };
    let unsettled = seen.has_ended()
        || needs_leader(seen, own)
        || seen.stalled
        || seen.added_learner.is_some()
        || seen.trial != Trial::None
        || policy.keep.is_some_and(|keep| seen.set_aside > keep);
    !unsettled && seen.views().next().is_some() && seen.views().all(as_it_is)
}

/// How far the others have come, held against this volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Far {
    /// Nobody has said it.
    Unknown,
    /// As far, all that have said it.
    Enough,
    /// One of them less far: it may only be behind, and a leader knows. `led`: such a one follows a leader other than
    /// this member, so there is somebody to ask.
    Lacking { led: bool },
}

fn far(seen: &Observation, own: Identity) -> Far {
    let others = || {
        (seen.progress.iter())
            .filter(|it| it.of.cluster == own.cluster && it.of.member != own.member)
    };
    let lacking = || others().filter(|it| it.reached.lacks(seen.committed));
    match (others().next(), lacking().next()) {
        (None, _) => Far::Unknown,
        (Some(_), None) => Far::Enough,
        (Some(_), Some(_)) => Far::Lacking {
            led: lacking().any(|it| it.leader.is_some_and(|leader| leader != own.member)),
        },
    }
}

/// Whether a peer of this volume's cluster lists its member, and not as somebody else.
fn is_listed(policy: &Policy, seen: &Observation, own: Identity) -> bool {
    (seen.views().filter(|(cluster, _)| *cluster == own.cluster))
        .filter_map(|(_, members)| by_id(members, own.member))
        .any(|entry| !is_anothers(policy, entry))
}

/// Whether a peer has left our first start for etcd: it lists members, and none of them has started.
fn goes_on(policy: &Policy, seen: &Observation) -> bool {
    (seen.views()).any(|(cluster, members)| {
        cluster == policy.static_cluster && !members.iter().any(Member::started)
    })
}
