//! The steps of a restore and of an order: on this volume, and what is begun once in the store.

use std::time::SystemTime;

use super::{Actor, Undone, said};
use crate::datadir::Volume;
use crate::decide::{Kept, Nonce, Observation, StoreSeen, lineage_token};
use crate::error::Error;
use crate::membership::InitialCluster;
use crate::store::{new_nonce, random_text};

impl Actor<'_> {
    /// Notes the lineage on this volume, then begins it in the store.
    pub(super) fn begin_lineage(
        &self,
        number: u64,
        base: Option<&str>,
        seen: &Observation,
    ) -> Result<String, Undone> {
        let kept = kept(seen)?;
        let older = kept.lineages.iter().filter(|it| it.number < number);
        let parent = older.max_by_key(|it| it.number).ok_or(Undone::Changed)?;
        let noted = seen.restoring.clone().filter(|noted| noted.0 == number);
        let nonce = match noted {
            Some((_, nonce)) => nonce,
            None => new_nonce().map_err(Undone::Failed)?,
        };
        let note = nonce.clone();
        self.local(move |volume| volume.note_lineage(number, &note))?;
        let cluster = self.cluster_of_one()?;
        let cluster = cluster.static_cluster_id(&self.token(&nonce)).to_string();
        let n = number.to_string();
        let mut words = vec!["begin-lineage", "--number", &n, "--nonce", &nonce.0];
        words.extend(["--parent", &parent.nonce.0, "--cluster-id", &cluster]);
        if let Some(base) = base {
            words.extend(["--base", base]);
        }
        self.change_store(&words)?;
        Ok(format!("lineage {number} is begun, as cluster {cluster}"))
    }

    /// Makes the data of this lineage beside the data dir, then brings it into its place. `from`: what it is made of.
    pub(super) fn restore(
        &self,
        number: u64,
        hold: bool,
        from: [&str; 3],
        seen: &Observation,
    ) -> Result<String, Undone> {
        let noted = seen.restoring.clone().filter(|noted| noted.0 == number);
        let (_, nonce) = noted.ok_or(Undone::Changed)?;
        let (of, attempt) = (nonce.clone(), random_text().map_err(Undone::Failed)?);
        let made = self.local(move |volume| volume.to_be_made(&of, &attempt))?;
        if let Some(made) = made {
            let (made, token) = (made.to_string_lossy(), self.token(&nonce));
            let policy = &self.config.policy;
            let mut words = from.to_vec();
            words.extend(["--into", &*made, "--name", &policy.name, "--token", &token]);
            for url in &policy.peer_urls {
                words.extend(["--peer-url", url]);
            }
            words.extend(hold.then_some("--hold"));
            self.move_database(&words)?;
        }
        let aside = self.local(move |volume| volume.bring((number, &nonce), SystemTime::now()))?;
        let mut words = format!("its data is that of lineage {number} now");
        if let Some(aside) = aside {
            words += &format!("; what lay there was moved to {}", aside.display());
        }
        Ok(words)
    }

    /// Done before anybody hears that it waits.
    pub(super) fn note_order(&self, number: u64) -> Result<String, Undone> {
        self.local(move |volume| volume.note_order(number))?;
        Ok(format!("noted that this volume waits for order {number}"))
    }

    pub(super) fn forget_order(&self, number: u64) -> Result<String, Undone> {
        self.local(Volume::forget_order)?;
        Ok(format!("this volume waits for order {number} no longer"))
    }

    pub(super) fn set_aside_for(&self, number: u64) -> Result<String, Undone> {
        self.local(move |volume| said(volume.set_aside_for(number, SystemTime::now())))
    }

    fn token(&self, nonce: &Nonce) -> String {
        lineage_token(
            self.config.policy.token.as_deref().unwrap_or_default(),
            nonce,
        )
    }

    /// What a restore makes: this member alone.
    fn cluster_of_one(&self) -> Result<InitialCluster, Undone> {
        let policy = &self.config.policy;
        let parts = policy
            .peer_urls
            .iter()
            .map(|url| format!("{}={url}", policy.name));
        let cluster = InitialCluster::parse(&parts.collect::<Vec<_>>().join(","));
        cluster.map_err(|why| Undone::Failed(Error::new(why)))
    }
}

/// What the store has said in the look that decided.
fn kept(seen: &Observation) -> Result<&Kept, Undone> {
    match &seen.store {
        Some(StoreSeen::Read(kept)) => Ok(kept),
        Some(StoreSeen::Silent(_)) | None => Err(Undone::Changed),
    }
}
