//! The model: what can happen next.

use etcd_rejoin_rover::table::{
    Disk, HandlerDecision, Reply, Resource, Role, Settled, VolumeDecision, VolumePolicy,
    VolumeSeen, VolumeState, VolumeStep, asked_to_outdate, decide_handler, decide_volume,
};
use stateright::{Model, Property};

use crate::rover::policy;
use crate::world::{Budget, Rover, Settings, World};

pub const NO_LOSS: &str = "no acknowledged write is missing where the member serves";
pub const ONE_WRITER: &str = "at most one machine can acknowledge";
pub const WHOLE: &str = "no member runs on half a resync";
pub const FAILOVER: &str = "the other machine takes over while the dead one is off";
pub const TWICE: &str = "and the first one when that one dies";
pub const RETURN: &str = "the other machine takes over when the dead one is back";

pub type Decide = fn(&VolumePolicy, &VolumeSeen) -> VolumeDecision;

/// The real one: `decide_handler`.
pub type DecideHandler = fn(&Resource, bool, Option<&Settled>, bool) -> HandlerDecision;

/// What can happen next. The number is the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Gate(usize),
    StartRover(usize),
    /// The rover looks, decides and does it; a promotion is done later.
    Look(usize, bool),
    /// The promotion that was decided. Whether a fence command works is chance.
    Promote(usize, bool),
    /// Keepalived has changed its mind: the rover leaves the promotion to the kernel.
    GiveUp(usize),
    /// The kernel ends it.
    Left(usize, bool),
    /// The kernel's handler ends.
    Handler(usize, bool),
    Connect,
    Synced,
    Write(usize),
    PowerOn(usize),
    PowerOff(usize),
    KillRover(usize),
    /// SIGTERM.
    StopRover(usize),
    /// `drbdadm down`, with no rover there to bring it up again.
    TakeDown(usize),
    Detach(usize),
    /// The disk that failed is there again.
    Attach(usize),
    CutLink,
    HealLink,
    CutLan,
    HealLan,
    CutThird(usize),
    HealThird(usize),
}

impl Action {
    /// Faults happen as often as the budget says. All else goes on without end.
    pub fn is_fault(self) -> bool {
        match self {
            Action::PowerOff(_)
            | Action::KillRover(_)
            | Action::StopRover(_)
            | Action::TakeDown(_)
            | Action::GiveUp(_)
            | Action::Detach(_)
            | Action::CutLink
            | Action::CutLan
            | Action::CutThird(_)
            | Action::Write(_) => true,
            Action::Gate(_)
            | Action::StartRover(_)
            | Action::Look(..)
            | Action::Promote(..)
            | Action::Left(..)
            | Action::Handler(..)
            | Action::Attach(_)
            | Action::Connect
            | Action::Synced
            | Action::PowerOn(_)
            | Action::HealLink
            | Action::HealLan
            | Action::HealThird(_) => false,
        }
    }
}

pub struct Cluster {
    pub settings: Settings,
    pub budget: Budget,
    pub decide: Decide,
    /// What a rover answers to the peer's question.
    pub asked_to_outdate: fn(&VolumeState, bool) -> Reply,
    /// What the kernel's handler does.
    pub decide_handler: DecideHandler,
    /// A peer that answers, and does not outdate itself, is turned off unless it is Primary.
    pub fences_who_refuses: bool,
    /// Nobody is asked before a thaw.
    pub thaws_unasked: bool,
    /// A rover looks whenever something has changed, and promotes at once.
    pub attentive: bool,
    pub policy: VolumePolicy,
}

impl Cluster {
    pub fn new(settings: Settings, budget: Budget) -> Cluster {
        Cluster {
            settings,
            budget,
            decide: decide_volume,
            asked_to_outdate,
            decide_handler,
            fences_who_refuses: false,
            thaws_unasked: false,
            attentive: false,
            policy: policy(),
        }
    }

    pub fn with(mut self, decide: Decide) -> Cluster {
        self.decide = decide;
        self
    }

    pub fn whoever_is_secondary_outdates_itself(mut self) -> Cluster {
        self.asked_to_outdate = |volume, _| match volume {
            VolumeState::Up(resource) if resource.role == Role::Primary => Reply::Primary,
            VolumeState::Up(_) => Reply::Grant,
            VolumeState::Down | VolumeState::Unusable(_) => Reply::Cannot,
        };
        self
    }

    pub fn with_handler(mut self, handler: DecideHandler) -> Cluster {
        self.decide_handler = handler;
        self
    }

    pub fn fences_who_refuses(mut self) -> Cluster {
        self.fences_who_refuses = true;
        self
    }

    pub fn thaws_unasked(mut self) -> Cluster {
        self.thaws_unasked = true;
        self
    }

    pub fn attentive(mut self) -> Cluster {
        self.attentive = true;
        self
    }

    /// What the rover would do now, if anything.
    pub fn decision(&self, world: &World, at: usize) -> VolumeDecision {
        let mut looked = *world;
        looked.remember(at, &self.settings);
        (self.decide)(&self.policy, &looked.seen(at, &self.settings))
    }

    fn rover_actions(&self, world: &World, at: usize, actions: &mut Vec<Action>) {
        let rover = &world.machines[at].rover;
        let mut both = |action: fn(usize, bool) -> Action, fences: bool| {
            actions.push(action(at, true));
            if fences && self.settings.command {
                actions.push(action(at, false));
            }
        };
        if rover.promoting {
            // After the one that was left.
            if !world.machines[at].promoting {
                both(Action::Promote, true);
            }
            if world.left.give_up > 0 && !world.machines[at].gate {
                actions.push(Action::GiveUp(at));
            }
            return;
        }
        let fences = |step| match step {
            VolumeStep::Thaw => true,
            VolumeStep::Promote => self.attentive,
            _ => false,
        };
        match self.decision(world, at) {
            VolumeDecision::Do(step, _) => both(Action::Look, fences(step)),
            // It still remembers what it saw.
            _ => both(Action::Look, false),
        }
    }

    fn machine_actions(&self, world: &World, at: usize, actions: &mut Vec<Action>) {
        let (machine, left) = (&world.machines[at], &world.left);
        if !machine.on {
            actions.push(Action::PowerOn(at));
            return;
        }
        actions.push(Action::Gate(at));
        match machine.rover.runs {
            true => self.rover_actions(world, at, actions),
            false => actions.push(Action::StartRover(at)),
        }
        if machine.promoting {
            actions.push(Action::Left(at, true));
            if self.settings.command {
                actions.push(Action::Left(at, false));
            }
        }
        if left.take_down > 0 {
            if Cluster::can_stop(world, at) {
                actions.push(Action::StopRover(at));
            }
            if !machine.rover.runs && world.can_take_down(at) {
                actions.push(Action::TakeDown(at));
            }
        }
        if machine.handler {
            actions.push(Action::Handler(at, true));
            if self.settings.command {
                actions.push(Action::Handler(at, false));
            }
        }
        if left.write > 0 && world.can_write(at, &self.settings) {
            actions.push(Action::Write(at));
        }
        if left.crash > 0 {
            actions.push(Action::PowerOff(at));
        }
        if left.kill_rover > 0 && machine.rover.runs {
            actions.push(Action::KillRover(at));
        }
        if left.detach > 0 && machine.up && machine.disk != Disk::Diskless {
            actions.push(Action::Detach(at));
        }
        // While it is connected a disk that comes back is compared: a boot does the same.
        let gone = machine.up && machine.disk == Disk::Diskless && machine.role != Role::Primary;
        if gone && !world.connected {
            actions.push(Action::Attach(at));
        }
    }

    /// The world after this schedule.
    pub fn world_after(&self, schedule: &[Action]) -> World {
        let mut world = World::healthy(self.budget);
        for action in schedule {
            let mut actions = Vec::new();
            self.actions(&world, &mut actions);
            assert!(
                actions.contains(action),
                "not now: {action:?}, but {actions:?}\n{world:?}"
            );
            self.step(&mut world, *action);
        }
        world
    }

    fn step(&self, world: &mut World, action: Action) {
        let settings = &self.settings;
        match action {
            Action::Gate(at) => world.machines[at].gate ^= true,
            Action::StartRover(at) => {
                world.machines[at].rover = Rover {
                    runs: true,
                    ..Rover::GONE
                };
            }
            Action::Look(at, works) => {
                let decision = self.decision(world, at);
                world.remember(at, &self.settings);
                if let VolumeDecision::Do(step, _) = decision {
                    self.act(world, at, step, works);
                    if self.attentive && step == VolumeStep::Promote {
                        self.promote(world, at, works);
                    }
                }
            }
            Action::Promote(at, works) => self.promote(world, at, works),
            Action::GiveUp(at) => {
                world.left.give_up -= 1;
                let machine = &mut world.machines[at];
                machine.promoting = true;
                (machine.rover.promoting, machine.rover.unsettled) = (false, true);
            }
            Action::Left(at, works) => {
                self.kernel_promotes(world, at, works);
            }
            Action::Handler(at, works) => self.handler(world, at, works),
            Action::Connect => world.connect(settings),
            Action::Synced => world.synced(settings),
            Action::Write(at) => world.write(at),
            Action::PowerOn(at) => world.machines[at].on = true,
            Action::PowerOff(at) => {
                world.left.crash -= 1;
                world.power_off(at, settings);
            }
            Action::KillRover(at) => {
                world.left.kill_rover -= 1;
                Cluster::kill_rover(world, at);
            }
            Action::StopRover(at) => Cluster::stop_rover(world, at),
            Action::TakeDown(at) => {
                world.left.take_down -= 1;
                world.take_down(at, settings);
            }
            Action::Detach(at) => {
                world.left.detach -= 1;
                world.detach(at, settings);
            }
            Action::Attach(at) => world.attach(at, settings),
            Action::CutLink => {
                world.left.cut_link -= 1;
                world.link = false;
                world.lose_connection(settings);
                world.settle(settings);
            }
            Action::HealLink => world.link = true,
            Action::CutLan => {
                world.left.cut_lan -= 1;
                world.lan = false;
            }
            Action::HealLan => world.lan = true,
            Action::CutThird(at) => {
                world.left.cut_third -= 1;
                world.third[at] = false;
                world.settle(settings);
            }
            Action::HealThird(at) => {
                world.third[at] = true;
                world.settle(settings);
            }
        }
        if self.attentive {
            for at in 0..2 {
                if world.machines[at].rover.runs {
                    world.remember(at, &self.settings);
                }
            }
        }
    }
}

impl Model for Cluster {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![self.world_after(&[])]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for at in 0..2 {
            self.machine_actions(world, at, actions);
        }
        let left = &world.left;
        if world.can_connect() {
            actions.push(Action::Connect);
        }
        if world.source.is_some() {
            actions.push(Action::Synced);
        }
        match world.link {
            true if left.cut_link > 0 => actions.push(Action::CutLink),
            true => {}
            false => actions.push(Action::HealLink),
        }
        match world.lan {
            true if left.cut_lan > 0 => actions.push(Action::CutLan),
            true => {}
            false => actions.push(Action::HealLan),
        }
        for at in 0..2 {
            match world.third[at] {
                true if left.cut_third > 0 => actions.push(Action::CutThird(at)),
                true => {}
                false => actions.push(Action::HealThird(at)),
            }
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = *last;
        self.step(&mut world, action);
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::<Self>::always(NO_LOSS, |model, world| {
                (0..2).all(|at| {
                    !world.can_write(at, &model.settings) || world.acked & !world.reads(at) == 0
                })
            }),
            Property::<Self>::always(ONE_WRITER, |model, world| {
                !(0..2).all(|at| world.can_write(at, &model.settings))
            }),
            Property::<Self>::always(WHOLE, |_, world| {
                (world.machines.iter()).all(|m| !m.rover.child || m.disk != Disk::Inconsistent)
            }),
            Property::<Self>::sometimes(FAILOVER, |_, world| world.failovers > 0),
            Property::<Self>::sometimes(TWICE, |_, world| world.failovers > 1),
            Property::<Self>::sometimes(RETURN, |_, world| world.returns > 0),
        ]
    }
}
