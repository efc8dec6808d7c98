//! The questions that the tests ask of a model.

use std::time::Instant;

use stateright::{Checker, Expectation, HasDiscoveries, Model};

use crate::cluster::Cluster;

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

/// A mutant breaks this *always*. stateright finds the shortest way.
pub fn is_caught(name: &str, property: &'static str, model: Cluster) {
    let checker = model
        .checker()
        .finish_when(HasDiscoveries::AnyOf([property].into()))
        .spawn_bfs()
        .join();
    let states = checker.unique_state_count();
    let Some(path) = checker.discovery(property) else {
        panic!("{name}: {property:?} holds in all {states} states");
    };
    println!("{name}: caught after {states} states, not: {property}");
    for action in path.into_actions() {
        println!("  {action:?}");
    }
}
