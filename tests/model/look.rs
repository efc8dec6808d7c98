//! What an entrypoint sees of the modelled world, as the real `Observation`, and what the real
//! `decide` makes of it.

use etcd_rejoin::decide::{
    Begin, DataDir, Decision, Heard, Holds, Identity, Observation, Peer, Policy, Quorate, Start,
    Step, Trial,
};
use etcd_rejoin::membership::{ClusterId, InitialCluster, Member, MemberId};

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
    join: Option<u8>,
    added: Option<u8>,
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
    /// One look. Of the peers in `torn` it has what they said earlier, when they were asked.
    pub fn look(&self, at: usize, behind: bool, torn: u8) -> Look<N> {
        let slot = &self.slots[at];
        let answers = std::array::from_fn(|peer| {
            let there = &self.slots[peer];
            if let (true, Some(holding)) = (torn & (1 << peer) != 0, slot.heard_of(peer)) {
                Answer::Entrypoint(holding)
            } else if peer == at || self.is_cut(at, peer) {
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
            head_reads: true,
            nth: slot.nth,
            grown: slot.disk != Disk::Empty && slot.applied & GROWN != 0,
            join: slot.join,
            added: slot.added,
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

    /// Asks one other entrypoint; what it says is kept until the look is over.
    pub fn hear(&mut self, at: usize, peer: usize) {
        if self.slots[peer].is_entrypoint() && !self.is_cut(at, peer) {
            let said = HOLDINGS
                .iter()
                .position(|said| *said == holding(&self.slots[peer]));
            let said = said.map_or(0, |said| said as u16 + 1);
            let heard = &mut self.slots[at].heard;
            *heard = *heard & !(0b111 << (3 * peer)) | said << (3 * peer);
        }
    }
}

const HOLDINGS: [Holding; 6] = [
    Holding::Empty,
    Holding::Promised,
    Holding::Own { grown: false },
    Holding::Own { grown: true },
    Holding::Damaged,
    Holding::SetAside,
];

impl Slot {
    fn heard_of(&self, peer: usize) -> Option<Holding> {
        let said = usize::from(self.heard >> (3 * peer) & 0b111);
        said.checked_sub(1).map(|said| HOLDINGS[said])
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
                // That a commit index is written late is not in this world.
                Step::NoteJoin(id) | Step::SettleJoin(id) => Act::NoteJoin(id_of(id).nth),
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
                    head: self.head_reads.then_some(identity),
                },
            },
            join_note: self.join.map(own),
            added: self.added.map(own),
            promise: self.promise,
            given_up: self.given_up,
            set_aside: usize::from(self.set_aside),
            stalled: self.stalled,
            added_learner: match (self.added_learner, self.disk, self.join) {
                (false, _, _) => None,
                (true, Disk::Empty, join) => join.map(own),
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
            // A member alone has all the time that it needs: nobody outside this world could call it.
            listened: true,
            // Nor does anybody read its log here.
            steady: true,
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

fn founder(slot: usize) -> MemberId {
    member_id(Id {
        slot: slot as u8,
        nth: 0,
    })
}

/// The same for every member but for its name.
pub fn policy<const N: usize>(at: usize, base: &Policy) -> Policy {
    let names: Vec<String> = (0..N).map(|n| format!("{}={}", name(n), url(n))).collect();
    Policy {
        name: name(at),
        peer_urls: vec![url(at)],
        initial: InitialCluster::parse(&names.join(",")).unwrap(),
        static_id: founder(at),
        static_others: (0..N).filter(|n| *n != at).map(founder).collect(),
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
