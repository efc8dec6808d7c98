//! Does any order of kills, lost and returning disks, lost messages, late answers of the store and an operator's words
//! make two histories serve, roll one back that somebody still holds, or found anew over data? And is each rule of a
//! restore needed: broken on purpose, is it caught?
//!
//! The world (`world`): for each member a disk, its notes and a process; the store with its marker, lineages,
//! snapshots and orders, which a look reads or does not; a create that is applied later; ghosts, such as what was
//! acknowledged. What etcd does is one line here: a quorum of a lineage's voters serves, and whoever comes back beside
//! one has all that it has. How a member is removed and added again is the other model's (`model.rs`), as is all that
//! can go wrong within one lineage.

#[path = "../../../tests/support/cases.rs"]
#[allow(dead_code)]
mod cases;
#[path = "../../../tests/support/caught.rs"]
mod caught;
#[path = "recovery/cluster.rs"]
mod cluster;
#[path = "recovery/look.rs"]
mod look;
#[path = "recovery/mutants.rs"]
mod mutants;
#[path = "recovery/runs.rs"]
mod runs;
#[path = "recovery/steps.rs"]
mod steps;
#[path = "recovery/unmodelled.rs"]
mod unmodelled;
#[path = "decisions/text.rs"]
#[allow(dead_code)]
mod words;
#[path = "recovery/world.rs"]
mod world;
