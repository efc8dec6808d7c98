//! The model: a cluster in a world of faults, each member with the real `decide`.

use std::collections::HashMap;
use std::sync::Mutex;

use etcd_rejoin_decide::{JoinAs, Policy, Trial, decide};
use stateright::{Model, Property};

use crate::actions::{Action, etcd_actions, fault_actions};
use crate::entrypoint::Notes;
use crate::look::{Decide, Decided, Hears, Knocks, Look, policy, policy_in_a_set};
use crate::properties;
use crate::world::{
    Act, Budget, Disk, Entry, FOUNDED, GROWN, Id, Log, Process, Slot, Spare, WRITES, World, broken,
};

/// Where a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Empty volumes, nothing runs.
    Nothing,
    /// The same, and the initial cluster names so many of them.
    Small(u8),
    /// All members run, published.
    Running,
    /// The same, and the last one has lost its disk once: its ID is from an add.
    Rejoined,
    /// The same, with IDs from adds: the initial cluster does not name them.
    Grown,
    /// All members run. So many have founded the cluster, and their initial cluster names nobody else; the
    /// others were added.
    Outgrown(u8),
    /// The same, and all founders but the last one were removed since; their stack comes up again, empty.
    MovedOn(u8),
}

/// A cluster of N members.
pub struct Cluster<const N: usize> {
    pub begin: Begin,
    pub budget: Budget,
    /// Go on where a majority of the disks was lost: what then?
    pub beyond_majority: bool,
    pub notes: Notes,
    /// One look is no moment: the peers are asked one after the other.
    pub torn: bool,
    /// Damage leaves nothing to tell whose the data is.
    pub heads_are_damaged: bool,
    pub knocks: Knocks,
    /// The members are of a StatefulSet, which wants all of them: whoever has lost its disk asks all.
    pub set: bool,
    pub decide: Decide,
    /// What has happened already.
    schedule: Vec<Action>,
    policies: [Policy; N],
    decided: Mutex<HashMap<Look<N>, Decided>>,
}

impl<const N: usize> Cluster<N> {
    pub fn new(begin: Begin, budget: Budget) -> Self {
        let base = Policy::default();
        Cluster {
            begin,
            budget,
            beyond_majority: false,
            notes: Notes::AsDesigned,
            torn: false,
            heads_are_damaged: false,
            knocks: Knocks {
                heard: Hears::EveryKnock,
                unreadable: false,
            },
            set: false,
            decide,
            schedule: Vec::new(),
            policies: std::array::from_fn(|at| policy::<N>(at, begin.founders::<N>(), &base)),
            decided: Mutex::default(),
        }
    }

    pub fn join_as(mut self, join: JoinAs) -> Self {
        self.policies
            .iter_mut()
            .for_each(|policy| policy.join = join);
        self
    }

    pub fn in_a_set(mut self) -> Self {
        let founders = self.begin.founders::<N>();
        self.set = true;
        for (at, policy) in self.policies.iter_mut().enumerate() {
            *policy = policy_in_a_set::<N>(at, founders, policy);
        }
        self
    }

    pub fn with(mut self, decide: Decide) -> Self {
        self.decide = decide;
        self
    }

    pub fn with_notes(mut self, notes: Notes) -> Self {
        self.notes = notes;
        self
    }

    pub fn with_damaged_heads(mut self) -> Self {
        self.heads_are_damaged = true;
        self
    }

    pub fn that_hears(mut self, heard: Hears) -> Self {
        self.knocks.heard = heard;
        self
    }

    pub fn unreadable(mut self) -> Self {
        self.knocks.unreadable = true;
        self
    }

    pub fn torn(mut self) -> Self {
        self.torn = true;
        self
    }

    /// Begins where this schedule ends.
    pub fn after(mut self, schedule: &[Action]) -> Self {
        self.schedule = schedule.to_vec();
        self
    }

    pub fn beyond_majority(mut self) -> Self {
        self.beyond_majority = true;
        self
    }

    pub fn decision(&self, world: &World<N>, at: usize, torn: u8) -> Decided {
        let mut look = world.look(at, torn, self.knocks, self.set);
        look.head_reads = !self.heads_are_damaged;
        let mut decided = self.decided.lock().expect("no other thread panicked");
        *(decided.entry(look)).or_insert_with(|| look.decide(&self.policies[at], self.decide))
    }

    fn nothing(&self) -> World<N> {
        World {
            slots: [Slot::EMPTY; N],
            cuts: 0,
            known: 0,
            pending: 0,
            pending_at: 0,
            ahead: None,
            spare: Spare::NONE,
            left: self.budget,
            founders: self.begin.founders::<N>() as u8,
            acked: 0,
            committed: 0,
            before_write: (0, 0),
            majority_lost: false,
            refounded: false,
            broken: 0,
            out_of_ids: false,
        }
    }

    /// A cluster of these slots with these IDs, of which the first leads.
    fn running(&self, root: Log, ids: &[Id]) -> World<N> {
        let mut world = self.nothing();
        let log = ids.iter().fold(root, |log, id| {
            let added = match id.nth {
                0 => 0,
                _ => World::<N>::entry(*id, Entry::Add),
            };
            log | added | World::<N>::entry(*id, Entry::Publish)
        });
        for id in ids {
            world.slots[usize::from(id.slot)] = Slot {
                disk: Disk::Data,
                nth: id.nth,
                log,
                applied: log,
                term: 2,
                process: Process::Etcd {
                    trial: false,
                    promote: false,
                },
                ..Slot::EMPTY
            };
        }
        world.slots[usize::from(ids[0].slot)].leading = true;
        world.known = ids.iter().fold(0, |known, id| known | 1 << id.slot);
        world.committed = log;
        world
    }

    fn rejoined(&self, founders: &[Id]) -> World<N> {
        let mut world = self.running(FOUNDED, founders);
        let (slot, last) = (N as u8 - 1, N - 1);
        let (before, after) = (Id { slot, nth: 0 }, Id { slot, nth: 1 });
        let log = world.committed
            | World::<N>::entry(before, Entry::Remove)
            | World::<N>::entry(after, Entry::Add)
            | World::<N>::entry(after, Entry::Publish);
        world.slots[last].nth = 1;
        for slot in &mut world.slots {
            (slot.log, slot.applied) = (log, log);
        }
        world.committed = log;
        world
    }
}

impl Begin {
    /// How many of the slots the initial cluster of the first ones names.
    fn founders<const N: usize>(self) -> usize {
        match self {
            Begin::Nothing | Begin::Running | Begin::Rejoined | Begin::Grown => N,
            Begin::Small(founders) | Begin::Outgrown(founders) | Begin::MovedOn(founders) => {
                usize::from(founders)
            }
        }
    }
}

impl<const N: usize> Model for Cluster<N> {
    type State = World<N>;
    type Action = Action;

    fn init_states(&self) -> Vec<World<N>> {
        let id = |slot, nth| Id { slot, nth };
        let all = |nth| (0..N as u8).map(|slot| id(slot, nth)).collect::<Vec<_>>();
        // The founders have their static IDs, the others those of their adds.
        let from = |first: u8, founders: u8| {
            let nth = |slot| u8::from(slot >= founders);
            let ids = (first..N as u8).map(|slot| id(slot, nth(slot)));
            ids.collect::<Vec<_>>()
        };
        let mut world = match self.begin {
            Begin::Nothing | Begin::Small(_) => self.nothing(),
            Begin::Running => self.running(FOUNDED, &all(0)),
            Begin::Rejoined => self.rejoined(&all(0)),
            Begin::Grown => self.running(GROWN, &all(1)),
            Begin::Outgrown(founders) => {
                self.running(World::<N>::founding(founders), &from(0, founders))
            }
            Begin::MovedOn(founders) => {
                let gone = (0..founders - 1).fold(World::<N>::founding(founders), |log, slot| {
                    log | World::<N>::entry(id(slot, 0), Entry::Remove)
                });
                self.running(gone, &from(founders - 1, founders))
            }
        };
        for action in &self.schedule {
            let mut actions = Vec::new();
            self.actions(&world, &mut actions);
            assert!(
                actions.contains(action),
                "not now: {action:?}, but {actions:?}"
            );
            world = self
                .next_state(&world, *action)
                .expect("it changes something");
        }
        vec![world]
    }

    fn actions(&self, world: &World<N>, actions: &mut Vec<Action>) {
        for at in 0..N {
            self.entrypoint_actions(world, at, actions);
            etcd_actions(world, at, actions);
        }
        fault_actions(world, actions);
    }

    fn next_state(&self, last: &World<N>, action: Action) -> Option<World<N>> {
        let mut world = *last;
        match action {
            Action::Start(at) => {
                world.slots[at].process = Process::Looking;
                if self.notes == Notes::PromiseInMemory {
                    world.slots[at].promise = false;
                }
            }
            Action::Decide(at, act) => {
                world.slots[at].process = Process::Decided(act);
                world.slots[at].heard = 0;
                if act == Act::Quarantine {
                    world.check_last_copy(at);
                }
                let start = matches!(act, Act::StartNew { .. } | Act::StartExisting { .. });
                if start && self.notes == Notes::ConsumedBeforeExec {
                    world.slots[at].join = None;
                    world.slots[at].promise = false;
                }
            }
            Action::Restart(at) => {
                world.slots[at].stop();
                world.slots[at].process = Process::Looking;
            }
            Action::Hear(at, peer) => world.hear(at, peer, self.knocks),
            Action::Act(at, act, how) => world.act(at, act, how, self.notes),
            Action::Elect(at, voters) => world.elect(at, voters),
            Action::CatchUp(at, leader) => world.catch_up(at, leader),
            Action::Publish(at, by) => {
                let leader = world.leader()?;
                world.commit(leader, by, World::<N>::entry(world.id(at), Entry::Publish));
            }
            Action::Promote(at, by) => {
                let leader = world.leader()?;
                world.commit(leader, by, World::<N>::entry(world.id(at), Entry::Promote));
            }
            Action::AckAhead(at) => {
                world.left.promote -= 1;
                world.left.write -= 1;
                world.ahead = Some((world.id(at), world.leader()? as u8));
                world.known |= 1 << at;
            }
            Action::CommitAhead(leader, by) => world.commit_ahead(leader, by),
            Action::ExitRemoved(at) => world.slots[at].etcd_dies(Trial::Other),
            Action::CommitPending(leader, by) => world.commit(leader, by, 0),
            Action::Write(leader, by) => {
                world.left.write -= 1;
                let write = world.next_write();
                if world.left.tail > 0 && write == WRITES[0] {
                    world.before_write = (world.slots[leader].log, world.slots[leader].term);
                }
                world.commit(leader, by, write);
                world.acked |= write;
            }
            Action::Refound(slots) => world.refound(slots),
            Action::Heal(a, b) => world.cuts &= !World::<N>::pair(a, b),
            Action::Resume(at) => world.slots[at].paused = false,
            Action::Kill(at) => {
                world.left.kill -= 1;
                world.slots[at].stop();
            }
            Action::LoseDisk(at) => {
                world.left.wipe -= 1;
                world.slots[at].stop();
                world.lose(at);
                let (join, promise) = (world.slots[at].join, world.slots[at].promise);
                world.slots[at].clear_disk();
                if self.notes == Notes::OutliveWal {
                    world.slots[at].join = join;
                    world.slots[at].promise = promise;
                }
                if self.notes == Notes::AnyPromise {
                    world.slots[at].promise = true;
                }
                world.slots[at].set_aside = false;
                world.slots[at].aside = 0;
                world.take_pending(1 << at);
                world.renumber_terms();
            }
            Action::DamageDisk(at) => {
                world.left.damage -= 1;
                world.slots[at].stop();
                world.lose(at);
                world.slots[at].disk = Disk::Damaged;
                world.take_pending(1 << at);
            }
            Action::SwapDisk(at) => {
                world.left.swap -= 1;
                world.swap(at);
            }
            Action::LoseTail(at) => {
                world.left.tail -= 1;
                world.slots[at].stop();
                world.lose(at);
                let (log, term) = world.before_write;
                world.slots[at].log = log;
                world.slots[at].applied &= log;
                world.slots[at].term = term;
                world.renumber_terms();
            }
            Action::Cut(a, b) => {
                world.left.cut -= 1;
                world.cuts |= World::<N>::pair(a, b);
            }
            Action::Pause(at) => {
                world.left.pause -= 1;
                world.slots[at].paused = true;
            }
            Action::OperatorRemoves(id, by) => {
                world.left.operator_remove -= 1;
                let (leader, broken) = (world.leader()?, world.broken);
                world.commit(leader, by, World::<N>::entry(id, Entry::Remove));
                // The operator may.
                world.broken = broken;
            }
            Action::OperatorAdds(at, by) => {
                world.left.operator_add -= 1;
                let (leader, id) = (world.leader()?, world.next_id(at)?);
                world.commit(leader, by, World::<N>::entry(id, Entry::Add));
            }
        }
        // A first start can begin when the promises that it was decided on are gone already.
        let begins = matches!(action, Action::Act(_, Act::StartNew { .. }, _));
        let disks = |budget: Budget| budget.wipe + budget.damage + budget.swap;
        let lost = disks(self.budget) > disks(world.left);
        if action.loses_a_voter() || begins && lost {
            world.majority_lost |= world.lost_too_many();
        }
        if world.has_two_leaders() {
            world.broken |= broken::TWO_CLUSTERS;
        }
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(self.budget.wipe > 0)
    }

    fn within_boundary(&self, world: &World<N>) -> bool {
        self.beyond_majority || !world.majority_lost || world.broken != 0
    }
}
