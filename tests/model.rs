//! Does any order of kills, lost disks, cuts and operator actions break an *always*, or make a
//! *sometimes* unreachable? And is each rule of the table needed: broken on purpose, is it caught?

#[path = "model/actions.rs"]
mod actions;
#[path = "model/check.rs"]
mod check;
#[path = "model/cluster.rs"]
mod cluster;
#[path = "model/counterexamples.rs"]
mod counterexamples;
#[path = "model/entrypoint.rs"]
mod entrypoint;
#[path = "model/etcd.rs"]
mod etcd;
#[path = "model/look.rs"]
mod look;
#[path = "model/mutants.rs"]
mod mutants;
#[path = "model/properties.rs"]
mod properties;
#[path = "model/rules.rs"]
mod rules;
#[path = "model/runs.rs"]
mod runs;
#[path = "model/search.rs"]
mod search;
#[path = "model/unmodelled.rs"]
mod unmodelled;
#[path = "decisions/text.rs"]
#[allow(dead_code)]
mod words;
#[path = "model/world.rs"]
mod world;
