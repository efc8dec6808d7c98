//! The roving member: the volume is the other crate's, the member on it is this program again, as a child and
//! without what makes it a rover.

use std::ffi::OsString;
use std::path::PathBuf;

use rustix::process::Pid;

use super::Exit;
use crate::error::Error;
use crate::handover::{self, Called, Etcd};
use crate::rover::rove;
use crate::rover::settings::{Rover, VARIABLES};
use crate::signals::Stop;

/// Owns the volume until told to end, or until the member has ended.
pub fn run(rover: &Rover, called: &Called, stop: &Stop) -> Exit {
    let called = called.clone();
    let start = move || start(&called);
    rove::rove(rover, crate::VERSION, Box::new(start), stop)
}

fn start(called: &Called) -> Result<Pid, Error> {
    let env = called.env.iter().filter(|variable| passed_on(variable));
    let program = Etcd {
        program: PathBuf::from("/proc/self/exe"),
        arg0: called.name.clone(),
        args: called.words.clone(),
        env: env.cloned().collect(),
    };
    handover::spawn(&program, &called.name, None)
}

/// What the ordinary entrypoint on the volume gets of our environment.
fn passed_on((name, _): &(OsString, OsString)) -> bool {
    !VARIABLES.iter().any(|ours| name == ours)
}
