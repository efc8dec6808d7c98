//! What a command prints, and what it ends with.

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
