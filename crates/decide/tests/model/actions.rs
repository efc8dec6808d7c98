//! What can happen next: faults as often as the budget says, all else whenever it can.

use etcd_rejoin_decide::membership::quorum;

use crate::cluster::Cluster;
use crate::entrypoint::How;
use crate::look::Decided;
use crate::world::{Act, Disk, Entry, Id, Process, WRITES, World, subsets};

/// What can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The container is started.
    Start(usize),
    /// The entrypoint looks and decides.
    Decide(usize, Act),
    /// It has refused, and is started again.
    Restart(usize),
    /// It asks one peer, and the others later.
    Hear(usize, usize),
    /// It does what it decided.
    Act(usize, Act, How),
    Elect(usize, u8),
    CatchUp(usize, usize),
    Publish(usize, u8),
    Promote(usize, u8),
    /// Another tool promotes this learner by its ID, a client writes, and only the learner has got both so far.
    AckAhead(usize),
    /// The promotion is committed, and with it what the leader knows the learner to have.
    CommitAhead(usize, u8),
    /// etcd exits as "permanently removed".
    ExitRemoved(usize),
    /// A change that timed out is applied after all.
    CommitPending(usize, u8),
    Write(usize, u8),
    Heal(usize, usize),
    Resume(usize),
    Kill(usize),
    LoseDisk(usize),
    DamageDisk(usize),
    SwapDisk(usize),
    LoseTail(usize),
    Cut(usize, usize),
    Pause(usize),
    OperatorRemoves(Id, u8),
    OperatorAdds(usize, u8),
    /// These volumes are empty, and plain etcd is started on them as `new`.
    Refound(u8),
}

impl Action {
    /// Faults happen as often as the budget says. All else goes on without end.
    pub fn is_fault(self) -> bool {
        match self {
            Action::Kill(_)
            | Action::LoseDisk(_)
            | Action::DamageDisk(_)
            | Action::SwapDisk(_)
            | Action::LoseTail(_)
            | Action::Cut(..)
            | Action::Pause(_)
            | Action::Write(..)
            | Action::OperatorRemoves(..)
            | Action::OperatorAdds(..)
            | Action::Refound(_)
            | Action::AckAhead(_)
            | Action::Act(_, _, How::TimedOut) => true,
            Action::Start(_)
            | Action::Decide(..)
            | Action::Restart(_)
            | Action::Hear(..)
            | Action::Act(..)
            | Action::Elect(..)
            | Action::CatchUp(..)
            | Action::Publish(..)
            | Action::Promote(..)
            | Action::CommitAhead(..)
            | Action::ExitRemoved(_)
            | Action::CommitPending(..)
            | Action::Heal(..)
            | Action::Resume(_) => false,
        }
    }

    /// Only these can leave fewer voters than a quorum needs; a kill or a cut passes.
    pub fn loses_a_voter(self) -> bool {
        matches!(
            self,
            Action::LoseDisk(_)
                | Action::DamageDisk(_)
                | Action::SwapDisk(_)
                | Action::LoseTail(_)
                | Action::OperatorRemoves(..)
                // A second member added to one by hand takes its quorum away until it runs.
                | Action::OperatorAdds(..)
        )
    }
}

impl<const N: usize> Cluster<N> {
    pub fn entrypoint_actions(&self, world: &World<N>, at: usize, actions: &mut Vec<Action>) {
        if world.slots[at].paused {
            return;
        }
        match world.slots[at].process {
            Process::Down => actions.push(Action::Start(at)),
            Process::Looking => {
                let first = actions.len();
                let torn = if self.torn { 1 << N } else { 1 };
                for torn in 0..torn {
                    let action = match self.decision(world, at, torn) {
                        Decided::Now(act) => Action::Decide(at, act),
                        Decided::End => Action::Restart(at),
                        Decided::Wait => continue,
                    };
                    if !actions[first..].contains(&action) {
                        actions.push(action);
                    }
                }
                if self.torn {
                    let peers = (0..N).filter(|peer| *peer != at);
                    actions.extend(peers.map(|peer| Action::Hear(at, peer)));
                }
            }
            Process::Decided(act) => {
                let outcomes = world.outcomes(at, act).into_iter();
                actions.extend(outcomes.map(|how| Action::Act(at, act, how)));
            }
            Process::Etcd { .. } => {}
        }
    }
}

pub fn etcd_actions<const N: usize>(world: &World<N>, at: usize, actions: &mut Vec<Action>) {
    if !world.slots[at].is_etcd() {
        return;
    }
    if world.is_told_removed(at) {
        actions.push(Action::ExitRemoved(at));
    }
    let elections = world.elections(at).into_iter();
    actions.extend(elections.map(|voters| Action::Elect(at, voters)));
    if let Some(leader) = world.behind(at) {
        actions.push(Action::CatchUp(at, leader));
    }
    let Some(leader) = world.leader() else {
        return;
    };
    if world.is_caught_up(at, leader) {
        let (id, list) = (world.id(at), world.slots[leader].applied);
        if !World::<N>::has(list, id, Entry::Publish) {
            let commits = world.commits(leader).into_iter();
            actions.extend(commits.map(|by| Action::Publish(at, by)));
        }
        let promote = matches!(world.slots[at].process, Process::Etcd { promote: true, .. });
        if promote && World::<N>::learner(list, id) {
            let commits = world.commits(leader).into_iter();
            actions.extend(commits.map(|by| Action::Promote(at, by)));
        }
        let free = world.pending == 0 && world.ahead.is_none();
        if free && world.left.promote > 0 && world.left.write > 0 && World::<N>::learner(list, id) {
            actions.push(Action::AckAhead(at));
        }
    }
    if leader == at {
        let by = world.commits(at);
        if world
            .ahead
            .is_some_and(|(_, leader)| usize::from(leader) == at)
        {
            actions.extend(by.iter().map(|by| Action::CommitAhead(at, *by)));
        }
        if world.pending != 0 && world.pending_at as usize == at {
            actions.extend(by.iter().map(|by| Action::CommitPending(at, *by)));
        }
        if world.left.write > 0 {
            actions.extend(by.iter().map(|by| Action::Write(at, *by)));
        }
        if world.left.operator_remove > 0 {
            for id in World::<N>::ids() {
                if world.allows_change(at, id, Entry::Remove) && usize::from(id.slot) != at {
                    actions.extend(by.iter().map(|by| Action::OperatorRemoves(id, *by)));
                }
            }
        }
        if world.left.operator_add > 0 {
            for slot in 0..N {
                let listed = World::<N>::ids().any(|id| {
                    usize::from(id.slot) == slot && World::<N>::listed(world.slots[at].applied, id)
                });
                let id = world.next_id(slot);
                if !listed && id.is_some_and(|id| world.allows_change(at, id, Entry::Add)) {
                    actions.extend(by.iter().map(|by| Action::OperatorAdds(slot, *by)));
                }
            }
        }
    }
}

pub fn fault_actions<const N: usize>(world: &World<N>, actions: &mut Vec<Action>) {
    let left = world.left;
    if left.refound > 0 {
        let wiped = |at: &usize| {
            let slot = &world.slots[*at];
            slot.disk == Disk::Empty && slot.process == Process::Down
        };
        let wiped = (0..N).filter(wiped).fold(0, |all, at| all | 1 << at);
        actions.extend(subsets(wiped, 0, quorum(N)).map(Action::Refound));
    }
    for at in 0..N {
        let slot = &world.slots[at];
        if slot.paused {
            actions.push(Action::Resume(at));
        }
        if left.kill > 0 && slot.process != Process::Down {
            actions.push(Action::Kill(at));
        }
        if left.wipe > 0 && (slot.disk != Disk::Empty || slot.join.is_some() || slot.promise) {
            actions.push(Action::LoseDisk(at));
        }
        if left.damage > 0 && slot.disk == Disk::Data {
            actions.push(Action::DamageDisk(at));
        }
        if left.swap > 0 && world.spare.of.is_none_or(|of| usize::from(of) == at) {
            actions.push(Action::SwapDisk(at));
        }
        if left.tail > 0 && slot.disk == Disk::Data && slot.log & WRITES[0] != 0 {
            actions.push(Action::LoseTail(at));
        }
        if left.pause > 0 && !slot.paused && slot.process != Process::Down {
            actions.push(Action::Pause(at));
        }
        for peer in at + 1..N {
            if world.is_cut(at, peer) {
                actions.push(Action::Heal(at, peer));
            } else if left.cut > 0 {
                actions.push(Action::Cut(at, peer));
            }
        }
    }
}
