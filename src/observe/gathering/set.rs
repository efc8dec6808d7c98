//! The StatefulSet that this member is of: how many it wants, whoever is of it beside the initial cluster, and whoever
//! else its service names.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::super::Observer;
use super::super::ask::hear_stranger;
use super::{Gathering, News};
use crate::config::StatefulSet;
use crate::decide::{DataDir, Peer, SetWants, Wants};
use crate::kubernetes::{self, SetAnswer};

/// An answer of the API server counts for so long: looks repeat twice a second.
const FRESH: Duration = Duration::from_secs(5);

impl Gathering<'_> {
    /// Asks for the set, where that may forbid or allow something.
    pub(super) fn ask_set(&mut self) {
        let config = self.observer.config.clone();
        let Some(set) = config.set.clone() else {
            return;
        };
        let matters = match config.policy.wants {
            Wants::Start => self.seen.left_scaled || !matches!(self.seen.data, DataDir::Own(_)),
            Wants::Leave => config.policy.if_scaled_down,
            Wants::Vote => false,
        };
        if !matters {
            return;
        }
        let founds = self.seen.data == DataDir::Empty && config.policy.wants == Wants::Start;
        self.set_open = true;
        self.ask(move |observer, deadline| {
            let answer = observer.set_answer(&set, deadline);
            let strangers = match founds {
                true => strangers(observer, &set, &answer.wants, deadline),
                false => Vec::new(),
            };
            News::Set(answer, strangers)
        });
    }

    /// Whether this look may not end without the set's word. A proven leader leads to no founding.
    pub(super) fn waits_for_set(&self) -> bool {
        let leaves = self.observer.config.policy.wants == Wants::Leave;
        self.set_open && (self.seen.quorate.is_none() || self.seen.left || leaves)
    }

    pub(super) fn heard_of_set(&mut self, answer: SetAnswer, strangers: Vec<Peer>) {
        self.set_open = false;
        self.seen.peers.extend(strangers);
        // The numbers of peers that are asked stay those of their places.
        self.unheard.resize(self.seen.peers.len(), 0);
        self.unversioned.resize(self.seen.peers.len(), 0);
        let config = self.observer.config.clone();
        if let Some(set) = &config.set
            && config.policy.wants == Wants::Start
        {
            for ordinal in beyond(set, &answer.wants) {
                let name = set.member(ordinal);
                if name != config.policy.name && config.policy.initial.get(&name).is_none() {
                    self.ask_another(&name, &[set.peer_url(ordinal)]);
                }
            }
        }
        self.seen.set = answer.wants;
    }
}

/// The ordinals that a set wants. No cluster of etcd has more members than are asked here.
fn beyond(set: &StatefulSet, wants: &SetWants) -> impl Iterator<Item = u32> + use<> {
    let (start, replicas) = match *wants {
        SetWants::Replicas { start, replicas } => (start, replicas),
        SetWants::NotAsked | SetWants::Unknown(_) => (set.ordinal, 0),
    };
    (start..start.saturating_add(replicas)).take(100)
}

impl Observer {
    fn set_answer(&self, set: &StatefulSet, deadline: Instant) -> SetAnswer {
        let mut known = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, answer)) = &*known
            && at.elapsed() < FRESH
        {
            return answer.clone();
        }
        let answer = kubernetes::ask(set, deadline);
        let others = self.config.policy.initial_others();
        if answer.in_order && others > 0 && known.is_none() {
            log::warn!(
                "StatefulSet {} makes its pods in order (podManagementPolicy: OrderedReady): where a readiness probe holds \
                 this one back, the others are not made, and no cluster of {} is founded; delete the set with \
                 --cascade=orphan, and make it again with podManagementPolicy: Parallel",
                set.name,
                others + 1
            );
        }
        *known = Some((Instant::now(), answer.clone()));
        answer
    }
}

/// Whoever answers at an address of the headless service that no member has by its name: a pod that the set does not
/// want any more, or one of another set. They only ever forbid to found.
fn strangers(
    observer: &Observer,
    set: &StatefulSet,
    wants: &SetWants,
    deadline: Instant,
) -> Vec<Peer> {
    let config = &observer.config;
    let named = config
        .policy
        .initial
        .iter()
        .map(|(name, _)| name.to_string());
    let named = named.chain([config.policy.name.clone()]);
    let named = named.chain(beyond(set, wants).map(|ordinal| set.member(ordinal)));
    let named = named.map(|name| format!("{name}.{}", set.domain));
    let named: Vec<IpAddr> = named.flat_map(|host| addresses(&host)).collect();
    let mut unnamed = addresses(&set.domain);
    unnamed.retain(|address| !named.contains(address));
    let asked = unnamed.into_iter().take(16).filter_map(|address| {
        let host = match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        let heard = hear_stranger(observer, &set.domain, &set.url_of(&host), deadline)?;
        Some(Peer {
            name: format!("{address} of {}", set.domain),
            initial: false,
            heard,
        })
    });
    asked.collect()
}

/// Each address once. A name that does not resolve has none.
fn addresses(host: &str) -> Vec<IpAddr> {
    let mut all = Vec::new();
    for found in (host, 0).to_socket_addrs().into_iter().flatten() {
        if !all.contains(&found.ip()) {
            all.push(found.ip());
        }
    }
    all
}
