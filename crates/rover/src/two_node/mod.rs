//! Two machines: the configurations that belong together, written from a handful of inputs, and those
//! of a machine, checked. Never changes a file that is there.

pub mod args;
pub mod check;
mod files;
mod inputs;
mod secrets;
pub mod tools;
mod write;

pub use args::Grammar;
pub use files::files;
pub use inputs::{Plan, plan};
pub use write::{File, write};

/// The DRBD resource that is written.
pub const RESOURCE: &str = "etcd";
