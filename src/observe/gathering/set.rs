//! The StatefulSet that this member is of: how many it wants, whoever is of it beside the initial cluster, and whoever
//! else its service names.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use etcd_rejoin_host::work::Work;

use super::super::Observer;
use super::super::ask::hear_stranger;
use super::{Gathering, News};
use crate::config::StatefulSet;
use crate::decide::{DataDir, Heard, Peer, SetWants, Wants};
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
            // What comes with the end of the look is not heard, and the API server would be blamed.
            let early = observer.config.timeout / 8;
            let deadline = deadline.checked_sub(early).unwrap_or(deadline);
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
        let before = known.as_ref().map(|(_, before)| before);
        let several =
            others > 0 || matches!(answer.wants, SetWants::Replicas { replicas: 2.., .. });
        if answer.deletes && !before.is_some_and(|before| before.deletes) {
            log::warn!(
                "StatefulSet {} deletes the claims of pods that it does not want (whenScaled: Delete): scaled to 0, \
                 all data is gone; set Retain",
                set.name
            );
        }
        if answer.in_order && several && !before.is_some_and(|before| before.in_order) {
            log::warn!(
                "StatefulSet {} makes its pods in order (podManagementPolicy: OrderedReady): where a readiness probe holds \
                 this one back, the others are not made, and no cluster is founded; delete the set with \
                 --cascade=orphan, and make it again with podManagementPolicy: Parallel",
                set.name
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
    // A name that does not resolve is no sign that nobody is there; where no API server is asked it is all there is.
    let known = addresses(&set.looked_up(), deadline);
    let silent = *wants == SetWants::NotAsked && known.as_ref().is_none_or(Vec::is_empty);
    let Some(mut unnamed) = known.filter(|_| !silent) else {
        return vec![Peer {
            name: set.domain.clone(),
            initial: false,
            heard: Heard::Silent("the addresses of the headless service are not known".into()),
        }];
    };
    let named = config
        .policy
        .initial
        .iter()
        .map(|(name, _)| name.to_string());
    let named = named.chain([config.policy.name.clone()]);
    let named = named.chain(beyond(set, wants).map(|ordinal| set.member(ordinal)));
    let named: BTreeSet<String> = named.map(|name| format!("{name}.{}", set.domain)).collect();
    let named: Vec<IpAddr> = (named.iter())
        .flat_map(|host| addresses(host, deadline).unwrap_or_default())
        .collect();
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

/// Each address once. A name that does not resolve has none; of one that is not answered in time nothing is known.
fn addresses(host: &str, deadline: Instant) -> Option<Vec<IpAddr>> {
    let name = host.to_string();
    let resolve = move || {
        let found = (name.as_str(), 0).to_socket_addrs();
        found.map(Iterator::collect::<Vec<_>>).unwrap_or_default()
    };
    let left = deadline.saturating_duration_since(Instant::now());
    let found = Work::begin(resolve).ok()?.wait(left).ok()?;
    let mut all = Vec::new();
    for address in found.iter().map(SocketAddr::ip) {
        if !all.contains(&address) {
            all.push(address);
        }
    }
    Some(all)
}
