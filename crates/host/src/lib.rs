//! What the programs and their crates share: errors, signals, other programs, exit codes, log lines, TLS files, times in
//! words. Knows nothing of etcd, and depends on nothing of ours.

pub mod access;
pub mod calendar;
pub mod env_file;
pub mod error;
pub mod exit;
pub mod kmsg;
pub mod logging;
pub mod mounts;
pub mod program;
pub mod signals;
pub mod text;
pub mod tied;
pub mod tls;
pub mod variables;
pub mod work;
