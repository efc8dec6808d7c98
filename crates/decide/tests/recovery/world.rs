//! The modelled world of a restore as a small hashable value.

use etcd_rejoin_decide::membership::quorum;

/// Client writes that a disk or a snapshot holds. Of one lineage they are a growing sequence, so the larger number is
/// the newer one.
pub type Writes = u8;

/// A write of another cluster that shares our names.
pub const FOREIGN: Writes = 1 << 7;

/// So many nonces a run may use: of foundings and lineages. A cluster's ID is its nonce.
pub const NONCES: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disk {
    Empty,
    /// Of the cluster with this nonce.
    Data {
        cluster: u8,
        log: Writes,
    },
    Damaged {
        cluster: u8,
    },
}

/// What an entrypoint has decided and not yet done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    Start,
    Found,
    /// Removed, added and filled, in one: beside a quorum of this cluster.
    Rejoin(u8),
    Promise,
    Quarantine,
    Mark {
        promises: [u8; 3],
    },
    Record,
    BeginLineage {
        number: u8,
        base: Option<Snapshot>,
    },
    Continue {
        number: u8,
        hold: bool,
    },
    Restore {
        number: u8,
        base: Snapshot,
        hold: bool,
    },
    NoteOrder(u8),
    ForgetOrder,
    BeginOrder(u8),
    SetAside,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Process {
    Down,
    Looking,
    Decided(Act),
    Etcd,
}

/// One machine: volume and process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    pub disk: Disk,
    /// Which founding promise lies there; 0 is none.
    pub promise: u8,
    pub order_note: Option<u8>,
    /// The lineage that this volume begins: number and nonce.
    pub restoring: Option<(u8, u8)>,
    /// Data lies set aside, for no restore.
    pub set_aside: bool,
    pub process: Process,
    /// The disk that was lost. It may come back.
    pub lost: Disk,
    /// So many promises this member has given.
    pub promised: u8,
}

impl Slot {
    pub const EMPTY: Slot = Slot {
        disk: Disk::Empty,
        promise: 0,
        order_note: None,
        restoring: None,
        set_aside: false,
        process: Process::Down,
        lost: Disk::Empty,
        promised: 0,
    };

    pub fn runs(&self, cluster: u8) -> bool {
        self.process == Process::Etcd && self.cluster() == Some(cluster)
    }

    pub fn cluster(&self) -> Option<u8> {
        match self.disk {
            Disk::Data { cluster, .. } => Some(cluster),
            Disk::Empty | Disk::Damaged { .. } => None,
        }
    }

    /// Everything on its volume is gone.
    pub fn clear(&mut self) {
        *self = Slot {
            process: Process::Down,
            lost: self.lost,
            promised: self.promised,
            ..Slot::EMPTY
        };
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Snapshot {
    pub lineage: u8,
    pub log: Writes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lineage {
    pub number: u8,
    pub nonce: u8,
    /// None where it goes on with a survivor's data.
    pub base: Option<Snapshot>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    Open,
    Begun,
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    pub number: u8,
    pub snapshot: Snapshot,
    /// It goes on with what this slot has, instead, and these slots are destroyed.
    pub survivor: Option<(u8, u8)>,
    pub outcome: Outcome,
    /// A person was told that it is cancelled. A ghost.
    pub said_cancelled: bool,
}

/// A create that was sent, and is applied later, perhaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Late {
    Nothing,
    Marker { nonce: u8, promises: [u8; 3] },
    Lineage(Lineage),
    Begun(u8),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Store {
    /// The nonce of the founding, and its promises.
    pub marker: Option<(u8, [u8; 3])>,
    /// Restored ones, oldest first.
    pub lineages: Vec<Lineage>,
    pub snapshots: Vec<Snapshot>,
    pub bad: Vec<Snapshot>,
    pub order: Option<Order>,
    /// The slots that the newest manifest names, or that recorded their URLs.
    pub known: u8,
}

/// How often each fault, and each word of an operator, may still come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    pub kill: u8,
    pub wipe: u8,
    pub damage: u8,
    /// A lost disk comes back.
    pub back: u8,
    pub write: u8,
    pub save: u8,
    /// The newest good snapshot turns out to be bad.
    pub rot: u8,
    /// A create is applied later.
    pub late: u8,
    pub order: u8,
    pub cancel: u8,
    /// An order to go on with what a survivor has.
    pub survive: u8,
    /// A snapshot of another cluster with our names is uploaded here.
    pub foreign: u8,
}

/// What an *always* forbids. Kept in the state, since a step breaks it, not a state.
pub mod broken {
    /// Two histories serve, or an old one after a later one.
    pub const TWO_LINEAGES: u8 = 1;
    /// A quorum serves without a write that its own history has acknowledged: it was founded anew.
    pub const LOSS: u8 = 1 << 1;
    /// A cluster was founded where one had served.
    pub const FOUNDED_AGAIN: u8 = 1 << 2;
    /// A restore without an order, while a member held data of the newest history.
    pub const ROLLED_BACK: u8 = 1 << 3;
    /// A restore has brought back what an order had rolled back.
    pub const BROUGHT_BACK: u8 = 1 << 4;
    /// An order has restored something else than it names.
    pub const DISOBEYED: u8 = 1 << 5;
    /// What another cluster has written.
    pub const FOREIGN: u8 = 1 << 6;
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World<const N: usize> {
    pub slots: [Slot; N],
    pub store: Store,
    pub late: Late,
    /// The voters of each cluster, by nonce.
    pub voters: [u8; NONCES],
    /// The clusters whose clients write nothing while there is one voter.
    pub held: u8,
    /// What each cluster has acknowledged. A ghost.
    pub acked: [Writes; NONCES],
    /// The clusters that have served. A ghost.
    pub served: u8,
    /// What orders have rolled back. A ghost.
    pub rolled_back: Writes,
    pub next_nonce: u8,
    pub next_write: u8,
    pub founders: u8,
    pub left: Budget,
    pub broken: u8,
}

impl<const N: usize> World<N> {
    /// Nothing was ever founded.
    pub fn nothing(left: Budget) -> Self {
        World {
            slots: [Slot::EMPTY; N],
            store: Store {
                marker: None,
                lineages: Vec::new(),
                snapshots: Vec::new(),
                bad: Vec::new(),
                order: None,
                known: 0,
            },
            late: Late::Nothing,
            voters: [0; NONCES],
            held: 0,
            acked: [0; NONCES],
            served: 0,
            rolled_back: 0,
            next_nonce: 1,
            next_write: 0,
            founders: N as u8,
            left,
            broken: 0,
        }
    }

    /// All run, and have one write that a snapshot holds, and one that none does.
    pub fn running(left: Budget) -> Self {
        let mut world = Self::nothing(left);
        let all = (1 << N) - 1;
        for slot in &mut world.slots {
            slot.disk = Disk::Data {
                cluster: 1,
                log: 0b11,
            };
            slot.process = Process::Etcd;
            slot.promised = 1;
        }
        let snapshot = Snapshot {
            lineage: 1,
            log: 0b1,
        };
        world.store.marker = Some((1, std::array::from_fn(|at| promise(at, 1))));
        world.store.snapshots = vec![snapshot];
        world.store.known = all;
        world.voters[1] = all;
        world.acked[1] = 0b11;
        world.served = 1 << 1;
        world.next_nonce = 2;
        world.next_write = 2;
        world
    }

    /// Everything was lost, and these slots have restored the snapshot as lineage 2. The others are empty.
    pub fn restored(slots: u8, left: Budget) -> Self {
        let mut world = Self::running(left);
        let base = world.store.snapshots[0];
        for at in 0..N {
            let slot = &mut world.slots[at];
            slot.lost = slot.disk;
            slot.clear();
            if slots & (1 << at) != 0 {
                slot.disk = Disk::Data {
                    cluster: 2,
                    log: base.log,
                };
                slot.process = Process::Etcd;
            }
        }
        world.store.lineages.push(Lineage {
            number: 2,
            nonce: 2,
            base: Some(base),
        });
        world.voters[2] = slots;
        world.held |= u8::from(N > 1) << 2;
        world.served |= 1 << 2;
        world.next_nonce = 3;
        world
    }

    /// Whether clients are served. A seed alone holds them until a second voter has caught up: what it acknowledged
    /// would be on one disk, and beside it an old majority may come back.
    pub fn serves(&self, cluster: u8) -> bool {
        let alone = self.voters[usize::from(cluster)].count_ones() == 1;
        let held = self.held & (1 << cluster) != 0;
        self.is_quorate(cluster) && !(alone && held)
    }

    pub fn is_quorate(&self, cluster: u8) -> bool {
        let voters = self.voters[usize::from(cluster)];
        let running = (0..N).filter(|at| voters & (1 << at) != 0 && self.slots[*at].runs(cluster));
        voters != 0 && running.count() >= quorum(voters.count_ones() as usize)
    }

    pub fn clusters(&self) -> impl Iterator<Item = u8> {
        1..self.next_nonce.min(NONCES as u8)
    }

    /// All that a running member of this cluster has.
    pub fn log(&self, cluster: u8) -> Writes {
        let logs = self.slots.iter().filter(|slot| slot.runs(cluster));
        logs.fold(0, |all, slot| match slot.disk {
            Disk::Data { log, .. } => all | log,
            Disk::Empty | Disk::Damaged { .. } => all,
        })
    }

    /// The nonce of the newest lineage in the store.
    pub fn newest(&self) -> u8 {
        let restored = self.store.lineages.last().map(|lineage| lineage.nonce);
        restored.unwrap_or(self.store.marker.map_or(0, |(nonce, _)| nonce))
    }

    pub fn number_of(&self, cluster: u8) -> Option<u8> {
        let founding = self.store.marker.filter(|(nonce, _)| *nonce == cluster);
        let mut restored = self.store.lineages.iter();
        let restored = restored.find(|it| it.nonce == cluster);
        founding
            .map(|_| 1)
            .or(restored.map(|lineage| lineage.number))
    }

    /// Whoever runs beside a quorum of its lineage has all that it has; and what must never be is noted.
    pub fn settle(&mut self) {
        let quorate: Vec<u8> = self.clusters().filter(|it| self.is_quorate(*it)).collect();
        let serving: Vec<u8> = self.clusters().filter(|it| self.serves(*it)).collect();
        for cluster in &quorate {
            let log = self.log(*cluster);
            if self.acked[usize::from(*cluster)] & !log != 0 {
                self.broken |= broken::LOSS;
            }
            if log & FOREIGN != 0 {
                self.broken |= broken::FOREIGN;
            }
            if log & self.rolled_back != 0 && self.is_after_order(*cluster) {
                self.broken |= broken::BROUGHT_BACK;
            }
            // Nonces grow: a later one is of a later lineage.
            if self.serves(*cluster) && self.served >> (cluster + 1) != 0 {
                self.broken |= broken::TWO_LINEAGES;
            }
            for slot in &mut self.slots {
                if slot.runs(*cluster) {
                    slot.disk = Disk::Data {
                        cluster: *cluster,
                        log,
                    };
                }
            }
        }
        if serving.len() > 1 {
            self.broken |= broken::TWO_LINEAGES;
        }
        for cluster in serving {
            self.served |= 1 << cluster;
        }
    }

    fn is_after_order(&self, cluster: u8) -> bool {
        let begun = (self.store.order).filter(|order| order.outcome == Outcome::Begun);
        let number = self.number_of(cluster);
        begun.is_some_and(|order| number.is_some_and(|number| number >= order.number))
    }

    /// Of some history there is data, and no majority: it may have all, so only a person can tell how to go on.
    pub fn needs_a_person(&self) -> bool {
        // What an order waits for is that a person stops what runs, or takes it back.
        let open = (self.store.order).is_some_and(|order| order.outcome == Outcome::Open);
        let noted = self.slots.iter().any(|slot| {
            let notes = matches!(slot.process, Process::Decided(Act::NoteOrder(_)));
            slot.order_note.is_some() || notes
        });
        if open && noted && self.clusters().any(|it| self.is_quorate(it)) {
            return true;
        }
        let have = |cluster: u8| {
            let have = (self.slots.iter()).filter(|slot| slot.cluster() == Some(cluster));
            have.count()
        };
        // Nor does it come back by itself from what a survivor had and lost.
        let survived = self
            .store
            .lineages
            .last()
            .is_some_and(|it| it.base.is_none());
        if survived && have(self.newest()) == 0 {
            return true;
        }
        // With its order a survivor goes on, unless its disk is lost now, too.
        if let Some(order) = self.store.order
            && let Some((survivor, _)) = order.survivor
            && self
                .store
                .lineages
                .iter()
                .all(|it| it.number != order.number)
        {
            return self.slots[usize::from(survivor)].cluster().is_none();
        }
        let newest = self.clusters().filter(|it| have(*it) > 0).last();
        newest.is_some_and(|cluster| {
            let voters = self.voters[usize::from(cluster)];
            have(cluster) < quorum(voters.count_ones() as usize)
        })
    }

    /// All run, as voters of the newest lineage.
    pub fn is_up(&self) -> bool {
        let newest = self.newest();
        newest != 0
            && self.is_quorate(newest)
            && (0..N).all(|at| {
                self.slots[at].runs(newest) && self.voters[usize::from(newest)] & (1 << at) != 0
            })
    }
}

/// A member's promises have numbers of their own.
pub fn promise(at: usize, nth: u8) -> u8 {
    at as u8 * 8 + nth
}
