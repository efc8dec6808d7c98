//! Watches an etcd on trial: is it healthy, and has a learner caught up? Ends when both are so.
//!
//! Each of the two is asked for in a thread of its own: whoever does not answer the one holds the other up in nothing.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use super::catching_up::{Came, CatchingUp};
use super::images::{DONE, HEALTHY, Handed, NOT_FOR_PEOPLE};
use crate::act::{Actor, Undone};
use crate::config::Config;
use crate::datadir::{Depth, Volume};
use crate::decide::{Begin, Decision, Heard, Observation, Peer, Step, Wants, decide};
use crate::first::{QUESTION, first};
use crate::gateway::{Client, Failure, PeerView};
use crate::membership::{Member, MemberId};
use crate::observe::Observer;
use crate::signals::Stop;
use etcd_rejoin_host::exit::Exit;
use etcd_rejoin_host::work::thread;

/// What stands in the way of a promotion is said again after this.
const REMIND: Duration = Duration::from_secs(60);
/// So many of such words are remembered.
const MOST_SAID: usize = 16;
/// How often a data dir is read that does not read.
const READS: usize = 10;
/// The pause between two questions grows from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Watches until there is nothing left to watch, or nobody left who would listen.
pub fn watch(mut config: Config, stop: &Stop, handed: Handed) -> Exit {
    config.policy.wants = Wants::Vote;
    let (ended, first_end) = channel();
    let left_alone = ended.clone();
    // Our parent holds the other end for as long as it lives.
    let parent = thread(Box::new(move || {
        let mut rest = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut rest);
        let _ = left_alone.send(Exit::OK);
    }));
    let stop = stop.clone();
    let watching = thread(Box::new(move || {
        let _ = ended.send(until_all_is_so(config, &stop, &handed));
    }));
    match parent.and(watching) {
        Ok(_) => first_end.recv().unwrap_or(Exit::FAILED),
        Err(error) => {
            log::warn!("cannot watch whether etcd is healthy: {error}");
            Exit::FAILED
        }
    }
}

fn until_all_is_so(config: Config, stop: &Stop, handed: &Handed) -> Exit {
    let Some(start) = handed.memory.tried() else {
        log::error!("{NOT_FOR_PEOPLE}");
        return Exit::USAGE;
    };
    let config = Arc::new(config);
    let volume = Volume::new(&config.data_dir, config.wal_dir.as_deref());
    let observer = match Observer::new(
        config.clone(),
        volume.clone(),
        stop.clone(),
        super::super::versions::minor_version,
    ) {
        Ok(observer) => observer,
        Err(error) => {
            log::warn!("cannot watch whether etcd is healthy: {error}");
            return Exit::CONFIG;
        }
    };
    let watcher = Watcher {
        clients: observer.clients().clone(),
        peers: observer.peers().clone(),
        own: match &start.begin {
            Begin::New => Some(handed.founds_as),
            Begin::Existing { id, .. } => Some(*id),
            Begin::WithData => identity(&volume, stop),
        },
        volume,
        with_data: start.begin == Begin::WithData,
        config,
        healthy: AtomicBool::new(false),
        gateway_off: AtomicBool::new(false),
    };
    let all = std::thread::scope(|scope| {
        let promoted = scope.spawn(|| match start.promote {
            true => watcher.until_promoted(stop),
            false => Ok(()),
        });
        let healthy = watcher.until_healthy(stop);
        let promoted = promoted.join().unwrap_or(Err(Exit::FAILED));
        healthy.and(promoted)
    });
    match all {
        Ok(()) => {
            if let Some(line) = handed.rejoin.line(start, watcher.own) {
                line.log();
            }
            // Nobody listens any more: then etcd has ended, and so do we.
            let _ = writeln!(std::io::stdout(), "{DONE}");
            Exit::OK
        }
        Err(exit) => exit,
    }
}

/// Asks again and again, with a pause that grows.
fn until(stop: &Stop, mut is_so: impl FnMut() -> bool) -> Result<(), Exit> {
    let mut pause = PAUSES.0;
    while !is_so() {
        if let Some(signal) = stop.sleep_until(Instant::now() + pause) {
            return Err(Exit::signal(signal));
        }
        pause = (pause * 5 / 4).min(PAUSES.1);
    }
    Ok(())
}

struct Watcher {
    config: Arc<Config>,
    clients: Client,
    peers: Client,
    volume: Volume,
    /// The member that etcd starts as; unknown if the WAL cannot be read.
    own: Option<MemberId>,
    with_data: bool,
    /// Our etcd has been healthy once.
    healthy: AtomicBool,
    /// It was said that the gateway is off.
    gateway_off: AtomicBool,
}

impl Watcher {
    fn until_healthy(&self, stop: &Stop) -> Result<(), Exit> {
        until(stop, || self.is_healthy())?;
        self.healthy.store(true, Ordering::Relaxed);
        log::info!("etcd is healthy");
        // Nobody listens any more: then etcd has ended, and so do we.
        writeln!(std::io::stdout(), "{HEALTHY}").map_err(|_| Exit::OK)
    }

    fn until_promoted(&self, stop: &Stop) -> Result<(), Exit> {
        let mut said = StandsInTheWay::default();
        let (began, mut catching_up) = (Instant::now(), CatchingUp::default());
        until(stop, || self.healthy.load(Ordering::Relaxed) || self.runs())?;
        let actor = Actor::new(&self.config, &self.volume, &self.clients, stop);
        let mut learner = self.own;
        until(stop, || {
            let (seen, voters) = self.look(learner);
            let decision = decide(&self.config.policy, &seen);
            let Decision::Do(step, _) = &decision else {
                return matches!(decision, Decision::Done(_));
            };
            match actor.perform(step, &seen, &voters) {
                Ok(done) => {
                    if let Step::PromoteMember(own) = step {
                        log::info!(member:% = own; "{}", done.words);
                    }
                    learner = None;
                    true
                }
                Err(Undone::Failed(error)) => {
                    log::warn!("{error}");
                    true
                }
                // To catch up takes its time. What else stands in the way may do so for ever.
                Err(Undone::NotNow(words)) => {
                    log::debug!("not promoted yet: {words}");
                    let now = began.elapsed();
                    if catching_up.is_due(now)
                        && let Some(came) = self.came(&voters)
                    {
                        log::info!("not promoted yet: {}", catching_up.words(came, now));
                    }
                    false
                }
                Err(Undone::Cluster(words) | Undone::Refused(words)) => {
                    said.say(&words);
                    false
                }
                Err(Undone::Changed | Undone::Stopped(_)) => false,
            }
        })
    }

    /// Who lists us, and whom to ask for a promotion: the voters' client URLs.
    fn look(&self, learner: Option<MemberId>) -> (Observation, Vec<String>) {
        let lists = self.lists();
        let mut voters: Vec<String> = Vec::new();
        for list in lists.iter().filter(|list| self.lists_us(list)) {
            let others = list.members.iter().filter(|m| !m.learner && m.started());
            voters.extend(others.flat_map(|voter| voter.client_urls.clone()));
        }
        // What voters advertise may lead to nobody from here, as etcd's default does.
        voters.extend(self.config.other_client_urls.clone());
        let mut asked = BTreeSet::new();
        voters.retain(|url| asked.insert(url.clone()));
        let peer = |view: PeerView| Peer {
            name: String::new(),
            initial: false,
            heard: Heard::Etcd {
                cluster: view.cluster,
                members: view.members,
            },
        };
        let seen = Observation {
            added_learner: learner,
            peers: lists.into_iter().map(peer).collect(),
            ..Observation::default()
        };
        (seen, voters)
    }

    /// How far we have come, and the voter that has come farthest.
    fn came(&self, voters: &[String]) -> Option<Came> {
        let deadline = Instant::now() + QUESTION;
        let asked = |url: &String| self.clients.status(url, deadline).ok();
        let own = self.config.own_client_urls();
        let own = own.iter().filter_map(asked);
        let cluster = voters.iter().filter_map(asked);
        Some(Came {
            cluster: cluster.map(|status| status.raft_index).max()?,
            learner: own
                .filter(|status| self.own == Some(status.member))
                .map(|status| status.raft_index)
                .max(),
        })
    }

    /// Our etcd has answered through Raft, or the cluster has seen it publish itself.
    fn is_healthy(&self) -> bool {
        let deadline = Instant::now() + QUESTION;
        let urls = self.config.own_client_urls();
        if urls.iter().any(|url| self.answers(url, deadline)) {
            return true;
        }
        // With data it was published long ago: that proves nothing about this start.
        !self.with_data
            && self.config.policy.peer_urls.iter().any(|url| {
                let view = self.peers.peer_members(url, deadline);
                view.is_ok_and(|view| self.own(&view.members).is_some_and(Member::started))
            })
    }

    /// Whether our member answers at this client URL.
    ///
    /// An advertised one may lead to another member as well, and at a listen URL that etcd cannot have an
    /// older process may answer: what ours dies of would then be nobody's concern any more.
    fn answers(&self, url: &str, deadline: Instant) -> bool {
        let ours = |id| self.own.is_none_or(|own| own == id);
        match self.clients.quorate_members_by(url, deadline) {
            Ok((member, _)) => ours(member),
            Err(failure) if failure.is_learner_refusal() => {
                (self.clients.status(url, deadline)).is_ok_and(|status| ours(status.member))
            }
            // Without a gateway nobody says who it is.
            Err(Failure::GatewayOff(why)) => {
                if self.config.policy.has_others()
                    && !self.gateway_off.swap(true, Ordering::Relaxed)
                {
                    log::warn!("a member that loses its disk could not come back: {why}");
                }
                !self
                    .config
                    .advertise_client_urls
                    .iter()
                    .any(|known| known == url)
                    && self.clients.health(url, deadline).unwrap_or(false)
            }
            Err(_) => false,
        }
    }

    /// Whether an etcd that knows us answers at our own peer URL. A learner may have no client URL that can
    /// be asked from here: its certificate names others, or it is a unix socket.
    fn runs(&self) -> bool {
        let deadline = Instant::now() + QUESTION;
        self.config.policy.peer_urls.iter().any(|url| {
            let view = self.peers.peer_members(url, deadline);
            view.is_ok_and(|view| view.members.iter().any(|m| Some(m.id) == self.own))
        })
    }

    fn own<'a>(&self, members: &'a [Member]) -> Option<&'a Member> {
        let id = crate::decide::own_id(&self.config.policy, members)?;
        members.iter().find(|member| member.id == id)
    }

    /// The member lists that were heard before one that says who could promote us, and that one. The initial
    /// cluster may name only ourselves: but a learner answers `/members` at its own peer URL, and who was given by
    /// its client URL lists the members there.
    fn lists(&self) -> Vec<PeerView> {
        type Question = Box<dyn FnOnce(Instant) -> Option<PeerView> + Send>;
        let others = self.config.other_members().flat_map(|(_, urls)| urls);
        let peers = (self.config.policy.peer_urls.iter())
            .chain(others)
            .map(|url| {
                let (peers, url) = (self.peers.clone(), url.clone());
                Box::new(move |deadline| peers.peer_members(&url, deadline).ok()) as Question
            });
        let clients = self.config.other_client_urls.iter().map(|url| {
            let (clients, url) = (self.clients.clone(), url.clone());
            Box::new(move |deadline| clients.local_members(&url, deadline).ok()) as Question
        });
        let mut lists = Vec::new();
        first(peers.chain(clients), |view| {
            let view = view?;
            let voters = view.members.iter().any(|m| !m.learner && m.started());
            let enough = voters && self.lists_us(&view);
            lists.push(view);
            enough.then_some(())
        });
        lists
    }

    /// One of our URLs under another ID is one of before.
    fn lists_us(&self, list: &PeerView) -> bool {
        list.members
            .iter()
            .any(|member| Some(member.id) == self.own)
    }
}

/// What has been said of why we are no voter yet, and when.
#[derive(Default)]
struct StandsInTheWay(Vec<(String, Instant)>);

impl StandsInTheWay {
    /// Says what is new, and now and then what is not.
    fn say(&mut self, words: &str) {
        let known = (self.0.iter()).find(|(said, at)| said == words && at.elapsed() < REMIND);
        if known.is_some() {
            return;
        }
        log::info!("not promoted yet: {words}");
        self.0.retain(|(said, _)| said != words);
        self.0.truncate(MOST_SAID);
        self.0.insert(0, (words.into(), Instant::now()));
    }
}

/// Whose data lies here. Else the learner that is noted here. etcd may write to it meanwhile, and whoever has no
/// identity is not promoted: what cannot be read is read again.
fn identity(volume: &Volume, stop: &Stop) -> Option<MemberId> {
    let mut tries = (0..READS).map(|_| volume.inspect(Depth::Quick));
    let contents = tries.find_map(|read| {
        read.ok().or_else(|| {
            let _ = stop.sleep_until(Instant::now() + PAUSES.0);
            None
        })
    })?;
    let identity = contents.finding.identity().map(|identity| identity.member);
    identity.or(contents.added_learner)
}
