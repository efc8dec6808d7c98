//! Two virtual machines with DRBD 8.4, keepalived and three members of etcd, the third one roving: does
//! no crash, cut or restart lose an acknowledged write?
//!
//! A client writes through the virtual address all the time; what it was told is written is recorded
//! outside of the machines. `tests/setup/vm.sh` fetches what the machines are made of; they are emulated,
//! so nothing but a processor is needed. One case by name:
//! `cargo test --test vm -- --ignored --nocapture the_master_is_killed`. With `ETCD_REJOIN_VM_REPORT`
//! set, each case ends with what both machines logged.

#[path = "vm/failover.rs"]
mod failover;
#[path = "vm/fence.rs"]
mod fence;
#[path = "vm/figures.rs"]
mod figures;
#[path = "vm/guest.rs"]
mod guest;
#[path = "vm/image.rs"]
mod image;
#[path = "vm/keepalived.rs"]
mod keepalived;
#[path = "vm/lab.rs"]
mod lab;
#[path = "vm/pair.rs"]
mod pair;
#[path = "vm/partitions.rs"]
mod partitions;
#[path = "vm/roles.rs"]
mod roles;
#[path = "vm/shutdowns.rs"]
mod shutdowns;
#[path = "vm/stops.rs"]
mod stops;
#[path = "vm/volume.rs"]
mod volume;
#[path = "vm/writer.rs"]
mod writer;
#[path = "vm/written.rs"]
mod written;
