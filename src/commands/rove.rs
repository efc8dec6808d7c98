//! The roving member: the volume is the other crate's, the member on it is this program again, as a child and
//! without what makes it a rover.

use std::ffi::OsString;
use std::path::PathBuf;

use rustix::process::Pid;

use super::Exit;
use crate::error::Error;
use crate::handover::{self, Etcd};
use crate::rover::rove;
use crate::rover::settings::{Rover, VARIABLES};
use crate::signals::Stop;

/// Owns the volume until told to end, or until the member has ended.
pub fn run(rover: &Rover, stop: &Stop) -> Exit {
    rove::rove(rover, crate::VERSION, Box::new(start), stop)
}

fn start() -> Result<Pid, Error> {
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    let program = Etcd {
        program: PathBuf::from("/proc/self/exe"),
        arg0: name,
        args: words.collect(),
        env: std::env::vars_os().filter(passed_on).collect(),
    };
    handover::spawn(&program, None)
}

/// What the ordinary entrypoint on the volume gets of our environment.
fn passed_on((name, _): &(OsString, OsString)) -> bool {
    !VARIABLES.iter().any(|ours| name == ours)
}
