//! The roving member: owns the DRBD volume, its mount and the member on it; keepalived only says what it
//! wishes. The same loop as everywhere: look, decide, take one step, look again.
//!
//! The member itself is the ordinary entrypoint, as a child, with its data dir on the mount.

mod kernel;
mod look;
mod member;
mod reconsider;
mod report;
mod said;
mod status;
mod steps;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use signal_hook::consts::SIGCHLD;

use crate::drbd::{self, Drbd, Follower, Kind};
use crate::fence::{Answer, Key, Machine, Request, Server, Turn};
use crate::gate::{self, GateReader, accept_loss};
use crate::settings::Rover;
use crate::table::{
    Child, Gate, PeerFate, Reply, Standing, Volume, VolumeDecision, VolumeSeen, VolumeStep,
    asked_to_be_left_out, asked_to_outdate, decide_volume,
};
use etcd_rejoin_host::error::{Context, Error};
use etcd_rejoin_host::exit::Exit;
use etcd_rejoin_host::signals::Stop;
use look::Memory;
pub use look::policy;
use member::Member;
pub use member::Start;
pub use report::VolumeReport;
use said::Said;
pub use status::VolumeStatus;

/// How often the wish is read while there is nothing to do.
const TICK: Duration = Duration::from_millis(20);
/// How often everything is looked at then.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// While something passes by itself, or is being let go.
const LOOK_SOON: Duration = Duration::from_millis(100);
/// The pause after a step that failed grows to this.
const MAX_BACKOFF: Duration = Duration::from_secs(2);
/// How long DRBD may take to record that our disk is outdated.
const OUTDATE: Duration = Duration::from_secs(4);

/// Runs the roving member until it is told to end, or its member has ended.
///
/// `start` makes the member: this program again, as a child that dies with us.
pub fn rove(settings: &Rover, version: &str, start: Start, stop: &Stop) -> Exit {
    let mut rove = match Rove::new(settings, start, stop) {
        Ok(rove) => rove,
        Err(error) => {
            log::error!("{error}");
            return Exit::FAILED;
        }
    };
    log::info!(
        "etcd-rejoin {version} roves: resource={} mount={} gate={}",
        settings.resource,
        settings.mount.display(),
        settings.gate.display()
    );
    loop {
        if let Some(exit) = rove.round() {
            return exit;
        }
    }
}

struct Rove<'a> {
    settings: &'a Rover,
    stop: &'a Stop,
    drbd: Drbd,
    follower: Follower,
    gate: GateReader,
    member: Member,
    memory: Memory,
    device: Option<PathBuf>,
    machine: Machine,
    key: Option<Key>,
    turn: Arc<Turn>,
    shared: Arc<Shared>,
    /// Answers the other rover.
    _server: Option<Server>,
    /// Held for as long as we run: one rover for one gate.
    _lock: std::fs::File,
    said: Said,
    failures: u32,
    /// The step that has succeeded last and changed nothing, as it is decided again; and how often.
    again: (Option<VolumeStep>, u32),
    reported: Option<(Instant, VolumeReport)>,
    reconsider: reconsider::Reconsider,
}

/// What the rover and the one that answers its peer tell each other.
#[derive(Debug, Default)]
struct Shared {
    /// The peer is settled, and we are about to be promoted: no request can outdate us now.
    settled: AtomicBool,
    /// See [`Standing::ahead`].
    ahead: AtomicBool,
    /// When we have outdated ourselves at the peer's request ([`accept_loss::now`]); 0: never.
    granted: AtomicU64,
}

impl<'a> Rove<'a> {
    fn new(settings: &'a Rover, start: Start, stop: &'a Stop) -> Result<Self, Error> {
        // Ignored by whoever started us, a child's status would be lost, for DRBD's own tools too.
        signal_hook::flag::register(SIGCHLD, Arc::default())
            .context(|| "cannot handle SIGCHLD".into())?;
        let lock = only_one(settings)?;
        make_place(&settings.mount)?;
        let drbd = Drbd::new(&settings.resource, std::env::vars_os())?;
        let machine = Machine::this()?;
        let turn = Arc::new(Turn::default());
        let shared = Arc::new(Shared::default());
        let key = match &settings.fence {
            Some(fence) => Some(Key::read(&fence.key_file).map_err(|why| {
                let shown = fence.key_file.display();
                Error::new(format!("REJOIN_FENCE_KEY_FILE={shown} {why}"))
            })?),
            None => None,
        };
        let member = Member::new(start);
        let server = match (&settings.fence, &key) {
            (Some(fence), Some(key)) => {
                let deed = deed(drbd.clone(), shared.clone(), member.waiting());
                let (key, machine) = (key.clone(), machine.clone());
                Some(Server::start(
                    fence.listen,
                    key,
                    machine,
                    turn.clone(),
                    deed,
                )?)
            }
            _ => None,
        };
        Ok(Rove {
            settings,
            stop,
            follower: drbd.follower(),
            drbd,
            gate: GateReader::open(&settings.gate, settings.gate_instance.as_deref()),
            member,
            memory: Memory::new(),
            device: None,
            machine,
            key,
            turn,
            shared,
            _server: server,
            _lock: lock,
            said: Said::default(),
            failures: 0,
            again: (None, 0),
            reported: None,
            reconsider: reconsider::Reconsider::default(),
        })
    }

    /// One look, one decision, at most one step. `Some` ends the program.
    fn round(&mut self) -> Option<Exit> {
        let seen = self.look();
        // Nothing is settled that a look has forgotten.
        if self.memory.known.fate == PeerFate::Unknown {
            self.shared.settled.store(false, Ordering::SeqCst);
        }
        let decision = decide_volume(&policy(self.settings), &seen);
        self.say(&seen, decision);
        self.report(&seen, decision);
        self.reconsider(seen.gate);
        let pause = match decision {
            VolumeDecision::End(_) => return Some(self.end(&seen)),
            VolumeDecision::Do(step, _) => match self.step(step) {
                true => self.brake(step),
                false => grown(LOOK_SOON, self.failures),
            },
            VolumeDecision::Wait(_) if seen.gate == Gate::Master || seen.demoting_for.is_some() => {
                LOOK_SOON
            }
            VolumeDecision::Wait(_) | VolumeDecision::Serve(_) | VolumeDecision::Refuse(_) => {
                LOOK_EVERY
            }
        };
        if !matches!(decision, VolumeDecision::Do(..)) {
            self.again = (None, 0);
        }
        self.pause(pause, &seen);
        None
    }

    /// How long to wait after a step that succeeded: not at all, but where it is decided again and again, as
    /// the end of a member that the kernel does not let go of, and the machine is ill anyway.
    fn brake(&mut self, step: VolumeStep) -> Duration {
        self.again = match self.again {
            (Some(last), times) if last == step => (Some(step), times + 1),
            _ => (Some(step), 0),
        };
        match self.again.1 {
            0 => Duration::ZERO,
            times => grown(TICK, times),
        }
    }

    /// Until it is time to look again, or the wish changes, or DRBD has something to say, or we are told
    /// to end.
    fn pause(&mut self, pause: Duration, seen: &VolumeSeen) {
        let until = Instant::now() + pause;
        // A resync tells of itself without end.
        let asked = self.memory.volume.as_ref().map(|(at, _)| *at);
        let soon = asked.map_or(until, |asked| until.min(asked + LOOK_SOON));
        while Instant::now() < until {
            if Instant::now() >= soon && self.follower.runs() && !self.follower.is_quiet() {
                return;
            }
            let tick = until.min(Instant::now() + TICK);
            let stopped = self.stop.sleep_until(tick).is_some();
            if self.gate.latest() != seen.gate || (stopped && !seen.ending) {
                return;
            }
            if stopped {
                std::thread::sleep(TICK);
            }
        }
    }

    fn step(&mut self, step: VolumeStep) -> bool {
        let begin = Instant::now();
        let beat = self.beat(step);
        let taken = self.take(step);
        drop(beat);
        if taken.is_err() || changes_drbd(step) {
            self.memory.volume = None;
        }
        match taken {
            Ok(()) => {
                if self.said.succeeded(step) {
                    self.failures = 0;
                }
                if let VolumeStep::Mount | VolumeStep::Demote = step {
                    self.memory.mounting = None;
                }
                if step == VolumeStep::Mount {
                    self.memory.mount_failed = None;
                }
                log::debug!(
                    "step={} took={}ms",
                    step.name(),
                    begin.elapsed().as_millis()
                );
                true
            }
            Err(error) => {
                self.failures += 1;
                self.said.failed(step, &error);
                if let VolumeStep::CheckFileSystem | VolumeStep::Mount = step {
                    self.memory.mount_fails();
                }
                false
            }
        }
    }

    fn report(&mut self, seen: &VolumeSeen, decision: VolumeDecision) {
        let policy = policy(self.settings);
        let report = VolumeReport::of(
            &self.settings.resource,
            &policy,
            seen,
            decision,
            &self.machine.0,
        );
        let written = self.reported.as_ref();
        let due =
            written.is_none_or(|(at, last)| at.elapsed() >= report::EVERY || !last.says(&report));
        if due {
            // Only for people and for keepalived's check, which take its absence for a no.
            if let Err(error) = report.write(&self.settings.gate) {
                log::debug!("{error}");
            }
            self.reported = Some((Instant::now(), report));
        }
    }

    /// Nothing is held any more.
    fn end(&self, seen: &VolumeSeen) -> Exit {
        match (seen.child, self.stop.raised()) {
            (Child::Ended(0), None) => Exit::NOT_OK,
            (Child::Ended(code), _) => Exit(code),
            (_, Some(signal)) => Exit::signal(signal),
            (_, None) => Exit::NOT_OK,
        }
    }
}

/// A pause that grows.
fn grown(pause: Duration, times: u32) -> Duration {
    (pause * 2_u32.pow(times.min(7))).min(MAX_BACKOFF)
}

/// Whether what DRBD said before this step is over. It would be heard of; but the kernel is asked at once.
fn changes_drbd(step: VolumeStep) -> bool {
    match step {
        VolumeStep::BringUp
        | VolumeStep::FencePeer
        | VolumeStep::Thaw
        | VolumeStep::Promote
        | VolumeStep::ForcePromote
        | VolumeStep::Demote
        | VolumeStep::SelfFence => true,
        VolumeStep::AskPeer
        | VolumeStep::DropWord
        | VolumeStep::CheckFileSystem
        | VolumeStep::Mount
        | VolumeStep::StartChild
        | VolumeStep::StopChild
        | VolumeStep::KillChild
        | VolumeStep::Unmount => false,
    }
}

/// The volume in one line.
fn volume_words(volume: &Volume) -> String {
    match volume {
        Volume::Unusable(words) => words.clone(),
        Volume::Down => "not up".into(),
        Volume::Up(resource) => drbd::summary(resource),
    }
}

/// What is done for the other rover, which has proven the shared secret.
fn deed(drbd: Drbd, shared: Arc<Shared>, waiting: Arc<Mutex<()>>) -> Arc<crate::fence::Deed> {
    Arc::new(move |request| {
        let _waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut drbd = drbd.clone();
        let volume = drbd.look();
        if let Request::State(_) = request {
            return Answer::State(volume_words(&volume));
        }
        if request.resource() != drbd.name() {
            return Answer::Failed(format!("there is no {} here", request.resource()));
        }
        let standing = Standing {
            promoting: shared.settled.load(Ordering::SeqCst),
            ahead: shared.ahead.load(Ordering::SeqCst),
        };
        let reply = match request {
            Request::Without(_) => asked_to_be_left_out(&volume, standing),
            Request::Outdate(_) | Request::Would(_) | Request::State(_) => {
                asked_to_outdate(&volume, standing)
            }
        };
        match reply {
            Reply::Primary => Answer::Primary,
            Reply::NotNow(why) => Answer::Busy(why.into()),
            Reply::Cannot => Answer::Failed(volume_words(&volume)),
            Reply::Grant if !matches!(request, Request::Outdate(_)) => Answer::Would,
            Reply::Grant => match drbd.outdate(OUTDATE) {
                Ok(()) => {
                    shared.granted.store(accept_loss::now(), Ordering::SeqCst);
                    Answer::Outdated
                }
                // It has connected again meanwhile: asked once more, it says what it is then.
                Err(failure) if failure.kind == Kind::NotRecorded => {
                    Answer::Busy(failure.to_string())
                }
                Err(failure) => Answer::Failed(failure.to_string()),
            },
        }
    })
}

/// Made where it is missing; what stands in the way is said before anybody counts on this machine, not at a
/// takeover.
fn make_place(mount: &Path) -> Result<(), Error> {
    let shown = mount.display();
    match std::fs::metadata(mount) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(Error::new(format!(
            "REJOIN_MOUNT={shown} is no directory, and nothing can be mounted there: name another one"
        ))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            std::fs::create_dir_all(mount)
                .context(|| format!("cannot make REJOIN_MOUNT={shown}, where the volume belongs"))
        }
        // A mount whose disk has failed cannot even be looked at.
        Err(_) => Ok(()),
    }
}

/// Two rovers on one gate would undo each other's steps.
fn only_one(settings: &Rover) -> Result<std::fs::File, Error> {
    let path = gate::beside(&settings.gate, ".rover");
    gate::make_dir(&settings.gate)?;
    let shown = path.display();
    let file = (std::fs::OpenOptions::new().create(true).append(true))
        .open(&path)
        .context(|| format!("cannot open {shown}"))?;
    let exclusive = rustix::fs::FlockOperation::NonBlockingLockExclusive;
    match rustix::fs::flock(&file, exclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::new(format!(
            "another etcd-rejoin holds {shown}: one rover for one gate"
        ))),
        Err(error) => Err(Error::new(format!("cannot lock {shown}: {error}"))),
    }
}
