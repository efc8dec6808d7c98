//! The commands of two machines: one function each.

pub mod config;
pub mod fence_peer;
pub mod init;
pub mod notify;
pub mod promote;
