//! The commands: one function each.

pub mod config;
pub mod fence_peer;
pub mod leave;
pub mod notify;
mod ports;
mod preflight;
pub mod probe;
pub mod promote;
pub mod quarantine;
mod rejoin;
pub mod rove;
pub mod run;
mod said;
pub mod status;
pub mod supervise;
pub mod volume;
pub mod watch;
mod watching;

use crate::config::Config;

/// Prints the answer of a command. Nobody reading it is no failure, as with `etcd-rejoin man | head`.
pub fn print(text: &str) -> Exit {
    use std::io::{ErrorKind, Write};
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Exit::OK,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Exit::OK,
        Err(error) => {
            eprintln!("etcd-rejoin: cannot write to standard output: {error}");
            Exit::FAILED
        }
    }
}

/// Says that there is no such data dir: its name is misspelt then, or its volume is not mounted.
fn must_exist(config: &Config) -> Result<(), Exit> {
    match std::fs::metadata(&config.data_dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let dir = config.data_dir.display();
            eprintln!(
                "etcd-rejoin: there is no data dir {dir}: is ETCD_DATA_DIR right, and its volume mounted?"
            );
            Err(Exit::FAILED)
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// What a command ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub i32);

impl Exit {
    /// All went well.
    pub const OK: Exit = Exit(0);
    /// Something is not as it should be, and the output says what.
    pub const NOT_OK: Exit = Exit(1);
    /// The command line is wrong.
    pub const USAGE: Exit = Exit(2);
    /// Refused: only a person can tell.
    pub const REFUSED: Exit = Exit(65);
    /// Waited as long as allowed.
    pub const WAITED: Exit = Exit(69);
    /// A step failed, or something around us.
    pub const FAILED: Exit = Exit(74);
    /// The last of a given number of steps is taken.
    pub const STEPS_TAKEN: Exit = Exit(75);
    /// The configuration is wrong.
    pub const CONFIG: Exit = Exit(78);

    /// Ended by a signal.
    pub fn signal(signal: i32) -> Exit {
        Exit(128 + signal)
    }
}
