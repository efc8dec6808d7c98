//! The modelled world of a set that changes its size, as a hashable value; and what each step does to it.

use etcd_rejoin_decide::membership::{MemberId, quorum};
use etcd_rejoin_decide::{Begin, Decision, Happened, Memory, Reason, Removal, Start, Step};

use std::time::Duration;

/// So many IDs a pod may have; 0 is the static one.
pub const IDS: u8 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    pub at: u8,
    pub nth: u8,
}

impl Id {
    pub fn member(self) -> MemberId {
        MemberId(u64::from(self.at * IDS + self.nth) + 1)
    }

    pub fn of(member: MemberId) -> Id {
        let number = (member.0 - 1) as u8;
        Id {
            at: number / IDS,
            nth: number % IDS,
        }
    }
}

/// One line of the member list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    pub id: Id,
    pub learner: bool,
    pub started: bool,
}

/// What was decided and not yet done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    Start(Start),
    Step(Step, Reason),
}

impl Act {
    pub fn of(decision: &Decision) -> Option<Act> {
        match decision {
            Decision::Start(start, _) => Some(Act::Start(start.clone())),
            Decision::Do(step, why) => Some(Act::Step(step.clone(), why.reason())),
            Decision::Wait(_) | Decision::Refuse(_) | Decision::Done(_) => None,
        }
    }
}

/// A run of the program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Run {
    pub memory: Memory,
    pub decided: Option<Act>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Container {
    Entrypoint(Box<Run>),
    Etcd,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pod {
    Gone,
    Here(Container),
    /// It ends, and its pre-stop runs beside what runs.
    Ending(Container, Box<Run>),
}

impl Pod {
    pub fn container(&self) -> Option<&Container> {
        match self {
            Pod::Gone => None,
            Pod::Here(container) | Pod::Ending(container, _) => Some(container),
        }
    }

    pub fn container_mut(&mut self) -> Option<&mut Container> {
        match self {
            Pod::Gone => None,
            Pod::Here(container) | Pod::Ending(container, _) => Some(container),
        }
    }
}

/// What lies in a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Whose data: the nth ID of this pod.
    pub data: Option<u8>,
    pub join: Option<u8>,
    pub promise: bool,
    pub left: bool,
    pub learner: bool,
    pub set_aside: bool,
}

/// How often each fault may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    pub scale: u8,
    /// A pre-stop or a container is killed.
    pub kill: u8,
    pub wipe: u8,
    pub drain: u8,
    /// The API server does not answer.
    pub deaf: u8,
    /// A removal without an answer, which may be applied later.
    pub pend: u8,
}

/// What an *always* forbids.
pub mod broken {
    /// Founded while a pod that the set wants has data, or a member runs.
    pub const TWO_CLUSTERS: u8 = 1;
    /// Founded while a member that is listed has its data in the claim of a pod that nobody wants.
    pub const OVER_UNWANTED: u8 = 1 << 1;
    /// A pod left whose set wants it, or is stopped.
    pub const WANTED_LEFT: u8 = 1 << 2;
    /// A leave was decided on where the rest has no quorum.
    pub const QUORUM: u8 = 1 << 3;
    /// An add lowered the margin.
    pub const MARGIN: u8 = 1 << 4;
    /// A start without data under an ID that has voted.
    pub const AMNESIA: u8 = 1 << 5;
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World<const N: usize> {
    /// What the set wants.
    pub replicas: usize,
    /// With how many it began.
    pub initial: usize,
    pub pods: [Pod; N],
    pub claims: [Claim; N],
    /// The member list; empty before the founding.
    pub list: Vec<Entry>,
    /// A removal that may be applied later.
    pub pending: Option<Id>,
    pub left: Budget,
    /// IDs that were given out.
    pub used: [u8; N],
    /// IDs that have voted and whose disk is lost. A ghost.
    pub forgot: Vec<Id>,
    /// The largest size that the set was healthy at, and its size just before. Ghosts.
    pub most: usize,
    pub broken: u8,
    /// All data was lost: nothing more is asked.
    pub lost: bool,
}

impl<const N: usize> World<N> {
    /// A set that begins.
    pub fn new(initial: usize, left: Budget) -> Self {
        World {
            replicas: initial,
            initial,
            pods: std::array::from_fn(|_| Pod::Gone),
            claims: std::array::from_fn(|_| Claim::default()),
            list: Vec::new(),
            pending: None,
            left,
            used: [0; N],
            forgot: Vec::new(),
            most: 0,
            broken: 0,
            lost: false,
        }
    }

    /// A set of this size that runs and is healthy. The first so many founded it.
    pub fn running(initial: usize, replicas: usize, left: Budget) -> Self {
        let mut world = World::new(initial, left);
        world.replicas = replicas;
        world.most = replicas;
        for at in 0..replicas {
            let nth = u8::from(at >= initial);
            world.used[at] = nth;
            world.claims[at].data = Some(nth);
            world.pods[at] = Pod::Here(Container::Etcd);
            world.list.push(Entry {
                id: Id { at: at as u8, nth },
                learner: false,
                started: true,
            });
        }
        world
    }

    pub fn wants(&self, at: usize) -> bool {
        at < self.replicas
    }

    pub fn entry(&self, id: Id) -> Option<&Entry> {
        self.list.iter().find(|entry| entry.id == id)
    }

    pub fn own_id(&self, at: usize) -> Option<Id> {
        let nth = self.claims[at].data?;
        Some(Id { at: at as u8, nth })
    }

    /// Whether its etcd runs and is listed.
    pub fn serves(&self, at: usize) -> bool {
        let listed = self.own_id(at).is_some_and(|id| self.entry(id).is_some());
        matches!(self.pods[at].container(), Some(Container::Etcd)) && listed
    }

    pub fn voters(&self) -> impl Iterator<Item = &Entry> {
        self.list.iter().filter(|entry| !entry.learner)
    }

    /// The voters that run.
    pub fn voting(&self) -> usize {
        let votes = |entry: &&Entry| {
            let at = usize::from(entry.id.at);
            self.own_id(at) == Some(entry.id) && self.serves(at)
        };
        self.voters().filter(votes).count()
    }

    pub fn is_quorate(&self) -> bool {
        !self.list.is_empty() && self.voting() >= quorum(self.voters().count())
    }

    /// More disks of voters are lost than a quorum allows.
    pub fn needs_a_person(&self) -> bool {
        let intact = self
            .voters()
            .filter(|entry| !self.forgot.contains(&entry.id));
        intact.count() < quorum(self.voters().count())
    }

    fn margin(&self) -> i64 {
        self.voting() as i64 - quorum(self.voters().count()) as i64
    }

    /// All that the set wants, and nothing else, is listed and votes.
    pub fn is_healthy(&self) -> bool {
        self.replicas > 0
            && self.pending.is_none()
            && self.list.len() == self.replicas
            && self.voting() == self.replicas
            && (0..N).all(|at| match &self.pods[at] {
                Pod::Here(Container::Etcd) => self.wants(at),
                Pod::Gone => !self.wants(at),
                Pod::Here(Container::Entrypoint(_)) | Pod::Ending(..) => false,
            })
    }

    /// Changes the list as etcd would, with a quorum.
    fn change(&mut self, entry: Result<Entry, Id>) -> bool {
        if !self.is_quorate() || self.pending.is_some() {
            return false;
        }
        match entry {
            Ok(new) => {
                let learners = self.list.iter().filter(|entry| entry.learner).count();
                // etcd refuses a voter that would take the quorum away.
                let started = self.voters().filter(|entry| entry.started).count();
                if new.learner && learners > 0
                    || !new.learner && started < quorum(self.voters().count() + 1)
                {
                    return false;
                }
                let before = self.margin();
                self.list.push(new);
                self.list.sort_unstable();
                if self.margin() < before {
                    self.broken |= broken::MARGIN;
                }
            }
            Err(gone) if !self.may_remove(gone) => return false,
            Err(gone) => self.list.retain(|entry| entry.id != gone),
        }
        true
    }

    /// etcd refuses to take a voter out where the others would have no quorum: by those that have ever started, and, if
    /// that voter runs, by those that run (etcd `server/etcdserver/server.go`, `mayRemoveMember`).
    fn may_remove(&self, gone: Id) -> bool {
        let Some(entry) = self.entry(gone) else {
            return false;
        };
        let others: Vec<&Entry> = self.voters().filter(|other| other.id != gone).collect();
        let started = others.iter().filter(|entry| entry.started).count();
        let at = usize::from(gone.at);
        let runs = self.own_id(at) == Some(gone) && self.serves(at);
        let voting = self.voting() - usize::from(runs);
        let needed = quorum(others.len());
        entry.learner || started >= needed && (!runs || voting >= needed)
    }

    /// The pre-stop, or the entrypoint of this pod, does what it decided. `answered`: the cluster's answer arrives.
    pub fn act(&mut self, at: usize, hook: bool, answered: bool) {
        let Some(run) = self.run_mut(at, hook) else {
            return;
        };
        let Some(act) = run.decided.take() else {
            return;
        };
        let (step, reason) = match act {
            Act::Start(start) => return self.start(at, &start),
            Act::Step(step, reason) => (step, reason),
        };
        let mut added = None;
        let claim = &mut self.claims[at];
        let done = match &step {
            Step::NoteLeft => {
                claim.left = true;
                true
            }
            Step::ForgetLeft => {
                claim.left = false;
                true
            }
            Step::Promise => {
                claim.promise = true;
                true
            }
            Step::NoteJoin(id) | Step::SettleJoin(id) => {
                let nth = Id::of(*id).nth;
                claim.join = Some(nth);
                let id = Id { at: at as u8, nth };
                self.claims[at].learner = self.entry(id).is_some_and(|entry| entry.learner);
                true
            }
            Step::Quarantine => {
                self.forget_data(at);
                self.claims[at] = Claim {
                    set_aside: true,
                    ..Claim::default()
                };
                true
            }
            Step::AddMember { learner } => {
                *claim = Claim {
                    set_aside: claim.set_aside,
                    ..Claim::default()
                };
                let id = Id {
                    at: at as u8,
                    nth: self.used[at] + 1,
                };
                let entry = Entry {
                    id,
                    learner: *learner,
                    started: false,
                };
                let done = self.change(Ok(entry));
                if done {
                    self.used[at] += 1;
                    added = Some(id.member());
                }
                done
            }
            Step::RemoveMember(id) => {
                let id = Id::of(*id);
                if hook && !answered {
                    // Whatever comes before it is applied is refused.
                    self.pending = Some(id).filter(|id| self.may_remove(*id));
                    self.left.pend -= 1;
                    false
                } else {
                    self.change(Err(id))
                }
            }
            other => panic!("not in this world: {other:?}"),
        };
        let removal = match (done, answered) {
            (true, _) => Removal::Done,
            (false, true) => Removal::Refused("no".into()),
            (false, false) => Removal::Unsure(Some("no answer".into())),
        };
        let happened = match &step {
            Step::RemoveMember(_) if hook => Happened::Asked(&removal),
            _ if !done => Happened::NotTaken,
            _ => Happened::Did(&step, reason, added),
        };
        if let Some(run) = self.run_mut(at, hook) {
            run.memory = std::mem::take(&mut run.memory).after(happened, Duration::ZERO);
        }
    }

    fn start(&mut self, at: usize, start: &Start) {
        match &start.begin {
            Begin::WithData => {}
            Begin::New => {
                self.found(at);
            }
            Begin::Existing { id, .. } => {
                let id = Id::of(*id);
                self.begin(at, id.nth);
            }
        }
        if let Some(container) = self.pods[at].container_mut() {
            *container = Container::Etcd;
        }
    }

    /// etcd makes its WAL: the notes of the start go.
    fn begin(&mut self, at: usize, nth: u8) {
        let id = Id { at: at as u8, nth };
        if self.forgot.contains(&id) {
            self.broken |= broken::AMNESIA;
        }
        let claim = &mut self.claims[at];
        claim.data = Some(nth);
        claim.join = None;
        claim.promise = false;
    }

    /// Those that found one after the other find the same list.
    fn found(&mut self, at: usize) {
        let id = Id {
            at: at as u8,
            nth: 0,
        };
        if self.list.is_empty() {
            self.list = (0..self.initial as u8)
                .map(|at| Entry {
                    id: Id { at, nth: 0 },
                    learner: false,
                    started: false,
                })
                .collect();
        } else if self.entry(id).is_none_or(|entry| entry.started) {
            // Somebody's data is left, or all of it is gone.
            let has = |other: &usize| *other != at && self.claims[*other].data.is_some();
            let near = |other: &usize| self.wants(*other) || self.pods[*other] != Pod::Gone;
            let listed = |other: &usize| {
                self.own_id(*other)
                    .is_some_and(|id| self.entry(id).is_some())
            };
            if (0..N).filter(has).any(|other| near(&other)) {
                self.broken |= broken::TWO_CLUSTERS;
            } else if (0..N).filter(has).any(|other| listed(&other)) {
                self.broken |= broken::OVER_UNWANTED;
            }
            self.lost = true;
        }
        self.begin(at, 0);
    }

    /// What the ID of this pod has voted is gone with its data.
    pub fn forget_data(&mut self, at: usize) {
        if let Some(id) = self.own_id(at)
            && self.entry(id).is_some_and(|entry| !entry.learner)
        {
            self.forgot.push(id);
            self.forgot.sort_unstable();
        }
    }

    pub fn run_mut(&mut self, at: usize, hook: bool) -> Option<&mut Run> {
        match (&mut self.pods[at], hook) {
            (Pod::Ending(_, run), true) => Some(run),
            (
                Pod::Here(Container::Entrypoint(run)) | Pod::Ending(Container::Entrypoint(run), _),
                false,
            ) => Some(run),
            _ => None,
        }
    }

    pub fn run(&self, at: usize, hook: bool) -> Option<&Run> {
        match (&self.pods[at], hook) {
            (Pod::Ending(_, run), true) => Some(run),
            (
                Pod::Here(Container::Entrypoint(run)) | Pod::Ending(Container::Entrypoint(run), _),
                false,
            ) => Some(run),
            _ => None,
        }
    }
}
