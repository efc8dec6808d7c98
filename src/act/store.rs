//! The steps that change something in the store of snapshots: each is one word of `etcd-rejoin-snapshot`, which ends well
//! only where it is so now.

use std::time::Duration;

use super::{Actor, Undone};
use crate::decide::{Nonce, Observation, StoreStep, lineage_token};
use crate::error::Error;
use crate::membership::ClusterId;
use crate::store::{self, new_nonce};

/// A change in the store may take this long. Done twice it is done.
const CHANGE: Duration = Duration::from_secs(10);

impl Actor<'_> {
    pub(super) fn store_step(
        &self,
        step: &StoreStep,
        seen: &Observation,
    ) -> Result<String, Undone> {
        match step {
            StoreStep::Mark { promises } => self.mark(promises),
            StoreStep::RecordUrl => self.record_url(),
            StoreStep::BeginLineage { number, base } => {
                self.begin_lineage(*number, base.as_deref(), seen)
            }
            StoreStep::Restore { number, base, hold } => {
                self.restore(*number, *hold, ["restore", "--snapshot", base], seen)
            }
            StoreStep::Continue { number, hold } => {
                let data_dir = self.config.data_dir.to_string_lossy();
                self.restore(*number, *hold, ["continue", "--data-dir", &data_dir], seen)
            }
            StoreStep::NoteOrder(number) => self.note_order(*number),
            StoreStep::ForgetOrder(number) => self.forget_order(*number),
            StoreStep::BeginOrder(number) => {
                self.change_store(&["begin-order", "--number", &number.to_string()])?;
                Ok(format!("order {number} is begun"))
            }
            StoreStep::SetAsideFor(number) => self.set_aside_for(*number),
        }
    }

    /// Writes the marker. Where another founder was first, and lists the same promises, its one is as good.
    fn mark(&self, promises: &[Nonce]) -> Result<String, Undone> {
        let nonce = new_nonce().map_err(Undone::Failed)?;
        let token = self.config.policy.token.clone().unwrap_or_default();
        let cluster = self.cluster_of(&nonce).to_string();
        let mut words = vec!["mark", "--nonce", &nonce.0, "--cluster", &token];
        words.extend(["--cluster-id", &cluster]);
        for promise in promises {
            words.extend(["--promise", &promise.0]);
        }
        self.change_store(&words)?;
        Ok("the store is marked".into())
    }

    fn record_url(&self) -> Result<String, Undone> {
        let policy = &self.config.policy;
        let mut words = vec!["record-url", "--name", &policy.name];
        for url in &policy.peer_urls {
            words.extend(["--peer-url", url]);
        }
        self.change_store(&words)?;
        Ok("the store knows its peer URLs".into())
    }

    /// The ID of the cluster that the initial cluster founds with this nonce.
    fn cluster_of(&self, nonce: &Nonce) -> ClusterId {
        let policy = &self.config.policy;
        let token = lineage_token(policy.token.as_deref().unwrap_or_default(), nonce);
        policy.initial.static_cluster_id(&token)
    }

    /// Runs a word of the program that speaks to the store.
    pub(super) fn change_store(&self, words: &[&str]) -> Result<(), Undone> {
        let own = format!("{}ms", (CHANGE - CHANGE / 8).as_millis());
        let words = [&["entrypoint"], words, &["--timeout", &own]].concat();
        self.run_for_store(&words, Some(CHANGE))
    }

    /// The same, for as long as it takes: it moves a database.
    pub(super) fn move_database(&self, words: &[&str]) -> Result<(), Undone> {
        let words = [&["entrypoint"], words].concat();
        self.run_for_store(&words, None)
    }

    fn run_for_store(&self, words: &[&str], within: Option<Duration>) -> Result<(), Undone> {
        let Some(settings) = &self.config.store else {
            return Err(Undone::Failed(Error::new("REJOIN_STORE is not set")));
        };
        let stopped = || self.stop.raised().is_some();
        match store::run(settings, words, within, &stopped) {
            Ok(_) => Ok(()),
            Err(why) => Err(match self.stop.raised() {
                Some(signal) => Undone::Stopped(signal),
                None => Undone::Cluster(why),
            }),
        }
    }
}
