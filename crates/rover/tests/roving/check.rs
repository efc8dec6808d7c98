//! The questions that the tests ask of a model.

use std::collections::HashMap;
use std::time::Instant;

use stateright::{Checker, Expectation, Model};

use crate::cluster::Cluster;
use crate::world::World;

/// No *always* breaks, and these *sometimes* occur.
pub fn holds(name: &str, sometimes: &[&str], model: Cluster) {
    asks(name, sometimes, &[], model);
}

/// No *always* breaks, and none of these ever occurs.
pub fn never(name: &str, never: &[&str], model: Cluster) {
    asks(name, &[], never, model);
}

fn asks(name: &str, sometimes: &[&str], never: &[&str], model: Cluster) {
    let began = Instant::now();
    let checker = model.checker().spawn_bfs().join();
    for property in checker.model().properties() {
        let found = checker.discovery(property.name);
        let expected = match property.expectation {
            Expectation::Sometimes if sometimes.contains(&property.name) => true,
            Expectation::Sometimes if never.contains(&property.name) => false,
            Expectation::Sometimes => continue,
            Expectation::Always | Expectation::Eventually => false,
        };
        if found.is_some() != expected {
            for action in found.into_iter().flat_map(|path| path.into_actions()) {
                println!("  {action:?}");
            }
            panic!("{name}: not as expected: {}", property.name);
        }
    }
    println!(
        "{name}: {} states, holds, {:.1?}",
        checker.unique_state_count(),
        began.elapsed()
    );
}

/// Once nothing fails any more, and whatever was cut, killed or off is back, the member can serve again
/// from every state; but for a split brain, which only a rover brings about that is so slow between its
/// look and its promotion that a resync begins and breaks off in between.
pub fn never_stuck(name: &str, model: &Cluster) {
    let mut at = HashMap::new();
    let mut states = model.init_states();
    let mut came_from: Vec<Vec<u32>> = vec![Vec::new()];
    at.insert(states[0], 0_usize);
    let mut next = 0;
    let mut actions = Vec::new();
    while next < states.len() {
        let world = states[next];
        actions.clear();
        model.actions(&world, &mut actions);
        for action in actions.drain(..) {
            let Some(then) = model.next_state(&world, action) else {
                continue;
            };
            let to = *at.entry(then).or_insert_with(|| {
                states.push(then);
                came_from.push(Vec::new());
                states.len() - 1
            });
            if !action.is_fault() {
                came_from[to].push(u32::try_from(next).expect("so many states"));
            }
        }
        next += 1;
    }
    let serves = |world: &World| (0..2).any(|at| world.can_write(at, &model.settings));
    let mut good: Vec<bool> = states.iter().map(serves).collect();
    let mut todo: Vec<usize> = (0..states.len()).filter(|at| good[*at]).collect();
    while let Some(to) = todo.pop() {
        for from in &came_from[to] {
            if !std::mem::replace(&mut good[*from as usize], true) {
                todo.push(*from as usize);
            }
        }
    }
    let split = |world: &World| world.machines.iter().any(|machine| machine.stand_alone);
    let excused = |at: usize| !model.attentive && split(&states[at]);
    let mut stuck = (0..states.len()).filter(|at| !good[*at] && !excused(*at));
    if let Some(first) = stuck.next() {
        let count = 1 + stuck.count();
        panic!(
            "{name}: {count} of {} states are stuck, first: {:#?}",
            states.len(),
            states[first]
        );
    }
    println!("{name}: {} states, none is stuck", states.len());
}
