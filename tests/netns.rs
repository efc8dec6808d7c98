//! keepalived for real, in network namespaces of its own: what it says, in which order, and what is left
//! of it in the gate.
//!
//! Two machines are two namespaces with a cable between them. Needs root, keepalived, iproute2.

mod support;

#[path = "netns/machines.rs"]
mod machines;
#[path = "netns/scripts.rs"]
mod scripts;
