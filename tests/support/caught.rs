//! Asks stateright whether a mutant of a model is caught.

use std::fmt::Debug;
use std::hash::Hash;

use stateright::{Checker, HasDiscoveries, Model};

/// A mutant breaks this *always*. stateright finds the shortest way.
pub fn is_caught<M>(name: &str, property: &'static str, model: M)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync,
    M::Action: Clone + Debug + PartialEq + Send + Sync,
{
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
