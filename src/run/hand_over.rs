//! The loop's end: etcd takes our place, or is started on trial.

use super::due::stopped;
use super::entrypoint::Entrypoint;
use super::trial::images::Handed;
use super::{preflight, trial, versions};
use crate::datadir::Finding;
use crate::decide::{Begin, Decision, Happened, Start};
use crate::explain;
use crate::handover::{self, Etcd};
use crate::launch;
use crate::membership::MemberId;
use crate::observe::Look;
use etcd_rejoin_host::exit::Exit;

impl Entrypoint<'_> {
    pub(super) fn start(
        &mut self,
        start: &Start,
        look: &Look,
        decision: &Decision,
    ) -> Result<(), Exit> {
        if let Some(asking) = self.version.take() {
            // What became of it does not matter here.
            let _ = asking.join();
        }
        if let Some(why) = preflight::rejoin_fails(&self.config, &look.seen)
            && matches!(start.begin, Begin::WithData)
            && !self.warned
        {
            log::warn!("if its data were lost or damaged, this member could not come back: {why}");
            self.warned = true;
        }
        self.answers.end();
        self.observer.leave_store();
        let founding = look.seen.founding_token(&self.config.policy);
        let etcd = match launch::etcd(
            &self.config,
            &self.program,
            &start.begin,
            founding.as_deref(),
        ) {
            Ok(etcd) => etcd,
            Err(error) => {
                log::error!("{error}");
                return Err(Exit::FAILED);
            }
        };
        if let Finding::Own { end, .. } = &look.contents.finding
            && let Err(error) = self.volume.note_start(end)
        {
            // Not needed for this start; etcd itself will say what is wrong with the disk.
            log::debug!("{error}");
        }
        if let Err(error) = self.volume.note_wal_dir() {
            log::debug!("{error}");
        }
        if let Some((_, version)) = versions::of_program(&self.config, self.stop)
            && let Err(error) = self.volume.note_etcd(&self.program, &version)
        {
            log::debug!("{error}");
        }
        let member = look.seen.starts_as(start);
        let mut line = explain::line(decision);
        if let Some(member) = member {
            line = line.with("member", member);
        }
        line = line.with("took", format!("{}ms", look.took.as_millis()));
        if look.seen.set_aside > 0 {
            line = line.with("set-aside", look.seen.set_aside);
        }
        line.with("etcd", self.program.display()).log();
        // A start that goes with a loss, without a step before it: the second of two.
        self.rejoin.has_done(decision, 0);
        Err(match start.trial {
            true => self.try_etcd(start, look, &etcd),
            false => self.become_etcd(start, member, &etcd),
        })
    }

    /// Returns only to fail.
    fn become_etcd(&self, start: &Start, member: Option<MemberId>, etcd: &Etcd) -> Exit {
        // Nothing of us is left to say it once it is so.
        if let Some(line) = self.rejoin.line(start, member) {
            line.after("hands over to etcd; once it has caught up this member is ")
                .log();
        }
        log::logger().flush();
        match self.stop.end_at_once() {
            Ok(None) => {}
            Ok(Some(signal)) => return stopped(signal),
            Err(error) => log::warn!("{error}"),
        }
        let error = handover::exec(etcd);
        log::error!("{error}");
        Exit(error.exit_code())
    }

    /// In a process image of its own: what looked at the cluster takes memory that a parent needs not. Returns only
    /// to fail.
    fn try_etcd(&mut self, start: &Start, look: &Look, etcd: &Etcd) -> Exit {
        self.remember(Happened::Starts(start));
        let handed = Handed {
            memory: self.memory.clone(),
            steps_left: self.steps_left,
            rejoin: self.rejoin.clone(),
            founds_as: self.config.policy.of_founding(&look.seen).static_id,
        };
        trial::supervise::hand_over(
            &self.config,
            self.log,
            &handed,
            etcd,
            self.called,
            self.stop,
        )
    }
}
