//! The outcomes of drills in a store: which snapshots are proven, and since when.

use std::collections::BTreeMap;

use etcd_rejoin_host::error::Error;

use crate::catalog::parse;
use crate::layout::{DrillRecord, SNAPSHOTS, SnapshotId};
use crate::store::Store;

/// The last drill of each snapshot that had one. One that cannot be read is none: it proves nothing.
pub async fn drills(store: &Store) -> Result<BTreeMap<SnapshotId, DrillRecord>, Error> {
    let mut found = BTreeMap::new();
    for listing in store.list(SNAPSHOTS).await? {
        let Some(id) = SnapshotId::of_drill(&listing.key) else {
            continue;
        };
        // A store that does not give it is an error: `prune` must not take it for unproven.
        let Some(bytes) = store.get(&listing.key).await? else {
            continue;
        };
        match parse::<DrillRecord>(&bytes) {
            Ok(record) => drop(found.insert(id, record)),
            Err(error) => log::warn!("{}: {error}", listing.key),
        }
    }
    Ok(found)
}
