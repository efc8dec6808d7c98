//! What the steps of an entrypoint, the faults and an operator's words do in the modelled world.

use crate::cluster::Rules;
use crate::world::{
    Act, Disk, FOREIGN, Late, Lineage, NONCES, Order, Outcome, Process, Slot, Snapshot, World,
    broken, promise,
};

/// How a create goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Create {
    Now,
    /// The answer is lost, and it is applied later.
    Later,
}

impl<const N: usize> World<N> {
    /// Whether an act is a create, which may be applied later.
    pub fn creates(&self, act: Act) -> bool {
        let can_wait = self.left.late > 0 && self.late == Late::Nothing;
        can_wait
            && matches!(
                act,
                Act::Mark { .. } | Act::BeginLineage { .. } | Act::BeginOrder(_)
            )
    }

    fn nonce(&mut self) -> u8 {
        let nonce = self.next_nonce;
        self.next_nonce += 1;
        nonce
    }

    pub fn has_nonces(&self) -> bool {
        usize::from(self.next_nonce) < NONCES
    }

    pub fn act(&mut self, at: usize, act: Act, create: Create, rules: Rules) {
        self.slots[at].process = Process::Looking;
        match act {
            Act::Start => self.slots[at].process = Process::Etcd,
            Act::Found => {
                let Some((cluster, _)) = self.store.marker else {
                    return;
                };
                self.voters[usize::from(cluster)] |= (1 << self.founders) - 1;
                self.fill(at, cluster, 0);
                self.slots[at].process = Process::Etcd;
            }
            Act::Rejoin(cluster) => {
                if self.is_quorate(cluster) {
                    self.voters[usize::from(cluster)] |= 1 << at;
                    // What it was is removed, and its data set aside.
                    let damaged = matches!(self.slots[at].disk, Disk::Damaged { .. });
                    self.slots[at].set_aside |= damaged;
                    let of_it = matches!(self.slots[at].lost, Disk::Data { cluster: its, .. } if its == cluster);
                    if of_it {
                        self.slots[at].lost = Disk::Empty;
                    }
                    let log = self.log(cluster);
                    self.fill(at, cluster, log);
                    self.slots[at].process = Process::Etcd;
                }
            }
            Act::Promise => {
                let slot = &mut self.slots[at];
                slot.promised += 1;
                slot.promise = promise(at, slot.promised);
            }
            Act::Quarantine => {
                self.slots[at].disk = Disk::Empty;
                self.slots[at].set_aside = true;
            }
            Act::Record => self.store.known |= 1 << at,
            Act::Mark { promises } => {
                let nonce = self.nonce();
                self.create(Late::Marker { nonce, promises }, create, rules);
            }
            Act::BeginLineage { number, base } => {
                // Done twice it is done: a note of this number keeps its nonce.
                let noted = self.slots[at].restoring.filter(|it| it.0 == number);
                let nonce = noted.map_or_else(|| self.nonce(), |(_, nonce)| nonce);
                self.slots[at].restoring = Some((number, nonce));
                let lineage = Lineage {
                    number,
                    nonce,
                    base,
                };
                self.create(Late::Lineage(lineage), create, rules);
            }
            Act::Restore { number, base, hold } => {
                if let Some(nonce) = self.restore(at, number, base, rules) {
                    self.held |= u8::from(hold) << nonce;
                }
            }
            Act::Continue { number, hold } => {
                let noted = self.slots[at].restoring.filter(|it| it.0 == number);
                if let (Some((_, nonce)), Disk::Data { log, .. }) = (noted, self.slots[at].disk) {
                    self.voters[usize::from(nonce)] = 1 << at;
                    self.held |= u8::from(hold) << nonce;
                    self.fill(at, nonce, log);
                }
            }
            Act::NoteOrder(number) => self.slots[at].order_note = Some(number),
            Act::ForgetOrder => self.slots[at].order_note = None,
            Act::BeginOrder(number) => self.create(Late::Begun(number), create, rules),
            Act::SetAside => self.slots[at].disk = Disk::Empty,
        }
    }

    /// A WAL is made: the notes in its place are gone.
    fn fill(&mut self, at: usize, cluster: u8, log: u8) {
        let slot = &mut self.slots[at];
        slot.disk = Disk::Data { cluster, log };
        slot.promise = 0;
        slot.restoring = None;
    }

    /// Of which cluster it has made this the first member.
    fn restore(&mut self, at: usize, number: u8, base: Snapshot, rules: Rules) -> Option<u8> {
        let newest = self.store.lineages.last().map(|it| (it.number, it.nonce));
        let noted = self.slots[at].restoring.or(newest.filter(|_| !rules.noted));
        let (noted, nonce) = noted?;
        if noted != number || self.store.bad.contains(&base) {
            return None;
        }
        let begun = |it: &Order| it.number == number && it.outcome == Outcome::Begun;
        let order = self.store.order.filter(begun);
        if order.is_some_and(|it| it.snapshot != base || it.said_cancelled) {
            self.broken |= broken::DISOBEYED;
        }
        if order.is_some() {
            let all = self.acked.iter().fold(0, |all, acked| all | acked);
            self.rolled_back |= all & !base.log;
        }
        self.voters[usize::from(nonce)] = 1 << at;
        self.fill(at, nonce, base.log);
        Some(nonce)
    }

    fn create(&mut self, what: Late, create: Create, rules: Rules) {
        match create {
            Create::Now => self.apply(what, rules),
            Create::Later => {
                self.left.late -= 1;
                self.late = what;
            }
        }
    }

    /// A create is applied where nobody was first.
    pub fn apply(&mut self, what: Late, rules: Rules) {
        let free = |taken: bool| !taken || !rules.conditional;
        match what {
            Late::Nothing => {}
            Late::Marker { nonce, promises } => {
                if free(self.store.marker.is_some()) {
                    if self.served != 0 {
                        self.broken |= broken::FOUNDED_AGAIN;
                    }
                    self.store.marker = Some((nonce, promises));
                }
            }
            Late::Lineage(lineage) => {
                let mut all = self.store.lineages.iter();
                let taken = all.any(|it| it.number >= lineage.number);
                if !taken {
                    self.store.lineages.push(lineage);
                }
            }
            Late::Begun(number) => {
                let serves = self.clusters().any(|it| self.serves(it));
                if let Some(order) = &mut self.store.order
                    && order.number == number
                    && free(order.outcome != Outcome::Open)
                {
                    order.outcome = Outcome::Begun;
                    // What it acknowledges from now on is lost.
                    if serves {
                        self.broken |= broken::TWO_LINEAGES;
                    }
                }
            }
        }
    }

    pub fn kill(&mut self, at: usize, rules: Rules) {
        let slot = &mut self.slots[at];
        slot.process = Process::Down;
        if !rules.waits_durably {
            slot.order_note = None;
        }
        self.left.kill -= 1;
    }

    pub fn wipe(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        slot.lost = slot.disk;
        slot.clear();
        self.left.wipe -= 1;
    }

    /// The disk that was lost comes back in the place of an empty one.
    pub fn bring_back(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        let lost = std::mem::replace(&mut slot.lost, Disk::Empty);
        slot.clear();
        slot.disk = lost;
        self.left.back -= 1;
    }

    pub fn damage(&mut self, at: usize, cluster: u8) {
        let slot = &mut self.slots[at];
        *slot = Slot {
            process: Process::Down,
            disk: Disk::Damaged { cluster },
            ..*slot
        };
        self.left.damage -= 1;
    }

    pub fn write(&mut self, cluster: u8) {
        let bit = 1 << self.next_write;
        self.next_write += 1;
        self.left.write -= 1;
        self.acked[usize::from(cluster)] |= bit;
        for slot in &mut self.slots {
            if slot.runs(cluster)
                && let Disk::Data { log, .. } = &mut slot.disk
            {
                *log |= bit;
            }
        }
    }

    /// A snapshot of a cluster whose ID the store knows, and its manifest.
    pub fn save(&mut self, cluster: u8) {
        self.left.save -= 1;
        let Some(lineage) = self.number_of(cluster) else {
            return;
        };
        let snapshot = Snapshot {
            lineage,
            log: self.log(cluster),
        };
        if !self.store.snapshots.contains(&snapshot) {
            self.store.snapshots.push(snapshot);
        }
        self.store.known = self.voters[usize::from(cluster)];
    }

    /// Another cluster with our names and token: its ID is ours where no nonce is in it.
    pub fn save_foreign(&mut self) {
        self.left.foreign -= 1;
        let snapshot = Snapshot {
            lineage: 1,
            log: FOREIGN,
        };
        self.store.snapshots.push(snapshot);
    }

    pub fn order(&mut self, snapshot: Snapshot) {
        self.left.order = self.left.order.wrapping_sub(1);
        let numbers = self.store.lineages.iter().map(|it| it.number);
        let last = numbers.chain(self.store.order.map(|it| it.number)).max();
        self.store.order = Some(Order {
            number: last.unwrap_or(1) + 1,
            snapshot,
            survivor: None,
            outcome: Outcome::Open,
            said_cancelled: false,
        });
    }

    /// An operator goes on with what this member has, and names those as destroyed whose data is.
    pub fn survive(&mut self, at: usize) {
        self.left.survive -= 1;
        let newest = self.newest();
        let gone = (0..N).filter(|other| self.slots[*other].cluster() != Some(newest));
        let destroyed = gone.fold(0, |all, other| all | 1 << other);
        self.order(self.store.snapshots[0]);
        self.left.order = self.left.order.wrapping_add(1);
        if let Some(order) = &mut self.store.order {
            order.survivor = Some((at as u8, destroyed));
        }
    }

    pub fn cancel(&mut self, rules: Rules) {
        self.left.cancel -= 1;
        if let Some(order) = &mut self.store.order
            && (order.outcome == Outcome::Open || !rules.conditional)
        {
            order.outcome = Outcome::Cancelled;
            order.said_cancelled = true;
        }
    }
}
