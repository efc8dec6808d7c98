//! A child that does not outlive its parent, whatever ends that.
//!
//! Only a process itself can ask for a signal at its parent's death, so between fork and exec one program of ours runs
//! for a moment. The setting survives that second exec (prctl(2), PR_SET_PDEATHSIG), unless the program is set-user-ID
//! or has file capabilities.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use crate::program;

/// The hidden first argument of the process between.
const TIED: &str = "__tied";

/// From now on this process is killed when the thread that started it ends. `parent` is the process that did, which may
/// have died before: then the error says so.
pub fn die_with(parent: &OsStr) -> Result<(), String> {
    // SIGKILL: not even one that hangs in its own shutdown keeps ports and files from its successor.
    let asked = set_parent_process_death_signal(Some(Signal::KILL));
    if getppid().map(|pid| pid.to_string()).as_deref() != parent.to_str() {
        return Err("the parent has died".into());
    }
    asked.map_err(|error| format!("cannot ask to die with the parent: {error}"))
}

/// As `program::command`, and it is killed when the thread that starts it ends. Only for programs whose `main` calls
/// `between` first.
pub fn command(path: &Path, search: &OsStr) -> Command {
    // The link leads to our very file, even if it was replaced or deleted meanwhile.
    let ourselves = Path::new("/proc/self/exe");
    if !ourselves.exists() {
        return program::command(path, search);
    }
    let mut command = program::command(ourselves, search);
    command.arg(TIED).arg(std::process::id().to_string());
    command.arg(path);
    command
}

/// What the process between does. Returns only an exit code, where it cannot become the program; none where these words
/// are not for it.
pub fn between(words: impl Iterator<Item = OsString>) -> Option<i32> {
    let mut words = words.skip(1);
    if words.next()? != TIED {
        return None;
    }
    let (parent, program) = (words.next()?, words.next()?);
    if let Err(why) = die_with(&parent) {
        eprintln!("{}: {why}", program.display());
        return Some(1);
    }
    let error = Command::new(&program).args(words).exec();
    eprintln!("{}: {error}", program.display());
    Some(126)
}
