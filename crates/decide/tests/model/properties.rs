//! What must never be, and what must stay possible.

use stateright::Property;

use crate::cluster::Cluster;
use crate::world::{ALL_WRITES, Disk, Entry, GROWN, Log, World, broken};

pub const NO_LOSS: &str = "no acknowledged write is lost";
pub const ONE_CLUSTER: &str = "there are never two clusters";
pub const LAST_COPY: &str = "the last copy is never set aside";
pub const MARGIN: &str = "no step lowers the margin";
pub const REMOVED_ALIVE: &str = "no running member is removed";
pub const NO_AMNESIA: &str = "no member starts empty under an ID that has voted";
pub const HEALTHY: &str = "all members are healthy";
pub const BACK: [&str; 5] = [
    "n1 lost its disk and is back",
    "n2 lost its disk and is back",
    "n3 lost its disk and is back",
    "n4 lost its disk and is back",
    "n5 lost its disk and is back",
];

/// All of them, for stateright.
pub fn all<const N: usize>(wipes: bool) -> Vec<Property<Cluster<N>>> {
    let mut all = vec![
        Property::always(NO_LOSS, |_, world: &World<N>| {
            world.broken & broken::LOSS == 0
        }),
        Property::always(ONE_CLUSTER, |_, world: &World<N>| {
            world.broken & broken::TWO_CLUSTERS == 0
        }),
        Property::always(LAST_COPY, |_, world: &World<N>| {
            world.broken & broken::LAST_COPY == 0
        }),
        Property::always(MARGIN, |_, world: &World<N>| {
            world.broken & broken::MARGIN == 0
        }),
        Property::always(REMOVED_ALIVE, |_, world: &World<N>| {
            world.broken & broken::REMOVED_ALIVE == 0
        }),
        Property::always(NO_AMNESIA, |_, world: &World<N>| {
            world.broken & broken::AMNESIA == 0
        }),
        Property::sometimes(HEALTHY, |_, world: &World<N>| world.is_healthy()),
    ];
    // Of two members the one that lost its disk comes back under its old ID.
    if wipes && N > 2 {
        let back: [fn(&Cluster<N>, &World<N>) -> bool; 5] = [
            |_, world| world.is_back(0),
            |_, world| world.is_back(1),
            |_, world| world.is_back(2),
            |_, world| world.is_back(3),
            |_, world| world.is_back(4),
        ];
        for (name, back) in BACK.into_iter().zip(back).take(N) {
            all.push(Property::sometimes(name, back));
        }
    }
    all
}

impl<const N: usize> World<N> {
    /// Every slot runs, as a voter, published and caught up; nothing is cut or pending.
    pub fn is_healthy(&self) -> bool {
        let Some(leader) = self.leader() else {
            return false;
        };
        let list = self.slots[leader].applied;
        self.cuts == 0
            && self.pending == 0
            && Self::voters(list).count_ones() as usize == N
            && (0..N).all(|slot| {
                let id = self.id(slot);
                self.is_caught_up(slot, leader)
                    && !Self::learner(list, id)
                    && Self::has(list, id, Entry::Publish)
            })
    }

    /// Healthy, and this slot under another ID than it began with.
    pub fn is_back(&self, slot: usize) -> bool {
        let began = u8::from(self.committed & GROWN != 0);
        self.slots[slot].nth > began && self.is_healthy()
    }

    /// A new leader: it has every acknowledged write, of the one cluster there is.
    pub fn check_leader(&mut self, leader: usize) {
        if self.refounded {
            return;
        }
        let lacking = self.acked & !self.slots[leader].log;
        if self.majority_lost {
            // Even then nobody leads without a write that lies on some volume, damaged or set aside.
            let kept = self.slots.iter().fold(0, |all, slot| all | slot.writes());
            if lacking & kept != 0 {
                self.broken |= broken::LOSS;
            }
            return;
        }
        if lacking != 0 {
            self.broken |= broken::LOSS;
        }
        // What was committed is in the log of every later leader, or it leads another cluster.
        let other = self.committed & !ALL_WRITES & !self.slots[leader].log != 0;
        if other {
            self.broken |= broken::TWO_CLUSTERS;
        }
    }

    /// Two leaders, each with a quorum of its own.
    pub fn has_two_leaders(&self) -> bool {
        let leading = self.slots.iter().filter(|slot| slot.leading).count();
        leading > 1 && (0..N).filter(|slot| self.is_quorate(*slot)).count() > 1
    }

    /// Starting empty. Only the second of two members may do that under its old ID, in a cluster that the two
    /// founded: the other one has everything that was acknowledged.
    pub fn check_amnesia(&mut self, at: usize, existing: bool) {
        let second_of_two = N == 2 || self.founders == 2 && existing;
        if !second_of_two && self.slots[at].forgot() {
            self.broken |= broken::AMNESIA;
        }
    }

    /// Setting data aside: every acknowledged write in it lies on another readable disk too, at the
    /// time of the decision. Later only a further fault can change that, and nothing was deleted.
    pub fn check_last_copy(&mut self, at: usize) {
        let elsewhere: Log = (0..N)
            .filter(|slot| *slot != at && self.slots[*slot].disk == Disk::Data)
            .fold(0, |all, slot| all | self.slots[slot].log);
        let here = self.slots[at].log & ALL_WRITES & self.acked;
        if here & !elsewhere != 0 {
            self.broken |= broken::LAST_COPY;
        }
    }
}
