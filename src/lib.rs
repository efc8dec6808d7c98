//! A container entrypoint for etcd: look at the data dir and at the cluster, change one thing at a
//! time, then become etcd.
//!
//! The shape is *observe, decide, act*: see [`decide::decide`] for the decision table.

pub mod datadir;
pub mod decide;
pub mod error;
pub mod membership;
pub mod signals;
