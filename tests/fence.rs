//! The program as the kernel's handler, and as a rover whose peer says no.

#[path = "support/executable.rs"]
mod executable;
#[path = "fence/handler.rs"]
mod handler;
#[path = "../crates/rover/tests/fence/peer.rs"]
mod peer;
#[path = "fence/takeover.rs"]
mod takeover;
