//! Watches an etcd on trial: is it healthy, and has a learner caught up? Ends when both are so.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Exit;
use super::supervise::Handed;
use crate::config::Config;
use crate::datadir::{Depth, Volume};
use crate::decide::Begin;
use crate::gateway::{Client, Failure};
use crate::membership::{Member, MemberId};
use crate::observe::Observer;
use crate::signals::Stop;

/// What is said on standard output once etcd is healthy.
pub const HEALTHY: &str = "healthy";
/// And when there is nothing left to watch.
pub const DONE: &str = "done";

/// One question to our own etcd or to a voter.
const QUESTION: Duration = Duration::from_secs(1);
/// What stands in the way of a promotion is said again after this.
const REMIND: Duration = Duration::from_secs(60);
/// So many of such words are remembered.
const MOST_SAID: usize = 16;
/// The pause between two questions grows from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Watches until there is nothing left to watch, or nobody left who would listen.
pub fn watch(config: Config, stop: &Stop, handed: &Handed) -> Exit {
    // Our parent holds the other end for as long as it lives.
    let parent = std::thread::Builder::new().spawn(|| {
        let mut rest = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut rest);
        std::process::exit(Exit::OK.0);
    });
    if let Err(error) = parent {
        log::warn!("cannot watch whether etcd is healthy: {error}");
        return Exit::FAILED;
    }
    let config = Arc::new(config);
    let volume = Volume::new(&config.data_dir, config.wal_dir.as_deref());
    let observer = match Observer::new(config.clone(), volume.clone(), stop.clone()) {
        Ok(observer) => observer,
        Err(error) => {
            log::warn!("cannot watch whether etcd is healthy: {error}");
            return Exit::CONFIG;
        }
    };
    let mut watcher = Watcher {
        clients: observer.clients().clone(),
        peers: observer.peers().clone(),
        own: match &handed.start.begin {
            Begin::New => Some(config.policy.static_id),
            Begin::Existing { id, .. } => Some(*id),
            Begin::WithData => identity(&volume),
        },
        volume,
        with_data: handed.start.begin == Begin::WithData,
        config,
        said: Vec::new(),
    };
    let mut pause = PAUSES.0;
    let mut healthy = false;
    loop {
        if !healthy && watcher.is_healthy() {
            healthy = true;
            pause = PAUSES.0;
            log::info!("etcd is healthy");
            // Nobody listens any more: then etcd has ended, and so do we.
            let said = writeln!(std::io::stdout(), "{HEALTHY}");
            if said.is_err() {
                return Exit::OK;
            }
        }
        let done = match handed.start.promote {
            true => (healthy || watcher.runs()) && watcher.is_promoted(),
            false => healthy,
        };
        if done {
            if let Some(line) = handed.rejoin.line(&handed.start, watcher.own) {
                line.log();
            }
            // As above.
            let _ = writeln!(std::io::stdout(), "{DONE}");
            return Exit::OK;
        }
        if let Some(signal) = stop.sleep_until(Instant::now() + pause) {
            return Exit::signal(signal);
        }
        pause = (pause * 5 / 4).min(PAUSES.1);
    }
}

struct Watcher {
    config: Arc<Config>,
    clients: Client,
    peers: Client,
    volume: Volume,
    /// The member that etcd starts as; unknown if the WAL cannot be read.
    own: Option<MemberId>,
    with_data: bool,
    /// Why voters have not promoted us, and when we said so.
    said: Vec<(String, Instant)>,
}

impl Watcher {
    /// Our etcd has answered through Raft, or the cluster has seen it publish itself.
    fn is_healthy(&self) -> bool {
        let deadline = Instant::now() + QUESTION;
        let urls = own_client_urls(&self.config);
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
            Err(Failure::GatewayOff(_)) => {
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

    /// The member lists that can be had. The initial cluster may name only ourselves: but a learner answers
    /// `/members` at its own peer URL, and who was given by its client URL lists the members there.
    fn lists(&self) -> impl Iterator<Item = Vec<Member>> {
        let deadline = || Instant::now() + QUESTION;
        let others = self.config.other_members().flat_map(|(_, urls)| urls);
        let peers = (others.chain(&self.config.policy.peer_urls))
            .filter_map(move |url| self.peers.peer_members(url, deadline()).ok());
        let clients = (self.config.other_client_urls.iter())
            .filter_map(move |url| self.clients.local_members(url, deadline()).ok());
        peers.chain(clients).map(|view| view.members)
    }

    /// Asks the voters to promote us; true when there is nothing left to ask.
    fn is_promoted(&mut self) -> bool {
        let lists: Vec<_> = self.lists().collect();
        let promoted = lists.iter().any(|members| self.is_promoted_by(members));
        if promoted && let Err(error) = self.volume.forget_learner() {
            log::warn!("{error}");
        }
        promoted
    }

    /// Whether one of these voters has promoted us, or says that we are a voter.
    fn is_promoted_by(&mut self, members: &[Member]) -> bool {
        let Some(own) = self.own(members).cloned() else {
            return false;
        };
        // A person may have done it; and no voter becomes a learner again.
        if !own.learner && self.own == Some(own.id) {
            return true;
        }
        let voters = members.iter().filter(|m| !m.learner && m.started());
        // What voters advertise may lead to nobody from here, as etcd's default does.
        let given = self.config.other_client_urls.clone();
        let urls: Vec<String> = (voters.flat_map(|voter| voter.client_urls.clone()))
            .chain(given)
            .collect();
        if urls.is_empty() {
            self.say("no voter has published a client URL: ETCD_OTHER_PEERS_CLIENT_URLS names one");
        }
        urls.iter().any(|url| {
            let deadline = Instant::now() + QUESTION;
            match self.clients.member_promote(url, own.id, deadline) {
                Ok(()) => {
                    log::info!(member:% = own.id; "caught up, promoted to voter");
                    true
                }
                Err(failure) if failure.is_not_learner() => true,
                Err(failure) => {
                    // To catch up takes its time. What else stands in the way may do so for ever.
                    match failure.is_not_in_sync() {
                        true => log::debug!("not promoted yet: {failure}"),
                        false => self.say(&failure.to_string()),
                    }
                    false
                }
            }
        })
    }
}

impl Watcher {
    /// Says why we are no voter yet: what is new, and now and then what is not.
    fn say(&mut self, words: &str) {
        let known = self
            .said
            .iter()
            .find(|(said, at)| said == words && at.elapsed() < REMIND);
        if known.is_some() {
            return;
        }
        log::info!("not promoted yet: {words}");
        self.said.retain(|(said, _)| said != words);
        self.said.truncate(MOST_SAID);
        self.said.insert(0, (words.into(), Instant::now()));
    }
}

/// Where our own etcd answers clients, seen from here.
pub fn own_client_urls(config: &Config) -> Vec<String> {
    let listen = match config.listen_client_http_urls.as_slice() {
        [] => &config.listen_client_urls,
        http => http,
    };
    let here = |url: &String| {
        url.replace("://0.0.0.0:", "://127.0.0.1:")
            .replace("://[::]:", "://[::1]:")
            .replace("://:", "://127.0.0.1:")
    };
    let mut urls: Vec<String> = listen.iter().map(here).collect();
    // A certificate may name the advertised host only.
    for url in &config.advertise_client_urls {
        if url.starts_with("https:") && !urls.contains(url) {
            urls.push(url.clone());
        }
    }
    urls
}

/// Whose data lies here; etcd may write to it meanwhile.
fn identity(volume: &Volume) -> Option<MemberId> {
    let contents = volume.inspect(Depth::Quick).ok()?;
    contents.finding.identity().map(|identity| identity.member)
}
