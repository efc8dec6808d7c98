//! What the steps of the entrypoint do in the modelled world. Between the look and the step anything
//! may happen.

use etcd_rejoin_decide::membership::{MemberId, quorum};
use etcd_rejoin_decide::{Begin, Happened, Reason, Start, Step, Trial};

use crate::look::{member_id, members};
use crate::remembered::Remembered;
use crate::world::{Act, Disk, Entry, Id, Process, Slot, World, broken, one};

/// Where the notes live, and how long. Only the first is the design.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notes {
    /// etcd removes them when it creates its WAL; a kill does not.
    AsDesigned,
    /// They lie elsewhere, and outlive the WAL and its disk.
    OutliveWal,
    /// The founding promise is kept in memory.
    PromiseInMemory,
    /// The disk that replaces a lost one has a promise for another initial cluster, and it counts.
    AnyPromise,
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

impl<const N: usize> World<N> {
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
        // Killed between the end of the notes and the add.
        let noted = self.slots[at].promise || self.slots[at].join.is_some();
        if outcomes.is_empty() || noted && matches!(act, Act::Add { .. }) {
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
        slot.process = Process::Looking;
        match (act, how) {
            (Act::StartWithData { trial, promote }, _) => {
                slot.start(Begin::WithData, trial, promote);
            }
            (Act::StartNew { trial }, _) => {
                slot.start(Begin::New, trial, false);
                if self.is_already_bootstrapped(at) {
                    return self.slots[at].etcd_dies(Trial::Other);
                }
                let founding = Self::founding(self.founders);
                let slot = self.create_wal(at, 0, false, notes);
                slot.log = founding;
                slot.applied = founding;
                slot.term = 1;
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
                let id = Id {
                    slot: at as u8,
                    nth,
                };
                let begin = Begin::Existing {
                    id: member_id(id),
                    members: members::<N>(list),
                };
                self.slots[at].start(begin, trial, promote);
                let slot = self.create_wal(at, nth, true, notes);
                slot.applied = list;
                slot.fresh = true;
            }
            (Act::StartExisting { .. }, _) => {}
            (Act::NoteJoin(nth), _) => {
                slot.join = Some(nth);
                // The list that shows the entry shows what it was added as.
                let id = Id {
                    slot: at as u8,
                    nth,
                };
                slot.did(&Step::NoteJoin(member_id(id)), None);
                slot.added_learner = nth > 0 && Self::learner(self.committed, id);
            }
            (Act::Promise, _) => {
                slot.promise = true;
                slot.did(&Step::Promise, None);
            }
            (Act::GiveUp, _) => {
                slot.given_up = true;
                slot.did(&Step::GiveUp, None);
            }
            (Act::Quarantine, _) => {
                let writes = slot.writes();
                self.lose(at);
                let slot = &mut self.slots[at];
                slot.clear_disk();
                slot.set_aside = true;
                slot.aside = writes as u8;
                slot.did(&Step::Quarantine, None);
            }
            (Act::Add { .. } | Act::Remove(_), how) => {
                if matches!(act, Act::Add { .. }) {
                    // These go before the add.
                    slot.promise = false;
                    slot.join = None;
                    slot.added_learner = false;
                }
                if let Some((leader, id, entry)) = self.change(at, act) {
                    let entry = Self::entry(id, entry);
                    match how {
                        How::By(followers) => {
                            let before = self.margin(leader);
                            self.commit(leader, followers, entry);
                            if self.margin(leader) < before {
                                self.broken |= broken::MARGIN;
                            }
                            match act {
                                Act::Add { learner } => self.slots[at]
                                    .did(&Step::AddMember { learner }, Some(member_id(id))),
                                _ => self.slots[at].did(&Step::RemoveMember(member_id(id)), None),
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

    fn create_wal(&mut self, at: usize, nth: u8, existing: bool, notes: Notes) -> &mut Slot {
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
        self.check_amnesia(at, existing);
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

impl Slot {
    pub fn is_on_trial(&self) -> bool {
        matches!(self.process, Process::Etcd { trial: true, .. })
    }

    fn start(&mut self, begin: Begin, trial: bool, promote: bool) {
        let start = Start {
            begin,
            trial,
            promote,
        };
        // What becomes etcd itself remembers nothing.
        self.memory = match trial {
            true => self.memory.after(Happened::Starts(&start)),
            false => Remembered::NOTHING,
        };
        self.process = Process::Etcd { trial, promote };
    }

    /// The entrypoint looks again where it was on trial.
    pub fn etcd_dies(&mut self, of: Trial) {
        let (on_trial, memory) = (self.is_on_trial(), self.memory);
        self.stop();
        if on_trial {
            self.process = Process::Looking;
            self.memory = memory.after(Happened::Died(of, 1));
        }
    }

    /// For what reason tells how long it pauses, and there is no time in this world. Nor are steps counted that the
    /// cluster did not take: that is for chores, and there are none.
    fn did(&mut self, step: &Step, added: Option<MemberId>) {
        self.memory = (self.memory).after(Happened::Did(step, Reason::DataLost, added));
    }
}
