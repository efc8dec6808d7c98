//! The two-node volume: who may promote it, and in which order it is taken and given back. Pure.

mod state;

pub use state::*;
