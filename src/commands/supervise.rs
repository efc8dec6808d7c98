//! The process in front of an etcd on trial: small, because it may stay for as long as etcd runs.
//!
//! A trial takes two images of this program. The one that looked at the cluster hands on to this one by
//! exec, which gives its memory back, and tells it all it needs: it reads no command line and no
//! setting, as program text that ran once stays in memory. Whether etcd is healthy is watched by a
//! child, which ends as soon as there is nothing left to watch. Signals, orphans and etcd's end are this
//! one's affair; if etcd fails before it was ever healthy, the first image takes over again.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::Exit;
use super::rejoin::Rejoin;
use super::watching::{Watching, bury};
use crate::config::Config;
use crate::datadir::{LockError, Volume};
use crate::decide::{Start, Trial};
use crate::error::{Context, Error};
use crate::handover::{self, Called, Etcd, LastWords, Outcome, ProcessEnd, TrialError};
use crate::logging::{self, LogConfig};
use crate::signals::Stop;

/// The hidden first word of the image that supervises a trial.
const SUPERVISE: &str = "__supervise";
/// Of the one that watches its health.
const WATCH: &str = "__watch";
/// Of the one that looks again after it.
const AGAIN: &str = "__again";
/// So often in a row etcd may take an old list from another member before it counts as a failed start.
const MAX_OUTDATED: u8 = 5;
/// What a person hears who writes one of them.
const NOT_FOR_PEOPLE: &str = "this command is not for people";

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
    /// The exit code of the trial that failed, if the same start would fail again.
    pub failed: Option<i32>,
    /// So many trials in a row took an old list of members from another one.
    pub outdated: u8,
    /// What is said of a rejoin at its end.
    pub rejoin: Rejoin,
}

/// Which image this is, unless it is the one that supervises.
#[derive(Debug)]
pub enum Phase {
    /// The first.
    First,
    /// The one that watches its health.
    Watch(Handed),
    /// The one that looks again after a failed trial.
    Again(Handed),
}

/// Reads the hidden words; what is left is what the user wrote.
pub fn phase(words: &[OsString]) -> Result<(Phase, &[OsString]), Error> {
    let phase = match words.first().and_then(|word| word.to_str()) {
        Some(WATCH) => Phase::Watch,
        Some(AGAIN) => Phase::Again,
        None | Some(_) => return Ok((Phase::First, words)),
    };
    let (handed, written) = match words {
        [_, handed, written @ ..] => (handed.as_os_str(), written),
        _ => (OsStr::new(""), [].as_slice()),
    };
    Ok((phase(read(handed)?), written))
}

fn read(handed: &OsStr) -> Result<Handed, Error> {
    serde_json::from_str(handed.to_str().unwrap_or_default()).context(|| NOT_FOR_PEOPLE.into())
}

/// Hands etcd to the image that supervises it. Returns only to fail.
pub fn hand_over(
    config: &Config,
    log: LogConfig,
    handed: &Handed,
    etcd: &Etcd,
    called: &Called,
    stop: &Stop,
) -> Exit {
    let written = phase(&called.words).map_or([].as_slice(), |(_, written)| written);
    let mut command = ourselves(called, SUPERVISE, handed.to_word());
    command
        .args(log.to_words())
        .arg(&config.data_dir)
        .arg(config.wal_dir.as_deref().unwrap_or(Path::new("")))
        .args(etcd.to_words(called.env.iter().cloned()))
        .args(written);
    become_image(command, stop)
}

impl Handed {
    fn to_word(&self) -> OsString {
        serde_json::to_string(self).unwrap_or_default().into()
    }
}

/// Becomes the next image. Returns only to fail.
fn become_image(mut image: Command, stop: &Stop) -> Exit {
    // A stop now must not fall between two images.
    if let Err(error) = Stop::hold() {
        log::warn!("{error}");
    }
    match stop.end_at_once() {
        Ok(None) => {}
        Ok(Some(signal)) => return Exit::signal(signal),
        Err(error) => log::warn!("{error}"),
    }
    let error = image.exec();
    log::error!("cannot run ourselves again: {error}");
    Exit::FAILED
}

/// This program again, as this image.
fn ourselves(called: &Called, image: &str, handed: OsString) -> Command {
    let mut command = Command::new(own_program(&called.name));
    command.arg0(&called.name).arg(image).arg(handed);
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

/// What the words of the image that supervises say.
struct Told<'a> {
    called: &'a Called,
    handed: &'a OsStr,
    volume: Volume,
    etcd: Etcd,
    /// What the user wrote, for the images after this one.
    written: &'a [OsString],
}

impl<'a> Told<'a> {
    fn read(called: &'a Called, words: &'a [OsString]) -> Option<Told<'a>> {
        let [handed, _, _, data, wal, words @ ..] = words else {
            return None;
        };
        let wal = Some(Path::new(wal)).filter(|wal| !wal.as_os_str().is_empty());
        let (etcd, written) = Etcd::from_words(words, called.env.iter().cloned())?;
        Some(Told {
            called,
            handed,
            volume: Volume::new(Path::new(data), wal),
            etcd,
            written,
        })
    }

    fn image(&self, image: &str, handed: OsString) -> Command {
        let mut command = ourselves(self.called, image, handed);
        command.args(self.written);
        command
    }
}

/// Runs etcd on trial, if that is what these words ask for. Ends as etcd ended, unless there is
/// something to look at again.
pub fn supervise(called: &Called, stop: &Stop) -> Option<Exit> {
    let words = match called.words.split_first() {
        Some((image, words)) if image == SUPERVISE => words,
        _ => return None,
    };
    if let [_, level, format, ..] = words {
        logging::start(LogConfig::from_words(level, format), stop);
    }
    Some(match Told::read(called, words) {
        Some(told) => told.supervise(stop),
        None => {
            eprintln!("etcd-rejoin: {NOT_FOR_PEOPLE}");
            Exit::USAGE
        }
    })
}

impl Told<'_> {
    fn supervise(&self, stop: &Stop) -> Exit {
        let lock = match self.volume.lock() {
            Ok(lock) => lock,
            // Somebody came in between the two images: look again, and wait for them.
            Err(LockError::Held { .. }) => {
                return become_image(self.image(AGAIN, self.handed.into()), stop);
            }
            Err(LockError::Failed(error)) => {
                log::error!("{error}");
                return Exit::FAILED;
            }
        };
        let mut watching = Watching::new(self.image(WATCH, self.handed.into()));
        let watcher = watching.running.clone();
        let look = move |watch: &mut _| watching.look_on(watch);
        match handover::trial(&self.etcd, &self.called.name, stop, look) {
            Ok(outcome) => match ended(&outcome) {
                Ok(exit) => exit,
                Err(exit) => {
                    drop(lock);
                    bury(&watcher);
                    self.again(&outcome, exit, stop)
                }
            },
            Err(TrialError::Stopped(signal)) => Exit::signal(signal),
            Err(TrialError::Failed(error)) => {
                log::error!("{error}");
                Exit::FAILED
            }
        }
    }

    /// Lets the first image look again after a trial that failed with this exit code.
    fn again(&self, outcome: &Outcome, exit: Exit, stop: &Stop) -> Exit {
        let mut handed = match read(self.handed) {
            Ok(handed) => handed,
            Err(error) => {
                log::error!("{error}");
                return exit;
            }
        };
        handed.trial = cause(&outcome.last_words);
        handed.outdated = match took_another_list(&outcome.last_words) {
            true => handed.outdated.saturating_add(1),
            false => 0,
        };
        handed.failed = match handed.outdated {
            1..=MAX_OUTDATED => None,
            _ => Some(exit.0),
        };
        become_image(self.image(AGAIN, handed.to_word()), stop)
    }
}

/// The exit code; as an error where we should look again before we end with it.
fn ended(outcome: &Outcome) -> Result<Exit, Exit> {
    let exit = match outcome.status {
        // Unasked, exit code 0 is how etcd ends when it was removed.
        ProcessEnd::Exited(0) if outcome.stop.is_none() => Exit::NOT_OK,
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
    let removed =
        outcome.last_words == LastWords::Removed || outcome.status == ProcessEnd::Exited(0);
    match outcome.healthy && !removed {
        true => Ok(exit),
        false => Err(exit),
    }
}

/// The list that etcd took from another member was an older one, or nobody was there just then: a member that starts
/// lists what it has read of its log so far. It was recorded as `member-count-unequal` and `nobody-to-fetch-from`.
fn took_another_list(words: &LastWords) -> bool {
    let texts = ["error validating peerURLs", "cannot fetch cluster info"];
    match words {
        LastWords::Surroundings(words) => texts.iter().any(|text| words.contains(text)),
        LastWords::None
        | LastWords::Behind
        | LastWords::Removed
        | LastWords::AlreadyBootstrapped
        | LastWords::DataUnreadable(_)
        | LastWords::Unknown => false,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_list_taken_elsewhere_is_tried_again() {
        // As recorded from 3.4.23, 3.5.16 and 3.5.30.
        for words in [
            "etcdmain: error validating peerURLs {ClusterID:b55a7d31e15db934 Members:[&{ID:1}]}: member count is unequal",
            "discovery failed: error validating peerURLs {ClusterID:1 Members:[]}: unmatched member while checking PeerURLs",
            "discovery failed: cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs",
        ] {
            assert!(took_another_list(&LastWords::Surroundings(words.into())));
        }
        for words in [
            LastWords::Surroundings(
                "listen tcp 127.0.0.1:2380: bind: address already in use".into(),
            ),
            LastWords::DataUnreadable("wal: crc mismatch".into()),
            LastWords::Removed,
            LastWords::Unknown,
        ] {
            assert!(!took_another_list(&words));
        }
    }
}
