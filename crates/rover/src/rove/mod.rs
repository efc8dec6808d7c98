//! The roving member: owns the DRBD volume, its mount and the member on it; keepalived only says what it
//! wishes. The same loop as everywhere: look, decide, take one step, look again.
//!
//! The member itself is the ordinary entrypoint, as a child, with its data dir on the mount.

mod kernel;
mod look;
mod member;
mod memory;
mod parts;
mod reconsider;
mod report;
mod said;
mod status;
mod steps;
mod under_way;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::fence::Request;
use crate::settings::Rover;
use crate::table::{
    Child, Gate, PeerFate, VolumeDecision, VolumeSeen, VolumeStep, Would, decide_volume,
    is_recorded_outdated,
};
use etcd_rejoin_host::exit::Exit;
use etcd_rejoin_host::kmsg;
use etcd_rejoin_host::signals::Stop;
pub use look::policy;
pub use member::StartMember;
use parts::Rove;
use reconsider::would;
pub use report::VolumeReport;
use report::volume_words;
use said::words;
pub use status::VolumeStatus;

/// How often the wish is read while there is nothing to do.
const TICK: Duration = Duration::from_millis(20);
/// How often everything is looked at then.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// While something passes by itself, or is being let go.
const LOOK_SOON: Duration = Duration::from_millis(100);
/// The pause after a step that failed grows to this.
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// Runs the roving member until it is told to end, or its member has ended.
///
/// `start` makes the member: this program again, as a child that dies with us.
pub fn rove(settings: &Rover, version: &str, start: StartMember, stop: &Stop) -> Exit {
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

impl Rove<'_> {
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

    /// Says what is decided.
    fn say(&mut self, seen: &VolumeSeen, decision: VolumeDecision) {
        if let Some(problem) = self.gate.problem()
            && problem != self.said.problem
        {
            log::warn!("{problem}");
            self.said.problem = problem.to_string();
        }
        let row = decision.reason().row();
        let gate = format!("{:?}", seen.gate).to_lowercase();
        let line = format!(
            "{}: {}; {} gate={gate} volume={:?} reason={}",
            words(decision),
            row.when,
            match row.cure {
                nothing if nothing.starts_with("nothing to do") => nothing.to_string(),
                cure => format!("to go on: {cure}"),
            },
            volume_words(&seen.volume),
            row.name
        );
        let kernel = (self.said.tells_kernel(decision)).then(|| line.clone());
        let pressing = seen.gate == Gate::Master || seen.demoting_for.is_some();
        let now = Instant::now();
        if let Some(level) = self.said.takes(now, line, pressing, decision) {
            let held = match seen.holders.is_empty() {
                true => String::new(),
                false => format!(" held_by={:?}", seen.holders.join(", ")),
            };
            log::log!(level, "{}{held}", self.said.line);
        }
        if let Some(line) = kernel {
            kmsg::log(&line);
        }
    }

    /// Asks where it is time, and takes in what was answered. Never waits.
    fn reconsider(&mut self, gate: Gate) {
        let command = !self.settings.fence_command.is_empty();
        if let Some(would) = self.reconsider.answered()
            && self.memory.known.tried != PeerFate::Unknown
        {
            self.believe(would, command);
        }
        let tried = self.memory.known.tried;
        if !self.reconsider.is_due(Instant::now(), gate, tried) {
            return;
        }
        let (Some(fence), Some(key)) = (&self.settings.fence, &self.key) else {
            self.believe(Would::Silent, command);
            return;
        };
        let (peer, key) = (fence.peer.clone(), key.clone());
        let (machine, resource) = (self.machine.clone(), self.settings.resource.clone());
        let volume = self.memory.volume.as_ref().map(|(_, volume)| volume);
        // It is asked what the next takeover would ask it.
        let request = match volume.is_some_and(is_recorded_outdated) {
            true => Request::Without(resource),
            false => Request::Would(resource),
        };
        let asking = std::thread::Builder::new()
            .name("reconsider".into())
            .spawn(move || would(&peer, &key, &machine, &request));
        // Without a thread it is asked the next time.
        self.reconsider.asking = asking.ok();
    }

    fn believe(&mut self, would: Would, command: bool) {
        self.memory.known.reconsider(would, command);
        if self.memory.known.tried == PeerFate::Unknown {
            log::info!("a takeover may be tried again: asked again, the peer says {would:?}");
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
