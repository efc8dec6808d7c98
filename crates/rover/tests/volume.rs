//! Is each row of the volume's table what we meant? `volume.txt` is the table in words; here it is run,
//! and searched for rows and pairs of variants that no case shows.

#[path = "../../../tests/support/cases.rs"]
mod cases;
#[path = "volume/coverage.rs"]
mod coverage;
#[path = "volume/set_up.rs"]
mod set_up;
#[path = "volume/settling.rs"]
mod settling;
#[path = "volume/text.rs"]
mod text;

use std::collections::BTreeSet;
use std::sync::OnceLock;

use etcd_rejoin_rover::table::{
    Disk, Reply, Role, VolumeDecision, VolumeReason, VolumeSeen, VolumeState, VolumeStep, Word,
    asked_to_outdate, child_is_settled, decide_volume, letting_go, may_bid, may_outdate_itself,
    unsafe_set_up, word,
};

use text::{Case, in_words};

fn cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| text::cases(include_str!("volume.txt")))
}

#[test]
fn every_case_is_decided_as_written() {
    let variants: usize = cases().iter().map(|case| case.variants.len()).sum();
    println!("{} cases, {variants} observations", cases().len());
    let wrong = cases::wrong(cases(), |(policy, seen)| {
        in_words(decide_volume(policy, seen))
    });
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn every_reason_decides_all_that_its_row_documents_and_nothing_else() {
    let mut shown = BTreeSet::new();
    for case in cases() {
        for (policy, seen) in &case.variants {
            let decision = decide_volume(policy, seen);
            let row = decision.reason().row();
            let name = decision.name();
            assert!(
                row.decision
                    .split(" / ")
                    .any(|documented| documented == name),
                "line {}: {} is documented as {:?}, not as {name}",
                case.line,
                row.name,
                row.decision,
            );
            shown.insert((row.name, name));
        }
    }
    let mut unshown = Vec::new();
    for row in VolumeReason::ALL.iter().map(|reason| reason.row()) {
        let parts = row.decision.split(" / ");
        unshown.extend(
            parts
                .filter(|part| !shown.contains(&(row.name, *part)))
                .map(|part| format!("no case shows {} with {part}", row.name)),
        );
    }
    assert!(unshown.is_empty(), "\n{}", unshown.join("\n"));
    for step in VolumeStep::ALL {
        assert!(
            shown.iter().any(|(_, name)| *name == step.name()),
            "no case shows {}",
            step.name()
        );
    }
}

#[test]
fn every_pair_of_variants_occurs() {
    let observations = cases().iter().flat_map(|case| &case.variants);
    let missing = coverage::missing(observations.map(|(p, s)| coverage::facts(p, s)));
    assert!(
        missing.is_empty(),
        "{} pairs occur in no case:\n{}",
        missing.len(),
        missing.join("\n")
    );
}

/// Nothing is measured as held that `decide_volume` would not let go, and the other way round.
#[test]
fn what_is_let_go_is_measured() {
    for case in cases() {
        for (policy, seen) in &case.variants {
            let decision = decide_volume(policy, seen);
            // It is held, and wished for.
            if decision.reason() == VolumeReason::FrozenApart {
                continue;
            }
            let lets_go = match decision.name() {
                "stop-child" | "kill-child" | "unmount" | "demote" | "self-fence" => true,
                "start-child" | "mount" | "promote" | "force-promote" | "serve" | "end" => false,
                _ => continue,
            };
            assert_eq!(
                letting_go(seen).is_some(),
                lets_go,
                "line {}: {seen:?}",
                case.line
            );
            // An end that is forgotten leaves nothing behind.
            assert!(!(lets_go && child_is_settled(seen)), "line {}", case.line);
        }
    }
}

/// Whoever gets a yes may promote on it: it must never come from a machine that may hold more.
#[test]
fn a_machine_outdates_itself_only_where_it_wrote_nothing_alone() {
    let mut yes = 0;
    for case in cases() {
        for (_, seen) in &case.variants {
            let VolumeState::Up(resource) = &seen.volume else {
                continue;
            };
            if may_outdate_itself(resource) {
                yes += 1;
                let facts = coverage::facts(&case.variants[0].0, seen);
                for never in [
                    ("role", "primary"),
                    ("disk", "diskless"),
                    ("peer disk", "outdated"),
                    ("peer disk", "inconsistent"),
                ] {
                    assert!(!facts.contains(&never), "{never:?}: {seen:?}");
                }
            }
        }
    }
    assert!(yes > 0);
}

/// A machine that becomes master with nothing behind it helps nobody.
#[test]
fn keepalived_bids_only_where_the_volume_can_be_taken() {
    let cases = text::cases(include_str!("volume/bids.txt"));
    let wrong = cases::wrong(&cases, |(policy, seen)| match may_bid(policy, seen) {
        Ok(reason) => format!("yes ({reason})"),
        Err(reason) => format!("no ({reason})"),
    });
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// What an operator is told that the word will do is what is done.
#[test]
fn the_words_about_an_operators_word_are_true() {
    let mut told = [0; 3];
    for (policy, seen) in cases().iter().flat_map(|case| &case.variants) {
        let VolumeState::Up(resource) = &seen.volume else {
            continue;
        };
        let mut open = VolumeSeen::by_a_stranger(seen.volume.clone());
        (open.met_peer, open.handler_ours) = (seen.met_peer, seen.handler_ours);
        open.accept_loss = true;
        let decision = decide_volume(policy, &open);
        match word(&open, resource) {
            Word::Primary => assert_eq!(resource.role, Role::Primary),
            Word::Useless(reason @ VolumeReason::VolumeDown) => {
                let brings_up = VolumeDecision::Do(VolumeStep::BringUp, reason);
                assert_eq!(decision, brings_up, "{open:?}");
            }
            Word::Useless(reason) => {
                told[0] += 1;
                assert_eq!(decision, VolumeDecision::Wait(reason), "{open:?}");
            }
            Word::NotNeeded(reason) => {
                told[1] += 1;
                let promotes = VolumeDecision::Do(VolumeStep::Promote, reason);
                assert_eq!(decision, promotes, "{open:?}");
            }
            Word::Forces(_) => {
                told[2] += 1;
                // A takeover without it is tried first.
                open.refused = Some((std::time::Duration::from_secs(10), "no".into()));
                let forces =
                    VolumeDecision::Do(VolumeStep::ForcePromote, VolumeReason::LossAccepted);
                assert_eq!(decide_volume(policy, &open), forces, "{open:?}");
            }
        }
    }
    assert!(told.iter().all(|n| *n > 0), "{told:?}");
}

/// A rover ends with 78 for good only where all that decides is shown: 8.4 shows `fencing` with a disk only.
#[test]
fn a_set_up_is_refused_only_where_it_is_shown() {
    let refused = |words: &[&str]| {
        let lines: Vec<String> = words.iter().map(|line| (*line).into()).collect();
        let VolumeState::Up(resource) = text::variant(0, &lines).1.volume else {
            panic!("it is up");
        };
        unsafe_set_up(&resource).is_some()
    };
    let pair = "peer connected secondary up-to-date established";
    let three = "peer connected secondary up-to-date established + connected witness";
    assert!(!refused(&[pair]) && !refused(&["fencing quorum", three]));
    for disk in ["up-to-date", "outdated", "consistent", "inconsistent"] {
        assert!(refused(&[
            "fencing dont-care",
            pair,
            &format!("disk {disk}")
        ]));
    }
    for disk in ["diskless", "changing", "unknown"] {
        assert!(!refused(&[
            "fencing dont-care",
            pair,
            &format!("disk {disk}")
        ]));
    }
    for peer in ["peer none", "peer stand-alone unknown"] {
        assert!(!refused(&["fencing dont-care", peer]), "it is not all up");
    }
    assert!(refused(&["fencing quorum", pair]), "a quorum of two");
    assert!(refused(&["fencing quorum resource-and-stonith", three]));
}

/// What only this disk holds is never given up for the asking, and never a reason to be turned off.
#[test]
fn a_request_to_outdate_is_granted_only_by_a_secondary_that_may() {
    for case in cases() {
        for (_, seen) in &case.variants {
            for ahead in [false, true] {
                let reply = asked_to_outdate(&seen.volume, ahead);
                let VolumeState::Up(resource) = &seen.volume else {
                    assert_eq!(reply, Reply::Cannot);
                    continue;
                };
                let granted = may_outdate_itself(resource) && !ahead;
                match reply {
                    Reply::Grant => assert!(granted, "{seen:?}"),
                    Reply::Primary => assert_eq!(resource.role, Role::Primary),
                    Reply::NotNow => assert!(!granted && resource.role != Role::Primary),
                    Reply::Cannot => assert_eq!(resource.disk, Disk::Diskless, "{seen:?}"),
                }
            }
        }
    }
}
