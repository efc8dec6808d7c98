//! What the rover tells the person who reads its log: what it decides when that changes, and again, for as
//! long as it lasts, what somebody has to do something about.

use std::time::{Duration, Instant};

use log::Level;

use crate::table::{VolumeDecision, VolumeReason, VolumeStep};
use etcd_rejoin_host::error::Error;

/// What lasts is said again after this.
const REMIND: Duration = Duration::from_secs(60);

/// What the log has said last.
#[derive(Debug, Default)]
pub struct RoverSaid {
    pub line: String,
    /// The one before.
    before: String,
    /// The last decision was said: what comes of its step is news, too.
    pub news: bool,
    pub problem: String,
    at: Option<Instant>,
    failure: String,
    /// The step that has failed last.
    failed: Option<VolumeStep>,
    /// Since when nothing has succeeded, and when that was said last.
    failing: Option<(Instant, Instant)>,
    /// The kernel's log has it that what must be let go is still held.
    told_kernel: bool,
}

impl RoverSaid {
    /// How loudly this line is to be said now, if at all. `pressing`: the other machine waits for us, or
    /// clients do.
    pub(super) fn takes(
        &mut self,
        now: Instant,
        line: String,
        pressing: bool,
        decision: VolumeDecision,
    ) -> Option<Level> {
        let again = (self.at).is_none_or(|at| now.duration_since(at) >= REMIND);
        let overdue = decision.reason() == VolumeReason::DemotionOverdue;
        let lasts = match decision {
            VolumeDecision::Wait(_) | VolumeDecision::Refuse(_) => pressing,
            VolumeDecision::Do(..) | VolumeDecision::Serve(_) | VolumeDecision::End(_) => overdue,
        };
        self.news = false;
        if line == self.line && !(lasts && again) {
            return None;
        }
        // A file system that cannot be mounted is checked before each try: that is no news.
        let repeats = match decision {
            VolumeDecision::Do(step, _) => matches!(
                step,
                VolumeStep::Promote | VolumeStep::CheckFileSystem | VolumeStep::Mount
            ),
            VolumeDecision::Wait(_) => true,
            VolumeDecision::Refuse(_) | VolumeDecision::Serve(_) | VolumeDecision::End(_) => false,
        };
        if repeats && line == self.before && !again {
            std::mem::swap(&mut self.line, &mut self.before);
            return None;
        }
        self.news = true;
        self.before = std::mem::replace(&mut self.line, line);
        self.at = Some(now);
        match decision {
            VolumeDecision::Refuse(_) => Some(Level::Error),
            _ if overdue => Some(Level::Error),
            VolumeDecision::Do(..)
            | VolumeDecision::Wait(_)
            | VolumeDecision::Serve(_)
            | VolumeDecision::End(_) => Some(Level::Info),
        }
    }

    /// How loudly a failure is to be said now, and how long nothing has succeeded.
    fn fails(&mut self, now: Instant, failure: String) -> Option<(Level, Duration)> {
        let (since, said) = *self.failing.get_or_insert((now, now));
        let lasted = now.duration_since(since);
        let again = now.duration_since(said) >= REMIND;
        if failure == self.failure && !again {
            return None;
        }
        self.failure = failure;
        self.failing = Some((since, now));
        match lasted >= REMIND {
            true => Some((Level::Error, lasted)),
            false => Some((Level::Warn, lasted)),
        }
    }

    /// A step has failed, and is tried again.
    pub fn failed(&mut self, step: VolumeStep, error: &Error) {
        self.failed = Some(step);
        let Some((level, lasted)) = self.fails(Instant::now(), error.to_string()) else {
            return;
        };
        let step = step.name();
        match level {
            Level::Error => log::error!(
                "{error}; has failed for {} s and is tried again step={step}",
                lasted.as_secs()
            ),
            _ => log::warn!("{error}; looks again step={step}"),
        }
    }

    /// A step has succeeded; whether that is an end of the failures: a check before each mount that fails is
    /// none.
    pub fn succeeded(&mut self, step: VolumeStep) -> bool {
        if (step, self.failed) == (VolumeStep::CheckFileSystem, Some(VolumeStep::Mount)) {
            return false;
        }
        self.failure.clear();
        (self.failing, self.failed) = (None, None);
        true
    }

    /// Whether the machine's own log is to have it: once, for as long as the volume is still held after
    /// its time. Whoever looks for why the other machine is not promoted may look there first.
    pub(super) fn tells_kernel(&mut self, decision: VolumeDecision) -> bool {
        let overdue = decision.reason() == VolumeReason::DemotionOverdue;
        let first = overdue && !self.told_kernel;
        // A stop of the member that is waited for lies between two steps that are overdue.
        self.told_kernel = match decision {
            VolumeDecision::Wait(_) => self.told_kernel,
            VolumeDecision::Do(..)
            | VolumeDecision::Refuse(_)
            | VolumeDecision::Serve(_)
            | VolumeDecision::End(_) => overdue,
        };
        first
    }
}

/// What is decided, as the log has it.
pub fn words(decision: VolumeDecision) -> String {
    match decision {
        VolumeDecision::Do(step, _) => format!("does {}", step.name()),
        VolumeDecision::Wait(_) => "waits".into(),
        VolumeDecision::Refuse(_) => "refuses to promote".into(),
        VolumeDecision::Serve(_) => "serves".into(),
        VolumeDecision::End(_) => "ends".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OVERDUE: VolumeDecision =
        VolumeDecision::Do(VolumeStep::Demote, VolumeReason::DemotionOverdue);
    const DEMOTES: VolumeDecision =
        VolumeDecision::Do(VolumeStep::Demote, VolumeReason::GateBackup);

    fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn what_is_held_after_its_time_is_an_error_once_a_minute() {
        let (mut said, start) = (RoverSaid::default(), Instant::now());
        let mut says = |after, decision: VolumeDecision| {
            let line = decision.reason().to_string();
            said.takes(start + second(after), line, true, decision)
        };
        assert_eq!(says(0, DEMOTES), Some(Level::Info));
        assert_eq!(says(90, DEMOTES), None, "it goes on");
        assert_eq!(says(100, OVERDUE), Some(Level::Error));
        assert_eq!(says(159, OVERDUE), None);
        assert_eq!(says(160, OVERDUE), Some(Level::Error));
        assert_eq!(says(161, OVERDUE), None);
        assert_eq!(says(220, OVERDUE), Some(Level::Error));
    }

    #[test]
    fn a_refusal_that_keeps_the_other_machine_waiting_is_said_again() {
        let refuses = VolumeDecision::Refuse(VolumeReason::MountedElsewhere);
        for (pressing, again) in [(true, Some(Level::Error)), (false, None)] {
            let (mut said, start) = (RoverSaid::default(), Instant::now());
            let mut says = |after| said.takes(start + second(after), "x".into(), pressing, refuses);
            assert_eq!(says(0), Some(Level::Error));
            assert_eq!((says(59), says(60)), (None, again), "{pressing}");
        }
    }

    #[test]
    fn the_kernel_is_told_once_until_it_is_let_go() {
        let mut said = RoverSaid::default();
        let waits = VolumeDecision::Wait(VolumeReason::GateBackup);
        let serves = VolumeDecision::Serve(VolumeReason::Serving);
        let told = [DEMOTES, OVERDUE, OVERDUE, waits, OVERDUE, serves, OVERDUE]
            .map(|decision| said.tells_kernel(decision));
        assert_eq!(told, [false, true, false, false, false, false, true]);
    }

    /// Such as a mount that fails, with a check of the file system before each.
    #[test]
    fn what_is_tried_again_and_again_is_said_once_a_minute() {
        let (mut said, start) = (RoverSaid::default(), Instant::now());
        let checks = VolumeDecision::Do(VolumeStep::CheckFileSystem, VolumeReason::Promoted);
        let mounts = VolumeDecision::Do(VolumeStep::Mount, VolumeReason::Promoted);
        let mut times = 0;
        for after in 0..60 {
            for decision in [checks, mounts] {
                let line = words(decision);
                times += usize::from(
                    said.takes(start + second(after), line, true, decision)
                        .is_some(),
                );
            }
            let failure = said.fails(start + second(after), "no such directory".into());
            assert_eq!(failure.is_some(), after == 0);
            said.failed = Some(VolumeStep::Mount);
            assert!(!said.succeeded(VolumeStep::CheckFileSystem));
        }
        assert_eq!(times, 2);
        assert!(said.succeeded(VolumeStep::Demote));
    }

    #[test]
    fn a_step_that_fails_for_long_is_an_error_once_a_minute() {
        let (mut said, start) = (RoverSaid::default(), Instant::now());
        let mut fails = |after, text: &str| {
            let said = said.fails(start + second(after), text.into());
            said.map(|(level, lasted)| (level, lasted.as_secs()))
        };
        assert_eq!(fails(0, "busy"), Some((Level::Warn, 0)));
        assert_eq!(fails(1, "busy"), None);
        assert_eq!(fails(2, "busier"), Some((Level::Warn, 2)));
        assert_eq!(fails(61, "busier"), None);
        assert_eq!(fails(62, "busier"), Some((Level::Error, 62)));
        assert_eq!(fails(63, "busier"), None);
        assert_eq!(fails(122, "busier"), Some((Level::Error, 122)));
        said.succeeded(VolumeStep::Mount);
        let anew = said.fails(start + second(123), "busier".into());
        assert_eq!(anew.map(|(level, _)| level), Some(Level::Warn));
    }
}
