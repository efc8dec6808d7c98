//! What a roving member is made of, and what it does for the other machine's. Nothing is made before it is the
//! only one of its gate.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use signal_hook::consts::SIGCHLD;

use super::member::{MemberProcess, StartMember};
use super::memory::RoveMemory;
use super::report::{VolumeReport, volume_words};
use super::said::RoverSaid;
use crate::drbd::{Drbd, FailureKind, Follower};
use crate::fence::{Answer, Deed, FenceServer, Key, Machine, Turn};
use crate::gate::{self, GateReader, tokens};
use crate::settings::Rover;
use crate::table::{Reply, VolumeStep, asked_to_outdate};
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
    /// We have thawed our writes since the peer was lost: see [`asked_to_outdate`].
    pub(super) ahead: Arc<AtomicBool>,
    /// Answers the other rover.
    pub(super) _server: Option<FenceServer>,
    /// Held for as long as we run: one rover for one gate.
    pub(super) _lock: std::fs::File,
    pub(super) said: RoverSaid,
    pub(super) failures: u32,
    /// The step that has succeeded last and changed nothing, as it is decided again; and how often.
    pub(super) again: (Option<VolumeStep>, u32),
    pub(super) reported: Option<(Instant, VolumeReport)>,
    /// DRBD's set-up was looked at, and is one of the safe ones.
    pub(super) supported: bool,
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
        let ahead = Arc::new(AtomicBool::new(false));
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
                let deed = deed(drbd.clone(), settings, ahead.clone(), member.waiting());
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
            gate: GateReader::open(&settings.gate),
            member,
            memory: RoveMemory::default(),
            device: None,
            machine,
            key,
            turn,
            ahead,
            _server: server,
            _lock: lock,
            said: RoverSaid::default(),
            failures: 0,
            again: (None, 0),
            reported: None,
            supported: false,
        })
    }
}

/// What is done for the other rover, which has proven the shared secret.
fn deed(
    drbd: Drbd,
    settings: &Rover,
    ahead: Arc<AtomicBool>,
    waiting: Arc<Mutex<()>>,
) -> Arc<Deed> {
    let gate = settings.gate.clone();
    Arc::new(move |resource| {
        let _waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut drbd = drbd.clone();
        if resource != drbd.name() {
            return Answer::Failed(format!("there is no {resource} here"));
        }
        let volume = drbd.look();
        match asked_to_outdate(&volume, ahead.load(Ordering::SeqCst)) {
            Reply::Primary => Answer::Primary,
            Reply::NotNow => Answer::Busy(format!(
                "this disk is still connected, or may hold what the other one lacks: {}",
                volume_words(&volume)
            )),
            Reply::Cannot => Answer::Failed(volume_words(&volume)),
            Reply::Grant => match drbd.outdate(OUTDATE) {
                Ok(()) => {
                    // An operator's word was given without knowing what the other one writes from now on.
                    match tokens::take_word(&gate) {
                        Ok(()) => Answer::Outdated,
                        Err(error) => Answer::Busy(error.to_string()),
                    }
                }
                // It has connected again meanwhile: asked once more, it says what it is then.
                Err(failure) if failure.kind == FailureKind::NotRecorded => {
                    Answer::Busy(failure.to_string())
                }
                Err(failure) if failure.kind == FailureKind::Primary => Answer::Primary,
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
