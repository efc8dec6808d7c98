//! Looks on while etcd is on trial: is it healthy, and has a learner caught up?

use std::time::{Duration, Instant};

use crate::config::Config;
use crate::datadir::Volume;
use crate::decide::{Begin, Start};
use crate::gateway::{Client, Failure};
use crate::handover::{Next, Watch};
use crate::membership::Member;
use crate::observe::Observer;

/// One question to our own etcd or to a voter.
const QUESTION: Duration = Duration::from_secs(1);

/// The watcher of this trial.
pub fn watch(
    config: &Config,
    observer: &Observer,
    volume: &Volume,
    start: &Start,
) -> impl FnMut(&mut Watch) -> Next + Send + 'static {
    let watcher = Watcher {
        config: config.clone(),
        clients: observer.clients().clone(),
        peers: observer.peers().clone(),
        volume: volume.clone(),
        with_data: start.begin == Begin::WithData,
    };
    let promote = start.promote;
    move |watch| {
        if !watch.was_healthy() {
            if !watcher.is_healthy() {
                return Next::Again;
            }
            watch.healthy();
            log::info!("etcd is healthy");
        }
        match promote && !watcher.is_promoted() {
            true => Next::Again,
            false => Next::Done,
        }
    }
}

struct Watcher {
    config: Config,
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

    /// Asks the voters to promote us; true when there is nothing left to ask.
    fn is_promoted(&self) -> bool {
        for (_, urls) in self.config.other_members() {
            let Some(view) = urls
                .iter()
                .find_map(|url| self.peers.peer_members(url, Instant::now() + QUESTION).ok())
            else {
                continue;
            };
            let Some(own) = self.own(&view.members) else {
                continue;
            };
            let voters = view
                .members
                .iter()
                .filter(|member| !member.learner && member.started());
            for url in voters.flat_map(|voter| &voter.client_urls) {
                match self
                    .clients
                    .member_promote(url, own.id, Instant::now() + QUESTION)
                {
                    Ok(()) => log::info!("caught up, promoted to voter member={}", own.id),
                    Err(failure) if failure.is_not_learner() => {}
                    Err(failure) => {
                        log::debug!("not promoted yet: {failure}");
                        continue;
                    }
                }
                if let Err(error) = self.volume.forget_learner() {
                    log::warn!("{error}");
                }
                return true;
            }
        }
        false
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
