//! The modelled world as a small hashable value: disks, notes, processes, cuts, and what the checker
//! remembers about them.

use crate::remembered::Remembered;

/// One incarnation of a member: `nth` 0 is the static ID of its slot, the others come from adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id {
    pub slot: u8,
    pub nth: u8,
}

/// A log as the set of its entries. Raft's log matching makes that enough: of two logs whose last
/// entries have the same term one is a prefix of the other, so the larger set is the longer log.
pub type Log = u64;

/// The entries of a first start: every static member.
pub const FOUNDED: Log = 1;
/// The cluster was founded by one member and grew: its IDs are not those of the initial cluster.
pub const GROWN: Log = 1 << 1;
/// The client writes of a run, in order.
pub const WRITES: [Log; 2] = [1 << 2, 1 << 3];
pub const ALL_WRITES: Log = WRITES[0] | WRITES[1];

/// What an entry does to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    Add,
    AddLearner,
    Promote,
    Publish,
    Remove,
}

/// A set of IDs: bit `slot * 6 + nth`.
pub type Ids = u32;

pub fn one(id: Id) -> Ids {
    1 << (u32::from(id.slot) * 6 + u32::from(id.nth))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disk {
    Empty,
    Data,
    Damaged,
}

/// What an entrypoint has decided and not yet done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    StartWithData { trial: bool, promote: bool },
    StartNew { trial: bool },
    StartExisting { nth: u8, trial: bool, promote: bool },
    Add { learner: bool },
    NoteJoin(u8),
    Remove(Id),
    Quarantine,
    GiveUp,
    Promise,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Process {
    Down,
    /// An entrypoint.
    Looking,
    Decided(Act),
    Etcd {
        /// A child on trial: the entrypoint outlives it.
        trial: bool,
        /// The entrypoint promotes it from learner to voter.
        promote: bool,
    },
}

/// One machine: volume and process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    pub disk: Disk,
    pub nth: u8,
    pub log: Log,
    /// What the member list of this etcd is made from.
    pub applied: Log,
    /// The term of the last entry. An election replicates its own entry at once, so this is the
    /// current term too. 0 is an empty log, 1 that of a first start.
    pub term: u8,
    /// Started as `existing`: it shows the list of a peer and has applied nothing itself.
    pub fresh: bool,
    /// The join note: the nth ID of this slot.
    pub join: Option<u8>,
    pub promise: bool,
    pub given_up: bool,
    pub set_aside: bool,
    /// The writes that lie in what was set aside. A ghost.
    pub aside: u8,
    pub added_learner: bool,
    /// The last start made no progress.
    pub stalled: bool,
    pub process: Process,
    /// What this process remembers, or what is handed on to the next image of an entrypoint.
    pub memory: Remembered,
    /// What this entrypoint has heard of others earlier in its look, 3 bits for each.
    pub heard: u16,
    pub paused: bool,
    pub leading: bool,
    /// IDs of this slot that have voted or acknowledged something and lost their disk. A ghost.
    pub lost: u8,
}

impl Slot {
    pub const EMPTY: Slot = Slot {
        disk: Disk::Empty,
        nth: 0,
        log: 0,
        applied: 0,
        term: 0,
        fresh: false,
        join: None,
        promise: false,
        given_up: false,
        set_aside: false,
        aside: 0,
        added_learner: false,
        stalled: false,
        process: Process::Down,
        memory: Remembered::NOTHING,
        heard: 0,
        paused: false,
        leading: false,
        lost: 0,
    };

    pub fn is_etcd(&self) -> bool {
        matches!(self.process, Process::Etcd { .. }) && !self.paused
    }

    pub fn is_entrypoint(&self) -> bool {
        match self.process {
            Process::Looking | Process::Decided(_) => !self.paused,
            Process::Down | Process::Etcd { .. } => false,
        }
    }

    pub fn stop(&mut self) {
        self.process = Process::Down;
        self.heard = 0;
        self.memory = Remembered::NOTHING;
        self.leading = false;
        self.paused = false;
    }

    /// Its ID has voted or acknowledged something that this disk has forgotten.
    pub fn forgot(&self) -> bool {
        self.lost & (1 << self.nth) != 0
    }

    /// Takes over a leader's log; `committed`, what the leader knew as committed
    /// before, is applied at once.
    pub fn append(&mut self, log: Log, term: u8, committed: Log) {
        self.log = log;
        self.term = term;
        // What a fresh one shows is the list of a peer, and may be ahead of what it has.
        self.applied = match std::mem::take(&mut self.fresh) {
            true => committed,
            false => self.applied | committed,
        };
        // It has all that it ever acknowledged again.
        self.lost &= !(1 << self.nth);
    }

    /// The acknowledged writes that a person could still find on this volume.
    pub fn writes(&self) -> Log {
        self.log & ALL_WRITES | Log::from(self.aside)
    }

    /// The volume as new, or as set aside. The process is not touched.
    pub fn clear_disk(&mut self) {
        *self = Slot {
            process: self.process,
            memory: self.memory,
            paused: self.paused,
            lost: self.lost,
            set_aside: self.set_aside,
            aside: self.aside,
            ..Slot::EMPTY
        };
    }
}

/// A volume that is not where its member runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spare {
    /// Whose it is, once somebody has changed volumes.
    pub of: Option<u8>,
    pub volume: Slot,
    /// What its ID has acknowledged counts as lost only while it is away. A ghost.
    pub lost: bool,
}

impl Spare {
    pub const NONE: Spare = Spare {
        of: None,
        volume: Slot::EMPTY,
        lost: false,
    };
}

/// How often each fault may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    pub kill: u8,
    pub wipe: u8,
    pub damage: u8,
    /// A member gets its other volume: at first an empty one, and later the one it had before.
    pub swap: u8,
    /// A WAL cut at a record boundary, in front of the first write.
    pub tail: u8,
    pub cut: u8,
    pub pause: u8,
    /// A change of the membership that times out and may be applied later.
    pub pend: u8,
    pub operator_remove: u8,
    pub operator_add: u8,
    /// A majority that was wiped is founded anew by plain etcd.
    pub refound: u8,
    /// Another tool promotes a learner by its ID, and a client writes behind that.
    pub promote: u8,
    pub write: u8,
}

/// No fault, and one write to lose.
pub const ONE_WRITE: Budget = Budget {
    kill: 0,
    wipe: 0,
    damage: 0,
    swap: 0,
    tail: 0,
    cut: 0,
    pause: 0,
    pend: 0,
    operator_remove: 0,
    operator_add: 0,
    refound: 0,
    promote: 0,
    write: 1,
};

/// What an *always* forbids. Kept in the state, since a step breaks it, not a state.
pub mod broken {
    /// A leader that lacks an acknowledged write.
    pub const LOSS: u8 = 1;
    /// Two leaders with a quorum, or a second founding.
    pub const TWO_CLUSTERS: u8 = 1 << 1;
    /// The last copy of an acknowledged write was set aside.
    pub const LAST_COPY: u8 = 1 << 2;
    /// Our change of the membership lowered the margin.
    pub const MARGIN: u8 = 1 << 3;
    /// Our remove was applied to a running member.
    pub const REMOVED_ALIVE: u8 = 1 << 4;
    /// A start without data under an ID that has voted or acknowledged something.
    pub const AMNESIA: u8 = 1 << 5;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct World<const N: usize> {
    pub slots: [Slot; N],
    /// Bit `a * N + b`, for a < b.
    pub cuts: u32,
    /// Whose match index the newest leader knows, by slot.
    pub known: u8,
    /// An entry that only the leader at `pending_at` has: its client was told that it timed out.
    pub pending: Log,
    pub pending_at: u8,
    /// A learner that has acknowledged its own promotion and the write behind it, which no other follower has
    /// yet, and the leader that knows so.
    pub ahead: Option<(Id, u8)>,
    /// The other volume of one member, which lies elsewhere.
    pub spare: Spare,
    pub left: Budget,
    /// So many of the slots are in the initial cluster; the others came later.
    pub founders: u8,
    /// Ghosts: acknowledged writes, committed entries, the log and term before the first write.
    pub acked: Log,
    pub committed: Log,
    pub before_write: (Log, u8),
    /// More disks were lost than a quorum allows.
    pub majority_lost: bool,
    /// An operator has founded a cluster anew: what its leaders lack is no deed of ours.
    pub refounded: bool,
    pub broken: u8,
    /// The IDs of the model did not suffice: not a state of the world.
    pub out_of_ids: bool,
}

impl<const N: usize> World<N> {
    /// IDs for each slot, and how many bits of a log they take.
    pub const IDS: u8 = match N {
        0..=3 => 5,
        4 => 4,
        _ => 3,
    };
    const WIDTH: u32 = 2 + 4 * (Self::IDS as u32 - 1);

    pub fn entry(id: Id, entry: Entry) -> Log {
        let base = 4 + u32::from(id.slot) * Self::WIDTH;
        if id.nth == 0 {
            return match entry {
                Entry::Publish => 1 << base,
                Entry::Remove => 1 << (base + 1),
                Entry::Add | Entry::AddLearner | Entry::Promote => {
                    unreachable!("a static member is never added")
                }
            };
        }
        let base = base + 2 + 4 * (u32::from(id.nth) - 1);
        match entry {
            Entry::AddLearner => 1 << base,
            Entry::Promote => 1 << (base + 1),
            // Added and promoted in one.
            Entry::Add => 0b11 << base,
            Entry::Publish => 1 << (base + 2),
            Entry::Remove => 1 << (base + 3),
        }
    }

    pub fn has(log: Log, id: Id, entry: Entry) -> bool {
        let bits = Self::entry(id, entry);
        log & bits == bits
    }

    pub fn ids() -> impl Iterator<Item = Id> {
        (0..N as u8).flat_map(|slot| (0..Self::IDS).map(move |nth| Id { slot, nth }))
    }

    pub fn listed(log: Log, id: Id) -> bool {
        let added = match id.nth {
            0 => log & FOUNDED != 0,
            _ => Self::has(log, id, Entry::AddLearner),
        };
        added && !Self::has(log, id, Entry::Remove)
    }

    pub fn learner(log: Log, id: Id) -> bool {
        id.nth > 0 && Self::has(log, id, Entry::AddLearner) && !Self::has(log, id, Entry::Promote)
    }

    pub fn voters(log: Log) -> Ids {
        (Self::ids().filter(|id| Self::listed(log, *id) && !Self::learner(log, *id)))
            .fold(0, |all, id| all | one(id))
    }

    /// The log of a first start: it lists the founders.
    pub fn founding(founders: u8) -> Log {
        (founders..N as u8)
            .map(|slot| Self::entry(Id { slot, nth: 0 }, Entry::Remove))
            .fold(FOUNDED, |log, gone| log | gone)
    }

    pub fn id(&self, slot: usize) -> Id {
        Id {
            slot: slot as u8,
            nth: self.slots[slot].nth,
        }
    }

    pub fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cuts & Self::pair(a, b) != 0
    }

    pub fn pair(a: usize, b: usize) -> u32 {
        1 << (a.min(b) * N + a.max(b))
    }

    /// The next ID that `etcd` would make for this slot, if the model has one left.
    pub fn next_id(&self, slot: usize) -> Option<Id> {
        let volumes = self.slots.iter().chain([&self.spare.volume]);
        let used = volumes.fold(self.pending | self.committed, |all, slot| {
            all | slot.log | slot.applied
        });
        (1..Self::IDS)
            .map(|nth| Id {
                slot: slot as u8,
                nth,
            })
            .find(|id| used & Self::entry(*id, Entry::AddLearner) == 0)
    }

    /// Terms matter by their order alone: number them densely.
    pub fn renumber_terms(&mut self) {
        let mut terms = [0_u8; 8];
        let mut count = 0;
        let all = (self.slots.iter().map(|slot| slot.term))
            .chain([self.spare.volume.term, self.before_write.1]);
        for term in all.filter(|term| *term > 1) {
            if !terms[..count].contains(&term) {
                terms[count] = term;
                count += 1;
            }
        }
        terms[..count].sort_unstable();
        let rank = |term: u8| match terms[..count].binary_search(&term) {
            Ok(at) => at as u8 + 2,
            Err(_) => term,
        };
        for slot in &mut self.slots {
            slot.term = rank(slot.term);
        }
        self.spare.volume.term = rank(self.spare.volume.term);
        self.before_write.1 = rank(self.before_write.1);
    }
}

/// The subsets of `slots` that hold `with` and have exactly `size` members.
pub fn subsets(slots: u8, with: u8, size: usize) -> impl Iterator<Item = u8> {
    (0..=slots).filter(move |set| {
        set & !slots == 0 && set & with == with && set.count_ones() as usize == size
    })
}
