//! Each rule, broken on purpose, is caught: of the table, of what a rover answers its peer, and of what
//! the kernel's handler says.

use crate::caught::is_caught;
use crate::cluster::{Cluster, Decide, NO_LOSS, ONE_WRITER, WHOLE};
use crate::mutants;
use crate::runs::{CRASHES, CUTS};
use crate::words;
use crate::world::{Budget, Settings};

const DETACHED: Budget = Budget {
    detach: 1,
    cut_lan: 0,
    ..CUTS
};

const NO_FAULT: Budget = Budget {
    crash: 0,
    cut_link: 0,
    cut_lan: 0,
    ..CUTS
};

#[test]
fn primary_rc_0_is_no_evidence() {
    for settings in [
        Settings::DEFAULT,
        Settings::DEFAULT.nine(),
        Settings::STONITH.nine(),
    ] {
        let mutant = Cluster::new(settings, CRASHES).with(mutants::primary_rc_0_is_evidence);
        is_caught("rc 0", NO_LOSS, mutant);
    }
}

#[test]
fn a_peer_that_was_not_met_may_have_gone_on() {
    let mutant = Cluster::new(Settings::STONITH.nine(), CRASHES);
    is_caught("met", NO_LOSS, mutant.with(mutants::everybody_was_met));
}

/// On 8.4, where a disk with fencing is Consistent after a boot: not beside a peer without a disk.
#[test]
fn beside_a_peer_without_a_disk_up_to_date_is_a_word() {
    let detached = || Cluster::new(Settings::STONITH, DETACHED).attentive();
    let mutant = detached().with(mutants::any_peer_will_do);
    is_caught("diskless", NO_LOSS, mutant);
    let mutant = detached().with(mutants::everybody_was_met);
    is_caught("met a diskless one", NO_LOSS, mutant);
}

#[test]
fn without_a_freeze_a_fenced_peer_proves_nothing() {
    let model = || Cluster::new(Settings::RESOURCE_ONLY.with_command(), CUTS);
    let mutant = model()
        .with(mutants::resource_only_freezes)
        .with_handler(mutants::every_yes_counts);
    is_caught("resource-only", NO_LOSS, mutant);
}

/// A disk that was away and is Consistent: between the look and `drbdadm primary` nobody looks but the handler.
#[test]
fn a_disk_that_was_away_is_not_made_whole_by_the_handler() {
    let budget = Budget {
        write: 1,
        ..DETACHED
    };
    for settings in [Settings::STONITH, Settings::STONITH.nine()] {
        let mutant = Cluster::new(settings, budget).with_handler(mutants::every_yes_counts);
        is_caught("attached", NO_LOSS, mutant);
    }
}

#[test]
fn without_fencing_and_quorum_there_is_no_evidence() {
    let model = || Cluster::new(Settings::DEFAULT, CUTS).with(mutants::any_settings_will_do);
    is_caught("settings", NO_LOSS, model());
    is_caught("settings", ONE_WRITER, model());
}

#[test]
fn a_resync_is_waited_for() {
    let mutant = Cluster::new(Settings::STONITH, CRASHES).with(mutants::sync_target_will_do);
    is_caught("sync target", WHOLE, mutant);
}

#[test]
fn only_a_primary_may_assume_that_the_silent_peer_is_dead() {
    let model = |with| Cluster::new(Settings::FROZEN, CUTS).with_handler(with);
    is_caught("silence", ONE_WRITER, model(mutants::whoever_asks_assumes));
    is_caught("silence", NO_LOSS, model(mutants::whoever_asks_assumes));
}

/// So both machines have a fence command, or none has.
#[test]
fn beside_a_fence_command_nobody_assumes() {
    let mutant = Cluster::new(Settings::STONITH, CUTS);
    let mutant = mutant.with_handler(mutants::assumes_beside_a_fence_command);
    is_caught("one command", NO_LOSS, mutant);
}

#[test]
fn whoever_went_on_alone_does_not_outdate_itself() {
    let mutant = Cluster::new(Settings::FROZEN, CUTS).whoever_is_secondary_outdates_itself();
    is_caught("answer", NO_LOSS, mutant);
}

#[test]
fn a_thaw_asks() {
    let mutant = Cluster::new(Settings::STONITH, CUTS).thaws_unasked();
    is_caught("thaw", NO_LOSS, mutant);
}

#[test]
fn a_lost_peer_is_not_an_outdated_one() {
    let mutant = Cluster::new(Settings::STONITH.nine(), CRASHES).with(mutants::lost_is_outdated);
    is_caught("lost", NO_LOSS, mutant);
}

#[test]
fn the_member_starts_on_the_mounted_volume_alone() {
    for mutant in [
        mutants::starts_unmounted as Decide,
        mutants::mounts_unpromoted,
    ] {
        let model = Cluster::new(Settings::FROZEN, NO_FAULT).with(mutant);
        is_caught("mount", NO_LOSS, model);
    }
}

/// No write is lost without these rules; the cases of `volume.txt` show them.
#[test]
fn what_loses_nothing_is_shown_by_a_case() {
    let cases = words::cases(include_str!("../volume.txt"));
    for (name, mutant) in [
        ("stand-alone", mutants::stand_alone_is_lost as Decide),
        ("found", mutants::found_is_taken_over),
        ("backup", mutants::backup_is_ignored),
    ] {
        let red: Vec<usize> = (cases.iter())
            .filter(|case| {
                (case.variants.iter())
                    .any(|(policy, seen)| words::in_words(mutant(policy, seen)) != case.expected)
            })
            .map(|case| case.line)
            .collect();
        println!("{name}: lines {red:?} of volume.txt");
        assert!(!red.is_empty(), "{name}: no case of volume.txt shows it");
    }
}
