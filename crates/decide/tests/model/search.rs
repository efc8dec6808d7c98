//! A breadth-first search of our own over the same model: it keeps the graph, so that it can ask from
//! which states the cluster can still become healthy once the faults are over. stateright's
//! *eventually* takes no cycle for a counterexample, and this world is full of cycles.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use stateright::Model;

use crate::actions::Action;
use crate::cluster::Cluster;
use crate::world::World;

/// Everything that was reached, and what leads where without a fault.
pub struct Graph<const N: usize> {
    pub states: Vec<World<N>>,
    parents: Vec<u32>,
    /// `(to, from)` of the steps that are no faults.
    steps: Vec<(u32, u32)>,
    /// The search ended at its limit.
    pub complete: bool,
    /// How many steps led to a state that an *always* forbids.
    pub violations: usize,
    /// The first state that breaks each, by its bit.
    pub broken: HashMap<u8, u32>,
}

/// Visits all states, at most `limit`; stops early at a state that breaks one of `until`.
pub fn explore<const N: usize>(model: &Cluster<N>, limit: usize, until: u8) -> Graph<N> {
    let mut graph = Graph {
        states: model.init_states(),
        parents: vec![0],
        steps: Vec::new(),
        complete: true,
        violations: 0,
        broken: HashMap::new(),
    };
    let mut known: HashMap<u64, u32, BuildHasherDefault<Fingerprint>> = HashMap::default();
    known.insert(fingerprint(&graph.states[0]), 0);
    let mut actions = Vec::new();
    let mut at = 0;
    while at < graph.states.len() {
        if graph.states.len() >= limit {
            graph.complete = false;
            return graph;
        }
        let state = graph.states[at];
        model.actions(&state, &mut actions);
        for action in actions.drain(..) {
            let Some(next) = model.next_state(&state, action) else {
                continue;
            };
            let new = next.broken & !state.broken;
            if new != 0 {
                graph.violations += 1;
            }
            if !model.within_boundary(&next) {
                continue;
            }
            let to = *known.entry(fingerprint(&next)).or_insert_with(|| {
                graph.states.push(next);
                graph.parents.push(at as u32);
                graph.states.len() as u32 - 1
            });
            for bit in (0..8).map(|bit| 1 << bit).filter(|bit| new & bit != 0) {
                graph.broken.entry(bit).or_insert(to);
            }
            if !action.is_fault() {
                graph.steps.push((to, at as u32));
            }
            if new & until != 0 {
                graph.complete = false;
                return graph;
            }
        }
        at += 1;
    }
    graph
}

impl<const N: usize> Graph<N> {
    /// The states from which the cluster can never be healthy again, without a further fault.
    pub fn stuck(&mut self) -> Vec<u32> {
        self.steps.sort_unstable();
        let mut alive = vec![false; self.states.len()];
        // Where a majority is lost or an *always* is broken already, nothing is asked.
        let mut next: Vec<u32> = (0..self.states.len() as u32)
            .filter(|at| {
                let state = &self.states[*at as usize];
                state.is_healthy() || state.majority_lost || state.broken != 0
            })
            .collect();
        next.iter().for_each(|at| alive[*at as usize] = true);
        while let Some(at) = next.pop() {
            let first = self.steps.partition_point(|(to, _)| *to < at);
            for (_, from) in self.steps[first..].iter().take_while(|(to, _)| *to == at) {
                if !std::mem::replace(&mut alive[*from as usize], true) {
                    next.push(*from);
                }
            }
        }
        (0..self.states.len() as u32)
            .filter(|at| !alive[*at as usize])
            .collect()
    }

    /// The shortest way to a state, one action in each line.
    pub fn trace(&self, model: &Cluster<N>, to: u32) -> String {
        let mut path = vec![to];
        while path[path.len() - 1] != 0 {
            path.push(self.parents[path[path.len() - 1] as usize]);
        }
        path.reverse();
        let mut text = String::new();
        for pair in path.windows(2) {
            let (from, to) = (pair[0] as usize, pair[1] as usize);
            let (action, _): (Action, _) = (model.next_steps(&self.states[from]).into_iter())
                .find(|(_, state)| *state == self.states[to])
                .expect("a parent leads to its child");
            text += &format!("  {action:?}\n");
        }
        text
    }
}

fn fingerprint(state: &impl Hash) -> u64 {
    let mut hasher = Fingerprint::default();
    state.hash(&mut hasher);
    hasher.finish()
}

/// A fast hash of many small integers; a fingerprint passes through it as it is.
#[derive(Default)]
struct Fingerprint(u64);

impl Fingerprint {
    fn mix(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 29);
    }
}

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }
    fn write_u8(&mut self, value: u8) {
        self.mix(u64::from(value));
    }
    fn write_u32(&mut self, value: u32) {
        self.mix(u64::from(value));
    }
    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }
    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }
    fn write_isize(&mut self, value: isize) {
        self.mix(value as u64);
    }
    fn finish(&self) -> u64 {
        self.0
    }
}
