//! What the tests on real etcd are built from: versions, addresses, processes, clusters, damage.

#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "no test file uses all of it"
)]

pub mod addresses;
pub mod apiserver;
pub mod certs;
pub mod client;
pub mod cluster;
pub mod executable;
pub mod files;
pub mod member;
pub mod process;
pub mod relay;
pub mod version;
pub mod writer;

pub use client::{Client, Listed};
pub use cluster::Cluster;
pub use executable::executable;
pub use files::Tree;
pub use member::Member;
pub use relay::Relay;
pub use version::Version;
pub(crate) use version::scenarios;

use std::time::{Duration, Instant};

/// How long a cluster may take to do what it is expected to do. A lost publish alone costs 7 s.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `condition` holds; fails naming `what` after `timeout`.
#[track_caller]
pub fn wait_for(what: &str, timeout: Duration, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + timeout;
    while !condition() {
        assert!(Instant::now() < end, "after {timeout:?} still not: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
