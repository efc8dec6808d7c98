//! Do we say to DRBD's tools what they understand, and does the program do with them what it should? A stand-in
//! gives the answers that were recorded; the real `drbdadm`, in its dry run, judges our words under both grammars.

#[path = "drbd/grammar.rs"]
mod grammar;
#[path = "drbd/rover.rs"]
mod rover;
#[path = "drbd/set_up.rs"]
mod set_up;
#[path = "../crates/rover/tests/drbd/stand_in.rs"]
mod stand_in;

const FIXTURES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/crates/rover/tests/fixtures/drbd"
);
