//! A container entrypoint for etcd: look at the data dir and at the cluster, change one thing at a
//! time, then become etcd.
//!
//! The shape is *observe, decide, act*: see [`decide::decide`] for the decision table.

pub mod act;
pub mod assembly;
pub mod cli;
pub mod commands;
pub mod config;
pub mod datadir;
pub mod explain;
mod first;
pub mod gateway;
pub mod handover;
pub mod kubernetes;
pub mod launch;
pub mod observe;
pub mod path;
mod ports;
pub mod run;
pub mod store;

pub use etcd_rejoin_decide as decide;
pub use etcd_rejoin_decide::membership;
use etcd_rejoin_host::calendar;
pub use etcd_rejoin_host::{
    access, env_file, error, kmsg, logging, mounts, program, signals, text, tls,
};
pub use etcd_rejoin_rover as rover;

/// The version, with the commit where one is known.
pub const VERSION: &str = match option_env!("ETCD_REJOIN_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};
