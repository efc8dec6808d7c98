//! Who looks, and what a look is. Asks nobody.

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::assembly::{Instance, Report};
use crate::config::Config;
use crate::datadir::{Contents, Known, Volume};
use crate::decide::{Bootstrap, MinorVersion, Observation, StoreSeen};
use crate::error::Error;
use crate::gateway::Client;
use crate::kubernetes::SetAnswer;
use crate::signals::Stop;

/// Looks at the world.
#[derive(Clone)]
pub struct Observer {
    pub(super) config: Arc<Config>,
    pub(super) instance: Instance,
    pub(super) volume: Volume,
    pub(super) peers: Client,
    pub(super) clients: Client,
    pub(super) stop: Stop,
    pub(super) started: Instant,
    pub(super) patient: bool,
    /// The last look found no leader: a member is asked first whether it has one.
    pub(super) leaderless: Arc<AtomicBool>,
    /// This volume held data in the last look, or has not been read: how far the others have come is asked too.
    pub(super) holds_data: Arc<AtomicBool>,
    /// Where the last look found one: asked at once by the next, without waiting for the peers' views.
    pub(super) endpoints: Arc<Mutex<Vec<String>>>,
    /// Those of our own peer URLs where somebody else was heard, perhaps after the look was over: the
    /// next one asks there again, and waits for the answer.
    pub(super) strange: Arc<Mutex<Vec<String>>>,
    /// Questions at our own peer URLs that were not answered, or not yet.
    pub(super) own_unanswered: Arc<AtomicUsize>,
    /// What our StatefulSet wanted a moment ago.
    pub(super) set: Arc<Mutex<Option<(Instant, SetAnswer)>>>,
    /// What the store held a moment ago.
    pub(super) store: Arc<Mutex<Option<(Instant, StoreSeen)>>>,
    /// A conditional create has been seen to mean something there.
    pub(super) store_decides: Arc<AtomicBool>,
    /// What the data dir held at the last look: damaged data that waits is not summed up each time.
    pub(super) known: Arc<Known>,
    /// Asks the etcd program for its version.
    pub(super) asks_version: AsksVersion,
}

/// Asks the etcd program for its version, once in a run; none where it does not say it.
pub type AsksVersion = fn(&Config, &Stop) -> Option<MinorVersion>;

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
pub(super) enum Listening {
    /// Nothing of ours: whoever answers at our peer URLs is somebody else.
    Nothing,
    /// Our own assembly: its answer comes back from our peer URLs, unless they lead elsewhere.
    Assembly,
    /// The process that holds the data dir.
    Holder,
}

impl Observer {
    /// Ready to look; reads the certificates.
    pub fn new(
        config: Arc<Config>,
        volume: Volume,
        stop: Stop,
        asks_version: AsksVersion,
    ) -> Result<Self, Error> {
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
            set: Arc::default(),
            store: Arc::default(),
            store_decides: Arc::default(),
            known: Arc::default(),
            asks_version,
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

    /// How long this process has been looking.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

pub(super) fn all(urls: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    urls.lock().unwrap_or_else(PoisonError::into_inner)
}
