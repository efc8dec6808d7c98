//! The process in front of an etcd on trial: small, because it may stay for as long as etcd runs.
//!
//! A trial takes two images of this program. The one that looked at the cluster hands on to this one by
//! exec, which gives its memory back; and whether etcd is healthy is watched by a child, which ends as
//! soon as there is nothing left to watch. Signals, orphans and etcd's end are this one's affair; if
//! etcd fails before it was ever healthy, the first image takes over again.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::{Exit, preflight};
use crate::config::Config;
use crate::datadir::{LockError, Volume};
use crate::decide::{Start, Trial};
use crate::error::{Context, Error};
use crate::handover::{self, LastWords, Next, Outcome, Status, TrialError, Watch};
use crate::launch;
use crate::signals::Stop;

/// The hidden first word of the image that supervises a trial.
pub const SUPERVISE: &str = "__supervise";
/// Of the one that watches its health.
const WATCH: &str = "__watch";
/// Of the one that looks again after it.
const AGAIN: &str = "__again";

/// What one image hands on to the next, in its second word. Nothing secret: command lines can be read
/// by everybody.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Handed {
    /// How etcd is started.
    pub start: Start,
    /// How many steps may still be taken.
    pub steps_left: Option<u32>,
    /// What the last trial died of.
    pub trial: Trial,
    /// The exit code of the trial that failed.
    pub failed: Option<i32>,
}

/// Which image this is.
#[derive(Debug)]
pub enum Phase {
    /// The first.
    First,
    /// The one that supervises etcd on trial.
    Supervise(Handed),
    /// The one that watches its health.
    Watch(Handed),
    /// The one that looks again after a failed trial.
    Again(Handed),
}

/// Reads the hidden words; what is left is what the user wrote.
pub fn phase(words: &[OsString]) -> Result<(Phase, &[OsString]), Error> {
    let phase = match words.first().and_then(|word| word.to_str()) {
        Some(SUPERVISE) => Phase::Supervise,
        Some(WATCH) => Phase::Watch,
        Some(AGAIN) => Phase::Again,
        None | Some(_) => return Ok((Phase::First, words)),
    };
    let state = words
        .get(1)
        .and_then(|word| word.to_str())
        .unwrap_or_default();
    let handed = serde_json::from_str(state).context(|| "this command is not for people".into())?;
    Ok((phase(handed), &words[2..]))
}

/// Becomes the next image. Returns only to fail.
pub fn hand_on(image: &str, handed: &Handed, stop: &Stop) -> Exit {
    // A stop now must not fall between two images.
    if let Err(error) = Stop::hold() {
        log::warn!("{error}");
    }
    match stop.end_at_once() {
        Ok(None) => {}
        Ok(Some(signal)) => return Exit::signal(signal),
        Err(error) => log::warn!("{error}"),
    }
    let error = ourselves(image, handed).exec();
    log::error!("cannot run ourselves again: {error}");
    Exit::FAILED
}

/// This program again, as this image, with the words that the user wrote.
fn ourselves(image: &str, handed: &Handed) -> Command {
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    let words: Vec<OsString> = words.collect();
    let written = match phase(&words) {
        Ok((_, written)) => written,
        Err(_) => &[],
    };
    let mut command = Command::new(own_program(&name));
    command.arg0(&name).arg(image);
    command
        .arg(serde_json::to_string(handed).unwrap_or_default())
        .args(written);
    command
}

/// Our very file: by its path, so that `ps` shows its name; by the kernel's link if the path leads to
/// another file by now.
fn own_program(name: &OsStr) -> PathBuf {
    let link = PathBuf::from("/proc/self/exe");
    let id = |path: &Path| std::fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    match (std::fs::read_link(&link), id(&link)) {
        (Ok(path), Ok(own)) if id(&path).is_ok_and(|found| found == own) => path,
        (_, Ok(_)) => link,
        (_, Err(_)) => name.into(),
    }
}

/// Runs etcd on trial and ends as it ended, unless there is something to look at again.
pub fn supervise(config: &Config, stop: &Stop, mut handed: Handed) -> Exit {
    let volume = Volume::new(&config.data_dir, config.wal_dir.as_deref());
    let _lock = match volume.lock() {
        Ok(lock) => lock,
        // Somebody came in between the two images: look again, and wait for them.
        Err(LockError::Held { .. }) => return hand_on(AGAIN, &handed, stop),
        Err(LockError::Failed(error)) => {
            log::error!("{error}");
            return Exit::FAILED;
        }
    };
    let program = match preflight::program(config) {
        Ok(program) => program,
        Err((exit, why)) => {
            log::error!("{why}");
            return exit;
        }
    };
    let etcd = match launch::etcd(config, &program, &handed.start.begin) {
        Ok(etcd) => etcd,
        Err(error) => {
            log::error!("{error}");
            return Exit::FAILED;
        }
    };
    let watching = handed.clone();
    match handover::trial(&etcd, stop, move |watch| look_on(watch, &watching)) {
        Ok(outcome) => match ended(&outcome) {
            Ok(exit) => exit,
            Err(exit) => {
                handed.trial = cause(&outcome.last_words);
                handed.failed = Some(exit.0);
                drop(_lock);
                hand_on(AGAIN, &handed, stop)
            }
        },
        Err(TrialError::Stopped(signal)) => Exit::signal(signal),
        Err(TrialError::Failed(error)) => {
            log::error!("{error}");
            Exit::FAILED
        }
    }
}

/// Lets a child watch, and hears what it says.
fn look_on(watch: &mut Watch, handed: &Handed) -> Next {
    let mut command = ourselves(WATCH, handed);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    // Reaped by the trial, as all children are. It ends when its standard input does.
    let (_alive, said) = match child {
        Ok(mut child) => (child.stdin.take(), child.stdout.take()),
        Err(error) => {
            log::warn!("cannot watch whether etcd is healthy: {error}");
            return Next::Done;
        }
    };
    for line in said
        .map(BufReader::new)
        .into_iter()
        .flat_map(BufRead::lines)
    {
        if line.is_ok_and(|line| line == super::watch::HEALTHY) {
            watch.healthy();
        }
    }
    Next::Done
}

/// The exit code; as an error where we should look again before we end with it.
fn ended(outcome: &Outcome) -> Result<Exit, Exit> {
    let exit = match outcome.status {
        // Unasked, exit code 0 is how etcd ends when it was removed.
        Status::Exited(0) if outcome.stop.is_none() => Exit::NOT_OK,
        status => Exit(status.exit_code()),
    };
    if let Some(signal) = outcome.stop {
        log::info!(
            "etcd has ended with {} after signal {signal}",
            outcome.status
        );
        return Ok(exit);
    }
    log::warn!(
        "etcd has ended with {} healthy={} last-words={:?}",
        outcome.status,
        outcome.healthy,
        outcome.last_words
    );
    let removed = outcome.last_words == LastWords::Removed || outcome.status == Status::Exited(0);
    match outcome.healthy && !removed {
        true => Ok(exit),
        false => Err(exit),
    }
}

/// What etcd printed may tell its data from its surroundings; the files decide.
fn cause(words: &LastWords) -> Trial {
    match words {
        LastWords::Behind => Trial::Behind,
        LastWords::DataUnreadable(_) => Trial::Unreadable,
        LastWords::None
        | LastWords::Removed
        | LastWords::AlreadyBootstrapped
        | LastWords::Surroundings(_)
        | LastWords::Unknown => Trial::Other,
    }
}
