//! What a roving member is made of, and what it does for the other machine's. Nothing is made before it is the
//! only one of its gate.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use signal_hook::consts::SIGCHLD;

use super::member::{MemberProcess, StartMember};
use super::memory::RoveMemory;
use super::reconsider::Reconsider;
use super::report::{VolumeReport, volume_words};
use super::said::RoverSaid;
use crate::drbd::{Drbd, FailureKind, Follower};
use crate::fence::{Answer, Deed, FenceServer, Key, Machine, Request, Turn};
use crate::gate::{self, GateReader, accept_loss};
use crate::settings::Rover;
use crate::table::{Reply, Standing, VolumeStep, asked_to_be_left_out, asked_to_outdate};
use etcd_rejoin_host::error::{Context, Error};
use etcd_rejoin_host::signals::Stop;

/// How long DRBD may take to record that our disk is outdated.
const OUTDATE: Duration = Duration::from_secs(4);

/// The roving member.
pub(super) struct Rove<'a> {
    pub(super) settings: &'a Rover,
    pub(super) stop: &'a Stop,
    pub(super) drbd: Drbd,
    pub(super) follower: Follower,
    pub(super) gate: GateReader,
    pub(super) member: MemberProcess,
    pub(super) memory: RoveMemory,
    pub(super) device: Option<PathBuf>,
    pub(super) machine: Machine,
    pub(super) key: Option<Key>,
    pub(super) turn: Arc<Turn>,
    pub(super) shared: Arc<Pledges>,
    /// Answers the other rover.
    pub(super) _server: Option<FenceServer>,
    /// Held for as long as we run: one rover for one gate.
    pub(super) _lock: std::fs::File,
    pub(super) said: RoverSaid,
    pub(super) failures: u32,
    /// The step that has succeeded last and changed nothing, as it is decided again; and how often.
    pub(super) again: (Option<VolumeStep>, u32),
    pub(super) reported: Option<(Instant, VolumeReport)>,
    pub(super) reconsider: Reconsider,
}

/// What the rover and the one that answers its peer tell each other.
#[derive(Debug, Default)]
pub(super) struct Pledges {
    /// The peer is settled, and we are about to be promoted: no request can outdate us now.
    pub(super) settled: AtomicBool,
    /// See [`Standing::ahead`].
    pub(super) ahead: AtomicBool,
    /// When we have outdated ourselves at the peer's request ([`accept_loss::now`]); 0: never.
    pub(super) granted: AtomicU64,
}

impl<'a> Rove<'a> {
    pub(super) fn new(
        settings: &'a Rover,
        start: StartMember,
        stop: &'a Stop,
    ) -> Result<Self, Error> {
        // Ignored by whoever started us, a child's status would be lost, for DRBD's own tools too.
        signal_hook::flag::register(SIGCHLD, Arc::default())
            .context(|| "cannot handle SIGCHLD".into())?;
        let lock = only_one(settings)?;
        make_place(&settings.mount)?;
        let drbd = Drbd::new(&settings.resource, settings.env.iter().cloned())?;
        let machine = Machine::this()?;
        let turn = Arc::new(Turn::default());
        let shared = Arc::new(Pledges::default());
        let key = match &settings.fence {
            Some(fence) => Some(Key::read(&fence.key_file).map_err(|why| {
                let shown = fence.key_file.display();
                Error::new(format!("REJOIN_FENCE_KEY_FILE={shown} {why}"))
            })?),
            None => None,
        };
        let member = MemberProcess::new(start);
        let server = match (&settings.fence, &key) {
            (Some(fence), Some(key)) => {
                let deed = deed(drbd.clone(), shared.clone(), member.waiting());
                let (key, machine) = (key.clone(), machine.clone());
                Some(FenceServer::start(
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
            memory: RoveMemory::new(),
            device: None,
            machine,
            key,
            turn,
            shared,
            _server: server,
            _lock: lock,
            said: RoverSaid::default(),
            failures: 0,
            again: (None, 0),
            reported: None,
            reconsider: Reconsider::default(),
        })
    }
}

/// What is done for the other rover, which has proven the shared secret.
fn deed(drbd: Drbd, shared: Arc<Pledges>, waiting: Arc<Mutex<()>>) -> Arc<Deed> {
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
                Err(failure) if failure.kind == FailureKind::NotRecorded => {
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
