//! The decision table with one rule broken on purpose: wrappers around the real `decide`.

use etcd_rejoin_decide::membership::Member;
use etcd_rejoin_decide::{
    Begin, Bootstrap, Confirmed, DataDir, Decision, Founders, Heard, Holds, Observation, Peer,
    Policy, SetWants, Start, Step, Trial, Unheard, Why, decide,
};

use Decision::{Do, Wait};

// What the mutants are made of.

fn our_entry<'a>(policy: &Policy, members: &'a [Member]) -> Option<&'a Member> {
    members
        .iter()
        .find(|member| member.has_peer_url(&policy.peer_urls))
}

pub fn start(begin: Begin, why: Why) -> Decision {
    let start = Start {
        begin,
        trial: true,
        promote: false,
    };
    Decision::Start(start, why)
}

fn existing(entry: &Member, members: &[Member]) -> Decision {
    let begin = Begin::Existing {
        id: entry.id,
        members: members.to_vec(),
    };
    start(begin, Why::AddedNotStarted)
}

fn is_silent(seen: &Observation) -> bool {
    (seen.peers.iter()).all(|peer| matches!(peer.heard, Heard::Silent(_)))
}

/// Our unstarted entry where a leader is proven, or else in the first view that has one.
fn unstarted<'a>(
    policy: &Policy,
    seen: &'a Observation,
    quorate: bool,
) -> Option<(&'a Member, &'a [Member])> {
    let find = |members: &'a [Member]| {
        let entry = our_entry(policy, members).filter(|entry| !entry.started())?;
        Some((entry, members))
    };
    match &seen.quorate {
        Some(answer) if quorate => find(&answer.members),
        None if !quorate => seen.views().find_map(|(_, members)| find(members)),
        Some(_) | None => None,
    }
}

pub fn changed(policy: &Policy, seen: &Observation, change: impl Fn(&mut Observation)) -> Decision {
    let mut seen = seen.clone();
    change(&mut seen);
    decide(policy, &seen)
}

// Silence and a first start.

/// Nobody answers, so this must be a first start.
pub fn silence_is_a_first_start(policy: &Policy, seen: &Observation) -> Decision {
    match seen.data {
        DataDir::Empty if is_silent(seen) => start(Begin::New, Why::FirstStart(Founders::All)),
        _ => decide(policy, seen),
    }
}

/// An empty volume always tries `new` first, and lets etcd find out.
pub fn new_first(policy: &Policy, seen: &Observation) -> Decision {
    match (&seen.data, &seen.quorate) {
        (DataDir::Empty, None) => start(Begin::New, Why::FirstStart(Founders::All)),
        _ => decide(policy, seen),
    }
}

/// A promise for what one has not heard.
pub fn silence_is_promised(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| {
        for peer in &mut seen.peers {
            if matches!(peer.heard, Heard::Silent(_)) {
                peer.heard = Heard::Entrypoint {
                    holds: Holds::Promised,
                    differs: None,
                };
            }
        }
    })
}

/// All others are empty now: start, without promises.
pub fn no_promise(policy: &Policy, seen: &Observation) -> Decision {
    let mut asked = seen.clone();
    asked.promise = false;
    match decide(policy, &asked) {
        Do(Step::Promise, _) => start(Begin::New, Why::FirstStart(Founders::All)),
        decision => decision,
    }
}

/// One's own promise is enough, whatever the others have promised.
pub fn one_promise_is_enough(policy: &Policy, seen: &Observation) -> Decision {
    match decide(policy, seen) {
        Wait(Why::FirstStartPromise(..)) => start(Begin::New, Why::FirstStart(Founders::All)),
        decision => decision,
    }
}

/// Who has promised waits until all promised ones are heard again.
pub fn promise_is_not_continued(policy: &Policy, seen: &Observation) -> Decision {
    match decide(policy, seen) {
        Decision::Start(_, Why::FirstStartContinued) => Wait(Why::NotAllHeard(Unheard::default())),
        decision => decision,
    }
}

/// A late starter of a first start uses `existing`.
pub fn late_starter_is_existing(policy: &Policy, seen: &Observation) -> Decision {
    match decide(policy, seen) {
        Decision::Start(_, Why::FirstStartContinued) => match unstarted(policy, seen, false) {
            Some((entry, members)) => existing(entry, members),
            None => Wait(Why::NotAllHeard(Unheard::default())),
        },
        decision => decision,
    }
}

/// `REJOIN_BOOTSTRAP=now`.
pub fn now_founds(policy: &Policy, seen: &Observation) -> Decision {
    let mut policy = policy.clone();
    policy.bootstrap = Bootstrap::Now;
    decide(&policy, seen)
}

/// Set-aside data does not stand in the way of a first start.
pub fn set_aside_is_empty(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| {
        seen.set_aside = 0;
        for peer in &mut seen.peers {
            if let Heard::Entrypoint { holds, .. } = &mut peer.heard
                && *holds == Holds::SetAside
            {
                *holds = Holds::Promised;
            }
        }
    })
}

/// Data of others does not stand in the way of a first start, where no etcd runs.
pub fn data_is_empty(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| {
        for peer in &mut seen.peers {
            if let Heard::Entrypoint { holds, .. } = &mut peer.heard
                && matches!(holds, Holds::Own(_))
            {
                *holds = Holds::Promised;
            }
        }
    })
}

/// Data of another cluster than the one that would be founded does not stand in its way.
pub fn foreign_data_is_empty(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| {
        for peer in &mut seen.peers {
            if let Heard::Entrypoint { holds, .. } = &mut peer.heard
                && matches!(holds, Holds::Own(cluster) if *cluster != policy.static_cluster)
            {
                *holds = Holds::Promised;
            }
        }
    })
}

/// Damaged data of others does not stand in the way of a first start.
pub fn damaged_is_empty(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| {
        for peer in &mut seen.peers {
            if let Heard::Entrypoint { holds, .. } = &mut peer.heard
                && *holds == Holds::Damaged
            {
                *holds = Holds::Promised;
            }
        }
    })
}

// Unstarted is not evidence.

/// Listed as started, and empty: `existing` without remove and add.
pub fn started_starts_again(policy: &Policy, seen: &Observation) -> Decision {
    match (decide(policy, seen), &seen.quorate) {
        (Do(Step::RemoveMember(_), Why::DataLost), Some(quorate)) => {
            let entry = our_entry(policy, &quorate.members).unwrap();
            existing(entry, &quorate.members)
        }
        (decision, _) => decision,
    }
}

/// The same where no leader is proven.
pub fn started_starts_again_without_leader(policy: &Policy, seen: &Observation) -> Decision {
    match decide(policy, seen) {
        Wait(Why::DataLostNoLeader(held)) => (seen.views())
            .find_map(|(_, members)| Some(existing(our_entry(policy, members)?, members)))
            .unwrap_or(Wait(Why::DataLostNoLeader(held))),
        decision => decision,
    }
}

/// A leader shows us as unstarted: we have never voted.
pub fn unstarted_never_voted(policy: &Policy, seen: &Observation) -> Decision {
    match (&seen.data, unstarted(policy, seen, true)) {
        (DataDir::Empty, Some((entry, members))) => existing(entry, members),
        _ => decide(policy, seen),
    }
}

/// A leader shows us as an unstarted learner, as another tool may have added it: as one we have never voted.
pub fn unstarted_learner_never_voted(policy: &Policy, seen: &Observation) -> Decision {
    match (&seen.data, unstarted(policy, seen, true)) {
        (DataDir::Empty, Some((entry, members))) if entry.learner => existing(entry, members),
        _ => decide(policy, seen),
    }
}

/// Some view shows us as unstarted: we have never voted.
pub fn unstarted_in_a_view_never_voted(policy: &Policy, seen: &Observation) -> Decision {
    match (&seen.data, unstarted(policy, seen, false)) {
        (DataDir::Empty, Some((entry, members))) => existing(entry, members),
        _ => decide(policy, seen),
    }
}

/// Whatever entry a join note names: it says that this volume never ran.
pub fn any_note_starts(policy: &Policy, seen: &Observation) -> Decision {
    match (seen.join_note, unstarted(policy, seen, true)) {
        (Some(_), Some((entry, members))) => existing(entry, members),
        _ => decide(policy, seen),
    }
}

/// Two voters and no leader: the cluster waits for us, whatever size it should have.
pub fn any_two_wait_for_us(policy: &Policy, seen: &Observation) -> Decision {
    let pair = seen.views().find_map(|(_, members)| {
        let entry = our_entry(policy, members).filter(|entry| !entry.learner)?;
        (members.len() == 2).then_some((entry, members))
    });
    match (&seen.data, &seen.quorate, pair) {
        (DataDir::Empty, None, Some((entry, members))) => existing(entry, members),
        _ => decide(policy, seen),
    }
}

/// Of two members the other one holds all, whoever else asks for us.
pub fn the_third_does_not_ask(policy: &Policy, seen: &Observation) -> Decision {
    match changed(policy, seen, |seen| seen.knocks.clear()) {
        Decision::Start(start, Why::SecondOfTwo) => Decision::Start(start, Why::SecondOfTwo),
        _ => decide(policy, seen),
    }
}

/// Without a note about its entry a member waits, instead of being removed and added again.
pub fn unnoted_waits(policy: &Policy, seen: &Observation) -> Decision {
    match decide(policy, seen) {
        Do(Step::RemoveMember(_), why @ Why::AddedNotOurs(_)) => Wait(why),
        decision => decision,
    }
}

/// There is no join note.
pub fn no_join_note(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| seen.join_note = None)
}

// Remove and add.

/// The add comes before the remove.
pub fn add_before_remove(policy: &Policy, seen: &Observation) -> Decision {
    match decide(policy, seen) {
        Do(Step::RemoveMember(_), Why::DataLost) => {
            Do(Step::AddMember { learner: false }, Why::NotListed)
        }
        decision => decision,
    }
}

/// Nothing is changed while another member is ill.
pub fn illness_of_others_holds_back(policy: &Policy, seen: &Observation) -> Decision {
    let all_well = (seen.peers.iter()).all(|peer| matches!(peer.heard, Heard::Etcd { .. }));
    match decide(policy, seen) {
        Do(Step::RemoveMember(_), _) if !all_well => Wait(Why::AnotherRejoins),
        decision => decision,
    }
}

/// Always as voter.
pub fn always_voter(policy: &Policy, seen: &Observation) -> Decision {
    match decide(policy, seen) {
        Do(Step::AddMember { .. }, reason) => Do(Step::AddMember { learner: false }, reason),
        decision => decision,
    }
}

/// A learner stays one.
pub fn never_promoted(policy: &Policy, seen: &Observation) -> Decision {
    match decide(policy, seen) {
        Decision::Start(mut start, reason) => {
            start.promote = false;
            Decision::Start(start, reason)
        }
        decision => decision,
    }
}

// Own and damaged data.

/// Own data waits for a leader.
pub fn own_data_waits(policy: &Policy, seen: &Observation) -> Decision {
    match decide(policy, seen) {
        Decision::Start(
            _,
            Why::NobodyAnswers(_) | Why::NoLeader | Why::OwnData(Confirmed::ByPeer),
        ) => Wait(Why::NoLeader),
        decision => decision,
    }
}

/// Some view does not list us: we were removed.
pub fn unlisted_in_a_view_is_removed(policy: &Policy, seen: &Observation) -> Decision {
    let unlisted = matches!(seen.data, DataDir::Own(own) if seen.views()
        .any(|(_, members)| members.iter().all(|member| member.id != own.member)));
    match unlisted {
        true => Do(Step::Quarantine, Why::Removed(None)),
        false => decide(policy, seen),
    }
}

/// A quorate cluster of our cluster ID holds whatever is here.
pub fn any_history_is_ours(policy: &Policy, seen: &Observation) -> Decision {
    let mut policy = policy.clone();
    if let DataDir::Own(own) | DataDir::Damaged { head: Some(own) } = seen.data {
        policy.static_id = own.member;
    }
    changed(&policy, seen, |seen| {
        if let Some(quorate) = &mut seen.quorate {
            quorate.reached = None;
        }
    })
}

/// Damaged data is set aside at once.
pub fn quarantine_before_remove(policy: &Policy, seen: &Observation) -> Decision {
    match seen.data {
        DataDir::Damaged { .. } => Do(Step::Quarantine, Why::DataDamaged),
        DataDir::Own(_) | DataDir::Empty => decide(policy, seen),
    }
}

/// A member that is behind, or damaged, is removed at once, and "once": there is no give-up note.
pub fn no_give_up_note(policy: &Policy, seen: &Observation) -> Decision {
    match decide(policy, seen) {
        Do(Step::GiveUp, reason) => match seen.data {
            DataDir::Own(own) | DataDir::Damaged { head: Some(own) } => {
                Do(Step::RemoveMember(own.member), reason)
            }
            DataDir::Damaged { head: None } | DataDir::Empty => {
                unreachable!("only a known identity is given up")
            }
        },
        decision => decision,
    }
}

/// An identity that was given up starts again where no leader is proven.
pub fn given_up_starts(policy: &Policy, seen: &Observation) -> Decision {
    match decide(policy, seen) {
        Wait(Why::GivenUp(_)) => start(Begin::WithData, Why::NoLeader),
        decision => decision,
    }
}

/// What a trial died of does not matter.
pub fn behind_is_ignored(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| seen.trial = Trial::None)
}

/// A start that made no progress is repeated in our place, where nobody sees what it dies of.
pub fn stalled_is_ignored(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| seen.stalled = false)
}

// A set that has outgrown its initial cluster.

/// The initial cluster is all there is.
pub fn who_came_later_is_not_asked(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| seen.peers.retain(|peer| peer.initial))
}

/// A set of two has no third member.
pub fn a_set_of_two_stays_so(policy: &Policy, seen: &Observation) -> Decision {
    match decide(policy, seen) {
        Wait(Why::DataLostNoLeader(_)) if policy.initial.len() == 2 => {
            changed(policy, seen, |seen| seen.set = SetWants::NotAsked)
        }
        decision => decision,
    }
}

/// Who came later, and does not answer, is empty.
pub fn who_came_later_may_be_silent(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| {
        let silent = |peer: &Peer| !peer.initial && matches!(peer.heard, Heard::Silent(_));
        seen.peers.retain(|peer| !silent(peer));
    })
}
