//! The real table within these bounds: no *always* breaks, and what shall happen sometimes happens.

use crate::check::{holds, never};
use crate::cluster::{Cluster, FAILOVER, RETURN, TWICE};
use crate::world::{Budget, Settings};

/// One of each that cuts and kills.
pub const CUTS: Budget = Budget {
    write: 2,
    crash: 1,
    cut_link: 1,
    cut_lan: 1,
    cut_third: 0,
    kill_rover: 0,
    detach: 0,
};

/// Both machines die, one after the other or at once: rolling restarts too.
pub const CRASHES: Budget = Budget {
    write: 3,
    crash: 2,
    cut_link: 0,
    cut_lan: 0,
    ..CUTS
};

#[test]
fn frozen_without_a_fence_command_waits_for_the_dead_machine() {
    holds("frozen", &[RETURN], Cluster::new(Settings::FROZEN, CUTS));
    holds("frozen", &[RETURN], Cluster::new(Settings::FROZEN, CRASHES));
    holds(
        "frozen 9",
        &[RETURN],
        Cluster::new(Settings::FROZEN.nine(), CUTS),
    );
    holds(
        "frozen 9",
        &[RETURN],
        Cluster::new(Settings::FROZEN.nine(), CRASHES),
    );
}

#[test]
fn frozen_with_a_fence_command_survives_either_machine() {
    let all = &[FAILOVER, RETURN, TWICE];
    holds("stonith", all, Cluster::new(Settings::STONITH, CRASHES));
    holds(
        "stonith 9",
        all,
        Cluster::new(Settings::STONITH.nine(), CRASHES),
    );
    let some = &[FAILOVER, RETURN];
    holds("stonith", some, Cluster::new(Settings::STONITH, CUTS));
    holds(
        "stonith 9",
        some,
        Cluster::new(Settings::STONITH.nine(), CUTS),
    );
}

#[test]
fn quorum_survives_either_machine() {
    let third = Budget {
        cut_third: 1,
        cut_lan: 0,
        ..CUTS
    };
    let all = &[FAILOVER, RETURN, TWICE];
    holds("quorum", all, Cluster::new(Settings::QUORUM, CRASHES));
    holds(
        "quorum",
        &[FAILOVER, RETURN],
        Cluster::new(Settings::QUORUM, third),
    );
}

#[test]
fn resource_only_waits_but_loses_nothing() {
    for settings in [
        Settings::RESOURCE_ONLY,
        Settings::RESOURCE_ONLY.with_command(),
    ] {
        holds("resource-only", &[RETURN], Cluster::new(settings, CUTS));
        holds("resource-only", &[RETURN], Cluster::new(settings, CRASHES));
        holds(
            "resource-only 9",
            &[RETURN],
            Cluster::new(settings.nine(), CUTS),
        );
        holds(
            "resource-only 9",
            &[RETURN],
            Cluster::new(settings.nine(), CRASHES),
        );
    }
}

#[test]
fn without_fencing_and_quorum_nothing_is_promoted() {
    let none = &[FAILOVER, RETURN];
    never("default", none, Cluster::new(Settings::DEFAULT, CUTS));
    never(
        "default 9",
        none,
        Cluster::new(Settings::DEFAULT.nine(), CRASHES),
    );
}

#[test]
fn a_rover_that_is_killed_forgets_whom_it_met() {
    let killed = Budget {
        kill_rover: 1,
        crash: 0,
        ..CUTS
    };
    holds("killed", &[], Cluster::new(Settings::FROZEN, killed));
    let stonith = &[FAILOVER, RETURN];
    holds(
        "killed",
        stonith,
        Cluster::new(Settings::STONITH.nine(), killed),
    );
    holds("killed", &[], Cluster::new(Settings::QUORUM, killed));
}

#[test]
fn a_disk_that_fails_takes_its_writes_along_and_no_others() {
    let detached = Budget {
        detach: 1,
        cut_lan: 0,
        ..CUTS
    };
    for settings in [Settings::FROZEN, Settings::STONITH] {
        holds(
            "detached",
            &[RETURN],
            Cluster::new(settings, detached).attentive(),
        );
    }
}
