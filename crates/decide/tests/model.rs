//! Does any order of kills, lost disks, cuts and operator actions break an *always*, or make a
//! *sometimes* unreachable? And is each rule of the table needed: broken on purpose, is it caught?
//!
//! The world (`world`): for each member a disk (empty, data, damaged; ID, log, term), its notes, and a
//! process (down, an entrypoint that looks or has decided, etcd, paused); cuts between pairs; how many
//! faults are left; and ghosts, such as which writes were acknowledged. Looking and deciding is one
//! step, acting another (`look`, `entrypoint`): anything may happen between. etcd (`etcd`) elects and
//! commits by every minimal quorum, lags, applies what it learns as committed, rejects the removed,
//! and panics where a leader knows more of it than it has. `search` asks, beside stateright, from
//! which states the cluster can still become healthy when the faults are over.
//!
//! A member may have a second volume, which it is moved to and back from: what one of them has sent or promised,
//! the other one does not know (`runs` says what that costs).
//!
//! Not in this world: twins and the volumes of other members, etcd that takes another entry of our URL than the one
//! that was decided on, steps that fail for ever, names, URLs and settings (`unmodelled` shows those
//! rules by the cases of `decisions.txt`), TLS, stores, snapshots of the log, two leaders of one term,
//! and time. A majority counts as lost where fewer voters than a quorum have all that they
//! acknowledged; such states are left out, but for the runs that go beyond.

#[path = "model/actions.rs"]
mod actions;
#[path = "../../../tests/support/cases.rs"]
#[allow(dead_code)]
mod cases;
#[path = "../../../tests/support/caught.rs"]
mod caught;
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
#[path = "model/remembered.rs"]
mod remembered;
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
