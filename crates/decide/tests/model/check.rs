//! The questions that the tests ask of a model.

use std::time::Instant;

use stateright::{Checker, Model};

use crate::cluster::Cluster;
use crate::search::{Graph, explore};
use crate::world::{World, broken};

/// No *always* breaks, each *sometimes* occurs, and from every state the cluster can become healthy
/// without a further fault. Asked of stateright, and of the graph.
pub fn holds<const N: usize>(name: &str, model: impl Fn() -> Cluster<N>) {
    let checker = model().checker().spawn_bfs().join();
    checker.assert_properties();
    let graph = explore(&model(), usize::MAX, 0);
    assert_eq!(graph.states.len(), checker.unique_state_count());
    never_stuck(name, &model(), graph);
}

/// The same by the graph alone: faster, and with less memory than stateright's queue of paths.
pub fn holds_by_graph<const N: usize>(name: &str, model: Cluster<N>) {
    let began = Instant::now();
    let graph = explore(&model, usize::MAX, 0);
    breaks_nothing_but(name, 0, &model, &graph);
    let any = |what: &dyn Fn(&World<N>) -> bool| graph.states.iter().any(what);
    for slot in 0..N {
        // Of two members the one that lost its disk comes back under its old ID.
        let back = N == 2 || any(&|world| world.is_back(slot));
        assert!(
            back || !any(&|world| world.slots[slot].lost != 0),
            "{name}: n{} is not back",
            slot + 1
        );
    }
    never_stuck(name, &model, graph);
    println!("{name}: {:.0?}", began.elapsed());
}

/// Breaks nothing. Where only a person can help on, it may be stuck.
pub fn breaks_nothing<const N: usize>(name: &str, model: Cluster<N>) {
    let began = Instant::now();
    let graph = explore(&model, usize::MAX, 0);
    breaks_nothing_but(name, 0, &model, &graph);
    let (states, took) = (graph.states.len(), began.elapsed());
    println!("{name}: {states} states, breaks nothing, {took:.0?}");
}

/// Breaks nothing in the first so many states. That nothing is stuck cannot be told from a part.
pub fn breaks_nothing_within<const N: usize>(name: &str, states: usize, model: Cluster<N>) {
    let began = Instant::now();
    let graph = explore(&model, states, 0);
    breaks_nothing_but(name, 0, &model, &graph);
    assert!(
        !graph.complete,
        "{name}: {} states are all",
        graph.states.len()
    );
    println!(
        "{name}: {states} states, breaks nothing, {:.0?}",
        began.elapsed()
    );
}

/// Breaks nothing but this; and is not stuck where it is not broken.
pub fn breaks_only<const N: usize>(name: &str, broken: u8, model: Cluster<N>) {
    let graph = explore(&model, usize::MAX, 0);
    assert!(
        graph.broken.contains_key(&broken),
        "{name}: {broken} is not reached"
    );
    breaks_nothing_but(name, broken, &model, &graph);
    println!(
        "{name}: as documented:\n{}",
        graph.trace(&model, graph.broken[&broken])
    );
    never_stuck(name, &model, graph);
}

fn breaks_nothing_but<const N: usize>(
    name: &str,
    allowed: u8,
    model: &Cluster<N>,
    graph: &Graph<N>,
) {
    if let Some((bit, at)) = graph.broken.iter().find(|(bit, _)| **bit != allowed) {
        panic!("{name} breaks {bit}:\n{}", graph.trace(model, *at));
    }
}

fn never_stuck<const N: usize>(name: &str, model: &Cluster<N>, mut graph: Graph<N>) {
    let ended = graph.states.iter().filter(|world| world.out_of_ids).count();
    assert_eq!(ended, 0, "{name}: the model needs more IDs");
    let stuck = graph.stuck();
    if let Some(first) = stuck.first() {
        let trace = graph.trace(model, *first);
        panic!("{name}: {} states are stuck, first:\n{trace}", stuck.len());
    }
    println!("{name}: {} states, holds", graph.states.len());
}

/// A mutant leaves states from which the cluster never becomes healthy, though no *always* breaks.
pub fn is_stranded<const N: usize>(name: &str, model: Cluster<N>) {
    let mut graph = explore(&model, usize::MAX, broken::LOSS);
    let (states, stuck) = (graph.states.len(), graph.stuck());
    let Some(first) = stuck.first() else {
        panic!("{name}: none of {states} states is stuck");
    };
    println!(
        "{name}: {} of {states} states are stuck, first after:",
        stuck.len()
    );
    println!("{}", graph.trace(&model, *first));
}
