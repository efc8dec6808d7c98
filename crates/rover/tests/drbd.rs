//! Do we understand what DRBD's tools say? A stand-in gives the answers that were recorded.

#[path = "drbd/failures.rs"]
mod failures;
#[path = "drbd/looks.rs"]
mod looks;
#[path = "drbd/nine.rs"]
mod nine;
#[path = "drbd/stand_in.rs"]
mod stand_in;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/drbd");
