//! What an entrypoint sees of the modelled world, as the real `Observation`, and what the real
//! `decide` makes of it.

use std::time::Duration;

use etcd_rejoin_decide::membership::{ClusterId, InitialCluster, Member, MemberId};
use etcd_rejoin_decide::{
    Begin, DataDir, Decision, Heard, Holds, Identity, JoinsOnly, Knock, ListedHere, Observation,
    Peer, Policy, Progress, Quorate, SetWants, Start, Steady, Step,
};

use crate::remembered::Remembered;
use crate::world::{ALL_WRITES, Act, Disk, Entry, GROWN, Id, Log, Slot, World, one};

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
    Called,
}

/// One look, compact: equal looks lead to equal decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Look<const N: usize> {
    at: u8,
    disk: Disk,
    /// Damage leaves the head of the WAL readable.
    pub head_reads: bool,
    nth: u8,
    grown: bool,
    /// How many entries its log knows as committed.
    committed: u8,
    join: Option<u8>,
    memory: Remembered,
    promise: bool,
    given_up: bool,
    /// Its database lists it as removed.
    removed: bool,
    set_aside: bool,
    added_learner: bool,
    stalled: bool,
    answers: [Answer; N],
    /// The members as committed, and how many entries are.
    quorate: Option<(Log, u8)>,
    /// The members whose etcd asks for us, and whether what they send can be read.
    knocks: [Option<Id>; N],
    unreadable: bool,
    /// It asks those too whom the initial cluster does not name.
    set: bool,
}

/// How knocks are in a run.
#[derive(Clone, Copy, Debug)]
pub struct Knocks {
    /// Which of them count.
    pub heard: Hears,
    /// None can be read: the cluster has another CA, or TLS where we speak plain text.
    pub unreadable: bool,
}

/// Which knocks of a running cluster count. Only the first is the design.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hears {
    /// All of them.
    EveryKnock,
    /// Those of a member whose initial cluster names nobody else.
    KnocksOfTheLone,
    /// Those that can be read.
    ReadableKnocks,
    /// None.
    NoKnock,
}

impl<const N: usize> World<N> {
    /// One look. Of the peers in `torn` it has what they said earlier, when they were asked.
    pub fn look(&self, at: usize, torn: u8, knocks: Knocks, set: bool) -> Look<N> {
        let slot = &self.slots[at];
        let founders = usize::from(self.founders);
        // The initial cluster of a founder names nobody else.
        let asks = |peer: usize| peer < founders || at >= founders || set;
        let answers = std::array::from_fn(|peer| {
            let there = &self.slots[peer];
            if let (true, Some(holding)) = (torn & (1 << peer) != 0, slot.heard_of(peer)) {
                Answer::Entrypoint(holding)
            } else if peer == at || !asks(peer) || self.is_cut(at, peer) {
                Answer::Silent
            } else if there.is_etcd() {
                Answer::Etcd(there.applied & !ALL_WRITES)
            } else if there.is_entrypoint() {
                Answer::Entrypoint(self.holding(peer, knocks))
            } else {
                Answer::Silent
            }
        });
        let quorate = (self.peers_in_reach(at))
            .filter(|peer| asks(*peer))
            .find_map(|peer| {
                let leader = (0..N)
                    .find(|l| self.is_quorate(*l) && (*l == peer || self.connected(peer, *l)))?;
                // A learner refuses linearizable reads.
                let list = self.slots[leader].applied;
                (Self::voters(list) & one(self.id(peer)) != 0)
                    .then_some((list & !ALL_WRITES, entries(list)))
            });
        Look {
            at: at as u8,
            disk: slot.disk,
            head_reads: true,
            nth: slot.nth,
            grown: slot.disk != Disk::Empty && slot.applied & GROWN != 0,
            // What a fresh one shows is the list of a peer.
            committed: match slot.disk != Disk::Empty && !slot.fresh {
                true => entries(slot.applied),
                false => 0,
            },
            join: slot.join,
            memory: slot.memory,
            promise: slot.promise,
            given_up: slot.given_up,
            removed: slot.disk == Disk::Data
                && !slot.fresh
                && Self::has(slot.applied, self.id(at), Entry::Remove),
            set_aside: slot.set_aside,
            added_learner: slot.added_learner,
            stalled: slot.stalled,
            answers,
            quorate,
            knocks: std::array::from_fn(|peer| self.knock(at, peer, knocks)),
            unreadable: knocks.unreadable,
            set,
        }
    }

    /// Each etcd asks for every member that it lists, ten times a second.
    fn knock(&self, at: usize, peer: usize, knocks: Knocks) -> Option<Id> {
        let heard = match knocks.heard {
            Hears::EveryKnock => true,
            Hears::KnocksOfTheLone => self.founders == 1,
            Hears::ReadableKnocks => !knocks.unreadable,
            Hears::NoKnock => false,
        };
        let lists_us =
            |id: Id| usize::from(id.slot) == at && Self::listed(self.slots[peer].applied, id);
        let knocks = heard
            && self.slots[at].disk == Disk::Empty
            && (self.peers_in_reach(at)).any(|reached| reached == peer)
            && Self::ids().any(lists_us);
        knocks.then(|| self.id(peer))
    }

    /// Asks one other entrypoint; what it says is kept until the look is over.
    pub fn hear(&mut self, at: usize, peer: usize, knocks: Knocks) {
        if self.slots[peer].is_entrypoint() && !self.is_cut(at, peer) {
            let said = HOLDINGS
                .iter()
                .position(|said| *said == self.holding(peer, knocks));
            let said = said.map_or(0, |said| said as u16 + 1);
            let heard = &mut self.slots[at].heard;
            *heard = *heard & !(0b111 << (3 * peer)) | said << (3 * peer);
        }
    }
}

const HOLDINGS: [Holding; 7] = [
    Holding::Empty,
    Holding::Promised,
    Holding::Own { grown: false },
    Holding::Own { grown: true },
    Holding::Damaged,
    Holding::SetAside,
    Holding::Called,
];

impl Slot {
    fn heard_of(&self, peer: usize) -> Option<Holding> {
        let said = usize::from(self.heard >> (3 * peer) & 0b111);
        said.checked_sub(1).map(|said| HOLDINGS[said])
    }
}

impl<const N: usize> World<N> {
    fn holding(&self, at: usize, knocks: Knocks) -> Holding {
        let slot = &self.slots[at];
        match slot.disk {
            Disk::Data => Holding::Own {
                grown: slot.applied & GROWN != 0,
            },
            Disk::Damaged => Holding::Damaged,
            Disk::Empty if slot.set_aside => Holding::SetAside,
            Disk::Empty if self.is_called(at, knocks) => Holding::Called,
            Disk::Empty if slot.promise => Holding::Promised,
            Disk::Empty => Holding::Empty,
        }
    }

    /// Whether somebody else than a founder asks for it.
    fn is_called(&self, at: usize, knocks: Knocks) -> bool {
        let founder = |id: Id| {
            let view = self.slots[usize::from(id.slot)].applied;
            id.nth == 0 && id.slot < self.founders && view & GROWN == 0
        };
        (0..N).any(|peer| self.knock(at, peer, knocks).is_some_and(|id| !founder(id)))
    }
}

/// What comes of a look.
#[derive(Clone, Copy, Debug)]
pub enum Decided {
    Now(Act),
    Wait,
    /// Refused is not for ever: the container is started again, and the world has moved on.
    End,
}

/// `decide`, or a mutant of it.
pub type Decide = fn(&Policy, &Observation) -> Decision;

impl<const N: usize> Look<N> {
    pub fn decide(&self, policy: &Policy, decide: Decide) -> Decided {
        match decide(policy, &self.observation(policy)) {
            Decision::Start(start, _) => Decided::Now(start_act(&start)),
            Decision::Do(step, _) => Decided::Now(match step {
                // That a commit index is written late is not in this world.
                Step::NoteJoin(id) | Step::SettleJoin(id) => Act::NoteJoin(id_of(id).nth),
                Step::AddMember { learner } => Act::Add { learner },
                Step::RemoveMember(id) => Act::Remove(id_of(id)),
                Step::Quarantine => Act::Quarantine,
                Step::GiveUp => Act::GiveUp,
                Step::Promise => Act::Promise,
                Step::UpdatePeerUrls(_)
                | Step::SetAsideLeftovers
                | Step::DeleteSetAside { .. }
                | Step::PromoteMember(_)
                | Step::ForgetLearner
                | Step::NoteLeft
                | Step::ForgetLeft
                | Step::MoveLeadership(_)
                | Step::Store(_) => {
                    panic!("not in this world: {step:?}")
                }
            }),
            Decision::Wait(_) => Decided::Wait,
            Decision::Refuse(_) | Decision::Done(_) => Decided::End,
        }
    }

    fn observation(&self, policy: &Policy) -> Observation {
        let identity = Identity {
            member: member_id(Id {
                slot: self.at,
                nth: self.nth,
            }),
            cluster: cluster_id(self.grown),
        };
        let own = |nth| member_id(Id { slot: self.at, nth });
        let seen = Observation {
            data: match self.disk {
                Disk::Empty => DataDir::Empty,
                Disk::Data => DataDir::Own(identity),
                Disk::Damaged => DataDir::Damaged {
                    head: self.head_reads.then_some(identity),
                },
            },
            join_note: self.join.map(own),
            promise: self.promise,
            given_up: self.given_up,
            listed_here: match self.removed {
                true => ListedHere::Removed,
                false => ListedHere::Unknown,
            },
            set_aside: usize::from(self.set_aside),
            stalled: self.stalled,
            added_learner: match (self.added_learner, self.disk, self.join) {
                (false, _, _) => None,
                (true, Disk::Empty, join) => join.map(own),
                (true, Disk::Data | Disk::Damaged, _) => Some(own(self.nth)),
            },
            peers: (0..if self.set { N } else { policy.initial.len() })
                .filter(|peer| *peer != usize::from(self.at))
                .map(|peer| Peer {
                    name: name(peer),
                    initial: peer < policy.initial.len(),
                    heard: heard::<N>(self.answers[peer]),
                })
                .collect(),
            set: match self.set {
                true => SetWants::Replicas {
                    start: 0,
                    replicas: N as u32,
                },
                false => SetWants::NotAsked,
            },
            committed: progress(self.committed),
            quorate: self.quorate.map(|(list, reached)| Quorate {
                cluster: cluster_id(list & GROWN != 0),
                members: members::<N>(list),
                reached: Some(progress(reached)),
                leader: None,
                at: String::new(),
            }),
            knocks: self.knocks(),
            ..Observation::default()
        };
        Observation {
            // Whoever founds has all the time that it needs: an etcd that lists it has knocked by then.
            listened: true,
            // Nor does anybody read its log here.
            steady: Steady::HalfAMinute,
            ..self.memory.memory().complete(seen, Duration::ZERO)
        }
    }
}

impl<const N: usize> Look<N> {
    fn knocks(&self) -> Vec<Knock> {
        let knocks = self.knocks.iter().flatten();
        let cluster = |id: &Id| match self.answers[usize::from(id.slot)] {
            Answer::Etcd(view) => cluster_id(view & GROWN != 0),
            Answer::Silent | Answer::Entrypoint(_) => cluster_id(false),
        };
        let knocks = knocks.map(|id| match self.unreadable {
            true => Knock::Unreadable(String::new()),
            false => Knock::Member {
                id: member_id(*id),
                cluster: cluster(id),
                wants: None,
            },
        });
        knocks.collect()
    }
}

fn entries(log: Log) -> u8 {
    log.count_ones() as u8
}

/// That a term tells something, too, is not in this world: its terms are of all clusters in one order.
fn progress(entries: u8) -> Progress {
    Progress {
        index: u64::from(entries),
        term: 0,
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
        Answer::Entrypoint(Holding::Called) => Holds::Called,
    };
    Heard::Entrypoint {
        holds,
        differs: None,
    }
}

/// The member list that this set of entries makes.
pub fn members<const N: usize>(list: Log) -> Vec<Member> {
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

fn founder(slot: usize) -> MemberId {
    member_id(Id {
        slot: slot as u8,
        nth: 0,
    })
}

/// The same for every member but for its name.
pub fn policy<const N: usize>(at: usize, founders: usize, base: &Policy) -> Policy {
    // Who came later has been told of all, and joins only.
    let initial = if at < founders { founders } else { N };
    let names: Vec<String> = (0..initial)
        .map(|n| format!("{}={}", name(n), url(n)))
        .collect();
    Policy {
        name: name(at),
        peer_urls: vec![url(at)],
        initial: InitialCluster::parse(&names.join(",")).unwrap(),
        static_id: founder(at),
        static_others: (0..initial).filter(|n| *n != at).map(founder).collect(),
        static_cluster: cluster_id(false),
        joins_only: (at >= founders).then_some(JoinsOnly::State),
        ..base.clone()
    }
}

/// Every member of a set is given the same initial cluster.
pub fn policy_in_a_set<const N: usize>(at: usize, founders: usize, of: &Policy) -> Policy {
    let first = policy::<N>(0, founders, of);
    Policy {
        static_others: (0..founders).filter(|n| *n != at).map(founder).collect(),
        initial: first.initial,
        joins_only: (at >= founders).then_some(JoinsOnly::Outside),
        ordinal: Some(at as u32),
        ..of.clone()
    }
}

fn name(slot: usize) -> String {
    format!("n{}", slot + 1)
}

fn url(slot: usize) -> String {
    format!("http://n{}:2380", slot + 1)
}

pub fn member_id(id: Id) -> MemberId {
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
