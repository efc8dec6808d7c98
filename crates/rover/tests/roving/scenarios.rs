//! The five ways to lose acknowledged writes, or to seem to, that were measured with DRBD 8.4.11: what a
//! rover does there that trusts `drbdadm primary`, and what ours does.

use etcd_rejoin_rover::table::{Role, VolumeDecision, VolumeReason, VolumeStep};

use VolumeDecision::{Do, Wait};

use crate::caught::is_caught;
use crate::check::holds;
use crate::cluster::Action::{
    self, Connect, CutLan, CutLink, Gate, Handler, HealLan, Look, PowerOff, PowerOn, Promote,
    StartRover, StopRover, Synced, TakeDown, Write,
};
use crate::cluster::{Cluster, FAILOVER, NO_LOSS, ONE_WRITER, RETURN, WHOLE};
use crate::mutants::{primary_rc_0_is_evidence, sync_target_will_do};
use crate::runs::{CRASHES, CUTS, DOWN};
use crate::world::{Budget, Settings};

/// Both rovers have looked; this one takes the volume, and acknowledges a write.
fn serves(at: usize) -> Vec<Action> {
    let look = Look(at, true);
    let mut actions = vec![Look(1 - at, true), Gate(at), look, Promote(at, true)];
    actions.extend([look, look, look, Write(at)]);
    actions
}

/// Boots; the rover brings the resource up.
fn boots(at: usize) -> Vec<Action> {
    vec![PowerOn(at), StartRover(at), Look(at, true)]
}

fn naive(budget: Budget) -> Cluster {
    Cluster::new(Settings::DEFAULT, budget).with(primary_rc_0_is_evidence)
}

fn schedule(parts: &[&[Action]]) -> Vec<Action> {
    parts.concat()
}

/// What the rover decides after this schedule.
fn decides(settings: Settings, budget: Budget, schedule: &[Action], at: usize) -> VolumeDecision {
    let model = Cluster::new(settings, budget);
    model.decision(&model.world_after(schedule), at)
}

/// One dies, the other takes over and dies too, the first one boots alone.
#[test]
fn s1_a_machine_that_boots_alone_does_not_serve_old_data() {
    is_caught("S1", NO_LOSS, naive(CRASHES));
    let look = Look(1, true);
    let taken_over = schedule(&[
        &serves(0),
        &[
            PowerOff(0),
            Gate(1),
            look,
            Promote(1, true),
            look,
            look,
            look,
        ],
        &[Write(1)],
    ]);
    let both_off = schedule(&[&taken_over, &[PowerOff(1)]]);
    // The first one boots: it waits, on 8.4 and on 9.
    let first = schedule(&[&both_off, &boots(0), &[Gate(0)]]);
    let decision = |settings, schedule: &[Action], at| decides(settings, CRASHES, schedule, at);
    assert_eq!(
        decision(Settings::STONITH, &first, 0),
        Wait(VolumeReason::DiskOutdated)
    );
    assert_eq!(
        decision(Settings::STONITH.nine(), &first, 0),
        Wait(VolumeReason::PeerNotMet)
    );
    // The second one knows that it has the newest data.
    let second = schedule(&[&both_off, &boots(1), &[Gate(1)]]);
    for settings in [Settings::STONITH, Settings::STONITH.nine()] {
        assert_eq!(
            decision(settings, &second, 1),
            Do(VolumeStep::Promote, VolumeReason::PeerRecordedOutdated)
        );
    }
    // And when both are there, the first one has it too.
    let both = schedule(&[&first, &boots(1), &[Connect, Synced]]);
    assert_eq!(
        decision(Settings::STONITH, &both, 0),
        Do(VolumeStep::Promote, VolumeReason::PeerSecondary)
    );
}

/// The replication link is cut, the Primary goes on, and dies.
#[test]
fn s2_a_machine_that_was_cut_off_does_not_take_over() {
    let s2 = Budget { cut_lan: 0, ..CUTS };
    is_caught("S2", NO_LOSS, naive(s2));
    let cut = schedule(&[
        &serves(0),
        &[CutLink, Handler(0, true), Write(0), PowerOff(0)],
    ]);
    let after = schedule(&[&cut, &[Gate(1)]]);
    for settings in [Settings::FROZEN, Settings::STONITH] {
        assert_eq!(
            decides(settings, s2, &after, 1),
            Wait(VolumeReason::DiskOutdated)
        );
    }
}

/// A SyncTarget is promoted, and its source dies.
#[test]
fn s3_half_a_resync_is_not_served() {
    let naive = Cluster::new(Settings::STONITH, CRASHES).with(sync_target_will_do);
    is_caught("S3", WHOLE, naive);
    let look = Look(1, true);
    let resync = schedule(&[
        &serves(0),
        &[
            PowerOff(0),
            Gate(1),
            look,
            Promote(1, true),
            look,
            look,
            look,
        ],
        &[Write(1), Gate(1), look, look, look],
        &boots(0),
        &[Connect, Gate(0)],
    ]);
    let decision = |schedule: &[Action]| decides(Settings::STONITH, CRASHES, schedule, 0);
    assert_eq!(decision(&resync), Wait(VolumeReason::SyncTarget));
    let cut_off = schedule(&[&resync, &[PowerOff(1)]]);
    assert_eq!(decision(&cut_off), Wait(VolumeReason::SyncTarget));
}

/// Both networks are cut, and both machines are keepalived's master.
#[test]
fn s4_a_full_partition_has_one_writer() {
    let s4 = Budget { crash: 0, ..CUTS };
    is_caught("S4", ONE_WRITER, naive(s4));
    let look = Look(1, true);
    let tries = [CutLink, CutLan, Gate(1), look, Promote(1, true)];
    let cut = schedule(&[&serves(0), &tries]);
    // Frozen until it has turned the other one off; without a fence command it goes on, the other waits.
    let model = Cluster::new(Settings::FROZEN, s4);
    assert_eq!(model.world_after(&cut).machines[1].role, Role::Secondary);
    let alone = schedule(&[&cut, &[Handler(0, true), Write(0), HealLan]]);
    assert!(model.world_after(&alone).can_write(0, &Settings::FROZEN));
    // It does not outdate itself for a peer that lacks what it wrote, Primary or not.
    let look = Look(0, true);
    let demoted = [Gate(0), look, look, look, Look(1, true), Promote(1, true)];
    let asked = schedule(&[&alone, &demoted]);
    assert_eq!(model.world_after(&asked).machines[1].role, Role::Secondary);
    let frozen = [CutLink, CutLan, Handler(0, false)];
    let frozen = schedule(&[&serves(0), &frozen]);
    let model = Cluster::new(Settings::STONITH, s4);
    assert!(!model.world_after(&frozen).can_write(0, &Settings::STONITH));
    for settings in [Settings::FROZEN, Settings::STONITH] {
        holds("S4", &[], Cluster::new(settings, s4));
    }
}

/// keepalived alone is cut: two masters, one replication link. DRBD refuses the second one by itself.
#[test]
fn s5_two_masters_with_one_link_have_one_writer() {
    let s5 = Budget {
        write: 2,
        ..Budget::default()
    };
    holds("S5", &[], naive(s5));
    holds("S5", &[], Cluster::new(Settings::FROZEN, s5));
    let both = schedule(&[&serves(0), &[Gate(1)]]);
    assert_eq!(
        decides(Settings::FROZEN, s5, &both, 1),
        Wait(VolumeReason::PeerPrimary)
    );
}

/// The point of it all: the master dies, and nobody is needed. Without a fence command somebody is.
#[test]
fn a_dead_master_is_survived_with_a_fence_command() {
    let dead = schedule(&[&serves(0), &[PowerOff(0), Gate(1), Look(1, true)]]);
    let tried = schedule(&[&dead, &[Promote(1, true)]]);
    for (settings, becomes) in [
        (Settings::STONITH, Role::Primary),
        (Settings::FROZEN, Role::Secondary),
        (Settings::QUORUM, Role::Primary),
    ] {
        let world = Cluster::new(settings, CUTS).world_after(&tried);
        assert_eq!(world.machines[1].role, becomes, "{settings:?}");
    }
    let once = Budget {
        cut_link: 0,
        cut_lan: 0,
        ..CUTS
    };
    let model = Cluster::new(Settings::STONITH, once);
    holds("dead master", &[FAILOVER, RETURN], model);
}

/// A standby is taken down in order, the other one goes on, is taken down too, and the first one boots:
/// no crash is on record, but its disk is.
#[test]
fn a_standby_that_was_taken_down_does_not_serve_old_data() {
    is_caught("taken down", NO_LOSS, naive(DOWN));
    let both_down = schedule(&[
        &serves(0),
        &[
            StopRover(1),
            TakeDown(1),
            Write(0),
            StopRover(0),
            TakeDown(0),
        ],
        &[StartRover(1), Look(1, true), Gate(1)],
    ]);
    for settings in [Settings::STONITH, Settings::STONITH.nine()] {
        let decision = decides(settings, DOWN, &both_down, 1);
        assert_eq!(decision, Wait(VolumeReason::DiskOutdated));
    }
}
