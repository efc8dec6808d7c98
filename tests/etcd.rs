//! Does real etcd agree? Every way in which a member can lose its data or its place, on each etcd
//! that is there: in the end every acknowledged write is on every member, or a refusal or a wait says why not.
//!
//! The binaries come from `tests/setup/etcd.sh`. Each test has loopback addresses of its own.

mod support;

#[path = "etcd/damage.rs"]
mod damage;
#[path = "etcd/first_start.rs"]
mod first_start;
#[path = "etcd/harness.rs"]
mod harness;
#[path = "etcd/hostile_peers.rs"]
mod hostile_peers;
#[path = "etcd/housekeeping.rs"]
mod housekeeping;
#[path = "etcd/lost_disk.rs"]
mod lost_disk;
#[path = "etcd/naive_cases.rs"]
mod naive_cases;
#[path = "etcd/orders.rs"]
mod orders;
#[path = "etcd/other_history.rs"]
mod other_history;
#[path = "etcd/outgrown.rs"]
mod outgrown;
#[path = "etcd/probes.rs"]
mod probes;
#[path = "etcd/promoted.rs"]
mod promoted;
#[path = "etcd/recovery.rs"]
mod recovery;
#[path = "etcd/refusals.rs"]
mod refusals;
#[path = "etcd/secured.rs"]
mod secured;
#[path = "etcd/spoken.rs"]
mod spoken;
#[path = "etcd/stateful_set.rs"]
mod stateful_set;
#[path = "etcd/surroundings.rs"]
mod surroundings;
#[path = "etcd/upgrades.rs"]
mod upgrades;
#[path = "etcd/version_skip.rs"]
mod version_skip;
#[path = "etcd/with_store.rs"]
mod with_store;
