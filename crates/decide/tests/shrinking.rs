//! A StatefulSet that grows and shrinks: does any order of scaling, of pre-stops killed half way, of lost disks and of
//! answers of the API server found a second cluster, cost a quorum, or send away whom the set wants? Is every size
//! reached again? And is each rule broken on purpose caught?
//!
//! The world (`world`): the replicas that the set wants; for each pod its volume with data and notes, its container and
//! its pre-stop, each with the real `Memory` of its run; the member list as committed. The controller (`cluster`) makes
//! the pods that are wanted and ends the others, at once and in any order. What etcd does is one line here: who is
//! listed and runs has all that is committed, and a majority of the voters commits. How entries spread, and all that
//! goes wrong where the size stays, is the other model's (`model.rs`).

#[path = "../../../tests/support/caught.rs"]
mod caught;
#[path = "shrinking/cluster.rs"]
mod cluster;
#[path = "shrinking/look.rs"]
mod look;
#[path = "shrinking/mutants.rs"]
mod mutants;
#[path = "shrinking/runs.rs"]
mod runs;
#[path = "shrinking/world.rs"]
mod world;
