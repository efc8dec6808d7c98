//! What an entrypoint sees of the modelled world, as `decide` gets it, and what its decision means there.

use std::time::Duration;

use etcd_rejoin_decide::membership::{ClusterId, InitialCluster, Member, MemberId};
use etcd_rejoin_decide::{
    Begin, DataDir, Decision, Heard, Holds, Identity, Kept, KeptLineage, KeptMarker, KeptMember,
    KeptOrder, KeptSnapshot, Knock, Nonce, Observation, OrderOutcome, Ordered, Peer, Policy,
    Progress, Quorate, Recover, SaidOfStore, Steady, Step, StoreSeen, StoreStep, TABLE,
};

use crate::world::{Act, Disk, Outcome, Process, Snapshot, World};

pub type Decide = fn(&Policy, &Observation) -> Decision;

/// What one look gets to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sees {
    /// Whom it does not hear.
    pub deaf: u8,
    pub store_silent: bool,
}

impl<const N: usize> World<N> {
    pub fn policy(&self, at: usize, recover: Recover) -> Policy {
        let founders = usize::from(self.founders);
        // Who came later has been told of all.
        let initial = if at < founders { founders } else { N };
        let names: Vec<String> = (0..initial)
            .map(|n| format!("{}={}", name(n), url(n)))
            .collect();
        let founding = self.store.marker.map_or(0, |(nonce, _)| nonce);
        Policy {
            name: name(at),
            peer_urls: vec![url(at)],
            initial: InitialCluster::parse(&names.join(",")).unwrap(),
            static_id: member_id(at, founding),
            static_others: (0..initial)
                .filter(|n| *n != at)
                .map(|n| member_id(n, founding))
                .collect(),
            static_cluster: cluster_id(founding),
            recover,
            ..Policy::default()
        }
    }

    /// A look. Who has data and does not wait says nothing before it is etcd.
    pub fn look(&self, at: usize, sees: Sees, recover: Recover) -> Observation {
        let slot = &self.slots[at];
        let heard: Vec<(usize, Heard)> = (0..N)
            .filter(|other| *other != at)
            .map(|other| match sees.deaf & (1 << other) != 0 {
                true => (other, Heard::Silent(String::new())),
                false => (other, self.answer(other)),
            })
            .collect();
        let entrypoint = |heard: &Heard| matches!(heard, Heard::Entrypoint { .. });
        let said = (heard.iter()).filter(|(_, heard)| entrypoint(heard));
        let said = said.map(|(other, _)| self.says(*other, recover)).collect();
        // Its own lineage's leader is what own data asks for; else the newest one.
        let runs = |cluster: &u8| {
            let voters = heard.iter().map(|(other, _)| *other);
            let mut heard = voters.filter(|other| sees.deaf & (1 << other) == 0);
            self.is_quorate(*cluster) && heard.any(|other| self.slots[other].runs(*cluster))
        };
        let quorate = (slot.cluster().filter(runs)).or_else(|| self.clusters().filter(runs).last());
        let knocks = heard.iter().filter_map(|(other, heard)| match heard {
            Heard::Etcd { cluster, members }
                if members.iter().any(|it| it.has_peer_url(&[url(at)])) =>
            {
                Some(Knock::Member {
                    id: member_id(*other, cluster.0 as u8),
                    cluster: *cluster,
                    wants: None,
                })
            }
            _ => None,
        });
        let seen = Observation {
            data: data(at, slot.disk),
            promise: slot.promise != 0,
            promise_nonce: (slot.promise != 0).then(|| promise_nonce(slot.promise)),
            order_note: slot.order_note.map(u64::from),
            restoring: (slot.restoring).map(|(number, nonce)| (u64::from(number), lineage(nonce))),
            set_aside: usize::from(slot.set_aside),
            knocks: knocks.collect(),
            peers: (heard.into_iter())
                .map(|(other, heard)| Peer {
                    name: name(other),
                    initial: other < usize::from(self.founders) || at >= usize::from(self.founders),
                    heard,
                })
                .collect(),
            quorate: quorate.map(|cluster| Quorate {
                cluster: cluster_id(cluster),
                members: self.members(cluster),
                reached: Some(Progress::default()),
                leader: None,
                at: String::new(),
            }),
            listened: true,
            said,
            store: Some(match sees.store_silent {
                true => StoreSeen::Silent(String::new()),
                false => StoreSeen::Read(self.kept()),
            }),
            ..Observation::default()
        };
        let seen = etcd_rejoin_decide::Memory::default().complete(seen, Duration::ZERO);
        // An election takes no time here.
        Observation {
            steady: Steady::HalfAMinute,
            ..seen
        }
    }

    fn answer(&self, at: usize) -> Heard {
        let slot = &self.slots[at];
        let holds = match (slot.process, slot.disk) {
            (Process::Down, _) => return Heard::Silent(String::new()),
            (Process::Etcd, Disk::Data { cluster, .. }) => {
                return Heard::Etcd {
                    cluster: cluster_id(cluster),
                    members: self.members(cluster),
                };
            }
            (_, Disk::Data { .. }) if slot.order_note.is_none() => {
                return Heard::Silent(String::new());
            }
            (_, Disk::Data { cluster, .. }) => Holds::Own(cluster_id(cluster)),
            (_, Disk::Damaged { .. }) => Holds::Damaged,
            (_, Disk::Empty) if slot.set_aside => Holds::SetAside,
            (_, Disk::Empty) if slot.promise != 0 => Holds::Promised,
            (_, Disk::Empty) => Holds::Empty,
        };
        Heard::Entrypoint {
            holds,
            differs: None,
        }
    }

    fn says(&self, at: usize, recover: Recover) -> SaidOfStore {
        let slot = &self.slots[at];
        SaidOfStore {
            name: name(at),
            recover,
            table: TABLE,
            marker: self.store.marker.map(|(nonce, _)| lineage(nonce)),
            promise: (slot.promise != 0).then(|| promise_nonce(slot.promise)),
            waits_for: slot.order_note.map(u64::from),
        }
    }

    fn members(&self, cluster: u8) -> Vec<Member> {
        let voters = self.voters[usize::from(cluster)];
        (0..N)
            .filter(|at| voters & (1 << at) != 0)
            .map(|at| Member {
                id: member_id(at, cluster),
                name: name(at),
                peer_urls: vec![url(at)],
                client_urls: vec![format!("http://{}:2379", name(at))],
                learner: false,
            })
            .collect()
    }

    fn kept(&self) -> Kept {
        let store = &self.store;
        let founding = store.marker.map(|(nonce, _)| KeptLineage {
            number: 1,
            nonce: lineage(nonce),
            parent: None,
            cluster: cluster_id(nonce),
            base: None,
        });
        let mut lineages: Vec<KeptLineage> = founding.into_iter().collect();
        for it in &store.lineages {
            lineages.push(KeptLineage {
                number: it.number.into(),
                nonce: lineage(it.nonce),
                parent: lineages.last().map(|older| older.nonce.clone()),
                cluster: cluster_id(it.nonce),
                base: it.base.map(snapshot_name),
            });
        }
        let snapshots = store.snapshots.iter().map(|it| KeptSnapshot {
            name: snapshot_name(*it),
            lineage: it.lineage.into(),
            revision: it.log.into(),
            bad: store.bad.contains(it),
        });
        let orders = store.order.iter().map(|it| KeptOrder {
            number: it.number.into(),
            what: match it.survivor {
                Some((survivor, destroyed)) => Ordered::Survivor {
                    name: name(survivor.into()),
                    destroyed: (0..N)
                        .filter(|at| destroyed & (1 << at) != 0)
                        .map(name)
                        .collect(),
                },
                None => Ordered::Snapshot {
                    name: snapshot_name(it.snapshot),
                    verified: !store.bad.contains(&it.snapshot),
                },
            },
            outcome: match it.outcome {
                Outcome::Open => None,
                Outcome::Begun => Some(OrderOutcome::Begun),
                Outcome::Cancelled => Some(OrderOutcome::Cancelled),
            },
        });
        let members = (0..N).filter(|at| store.known & (1 << at) != 0);
        Kept {
            cannot_decide: false,
            marker: store.marker.map(|(nonce, promises)| KeptMarker {
                nonce: lineage(nonce),
                promises: (promises.iter().filter(|it| **it != 0))
                    .map(|it| promise_nonce(*it))
                    .collect(),
            }),
            lineages,
            snapshots: snapshots.collect(),
            orders: orders.collect(),
            members: members
                .map(|at| KeptMember {
                    name: name(at),
                    peer_urls: vec![url(at)],
                    voter: true,
                })
                .collect(),
        }
    }
}

/// What a decision does here; nothing where it waits or refuses.
pub fn act(decision: &Decision, seen: &Observation) -> Option<Act> {
    let runs = seen.quorate.as_ref().map(|quorate| quorate.cluster.0 as u8);
    let step = match decision {
        Decision::Start(start, _) => {
            return Some(match start.begin {
                Begin::WithData => Act::Start,
                Begin::New => Act::Found,
                Begin::Existing { .. } => unreachable!("rejoining is one step"),
            });
        }
        Decision::Do(step, _) => step,
        Decision::Wait(_) | Decision::Refuse(_) | Decision::Done(_) => return None,
    };
    let number = |number: &u64| *number as u8;
    Some(match step {
        Step::RemoveMember(_) | Step::AddMember { .. } | Step::GiveUp => {
            Act::Rejoin(runs.expect("a quorate cluster"))
        }
        Step::Promise => Act::Promise,
        Step::Quarantine => Act::Quarantine,
        Step::Store(step) => match step {
            StoreStep::Mark { promises } => Act::Mark {
                promises: std::array::from_fn(|at| {
                    promises.get(at).map_or(0, |Nonce(text)| parse(text))
                }),
            },
            StoreStep::RecordUrl => Act::Record,
            StoreStep::BeginLineage { number: n, base } => Act::BeginLineage {
                number: number(n),
                base: base.as_deref().map(snapshot),
            },
            StoreStep::Continue { number: n, hold } => Act::Continue {
                number: number(n),
                hold: *hold,
            },
            StoreStep::Restore {
                number: n,
                base,
                hold,
            } => Act::Restore {
                number: number(n),
                base: snapshot(base),
                hold: *hold,
            },
            StoreStep::NoteOrder(n) => Act::NoteOrder(number(n)),
            StoreStep::ForgetOrder(_) => Act::ForgetOrder,
            StoreStep::BeginOrder(n) => Act::BeginOrder(number(n)),
            StoreStep::SetAsideFor(_) => Act::SetAside,
        },
        other => unreachable!("{other:?} is the other model's"),
    })
}

fn data(at: usize, disk: Disk) -> DataDir {
    let identity = |cluster| Identity {
        member: member_id(at, cluster),
        cluster: cluster_id(cluster),
    };
    match disk {
        Disk::Empty => DataDir::Empty,
        Disk::Data { cluster, .. } => DataDir::Own(identity(cluster)),
        Disk::Damaged { cluster } => DataDir::Damaged {
            head: Some(identity(cluster)),
        },
    }
}

pub fn name(at: usize) -> String {
    format!("n{}", at + 1)
}

fn url(at: usize) -> String {
    format!("http://n{}:2380", at + 1)
}

fn member_id(at: usize, cluster: u8) -> MemberId {
    MemberId(u64::from(cluster) * 16 + at as u64 + 1)
}

fn cluster_id(nonce: u8) -> ClusterId {
    ClusterId(u64::from(nonce))
}

fn lineage(nonce: u8) -> Nonce {
    Nonce(format!("l{nonce}"))
}

fn promise_nonce(promise: u8) -> Nonce {
    Nonce(format!("p{promise}"))
}

fn parse(text: &str) -> u8 {
    text[1..].parse().unwrap()
}

fn snapshot_name(it: Snapshot) -> String {
    format!("{}-{}", it.lineage, it.log)
}

fn snapshot(name: &str) -> Snapshot {
    let (lineage, log) = name.split_once('-').unwrap();
    Snapshot {
        lineage: lineage.parse().unwrap(),
        log: log.parse().unwrap(),
    }
}
