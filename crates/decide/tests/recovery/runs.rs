//! The worlds that are searched: nothing breaks, and the cluster comes back.

use std::collections::HashMap;

use stateright::{Checker, Model};

use crate::cluster::{Action, Cluster};
use crate::world::{Budget, Snapshot, World};

pub const LOST: Budget = Budget {
    wipe: 3,
    kill: 1,
    damage: 0,
    back: 0,
    write: 0,
    save: 0,
    rot: 0,
    late: 0,
    order: 0,
    cancel: 0,
    survive: 0,
    foreign: 0,
};

/// Nothing breaks, and the cluster is up in some state.
fn holds<const N: usize>(name: &str, model: Cluster<N>) {
    let began = std::time::Instant::now();
    let checker = model.checker().spawn_bfs().join();
    checker.assert_properties();
    let (states, took) = (checker.unique_state_count(), began.elapsed());
    println!("{name}: {states} states, holds, {took:.0?}");
}

/// The same; and from every state the cluster comes up without a further fault, or word of an operator.
fn comes_back<const N: usize>(name: &str, model: Cluster<N>) {
    holds(name, model.clone());
    let stuck = stuck(&model);
    if let Some((count, states, trace)) = stuck {
        panic!("{name}: {count} of {states} states are stuck, first:\n{trace}");
    }
}

/// How many states, of how many, never lead to a cluster that is up; and how the first of them came about.
pub fn stuck<const N: usize>(model: &Cluster<N>) -> Option<(usize, usize, String)> {
    let mut index: HashMap<World<N>, usize> = HashMap::new();
    let mut states: Vec<World<N>> = Vec::new();
    let mut from: Vec<Option<(usize, Action)>> = Vec::new();
    let mut back: Vec<Vec<usize>> = Vec::new();
    for world in model.init_states() {
        index.insert(world.clone(), 0);
        states.push(world);
        from.push(None);
        back.push(Vec::new());
    }
    let mut at = 0;
    while at < states.len() {
        let mut actions = Vec::new();
        model.actions(&states[at], &mut actions);
        for action in actions {
            let Some(next) = model.next_state(&states[at], action) else {
                continue;
            };
            let known = index.len();
            let to = *index.entry(next.clone()).or_insert(known);
            if to == known {
                states.push(next);
                from.push(Some((at, action)));
                back.push(Vec::new());
            }
            if action.is_usual() {
                back[to].push(at);
            }
        }
        at += 1;
    }
    let mut good: Vec<bool> = states.iter().map(World::is_up).collect();
    let mut open: Vec<usize> = (0..states.len()).filter(|at| good[*at]).collect();
    while let Some(at) = open.pop() {
        for before in &back[at] {
            if !good[*before] {
                good[*before] = true;
                open.push(*before);
            }
        }
    }
    // Where the nonces of the model did not suffice nothing can be said.
    let bad = |at: &usize| !good[*at] && states[*at].has_nonces() && !states[*at].needs_a_person();
    let stuck: Vec<usize> = (0..states.len()).filter(bad).collect();
    let first = *stuck.first()?;
    let mut trace = Vec::new();
    let mut here = first;
    while let Some((before, action)) = from[here] {
        trace.push(format!("  {action:?}"));
        here = before;
    }
    trace.reverse();
    trace.push(format!("  {:?}", states[first]));
    Some((stuck.len(), states.len(), trace.join("\n")))
}

#[test]
fn a_cluster_that_loses_every_disk_comes_back() {
    let budget = Budget {
        wipe: 4,
        kill: 2,
        late: 1,
        ..LOST
    };
    let lost = World::<3>::running(budget);
    comes_back("total loss", Cluster::new(lost).silent());
}

#[test]
fn a_cluster_of_five_comes_back() {
    let budget = Budget {
        wipe: 0,
        kill: 1,
        late: 1,
        ..LOST
    };
    let lost = World::<5>::restored(0, budget);
    let lost = World {
        served: 1 << 1,
        ..lost
    };
    comes_back("total loss of five", Cluster::new(lost));
}

#[test]
fn a_cluster_of_one_comes_back() {
    let budget = Budget {
        kill: 2,
        late: 1,
        write: 1,
        save: 1,
        ..LOST
    };
    let one = World::<1>::running(budget);
    comes_back("total loss of one", Cluster::new(one).silent());
}

#[test]
fn nothing_is_restored_on_the_strength_of_lost_messages() {
    let budget = Budget {
        kill: 0,
        save: 1,
        ..LOST
    };
    let lost = World::<3>::running(budget);
    holds("lost messages", Cluster::new(lost).silent().deaf());
}

#[test]
fn damaged_data_is_set_aside_and_joins() {
    let budget = Budget {
        wipe: 2,
        kill: 1,
        damage: 1,
        ..LOST
    };
    let lost = World::<3>::running(budget);
    comes_back("damaged", Cluster::new(lost).silent());
}

#[test]
fn a_lost_disk_that_returns_is_no_second_history() {
    holds("disks return", Cluster::new(disks_return()).silent());
    holds(
        "an old majority returns",
        Cluster::new(old_majority()).silent(),
    );
}

/// All disks may be lost, and two of them come back.
pub fn disks_return() -> World<3> {
    World::running(Budget {
        kill: 0,
        back: 2,
        write: 1,
        ..LOST
    })
}

/// Two of five have restored, and the other disks come back.
pub fn old_majority() -> World<5> {
    World::restored(
        0b11,
        Budget {
            wipe: 0,
            kill: 0,
            back: 3,
            ..LOST
        },
    )
}

/// A member that a restore has passed over joins what was restored.
#[test]
fn a_passed_over_member_joins() {
    comes_back("passed over", Cluster::new(passed_over()).silent());
}

pub fn passed_over() -> World<3> {
    let mut world = World::restored(0b11, Budget { wipe: 0, ..LOST });
    world.slots[2].disk = world.slots[2].lost;
    world
}

#[test]
fn a_bad_snapshot_is_passed_over() {
    let budget = Budget {
        kill: 0,
        save: 1,
        rot: 2,
        ..LOST
    };
    let mut lost = World::<3>::running(budget);
    lost.store
        .snapshots
        .insert(0, Snapshot { lineage: 1, log: 0 });
    holds("bad snapshots", Cluster::new(lost).silent());
}

#[test]
fn a_first_start_with_a_store_founds_once() {
    let budget = Budget {
        wipe: 1,
        kill: 1,
        write: 1,
        late: 1,
        ..LOST
    };
    let nothing = World::<3>::nothing(budget);
    holds("first start", Cluster::new(nothing).silent());
    let unhurt = World::<3>::nothing(Budget {
        kill: 2,
        wipe: 0,
        ..budget
    });
    comes_back("first start, no disk lost", Cluster::new(unhurt));
    let lost = World::<3>::nothing(Budget {
        kill: 0,
        wipe: 3,
        late: 0,
        ..budget
    });
    holds("first start, all lost", Cluster::new(lost));
    let deaf = World::<3>::nothing(Budget {
        late: 0,
        kill: 0,
        ..budget
    });
    holds("first start, lost messages", Cluster::new(deaf).deaf());
}

pub const ORDERED: Budget = Budget {
    wipe: 0,
    kill: 3,
    order: 1,
    ..LOST
};

#[test]
fn an_order_is_carried_out_or_cancelled() {
    let ordered = World::<3>::running(Budget {
        cancel: 1,
        late: 1,
        ..ORDERED
    });
    comes_back("order", Cluster::new(ordered).held().silent());
    let deaf = World::<3>::running(Budget { kill: 2, ..ORDERED });
    holds(
        "order, lost messages",
        Cluster::new(deaf).held().silent().deaf(),
    );
}

#[test]
fn after_an_order_a_total_loss_brings_nothing_back() {
    holds("order, then loss", Cluster::new(order_then_loss()));
}

/// Two of three are lost for good, and perhaps one of their disks comes back later.
#[test]
fn a_survivor_goes_on_with_what_it_has() {
    let budget = Budget {
        wipe: 2,
        kill: 1,
        survive: 1,
        ..LOST
    };
    let lost = World::<3>::running(budget);
    comes_back("survivor", Cluster::new(lost.clone()).held());
    holds(
        "survivor, silent store",
        Cluster::new(World {
            left: Budget {
                kill: 0,
                late: 1,
                cancel: 1,
                ..budget
            },
            ..lost.clone()
        })
        .held()
        .silent(),
    );
    holds(
        "survivor, disk returns",
        Cluster::new(World {
            left: Budget {
                kill: 0,
                back: 1,
                ..budget
            },
            ..lost
        })
        .held()
        .silent(),
    );
}

pub fn order_then_loss() -> World<3> {
    let mut world = World::running(Budget {
        wipe: 3,
        kill: 2,
        ..ORDERED
    });
    world.store.snapshots.push(Snapshot {
        lineage: 1,
        log: 0b11,
    });
    world
}

#[test]
fn a_member_beyond_the_initial_cluster_is_one_of_everybody() {
    holds("grown", Cluster::new(grown()).silent());
}

pub fn grown() -> World<3> {
    World {
        founders: 2,
        ..World::<3>::running(Budget { wipe: 2, ..LOST })
    }
}

#[test]
#[ignore = "minutes"]
fn with_larger_bounds() {
    let budget = Budget {
        wipe: 4,
        kill: 2,
        write: 1,
        save: 1,
        late: 1,
        ..LOST
    };
    comes_back(
        "large: total loss",
        Cluster::new(World::<3>::running(budget)).silent(),
    );
    let budget = Budget {
        wipe: 3,
        kill: 1,
        write: 1,
        late: 1,
        ..LOST
    };
    holds(
        "large: first start",
        Cluster::new(World::<3>::nothing(budget)).silent(),
    );
    let budget = Budget {
        damage: 1,
        write: 1,
        save: 1,
        ..LOST
    };
    holds(
        "large: lost messages",
        Cluster::new(World::<3>::running(budget)).silent().deaf(),
    );
    let budget = Budget {
        kill: 4,
        cancel: 1,
        late: 1,
        wipe: 1,
        ..ORDERED
    };
    holds(
        "large: order",
        Cluster::new(World::<3>::running(budget)).held().silent(),
    );
    let budget = Budget {
        wipe: 3,
        kill: 3,
        save: 1,
        ..ORDERED
    };
    holds(
        "large: order, then loss",
        Cluster::new(World::<3>::running(budget)),
    );
    let budget = Budget {
        wipe: 5,
        kill: 1,
        ..LOST
    };
    comes_back(
        "large: total loss of five",
        Cluster::new(World::<5>::running(budget)),
    );
}
