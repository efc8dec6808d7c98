//! The steps that change something in the store of snapshots: each is one word of `etcd-rejoin-snapshot`, which ends well
//! only where it is so now.

use std::time::Duration;

use super::{Actor, Undone};
use crate::decide::{Nonce, Observation, StoreSeen, StoreStep, lineage_token};
use crate::error::Error;
use crate::membership::ClusterId;
use crate::store::{self, ToProbe, new_nonce};

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
            StoreStep::BeginLineage { .. }
            | StoreStep::Continue { .. }
            | StoreStep::Restore { .. }
            | StoreStep::NoteOrder(_)
            | StoreStep::ForgetOrder(_)
            | StoreStep::BeginOrder(_)
            | StoreStep::SetAsideFor(_) => {
                let _ = seen;
                Err(Undone::Failed(Error::new("this step is not known yet")))
            }
        }
    }

    /// Writes the marker. Where another founder was first, its one is as good: it lists the same promises, or the next
    /// look says that it does not.
    fn mark(&self, promises: &[Nonce]) -> Result<String, Undone> {
        let nonce = new_nonce().map_err(Undone::Failed)?;
        let token = self.config.policy.token.clone().unwrap_or_default();
        let cluster = self.cluster_of(&nonce).to_string();
        let mut words = vec!["mark", "--nonce", &nonce.0, "--cluster", &token];
        words.extend(["--cluster-id", &cluster]);
        for promise in promises {
            words.extend(["--promise", &promise.0]);
        }
        match self.change_store(&words) {
            Err(Undone::Cluster(_)) if self.is_marked() => {
                Ok("another founder has marked the store".into())
            }
            done => done.map(|()| format!("the store is marked, {}", nonce.0)),
        }
    }

    fn is_marked(&self) -> bool {
        let stopped = || self.stop.raised().is_some();
        let settings = self.config.store.as_ref();
        let look = |settings| store::look(settings, CHANGE, ToProbe::Nothing, &stopped);
        matches!(settings.map(look), Some(StoreSeen::Read(kept)) if kept.marker.is_some())
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
    fn change_store(&self, words: &[&str]) -> Result<(), Undone> {
        let Some(settings) = &self.config.store else {
            return Err(Undone::Failed(Error::new("REJOIN_STORE is not set")));
        };
        let own = format!("{}ms", (CHANGE - CHANGE / 8).as_millis());
        let words = [&["entrypoint"], words, &["--timeout", &own]].concat();
        let stopped = || self.stop.raised().is_some();
        match store::run(settings, &words, CHANGE, &stopped) {
            Ok(_) => Ok(()),
            Err(why) => Err(match self.stop.raised() {
                Some(signal) => Undone::Stopped(signal),
                None => Undone::Cluster(why),
            }),
        }
    }
}
