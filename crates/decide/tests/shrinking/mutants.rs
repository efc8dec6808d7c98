//! Each rule of growing and shrinking, broken on purpose, is caught.

use etcd_rejoin_decide::{
    Begin, DataDir, Decision, Founders, Observation, Peer, Policy, Reason, SetWants, Start, Step,
    Wants, Why, decide,
};

use crate::caught::is_caught;
use crate::cluster::{Cluster, NO_AMNESIA, ONE_CLUSTER, QUORUM, WANTED_STAYS};
use crate::look::Decide;
use crate::runs::{Graph, scaled};
use crate::world::{Budget, World};

fn with(policy: &Policy, seen: &Observation, change: impl Fn(&mut Observation)) -> Decision {
    let mut seen = seen.clone();
    change(&mut seen);
    decide(policy, &seen)
}

fn set_of_three(left: Budget, mutant: Decide) -> Cluster<3> {
    Cluster::new(World::running(3, 3, left), &[0, 1, 3]).with(mutant)
}

/// A set that began with one member, has three, and loses the disk of the first.
fn grown(left: Budget, mutant: Decide) -> Cluster<3> {
    let left = Budget { wipe: 1, ..left };
    Cluster::new(World::running(1, 3, left), &[1, 3]).with(mutant)
}

fn strands(name: &str, model: &Cluster<3>) {
    assert!(
        Graph::of(model).stuck().is_some(),
        "{name}: nothing is stuck"
    );
}

/// The initial cluster is all there is.
fn the_set_forbids_nothing(policy: &Policy, seen: &Observation) -> Decision {
    with(policy, seen, |seen| {
        seen.peers.retain(|peer: &Peer| peer.initial);
        seen.knocks.clear();
        seen.set = SetWants::NotAsked;
    })
}

#[test]
fn a_set_that_grew_is_not_founded_again_by_its_first_member() {
    let left = Budget {
        kill: 2,
        ..Budget::default()
    };
    is_caught(
        "initial only",
        ONE_CLUSTER,
        grown(left, the_set_forbids_nothing),
    );
}

/// No answer of the API server is as good as one that wants nobody else.
fn silence_of_the_server_is_an_answer(policy: &Policy, seen: &Observation) -> Decision {
    with(policy, seen, |seen| {
        if matches!(seen.set, SetWants::Unknown(_)) {
            seen.set = SetWants::Replicas {
                start: 0,
                replicas: 1,
            };
        }
    })
}

#[test]
fn no_answer_of_the_server_is_no_leave() {
    let left = Budget {
        drain: 1,
        deaf: 1,
        ..Budget::default()
    };
    let mutant = silence_of_the_server_is_an_answer;
    is_caught("silence", WANTED_STAYS, set_of_three(left, mutant));
}

/// Whoever stops leaves.
fn a_stop_is_a_leave(policy: &Policy, seen: &Observation) -> Decision {
    let policy = Policy {
        if_scaled_down: false,
        ..policy.clone()
    };
    decide(&policy, seen)
}

#[test]
fn a_drained_pod_leaves_nothing() {
    let left = Budget {
        drain: 1,
        ..Budget::default()
    };
    is_caught(
        "drained",
        WANTED_STAYS,
        set_of_three(left, a_stop_is_a_leave),
    );
}

/// A set that is scaled to nothing is scaled down.
fn stopped_is_scaled_down(policy: &Policy, seen: &Observation) -> Decision {
    let decision = decide(policy, seen);
    match decision.reason() {
        Reason::ScaledToZero => a_stop_is_a_leave(policy, seen),
        _ => decision,
    }
}

#[test]
fn a_set_that_is_stopped_keeps_its_members() {
    is_caught(
        "stopped",
        WANTED_STAYS,
        set_of_three(scaled(1), stopped_is_scaled_down),
    );
}

/// What the others would be left with is no matter.
fn the_rest_is_no_matter(policy: &Policy, seen: &Observation) -> Decision {
    let decision = decide(policy, seen);
    match (policy.wants, decision.reason(), seen.data.identity()) {
        (Wants::Leave, Reason::WouldCostQuorum, Some(own)) => {
            Decision::Do(Step::RemoveMember(own.member), Why::Leaving)
        }
        _ => decision,
    }
}

#[test]
fn no_leave_costs_the_quorum() {
    let left = Budget {
        kill: 1,
        ..scaled(1)
    };
    is_caught("quorum", QUORUM, set_of_three(left, the_rest_is_no_matter));
}

/// A pod without data has nothing to take out.
fn nothing_here_nothing_listed(policy: &Policy, seen: &Observation) -> Decision {
    match (policy.wants, &seen.data) {
        (Wants::Leave, DataDir::Empty) => Decision::Refuse(Why::NoIdentity),
        _ => decide(policy, seen),
    }
}

/// A leave that would cost the quorum now would cost it later.
fn now_or_never(policy: &Policy, seen: &Observation) -> Decision {
    match policy.wants {
        Wants::Leave => with(policy, seen, |seen| seen.over = true),
        Wants::Start | Wants::Vote => decide(policy, seen),
    }
}

#[test]
fn a_pod_that_joins_takes_its_entry_out_and_is_waited_for() {
    for mutant in [nothing_here_nothing_listed as Decide, now_or_never] {
        let begins = Cluster::<3>::new(World::new(1, scaled(2)), &[1, 3]);
        strands("joining", &begins.unaided().with(mutant));
    }
}

/// Who has left has left, whatever the set wants.
fn left_for_good(policy: &Policy, seen: &Observation) -> Decision {
    let decision = decide(policy, seen);
    match decision.reason() {
        Reason::WantedAgain => Decision::Refuse(Why::Left),
        _ => decision,
    }
}

#[test]
fn who_is_wanted_again_comes_back() {
    strands("left for good", &set_of_three(scaled(2), left_for_good));
}

/// A pre-stop whose note was written by an earlier one has nothing to do.
fn a_note_is_a_leave(policy: &Policy, seen: &Observation) -> Decision {
    match (policy.wants, seen.left) {
        (Wants::Start, true) => {
            let start = Start {
                begin: Begin::New,
                trial: true,
                promote: false,
            };
            Decision::Start(start, Why::FirstStart(Founders::All))
        }
        (Wants::Start | Wants::Vote | Wants::Leave, _) => decide(policy, seen),
    }
}

#[test]
fn who_has_left_does_not_found() {
    is_caught(
        "founds",
        ONE_CLUSTER,
        set_of_three(scaled(2), a_note_is_a_leave),
    );
}

/// An entry of ours that is listed as unstarted never ran.
fn unstarted_never_ran(policy: &Policy, seen: &Observation) -> Decision {
    with(policy, seen, |seen| {
        let own = seen.quorate.as_ref().and_then(|quorate| {
            let mut members = quorate.members.iter();
            members.find(|member| member.has_peer_url(&policy.peer_urls))
        });
        if let Some(own) = own {
            seen.join_note = Some(own.id);
        }
    })
}

#[test]
fn an_entry_without_a_note_may_have_voted() {
    let left = Budget {
        wipe: 1,
        kill: 1,
        ..scaled(1)
    };
    let begins = Cluster::new(World::<3>::new(1, left), &[1, 3]).with(unstarted_never_ran);
    is_caught("unstarted", NO_AMNESIA, begins);
}
