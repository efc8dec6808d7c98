//! What etcd does, as far as a decision can depend on it: elections with the up-to-date check and
//! lease, commits by every minimal quorum, lagging followers, changes that count when applied.

use etcd_rejoin_decide::Trial;
use etcd_rejoin_decide::membership::quorum;

use crate::world::{
    Disk, Entry, FOUNDED, Id, Ids, Log, Process, Slot, Spare, WRITES, World, broken, one, subsets,
};

impl<const N: usize> World<N> {
    /// Whether raft messages pass: both run, know the same cluster, and neither has removed the other.
    pub fn connected(&self, a: usize, b: usize) -> bool {
        self.slots[a].is_etcd()
            && self.slots[b].is_etcd()
            && !self.is_cut(a, b)
            && self.same_cluster(a, b)
            && !Self::has(self.slots[a].applied, self.id(b), Entry::Remove)
            && !Self::has(self.slots[b].applied, self.id(a), Entry::Remove)
    }

    pub fn same_cluster(&self, a: usize, b: usize) -> bool {
        use crate::world::GROWN;
        self.slots[a].applied & GROWN == self.slots[b].applied & GROWN
    }

    fn up_to_date(&self, slot: usize) -> (u8, u32) {
        let pending = match self.pending_at as usize == slot {
            true => self.pending,
            false => 0,
        };
        let slot = &self.slots[slot];
        (slot.term, (slot.log | pending).count_ones())
    }

    /// The leader knows that this member had more than it has now.
    pub fn panics(&self, slot: usize) -> bool {
        self.slots[slot].forgot() && self.known & (1 << slot) != 0
    }

    /// The slots that answer this leader as voters of its list, itself included.
    fn followers(&self, leader: usize, voters: Ids) -> u8 {
        let mut answering = 0;
        for slot in 0..N {
            let answers = slot == leader
                || self.connected(leader, slot)
                    && self.slots[slot].term <= self.slots[leader].term
                    && !self.panics(slot);
            if answers && voters & one(self.id(slot)) != 0 {
                answering |= 1 << slot;
            }
        }
        answering
    }

    pub fn is_quorate(&self, leader: usize) -> bool {
        let slot = &self.slots[leader];
        if !slot.leading || !slot.is_etcd() {
            return false;
        }
        let voters = Self::voters(slot.applied);
        let followers = self.followers(leader, voters).count_ones() as usize;
        followers >= quorum(voters.count_ones() as usize)
    }

    pub fn leader(&self) -> Option<usize> {
        (0..N).find(|slot| self.is_quorate(*slot))
    }

    /// It hears a leader with a quorum: it neither campaigns nor votes.
    fn is_led(&self, slot: usize) -> bool {
        (0..N).any(|leader| {
            self.slots[leader].leading
                && (leader == slot || self.connected(leader, slot))
                && self.is_quorate(leader)
        })
    }

    /// The minimal quorums that could elect this member now.
    pub fn elections(&self, candidate: usize) -> Vec<u8> {
        let slot = &self.slots[candidate];
        // Without applied entries raft has no configuration, and cannot campaign.
        if !slot.is_etcd() || slot.fresh || slot.log == 0 {
            return Vec::new();
        }
        let voters = Self::voters(slot.applied);
        if voters & one(self.id(candidate)) == 0 || self.is_led(candidate) {
            return Vec::new();
        }
        let mut willing = 1 << candidate;
        for voter in (0..N).filter(|voter| *voter != candidate) {
            if voters & one(self.id(voter)) != 0
                && self.connected(candidate, voter)
                && self.up_to_date(candidate) >= self.up_to_date(voter)
                && !self.is_led(voter)
            {
                willing |= 1 << voter;
            }
        }
        let size = quorum(voters.count_ones() as usize);
        subsets(willing, 1 << candidate, size).collect()
    }

    /// Election and the leader's own first entry, in one.
    pub fn elect(&mut self, leader: usize, voters: u8) {
        let term = self.slots.iter().map(|slot| slot.term).max().unwrap_or(0) + 1;
        let mut log = self.slots[leader].log;
        if self.pending_at as usize == leader {
            log |= self.pending;
        }
        self.take_pending(voters);
        // What only the last leader and a learner had is overwritten.
        self.ahead = None;
        let applied = self.slots[leader].applied;
        for slot in (0..N).filter(|slot| voters & (1 << slot) != 0) {
            self.slots[slot].append(log, term, applied);
            self.slots[slot].leading = false;
        }
        self.slots[leader].leading = true;
        self.slots[leader].applied = log;
        self.known = voters;
        self.committed |= log;
        self.check_leader(leader);
        for other in (0..N).filter(|other| *other != leader) {
            if self.slots[other].leading && !self.is_quorate(other) {
                self.slots[other].leading = false;
            }
        }
        self.renumber_terms();
    }

    /// These slots get another log: what only one of them had is overwritten, or in that log by now.
    pub fn take_pending(&mut self, slots: u8) {
        if self.pending != 0 && slots & (1 << self.pending_at) != 0 {
            self.pending = 0;
            self.pending_at = 0;
        }
    }

    /// The minimal quorums by which this leader can commit an entry now.
    pub fn commits(&self, leader: usize) -> Vec<u8> {
        if !self.is_quorate(leader) {
            return Vec::new();
        }
        let voters = Self::voters(self.slots[leader].applied);
        let followers = self.followers(leader, voters);
        let with = followers & (1 << leader);
        subsets(followers, with, quorum(voters.count_ones() as usize)).collect()
    }

    /// Appends, replicates to this quorum, commits and applies at the leader.
    pub fn commit(&mut self, leader: usize, followers: u8, entry: Log) {
        let mut log = self.slots[leader].log | entry;
        if let Some((id, _)) = self.ahead.take_if(|(_, at)| usize::from(*at) == leader) {
            // These stand in front of it.
            let write = self.next_write();
            log |= Self::entry(id, Entry::Promote) | write;
            self.acked |= write;
        }
        if self.pending_at as usize == leader {
            log |= self.pending;
        }
        let new = log & !self.slots[leader].log;
        self.take_pending(followers | 1 << leader);
        self.check_removed_alive(new);
        let (term, applied) = (self.slots[leader].term, self.slots[leader].applied);
        for slot in (0..N).filter(|slot| followers & (1 << slot) != 0) {
            self.slots[slot].append(log, term, applied);
        }
        self.known |= followers;
        self.slots[leader].log = log;
        self.slots[leader].applied = log;
        self.committed |= log;
        if !Self::listed(log, self.id(leader)) {
            self.slots[leader].leading = false;
        }
        self.renumber_terms();
    }

    /// The next write of a client.
    pub fn next_write(&self) -> Log {
        match self.acked & WRITES[0] {
            0 => WRITES[0],
            _ => WRITES[1],
        }
    }

    /// These slots have got the promotion. The learner is a voter from here on, and what it has acknowledged as a
    /// learner counts: the write behind it may be committed by the leader and its memory of that alone
    /// (etcd `raft`, `switchToConfig`, which commits by what is known of the new voters).
    pub fn commit_ahead(&mut self, leader: usize, followers: u8) {
        let Some((id, _)) = self.ahead.take() else {
            return;
        };
        self.commit(leader, followers, Self::entry(id, Entry::Promote));
        // A heartbeat tells them, the write comes later.
        let applied = self.slots[leader].applied;
        for slot in (0..N).filter(|slot| followers & (1 << slot) != 0) {
            self.slots[slot].applied |= applied;
        }
        let write = self.next_write();
        let at = usize::from(id.slot);
        let (log, term) = (self.slots[leader].log | write, self.slots[leader].term);
        let voters = Self::voters(log).count_ones() as usize;
        if quorum(voters) > 2 {
            return;
        }
        let learner = &mut self.slots[at];
        if learner.disk == Disk::Data && learner.nth == id.nth && !learner.forgot() {
            let applied = learner.applied;
            learner.append(log, term, applied);
        }
        self.slots[leader].log = log;
        self.slots[leader].applied = log;
        self.committed |= log;
        self.acked |= write;
    }

    /// The leader whose log this follower or learner could take over now.
    pub fn behind(&self, slot: usize) -> Option<usize> {
        let here = &self.slots[slot];
        if !here.is_etcd() {
            return None;
        }
        let leader = (0..N).find(|leader| {
            *leader != slot && self.connected(*leader, slot) && self.is_quorate(*leader)
        })?;
        let there = &self.slots[leader];
        let same = here.log == there.log && here.applied == there.applied;
        let differs =
            !same || here.term != there.term || here.fresh || here.forgot() || here.stalled;
        (differs && here.term <= there.term && Self::listed(there.applied, self.id(slot)))
            .then_some(leader)
    }

    pub fn catch_up(&mut self, slot: usize, leader: usize) {
        if self.panics(slot) {
            // "tocommit(N) is out of range": a child's death is seen, else only the next start knows.
            let on_trial = self.slots[slot].is_on_trial();
            self.slots[slot].etcd_dies(Trial::Behind);
            self.slots[slot].stalled |= !on_trial;
            return;
        }
        self.take_pending(1 << slot);
        let from = self.slots[leader];
        let here = &mut self.slots[slot];
        here.append(from.log, from.term, from.applied);
        here.applied = from.applied;
        here.stalled = false;
        here.leading = false;
        self.known |= 1 << slot;
        self.renumber_terms();
    }

    /// Running as a member of this leader's list, with everything applied.
    pub fn is_caught_up(&self, slot: usize, leader: usize) -> bool {
        let (here, there) = (&self.slots[slot], &self.slots[leader]);
        here.is_etcd()
            && !here.fresh
            && here.log == there.log
            && here.applied == there.applied
            && (slot == leader || self.connected(slot, leader))
            && Self::listed(there.applied, self.id(slot))
    }

    /// Whether it would exit as "permanently removed": it has applied that, or a peer tells it.
    pub fn is_told_removed(&self, slot: usize) -> bool {
        let id = self.id(slot);
        self.slots[slot].is_etcd()
            && (0..N).any(|peer| {
                (peer == slot || !self.is_cut(peer, slot))
                    && self.slots[peer].is_etcd()
                    && self.same_cluster(peer, slot)
                    && Self::has(self.slots[peer].applied, id, Entry::Remove)
            })
    }

    /// `new` is refused where a peer of the initial cluster that can be reached shows our static ID as published.
    pub fn is_already_bootstrapped(&self, slot: usize) -> bool {
        let id = Id {
            slot: slot as u8,
            nth: 0,
        };
        let founders = usize::from(self.founders);
        let mut asked = self.peers_in_reach(slot).filter(|peer| *peer < founders);
        asked.any(|peer| {
            let view = self.slots[peer].applied;
            Self::listed(view, id) && Self::has(view, id, Entry::Publish)
        })
    }

    pub fn peers_in_reach(&self, slot: usize) -> impl Iterator<Item = usize> {
        (0..N).filter(move |peer| {
            *peer != slot && !self.is_cut(slot, *peer) && self.slots[*peer].is_etcd()
        })
    }

    /// The leader that a client at this slot can reach through some peer, with or without a quorum.
    pub fn leader_for_client(&self, slot: usize) -> Option<usize> {
        let reachable = |leader: usize| {
            self.slots[leader].leading
                && self.slots[leader].is_etcd()
                && (self.peers_in_reach(slot))
                    .any(|peer| peer == leader || self.connected(peer, leader))
        };
        let newest = |leader: &usize| (self.is_quorate(*leader), self.slots[*leader].term);
        (0..N)
            .filter(|leader| reachable(*leader))
            .max_by_key(newest)
    }

    /// `strict-reconfig-check`: enough started voters stay, and for an add all voters are connected.
    pub fn allows_change(&self, leader: usize, id: Id, entry: Entry) -> bool {
        let list = self.slots[leader].applied;
        // etcd counts a member as started here when it has a name; a static one has.
        let started = |id: Id| id.nth == 0 || Self::has(list, id, Entry::Publish);
        let voters: Vec<Id> = (Self::ids())
            .filter(|id| Self::voters(list) & one(*id) != 0)
            .collect();
        match entry {
            Entry::Remove => {
                let rest = || voters.iter().filter(|voter| **voter != id);
                Self::listed(list, id)
                    && (Self::learner(list, id)
                        || rest().filter(|id| started(**id)).count() >= quorum(rest().count()))
            }
            Entry::Add | Entry::AddLearner => {
                let all_connected = voters.iter().all(|voter| {
                    let slot = usize::from(voter.slot);
                    self.id(slot) == *voter && (slot == leader || self.connected(slot, leader))
                });
                let count = voters.iter().filter(|id| started(**id)).count();
                let enough = match entry {
                    Entry::Add => {
                        count >= quorum(voters.len() + 1) || (count == 1 && voters.len() == 1)
                    }
                    _ => !Self::ids().any(|id| Self::listed(list, id) && Self::learner(list, id)),
                };
                // "Peer URLs already exists"
                let listed =
                    Self::ids().any(|other| other.slot == id.slot && Self::listed(list, other));
                all_connected && enough && !listed
            }
            Entry::Promote | Entry::Publish => true,
        }
    }

    /// Plain etcd founds the initial cluster once more on these volumes, under the same IDs.
    pub fn refound(&mut self, slots: u8) {
        self.left.refound -= 1;
        self.refounded = true;
        self.known = 0;
        for at in (0..N).filter(|at| slots & (1 << at) != 0) {
            let slot = &mut self.slots[at];
            slot.clear_disk();
            // Nobody remembers what this ID has acknowledged, itself least of all.
            slot.lost &= !1;
            slot.disk = Disk::Data;
            (slot.log, slot.applied, slot.term) = (FOUNDED, FOUNDED, 1);
            slot.process = Process::Etcd {
                trial: false,
                promote: false,
            };
        }
    }

    /// A disk is gone or lies: what its ID acknowledged counts as lost.
    pub fn lose(&mut self, slot: usize) {
        // Up to the term of a first start it has neither voted nor acknowledged anything.
        if self.slots[slot].disk != Disk::Empty && self.slots[slot].term > 1 {
            self.slots[slot].lost |= 1 << self.slots[slot].nth;
        }
    }

    /// The member gets its other volume. What is on neither of them at this place counts as lost, until it
    /// is back: nobody else has run under its ID meanwhile, or `check_amnesia` has seen it.
    pub fn swap(&mut self, at: usize) {
        self.slots[at].stop();
        let before = self.slots[at].lost;
        self.lose(at);
        let here = self.slots[at];
        let back = std::mem::replace(
            &mut self.spare,
            Spare {
                of: Some(at as u8),
                volume: Slot { lost: 0, ..here },
                lost: here.lost != before,
            },
        );
        let lost = match back.lost {
            true => here.lost & !(1 << back.volume.nth),
            false => here.lost,
        };
        self.slots[at] = Slot {
            lost,
            ..back.volume
        };
        self.take_pending(1 << at);
        self.renumber_terms();
    }

    /// Whether fewer voters are left than a quorum needs: a voter is left where its disk has all that
    /// it ever acknowledged, or promised to join a first start.
    pub fn lost_too_many(&self) -> bool {
        // A first start counts as soon as one member has left for it.
        let begun = (self.slots.iter()).fold(0, |all, slot| all | slot.log & FOUNDED);
        let voters = match self.committed {
            0 => Self::voters(begun),
            committed => Self::voters(committed),
        };
        let count = voters.count_ones() as usize;
        let is_left = |id: &Id| {
            let slot = &self.slots[usize::from(id.slot)];
            match slot.disk {
                // One that was added counts once it knows itself as a voter from its own log: until
                // then a member that has not applied the add cannot form a quorum with it.
                Disk::Data => {
                    slot.nth == id.nth
                        && !slot.forgot()
                        && (id.nth == 0 || slot.term > 0)
                        && Self::voters(slot.applied) & one(*id) != 0
                }
                Disk::Empty => slot.promise && id.nth == 0,
                Disk::Damaged => false,
            }
        };
        let left = (Self::ids())
            .filter(|id| voters & one(*id) != 0 && is_left(id))
            .count();
        // Of two members each holds every acknowledged write, and one may come back without its disk.
        let needed = if N == 2 { 1 } else { quorum(count) };
        count > 0 && left < needed
    }

    fn check_removed_alive(&mut self, new: Log) {
        for slot in 0..N {
            let runs = matches!(self.slots[slot].process, Process::Etcd { .. });
            if runs && new & Self::entry(self.id(slot), Entry::Remove) != 0 {
                self.broken |= broken::REMOVED_ALIVE;
            }
        }
    }
}
