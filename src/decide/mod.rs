//! What is decided: of the member, by the crate of that name; and of the volume of two machines.

pub use etcd_rejoin_decide::*;

pub mod volume;
