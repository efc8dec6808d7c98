//! The worlds that are searched: nothing breaks, every size is reached, and no state is a dead end.

use std::collections::HashMap;

use stateright::{Expectation, Model};

use crate::cluster::{Action, Cluster};
use crate::world::{Budget, World};

/// No fault, and so many new sizes.
pub const fn scaled(scale: u8) -> Budget {
    Budget {
        scale,
        kill: 0,
        wipe: 0,
        drain: 0,
        deaf: 0,
        pend: 0,
    }
}

/// Nothing breaks, every size is reached; and from every state the set becomes healthy without a further fault.
fn holds<const N: usize>(name: &str, model: &Cluster<N>) {
    let began = std::time::Instant::now();
    let graph = Graph::of(model);
    for property in model.properties() {
        let is_so = |world: &World<N>| (property.condition)(model, world);
        let found = match property.expectation {
            Expectation::Always => graph.states.iter().position(|world| !is_so(world)),
            Expectation::Sometimes => match graph.states.iter().any(is_so) {
                true => None,
                false => Some(0),
            },
            Expectation::Eventually => unreachable!("none is one"),
        };
        if let Some(at) = found {
            panic!("{name}: not: {}\n{}", property.name, graph.trace(at));
        }
    }
    if let Some((count, trace)) = graph.stuck() {
        panic!(
            "{name}: {count} of {} states are stuck, first:\n{trace}",
            graph.states.len()
        );
    }
    println!(
        "{name}: {} states, {:.0?}",
        graph.states.len(),
        began.elapsed()
    );
}

/// All that can be reached, and what leads where without a fault.
pub struct Graph<const N: usize> {
    states: Vec<World<N>>,
    from: Vec<Option<(usize, Action)>>,
    back: Vec<Vec<usize>>,
}

impl<const N: usize> Graph<N> {
    pub fn of(model: &Cluster<N>) -> Self {
        let first = model.world.clone();
        let mut index = HashMap::from([(first.clone(), 0)]);
        let mut graph = Graph {
            states: vec![first],
            from: vec![None],
            back: vec![Vec::new()],
        };
        let (mut at, mut actions) = (0, Vec::new());
        while at < graph.states.len() {
            model.actions(&graph.states[at], &mut actions);
            for action in actions.drain(..) {
                let Some(next) = model.next_state(&graph.states[at], action) else {
                    continue;
                };
                let known = graph.states.len();
                let to = *index.entry(next.clone()).or_insert(known);
                if to == known {
                    graph.states.push(next);
                    graph.from.push(Some((at, action)));
                    graph.back.push(Vec::new());
                }
                if action.is_usual() {
                    graph.back[to].push(at);
                }
            }
            at += 1;
        }
        graph
    }

    /// How many states never lead to a healthy set, and how the first of them came about.
    pub fn stuck(&self) -> Option<(usize, String)> {
        let ended = |world: &World<N>| {
            world.is_healthy() || world.broken != 0 || world.lost || world.needs_a_person()
        };
        let mut good: Vec<bool> = self.states.iter().map(ended).collect();
        let mut open: Vec<usize> = (0..good.len()).filter(|at| good[*at]).collect();
        while let Some(at) = open.pop() {
            for before in &self.back[at] {
                if !std::mem::replace(&mut good[*before], true) {
                    open.push(*before);
                }
            }
        }
        let stuck: Vec<usize> = (0..good.len()).filter(|at| !good[*at]).collect();
        Some((stuck.len(), self.trace(*stuck.first()?)))
    }

    fn trace(&self, to: usize) -> String {
        let (mut here, mut trace) = (to, vec![format!("{:?}", self.states[to])]);
        while let Some((before, action)) = self.from[here] {
            trace.push(format!("  {action:?}"));
            here = before;
        }
        trace.reverse();
        trace.join("\n")
    }
}

#[test]
fn three_one_three() {
    holds::<3>(
        "3 1 3",
        &Cluster::new(World::running(3, 3, scaled(2)), &[1, 3]).unaided(),
    );
}

#[test]
fn one_three_one() {
    holds::<3>(
        "1 3 1",
        &Cluster::new(World::new(1, scaled(2)), &[1, 3]).unaided(),
    );
}

#[test]
fn three_five_three() {
    holds::<5>(
        "3 5 3",
        &Cluster::new(World::running(3, 3, scaled(2)), &[3, 5]).unaided(),
    );
}

#[test]
fn one_to_five_at_once() {
    holds::<5>(
        "1 5",
        &Cluster::new(World::running(1, 1, scaled(1)), &[5]).unaided(),
    );
}

#[test]
fn five_to_one_at_once() {
    holds::<5>(
        "5 1",
        &Cluster::new(World::running(1, 5, scaled(1)), &[1]).unaided(),
    );
}

#[test]
fn a_pre_stop_or_a_container_is_killed_at_each_step() {
    let left = Budget {
        kill: 2,
        ..scaled(1)
    };
    holds(
        "killed",
        &Cluster::new(World::<3>::running(3, 3, left), &[1, 3]),
    );
}

#[test]
fn a_disk_is_lost_while_the_set_grows_and_shrinks() {
    let left = Budget {
        wipe: 1,
        ..scaled(1)
    };
    holds(
        "wiped",
        &Cluster::new(World::<3>::running(3, 3, left), &[1, 3]),
    );
}

#[test]
fn a_pod_is_drained_and_the_server_does_not_answer() {
    let left = Budget {
        drain: 1,
        deaf: 1,
        ..scaled(1)
    };
    holds(
        "drained",
        &Cluster::new(World::<3>::running(3, 3, left), &[1]),
    );
}

#[test]
fn all_are_stopped_and_start_again() {
    holds(
        "stopped",
        &Cluster::new(World::<3>::running(3, 3, scaled(2)), &[0, 1]),
    );
}

#[test]
fn a_removal_without_an_answer() {
    let left = Budget {
        pend: 1,
        ..scaled(1)
    };
    holds(
        "pending",
        &Cluster::new(World::<3>::running(3, 3, left), &[1, 3]),
    );
}
