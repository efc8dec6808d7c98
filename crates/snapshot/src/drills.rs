//! The outcomes of drills in a store: which snapshots are proven, and since when.

use std::collections::BTreeMap;

use etcd_rejoin_host::error::Error;

use crate::catalog::read_json;
use crate::layout::{DrillRecord, SNAPSHOTS, SnapshotId};
use crate::store::Store;

/// The last drill of each snapshot that had one. One that cannot be read is none: it proves nothing.
pub async fn drills(store: &Store) -> Result<BTreeMap<SnapshotId, DrillRecord>, Error> {
    let mut found = BTreeMap::new();
    for listing in store.list(SNAPSHOTS).await? {
        let Some(id) = SnapshotId::of_drill(&listing.key) else {
            continue;
        };
        match read_json::<DrillRecord>(store, &listing.key).await {
            Ok(Some(record)) => drop(found.insert(id, record)),
            Ok(None) => {}
            Err(error) => log::warn!("{error}"),
        }
    }
    Ok(found)
}
