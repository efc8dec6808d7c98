//! One snapshot, from etcd into the store. Writes the manifest last; leaves nothing half visible, whatever fails.

use std::pin::pin;
use std::time::Instant;

use futures_util::future::{Either, select, try_join};
use tonic::Streaming;

use etcd_rejoin_host::error::Error;

use crate::catalog::{Catalog, json, manifest, read_json};
use crate::cluster::{Candidate, candidates};
use crate::etcd::SILENCE;
use crate::etcd::messages::SnapshotResponse;
use crate::layout::{
    FORMAT, MARKER, Manifest, Marker, Moment, SavedMember, SnapshotId, lineage_key,
};
use crate::progress::Bar;
use crate::settings::EtcdAccess;
use crate::stop::Stopping;
use crate::store::{Creation, Place, Store, Upload};
use crate::stream::{Compressor, Passed};
use crate::{NotDone, random};

/// How often a stream that was cut is begun again.
const TRIES: usize = 3;

/// What to save, and where to.
pub struct Task<'a> {
    /// Where to.
    pub store: &'a Store,
    /// The same, for people.
    pub place: &'a Place,
    /// Which etcd.
    pub etcd: &'a EtcdAccess,
    /// How it is called, where its place is not marked yet.
    pub name: Option<&'a str>,
    /// Nothing is saved where the newest snapshot has the revision of now.
    pub if_changed: bool,
    /// etcd's hash of the revision is asked for, too.
    pub hashkv: bool,
    /// Raised where we are asked to stop.
    pub stopping: &'a Stopping,
}

/// What came of it.
#[derive(Clone, Debug)]
pub enum Saved {
    /// A new snapshot.
    New(Box<Manifest>),
    /// The newest one has it all.
    Unchanged(SnapshotId),
}

impl Task<'_> {
    /// Saves.
    pub async fn save(&self) -> Result<Saved, NotDone> {
        let (mut candidates, members) = candidates(self.etcd).await?;
        let cluster = candidates
            .first()
            .map(Candidate::cluster_id)
            .ok_or_else(|| Error::new("no member of etcd answers"))?;
        // URLs of two clusters: no try may go to the other one.
        candidates.retain(|candidate| {
            let same = candidate.cluster_id() == cluster;
            if !same {
                let url = &candidate.endpoint.url;
                log::warn!("etcd at {url} is not of the cluster {cluster}, and is not asked");
            }
            same
        });
        let first = &candidates[0];
        let catalog = Catalog::read(self.store).await?;
        let catalog = self.known(catalog, first).await?;
        let lineage = catalog
            .lineage_of(&first.cluster_id())
            .ok_or_else(|| self.other_cluster(&catalog, first))?;
        if catalog.marker.is_none() {
            return Err(self.other_cluster(&catalog, first));
        }
        if catalog.newest_lineage() > Some(lineage) {
            log::warn!(
                "the cluster {} is of lineage {lineage}, and a restore has begun a newer one",
                first.cluster_id()
            );
        }
        let newest = catalog.newest_of(lineage);
        let now = candidates.iter().map(Candidate::revision).max();
        if let Some(newest) =
            newest.filter(|newest| self.if_changed && Some(newest.revision) == now)
        {
            return Ok(Saved::Unchanged(newest.clone()));
        }
        let reached = newest.map_or(0, |newest| newest.revision);
        let current: Vec<&Candidate> = (candidates.iter())
            .filter(|candidate| candidate.revision() >= reached)
            .collect();
        if let (Some(newest), []) = (newest, current.as_slice()) {
            return Err(self.behind(newest, first));
        }
        self.has_room(newest, first).await?;
        let mut tried = Vec::new();
        // A cut may be the member's: the next one is asked then.
        for candidate in current.into_iter().cycle().take(TRIES) {
            match self.stream(candidate, lineage, &catalog, &members).await {
                Ok(manifest) => return Ok(Saved::New(Box::new(manifest))),
                Err(Broken::Stream(error)) => {
                    log::warn!("begins again: {error}");
                    tried.push(error.to_string());
                }
                Err(Broken::Ours(trouble)) => return Err(trouble),
            }
        }
        tried.dedup();
        let why = tried.join("; ");
        Err(Error::new(format!("no whole snapshot came in {TRIES} tries: {why}")).into())
    }

    /// The catalog, with a marker: a cluster that is older than its store is adopted, and what a rule of the store took
    /// away is put back.
    async fn known(&self, catalog: Catalog, candidate: &Candidate) -> Result<Catalog, NotDone> {
        if catalog.marker.is_some() && catalog.lineage_of(&candidate.cluster_id()).is_some() {
            return Ok(catalog);
        }
        if catalog.is_empty() {
            let marker = Marker {
                format: FORMAT,
                nonce: random::nonce(),
                cluster: self.name.unwrap_or_default().into(),
                cluster_id: candidate.cluster_id(),
                promises: Vec::new(),
                made: Moment::now(),
            };
            match self.store.create(MARKER, json(&marker)).await? {
                Creation::Ours => log::info!(
                    "{} is the place of cluster {} from now on",
                    self.place,
                    marker.cluster_id
                ),
                Creation::Others => log::info!("{} was marked meanwhile", self.place),
            }
            return Ok(Catalog::read(self.store).await?);
        }
        let Some(newest) = catalog.snapshots.last() else {
            return Ok(catalog);
        };
        let last = manifest(self.store, newest).await?;
        let here = catalog.marker.as_ref();
        let of_this_place = here.is_none_or(|marker| marker.nonce == last.marker.nonce);
        if !of_this_place || last.cluster_id != candidate.cluster_id() {
            return Ok(catalog);
        }
        let place = self.place;
        log::warn!("{MARKER} or a lineage was gone from {place}: it is put back from {newest}");
        self.store.create(MARKER, json(&last.marker)).await?;
        for lineage in &last.lineages {
            let key = lineage_key(lineage.n);
            self.store.create(&key, json(lineage)).await?;
        }
        Ok(Catalog::read(self.store).await?)
    }

    /// What is behind the newest snapshot is not saved: etcd's revision never goes back, but a cluster that was founded
    /// anew, or restored by hand, under the same names and token has the same ID. Its snapshots would count as older ones.
    fn behind(&self, newest: &SnapshotId, candidate: &Candidate) -> NotDone {
        NotDone::Refused(Error::new(format!(
            "etcd at {} has revision {}, and the newest snapshot of this cluster ID is {newest}: the member lags, or the cluster was founded anew or restored by hand, and needs a prefix of its own",
            candidate.endpoint.url,
            candidate.revision(),
        )))
    }

    fn other_cluster(&self, catalog: &Catalog, candidate: &Candidate) -> NotDone {
        let whose = match &catalog.marker {
            Some(marker) if marker.cluster.is_empty() => {
                format!("of the cluster {}", marker.cluster_id)
            }
            Some(marker) => format!("of the cluster {} ({})", marker.cluster_id, marker.cluster),
            None => "of a cluster whose marker is gone".into(),
        };
        NotDone::Refused(Error::new(format!(
            "{} is the place {whose}, and etcd at {} is of the cluster {}: give each cluster a prefix of its own",
            self.place,
            candidate.endpoint.url,
            candidate.cluster_id(),
        )))
    }

    /// Whether it will fit, by what the newest snapshot became in the store.
    async fn has_room(
        &self,
        newest: Option<&SnapshotId>,
        candidate: &Candidate,
    ) -> Result<(), NotDone> {
        let Some(free) = self.store.free()? else {
            return Ok(());
        };
        let size: u64 = candidate.status.db_size.try_into().unwrap_or(0);
        let last = match newest {
            Some(newest) => manifest(self.store, newest).await.ok(),
            None => None,
        };
        let need = last.map_or(size, |last| need(size, last.size, last.stored_size));
        if need > free {
            let why = format!(
                "{} has {free} bytes free, and a snapshot may need {need}: make room, or prune",
                self.place
            );
            return Err(Error::new(why).into());
        }
        Ok(())
    }

    async fn stream(
        &self,
        candidate: &Candidate,
        lineage: u64,
        catalog: &Catalog,
        members: &[SavedMember],
    ) -> Result<Manifest, Broken> {
        let (taken, began) = (Moment::now(), Instant::now());
        // All that is in it before the stream begins is in the snapshot.
        let before = candidate.endpoint.status().await.map_err(Broken::Stream)?;
        let before = Candidate {
            endpoint: candidate.endpoint.clone(),
            status: before,
        };
        // What is restored from it would be held as well, with nobody who ends that.
        if before.status.is_held() {
            let words = "it was restored, and holds its clients until a second voter has caught up: no snapshot is taken before that";
            return Err(Broken::ours(Error::new(words)));
        }
        if before.cluster_id() != candidate.cluster_id() {
            return Err(Broken::Ours(self.other_cluster(catalog, &before)));
        }
        let mut messages = candidate
            .endpoint
            .snapshot()
            .await
            .map_err(Broken::Stream)?;
        let id = SnapshotId {
            lineage,
            revision: before.revision(),
            random: random::text(),
        };
        let size = before.status.db_size.try_into().unwrap_or(0);
        let mut upload = self
            .store
            .upload(&id.object(), size)
            .await
            .map_err(Broken::ours)?;
        let sent = self.send(&before, &mut messages, &mut upload).await;
        let (passed, storage_version) = match sent {
            Ok(sent) => sent,
            Err(broken) => {
                upload.abort().await;
                return Err(broken);
            }
        };
        upload.finish().await.map_err(Broken::ours)?;
        // A store that ignores conditions may have been marked by two at once: the last one has it.
        let now = read_json::<Marker>(self.store, MARKER).await;
        if now.map_err(Broken::ours)? != catalog.marker {
            let _ = self.store.delete(&id.object()).await;
            let why = format!("{} was marked anew meanwhile", self.place);
            return Err(Broken::ours(Error::new(why)));
        }
        // A token of etcd ends after five minutes without use.
        let mut asked = before.endpoint.clone();
        if let Some(user) = &self.etcd.user
            && let Err(error) = asked.authenticate(user).await
        {
            log::warn!("{error}");
        }
        let header = before.status.header.clone().unwrap_or_default();
        let manifest = Manifest {
            format: FORMAT,
            cluster_id: before.cluster_id(),
            revision: id.revision,
            term: header.raft_term,
            index: before.status.raft_applied_index,
            member: before.member_id(),
            members: members.to_vec(),
            etcd_version: before.status.version.clone(),
            storage_version: Some(storage_version).filter(|version| !version.is_empty()),
            size: passed.size,
            sha256: passed.sha256,
            stored_size: passed.stored_size,
            stored_sha256: passed.stored_sha256,
            keys: asked.keys(id.revision).await,
            hashkv: match self.hashkv {
                true => asked.hashkv(id.revision).await,
                false => None,
            },
            taken,
            took_ms: began.elapsed().as_millis().try_into().unwrap_or(u64::MAX),
            program: env!("CARGO_PKG_VERSION").into(),
            marker: catalog
                .marker
                .clone()
                .expect("a place without a marker has no lineage"),
            lineages: catalog.lineages.clone(),
            id,
        };
        match self
            .store
            .create(&manifest.id.manifest(), json(&manifest))
            .await
        {
            Ok(Creation::Ours) => Ok(manifest),
            Ok(Creation::Others) => Err(Broken::ours(Error::new(format!(
                "{} is there already",
                manifest.id
            )))),
            Err(error) => Err(Broken::ours(error)),
        }
    }

    /// Moves the stream into the upload. What went through, and the version of its storage format.
    async fn send(
        &self,
        from: &Candidate,
        messages: &mut Streaming<SnapshotResponse>,
        upload: &mut Upload,
    ) -> Result<(Passed, String), Broken> {
        let Compressor {
            input,
            mut output,
            end,
        } = Compressor::start(upload.piece()).map_err(Broken::ours)?;
        let progress = Bar::new("saving");
        let mut storage_version = String::new();
        let receiving = async {
            // Dropped at the end of this block: that ends the stream.
            let input = input;
            loop {
                let message = match tokio::time::timeout(SILENCE, messages.message()).await {
                    Ok(Ok(Some(message))) => message,
                    Ok(Ok(None)) => return Ok(()),
                    Ok(Err(status)) => {
                        return Err(Broken::Stream(
                            from.endpoint.failed("go on with the snapshot", &status),
                        ));
                    }
                    Err(_) => {
                        let why = format!(
                            "etcd at {} was silent for {SILENCE:?} in a snapshot",
                            from.endpoint.url
                        );
                        return Err(Broken::Stream(Error::new(why)));
                    }
                };
                progress.of(message.remaining_bytes, message.blob.len() as u64);
                storage_version = message.version;
                if input.send(message.blob).await.is_err() {
                    // The other side says why.
                    return Ok(());
                }
            }
        };
        let sending = async {
            while let Some(piece) = output.recv().await {
                upload.write(piece).await.map_err(Broken::ours)?;
            }
            Ok(())
        };
        match select(
            pin!(try_join(receiving, sending)),
            pin!(self.stopping.asked()),
        )
        .await
        {
            Either::Left((moved, _)) => drop(moved?),
            Either::Right(((), _)) => return Err(Broken::Ours(NotDone::Stopped)),
        }
        progress.done();
        let passed = end.join().map_err(|error| {
            let why = format!("the stream of etcd at {}", from.endpoint.url);
            Broken::Stream(Error::caused(why, error))
        })?;
        Ok((passed, storage_version))
    }
}

/// What broke.
enum Broken {
    /// etcd's side: another try may do better.
    Stream(Error),
    /// Ours, or the store's, which was tried again already.
    Ours(NotDone),
}

impl Broken {
    fn ours(error: Error) -> Broken {
        Broken::Ours(error.into())
    }
}

/// How many bytes a snapshot of this size may need, where the last one of `of` bytes needed `took`; a fifth more.
fn need(size: u64, of: u64, took: u64) -> u64 {
    let scaled =
        (u128::from(size) * u128::from(took) / u128::from(of.max(1))).saturating_mul(6) / 5;
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_that_is_needed_follows_from_the_last_one() {
        assert_eq!(need(1000, 500, 100), 240);
        assert_eq!(need(u64::MAX, 1, u64::MAX), u64::MAX);
        assert_eq!(need(1000, 0, 100), 120_000);
    }
}
