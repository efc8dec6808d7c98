//! The table as it is, from several beginnings and with several faults at once. The small bounds run
//! with every `cargo test`; the large ones take minutes, and say how many states they have.

use etcd_rejoin::decide::JoinAs;

use crate::check::{holds, holds_by_graph};
use crate::cluster::{Begin, Cluster};
use crate::world::Budget;

const WRITE: Budget = Budget {
    kill: 0,
    wipe: 0,
    damage: 0,
    tail: 0,
    cut: 0,
    pause: 0,
    pend: 0,
    operator_remove: 0,
    operator_add: 0,
    write: 1,
};

#[test]
fn one_member() {
    let budget = Budget { kill: 2, ..WRITE };
    holds("1 from nothing", || {
        Cluster::<1>::new(Begin::Nothing, budget)
    });
}

#[test]
fn two_members() {
    let budget = Budget {
        kill: 2,
        wipe: 1,
        ..WRITE
    };
    holds("2 running", || Cluster::<2>::new(Begin::Running, budget));
    let budget = Budget {
        kill: 2,
        wipe: 1,
        cut: 1,
        pause: 1,
        ..WRITE
    };
    holds("2 from nothing", || {
        Cluster::<2>::new(Begin::Nothing, budget)
    });
}

#[test]
fn three_running_members() {
    for (name, budget) in [
        (
            "kill, wipe, cut, timeout",
            Budget {
                kill: 1,
                wipe: 1,
                cut: 1,
                pend: 1,
                ..WRITE
            },
        ),
        (
            "wipe, damage, timeout",
            Budget {
                wipe: 1,
                damage: 1,
                pend: 1,
                ..WRITE
            },
        ),
        (
            "kill, wipe, pause",
            Budget {
                kill: 1,
                wipe: 1,
                pause: 1,
                ..WRITE
            },
        ),
        (
            "kill, wipe, operator adds",
            Budget {
                kill: 1,
                wipe: 1,
                operator_add: 1,
                ..WRITE
            },
        ),
    ] {
        holds(&format!("3 running: {name}"), || {
            Cluster::<3>::new(Begin::Running, budget)
        });
    }
}

#[test]
fn three_members_that_always_join_as_learners() {
    let budget = Budget {
        wipe: 1,
        pend: 1,
        operator_remove: 1,
        ..WRITE
    };
    let model = || Cluster::<3>::new(Begin::Running, budget).join_as(JoinAs::Learner);
    holds(
        "3 running, learners: wipe, timeout, operator removes",
        model,
    );
}

#[test]
fn three_members_of_a_grown_cluster() {
    let budget = Budget {
        kill: 1,
        wipe: 2,
        ..WRITE
    };
    holds("3 grown: kill, 2 wipes", || {
        Cluster::<3>::new(Begin::Grown, budget)
    });
}

#[test]
fn three_members_from_nothing() {
    for (name, budget) in [
        ("kill", Budget { kill: 1, ..WRITE }),
        ("wipe", Budget { wipe: 1, ..WRITE }),
        ("cut", Budget { cut: 1, ..WRITE }),
    ] {
        holds(&format!("3 from nothing: {name}"), || {
            Cluster::<3>::new(Begin::Nothing, budget)
        });
    }
}

#[test]
fn while_any_disk_is_intact_nobody_leads_without_its_writes() {
    let budget = Budget {
        kill: 1,
        wipe: 2,
        ..WRITE
    };
    let model = || Cluster::<3>::new(Begin::Running, budget).beyond_majority();
    holds("3 running, a majority may be lost: kill, 2 wipes", model);
}

#[test]
fn four_running_members() {
    let budget = Budget {
        wipe: 1,
        kill: 1,
        ..Budget::default()
    };
    holds_by_graph(
        "4 running: kill, wipe",
        Cluster::<4>::new(Begin::Running, budget),
    );
}

#[test]
fn five_running_members() {
    let budget = Budget { wipe: 1, ..WRITE };
    holds_by_graph("5 running: wipe", Cluster::<5>::new(Begin::Running, budget));
}

macro_rules! large {
    ($($test:ident: $n:literal $begin:ident $budget:expr, $states:literal;)*) => {$(
        #[test]
        #[ignore = "large bounds, minutes"]
        fn $test() {
            let model = Cluster::<$n>::new(Begin::$begin, $budget);
            holds_by_graph(stringify!($test), model);
        }
    )*};
}

large! {
    large_3_running_kill2_wipe2_cut: 3 Running Budget { kill: 2, wipe: 2, cut: 1, ..WRITE }, "?";
    large_3_running_kill2_wipe2_pause: 3 Running Budget { kill: 2, wipe: 2, pause: 1, ..WRITE }, "?";
    large_3_running_kill_wipe2_damage_pend_cut: 3 Running Budget { kill: 1, wipe: 2, damage: 1, pend: 1, cut: 1, write: 2, ..WRITE }, "?";
    large_3_grown_kill2_wipe2: 3 Grown Budget { kill: 2, wipe: 2, ..WRITE }, "?";
    large_3_nothing_kill2_wipe_cut: 3 Nothing Budget { kill: 2, wipe: 1, cut: 1, ..WRITE }, "?";
    large_3_nothing_kill2_wipe2_pause: 3 Nothing Budget { kill: 2, wipe: 2, pause: 1, ..WRITE }, "?";
    large_3_nothing_kill3_wipe: 3 Nothing Budget { kill: 3, wipe: 1, ..WRITE }, "?";
    large_3_nothing_kill_wipe_damage_pend: 3 Nothing Budget { kill: 1, wipe: 1, damage: 1, pend: 1, write: 2, ..WRITE }, "?";
    large_4_running_kill2_wipe: 4 Running Budget { kill: 2, wipe: 1, ..WRITE }, "?";
    large_5_running_wipe2: 5 Running Budget { wipe: 2, ..WRITE }, "?";
    large_5_running_kill_wipe2: 5 Running Budget { kill: 1, wipe: 2, ..Budget::default() }, "?";
}
