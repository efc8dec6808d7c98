//! What the program and its crates share: errors, signals, other programs, exit codes, the machine's own log.
//! Knows nothing of etcd, and depends on nothing of ours.

pub mod env_file;
pub mod error;
pub mod exit;
pub mod kmsg;
pub mod mounts;
pub mod program;
pub mod signals;
pub mod text;
