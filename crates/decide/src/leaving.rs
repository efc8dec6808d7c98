//! The rows of a member that shall leave: the loop is the same as for a start, what is wanted is another thing.
//!
//! The note comes first: a member that is removed and not noted would come back by itself. It is taken back only
//! where the cluster has said a clear no, as a removal that got none may be applied later.

use super::Decision::{Do, Done, Refuse, Wait};
use super::entries::{Entry, by_id, is_anothers, own_entry, own_id};
use super::held::{Rest, Whose};
use super::set::stays;
use super::{DataDir, Decision, Heard, Observation, Peer, Policy, Quorate, Removal, Step, Why};
use crate::membership::{Member, MemberId, quorum};

/// Decides for a policy that wants out.
pub(super) fn leaving(policy: &Policy, seen: &Observation) -> Decision {
    if let Some(decision) = stays(policy, seen) {
        return decision;
    }
    let own = match seen.data {
        DataDir::Own(own) | DataDir::Damaged { head: Some(own) } => own,
        DataDir::Empty if policy.if_scaled_down => return before_its_start(policy, seen),
        DataDir::Empty | DataDir::Damaged { head: None } => return Refuse(Why::NoIdentity),
    };
    // Nobody need say it again; and perhaps nobody is left who could, where our own etcd was the only way there.
    if seen.left && seen.removal == Removal::Done {
        return Done(Why::Left);
    }
    // "Member not found" is a success only where the member was: another cluster says so of every ID.
    let quorate = (seen.quorate.as_ref()).filter(|quorate| quorate.cluster == own.cluster);
    let Some(quorate) = quorate else {
        let mut heard = seen.peers.clone();
        heard.extend(seen.quorate.iter().map(|other| Peer {
            name: other.at.clone(),
            initial: false,
            heard: Heard::Etcd {
                cluster: other.cluster,
                members: other.members.clone(),
            },
        }));
        return not_now(seen, Why::LeavingUnheard(own.cluster, heard));
    };
    let members = &quorate.members;
    match (by_id(members, own.member), own_id(policy, members)) {
        (Some(entry), _) if is_anothers(policy, entry) => {
            Refuse(Why::VolumeOfAnotherMember(Whose::Listed(seen.running())))
        }
        (None, Some(other)) => Refuse(Why::LeftToAnother(own.member, other)),
        (None, None) if seen.left => Done(Why::Left),
        (None, None) => Do(Step::NoteLeft, Why::Leaving),
        (Some(_), _) => match rest(seen, own.member, members) {
            // etcd checks their number too, unless it runs with `--strict-reconfig-check=false`.
            rest if rest.answering == 0 || rest.answering < quorum(rest.voters) => {
                would_cost_quorum(policy, seen, rest)
            }
            _ if seen.over && was_asked(seen) => not_now(seen, refused(seen)),
            _ if seen.left => match next_leader(seen, quorate, own.member) {
                Some(next) => Do(Step::MoveLeadership(next), Why::LeaderMovesFirst),
                None => Do(Step::RemoveMember(own.member), Why::Leaving),
            },
            _ => Do(Step::NoteLeft, Why::Leaving),
        },
    }
}

/// A pod that its set does not want any more, before its etcd has ever run: what it has added goes again. Else it may
/// stay listed as a voter that nobody ever starts, and the others lose their quorum as they leave.
///
/// The note comes first here too: it keeps the entrypoint that runs beside from adding once more. An entry that has
/// started is not touched: it is a lost disk, or runs as this pod's replacement.
fn before_its_start(policy: &Policy, seen: &Observation) -> Decision {
    if !seen.left {
        return Do(Step::NoteLeft, Why::Leaving);
    }
    let Some(quorate) = &seen.quorate else {
        return match seen.over {
            true => Refuse(Why::NoIdentity),
            false => Wait(Why::LeavingUnheard(
                policy.static_cluster,
                seen.peers.clone(),
            )),
        };
    };
    match own_entry(policy, &quorate.members) {
        // What the entrypoint beside has sent may be applied after this look.
        Entry::None if seen.adding && seen.removal != Removal::Done && !seen.over => {
            Wait(Why::Leaving)
        }
        Entry::None => Done(Why::Left),
        Entry::One(entry) if !entry.started() && !seen.over => {
            match rest(seen, entry.id, &quorate.members) {
                rest if rest.answering < quorum(rest.voters) => Wait(Why::WouldCostQuorum(rest)),
                _ => Do(Step::RemoveMember(entry.id), Why::Leaving),
            }
        }
        Entry::One(_) | Entry::Two => Refuse(Why::NoIdentity),
    }
}

/// Who shall lead in our place, if we lead: an election that nobody prepared costs clients a second or more. Asked
/// once: what does not succeed is no reason to stay.
fn next_leader(seen: &Observation, quorate: &Quorate, own: MemberId) -> Option<MemberId> {
    if quorate.leader != Some(own) || seen.asked_to_move {
        return None;
    }
    let follows = |member: &&Member| {
        member.id != own && !member.learner && member.started() && seen.answers(member)
    };
    quorate.members.iter().find(follows).map(|next| next.id)
}

/// The note goes again, if nothing can come of what was asked for: the member stays.
///
/// Where the set has shrunk, another pod that leaves may be the vote that is missing: it is given the time.
fn would_cost_quorum(policy: &Policy, seen: &Observation, rest: Rest) -> Decision {
    if policy.if_scaled_down && !seen.over {
        return Wait(Why::WouldCostQuorum(rest));
    }
    if !seen.left {
        return Refuse(Why::WouldCostQuorum(rest));
    }
    match &seen.removal {
        Removal::Unsure(words) => Refuse(Why::LeavingUnsure(words.clone())),
        Removal::NotAsked | Removal::Refused(_) | Removal::Done => {
            Do(Step::ForgetLeft, Why::WouldCostQuorum(rest))
        }
    }
}

/// Whether this run has asked for the removal. However long the looks take: it is asked for once.
fn was_asked(seen: &Observation) -> bool {
    match seen.removal {
        Removal::Refused(_) | Removal::Unsure(Some(_)) | Removal::Done => true,
        Removal::NotAsked | Removal::Unsure(None) => false,
    }
}

/// Waits while a person does. Then the note goes again, if nothing can come of what was asked for.
fn not_now(seen: &Observation, why: Why) -> Decision {
    match (&seen.removal, seen.over) {
        (_, false) => Wait(why),
        (Removal::Unsure(words), true) => Refuse(Why::LeavingUnsure(words.clone())),
        (Removal::NotAsked | Removal::Refused(_), true) if seen.left => {
            Do(Step::ForgetLeft, refused(seen))
        }
        (Removal::NotAsked | Removal::Refused(_) | Removal::Done, true) => Refuse(why),
    }
}

fn refused(seen: &Observation) -> Why {
    Why::LeavingRefused(match &seen.removal {
        Removal::Refused(words) => Some(words.clone()),
        Removal::NotAsked | Removal::Unsure(_) | Removal::Done => None,
    })
}

fn rest(seen: &Observation, own: MemberId, members: &[Member]) -> Rest {
    let others = members.iter().filter(|member| member.id != own);
    let voters = others.clone().filter(|member| !member.learner);
    let answering = voters
        .clone()
        .filter(|member| member.started() && seen.answers(member));
    Rest {
        members: others.count(),
        voters: voters.count(),
        answering: answering.count(),
    }
}
