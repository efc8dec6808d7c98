//! The main job: look, decide, take one step, look again; then become etcd.
//!
//! `observe` looks, `decide` decides, `act` takes a step; `due` asks what only a step has to know.

mod answers;
pub(crate) mod due;
mod entrypoint;
mod hand_over;
mod journal;
mod notices;
pub(crate) mod preflight;
mod rejoin;
mod step;
pub mod trial;
mod unread;
pub(crate) mod versions;

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::Level;

use crate::config::Config;
use crate::datadir::{Lock, LockError, Volume};
use crate::decide::{
    DataDir, Decision, Ending, Happened, Memory, Reason, Why, decide, to_go_on, unready,
};
use crate::explain;
use crate::handover::Called;
use crate::logging::{Line, LogConfig};
use crate::observe::{Beside, Look, NoLook, Observer};
use crate::signals::Stop;
use answers::Answers;
use due::{Due, stopped};
use entrypoint::{Entrypoint, PAUSES};
use etcd_rejoin_host::exit::Exit;
use journal::Journal;
use notices::Notices;
use rejoin::Rejoin;
use trial::images::Handed;

/// In a first start each one waits for the next: who has just gone silent is about to listen as etcd, and is asked
/// again after this.
const SOON: Duration = Duration::from_millis(20);
/// For so long after something has changed.
const CHANGING: Duration = Duration::from_secs(5);
/// A refusal that concerns the others is shown to them for so long; they look twice in it.
const SHOWN: Duration = Duration::from_secs(1);

/// Runs the entrypoint. Returns only where etcd does not take our place.
///
/// `again` is what a trial of etcd has left behind, if one ran.
pub fn run(
    config: Config,
    log: LogConfig,
    called: &Called,
    stop: &Stop,
    max_steps: Option<u32>,
    again: Option<Handed>,
) -> Exit {
    if again.is_none() {
        Line::new(Level::Info, format!("etcd-rejoin {}", crate::VERSION))
            .with("name", &config.policy.name)
            .with("data-dir", config.data_dir.display())
            .with("initial-cluster", &config.policy.initial)
            .log();
        for warning in &config.warnings {
            log::warn!("{warning}");
        }
    }
    let program = match preflight::program(&config) {
        Ok(program) => program,
        Err((exit, why)) => {
            log::error!("{why}");
            return exit;
        }
    };
    let config = Arc::new(config);
    let volume = Volume::new(&config.data_dir, config.wal_dir.as_deref());
    let observer = match Observer::new(
        config.clone(),
        volume.clone(),
        stop.clone(),
        versions::minor_version,
    ) {
        Ok(observer) => observer,
        Err(error) => {
            log::error!("{error}");
            return Exit::CONFIG;
        }
    };
    let warned = again.is_some();
    let (memory, steps_left, rejoin) = match again {
        Some(handed) => (handed.memory, handed.steps_left, handed.rejoin),
        None => (Memory::default(), max_steps, Rejoin::begin()),
    };
    let mut entrypoint = Entrypoint {
        called,
        log,
        volume,
        observer,
        stop,
        program,
        version: None,
        steps_left,
        answers: Answers::default(),
        pause: PAUSES.0,
        memory,
        warned,
        rejoin,
        changed: Instant::now(),
        notices: Notices::new(&config),
        config,
        said: Journal::default(),
    };
    let _lock = match entrypoint.lock() {
        Ok(lock) => lock,
        Err(exit) => return exit,
    };
    entrypoint.version = versions::ask(&entrypoint.config, stop, !warned);
    loop {
        if let Err(exit) = entrypoint.round() {
            entrypoint.observer.leave_store();
            return exit;
        }
    }
}

impl Entrypoint<'_> {
    /// Waits until the data dir is ours alone, and, after a trial that took an old list, until there may be another.
    fn lock(&mut self) -> Result<Lock, Exit> {
        let lock = loop {
            match self.volume.lock() {
                Ok(lock) => break lock,
                Err(LockError::Failed(error)) => {
                    log::error!("{error}");
                    return Err(Exit::FAILED);
                }
                Err(LockError::Held { holder }) => {
                    let row = Reason::DataDirInUse.row();
                    let words = format!("waits: {} ({holder}); {}", row.when, to_go_on(row.cure),);
                    self.wait(Line::new(Level::Info, words).with("reason", row.name))?;
                }
            }
        };
        if self.memory.has_old_list() {
            self.pause = PAUSES.1;
            self.pause(PAUSES.1)?;
        }
        Ok(lock)
    }

    /// One look, one decision, at most one step. The error ends the program.
    fn round(&mut self) -> Result<(), Exit> {
        let mut look = self.look()?;
        let decision = self.decide(&mut look)?;
        self.notices.decided(&decision, &look, &self.volume);
        match &decision {
            Decision::Start(start, _) => self.start(start, &look, &decision),
            Decision::Do(step, _) => self.step(step, &look, &decision),
            Decision::Wait(Why::Listening(_)) => {
                self.serve(&look)?;
                self.said.say(explain::line(&decision));
                // It ends by itself: REJOIN_WAIT is for what does not.
                let left = self.observer.still_listens(&self.memory);
                self.pause(PAUSES.1.min(left))
            }
            Decision::Wait(_) => {
                if look.seen.promise && self.changed.elapsed() < CHANGING {
                    self.pause = SOON;
                }
                self.serve(&look)?;
                self.wait(explain::line(&decision))
            }
            // A start is never done: it becomes etcd.
            Decision::Done(_) => Err(Exit::OK),
            Decision::Refuse(why) => {
                explain::line(&decision).log();
                Err(self.end(why.reason(), &look).unwrap_or_else(|exit| exit))
            }
        }
    }

    fn look(&mut self) -> Result<Look, Exit> {
        let beside = match self.answers.server() {
            Some(server) => Beside::Assembly(server),
            None => Beside::Nothing,
        };
        let look = match self.observer.look(&self.memory, beside) {
            Ok(look) => look,
            Err(NoLook::Stopped(signal)) => return Err(stopped(signal)),
            Err(NoLook::Failed(error)) => {
                log::error!("{error}");
                return Err(Exit::FAILED);
            }
        };
        self.remember(Happened::Saw(&look.seen));
        if self
            .said
            .is_news(explain::scene(&self.config.policy, &look))
        {
            self.changed = Instant::now();
            explain::seen(&self.config.policy, &look).log();
        }
        Ok(look)
    }

    fn decide(&mut self, look: &mut Look) -> Result<Decision, Exit> {
        let due = Due {
            config: &self.config,
            observer: &self.observer,
            stop: self.stop,
        };
        let decision = match self.steps_left {
            Some(0) => {
                let decision = decide(&self.config.policy, &look.seen);
                due.unless_it_skips(look, decision)?
            }
            Some(_) | None => {
                let (answers, memory) = (&mut self.answers, &mut self.memory);
                // Answering the others comes before the promise, and shows that the peer port is free.
                due.decide(look, |look| answers.serve(look, &due, memory))?
            }
        };
        if let Some(words) = unready(&look.seen.surroundings) {
            self.said.warn(words);
        }
        if decision.reason() == Reason::PeerUrlMisleads {
            self.said.warn(decision.because());
        }
        if let (Some(why), DataDir::Own(_)) = (&look.seen.unfit, look.seen.counts_as()) {
            // etcd may know the key. All that is given up is to be told of a removal beforehand.
            self.said.warn(format!("asks nobody over https: {why}"));
        }
        Ok(decision)
    }

    /// Answers other entrypoints from now on, with what was seen last.
    fn serve(&mut self, look: &Look) -> Result<bool, Exit> {
        let due = Due {
            config: &self.config,
            observer: &self.observer,
            stop: self.stop,
        };
        self.answers.serve(look, &due, &mut self.memory)
    }

    /// What a refusal ends with. The error is the exit code if a signal ends us before.
    fn end(&mut self, reason: Reason, look: &Look) -> Result<Exit, Exit> {
        let row = reason.row();
        // They shall hear what we hold, not only that we are gone.
        if row.shown {
            self.serve(look)?;
            let stop = self.stop.sleep_until(Instant::now() + SHOWN);
            stop.map_or(Ok(()), |signal| Err(stopped(signal)))?;
        }
        Ok(match row.ending {
            Ending::Refused => Exit::REFUSED,
            Ending::Surroundings => Exit::FAILED,
            Ending::Configuration => Exit::CONFIG,
            Ending::AsEtcd => self.memory.failed_with().map_or(Exit::REFUSED, Exit),
        })
    }
}
