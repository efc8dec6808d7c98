//! Watches an etcd on trial: is it healthy, and has a learner caught up? Ends when both are so.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Exit;
use super::supervise::Handed;
use crate::config::Config;
use crate::datadir::Volume;
use crate::decide::Begin;
use crate::gateway::{Client, Failure};
use crate::membership::Member;
use crate::observe::Observer;
use crate::signals::Stop;

/// What is said on standard output once etcd is healthy.
pub const HEALTHY: &str = "healthy";

/// One question to our own etcd or to a voter.
const QUESTION: Duration = Duration::from_secs(1);
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
    let watcher = Watcher {
        config,
        clients: observer.clients().clone(),
        peers: observer.peers().clone(),
        volume,
        with_data: handed.start.begin == Begin::WithData,
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
        if healthy && (!handed.start.promote || watcher.is_promoted()) {
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
    with_data: bool,
}

impl Watcher {
    /// Our etcd has answered through Raft, or the cluster has seen it publish itself.
    fn is_healthy(&self) -> bool {
        let deadline = Instant::now() + QUESTION;
        let urls = own_client_urls(&self.config);
        if urls.iter().any(|url| answers(&self.clients, url, deadline)) {
            return true;
        }
        // With data it was published long ago: that proves nothing about this start.
        !self.with_data
            && self.config.policy.peer_urls.iter().any(|url| {
                let view = self.peers.peer_members(url, deadline);
                view.is_ok_and(|view| self.own(&view.members).is_some_and(Member::started))
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
    fn is_promoted(&self) -> bool {
        let promoted = self.lists().any(|members| self.is_promoted_by(&members));
        if promoted && let Err(error) = self.volume.forget_learner() {
            log::warn!("{error}");
        }
        promoted
    }

    /// Whether one of these voters has promoted us, or says that we are a voter.
    fn is_promoted_by(&self, members: &[Member]) -> bool {
        let Some(own) = self.own(members) else {
            return false;
        };
        let voters = members.iter().filter(|m| !m.learner && m.started());
        let mut urls = voters.flat_map(|voter| &voter.client_urls);
        urls.any(|url| {
            let deadline = Instant::now() + QUESTION;
            match self.clients.member_promote(url, own.id, deadline) {
                Ok(()) => {
                    log::info!("caught up, promoted to voter member={}", own.id);
                    true
                }
                Err(failure) if failure.is_not_learner() => true,
                Err(failure) => {
                    log::debug!("not promoted yet: {failure}");
                    false
                }
            }
        })
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

fn answers(clients: &Client, url: &str, deadline: Instant) -> bool {
    match clients.quorate_members(url, deadline) {
        Ok(_) => true,
        Err(failure) if failure.is_learner_refusal() => true,
        Err(Failure::GatewayOff(_)) => clients.health(url, deadline).unwrap_or(false),
        Err(_) => false,
    }
}
