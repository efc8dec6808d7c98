//! What a store holds, read once: the marker, the lineages, the names of the snapshots. Whose place it is follows.

use std::collections::BTreeMap;

use futures_util::stream::{StreamExt as _, iter};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use etcd_rejoin_host::error::{Context, Error};

use crate::layout::{FORMAT, LINEAGES, Lineage, MARKER, Manifest, Marker, SNAPSHOTS, SnapshotId};
use crate::store::{Listing, Store};

/// How many small objects are read at once.
pub const AT_ONCE: usize = 16;

/// What a store holds.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Whose place it is.
    pub marker: Option<Marker>,
    /// What restores began, by number.
    pub lineages: Vec<Lineage>,
    /// The snapshots: there is a manifest of each. The newest is the last.
    pub snapshots: Vec<SnapshotId>,
    /// Those that have the outcome of a drill beside them.
    pub drilled: Vec<SnapshotId>,
    /// Data without a manifest: an upload that goes on, or has ended half way.
    pub unfinished: Vec<Listing>,
}

impl Catalog {
    /// Reads it. A store that does not answer is an error, never an empty catalog.
    pub async fn read(store: &Store) -> Result<Catalog, Error> {
        let marker = read_json(store, MARKER).await?;
        let listed = store.list(LINEAGES).await?;
        let keys = listed
            .into_iter()
            .map(|found| found.key)
            .filter(|key| key.ends_with(".json"));
        let mut lineages: Vec<Lineage> = Vec::new();
        let mut reading =
            iter(keys.map(|key| async move { read_json(store, &key).await })).buffered(AT_ONCE);
        while let Some(lineage) = reading.next().await {
            lineages.extend(lineage?);
        }
        lineages.sort_by_key(|lineage| lineage.n);
        let listed = store.list(SNAPSHOTS).await?;
        let mut snapshots: Vec<_> = listed
            .iter()
            .filter_map(|found| SnapshotId::of_manifest(&found.key))
            .collect();
        snapshots.sort();
        let drilled = listed
            .iter()
            .filter_map(|found| SnapshotId::of_drill(&found.key))
            .collect();
        let without = |found: &Listing| {
            let id = SnapshotId::of_object(&found.key);
            id.is_some_and(|id| snapshots.binary_search(&id).is_err())
        };
        let unfinished = listed.into_iter().filter(without).collect();
        Ok(Catalog {
            marker,
            lineages,
            snapshots,
            drilled,
            unfinished,
        })
    }

    /// The lineage with this cluster ID.
    pub fn lineage_of(&self, cluster_id: &str) -> Option<u64> {
        let restored = self
            .lineages
            .iter()
            .rev()
            .find(|lineage| lineage.cluster_id == cluster_id);
        let founded = self
            .marker
            .as_ref()
            .is_some_and(|marker| marker.cluster_id == cluster_id);
        restored.map(|lineage| lineage.n).or(founded.then_some(1))
    }

    /// The newest lineage; none where nothing was founded.
    pub fn newest_lineage(&self) -> Option<u64> {
        let restored = self.lineages.last().map(|lineage| lineage.n);
        restored.or(self.marker.as_ref().map(|_| 1))
    }

    /// The newest snapshot of this lineage.
    pub fn newest_of(&self, lineage: u64) -> Option<&SnapshotId> {
        self.snapshots.iter().rev().find(|id| id.lineage == lineage)
    }

    /// Whether nothing is there at all.
    pub fn is_empty(&self) -> bool {
        self.marker.is_none() && self.lineages.is_empty() && self.snapshots.is_empty()
    }
}

/// The manifests of these snapshots, in their order; and those that cannot be used, with why.
pub async fn manifests(
    store: &Store,
    ids: &[SnapshotId],
) -> Result<(Vec<Manifest>, BTreeMap<SnapshotId, String>), Error> {
    let (mut read, mut unread) = (Vec::new(), BTreeMap::new());
    let reading = ids
        .iter()
        .map(|id| async move { (id, store.get(&id.manifest()).await) });
    let mut reading = iter(reading).buffered(AT_ONCE);
    while let Some((id, bytes)) = reading.next().await {
        // Pruned meanwhile, it is none.
        let Some(bytes) = bytes? else { continue };
        match parse::<Manifest>(&bytes) {
            Ok(manifest) if manifest.id == *id => read.push(manifest),
            Ok(manifest) => {
                unread.insert(
                    id.clone(),
                    format!("its manifest is that of {}", manifest.id),
                );
            }
            Err(error) => {
                unread.insert(id.clone(), error.to_string());
            }
        }
    }
    Ok((read, unread))
}

/// The manifest of one snapshot.
pub async fn manifest(store: &Store, id: &SnapshotId) -> Result<Manifest, Error> {
    let (mut read, unread) = manifests(store, std::slice::from_ref(id)).await?;
    match (read.pop(), unread.get(id)) {
        (Some(manifest), _) => Ok(manifest),
        (None, Some(why)) => Err(Error::new(format!(
            "the manifest of {id} cannot be used: {why}"
        ))),
        (None, None) => Err(Error::new(format!(
            "there is no snapshot {id}: `list` has them"
        ))),
    }
}

/// A small object, or none.
pub async fn read_json<T: DeserializeOwned>(store: &Store, key: &str) -> Result<Option<T>, Error> {
    let bytes = store.get(key).await?;
    let read = bytes.map(|bytes| parse(&bytes)).transpose();
    read.context(|| format!("{key} cannot be used"))
}

/// Reads an object, unless it is of a newer layout.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    #[derive(Deserialize)]
    struct Numbered {
        format: u32,
    }
    let Numbered { format } = serde_json::from_slice(bytes).context(|| "it is not ours".into())?;
    if format > FORMAT {
        return Err(Error::new(format!(
            "it has format {format}, and this program knows {FORMAT}: use a newer one"
        )));
    }
    serde_json::from_slice(bytes).context(|| "it is damaged".into())
}

/// How an object is written: a line for each field, for people who look at it.
pub fn json(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("plain values are JSON");
    bytes.push(b'\n');
    bytes
}
