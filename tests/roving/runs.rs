//! The real table within these bounds.

use crate::check::holds;
use crate::cluster::{BACK, Cluster, FAILOVER};
use crate::world::{Budget, Settings};

const SMALL: Budget = Budget {
    write: 2,
    crash: 1,
    cut_link: 1,
    cut_lan: 1,
    cut_third: 0,
    kill_rover: 0,
    detach: 0,
};

#[test]
fn frozen_without_a_fence_command() {
    holds("frozen", &[], Cluster::new(Settings::FROZEN, SMALL));
}

#[test]
fn frozen_with_a_fence_command() {
    holds(
        "stonith",
        &[FAILOVER, BACK],
        Cluster::new(Settings::STONITH, SMALL),
    );
}
