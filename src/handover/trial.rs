//! etcd as a child on trial: signals forwarded, orphans reaped, health looked at from the side.
//!
//! Three threads: this one waits for signals and children, one copies what etcd prints, and one calls
//! the watcher until that is done. A trial that has become healthy costs no wake-up of its own.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::SigSet;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait, waitpid};
use signal_hook::consts::{
    FORBIDDEN, SIGBUS, SIGCHLD, SIGINT, SIGPIPE, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU,
};
use signal_hook::iterator::Signals;

use super::copy::Copy;
use super::last_words::{LastWords, LastWordsReader};
use super::{Etcd, SIGNALS, child};
use crate::error::{Context, Error};
use crate::signals::Stop;

/// The first looks come this fast: a small etcd is healthy in 40 ms.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The pause grows to this.
const LAST_PAUSE: Duration = Duration::from_secs(1);
/// So many looks are fast.
const FAST_LOOKS: u32 = 40;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessEnd {
    /// With this exit code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

impl ProcessEnd {
    /// The exit code that says the same: the child's own, or 128 + n.
    pub fn exit_code(self) -> i32 {
        match self {
            ProcessEnd::Exited(code) => code,
            ProcessEnd::Signaled(signal) => 128 + signal,
        }
    }
}

impl fmt::Display for ProcessEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProcessEnd::Exited(code) => write!(f, "exit code {code}"),
            ProcessEnd::Signaled(signal) => match signal_hook::low_level::signal_name(*signal) {
                Some(name) => write!(f, "{name}"),
                None => write!(f, "signal {signal}"),
            },
        }
    }
}

/// How a trial ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How etcd ended. 127 and 126 mean that it could not be run; etcd has no such code itself.
    pub status: ProcessEnd,
    /// Whether the watcher ever called it healthy.
    pub healthy: bool,
    /// What it printed as the cause, as far as it was not healthy. No evidence to touch data.
    pub last_words: LastWords,
    /// The signal that we forwarded and that asked it to stop. Without one, exit code 0 is a failure:
    /// it is how etcd ends when it was removed from the cluster.
    pub stop: Option<i32>,
}

/// Why there was no trial.
#[derive(Debug)]
pub enum TrialError {
    /// This signal came first. Nothing was started.
    Stopped(i32),
    /// A pipe, a thread or a process could not be made.
    Failed(Error),
}

impl From<Error> for TrialError {
    fn from(error: Error) -> Self {
        TrialError::Failed(error)
    }
}

/// What the watcher says after a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Call me again a little later.
    Again,
    /// There is nothing left to look at: leave etcd alone.
    Done,
}

/// The watcher's view of a running trial.
pub struct Watch {
    shared: Arc<TrialShared>,
    listener: Arc<Mutex<Option<LastWordsReader>>>,
    looks: u32,
}

impl Watch {
    /// Remembers that etcd was healthy. What it prints from now on is not listened to.
    pub fn healthy(&mut self) {
        self.shared.lock().healthy = true;
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether `healthy` was called before.
    pub fn was_healthy(&self) -> bool {
        self.shared.lock().healthy
    }

    /// Whether etcd has ended or was asked to stop. A long look may ask in between.
    pub fn is_over(&self) -> bool {
        self.shared.lock().over
    }

    /// How many looks there were before this one.
    pub fn looks(&self) -> u32 {
        self.looks
    }
}

#[derive(Default)]
struct TrialState {
    healthy: bool,
    over: bool,
}

#[derive(Default)]
struct TrialShared {
    state: Mutex<TrialState>,
    changed: Condvar,
}

impl TrialShared {
    fn lock(&self) -> MutexGuard<'_, TrialState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        self.lock().over = true;
        self.changed.notify_all();
    }

    /// Sleeps for `pause`; true as soon as the trial is over.
    fn over_within(&self, pause: Duration) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), pause, |state| !state.over);
        waited.unwrap_or_else(PoisonError::into_inner).0.over
    }
}

/// Runs etcd as a child until it ends. `name` is our own.
///
/// `watch` is called from a thread of its own, first after 50 ms, then again and again, ever slower
/// down to once a second, until it says `Done`, etcd ends, or etcd is asked to stop. It is not waited
/// for: a look that is still under way when etcd ends is left to itself.
///
/// Every signal is forwarded, except
/// - SIGKILL and SIGSTOP, which no process can catch; etcd dies with us by the first;
/// - SIGCHLD, which tells us about children;
/// - SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGPIPE, which report a fault of our own;
/// - realtime signals, which cannot be sent without unsafe code; they are taken and dropped, which is
///   what Go's runtime would do with them.
///
/// SIGTSTP, SIGTTIN and SIGTTOU stop etcd and then us, as a shell's job control expects.
///
/// The caller's thread must be the one that lives as long as the process: the child is killed when the
/// thread that started it ends. No other child of ours may be waited for meanwhile: all are reaped here.
/// The handlers stay installed when the trial has ended, so later only SIGTERM and SIGINT end us.
pub fn trial<F>(etcd: &Etcd, name: &OsStr, stop: &Stop, watch: F) -> Result<Outcome, TrialError>
where
    F: FnMut(&mut Watch) -> Next + Send + 'static,
{
    // Before the child exists: none of its signals or ours may be missed, and an inherited ignored
    // SIGCHLD would take its status away.
    let mut signals = take_signals().context(|| "cannot handle signals".into())?;
    if let Some(signal) = stop.raised() {
        return Err(TrialError::Stopped(signal));
    }
    let (reader, writer) = io::pipe().context(|| "cannot make a pipe".into())?;
    let copy = Copy::start(reader)?;
    let child = child::spawn(etcd, name, Some(writer), None)?;
    let shared = Arc::new(TrialShared::default());
    let view = Watch {
        shared: shared.clone(),
        listener: copy.listener(),
        looks: 0,
    };
    let watching = thread::Builder::new()
        .name("watch".into())
        .spawn(move || look_on(view, watch));
    if let Err(error) = watching {
        let _ = kill_process(child, Signal::KILL);
        let _ = waitpid(Some(child), WaitOptions::empty());
        return Err(Error::caused("cannot start a thread", error).into());
    }
    let (status, stop) = supervise(child, &mut signals, &shared);
    shared.end();
    let last_words = copy.finish();
    let healthy = shared.lock().healthy;
    Ok(Outcome {
        status,
        healthy,
        last_words,
        stop,
    })
}

/// Catches every signal that can be caught and is not about a fault of our own.
///
/// All are blocked meanwhile, as in `Stop::install`: none that comes now is lost.
fn take_signals() -> io::Result<Signals> {
    SigSet::all().thread_block()?;
    let signals = Signals::new([SIGCHLD, SIGTERM, SIGINT])?;
    for signal in SIGNALS.filter(|signal| ![SIGBUS, SIGPIPE].contains(signal)) {
        if !FORBIDDEN.contains(&signal) {
            // Refused only for numbers that no program can set.
            let _ = signals.add_signal(signal);
        }
    }
    SigSet::empty().thread_set_mask()?;
    Ok(signals)
}

/// Forwards and reaps until `child` has ended; its status, and the signal that asked it to.
fn supervise(child: Pid, signals: &mut Signals, shared: &TrialShared) -> (ProcessEnd, Option<i32>) {
    let mut stop = None;
    let mut forwarded = 0_u64;
    loop {
        for signal in signals.wait() {
            if signal == SIGCHLD {
                if let Some(status) = reap(child) {
                    // Some other signal of ours may have ended it.
                    if let (None, ProcessEnd::Signaled(n)) = (stop, status) {
                        stop = (forwarded & (1 << (n - 1)) != 0).then_some(n);
                    }
                    return (status, stop);
                }
                continue;
            }
            let Some(named) = Signal::from_named_raw(signal) else {
                continue;
            };
            forwarded |= 1 << (signal - 1);
            if [SIGTERM, SIGINT].contains(&signal) {
                stop = Some(signal);
                shared.end();
            }
            // Not reaped yet, so the number is still this child's.
            let _ = kill_process(child, named);
            if [SIGTSTP, SIGTTIN, SIGTTOU].contains(&signal) {
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        }
    }
}

/// Takes the status of every child that has ended, orphans included; that of `child`, if it has.
fn reap(child: Pid) -> Option<ProcessEnd> {
    let mut ended = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == child {
            ended = match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Some(ProcessEnd::Exited(code)),
                (None, Some(signal)) => Some(ProcessEnd::Signaled(signal)),
                (None, None) => None,
            };
        }
    }
    ended
}

fn look_on(mut view: Watch, mut watch: impl FnMut(&mut Watch) -> Next) {
    let mut pause = FIRST_PAUSE;
    while !view.shared.over_within(pause) {
        if watch(&mut view) == Next::Done {
            return;
        }
        view.looks += 1;
        if view.looks >= FAST_LOOKS {
            pause = (pause * 3 / 2).min(LAST_PAUSE);
        }
    }
}
