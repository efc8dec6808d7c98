//! The roving member: owns the DRBD volume, its mount and the member on it; keepalived only says what it
//! wishes. The same loop as everywhere: look, decide, take one step, look again.
//!
//! The member itself is the ordinary entrypoint, as a child, with its data dir on the mount.

mod kernel;
mod look;
mod member;
mod memory;
mod parts;
mod report;
mod said;
mod status;
mod steps;
mod under_way;

use std::time::{Duration, Instant};

use crate::drbd::{module_is_safe, summary, usermode_helper_is_on};
use crate::settings::Rover;
use crate::table::{
    Gate, VolumeDecision, VolumeSeen, VolumeState, VolumeStep, decide_volume, held, shows_set_up,
    unsafe_set_up,
};
use etcd_rejoin_host::exit::Exit;
use etcd_rejoin_host::kmsg;
use etcd_rejoin_host::signals::Stop;

pub use look::policy;
pub use member::StartMember;
use parts::Rove;
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
        if let Some(exit) = self.refuses_to_start(&seen) {
            return Some(exit);
        }
        let decision = decide_volume(&policy(self.settings), &seen);
        self.say(&seen, decision);
        self.report(&seen, decision);
        let pause = match decision {
            VolumeDecision::End(_) => {
                return Some(self.stop.raised().map_or(Exit::NOT_OK, Exit::signal));
            }
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
                match step {
                    VolumeStep::Mount | VolumeStep::Demote => self.memory.mounting = None,
                    VolumeStep::StartChild => self.memory.started = Some(Instant::now()),
                    _ => {}
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
        let problem = self.gate.problem();
        if problem != self.said.problem {
            if !problem.is_empty() {
                log::warn!("{problem}");
            }
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

    /// A set-up of DRBD in which writes can be lost is refused before anything is taken, once it can be seen. What
    /// was found held is let go first.
    fn refuses_to_start(&mut self, seen: &VolumeSeen) -> Option<Exit> {
        let VolumeState::Up(resource) = &seen.volume else {
            return None;
        };
        if self.supported || held(seen) || !shows_set_up(resource) || !self.drbd.is_read() {
            return None;
        }
        let unsafe_because = |why: &str| {
            log::error!(
                "refused: {why}; safe are `fencing resource-and-stonith` with one peer and `etcd-rejoin \
                 fence-peer` as the resource's `fence-peer` handler, or DRBD 9's `quorum majority` with a third \
                 machine: `etcd-rejoin two-node config` writes both; then `drbdadm adjust {}`",
                self.settings.resource
            );
            Some(Exit::CONFIG)
        };
        if let Err(why) = module_is_safe() {
            return unsafe_because(&why);
        }
        if let Some(why) = unsafe_set_up(resource) {
            return unsafe_because(&format!("{why}: {}", summary(resource)));
        }
        if !resource.quorum_on {
            if !usermode_helper_is_on() {
                return unsafe_because(
                    "the module drbd has its usermode_helper disabled: it asks no handler",
                );
            }
            match self.drbd.handler_is_ours() {
                Ok(true) => {}
                Ok(false) => return unsafe_because("another program is DRBD's handler, or none"),
                // Until it is known nothing is promoted without the peer.
                Err(_) => return None,
            }
        }
        self.supported = true;
        None
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
        | VolumeStep::Thaw
        | VolumeStep::Promote
        | VolumeStep::ForcePromote
        | VolumeStep::Demote
        | VolumeStep::SelfFence => true,
        VolumeStep::CheckFileSystem
        | VolumeStep::Mount
        | VolumeStep::StartChild
        | VolumeStep::StopChild
        | VolumeStep::KillChild
        | VolumeStep::Unmount => false,
    }
}
