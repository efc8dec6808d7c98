//! Does any order of crashes, cuts, restarts and wishes of keepalived lose an acknowledged write of the
//! roving member, or let two machines write? And is each rule needed: broken on purpose, is it caught?
//!
//! The world (`world`): two machines with a disk (writes, what DRBD has recorded of itself and of the
//! peer, whether it went on alone), the kernel's half of DRBD, a rover with its memory, its child, and a
//! gate that opens and closes as it likes; a replication link and a second network that fail each for
//! itself; and ghosts, such as which writes were acknowledged. DRBD's rules (`drbd`) are those measured
//! with 8.4.11, and DRBD 9's where it differs: a disk reads UpToDate after a boot, and quorum with a
//! diskless third node, which outdates a Secondary that it sees while the other side is Primary. The
//! rovers run the real `decide_volume`, and answer each other and the kernel's `fence-peer` handler by
//! the real `asked_to_outdate`, `settle` and `decide_handler` (`rover`). Looking and promoting are two steps:
//! anything may happen between. A rover may look away as long as it likes.
//!
//! Not in this world: etcd (the client's write is acknowledged when it is on every disk that DRBD wants),
//! the file system, a promotion that an operator forces, a resource whose two machines differ in their
//! settings, and time.

#[path = "../../../tests/support/cases.rs"]
#[allow(dead_code)]
mod cases;
#[path = "../../../tests/support/caught.rs"]
mod caught;
#[path = "roving/check.rs"]
mod check;
#[path = "roving/cluster.rs"]
mod cluster;
#[path = "roving/drbd.rs"]
mod drbd;
#[path = "roving/mutants.rs"]
mod mutants;
#[path = "roving/rover.rs"]
mod rover;
#[path = "roving/rules.rs"]
mod rules;
#[path = "roving/runs.rs"]
mod runs;
#[path = "roving/scenarios.rs"]
mod scenarios;
#[path = "volume/text.rs"]
#[allow(dead_code)]
mod words;
#[path = "roving/world.rs"]
mod world;
