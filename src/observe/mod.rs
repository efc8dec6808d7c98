//! Fills an [`Observation`] from the world: all sources at once, under one deadline. Changes nothing.
//!
//! A look ends as soon as what was heard decides. Own data waits for no slow peer once the cluster
//! has shown that it lists us; an empty or damaged volume has time, and hears everybody out.

mod ask;
mod beside;
mod gathering;
mod own_url;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::assembly::{Instance, Report, Server};
use crate::config::Config;
use crate::datadir::{Contents, Depth, Finding, Known, Volume};
use crate::decide::{Bootstrap, Memory, Observation, Steady, Trial, listens};
use crate::error::Error;
use crate::gateway::Client;
use crate::signals::{Ended, Stop};
use gathering::Gathering;

/// Looks at the world.
#[derive(Clone)]
pub struct Observer {
    config: Arc<Config>,
    instance: Instance,
    volume: Volume,
    peers: Client,
    clients: Client,
    stop: Stop,
    started: Instant,
    patient: bool,
    /// The last look found no leader: a member is asked first whether it has one.
    leaderless: Arc<AtomicBool>,
    /// This volume held data in the last look, or has not been read: how far the others have come is asked too.
    holds_data: Arc<AtomicBool>,
    /// Where the last look found one: asked at once by the next, without waiting for the peers' views.
    endpoints: Arc<Mutex<Vec<String>>>,
    /// Those of our own peer URLs where somebody else was heard, perhaps after the look was over: the
    /// next one asks there again, and waits for the answer.
    strange: Arc<Mutex<Vec<String>>>,
    /// Questions at our own peer URLs that were not answered, or not yet.
    own_unanswered: Arc<AtomicUsize>,
    /// What the data dir held at the last look: damaged data that waits is not summed up each time.
    known: Arc<Known>,
}

/// One look: what was seen, and what a step or a log line needs beyond it.
#[derive(Clone, Debug)]
pub struct Look {
    /// The input of `decide`.
    pub seen: Observation,
    /// The data dir in detail.
    pub contents: Contents,
    /// Client URLs of other members, the one that proved a leader first.
    pub endpoints: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// What listens on our own peer addresses while we look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listening {
    /// Nothing of ours: whoever answers at our peer URLs is somebody else.
    Nothing,
    /// Our own assembly: its answer comes back from our peer URLs, unless they lead elsewhere.
    Assembly,
    /// The process that holds the data dir.
    Holder,
}

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
    /// Ready to look; reads the certificates.
    pub fn new(config: Arc<Config>, volume: Volume, stop: Stop) -> Result<Self, Error> {
        Ok(Observer {
            instance: Instance::random()?,
            peers: Client::new(&config.peer_client_tls, None)?,
            clients: Client::new(&config.client_tls, config.credentials.clone())?,
            started: Instant::now(),
            patient: false,
            // A read without a leader ends only after the look: `now` must not take that for silence.
            leaderless: Arc::new(AtomicBool::new(config.policy.bootstrap == Bootstrap::Now)),
            holds_data: Arc::new(AtomicBool::new(true)),
            endpoints: Arc::default(),
            strange: Arc::default(),
            own_unanswered: Arc::default(),
            known: Arc::default(),
            config,
            volume,
            stop,
        })
    }

    /// Hears everybody out who answers in time: for a person, who wants to see all of it.
    pub fn patient(self) -> Self {
        Observer {
            patient: true,
            ..self
        }
    }

    /// Asks at these client URLs too.
    pub fn ask_too(&self, urls: Vec<String>) {
        all(&self.endpoints).extend(urls);
    }

    /// Whether it hears everybody out.
    pub fn is_patient(&self) -> bool {
        self.patient
    }

    /// What we tell the other entrypoints about what was seen.
    pub fn report(&self, seen: &Observation) -> Report {
        Report::of(&self.config, seen, &self.instance)
    }

    /// The client for peer URLs.
    pub fn peers(&self) -> &Client {
        &self.peers
    }

    /// The client for client URLs.
    pub fn clients(&self) -> &Client {
        &self.clients
    }

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
            seen.waited |= self.config.policy.bootstrap == Bootstrap::All;
        }
        seen
    }

    /// How long our assembly has still to listen before a cluster may be founded.
    pub fn still_listens(&self, memory: &Memory) -> Duration {
        listens(&self.config.policy, self.config.election_timeout)
            .saturating_sub(memory.listened(self.now()))
    }

    /// How long this process has been looking.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
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
        let read = |depth| {
            self.volume
                .inspect_again(depth, &self.known, SystemTime::now())
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

fn all(urls: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    urls.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When a look ends that has read the data dir: a disk that took most of the time must not leave the
/// others, and a twin, without any to answer what is asked only now.
fn deadline_after_reading(begin: Instant, read: Instant, timeout: Duration) -> Instant {
    match read.duration_since(begin) > timeout / 2 {
        true => read + timeout,
        false => begin + timeout,
    }
}

/// The founding promise names the settings and the member that it was given for, and the mode, if it asks for
/// less than that all were heard.
pub fn promise_digest(config: &Config) -> String {
    promise_under(config, asks_for(config.policy.bootstrap))
}

/// Whether a promise counts: under a mode that asks for more than the one it was given under it proves nothing.
fn is_promise(config: &Config, note: &str) -> bool {
    let mode = MODES
        .iter()
        .position(|mode| *mode == asks_for(config.policy.bootstrap));
    let mut enough = MODES.iter().take(mode.map_or(0, |mode| mode + 1));
    enough.any(|mode| note == promise_under(config, mode))
}

/// What a promise ends with, the strictest mode first.
const MODES: [&str; 3] = ["", "-quorum", "-now"];

fn asks_for(bootstrap: Bootstrap) -> &'static str {
    match bootstrap {
        Bootstrap::All | Bootstrap::Never => MODES[0],
        Bootstrap::Quorum => MODES[1],
        Bootstrap::Now => MODES[2],
    }
}

fn promise_under(config: &Config, mode: &str) -> String {
    let (cluster, token) = (&config.cluster_digest, &config.token_digest);
    format!("{cluster}-{token}-{}{mode}", config.policy.static_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;

    fn config(name: &str, mode: &str) -> Config {
        let env = [
            ("ETCD_NAME", name),
            ("ETCD_INITIAL_CLUSTER", "n1=http://a:1,n2=http://b:1"),
            (
                "ETCD_INITIAL_ADVERTISE_PEER_URLS",
                if name == "n1" {
                    "http://a:1"
                } else {
                    "http://b:1"
                },
            ),
            ("REJOIN_BOOTSTRAP", mode),
        ];
        let env = env.map(|(name, value)| (name.into(), value.into()));
        Config::read(env, &[], &Overrides::default()).unwrap()
    }

    #[test]
    fn a_promise_counts_for_its_member_and_no_stricter_mode() {
        let modes = ["all", "quorum", "now"];
        for (given, mode) in modes.iter().enumerate() {
            let note = promise_digest(&config("n1", mode));
            for (now, mode) in modes.iter().enumerate() {
                assert_eq!(is_promise(&config("n1", mode), &note), given <= now);
                assert!(!is_promise(&config("n2", mode), &note));
            }
            assert_eq!(is_promise(&config("n1", "never"), &note), given == 0);
        }
    }
}
