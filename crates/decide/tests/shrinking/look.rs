//! What an entrypoint and a pre-stop see of this world, as the real `Observation`.

use std::time::Duration;

use etcd_rejoin_decide::membership::{ClusterId, InitialCluster, Member};
use etcd_rejoin_decide::{
    DataDir, Decision, Heard, Holds, Identity, JoinsOnly, Knock, Observation, Peer, Policy,
    Progress, Quorate, SetWants, Steady, Wants,
};

use crate::world::{Container, Entry, Id, Pod, World};

/// `decide`, or a mutant of it.
pub type Decide = fn(&Policy, &Observation) -> Decision;

const CLUSTER: ClusterId = ClusterId(1);

fn name(at: usize) -> String {
    format!("etcd-{at}")
}

fn url(at: usize) -> String {
    format!("http://etcd-{at}.etcd:2380")
}

fn founder(at: usize) -> Id {
    Id {
        at: at as u8,
        nth: 0,
    }
}

impl<const N: usize> World<N> {
    /// What the pod at this ordinal was given.
    pub fn policy(&self, at: usize, hook: bool) -> Policy {
        let named: Vec<String> = (0..self.initial)
            .map(|n| format!("{}={}", name(n), url(n)))
            .collect();
        Policy {
            wants: if hook { Wants::Leave } else { Wants::Start },
            if_scaled_down: hook,
            name: name(at),
            peer_urls: vec![url(at)],
            initial: InitialCluster::parse(&named.join(",")).unwrap(),
            static_id: founder(at).member(),
            static_others: (0..self.initial)
                .filter(|n| *n != at)
                .map(|n| founder(n).member())
                .collect(),
            static_cluster: CLUSTER,
            joins_only: (at >= self.initial).then_some(JoinsOnly::Outside),
            ordinal: Some(at as u32),
            ..Policy::default()
        }
    }

    fn members(&self) -> Vec<Member> {
        self.list.iter().map(member).collect()
    }

    fn heard(&self, at: usize) -> Heard {
        match self.pods[at].container() {
            None => Heard::Silent(String::new()),
            // Who was removed, or was never told, ends: it answers nobody.
            Some(Container::Etcd) if !self.serves(at) => Heard::Silent(String::new()),
            Some(Container::Etcd) => Heard::Etcd {
                cluster: CLUSTER,
                members: self.members(),
            },
            Some(Container::Entrypoint(_)) => {
                let claim = &self.claims[at];
                Heard::Entrypoint {
                    holds: match claim.data {
                        Some(_) => Holds::Own(CLUSTER),
                        None if claim.set_aside => Holds::SetAside,
                        None if !self.knocks(at).is_empty() => Holds::Called,
                        None if claim.promise => Holds::Promised,
                        None => Holds::Empty,
                    },
                    differs: None,
                }
            }
        }
    }

    /// Each etcd asks for every member that it lists. Those of a first start know each other.
    fn knocks(&self, at: usize) -> Vec<Knock> {
        let lists_us = self.list.iter().any(|entry| usize::from(entry.id.at) == at);
        let calls = |other: &usize| *other != at && lists_us && self.serves(*other);
        (0..N)
            .filter(calls)
            .filter_map(|other| self.own_id(other))
            .filter(|id| id.nth != 0)
            .map(|id| Knock::Member {
                id: id.member(),
                cluster: CLUSTER,
                wants: None,
            })
            .collect()
    }

    pub fn look(&self, at: usize, hook: bool, deaf: bool, over: bool) -> Observation {
        let claim = &self.claims[at];
        let own = |nth| Id { at: at as u8, nth }.member();
        // The initial ones, those that the set wants, and whoever has an address.
        let asked = |other: &usize| {
            let wanted = !deaf && self.wants(*other);
            *other != at && (*other < self.initial || wanted || self.pods[*other] != Pod::Gone)
        };
        let peers: Vec<Peer> = (0..N)
            .filter(asked)
            .map(|other| Peer {
                name: name(other),
                initial: other < self.initial,
                heard: self.heard(other),
            })
            .collect();
        let voter = |other: usize| {
            let id = self.own_id(other);
            let votes = self.voters().any(|entry| Some(entry.id) == id);
            self.serves(other) && votes
        };
        // A pre-stop asks its own etcd too.
        let told = (0..N).any(|other| (asked(&other) || hook && other == at) && voter(other));
        let seen = Observation {
            data: match claim.data {
                None => DataDir::Empty,
                Some(nth) => DataDir::Own(Identity {
                    member: own(nth),
                    cluster: CLUSTER,
                }),
            },
            join_note: claim.join.map(own),
            promise: claim.promise,
            left: claim.left,
            left_scaled: claim.left,
            set_aside: usize::from(claim.set_aside),
            added_learner: claim
                .learner
                .then(|| claim.data.or(claim.join).map(own))
                .flatten(),
            peers,
            set: match deaf {
                true => SetWants::Unknown(String::new()),
                false => SetWants::Replicas {
                    start: 0,
                    replicas: self.replicas as u32,
                },
            },
            quorate: (told && self.is_quorate()).then(|| Quorate {
                cluster: CLUSTER,
                members: self.members(),
                reached: Some(Progress::default()),
                // Who leads costs clients time, and nothing else.
                leader: None,
                at: String::new(),
            }),
            knocks: self.knocks(at),
            ..Observation::default()
        };
        let memory = self.run(at, hook).map(|run| run.memory.clone());
        let now = match over {
            true => Duration::from_secs(10),
            false => Duration::ZERO,
        };
        Observation {
            listened: true,
            steady: Steady::HalfAMinute,
            ..memory.unwrap_or_default().complete(seen, now)
        }
    }
}

fn member(entry: &Entry) -> Member {
    let at = usize::from(entry.id.at);
    Member {
        id: entry.id.member(),
        name: match entry.started || entry.id.nth == 0 {
            true => name(at),
            false => String::new(),
        },
        peer_urls: vec![url(at)],
        client_urls: match entry.started {
            true => vec![format!("http://{}.etcd:2379", name(at))],
            false => Vec::new(),
        },
        learner: entry.learner,
    }
}
