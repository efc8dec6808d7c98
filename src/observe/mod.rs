//! Fills an [`Observation`] from the world: all sources at once, under one deadline. Changes nothing.
//!
//! A look ends as soon as what was heard decides. Own data waits for no slow peer once the cluster
//! has shown that it lists us; an empty or damaged volume has time, and hears everybody out.

mod ask;
mod beside;
mod gathering;
mod observer;
mod own_url;
mod promise;
mod store;

pub use observer::{Look, Observer};
pub use promise::promise_note;

use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant, SystemTime};

use crate::assembly::Server;
use crate::datadir::{Contents, Depth, Finding};
use crate::decide::{Memory, Observation, Steady, Trial, listens};
use crate::error::Error;
use crate::signals::Ended;
use gathering::Gathering;
use observer::{Listening, all};
use promise::promised;

/// Beside what of ours we look.
#[derive(Clone, Copy)]
pub enum Beside<'a> {
    /// Nothing.
    Nothing,
    /// Our own assembly, where the others ask, and may knock.
    Assembly(&'a Server),
    /// The process that holds the data dir: a person asks.
    Holder {
        /// It is an etcd, or has started one.
        etcd: bool,
    },
}

/// Why there is no look.
#[derive(Debug)]
pub enum NoLook {
    /// This signal asked us to stop.
    Stopped(i32),
    /// The data dir cannot be read: surroundings, no evidence.
    Failed(Error),
}

impl Observer {
    /// Looks once; what is remembered completes what is seen.
    pub fn look(&self, memory: &Memory, beside: Beside) -> Result<Look, NoLook> {
        let listening = match beside {
            Beside::Nothing => Listening::Nothing,
            Beside::Assembly(_) => Listening::Assembly,
            Beside::Holder { .. } => Listening::Holder,
        };
        let trial = memory.trial();
        let begin = Instant::now();
        let deadline = begin + self.config.timeout;
        let (tx, rx) = channel();
        let mut gathering = Gathering::new(self, tx, deadline, listening);
        gathering.ask_own_urls();
        gathering.ask_peers();
        let before = std::mem::take(&mut *all(&self.endpoints));
        let known = self.config.other_client_urls.iter().chain(&before);
        // An etcd that runs here commits on while its data is read: the others are asked after that.
        let (now, later) = match listening {
            Listening::Nothing | Listening::Assembly => (Some(known), None),
            Listening::Holder => (None, Some(known)),
        };
        now.into_iter()
            .flatten()
            .for_each(|url| gathering.ask_gateway(url));
        let contents = self.inspected(trial, listening)?;
        later
            .into_iter()
            .flatten()
            .for_each(|url| gathering.ask_gateway(url));
        gathering.deadline = deadline_after_reading(begin, Instant::now(), self.config.timeout);
        gathering.know_volume(&contents, trial);
        gathering.ask_store(memory.rejoins());
        gathering.listen(&rx).map_err(NoLook::Stopped)?;
        let mut look = gathering.into_look(contents, begin);
        look.seen = self.complete(look.seen, memory, beside);
        let leaderless = look.seen.quorate.is_none();
        self.leaderless.store(leaderless, Ordering::Relaxed);
        if !leaderless {
            *all(&self.endpoints) = look.endpoints.clone();
        }
        Ok(look)
    }

    /// With all that nobody has to be asked for.
    fn complete(&self, seen: Observation, memory: &Memory, beside: Beside) -> Observation {
        let mut seen = memory.complete(seen, self.now());
        seen.unfit = self
            .peers
            .unfit()
            .or(self.clients.unfit())
            .map(String::from);
        match beside {
            Beside::Nothing => {}
            Beside::Assembly(server) => {
                // Each of our own questions at our own peer URLs that was not answered, or not yet, may look there
                // like somebody's failed handshake.
                seen.knocks = server.knocks(self.own_unanswered.load(Ordering::SeqCst));
                seen.listened = self.still_listens(memory).is_zero();
            }
            Beside::Holder { etcd } => {
                // What answers as our member is the one that holds the data dir.
                seen.twin = false;
                // The entrypoint itself, beside which a person asks: what does it see, and wait for?
                seen.in_use = etcd;
            }
        }
        if self.patient {
            // Nobody waits in front of a screen for it to stay so, or until the log would name another way on.
            seen.steady = Steady::HalfAMinute;
        }
        seen
    }

    /// How long our assembly has still to listen before a cluster may be founded.
    pub fn still_listens(&self, memory: &Memory) -> Duration {
        listens(&self.config.policy, self.config.election_timeout)
            .saturating_sub(memory.listened(self.now()))
    }

    /// Reads the data dir in a thread of its own: gigabytes on a slow disk must not delay a stop.
    fn inspected(&self, trial: Trial, listening: Listening) -> Result<Contents, NoLook> {
        let observer = self.clone();
        let inspect = move || match listening {
            Listening::Nothing | Listening::Assembly => observer.inspect(trial),
            Listening::Holder => beside::read(|| observer.inspect(trial), beside::PAUSE),
        };
        match self.stop.wait_for(inspect) {
            Ok(contents) => contents.map_err(NoLook::Failed),
            Err(Ended::Stopped(signal)) => Err(NoLook::Stopped(signal)),
            Err(Ended::Closed | Ended::Deadline) => {
                let why = Error::new("reading the data dir ended without an answer");
                Err(NoLook::Failed(why))
            }
        }
    }

    fn inspect(&self, trial: Trial) -> Result<Contents, Error> {
        let etcd = || (self.asks_version)(&self.config, &self.stop);
        let read = |depth| {
            self.volume
                .inspect_again(depth, &self.known, SystemTime::now(), &etcd)
        };
        let mut contents = read(Depth::Quick)?;
        if contents.stalled || trial != Trial::None {
            contents = read(Depth::Deep)?;
        }
        if contents.finding == Finding::Empty {
            let (name, ignored) = (&self.config.policy.name, &self.config.ignored);
            contents.elsewhere = self.volume.elsewhere(name, ignored);
        }
        Ok(contents)
    }
}

/// When a look ends that has read the data dir: a disk that took most of the time must not leave the
/// others, and a twin, without any to answer what is asked only now.
fn deadline_after_reading(begin: Instant, read: Instant, timeout: Duration) -> Instant {
    match read.duration_since(begin) > timeout / 2 {
        true => read + timeout,
        false => begin + timeout,
    }
}
