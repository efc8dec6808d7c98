//! The ways in which earlier tables failed, each by its number: the rule that it needs broken is
//! caught within these bounds, and within the same bounds the table holds.

use etcd_rejoin_decide::JoinAs;

use crate::actions::Action;
use crate::caught::is_caught;
use crate::check::{breaks_only, holds_by_graph, is_stranded};
use crate::cluster::{Begin, Cluster};
use crate::entrypoint::{How, Notes};
use crate::look::Decide;
use crate::mutants;
use crate::properties::{MARGIN, NO_LOSS, REMOVED_ALIVE};
use crate::world::{Act, Budget, ONE_WRITE, broken};

fn nothing(budget: Budget) -> Cluster<3> {
    Cluster::new(Begin::Nothing, budget)
}

fn running(budget: Budget) -> Cluster<3> {
    Cluster::new(Begin::Running, budget)
}

/// Three entrypoints of a first start have looked, and promised.
pub fn all_promised() -> Vec<Action> {
    let promise = |at| {
        let decide = Action::Decide(at, Act::Promise);
        [decide, Action::Act(at, Act::Promise, How::Alone)]
    };
    let starts = [0, 1, 2].map(Action::Start);
    starts
        .into_iter()
        .chain([0, 1, 2].into_iter().flat_map(promise))
        .collect()
}

#[test]
fn c1_a_view_of_a_fresh_member_is_no_evidence_that_we_never_voted() {
    let budget = Budget {
        wipe: 1,
        ..ONE_WRITE
    };
    let mutant = nothing(budget).with(mutants::unstarted_in_a_view_never_voted);
    is_caught("C1", NO_LOSS, mutant);
    holds_by_graph("C1", nothing(budget));
}

#[test]
fn c2_an_entry_that_was_added_may_have_voted_before_it_published() {
    let budget = Budget {
        wipe: 2,
        kill: 1,
        ..ONE_WRITE
    };
    let mutant = running(budget).with(mutants::unstarted_never_voted);
    is_caught("C2", NO_LOSS, mutant);
    holds_by_graph("C2", running(budget));
}

/// Promoted, it is a voter for all that it has acknowledged before: etcd promotes by what the leader remembers of a
/// member, also while that is down and its disk is gone (seen with 3.4.23, 3.5.16 and 3.5.30).
#[test]
fn c2_a_learner_that_was_added_may_be_a_voter_before_its_etcd_runs() {
    let budget = Budget {
        wipe: 2,
        kill: 1,
        promote: 1,
        ..ONE_WRITE
    };
    let learners = || running(budget).join_as(JoinAs::Learner);
    let mutant = learners().with(mutants::unstarted_learner_never_voted);
    is_caught("C2, a learner", NO_LOSS, mutant);
    holds_by_graph("C2, a learner", learners());
}

#[test]
fn c2_without_a_join_note_remove_and_add_go_on_for_ever() {
    let budget = Budget {
        wipe: 1,
        ..ONE_WRITE
    };
    is_stranded("C2", running(budget).with(mutants::no_join_note));
}

#[test]
fn c3_two_voters_in_a_view_do_not_wait_for_us() {
    let budget = Budget {
        wipe: 2,
        operator_remove: 1,
        ..ONE_WRITE
    };
    is_caught(
        "C3",
        NO_LOSS,
        running(budget).with(mutants::any_two_wait_for_us),
    );
    breaks_only("C3", broken::MARGIN, running(budget));
}

#[test]
fn c4_what_was_heard_is_kept_on_disk() {
    let budget = Budget {
        kill: 1,
        ..ONE_WRITE
    };
    is_stranded("C4", nothing(budget).with(mutants::no_promise));
    holds_by_graph("C4", nothing(budget));
    let budget = Budget {
        kill: 2,
        ..ONE_WRITE
    };
    let in_memory = nothing(budget)
        .with_notes(Notes::PromiseInMemory)
        .after(&all_promised());
    is_stranded("C4", in_memory);
    holds_by_graph("C4", nothing(budget).after(&all_promised()));
}

#[test]
fn c5_late_starters_of_a_first_start_bring_their_bootstrap_entries() {
    let budget = Budget {
        wipe: 1,
        ..ONE_WRITE
    };
    is_stranded(
        "C5",
        nothing(budget).with(mutants::late_starter_is_existing),
    );
    holds_by_graph("C5", nothing(budget));
}

#[test]
fn c6_a_remove_that_timed_out_never_meets_a_running_member() {
    let budget = Budget {
        tail: 1,
        pend: 1,
        kill: 1,
        ..ONE_WRITE
    };
    for mutant in [mutants::no_give_up_note as Decide, mutants::given_up_starts] {
        is_caught("C6", REMOVED_ALIVE, running(budget).with(mutant));
    }
    // C9 is in these bounds too.
    breaks_only("C6", broken::LOSS, running(budget));
}

#[test]
fn c7_two_lost_members_of_five_do_not_wait_for_each_other() {
    let budget = Budget {
        wipe: 2,
        ..Budget::default()
    };
    let both = [Action::LoseDisk(3), Action::LoseDisk(4)];
    let five = || Cluster::<5>::new(Begin::Running, budget).after(&both);
    is_stranded("C7", five().with(mutants::illness_of_others_holds_back));
    holds_by_graph("C7", five());
}

#[test]
fn c8_two_rejoins_at_once_cost_no_margin() {
    let budget = Budget {
        wipe: 2,
        ..Budget::default()
    };
    let five = Cluster::<5>::new(Begin::Running, budget).with(mutants::always_voter);
    is_caught("C8", MARGIN, five);
    // Of three: only beside an operator's removal, and never as a learner.
    let budget = Budget {
        wipe: 1,
        operator_remove: 1,
        ..ONE_WRITE
    };
    breaks_only("C8", broken::MARGIN, running(budget));
    holds_by_graph("C8", running(budget).join_as(JoinAs::Learner));
}

#[test]
fn c9_a_disk_that_forgets_without_failing_its_checks_is_a_lost_disk() {
    let budget = Budget {
        tail: 1,
        ..ONE_WRITE
    };
    breaks_only("C9", broken::LOSS, running(budget));
}

#[test]
fn c10_data_that_was_set_aside_forbids_a_new_cluster() {
    let budget = Budget {
        damage: 1,
        wipe: 2,
        ..ONE_WRITE
    };
    let beyond = || running(budget).beyond_majority();
    is_caught("C10", NO_LOSS, beyond().with(mutants::set_aside_is_empty));
    is_caught("C10", NO_LOSS, beyond().with(mutants::damaged_is_empty));
    holds_by_graph("C10", beyond());
}
