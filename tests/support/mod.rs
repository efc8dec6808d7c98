//! What the tests on real etcd are built from: versions, addresses, processes, clusters, damage.

#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "no test file uses all of it"
)]

pub mod addresses;
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

/// Makes the tests of a topic: `each` runs on every version of etcd, `both` on the oldest and the newest,
/// the rest on the one that is named.
macro_rules! scenarios {
    (
        each: $($each:ident),* $(,)?; both: $($both:ident),* $(,)?
        $(; $version:ident: $($one:ident),* $(,)?)*
    ) => {
        mod v34 {
            $(#[test] fn $each() { super::$each($crate::support::Version::V34) })*
            $(#[test] fn $both() { super::$both($crate::support::Version::V34) })*
        }
        mod v3516 { $(#[test] fn $each() { super::$each($crate::support::Version::V3516) })* }
        mod v3530 {
            $(#[test] fn $each() { super::$each($crate::support::Version::V3530) })*
            $(#[test] fn $both() { super::$both($crate::support::Version::V3530) })*
        }
        mod one { $($(#[test] fn $one() {
            super::$one($crate::support::Version::$version)
        })*)* }
    };
    (each: $($each:ident),* $(,)? $(; $version:ident: $($one:ident),* $(,)?)*) => {
        $crate::support::scenarios! { each: $($each),*; both: $(; $version: $($one),*)* }
    };
}
pub(crate) use scenarios;
