//! The entrypoint: what it has, what it remembers, what it says, and how it waits.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use log::Level;

use super::answers::Answers;
use super::due::stopped;
use super::journal::Journal;
use super::notices::Notices;
use super::rejoin::Rejoin;
use crate::config::Config;
use crate::datadir::Volume;
use crate::decide::{Happened, Memory};
use crate::handover::Called;
use crate::logging::{Line, LogConfig};
use crate::observe::Observer;
use crate::signals::Stop;
use etcd_rejoin_host::exit::Exit;

/// The pause between two looks while we wait grows from the first to the second.
pub(super) const PAUSES: (Duration, Duration) =
    (Duration::from_millis(50), Duration::from_millis(500));

/// This process before etcd runs.
pub(super) struct Entrypoint<'a> {
    pub(super) called: &'a Called,
    pub(super) config: Arc<Config>,
    pub(super) log: LogConfig,
    pub(super) volume: Volume,
    pub(super) observer: Observer,
    pub(super) stop: &'a Stop,
    pub(super) program: PathBuf,
    /// Asks etcd for its version.
    pub(super) version: Option<JoinHandle<()>>,
    pub(super) steps_left: Option<u32>,
    pub(super) answers: Answers,
    pub(super) memory: Memory,
    /// It was said why a rejoin would fail here.
    pub(super) warned: bool,
    /// What is said of a rejoin at its end.
    pub(super) rejoin: Rejoin,
    pub(super) pause: Duration,
    /// When what was seen has changed last.
    pub(super) changed: Instant,
    pub(super) said: Journal,
    pub(super) notices: Notices,
}

impl Entrypoint<'_> {
    pub(super) fn remember(&mut self, happened: Happened) {
        let memory = std::mem::take(&mut self.memory);
        self.memory = memory.after(happened, self.observer.now());
    }

    /// Waits for others. The line says since when: a time, which stays the same at each look.
    pub(super) fn wait(&mut self, line: Line) -> Result<(), Exit> {
        let mut line = self.said.with_since(line);
        let waited = self.said.waited();
        if let Some(allowed) = self.config.wait
            && waited >= allowed
        {
            let (waited, allowed) = (waited.as_millis(), allowed.as_millis());
            line.level = Level::Error;
            (line.after("gives up: "))
                .with("waited", format!("{waited}ms"))
                .with("REJOIN_WAIT", format!("{allowed}ms"))
                .log();
            return Err(Exit::WAITED);
        }
        self.said.say_or_remind(line, waited);
        self.pause(PAUSES.1)
    }

    pub(super) fn pause(&mut self, most: Duration) -> Result<(), Exit> {
        let mut until = Instant::now() + self.pause;
        let given_up = (self.config.wait).and_then(|allowed| self.said.waited_until(allowed));
        until = given_up.map_or(until, |given_up| until.min(given_up));
        self.pause = (self.pause * 2).min(most);
        match self.stop.sleep_until(until) {
            Some(signal) => Err(stopped(signal)),
            None => Ok(()),
        }
    }
}
