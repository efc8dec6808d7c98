//! One step of the loop, and what comes of it.

use std::time::Duration;

use super::due::stopped;
use super::entrypoint::{Entrypoint, PAUSES};
use crate::act::{Actor, Undone};
use crate::decide::{Decision, Happened, Step};
use crate::explain;
use crate::observe::Look;
use etcd_rejoin_host::exit::Exit;

/// The pause after a step that the cluster refused grows to this. etcd refuses an add while a member
/// has been connected for less than five seconds: a longer pause only adds to that.
const MAX_BACKOFF: Duration = Duration::from_secs(1);

impl Entrypoint<'_> {
    pub(super) fn step(
        &mut self,
        step: &Step,
        look: &Look,
        decision: &Decision,
    ) -> Result<(), Exit> {
        if self.steps_left == Some(0) {
            log::info!(
                step = step.name();
                "has taken as many steps as --max-steps allows, and would take another one"
            );
            return Err(Exit::STEPS_TAKEN);
        }
        let name = step.name();
        let mut line = explain::line(decision).with("step", name);
        if let Some(member) = look.seen.whose(step) {
            line = line.with("member", member);
        }
        if let Some(versions) = look.seen.surroundings.mixed() {
            line = line.with("versions", versions);
        }
        // The same step again, because the cluster was not ready for it, is no news.
        self.said.say(line);
        let clients = self.observer.clients();
        let actor = Actor::new(&self.config, &self.volume, clients, self.stop);
        let performed = actor.perform(step, &look.seen, &look.endpoints);
        if matches!(step, Step::Store(_)) {
            self.observer.forget_store();
        }
        match performed {
            Ok(done) => {
                let level = match step.tells_more() {
                    true => log::Level::Info,
                    false => log::Level::Debug,
                };
                log::log!(level, step = name; "{}", done.words);
                self.rejoin.has_done(decision, done.set_aside);
                if done.added.is_some() {
                    self.notices.has_rejoined();
                }
                self.remember(Happened::Did(step, decision.reason(), done.added));
                self.taken()
            }
            // A balancer that leads somewhere else each time must not be asked without a pause.
            Err(Undone::Changed) => self.pause(PAUSES.1),
            Err(Undone::Stopped(signal)) => Err(stopped(signal)),
            Err(Undone::Failed(error)) if step.is_chore() => self.without(step, &error.to_string()),
            Err(Undone::Refused(words)) if step.is_chore() => self.without(step, &words),
            Err(Undone::Failed(error)) => {
                log::error!(step = name; "{error}");
                Err(Exit::FAILED)
            }
            Err(Undone::Refused(words)) => {
                self.remember(Happened::Denied(step, &words));
                Ok(())
            }
            Err(Undone::Cluster(words) | Undone::NotNow(words)) => self.not_taken(step, &words),
        }
    }

    fn taken(&mut self) -> Result<(), Exit> {
        if self.memory.gets_on() {
            self.pause = PAUSES.0;
            self.said.done();
        }
        self.steps_left = self.steps_left.map(|left| left - 1);
        if self.steps_left == Some(0) {
            log::info!("has taken as many steps as --max-steps allows");
            return Err(Exit::STEPS_TAKEN);
        }
        Ok(())
    }

    /// Own data does without this step in this run.
    fn without(&mut self, step: &Step, why: &str) -> Result<(), Exit> {
        let name = step.name();
        log::warn!(step = name; "{why}; starts without it");
        self.remember(Happened::DoesWithout);
        Ok(())
    }

    /// The cluster was not ready for the step. It was no change, or one whose outcome is unknown: the
    /// next look tells.
    fn not_taken(&mut self, step: &Step, words: &str) -> Result<(), Exit> {
        self.remember(Happened::NotTaken);
        // Which endpoint said so is no news.
        let said = words.split_once(": ").map_or(words, |(_, said)| said);
        let name = step.name();
        let not_done = match step {
            Step::Store(_) => "the step did not succeed",
            _ => "the cluster did not take the step",
        };
        if let Some(level) = self.said.refused(said) {
            log::log!(
                level,
                step = name;
                "{not_done}; looks again, then tries again: {words}"
            );
        }
        let waited = self.said.waited();
        if let Some(allowed) = self.config.wait
            && waited >= allowed
        {
            log::error!(step = name; "{words}; REJOIN_WAIT is over");
            return Err(Exit::WAITED);
        }
        self.pause(MAX_BACKOFF)
    }
}
