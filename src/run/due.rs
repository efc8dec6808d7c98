//! What is due after a look. What only a step has to know is asked where a step is due, and it is decided again.

use crate::assembly::Server;
use crate::config::Config;
use crate::decide::{Decision, OwnUrl, Step, Surroundings, counts_on_versions, decide};
use crate::observe::{Look, Observer};
use crate::signals::Stop;
use etcd_rejoin_host::exit::Exit;

use super::{preflight, versions};

/// Decides, with all that has to be asked for it.
#[derive(Clone, Copy)]
pub struct Due<'a> {
    /// How this member is set up.
    pub config: &'a Config,
    /// Who has looked.
    pub observer: &'a Observer,
    /// What ends it.
    pub stop: &'a Stop,
}

impl Due<'_> {
    /// What is due. `serve` answers the other entrypoints, where that is wanted before a step: whether it does, and
    /// listens at our peer ports.
    pub fn decide(
        &self,
        look: &mut Look,
        serve: impl FnOnce(&Look) -> Result<bool, Exit>,
    ) -> Result<Decision, Exit> {
        let decision = decide(&self.config.policy, &look.seen);
        let step = match &decision {
            Decision::Do(step, _) => Some(step),
            Decision::Start(..) | Decision::Wait(_) | Decision::Refuse(_) | Decision::Done(_) => {
                None
            }
        };
        // A person wants to see all of it.
        if step.is_none() && !self.observer.is_patient() {
            return self.unless_it_skips(look, decision);
        }
        let serves = step.map_or(Ok(false), |_| serve(look))?;
        let around = preflight::surroundings(self.config, !serves, self.stop);
        look.seen.surroundings = self.meeting(look, &decision, around);
        if let Some(signal) = self.stop.raised() {
            return Err(stopped(signal));
        }
        if step.is_some_and(Step::counts_on_our_url) {
            look.seen.own_urls = self.own_urls(look, serves);
        }
        Ok(decide(&self.config.policy, &look.seen))
    }

    /// What was decided, where this etcd takes over the data that it would start with, or joins the others.
    pub fn unless_it_skips(&self, look: &mut Look, decision: Decision) -> Result<Decision, Exit> {
        if !counts_on_versions(&decision) {
            return Ok(decision);
        }
        look.seen.surroundings = self.meeting(look, &decision, Surroundings::default());
        match self.stop.raised() {
            Some(signal) => Err(stopped(signal)),
            None => Ok(decide(&self.config.policy, &look.seen)),
        }
    }

    fn meeting(&self, look: &Look, decision: &Decision, around: Surroundings) -> Surroundings {
        let (config, peers) = (self.config, self.observer.peers());
        versions::meeting(config, &look.seen, decision, peers, self.stop, around)
    }

    /// Where our own peer URLs lead. Own data, which answers nobody, answers for this moment; a person's
    /// question answers nobody at all.
    fn own_urls(&self, look: &Look, serves: bool) -> Vec<OwnUrl> {
        if serves || self.observer.is_patient() {
            return self.observer.own_urls(serves);
        }
        // Where the port is not free, etcd will say so.
        let server = Server::start(self.config, &self.observer.report(&look.seen), self.stop);
        self.observer.own_urls(server.is_ok())
    }
}

/// Ends because of this signal.
pub(super) fn stopped(signal: i32) -> Exit {
    log::info!("stopped by signal {signal} before etcd ran");
    Exit::signal(signal)
}
