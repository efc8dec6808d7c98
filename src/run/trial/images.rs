//! The images of this program that a trial of etcd takes: their hidden words, and what one hands on to the next.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::decide::Memory;
use crate::error::{Context, Error};
use crate::handover::Called;
use crate::membership::MemberId;
use crate::run::rejoin::Rejoin;
use crate::signals::Stop;
use etcd_rejoin_host::exit::Exit;

/// The hidden first word of the image that supervises a trial.
pub(super) const SUPERVISE: &str = "__supervise";
/// Of the one that watches its health.
pub(super) const WATCH: &str = "__watch";
/// Of the one that looks again after it.
pub(super) const AGAIN: &str = "__again";
/// What the one that watches says on standard output once etcd is healthy.
pub(super) const HEALTHY: &str = "healthy";
/// And when there is nothing left to watch.
pub(super) const DONE: &str = "done";
/// What a person hears who writes a hidden word.
pub(super) const NOT_FOR_PEOPLE: &str = "this command is not for people";

/// What one image hands on to the next, in its second word. Nothing secret: command lines can be read
/// by everybody.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Handed {
    /// What is remembered: how etcd is started, and what earlier trials died of.
    pub memory: Memory,
    /// How many steps may still be taken.
    pub steps_left: Option<u32>,
    /// What is said of a rejoin at its end.
    pub rejoin: Rejoin,
    /// What a new cluster has this member as.
    pub founds_as: MemberId,
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

pub(super) fn read(handed: &OsStr) -> Result<Handed, Error> {
    serde_json::from_str(handed.to_str().unwrap_or_default()).context(|| NOT_FOR_PEOPLE.into())
}

impl Handed {
    pub(super) fn to_word(&self) -> OsString {
        serde_json::to_string(self).unwrap_or_default().into()
    }
}

/// Becomes the next image. Returns only to fail.
pub(super) fn become_image(mut image: Command, stop: &Stop) -> Exit {
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
pub(super) fn ourselves(called: &Called, image: &str, handed: OsString) -> Command {
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
