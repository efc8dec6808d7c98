//! The entrypoint in the modelled world: what it sees, what the real `decide` makes of it, and what
//! its steps do. Between the look and the step anything may happen.

use etcd_rejoin::decide::{
    Begin, DataDir, Decision, Heard, Holds, Identity, JoinNote, Observation, Peer, Policy, Quorate,
    Start, Step, Trial,
};
use etcd_rejoin::membership::{ClusterId, InitialCluster, Member, MemberId, quorum};

use crate::world::{
    ALL_WRITES, Act, Disk, Entry, FOUNDED, GROWN, Id, Join, Log, Process, Slot, World, broken, one,
};

/// Where the notes live, and how long. Only the first is the design.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notes {
    /// etcd removes them when it creates its WAL; a kill does not.
    AsDesigned,
    /// They lie elsewhere, and outlive the WAL and its disk.
    OutliveWal,
    /// The founding promise is kept in memory.
    PromiseInMemory,
    /// The entrypoint removes them itself before it hands over.
    ConsumedBeforeExec,
}

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum How {
    /// Done by ourselves, or failed without any effect.
    Alone,
    /// Committed by these slots.
    By(u8),
    /// Appended at the leader; the client sees a timeout.
    TimedOut,
    /// `existing`, with the list of this peer.
    ListOf(u8),
}

/// What one other entrypoint or etcd answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Answer {
    Silent,
    Etcd(Log),
    Entrypoint(Holding),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Holding {
    Empty,
    Promised,
    Own { grown: bool },
    Damaged,
    SetAside,
}

/// One look, compact: equal looks lead to equal decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Look<const N: usize> {
    at: u8,
    disk: Disk,
    nth: u8,
    grown: bool,
    join: Join,
    promise: bool,
    given_up: bool,
    set_aside: bool,
    added_learner: bool,
    stalled: bool,
    behind: bool,
    answers: [Answer; N],
    quorate: Option<Log>,
}

impl<const N: usize> World<N> {
    pub fn look(&self, at: usize, behind: bool) -> Look<N> {
        let slot = &self.slots[at];
        let answers = std::array::from_fn(|peer| {
            let there = &self.slots[peer];
            if peer == at || self.is_cut(at, peer) {
                Answer::Silent
            } else if there.is_etcd() {
                Answer::Etcd(there.applied & !ALL_WRITES)
            } else if there.is_entrypoint() {
                Answer::Entrypoint(holding(there))
            } else {
                Answer::Silent
            }
        });
        let quorate = (self.peers_in_reach(at)).find_map(|peer| {
            let leader =
                (0..N).find(|l| self.is_quorate(*l) && (*l == peer || self.connected(peer, *l)))?;
            // A learner refuses linearizable reads.
            let list = self.slots[leader].applied;
            (Self::voters(list) & one(self.id(peer)) != 0).then_some(list & !ALL_WRITES)
        });
        Look {
            at: at as u8,
            disk: slot.disk,
            nth: slot.nth,
            grown: slot.disk != Disk::Empty && slot.applied & GROWN != 0,
            join: slot.join,
            promise: slot.promise,
            given_up: slot.given_up,
            set_aside: slot.set_aside,
            added_learner: slot.added_learner,
            stalled: slot.stalled,
            behind,
            answers,
            quorate,
        }
    }

    /// How the step that was decided can go now.
    pub fn outcomes(&self, at: usize, act: Act) -> Vec<How> {
        let change = match act {
            Act::Add { .. } => self.change(at, act),
            Act::Remove(_) => self.change(at, act),
            Act::StartExisting { nth, .. } => {
                let id = Id {
                    slot: at as u8,
                    nth,
                };
                // Hand over only with a list that still shows our entry.
                let lists: Vec<How> = (self.peers_in_reach(at))
                    .filter(|peer| Self::listed(self.slots[*peer].applied, id))
                    .map(|peer| How::ListOf(peer as u8))
                    .collect();
                return if lists.is_empty() {
                    vec![How::Alone]
                } else {
                    lists
                };
            }
            Act::StartWithData { .. }
            | Act::StartNew { .. }
            | Act::NoteJoin(_)
            | Act::Quarantine
            | Act::GiveUp
            | Act::Promise => return vec![How::Alone],
        };
        let Some((leader, id, entry)) = change else {
            return vec![How::Alone];
        };
        let mut outcomes = Vec::new();
        let quorate = self.is_quorate(leader);
        let allowed = self.allows_change(leader, id, entry) && self.pending == 0;
        if quorate && allowed {
            outcomes.extend(self.commits(leader).into_iter().map(How::By));
        }
        if allowed && self.left.pend > 0 {
            outcomes.push(How::TimedOut);
        }
        if outcomes.is_empty() {
            outcomes.push(How::Alone);
        }
        outcomes
    }

    fn change(&self, at: usize, act: Act) -> Option<(usize, Id, Entry)> {
        let leader = self.leader_for_client(at)?;
        match act {
            Act::Add { learner: false } => Some((leader, self.next_id(at)?, Entry::Add)),
            Act::Add { learner: true } => Some((leader, self.next_id(at)?, Entry::AddLearner)),
            Act::Remove(id) => Some((leader, id, Entry::Remove)),
            _ => None,
        }
    }

    /// Performs the step that was decided.
    pub fn act(&mut self, at: usize, act: Act, how: How, notes: Notes) {
        let slot = &mut self.slots[at];
        slot.process = Process::Looking { behind: false };
        match (act, how) {
            (Act::StartWithData { trial, promote }, _) => {
                slot.process = Process::Etcd { trial, promote };
            }
            (Act::StartNew { trial }, _) => {
                if self.is_already_bootstrapped(at) {
                    return;
                }
                let slot = self.create_wal(at, 0, notes);
                slot.log = FOUNDED;
                slot.applied = FOUNDED;
                slot.term = 1;
                slot.process = Process::Etcd {
                    trial,
                    promote: false,
                };
            }
            (
                Act::StartExisting {
                    nth,
                    trial,
                    promote,
                },
                How::ListOf(peer),
            ) => {
                let list = self.slots[usize::from(peer)].applied;
                let slot = self.create_wal(at, nth, notes);
                slot.applied = list;
                slot.fresh = true;
                slot.process = Process::Etcd { trial, promote };
            }
            (Act::StartExisting { .. }, _) => {}
            (Act::NoteJoin(None), _) => {
                slot.join = Join::Unnamed;
                slot.promise = false;
                slot.added_learner = false;
            }
            (Act::NoteJoin(Some(nth)), _) => {
                slot.join = Join::Named(nth);
                slot.promise = false;
                // The list that shows the entry shows what it was added as.
                let id = Id {
                    slot: at as u8,
                    nth,
                };
                slot.added_learner = nth > 0 && Self::learner(self.committed, id);
            }
            (Act::Promise, _) => slot.promise = true,
            (Act::GiveUp, _) => slot.given_up = true,
            (Act::Quarantine, _) => {
                let writes = slot.writes();
                self.lose(at);
                let slot = &mut self.slots[at];
                slot.clear_disk();
                slot.set_aside = true;
                slot.aside = writes as u8;
            }
            (Act::Add { .. } | Act::Remove(_), how) => {
                if let Some((leader, id, entry)) = self.change(at, act) {
                    let entry = Self::entry(id, entry);
                    match how {
                        How::By(followers) => {
                            let before = self.margin(leader);
                            self.commit(leader, followers, entry);
                            if self.margin(leader) < before {
                                self.broken |= broken::MARGIN;
                            }
                        }
                        How::TimedOut => {
                            self.left.pend -= 1;
                            self.pending = entry;
                            self.pending_at = leader as u8;
                        }
                        How::Alone | How::ListOf(_) => {}
                    }
                } else if matches!(act, Act::Add { .. }) && self.next_id(at).is_none() {
                    self.out_of_ids = true;
                }
            }
        }
    }

    fn create_wal(&mut self, at: usize, nth: u8, notes: Notes) -> &mut Slot {
        let slot = &mut self.slots[at];
        let (join, promise, added_learner) = (slot.join, slot.promise, slot.added_learner);
        slot.clear_disk();
        slot.disk = Disk::Data;
        slot.added_learner = added_learner;
        if notes == Notes::OutliveWal {
            slot.join = join;
            slot.promise = promise;
        }
        slot.nth = nth;
        self.check_amnesia(at);
        &mut self.slots[at]
    }

    /// Healthy voters minus quorum.
    fn margin(&self, leader: usize) -> i32 {
        let voters = Self::voters(self.slots[leader].applied);
        let healthy = (0..N)
            .filter(|slot| voters & one(self.id(*slot)) != 0)
            .filter(|slot| *slot == leader || self.connected(*slot, leader))
            .count();
        healthy as i32 - quorum(voters.count_ones() as usize) as i32
    }
}

fn holding(slot: &Slot) -> Holding {
    match slot.disk {
        Disk::Data => Holding::Own {
            grown: slot.applied & GROWN != 0,
        },
        Disk::Damaged => Holding::Damaged,
        Disk::Empty if slot.set_aside => Holding::SetAside,
        Disk::Empty if slot.promise => Holding::Promised,
        Disk::Empty => Holding::Empty,
    }
}

/// `decide`, or a mutant of it.
pub type Decide = fn(&Policy, &Observation) -> Decision;

impl<const N: usize> Look<N> {
    pub fn decide(&self, policy: &Policy, decide: Decide) -> Option<Act> {
        match decide(policy, &self.observation()) {
            Decision::Start(start, _) => Some(start_act(&start)),
            Decision::Do(step, _) => Some(match step {
                Step::NoteJoin(id) => Act::NoteJoin(id.map(|id| id_of(id).nth)),
                Step::AddMember { learner } => Act::Add { learner },
                Step::RemoveMember(id) => Act::Remove(id_of(id)),
                Step::Quarantine => Act::Quarantine,
                Step::GiveUp => Act::GiveUp,
                Step::Promise => Act::Promise,
                Step::UpdatePeerUrls(_) | Step::SetAsideLeftovers | Step::DeleteSetAside { .. } => {
                    panic!("not in this world: {step:?}")
                }
            }),
            // Refused is not for ever: the container is started again, and the world has moved on.
            Decision::Wait(_) | Decision::Refuse(_) => None,
        }
    }

    fn observation(&self) -> Observation {
        let identity = Identity {
            member: member_id(Id {
                slot: self.at,
                nth: self.nth,
            }),
            cluster: cluster_id(self.grown),
        };
        let own = |nth| member_id(Id { slot: self.at, nth });
        Observation {
            data: match self.disk {
                Disk::Empty => DataDir::Empty,
                Disk::Data => DataDir::Own(identity),
                Disk::Damaged => DataDir::Damaged {
                    head: Some(identity),
                },
            },
            join_note: match self.join {
                Join::None => JoinNote::None,
                Join::Unnamed => JoinNote::Unnamed,
                Join::Named(nth) => JoinNote::Named(own(nth)),
            },
            promise: self.promise,
            given_up: self.given_up,
            set_aside: usize::from(self.set_aside),
            stalled: self.stalled,
            added_learner: match (self.added_learner, self.disk, self.join) {
                (false, _, _) => None,
                (true, Disk::Empty, Join::Named(nth)) => Some(own(nth)),
                (true, Disk::Empty, Join::None | Join::Unnamed) => None,
                (true, Disk::Data | Disk::Damaged, _) => Some(own(self.nth)),
            },
            trial: match self.behind {
                true => Trial::Behind,
                false => Trial::None,
            },
            peers: (0..N)
                .filter(|peer| *peer != usize::from(self.at))
                .map(|peer| Peer {
                    name: name(peer),
                    initial: true,
                    heard: heard::<N>(self.answers[peer]),
                })
                .collect(),
            quorate: self.quorate.map(|list| Quorate {
                cluster: cluster_id(list & GROWN != 0),
                members: members::<N>(list),
            }),
            ..Observation::default()
        }
    }
}

fn start_act(start: &Start) -> Act {
    let (trial, promote) = (start.trial, start.promote);
    match &start.begin {
        Begin::WithData => Act::StartWithData { trial, promote },
        Begin::New => Act::StartNew { trial },
        Begin::Existing { id, .. } => Act::StartExisting {
            nth: id_of(*id).nth,
            trial,
            promote,
        },
    }
}

fn heard<const N: usize>(answer: Answer) -> Heard {
    let holds = match answer {
        Answer::Silent => return Heard::Silent(String::new()),
        Answer::Etcd(view) => {
            return Heard::Etcd {
                cluster: cluster_id(view & GROWN != 0),
                members: members::<N>(view),
            };
        }
        Answer::Entrypoint(Holding::Empty) => Holds::Empty,
        Answer::Entrypoint(Holding::Promised) => Holds::Promised,
        Answer::Entrypoint(Holding::Own { grown }) => Holds::Own(cluster_id(grown)),
        Answer::Entrypoint(Holding::Damaged) => Holds::Damaged,
        Answer::Entrypoint(Holding::SetAside) => Holds::SetAside,
    };
    Heard::Entrypoint {
        holds,
        differs: None,
    }
}

/// The member list that this set of entries makes.
fn members<const N: usize>(list: Log) -> Vec<Member> {
    World::<N>::ids()
        .filter(|id| World::<N>::listed(list, *id))
        .map(|id| {
            let published = World::<N>::has(list, id, Entry::Publish);
            let slot = usize::from(id.slot);
            Member {
                id: member_id(id),
                name: match published || id.nth == 0 {
                    true => name(slot),
                    false => String::new(),
                },
                peer_urls: vec![url(slot)],
                client_urls: match published {
                    true => vec![format!("http://{}:2379", name(slot))],
                    false => Vec::new(),
                },
                learner: World::<N>::learner(list, id),
            }
        })
        .collect()
}

/// The same for every member but for its name.
pub fn policy<const N: usize>(at: usize, base: &Policy) -> Policy {
    let names: Vec<String> = (0..N).map(|n| format!("{}={}", name(n), url(n))).collect();
    Policy {
        name: name(at),
        peer_urls: vec![url(at)],
        initial: InitialCluster::parse(&names.join(",")).unwrap(),
        static_id: member_id(Id {
            slot: at as u8,
            nth: 0,
        }),
        static_cluster: cluster_id(false),
        ..base.clone()
    }
}

fn name(slot: usize) -> String {
    format!("n{}", slot + 1)
}

fn url(slot: usize) -> String {
    format!("http://n{}:2380", slot + 1)
}

fn member_id(id: Id) -> MemberId {
    MemberId(u64::from(id.slot) * 16 + u64::from(id.nth) + 1)
}

fn id_of(id: MemberId) -> Id {
    Id {
        slot: ((id.0 - 1) / 16) as u8,
        nth: ((id.0 - 1) % 16) as u8,
    }
}

fn cluster_id(grown: bool) -> ClusterId {
    ClusterId(if grown { 2 } else { 1 })
}
