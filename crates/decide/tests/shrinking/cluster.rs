//! The model: what can happen next in this world, with the real `decide`.

use etcd_rejoin_decide::membership::quorum;
use etcd_rejoin_decide::{Decision, Step, decide};
use stateright::{Model, Property};

use crate::look::Decide;
use crate::world::{Act, Claim, Container, Entry, IDS, Id, Pod, World, broken};

pub struct Cluster<const N: usize> {
    pub world: World<N>,
    pub decide: Decide,
    /// The sizes that the set is scaled to.
    pub sizes: &'static [usize],
    /// Nothing but the size changes, and everybody has the time that it needs: so nobody has to help.
    pub unaided: bool,
}

impl<const N: usize> Cluster<N> {
    pub fn new(world: World<N>, sizes: &'static [usize]) -> Self {
        Cluster {
            world,
            decide,
            sizes,
            unaided: false,
        }
    }

    pub fn unaided(mut self) -> Self {
        self.unaided = true;
        self
    }

    pub fn with(mut self, mutant: Decide) -> Self {
        self.decide = mutant;
        self
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Somebody scales the set.
    Scale(usize),
    /// Nobody has a quorum, or all are stopped: somebody scales the set to all that it ever had.
    ScaleBack,
    /// Somebody takes a member out that no pod is wanted for.
    RemoveOrphan(Id),
    /// The controller makes a pod, or ends one.
    Make(usize),
    End(usize),
    /// A pod is ended whose set wants it.
    Drain(usize),
    /// The pre-stop (or the entrypoint) looks: without an answer of the API server, at the end of its time.
    Decide {
        at: usize,
        hook: bool,
        deaf: bool,
        over: bool,
    },
    Act(usize, bool),
    /// The removal has no answer.
    Unanswered(usize),
    Applied,
    NeverApplied,
    /// A member that runs publishes itself; a learner becomes a voter.
    Publish(usize),
    /// etcd ends as it was removed.
    Ends(usize),
    KillHook(usize),
    KillContainer(usize),
    LoseClaim(usize),
}

impl Action {
    /// It comes without a fault, and without a new size.
    pub fn is_usual(self) -> bool {
        match self {
            Action::ScaleBack
            | Action::RemoveOrphan(_)
            | Action::Make(_)
            | Action::End(_)
            | Action::Act(..)
            | Action::Applied
            | Action::NeverApplied
            | Action::Publish(_)
            | Action::Ends(_) => true,
            Action::Decide { deaf, .. } => !deaf,
            Action::Scale(_)
            | Action::Drain(_)
            | Action::Unanswered(_)
            | Action::KillHook(_)
            | Action::KillContainer(_)
            | Action::LoseClaim(_) => false,
        }
    }
}

pub const ONE_CLUSTER: &str = "nothing is founded over data";
pub const WANTED_STAYS: &str = "nobody leaves whom the set wants";
pub const QUORUM: &str = "no leave costs the quorum";
pub const MARGIN: &str = "no add lowers the margin";
pub const NO_AMNESIA: &str = "no member starts empty under an ID that has voted";

impl<const N: usize> Cluster<N> {
    fn decision(&self, world: &World<N>, action: Action) -> Option<Decision> {
        let Action::Decide {
            at,
            hook,
            deaf,
            over,
        } = action
        else {
            return None;
        };
        let seen = world.look(at, hook, deaf, over);
        Some((self.decide)(&world.policy(at, hook), &seen))
    }

    fn pod_actions(&self, world: &World<N>, at: usize, actions: &mut Vec<Action>) {
        match &world.pods[at] {
            Pod::Gone => {
                if world.wants(at) {
                    actions.push(Action::Make(at));
                }
                if world.left.wipe > 0 && world.claims[at].data.is_some() {
                    actions.push(Action::LoseClaim(at));
                }
                return;
            }
            Pod::Here(_) => {
                if !world.wants(at) {
                    actions.push(Action::End(at));
                } else if world.left.drain > 0 {
                    actions.push(Action::Drain(at));
                }
                if world.left.kill > 0 {
                    actions.push(Action::KillContainer(at));
                }
                if world.left.wipe > 0 && world.claims[at].data.is_some() {
                    actions.push(Action::LoseClaim(at));
                }
            }
            Pod::Ending(..) => {
                if world.left.kill > 0 {
                    actions.push(Action::KillHook(at));
                }
            }
        }
        for hook in [false, true] {
            let Some(run) = world.run(at, hook) else {
                continue;
            };
            if let Some(act) = &run.decided {
                actions.push(Action::Act(at, hook));
                let removes = matches!(act, Act::Step(Step::RemoveMember(_), _));
                if hook && removes && world.left.pend > 0 && world.pending.is_none() {
                    actions.push(Action::Unanswered(at));
                }
                continue;
            }
            for deaf in [false, true] {
                for over in [false, true] {
                    if (deaf && world.left.deaf == 0) || over && (!hook || self.unaided) {
                        continue;
                    }
                    actions.push(Action::Decide {
                        at,
                        hook,
                        deaf,
                        over,
                    });
                }
            }
        }
        if matches!(world.pods[at].container(), Some(Container::Etcd)) {
            let entry = world.own_id(at).and_then(|id| world.entry(id));
            match entry {
                None if !world.list.is_empty() => actions.push(Action::Ends(at)),
                Some(entry) if world.is_quorate() && !entry.started => {
                    actions.push(Action::Publish(at));
                }
                None | Some(_) => {}
            }
        }
    }

    fn decided(&self, world: &mut World<N>, action: Action) -> Option<()> {
        let decision = self.decision(world, action)?;
        let Action::Decide { at, hook, deaf, .. } = action else {
            return None;
        };
        if deaf {
            world.left.deaf -= 1;
        }
        if hook {
            let unwanted = !world.wants(at) && world.replicas > 0;
            match &decision {
                Decision::Do(Step::NoteLeft, _) if !unwanted => {
                    world.broken |= broken::WANTED_LEFT;
                }
                Decision::Do(Step::RemoveMember(_), _) => {
                    let own = world.own_id(at);
                    let votes = world.voters().any(|entry| Some(entry.id) == own);
                    let others = world.voters().count() - usize::from(votes);
                    let voting = world.voting() - usize::from(votes && world.serves(at));
                    if voting < quorum(others) {
                        world.broken |= broken::QUORUM;
                    }
                }
                _ => {}
            }
        }
        match Act::of(&decision) {
            Some(act) => {
                world.run_mut(at, hook)?.decided = Some(act);
                // What happens between an entrypoint's look and its step is the other model's.
                if !hook {
                    world.act(at, false, true);
                }
            }
            // The pre-stop is over, and the pod with it.
            None if hook && !matches!(decision, Decision::Wait(_)) => world.pods[at] = Pod::Gone,
            None => {}
        }
        Some(())
    }
}

impl<const N: usize> Model for Cluster<N> {
    type State = World<N>;
    type Action = Action;

    fn init_states(&self) -> Vec<World<N>> {
        vec![self.world.clone()]
    }

    fn actions(&self, world: &World<N>, actions: &mut Vec<Action>) {
        if world.broken != 0 || world.lost || world.used.iter().any(|nth| *nth + 1 >= IDS) {
            return;
        }
        if world.left.scale > 0 {
            let other = self.sizes.iter().filter(|size| **size != world.replicas);
            actions.extend(other.map(|size| Action::Scale(*size)));
        }
        let no_quorum = !world.is_quorate() && !world.list.is_empty();
        if world.replicas < N && !self.unaided && (world.replicas == 0 || no_quorum) {
            actions.push(Action::ScaleBack);
        }
        if world.is_quorate() && world.pending.is_none() && !self.unaided {
            let orphan = |entry: &&Entry| {
                let at = usize::from(entry.id.at);
                let own = world.own_id(at) == Some(entry.id);
                world.pods[at] == Pod::Gone && !world.wants(at)
                    || world.pods[at] != Pod::Gone && !own && world.serves(at)
            };
            let orphans = world.list.iter().filter(orphan);
            actions.extend(orphans.map(|entry| Action::RemoveOrphan(entry.id)));
        }
        if world.pending.is_some() {
            actions.push(Action::NeverApplied);
            if world.is_quorate() {
                actions.push(Action::Applied);
            }
        }
        for at in 0..N {
            self.pod_actions(world, at, actions);
        }
    }

    fn next_state(&self, last: &World<N>, action: Action) -> Option<World<N>> {
        let mut world = last.clone();
        match action {
            Action::Scale(size) => {
                world.left.scale -= 1;
                world.replicas = size;
            }
            Action::ScaleBack => world.replicas = N,
            Action::RemoveOrphan(id) => world.list.retain(|entry| entry.id != id),
            Action::Make(at) => {
                world.pods[at] = Pod::Here(Container::Entrypoint(Box::default()));
            }
            Action::End(at) | Action::Drain(at) => {
                if matches!(action, Action::Drain(_)) {
                    world.left.drain -= 1;
                }
                let container = world.pods[at].container()?.clone();
                world.pods[at] = Pod::Ending(container, Box::default());
            }
            Action::Decide { .. } => self.decided(&mut world, action)?,
            Action::Act(at, hook) => world.act(at, hook, true),
            Action::Unanswered(at) => world.act(at, true, false),
            Action::NeverApplied => world.pending = None,
            Action::Applied => {
                let id = world.pending.take()?;
                world.list.retain(|entry| entry.id != id);
            }
            Action::Publish(at) => {
                let id = world.own_id(at)?;
                let entry = world.list.iter_mut().find(|entry| entry.id == id)?;
                entry.started = true;
                if std::mem::take(&mut world.claims[at].learner) {
                    entry.learner = false;
                }
            }
            Action::Ends(at) | Action::KillContainer(at) => {
                if matches!(action, Action::KillContainer(_)) {
                    world.left.kill -= 1;
                }
                *world.pods[at].container_mut()? = Container::Entrypoint(Box::default());
            }
            Action::KillHook(at) => {
                world.left.kill -= 1;
                world.pods[at] = Pod::Gone;
            }
            Action::LoseClaim(at) => {
                world.left.wipe -= 1;
                world.forget_data(at);
                world.claims[at] = Claim::default();
                world.pods[at] = Pod::Gone;
            }
        }
        if world.is_healthy() {
            world.most = world.most.max(world.replicas);
        }
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::always(ONE_CLUSTER, |_, world: &World<N>| {
                world.broken & (broken::TWO_CLUSTERS | broken::OVER_UNWANTED) == 0
            }),
            Property::always(WANTED_STAYS, |_, world: &World<N>| {
                world.broken & broken::WANTED_LEFT == 0
            }),
            Property::always(QUORUM, |_, world: &World<N>| {
                world.broken & broken::QUORUM == 0
            }),
            Property::always(MARGIN, |_, world: &World<N>| {
                world.broken & broken::MARGIN == 0
            }),
            Property::always(NO_AMNESIA, |_, world: &World<N>| {
                world.broken & broken::AMNESIA == 0
            }),
        ];
        if self.sizes.contains(&1) {
            all.push(Property::sometimes("one member is healthy", |_, world| {
                at_size(world, 1)
            }));
        }
        if self.sizes.contains(&3) {
            all.push(Property::sometimes(
                "three members are healthy",
                |_, world| at_size(world, 3),
            ));
        }
        if self.sizes.contains(&5) {
            all.push(Property::sometimes(
                "five members are healthy",
                |_, world| at_size(world, 5),
            ));
        }
        if self
            .sizes
            .iter()
            .any(|size| (1..self.world.replicas).contains(size))
        {
            all.push(Property::sometimes(
                "a larger size is left again",
                |_: &Cluster<N>, world: &World<N>| {
                    world.is_healthy() && world.most > world.replicas
                },
            ));
        }
        all
    }
}

fn at_size<const N: usize>(world: &World<N>, size: usize) -> bool {
    world.replicas == size && world.is_healthy()
}
