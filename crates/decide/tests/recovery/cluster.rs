//! The modelled world as stateright asks for it: what can happen next, and what must never be.

use stateright::{Model, Property};

use etcd_rejoin_decide::{Decision, Recover, Why, decide};

use crate::look::{Decide, Sees, act};
use crate::steps::Create;
use crate::world::{Act, Disk, Late, Outcome, Process, Snapshot, World, broken};

/// Rules that are not rows. All of them hold in the design.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// A create is one only where nobody was first.
    pub conditional: bool,
    /// The note that a member waits for an order is on its disk.
    pub waits_durably: bool,
    /// The founding token has a nonce, so no other cluster has our ID.
    pub nonce_in_token: bool,
    /// A lineage is restored only where its note lies.
    pub noted: bool,
}

pub const AS_DESIGNED: Rules = Rules {
    conditional: true,
    waits_durably: true,
    nonce_in_token: true,
    noted: true,
};

#[derive(Clone)]
pub struct Cluster<const N: usize> {
    pub world: World<N>,
    pub recover: Recover,
    pub decide: Decide,
    pub rules: Rules,
    /// Messages of peers are lost.
    pub deaf: bool,
    /// The store may be silent.
    pub silent: bool,
}

impl<const N: usize> Cluster<N> {
    pub fn new(world: World<N>) -> Self {
        Cluster {
            world,
            recover: Recover::Auto,
            decide,
            rules: AS_DESIGNED,
            deaf: false,
            silent: false,
        }
    }

    pub fn with(mut self, mutant: Decide) -> Self {
        self.decide = mutant;
        self
    }

    pub fn under(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    pub fn held(mut self) -> Self {
        self.recover = Recover::Hold;
        self
    }

    pub fn deaf(mut self) -> Self {
        self.deaf = true;
        self
    }

    pub fn silent(mut self) -> Self {
        self.silent = true;
        self
    }

    /// What a look decides, and what the world says to that at once.
    fn decides(&self, world: &World<N>, at: usize, sees: Sees) -> Option<(Act, u8)> {
        let seen = world.look(at, sees, self.recover);
        let decision = (self.decide)(&world.policy(at, self.recover), &seen);
        let act = act(&decision, &seen)?;
        let newest = world.newest();
        let holds = |at: usize| world.slots[at].cluster() == Some(newest);
        // A disk that comes back between the look and the step is nobody's fault.
        let rolls_back = matches!(decision, Decision::Do(_, Why::TotalLoss(_)))
            && (0..N).any(holds)
            && world.slots[at].cluster() != Some(newest);
        Some((act, if rolls_back { broken::ROLLED_BACK } else { 0 }))
    }

    fn looks(&self, at: usize) -> Vec<Sees> {
        let others = ((1_u8 << N) - 1) & !(1 << at);
        let deaf = (0..=others).filter(|deaf| deaf & !others == 0);
        let deaf = deaf.filter(|deaf| *deaf == 0 || self.deaf);
        let both =
            deaf.flat_map(|deaf| [false, true].map(|store_silent| Sees { deaf, store_silent }));
        both.filter(|sees| !sees.store_silent || self.silent)
            .collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Start(usize),
    Restart(usize),
    Decide(usize, Act),
    /// The same, and it breaks this.
    DecideWrongly(usize, Act, u8),
    Act(usize, Create),
    Applied,
    Kill(usize),
    Wipe(usize),
    Damage(usize),
    BringBack(usize),
    Write(u8),
    Save(u8),
    SaveForeign,
    Rot(Snapshot),
    Order(Snapshot),
    Survive(usize),
    Cancel,
}

impl Action {
    /// It comes without a fault, and without an operator.
    pub fn is_usual(self) -> bool {
        match self {
            Action::Start(_) | Action::Restart(_) | Action::Decide(..) | Action::Applied => true,
            Action::Act(_, create) => create == Create::Now,
            Action::DecideWrongly(..)
            | Action::Kill(_)
            | Action::Wipe(_)
            | Action::Damage(_)
            | Action::BringBack(_)
            | Action::Write(_)
            | Action::Save(_)
            | Action::SaveForeign
            | Action::Rot(_)
            | Action::Order(_)
            | Action::Survive(_)
            | Action::Cancel => false,
        }
    }
}

pub const ONE_LINEAGE: &str = "one lineage serves";
pub const NO_LOSS: &str = "nothing is founded over data";
pub const FOUNDED_ONCE: &str = "a cluster is founded once";
pub const NOT_ROLLED_BACK: &str = "nothing is rolled back while a member holds it";
pub const NOT_BROUGHT_BACK: &str = "what an order rolled back does not come back";
pub const OBEYED: &str = "an order restores what it names";
pub const NOT_FOREIGN: &str = "nothing of another cluster is restored";
pub const UP_AGAIN: &str = "the cluster is up";

impl<const N: usize> Model for Cluster<N> {
    type State = World<N>;
    type Action = Action;

    fn init_states(&self) -> Vec<World<N>> {
        vec![self.world.clone()]
    }

    fn actions(&self, world: &World<N>, actions: &mut Vec<Action>) {
        if world.broken != 0 || !world.has_nonces() {
            return;
        }
        let left = world.left;
        for at in 0..N {
            let slot = &world.slots[at];
            match slot.process {
                Process::Down => actions.push(Action::Start(at)),
                Process::Looking => {
                    for sees in self.looks(at) {
                        let Some((act, breaks)) = self.decides(world, at, sees) else {
                            continue;
                        };
                        let action = match breaks {
                            0 => Action::Decide(at, act),
                            breaks => Action::DecideWrongly(at, act, breaks),
                        };
                        if !actions.contains(&action) {
                            actions.push(action);
                        }
                    }
                }
                Process::Decided(act) => {
                    actions.push(Action::Act(at, Create::Now));
                    if world.creates(act) {
                        actions.push(Action::Act(at, Create::Later));
                    }
                }
                // It waits for its quorum: an operator starts it again.
                Process::Etcd if !slot.cluster().is_some_and(|it| world.is_quorate(it)) => {
                    actions.push(Action::Restart(at));
                }
                Process::Etcd => {}
            }
            if left.kill > 0 && slot.process != Process::Down {
                actions.push(Action::Kill(at));
            }
            if left.wipe > 0 && (slot.disk != Disk::Empty || slot.promise != 0) {
                actions.push(Action::Wipe(at));
            }
            if left.damage > 0 && slot.cluster().is_some() {
                actions.push(Action::Damage(at));
            }
            if left.back > 0 && slot.lost != Disk::Empty && slot.disk == Disk::Empty {
                actions.push(Action::BringBack(at));
            }
        }
        if world.late != Late::Nothing {
            actions.push(Action::Applied);
        }
        for cluster in world.clusters().filter(|it| world.serves(*it)) {
            if left.write > 0 {
                actions.push(Action::Write(cluster));
            }
            if left.save > 0 {
                actions.push(Action::Save(cluster));
            }
        }
        let open = |outcome| world.store.order.is_some_and(|it| it.outcome == outcome);
        for snapshot in &world.store.snapshots {
            if left.order > 0 && !open(Outcome::Open) {
                actions.push(Action::Order(*snapshot));
            }
            if left.rot > 0 && !world.store.bad.contains(snapshot) {
                actions.push(Action::Rot(*snapshot));
            }
        }
        let newest = world.newest();
        if left.survive > 0 && world.store.order.is_none() && !world.is_quorate(newest) {
            let has = |at: &usize| world.slots[*at].cluster() == Some(newest);
            actions.extend((0..N).filter(has).map(Action::Survive));
        }
        if left.cancel > 0 && world.store.order.is_some() {
            actions.push(Action::Cancel);
        }
        if left.foreign > 0 && !self.rules.nonce_in_token {
            actions.push(Action::SaveForeign);
        }
    }

    fn next_state(&self, world: &World<N>, action: Action) -> Option<World<N>> {
        let mut world = world.clone();
        match action {
            Action::Start(at) | Action::Restart(at) => world.slots[at].process = Process::Looking,
            Action::Decide(at, act) => world.slots[at].process = Process::Decided(act),
            Action::DecideWrongly(_, _, breaks) => world.broken |= breaks,
            Action::Act(at, create) => {
                let Process::Decided(act) = world.slots[at].process else {
                    return None;
                };
                world.act(at, act, create, self.rules);
            }
            Action::Applied => {
                let late = std::mem::replace(&mut world.late, Late::Nothing);
                world.apply(late, self.rules);
            }
            Action::Kill(at) => world.kill(at, self.rules),
            Action::Wipe(at) => world.wipe(at),
            Action::Damage(at) => {
                let cluster = world.slots[at].cluster()?;
                world.damage(at, cluster);
            }
            Action::BringBack(at) => world.bring_back(at),
            Action::Write(cluster) => world.write(cluster),
            Action::Save(cluster) => world.save(cluster),
            Action::SaveForeign => world.save_foreign(),
            Action::Rot(snapshot) => {
                world.left.rot -= 1;
                world.store.bad.push(snapshot);
            }
            Action::Order(snapshot) => world.order(snapshot),
            Action::Survive(at) => world.survive(at),
            Action::Cancel => world.cancel(self.rules),
        }
        world.settle();
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_LINEAGE, |_, it: &World<N>| {
                it.holds(broken::TWO_LINEAGES)
            }),
            Property::always(NO_LOSS, |_, it: &World<N>| it.holds(broken::LOSS)),
            Property::always(FOUNDED_ONCE, |_, it: &World<N>| {
                it.holds(broken::FOUNDED_AGAIN)
            }),
            Property::always(NOT_ROLLED_BACK, |_, it: &World<N>| {
                it.holds(broken::ROLLED_BACK)
            }),
            Property::always(NOT_BROUGHT_BACK, |_, it: &World<N>| {
                it.holds(broken::BROUGHT_BACK)
            }),
            Property::always(OBEYED, |_, it: &World<N>| it.holds(broken::DISOBEYED)),
            Property::always(NOT_FOREIGN, |_, it: &World<N>| it.holds(broken::FOREIGN)),
            Property::sometimes(UP_AGAIN, |_, it: &World<N>| it.is_up()),
        ]
    }
}

impl<const N: usize> World<N> {
    fn holds(&self, rule: u8) -> bool {
        self.broken & rule == 0
    }
}
