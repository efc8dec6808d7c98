//! The real table within these bounds: no *always* breaks, and what shall happen sometimes happens.

use crate::check::{holds, never, never_stuck};
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
    take_down: 0,
    give_up: 0,
};

/// Both machines die, one after the other or at once: rolling restarts too.
pub const CRASHES: Budget = Budget {
    write: 3,
    crash: 2,
    cut_link: 0,
    cut_lan: 0,
    ..CUTS
};

const THIRD: Budget = Budget {
    cut_third: 1,
    cut_lan: 0,
    ..CUTS
};

const KILLED: Budget = Budget {
    kill_rover: 1,
    crash: 0,
    ..CUTS
};

const DETACHED: Budget = Budget {
    detach: 1,
    cut_lan: 0,
    ..CUTS
};

/// Both machines are taken down in order, one after the other or at once.
pub const DOWN: Budget = Budget {
    write: 3,
    take_down: 3,
    crash: 0,
    cut_link: 0,
    cut_lan: 0,
    ..CUTS
};

/// One machine in order, and one dies.
const DOWN_AND_CRASH: Budget = Budget {
    take_down: 1,
    crash: 1,
    ..DOWN
};

const GIVEN_UP: Budget = Budget {
    give_up: 1,
    cut_lan: 0,
    ..CUTS
};

const ONCE: &[&str] = &[FAILOVER, RETURN];
const ALL: &[&str] = &[FAILOVER, RETURN, TWICE];

#[test]
fn frozen_without_a_fence_command_waits_for_the_dead_machine() {
    holds("frozen", &[RETURN], Cluster::new(Settings::FROZEN, CUTS));
    holds("frozen", &[RETURN], Cluster::new(Settings::FROZEN, CRASHES));
}

#[test]
fn frozen_with_a_fence_command_survives_either_machine() {
    holds("stonith", ALL, Cluster::new(Settings::STONITH, CRASHES));
    holds("stonith", ONCE, Cluster::new(Settings::STONITH, CUTS));
}

#[test]
fn quorum_survives_either_machine() {
    holds("quorum", ALL, Cluster::new(Settings::QUORUM, CRASHES));
    holds("quorum", ONCE, Cluster::new(Settings::QUORUM, THIRD));
}

#[test]
fn without_fencing_and_quorum_nothing_is_promoted() {
    never("default", ONCE, Cluster::new(Settings::DEFAULT, CUTS));
    let nine = Settings::DEFAULT.nine();
    never("default 9", ONCE, Cluster::new(nine, CRASHES));
    let soft = Settings::RESOURCE_ONLY.with_command();
    never("resource-only", ONCE, Cluster::new(soft, CUTS));
}

#[test]
fn a_rover_that_is_killed_forgets_whom_it_met() {
    holds("killed", &[], Cluster::new(Settings::FROZEN, KILLED));
    holds("killed", &[], Cluster::new(Settings::QUORUM, KILLED));
}

#[test]
fn a_disk_that_fails_takes_its_writes_along_and_no_others() {
    for settings in [Settings::STONITH, Settings::STONITH.nine()] {
        let model = Cluster::new(settings, DETACHED).attentive();
        holds("detached", &[RETURN], model);
    }
}

#[test]
fn a_rolling_restart_in_order_loses_nothing() {
    for settings in [Settings::FROZEN, Settings::STONITH, Settings::QUORUM] {
        holds("down", &[], Cluster::new(settings, DOWN));
        holds(
            "down and crash",
            &[],
            Cluster::new(settings, DOWN_AND_CRASH),
        );
    }
}

/// The kernel may carry out what the rover has left, and long after.
#[test]
fn a_promotion_that_was_left_loses_nothing() {
    holds("given up", &[], Cluster::new(Settings::STONITH, GIVEN_UP));
}

/// With a fence command on both machines nobody has gone on alone beside one that could turn it off.
#[test]
fn turning_off_who_refuses_loses_nothing() {
    let model = Cluster::new(Settings::STONITH.nine(), CRASHES).fences_who_refuses();
    holds("fences who refuses", ALL, model);
}

/// A person is needed for a split brain, for a lost machine without a fence command, and for nothing
/// else: when all is back, so is the member.
#[test]
fn when_all_is_back_the_member_serves() {
    let cuts = Budget {
        write: 1,
        cut_lan: 0,
        ..CUTS
    };
    for settings in [Settings::FROZEN, Settings::STONITH, Settings::QUORUM] {
        never_stuck("back", &Cluster::new(settings, cuts));
        never_stuck("back, promptly", &Cluster::new(settings, cuts).attentive());
        never_stuck("back", &Cluster::new(settings, CRASHES));
        never_stuck("back", &Cluster::new(settings, DOWN));
    }
}

const ANY: [Settings; 4] = [
    Settings::FROZEN,
    Settings::STONITH,
    Settings {
        nine: true,
        ..Settings::FROZEN
    },
    Settings {
        nine: true,
        ..Settings::STONITH
    },
];

#[test]
#[ignore = "large bounds, minutes"]
fn any_settings_hold_when_all_that_can_fail_does() {
    let crashes_and_cuts = Budget { crash: 2, ..CUTS };
    let killed = Budget { crash: 1, ..KILLED };
    for settings in ANY {
        for budget in [crashes_and_cuts, killed] {
            holds("large", &[], Cluster::new(settings, budget));
        }
        for budget in [CUTS, CRASHES] {
            let model = Cluster::new(settings, budget).fences_who_refuses();
            holds("fences who refuses", &[], model);
        }
    }
    let third = Budget {
        crash: 2,
        kill_rover: 1,
        ..THIRD
    };
    holds("large quorum", ONCE, Cluster::new(Settings::QUORUM, third));
}

#[test]
#[ignore = "large bounds, minutes"]
fn any_disk_may_fail_beside_a_cut() {
    let detached = Budget {
        cut_lan: 1,
        ..DETACHED
    };
    for settings in ANY {
        holds(
            "detached",
            &[],
            Cluster::new(settings, detached).attentive(),
        );
    }
}

#[test]
#[ignore = "large bounds, minutes"]
fn two_cuts_of_each_link_lose_nothing() {
    let cuts = Budget {
        cut_link: 2,
        cut_lan: 2,
        crash: 0,
        ..CUTS
    };
    for settings in ANY {
        holds("two cuts", &[], Cluster::new(settings, cuts));
    }
}
