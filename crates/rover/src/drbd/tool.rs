//! Runs `drbdadm` and `drbdsetup`: with a time limit, bounded output and typed failures.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::failure::{self, DrbdFailure, FailureKind};
use super::follow::Follower;
use super::metadata::{self, Metadata};
use super::{events, settings};
use crate::table::{Disk, Resource, VolumeState};
use etcd_rejoin_host::error::Error;
use etcd_rejoin_host::program::{self, NotRun};
use etcd_rejoin_host::signals::Stop;

/// How long a question may take: the kernel answers at once, or hangs.
const ANSWER: Duration = Duration::from_secs(5);
/// How long the kernel's settings are taken for granted between two looks, while there is time.
const SETTINGS_AGE: Duration = Duration::from_secs(5);
/// And with the gate open, where a promotion may wait.
const SETTINGS_AGE_IN_HASTE: Duration = Duration::from_secs(15);
/// How often a wait looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// One DRBD resource, reached by DRBD's own tools.
#[derive(Clone, Debug)]
pub struct Drbd {
    resource: String,
    search: OsString,
    /// What tools of DRBD's read from the environment.
    env: Vec<(OsString, OsString)>,
    settings: Option<(Instant, settings::Settings)>,
    /// Those were read, and not taken as off.
    is_read: bool,
    /// What decides which of them are shown: the disk is attached, and how many peers there are.
    shown_with: (bool, usize),
}

impl Drbd {
    /// The resource of this name. `env` is our environment: PATH and DRBD's own variables are used.
    pub fn new(
        resource: &str,
        env: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Error> {
        if !is_resource(resource) || resource == "all" {
            return Err(Error::new(format!("{resource:?} is no name of a resource")));
        }
        let mut path = None;
        let mut kept = Vec::new();
        for (name, value) in env {
            let known = name.to_str().unwrap_or_default();
            if known == "PATH" {
                path = Some(value);
            } else if known.starts_with("DRBD_") || known.starts_with("__DRBD_") {
                kept.push((name, value));
            }
        }
        Ok(Drbd {
            resource: resource.to_string(),
            search: program::search_path(path.as_deref()),
            env: kept,
            settings: None,
            is_read: false,
            shown_with: (false, 0),
        })
    }

    /// The resource's name.
    pub fn name(&self) -> &str {
        &self.resource
    }

    /// Where programs are looked for.
    pub fn search(&self) -> &OsStr {
        &self.search
    }

    /// Tells when a look may see something new.
    pub fn follower(&self) -> Follower {
        let command = program::find("drbdsetup", &self.search).map(|program| {
            let mut command = program::command(&program, &self.search);
            command.envs(self.env.iter().map(|(name, value)| (name, value)));
            command.arg("events2");
            command
        });
        Follower::new(&self.resource, command.ok())
    }

    /// What the kernel says now.
    pub fn look(&mut self) -> VolumeState {
        self.see(SETTINGS_AGE)
    }

    /// The same, with settings that are some seconds older: a promotion waits for it.
    pub fn look_in_haste(&mut self) -> VolumeState {
        self.see(SETTINGS_AGE_IN_HASTE)
    }

    fn see(&mut self, age: Duration) -> VolumeState {
        let said = match self.run("drbdsetup", &["events2", "--now"], ANSWER, &|| false) {
            Ok(said) => said,
            Err(failure) => return VolumeState::Unusable(failure.to_string()),
        };
        let state = match events::parse(&said, &self.resource) {
            Ok(Some(state)) => state,
            Ok(None) => {
                return match self.device() {
                    Ok(_) => VolumeState::Down,
                    Err(failure) => VolumeState::Unusable(failure.to_string()),
                };
            }
            Err(why) => return VolumeState::Unusable(why),
        };
        // DRBD 8.4 shows `fencing` with a disk only, 9 with each peer.
        let attached = !matches!(state.disk, Disk::Diskless | Disk::Changing | Disk::Unknown);
        let with = (attached, state.peers.len());
        let age = match std::mem::replace(&mut self.shown_with, with) == with {
            true => age,
            false => Duration::ZERO,
        };
        match self.settings(age) {
            Ok(settings) => VolumeState::Up(resource(state, settings)),
            Err(why) => VolumeState::Unusable(why),
        }
    }

    /// The settings, at most some seconds old; the last known ones while the tool gives no answer. An
    /// answer that cannot be read counts as no protection: what is held can still be let go then.
    fn settings(&mut self, age: Duration) -> Result<settings::Settings, String> {
        if let Some((read, settings)) = self.settings
            && read.elapsed() < age
        {
            return Ok(settings);
        }
        let settings = match self.run("drbdsetup", &["show", &self.resource], ANSWER, &|| false) {
            Ok(said) => {
                let parsed = settings::parse(&said, &self.resource);
                self.is_read = parsed.is_ok();
                parsed.unwrap_or_else(|why| {
                    log::warn!("cannot read fencing and quorum, taken as off: {why}");
                    settings::DEFAULTS
                })
            }
            Err(failure) => match self.settings {
                Some((_, known)) => {
                    self.is_read = false;
                    known
                }
                None => return Err(failure.to_string()),
            },
        };
        self.settings = Some((Instant::now(), settings));
        Ok(settings)
    }

    /// Whether `drbdsetup show` was understood when it was asked last.
    pub fn is_read(&self) -> bool {
        self.is_read
    }

    /// Whether that handler was given a fence command.
    pub fn handler_turns_off(&self) -> Result<bool, DrbdFailure> {
        let said = self.admin("dump", &[], ANSWER, &|| false)?;
        Ok(settings::handler_turns_off(&said, &self.resource))
    }

    /// Whether the handler that the kernel asks about a lost peer is `etcd-rejoin fence-peer`, as the
    /// configuration says now.
    pub fn handler_is_ours(&self) -> Result<bool, DrbdFailure> {
        let said = self.admin("dump", &[], ANSWER, &|| false)?;
        Ok(settings::handler_is_ours(&said, &self.resource))
    }

    /// Brings the resource up as it is configured: module, disk, network. Up already is success.
    pub fn bring_up(&mut self, limit: Duration) -> Result<(), DrbdFailure> {
        self.settings = None;
        self.admin("adjust", &[], limit, &|| false).map(drop)
    }

    /// Creates metadata on the disk. Finds it any, or anything else, it refuses: it gets no answer to
    /// its question.
    pub fn create_metadata(&self, limit: Duration) -> Result<(), DrbdFailure> {
        self.admin("create-md", &[], limit, &|| false).map(drop)
    }

    /// Takes the resource down: network, disk, and all.
    pub fn take_down(&mut self, limit: Duration) -> Result<(), DrbdFailure> {
        self.settings = None;
        self.admin("down", &[], limit, &|| false).map(drop)
    }

    /// Declares both disks equal and up to date, without a copy. DRBD refuses where the own metadata is
    /// not fresh and the peer connected.
    pub fn first_generation(&self, limit: Duration) -> Result<(), DrbdFailure> {
        // DRBD 9 asks for the volume, 8.4 takes it.
        let volume = format!("{}/0", self.resource);
        let words = ["new-current-uuid", "--clear-bitmap", &volume];
        self.run("drbdadm", &words, limit, &|| false).map(drop)
    }

    /// Makes us Primary. Success is no evidence that nothing is lost: that is asked before. Already
    /// Primary is success. DRBD calls its `fence-peer` handler meanwhile. `force`: a person has said so.
    pub fn promote(
        &self,
        force: bool,
        limit: Duration,
        give_up: &dyn Fn() -> bool,
    ) -> Result<(), DrbdFailure> {
        let options: &[&str] = if force { &["--force"] } else { &[] };
        self.admin("primary", options, limit, give_up).map(drop)
    }

    /// Makes us Secondary. Already Secondary is success.
    pub fn demote(&self, limit: Duration) -> Result<(), DrbdFailure> {
        self.admin("secondary", &[], limit, &|| false).map(drop)
    }

    /// Records that our disk is outdated, and makes sure that this is recorded. Half a resync is less than that.
    ///
    /// The exit code is no evidence: while 8.4 holds us to be connected it says yes and records nothing.
    /// `FailureKind::NotRecorded` is that, and 9's refusal: ask again once the connection is seen to be lost.
    /// `FailureKind::Primary`: refused, we are Primary.
    pub fn outdate(&mut self, limit: Duration) -> Result<(), DrbdFailure> {
        let attached = match self.look() {
            VolumeState::Up(resource) => resource.disk != Disk::Diskless,
            VolumeState::Down | VolumeState::Unusable(_) => false,
        };
        let outdated = match attached {
            // `drbdadm outdate` names the resource to DRBD 9's drbdsetup, which wants the minor (9.19 to 9.34).
            true => {
                let minor = self.admin("sh-minor", &[], ANSWER, &|| false)?;
                self.run("drbdsetup", &["outdate", minor.trim()], limit, &|| false)
            }
            false => self.admin("outdate", &[], limit, &|| false),
        };
        match outdated {
            Err(failure) if failure.kind != FailureKind::LessThanOutdated => return Err(failure),
            Ok(_) | Err(_) => {}
        }
        let (recorded, found) = match self.look() {
            VolumeState::Up(resource) if resource.disk == Disk::Diskless => self.on_disk(),
            VolumeState::Up(resource) => (
                matches!(resource.disk, Disk::Outdated | Disk::Inconsistent),
                format!("the disk is {:?}", resource.disk),
            ),
            VolumeState::Down => self.on_disk(),
            VolumeState::Unusable(why) => (false, why),
        };
        if recorded {
            return Ok(());
        }
        Err(DrbdFailure {
            kind: FailureKind::NotRecorded,
            command: self.spoken("drbdadm", &["outdate", &self.resource]),
            words: format!("said yes and recorded nothing: {found}"),
        })
    }

    fn on_disk(&self) -> (bool, String) {
        match self.metadata() {
            Ok(Some(metadata)) if !metadata.up_to_date => (true, String::new()),
            Ok(Some(_)) => (false, "the metadata says up to date".into()),
            Ok(None) => (false, "the disk has no metadata".into()),
            Err(failure) => (false, failure.to_string()),
        }
    }

    /// What the metadata says, attached or not; `None` where there is none.
    pub fn metadata(&self) -> Result<Option<Metadata>, DrbdFailure> {
        match self.admin("get-gi", &[], ANSWER, &|| false) {
            Ok(said) => metadata::parse(&said)
                .map(Some)
                .map_err(|words| DrbdFailure {
                    kind: FailureKind::Other,
                    command: self.spoken("drbdadm", &["get-gi", &self.resource]),
                    words,
                }),
            // It says nothing where there is none; `dump-md` does.
            Err(failure) => match self.admin("dump-md", &[], ANSWER, &|| false) {
                Err(words) if words.kind == FailureKind::NoMetadata => Ok(None),
                Err(words) => Err(words),
                Ok(_) => Err(failure),
            },
        }
    }

    /// The device, such as `/dev/drbd0`: from the configuration, up or not.
    pub fn device(&self) -> Result<PathBuf, DrbdFailure> {
        self.path("sh-dev")
    }

    /// The disk below it.
    pub fn backing_disk(&self) -> Result<PathBuf, DrbdFailure> {
        self.path("sh-ll-dev")
    }

    /// The disk that holds the metadata: the same, unless it is configured apart.
    pub fn metadata_disk(&self) -> Result<PathBuf, DrbdFailure> {
        self.path("sh-md-dev")
    }

    fn path(&self, question: &str) -> Result<PathBuf, DrbdFailure> {
        let said = self.admin(question, &[], ANSWER, &|| false)?;
        let path = said.trim();
        if path.lines().count() == 1 && path.starts_with('/') {
            return Ok(path.into());
        }
        Err(DrbdFailure {
            kind: FailureKind::Other,
            command: self.spoken("drbdadm", &[question, &self.resource]),
            words: format!(
                "{:?} is not one device",
                path.chars().take(80).collect::<String>()
            ),
        })
    }

    /// Looks until `wanted` holds, for so long at most; the last look.
    pub fn wait(
        &mut self,
        limit: Duration,
        stop: &Stop,
        wanted: impl Fn(&VolumeState) -> bool,
    ) -> VolumeState {
        let deadline = Instant::now() + limit;
        loop {
            let volume = self.look();
            if wanted(&volume) || Instant::now() >= deadline {
                return volume;
            }
            if stop.sleep_until(Instant::now() + LOOK_EVERY).is_some() {
                return volume;
            }
        }
    }

    /// `drbdadm WORD RESOURCE`, with options between them.
    pub fn admin(
        &self,
        word: &str,
        options: &[&str],
        limit: Duration,
        give_up: &dyn Fn() -> bool,
    ) -> Result<String, DrbdFailure> {
        let words: Vec<&str> = [&[word], options, &[self.resource.as_str()]].concat();
        self.run("drbdadm", &words, limit, give_up)
    }

    /// The command as a person would type it.
    pub fn spoken(&self, tool: &str, words: &[&str]) -> String {
        format!("{tool} {}", words.join(" "))
    }

    fn run(
        &self,
        tool: &str,
        words: &[&str],
        limit: Duration,
        give_up: &dyn Fn() -> bool,
    ) -> Result<String, DrbdFailure> {
        let command = self.spoken(tool, words);
        log::debug!("runs {command}");
        let ended = program::find(tool, &self.search).and_then(|program| {
            let mut command = program::command(&program, &self.search);
            command.envs(self.env.iter().map(|(name, value)| (name, value)));
            program::run(command.args(words), limit, give_up)
        });
        let failed = |kind, words| DrbdFailure {
            kind,
            command: command.clone(),
            words,
        };
        match ended {
            Ok(ran) if ran.code == 0 && !ran.cut => Ok(ran.out),
            Ok(ran) if ran.code == 0 => Err(failed(
                FailureKind::Other,
                "said more than can be understood".into(),
            )),
            Ok(ran) => {
                let said = failure::words(&ran.out, &ran.err);
                let kind = failure::kind(words[0], ran.code, &said);
                let code = ran.code;
                let said = match said.is_empty() {
                    true => format!("ended with exit code {code}, without a word"),
                    false => format!("{said} (exit code {code})"),
                };
                Err(failed(kind, said))
            }
            Err(why) => {
                let kind = match &why {
                    NotRun::TimedOut(_) => FailureKind::TimedOut,
                    NotRun::GivenUp => FailureKind::GivenUp,
                    NotRun::NotFound | NotRun::Failed(_) => FailureKind::Other,
                };
                Err(failed(kind, format!("{tool} {why}")))
            }
        }
    }
}

/// Whether this can be the name of a DRBD resource.
pub fn is_resource(name: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || b"-_.+".contains(&b);
    (1..=128).contains(&name.len()) && name.bytes().all(known) && !name.starts_with(['-', '.'])
}

/// State and settings together.
pub fn resource(state: events::DrbdState, settings: settings::Settings) -> Resource {
    Resource {
        role: state.role,
        disk: state.disk,
        peers: state.peers,
        fencing: settings.fencing,
        quorum_on: settings.quorum_on,
        // A DRBD that has the option and does not say whether there is quorum has said nothing.
        quorum: state.quorum.unwrap_or(!settings.quorum_on),
        suspended: state.suspended,
        failing: state.failing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_once_told_hold_while_the_tool_is_silent() {
        let path = ("PATH".into(), "/nonexistent".into());
        let mut drbd = Drbd::new("nosuch", [path]).unwrap();
        assert!(drbd.settings(SETTINGS_AGE).is_err());
        drbd.settings = Some((Instant::now() - SETTINGS_AGE, settings::DEFAULTS));
        assert_eq!(drbd.settings(SETTINGS_AGE), Ok(settings::DEFAULTS));
    }
}
