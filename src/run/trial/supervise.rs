//! The process in front of an etcd on trial: small, because it may stay for as long as etcd runs.
//!
//! A trial takes two images of this program. The one that looked at the cluster hands on to this one by
//! exec, which gives its memory back, and tells it all it needs: it reads no command line and no
//! setting, as program text that ran once stays in memory. Whether etcd is healthy is watched by a
//! child, which ends as soon as there is nothing left to watch. Signals, orphans and etcd's end are this
//! one's affair; if etcd fails before it was ever healthy, the first image takes over again.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::images::{
    AGAIN, Handed, NOT_FOR_PEOPLE, SUPERVISE, WATCH, become_image, ourselves, phase, read,
};
use super::watcher::{Watching, bury};
use crate::config::Config;
use crate::datadir::{LockError, Volume};
use crate::decide::{Happened, Trial};
use crate::handover::{self, Called, Etcd, LastWords, Outcome, ProcessEnd, TrialError};
use crate::logging::{self, LogConfig};
use crate::signals::Stop;
use etcd_rejoin_host::exit::Exit;

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

/// What the words of the image that supervises say.
struct Supervisor<'a> {
    called: &'a Called,
    handed: &'a OsStr,
    volume: Volume,
    etcd: Etcd,
    /// What the user wrote, for the images after this one.
    written: &'a [OsString],
}

impl<'a> Supervisor<'a> {
    fn read(called: &'a Called, words: &'a [OsString]) -> Option<Supervisor<'a>> {
        let [handed, _, _, data, wal, words @ ..] = words else {
            return None;
        };
        let wal = Some(Path::new(wal)).filter(|wal| !wal.as_os_str().is_empty());
        let (etcd, written) = Etcd::from_words(words, called.env.iter().cloned())?;
        Some(Supervisor {
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
    Some(match Supervisor::read(called, words) {
        Some(supervisor) => supervisor.supervise(stop),
        None => {
            eprintln!("etcd-rejoin: {NOT_FOR_PEOPLE}");
            Exit::USAGE
        }
    })
}

impl Supervisor<'_> {
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
        let died = Happened::Died(cause(&outcome.last_words), exit.0);
        // How long an etcd ran is nothing to be remembered.
        handed.memory = handed.memory.after(died, Duration::ZERO);
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

/// The list that etcd took from another member was an older one, or nobody was there just then. It was recorded as
/// `member-count-unequal` and `nobody-to-fetch-from`.
fn took_an_old_list(words: &str) -> bool {
    let texts = ["error validating peerURLs", "cannot fetch cluster info"];
    texts.iter().any(|text| words.contains(text))
}

/// What etcd printed may tell its data from its surroundings; the files decide.
fn cause(words: &LastWords) -> Trial {
    match words {
        LastWords::Behind => Trial::Behind,
        LastWords::DataUnreadable(_) => Trial::Unreadable,
        LastWords::Surroundings(words) if took_an_old_list(words) => Trial::OldList,
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
            assert_eq!(
                cause(&LastWords::Surroundings(words.into())),
                Trial::OldList
            );
        }
        for words in [
            LastWords::Surroundings(
                "listen tcp 127.0.0.1:2380: bind: address already in use".into(),
            ),
            LastWords::DataUnreadable("wal: crc mismatch".into()),
            LastWords::Removed,
            LastWords::Unknown,
        ] {
            assert_ne!(cause(&words), Trial::OldList);
        }
    }
}
