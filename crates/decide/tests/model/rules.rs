//! Each rule of the table, broken on purpose, is caught. Together with `counterexamples`.

use crate::actions::Action;
use crate::caught::is_caught;
use crate::check::is_stranded;
use crate::cluster::{Begin, Cluster};
use crate::counterexamples::all_promised;
use crate::entrypoint::{How, Notes};
use crate::look::{Decide, Hears};
use crate::mutants;
use crate::properties::{LAST_COPY, NO_AMNESIA, NO_LOSS, ONE_CLUSTER};
use crate::unmodelled;
use crate::words;
use crate::world::{Act, Budget, ONE_WRITE};

fn cluster(begin: Begin, budget: Budget, mutant: Decide) -> Cluster<3> {
    Cluster::new(begin, budget).with(mutant)
}

#[test]
fn silence_founds_nothing() {
    let budget = Budget {
        wipe: 1,
        kill: 2,
        ..ONE_WRITE
    };
    for mutant in [
        mutants::silence_is_a_first_start as Decide,
        mutants::silence_is_promised,
    ] {
        is_caught("silence", NO_LOSS, cluster(Begin::Running, budget, mutant));
    }
}

#[test]
fn two_wiped_members_do_not_form_the_cluster_again_under_their_old_ids() {
    let budget = Budget {
        wipe: 2,
        kill: 1,
        ..ONE_WRITE
    };
    let naive = cluster(Begin::Running, budget, mutants::new_first).beyond_majority();
    is_caught("R1", NO_LOSS, naive);
}

#[test]
fn a_wiped_member_does_not_lead_without_the_write_it_acknowledged() {
    let budget = Budget {
        wipe: 1,
        kill: 2,
        ..ONE_WRITE
    };
    is_caught(
        "R2",
        NO_LOSS,
        cluster(Begin::Running, budget, mutants::new_first),
    );
}

#[test]
fn beside_a_grown_cluster_no_second_one_is_founded() {
    let budget = Budget {
        wipe: 2,
        ..ONE_WRITE
    };
    let naive = cluster(Begin::Grown, budget, mutants::new_first).beyond_majority();
    is_caught("R5b", NO_LOSS, naive);
    let budget = Budget {
        wipe: 1,
        operator_remove: 1,
        pause: 1,
        ..Budget::default()
    };
    let naive = cluster(Begin::Grown, budget, mutants::new_first);
    is_caught("R5b", ONE_CLUSTER, naive);
}

/// Two founded a cluster, a third joined it; the two lose their disks, and hear each other empty.
#[test]
fn founders_do_not_found_again_beside_a_cluster_that_asks_for_them() {
    let budget = Budget {
        wipe: 2,
        ..ONE_WRITE
    };
    for property in [NO_LOSS, NO_AMNESIA] {
        let of_two = Cluster::<3>::new(Begin::Outgrown(2), budget)
            .that_hears(Hears::KnocksOfTheLone)
            .beyond_majority();
        is_caught("outgrown", property, of_two);
    }
}

/// The founders were replaced but for the last one, whose disk is lost; their old stack comes up again, empty.
#[test]
fn an_old_stack_that_comes_up_empty_founds_nothing() {
    let budget = Budget {
        wipe: 1,
        ..ONE_WRITE
    };
    let moved_on = Cluster::<4>::new(Begin::MovedOn(2), budget).that_hears(Hears::KnocksOfTheLone);
    is_caught("moved on", NO_AMNESIA, moved_on);
}

/// A third member joined, left and joined again: one of the first two may have heard of it only that it left.
#[test]
fn of_two_founders_the_second_does_not_start_beside_a_third_that_asks_for_it() {
    let budget = Budget {
        wipe: 2,
        ..ONE_WRITE
    };
    let of_two = Cluster::<3>::new(Begin::Outgrown(2), budget)
        .with(mutants::the_third_does_not_ask)
        .beyond_majority();
    is_caught("third", NO_LOSS, of_two);
}

/// A member that founded its cluster alone lost its disk, and nobody else is in its initial cluster.
#[test]
fn a_lone_founder_does_not_found_again_beside_a_cluster_that_asks_for_it() {
    let budget = Budget {
        wipe: 1,
        ..ONE_WRITE
    };
    let lone = || Cluster::<3>::new(Begin::Outgrown(1), budget);
    is_caught("lone", ONE_CLUSTER, lone().that_hears(Hears::NoKnock));
    let unread = lone().unreadable().that_hears(Hears::ReadableKnocks);
    is_caught("unreadable", ONE_CLUSTER, unread);
}

/// A set began with one or two members and grew; none of those who came later runs, and so nobody knocks.
#[test]
fn a_set_that_grew_is_not_founded_again_by_its_first_members() {
    let budget = Budget {
        wipe: 1,
        kill: 2,
        ..ONE_WRITE
    };
    for mutant in [
        mutants::who_came_later_is_not_asked as Decide,
        mutants::who_came_later_may_be_silent,
    ] {
        let grown = Cluster::<3>::new(Begin::Outgrown(1), budget)
            .in_a_set()
            .that_hears(Hears::NoKnock)
            .with(mutant);
        is_caught("grown set", ONE_CLUSTER, grown);
    }
}

#[test]
fn the_second_of_two_does_not_start_where_its_set_wants_a_third() {
    let budget = Budget {
        wipe: 2,
        kill: 2,
        ..ONE_WRITE
    };
    let grown = Cluster::<3>::new(Begin::Outgrown(2), budget)
        .in_a_set()
        .that_hears(Hears::NoKnock)
        .with(mutants::a_set_of_two_stays_so)
        .beyond_majority();
    is_caught("set of two", NO_LOSS, grown);
}

#[test]
fn bootstrap_now_can_lose_writes_with_one_lost_disk() {
    let budget = Budget {
        wipe: 1,
        kill: 1,
        ..ONE_WRITE
    };
    let new = Act::StartNew { trial: true };
    let both = [Act::Promise, new].into_iter().flat_map(|act| {
        [0, 1].map(|at| [Action::Decide(at, act), Action::Act(at, act, How::Alone)])
    });
    let founded: Vec<Action> = ([[Action::Start(0), Action::Start(1)]].into_iter())
        .chain(both)
        .flatten()
        .collect();
    // n3 never ran, so it has no promise, and counts as lost.
    let world = cluster(Begin::Nothing, budget, mutants::now_founds)
        .after(&founded)
        .beyond_majority();
    is_caught("bootstrap", NO_LOSS, world);
}

#[test]
fn a_peer_with_data_is_no_empty_one() {
    let budget = Budget {
        wipe: 2,
        kill: 1,
        ..ONE_WRITE
    };
    let mutated = cluster(Begin::Running, budget, mutants::data_is_empty).beyond_majority();
    is_caught("data", NO_LOSS, mutated);
}

#[test]
fn a_peer_with_data_of_another_cluster_is_no_empty_one() {
    let budget = Budget {
        wipe: 2,
        kill: 1,
        ..ONE_WRITE
    };
    let mutated = cluster(Begin::Grown, budget, mutants::foreign_data_is_empty);
    is_caught("foreign data", NO_LOSS, mutated.beyond_majority());
}

#[test]
fn a_promise_is_continued_beside_those_that_have_left_for_etcd() {
    let mutant = mutants::promise_is_not_continued;
    let budget = Budget {
        kill: 1,
        ..ONE_WRITE
    };
    is_stranded("promise", cluster(Begin::Nothing, budget, mutant));
}

#[test]
fn whoever_starts_has_the_promise_of_all() {
    let budget = Budget {
        kill: 1,
        ..ONE_WRITE
    };
    let mutant = mutants::one_promise_is_enough;
    is_stranded("one promise", cluster(Begin::Nothing, budget, mutant));
}

#[test]
fn a_started_member_without_its_data_does_not_start_again() {
    let budget = Budget {
        wipe: 1,
        kill: 1,
        ..ONE_WRITE
    };
    for mutant in [
        mutants::started_starts_again as Decide,
        mutants::started_starts_again_without_leader,
    ] {
        is_caught("started", NO_LOSS, cluster(Begin::Running, budget, mutant));
    }
}

/// Another volume of ours may have added it, and may have run there.
#[test]
fn a_note_starts_the_entry_that_it_names_and_no_other() {
    let budget = Budget {
        kill: 1,
        swap: 3,
        ..ONE_WRITE
    };
    let mutant = mutants::any_note_starts;
    is_caught(
        "any note",
        NO_LOSS,
        cluster(Begin::Running, budget, mutant).beyond_majority(),
    );
}

#[test]
fn an_entry_without_a_note_is_removed() {
    let budget = Budget {
        wipe: 2,
        ..ONE_WRITE
    };
    is_stranded(
        "no note",
        cluster(Begin::Running, budget, mutants::unnoted_waits),
    );
}

#[test]
fn the_remove_comes_before_the_add() {
    let budget = Budget {
        wipe: 1,
        ..ONE_WRITE
    };
    is_stranded(
        "add first",
        cluster(Begin::Running, budget, mutants::add_before_remove),
    );
}

#[test]
fn the_notes_vanish_with_the_first_wal() {
    let budget = Budget {
        wipe: 2,
        kill: 1,
        ..ONE_WRITE
    };
    let world = Cluster::<3>::new(Begin::Running, budget).with_notes(Notes::OutliveWal);
    is_caught("notes outlive the WAL", NO_LOSS, world);
}

#[test]
fn a_promise_for_another_initial_cluster_counts_for_nothing() {
    let budget = Budget {
        wipe: 1,
        kill: 1,
        ..ONE_WRITE
    };
    let world = Cluster::<3>::new(Begin::Nothing, budget)
        .with_notes(Notes::AnyPromise)
        .after(&all_promised());
    is_caught("any promise", NO_LOSS, world);
}

#[test]
fn the_entrypoint_does_not_consume_its_notes_before_etcd_runs() {
    let budget = Budget {
        kill: 3,
        ..Budget::default()
    };
    let world = Cluster::<3>::new(Begin::Nothing, budget)
        .with_notes(Notes::ConsumedBeforeExec)
        .after(&all_promised());
    is_stranded("notes consumed before exec", world);
}

#[test]
fn a_learner_is_promoted() {
    let budget = Budget {
        wipe: 1,
        ..Budget::default()
    };
    let five = Cluster::<5>::new(Begin::Running, budget).with(mutants::never_promoted);
    is_stranded("learner", five);
}

#[test]
fn own_data_starts_without_a_leader() {
    let budget = Budget {
        kill: 2,
        ..ONE_WRITE
    };
    is_stranded(
        "own data",
        cluster(Begin::Running, budget, mutants::own_data_waits),
    );
}

#[test]
fn a_view_does_not_remove_anybody() {
    let budget = Budget {
        wipe: 2,
        kill: 1,
        ..ONE_WRITE
    };
    let mutant = mutants::unlisted_in_a_view_is_removed;
    is_caught(
        "view",
        LAST_COPY,
        cluster(Begin::Running, budget, mutant).beyond_majority(),
    );
}

/// Two members were wiped, and founded the initial cluster anew by plain etcd: its ID is that of the data.
#[test]
fn nothing_is_set_aside_for_a_cluster_that_lacks_its_history() {
    let budget = Budget {
        wipe: 2,
        kill: 1,
        refound: 1,
        ..ONE_WRITE
    };
    let damaged = Budget {
        damage: 1,
        ..budget
    };
    let mutant = mutants::any_history_is_ours;
    for (name, begin, budget) in [
        ("other history", Begin::Rejoined, budget),
        ("other history, damaged", Begin::Running, damaged),
    ] {
        is_caught(
            name,
            LAST_COPY,
            cluster(begin, budget, mutant).beyond_majority(),
        );
    }
}

#[test]
fn damaged_data_is_removed_before_it_is_set_aside() {
    let budget = Budget {
        damage: 1,
        wipe: 1,
        ..ONE_WRITE
    };
    let mutant = mutants::quarantine_before_remove;
    is_caught(
        "damaged",
        LAST_COPY,
        cluster(Begin::Running, budget, mutant).beyond_majority(),
    );
}

#[test]
fn a_member_that_is_behind_gives_up() {
    let budget = Budget {
        tail: 1,
        ..ONE_WRITE
    };
    is_stranded(
        "behind",
        cluster(Begin::Running, budget, mutants::behind_is_ignored),
    );
}

/// Only on trial it is seen that the leader knows entries which are missing here.
#[test]
fn a_member_without_progress_starts_on_trial() {
    let budget = Budget {
        tail: 1,
        ..ONE_WRITE
    };
    is_stranded(
        "stalled",
        cluster(Begin::Running, budget, mutants::stalled_is_ignored),
    );
}

// The rules below are about what this world does not have (`unmodelled` says what): for each of them a
// case of `decisions.txt` decides otherwise when it is broken.

fn turns_a_case_red(name: &str, mutant: Decide) {
    let cases = words::cases(include_str!("../decisions.txt"));
    let red: Vec<usize> = (cases.iter())
        .filter(|case| {
            (case.variants.iter())
                .any(|(policy, seen)| words::in_words(&mutant(policy, seen)) != case.expected)
        })
        .map(|case| case.line)
        .collect();
    println!("{name}: lines {red:?} of decisions.txt");
    assert!(!red.is_empty(), "{name}: no case of decisions.txt shows it");
}

#[test]
fn what_the_model_does_not_know_is_shown_by_a_case() {
    for (name, mutant) in [
        ("twin", unmodelled::twin_is_ignored as Decide),
        ("two entries", unmodelled::names_are_ignored),
        ("listed twice", unmodelled::urls_are_listed_once),
        ("permanent learner", unmodelled::learners_keep_out),
        ("one promise", unmodelled::now_promises_again),
        ("two clusters", unmodelled::strangers_are_ours),
        ("other cluster", unmodelled::own_data_is_of_any_cluster),
        ("volume of another member", unmodelled::any_volume_is_ours),
        (
            "another in the database",
            unmodelled::the_database_says_nothing,
        ),
        ("other term", unmodelled::terms_are_not_compared),
        ("other index", unmodelled::indexes_are_not_compared),
        ("founded again", unmodelled::founders_come_back),
        ("refusals", unmodelled::refusals_are_silence),
        ("one refusal", unmodelled::one_refusal_is_enough),
        ("refused by all", unmodelled::the_unasked_let_us_in),
        ("peers disagree", unmodelled::settings_are_not_compared),
        ("peer URL not given", unmodelled::a_default_is_a_url),
        ("left", unmodelled::leaving_is_forgotten),
        (
            "replicas",
            unmodelled::any_silence_of_the_set_is_a_shrunken_one,
        ),
        ("no replicas", unmodelled::a_set_of_nobody_wants_nobody),
        ("wanted again", unmodelled::whoever_left_comes_back),
        ("leader", unmodelled::whoever_leads_just_goes),
        ("in use", unmodelled::lock_is_ignored),
        ("leftovers", unmodelled::leftovers_stay),
        ("misplaced", unmodelled::a_misplaced_wal_is_lost),
        (
            "data elsewhere",
            unmodelled::data_elsewhere_is_not_looked_for,
        ),
        ("others' data", unmodelled::data_elsewhere_is_ours),
        ("not asked", unmodelled::whoever_was_not_asked_is_promised),
        ("outdated promise", unmodelled::outdated_promise_starts),
        ("listening", unmodelled::nobody_listens),
        ("nonsense", unmodelled::nonsense_is_promised),
        ("start failed", unmodelled::failed_starts_again),
        ("key unfit", unmodelled::keys_are_never_unfit),
        ("old list", unmodelled::no_list_is_tried_again),
        ("old lists", unmodelled::lists_are_tried_for_ever),
        ("cannot start", unmodelled::hindrances_do_not_matter),
        ("misled", unmodelled::any_url_leads_here),
        ("torn", unmodelled::etcds_word_is_damage),
        ("how far", unmodelled::how_far_does_not_matter),
        ("denied", unmodelled::denied_steps_are_repeated),
        ("no leader", unmodelled::empty_removes_without_leader),
        ("no chores", unmodelled::chores_are_never_given_up),
        ("old URLs", unmodelled::old_urls_are_left_behind),
        (
            "another rejoins",
            unmodelled::learners_are_added_side_by_side,
        ),
        ("steady", unmodelled::views_are_steady),
        ("long log", unmodelled::a_log_is_short),
        ("third", unmodelled::the_third_is_not_settled),
        ("settled learner", unmodelled::learners_are_settled),
        ("now", unmodelled::now_passes_over_answers),
        ("set aside", unmodelled::set_aside_is_deleted_at_once),
        ("forbidden", unmodelled::founding_is_always_allowed),
        ("never join", unmodelled::joining_is_always_allowed),
        ("trial other", unmodelled::every_death_is_behind),
        ("peer URLs", unmodelled::peer_urls_are_not_updated),
    ] {
        turns_a_case_red(name, mutant);
    }
}
