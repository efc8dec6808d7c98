//! Rules that the modelled world cannot judge, broken on purpose: cases of `decisions.txt` show them.
//!
//! It has no names, URLs, certificates and settings; one place for a member's data, and no other; no time in
//! which a knock could still come; no
//! surroundings that keep etcd from starting (`start-failed`, `cannot-start`; `version-skip`: that member is down
//! there), so what is lost by a remove
//! that no start can follow is not seen there; and no cluster that denies a step for ever or does not take a
//! chore: a step without an effect is no harm in it, however often it is repeated. To add a second learner
//! (`another-rejoins`) is such a step too: etcd refuses it. To add a voter instead is caught, as
//! `always_voter`. So is a remove that is sent while nobody leads: it hangs, and whenever it is applied, no
//! start follows under that ID. Nor has it a learner that shall stay one, beside which a wait has no end. A
//! cluster that was founded anew does not come further there than the old one had, and its terms are of both.

use etcd_rejoin_decide::membership::{InitialCluster, Member};
use etcd_rejoin_decide::{
    Bootstrap, DataDir, Decision, Evidence, Heard, Holds, JoinAs, ListedHere, Observation, Policy,
    SetWants, Steady, Step, Surroundings, Trial, Why, decide,
};

use Decision::{Do, Wait};

use crate::mutants::{changed, start};

/// Whoever answers as our member is ourselves.
pub fn twin_is_ignored(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| seen.twin = false)
}

fn lists(seen: &mut Observation) -> impl Iterator<Item = &mut Member> {
    let views = seen
        .peers
        .iter_mut()
        .filter_map(|peer| match &mut peer.heard {
            Heard::Etcd { members, .. } => Some(members),
            _ => None,
        });
    let quorate = seen.quorate.iter_mut().map(|quorate| &mut quorate.members);
    views.chain(quorate).flatten()
}

/// Our entry is the one with our URL; names do not matter.
pub fn names_are_ignored(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| {
        for member in lists(seen).filter(|member| !member.has_peer_url(&policy.peer_urls)) {
            member.name.push('x');
        }
    })
}

/// Every answer is of the cluster that the first one named.
pub fn strangers_are_ours(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| {
        let ours =
            (seen.quorate.as_ref().map(|quorate| quorate.cluster)).unwrap_or(policy.static_cluster);
        for peer in &mut seen.peers {
            if let Heard::Etcd { cluster, .. } = &mut peer.heard {
                *cluster = ours;
            }
        }
    })
}

/// The cluster ID of the data is not compared.
pub fn own_data_is_of_any_cluster(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| {
        let heard = seen.quorate.as_ref().map(|quorate| quorate.cluster);
        let heard = heard.or(seen.views().next().map(|(cluster, _)| cluster));
        if let (DataDir::Own(own), Some(cluster)) = (&mut seen.data, heard) {
            own.cluster = cluster;
        }
    })
}

/// Whose name and URLs the lists give to this identity does not matter.
pub fn any_volume_is_ours(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| {
        let own = match seen.data {
            DataDir::Own(own) => Some(own),
            DataDir::Damaged { head } => head,
            DataDir::Empty => None,
        };
        for member in lists(seen).filter(|member| own.is_some_and(|own| own.member == member.id)) {
            member.name = policy.name.clone();
        }
    })
}

/// What the database says of its member is not read.
pub fn the_database_says_nothing(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| seen.listed_here = ListedHere::Unknown)
}

/// A log that is as long is the same, whatever its term.
pub fn terms_are_not_compared(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| seen.committed.term = 0)
}

/// A log of a newer term is the same, however short it is.
pub fn indexes_are_not_compared(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| seen.committed.index = 0)
}

/// A member that was removed may be listed again.
pub fn founders_come_back(policy: &Policy, seen: &Observation) -> Decision {
    let mut policy = policy.clone();
    if let DataDir::Own(own) | DataDir::Damaged { head: Some(own) } = seen.data {
        policy.static_id = own.member;
    }
    decide(&policy, seen)
}

/// A refusal is silence.
pub fn refusals_are_silence(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| {
        seen.refused = None;
        for peer in &mut seen.peers {
            if let Heard::Refused(why) = &peer.heard {
                peer.heard = Heard::Silent(why.clone());
            }
        }
    })
}

/// One peer that refuses us stands in the way, however many do not.
pub fn one_refusal_is_enough(policy: &Policy, seen: &Observation) -> Decision {
    match (&seen.data, &seen.quorate) {
        (DataDir::Empty | DataDir::Damaged { .. }, Some(_)) if seen.is_refused() => {
            Decision::Refuse(Why::NotAllowed(Evidence::default()))
        }
        _ => decide(policy, seen),
    }
}

/// Whoever was not asked would let us in, though all that were asked refuse us.
pub fn the_unasked_let_us_in(policy: &Policy, seen: &Observation) -> Decision {
    match seen.quorate.is_some() && seen.views().next().is_none() {
        true => refusals_are_silence(policy, seen),
        false => decide(policy, seen),
    }
}

/// Initial cluster and token are not compared.
pub fn settings_are_not_compared(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| {
        for peer in &mut seen.peers {
            if let Heard::Entrypoint { differs, .. } = &mut peer.heard {
                *differs = None;
            }
        }
    })
}

/// etcd's default is as good a peer URL as any.
pub fn a_default_is_a_url(policy: &Policy, seen: &Observation) -> Decision {
    let policy = Policy {
        peer_urls_given: true,
        ..policy.clone()
    };
    decide(&policy, seen)
}

/// A restart undoes `leave`.
pub fn leaving_is_forgotten(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| seen.left = false)
}

/// The lock on the data dir is not asked for.
pub fn lock_is_ignored(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| seen.in_use = false)
}

/// What a refused start has left stays where it is.
pub fn leftovers_stay(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| seen.leftovers = false)
}

/// A WAL that is not where it must be is nowhere.
pub fn a_misplaced_wal_is_lost(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| seen.misplaced = None)
}

/// What lies beside the data dir is nobody's.
pub fn data_elsewhere_is_not_looked_for(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| seen.elsewhere.clear())
}

/// Whatever lies beside the data dir is ours.
pub fn data_elsewhere_is_ours(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| {
        for data in &mut seen.elsewhere {
            (data.owner, data.near, data.held) = (None, true, false);
        }
    })
}

/// Only the peers that were asked are counted.
pub fn whoever_was_not_asked_is_promised(policy: &Policy, seen: &Observation) -> Decision {
    let mut policy = policy.clone();
    let names: Vec<String> = (policy.initial.iter())
        .filter(|(name, _)| {
            *name == policy.name
                || (seen.peers.iter())
                    .any(|peer| peer.name == *name && !matches!(peer.heard, Heard::Silent(_)))
        })
        .map(|(name, urls)| format!("{name}={}", urls[0]))
        .collect();
    // An initial cluster without us, and nobody of it was asked: there is no such one.
    if let Ok(initial) = InitialCluster::parse(&names.join(",")) {
        policy.initial = initial;
    }
    decide(&policy, seen)
}

/// A promise starts whatever the lists say of us.
pub fn outdated_promise_starts(policy: &Policy, seen: &Observation) -> Decision {
    match decide(policy, seen) {
        Wait(Why::DataLostNoLeader(_)) if seen.promise => {
            start(etcd_rejoin_decide::Begin::New, Why::FirstStartContinued)
        }
        decision => decision,
    }
}

/// Nobody listens before a cluster is founded.
pub fn nobody_listens(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| seen.listened = true)
}

/// An answer that is none counts as one.
pub fn nonsense_is_promised(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| {
        for peer in &mut seen.peers {
            if let Heard::Nonsense(_) = peer.heard {
                peer.heard = Heard::Entrypoint {
                    holds: Holds::Promised,
                    differs: None,
                };
            }
        }
    })
}

/// What has just failed is started again, for ever.
pub fn failed_starts_again(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| seen.failed = None)
}

/// That etcd could not read its data is enough for damage.
pub fn etcds_word_is_damage(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| seen.torn = true)
}

/// Whoever lists us as we are here proves a leader, however far it has come.
pub fn how_far_does_not_matter(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| seen.progress.clear())
}

/// A full disk or a port in use does not keep us from leaving the cluster.
pub fn hindrances_do_not_matter(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| {
        seen.surroundings = Surroundings::default();
    })
}

/// Where our own peer URL leads does not matter.
pub fn any_url_leads_here(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| seen.own_urls.clear())
}

/// What the cluster has denied us is asked for again, for ever.
pub fn denied_steps_are_repeated(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| seen.denied = None)
}

/// A chore that the cluster does not take is tried for ever: own data never starts.
pub fn chores_are_never_given_up(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| seen.no_chores = false)
}

/// The entry that our note names stays where our peer URLs have changed since: nobody removes it.
pub fn old_urls_are_left_behind(policy: &Policy, seen: &Observation) -> Decision {
    match decide(policy, seen) {
        Do(Step::RemoveMember(_), Why::AddedUnderOldUrl) => {
            Do(Step::AddMember { learner: false }, Why::NotListed)
        }
        decision => decision,
    }
}

/// A learner is added although another one is in the way.
pub fn learners_are_added_side_by_side(policy: &Policy, seen: &Observation) -> Decision {
    match decide(policy, seen) {
        Wait(Why::AnotherRejoins) => Do(Step::AddMember { learner: true }, Why::NotListed),
        decision => decision,
    }
}

/// The third voter starts although one of the others may forget its add in a crash.
pub fn the_third_is_not_settled(policy: &Policy, seen: &Observation) -> Decision {
    match decide(policy, seen) {
        Do(Step::SettleJoin(id), reason) => Do(Step::NoteJoin(id), reason),
        decision => decision,
    }
}

/// A learner is settled as a voter is: the list shows it as one from then on, and it never votes.
pub fn learners_are_settled(policy: &Policy, seen: &Observation) -> Decision {
    match decide(policy, seen) {
        Do(Step::NoteJoin(id), reason) => Do(Step::SettleJoin(id), reason),
        decision => decision,
    }
}

/// `REJOIN_BOOTSTRAP=now` takes an answer that is none for silence.
pub fn now_passes_over_answers(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| {
        seen.unclear = None;
        for peer in &mut seen.peers {
            if let Heard::Nonsense(why) = &peer.heard {
                peer.heard = Heard::Silent(why.clone());
            }
        }
    })
}

/// What is set aside is deleted before the member is back.
pub fn set_aside_is_deleted_at_once(policy: &Policy, seen: &Observation) -> Decision {
    match (policy.keep, decide(policy, seen)) {
        (Some(keep), Decision::Start(..)) if seen.set_aside > keep => {
            Do(Step::DeleteSetAside { keep }, Why::SetAsideNotNeeded)
        }
        (_, decision) => decision,
    }
}

/// `ETCD_INITIAL_CLUSTER_STATE=existing` and `REJOIN_BOOTSTRAP=never` forbid nothing.
pub fn founding_is_always_allowed(policy: &Policy, seen: &Observation) -> Decision {
    let mut policy = policy.clone();
    policy.joins_only = None;
    policy.bootstrap = Bootstrap::All;
    decide(&policy, seen)
}

/// `REJOIN_AS=never` forbids nothing.
pub fn joining_is_always_allowed(policy: &Policy, seen: &Observation) -> Decision {
    let mut policy = policy.clone();
    policy.join = JoinAs::Auto;
    decide(&policy, seen)
}

/// Whom nobody answers is silent, whyever that is.
pub fn keys_are_never_unfit(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| seen.unfit = None)
}

/// A list that was old once is old for ever.
pub fn no_list_is_tried_again(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| seen.old_lists = 0)
}

/// And a start that took an old list is tried for ever.
pub fn lists_are_tried_for_ever(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| seen.old_lists = seen.old_lists.min(1))
}

/// Whatever a trial died of, the data is to blame.
pub fn every_death_is_behind(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| {
        if seen.trial == Trial::Other {
            seen.trial = Trial::Behind;
        }
    })
}

/// A member keeps the peer URLs that it once had.
pub fn peer_urls_are_not_updated(policy: &Policy, seen: &Observation) -> Decision {
    let mut policy = policy.clone();
    if let Some(own) = match seen.data {
        DataDir::Own(own) => Some(own.member),
        DataDir::Damaged { .. } | DataDir::Empty => None,
    } {
        let mut seen = seen.clone();
        if let Some(member) = lists(&mut seen).find(|member| member.id == own) {
            policy.peer_urls = member.peer_urls.clone();
        }
    }
    decide(&policy, seen)
}

/// An empty volume removes its entry without a proven leader.
pub fn empty_removes_without_leader(policy: &Policy, seen: &Observation) -> Decision {
    let ours = |member: &&Member| member.has_peer_url(&policy.peer_urls);
    let entry = (seen.views()).find_map(|(_, members)| members.iter().find(ours));
    match (decide(policy, seen), entry) {
        (Wait(Why::DataLostNoLeader(_)), Some(entry)) => {
            Do(Step::RemoveMember(entry.id), Why::DataLost)
        }
        (decision, _) => decision,
    }
}

/// What is listed without a leader counts at once.
pub fn views_are_steady(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| seen.steady = Steady::HalfAMinute)
}

/// Three seconds are enough for a log to be read.
pub fn a_log_is_short(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| {
        if seen.steady == Steady::Seconds {
            seen.steady = Steady::HalfAMinute;
        }
    })
}

/// Any learner keeps us out until it is a voter.
pub fn learners_keep_out(policy: &Policy, seen: &Observation) -> Decision {
    let any = (seen.quorate.iter()).any(|quorate| quorate.members.iter().any(|m| m.learner));
    match decide(policy, seen) {
        Do(Step::AddMember { .. }, _) if any => Wait(Why::AnotherRejoins),
        decision => decision,
    }
}

/// Under `now` a promise is given in each look.
pub fn now_promises_again(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| {
        seen.promise &= policy.bootstrap != Bootstrap::Now
    })
}

/// No member lists a peer URL twice.
pub fn urls_are_listed_once(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| {
        lists(seen).for_each(|member| member.peer_urls.dedup());
    })
}

// What a StatefulSet wants is not in that world.

pub fn any_silence_of_the_set_is_a_shrunken_one(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| {
        if let SetWants::Unknown(_) = seen.set {
            seen.set = SetWants::Replicas {
                start: 0,
                replicas: 1,
            };
        }
    })
}

pub fn a_set_of_nobody_wants_nobody(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| {
        if let SetWants::Replicas { replicas: 0, start } = seen.set {
            seen.set = SetWants::Replicas {
                start: start + 100,
                replicas: 1,
            };
        }
    })
}

/// Whoever said so, and whatever the set wants.
pub fn whoever_left_comes_back(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| seen.left_scaled = seen.left)
}

pub fn whoever_leads_just_goes(policy: &Policy, seen: &Observation) -> Decision {
    changed(policy, seen, |seen| seen.asked_to_move = true)
}
