//! Becoming etcd: in our own place by `exec`, or as a child on trial. Decides nothing.
//!
//! What etcd gets is the same both ways: this program, this `argv[0]`, these arguments, exactly this
//! environment, an empty signal mask, no ignored signal, our working directory, standard input and
//! output, and every descriptor that was inherited by us. None of our own descriptors reaches it.

mod argv;
mod child;
mod copy;
mod hidden;
mod last_words;
mod trial;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::FORBIDDEN;

pub use child::spawn;
pub use hidden::hidden_main;
pub use last_words::LastWords;
pub use trial::{Next, Outcome, ProcessEnd, TrialError, Watch, trial};

/// The etcd to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Etcd {
    /// The program. Without a slash it is looked for on the `PATH` of `env`.
    pub program: PathBuf,
    /// What the program finds as its own name.
    pub arg0: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its complete environment: nothing of ours is added.
    pub env: Vec<(OsString, OsString)>,
}

/// How this program was called: what it takes to run it again.
#[derive(Clone, Debug)]
pub struct Called {
    /// By which name.
    pub name: OsString,
    /// With which words.
    pub words: Vec<OsString>,
    /// In which environment.
    pub env: Vec<(OsString, OsString)>,
}

impl Etcd {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg0(&self.arg0).args(&self.args).env_clear();
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Why a program could not be run.
#[derive(Debug)]
pub enum ExecError {
    /// There is no such file, or its interpreter or dynamic loader is missing.
    NotFound(PathBuf, io::Error),
    /// No permission, a directory, or not a program for this machine.
    NotExecutable(PathBuf, io::Error),
    /// Anything else, such as arguments that are too long.
    Other(PathBuf, io::Error),
}

impl ExecError {
    /// The exit code for it, as shells have it.
    pub fn exit_code(&self) -> i32 {
        match self {
            ExecError::NotFound(..) => 127,
            ExecError::NotExecutable(..) | ExecError::Other(..) => 126,
        }
    }

    fn of(program: PathBuf, error: io::Error) -> Self {
        use rustix::io::Errno;
        match Errno::from_io_error(&error) {
            Some(Errno::NOENT) => ExecError::NotFound(program, error),
            Some(Errno::ACCESS | Errno::PERM | Errno::NOEXEC | Errno::ISDIR | Errno::NOTDIR) => {
                ExecError::NotExecutable(program, error)
            }
            _ => ExecError::Other(program, error),
        }
    }
}

impl fmt::Display for ExecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ExecError::NotFound(program, error)
        | ExecError::NotExecutable(program, error)
        | ExecError::Other(program, error)) = self;
        write!(f, "cannot run {}: {error}", program.display())
    }
}

// The cause is part of Display, as in `crate::error::Error`.
impl std::error::Error for ExecError {}

/// Becomes etcd. Returns only to fail.
///
/// `Stop::end_at_once` belongs right before it: else a SIGTERM that arrives between the last look at
/// the flag and the exec is lost.
pub fn exec(etcd: &Etcd) -> ExecError {
    stop_ignoring();
    // The mask is empty since `Stop::install`; `CommandExt::exec` gives SIGPIPE, which Rust ignores, its
    // default.
    let error = etcd.command().exec();
    ExecError::of(etcd.program.clone(), error)
}

/// Linux has the signals 1 to 64; the C library keeps 32 and 33 (musl: 34 too) for itself.
const SIGNALS: std::ops::RangeInclusive<i32> = 1..=64;

/// Gives every ignored signal a handler that does nothing: exec makes it default again.
///
/// A signal ignored by whoever started us (`nohup`, a shell's `&`) stays ignored over exec, and a Go
/// program leaves an ignored SIGHUP and SIGINT ignored (`os/signal`, "Default behavior of signals").
/// Out of reach without unsafe code are SIGILL, SIGFPE and SIGSEGV: Go's runtime sets those itself.
fn stop_ignoring() {
    let ignored = ignored();
    let nothing = Arc::new(AtomicBool::new(false));
    for signal in SIGNALS.filter(|signal| ignored & (1 << (signal - 1)) != 0) {
        if !FORBIDDEN.contains(&signal) {
            // Refused only for numbers that no program can set.
            let _ = signal_hook::flag::register(signal, nothing.clone());
        }
    }
}

/// The signals that we ignore, as the kernel's mask; all of them where /proc cannot tell.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_exec_ends_as_shells_end() {
        for (errno, code) in [(2, 127), (13, 126), (8, 126), (20, 126), (7, 126)] {
            let error = ExecError::of("/e".into(), io::Error::from_raw_os_error(errno));
            assert_eq!(error.exit_code(), code, "{error}");
        }
    }
}
