//! The outcomes of drills in a store: which snapshots are proven, and since when.

use std::collections::BTreeMap;

use futures_util::stream::{StreamExt as _, iter};

use etcd_rejoin_host::error::Error;

use crate::catalog::{AT_ONCE, parse};
use crate::layout::{DrillRecord, SnapshotId};
use crate::store::Store;

/// The last drill of each of these that had one. One that cannot be read is none: it proves nothing.
pub async fn drills(
    store: &Store,
    drilled: &[SnapshotId],
) -> Result<BTreeMap<SnapshotId, DrillRecord>, Error> {
    let mut found = BTreeMap::new();
    let reading = drilled
        .iter()
        .map(|id| async move { (id, store.get(&id.drill()).await) });
    let mut reading = iter(reading).buffered(AT_ONCE);
    while let Some((id, bytes)) = reading.next().await {
        // A store that does not give it is an error: `prune` must not take it for unproven.
        let Some(bytes) = bytes? else { continue };
        match parse::<DrillRecord>(&bytes) {
            Ok(record) => drop(found.insert(id.clone(), record)),
            Err(error) => log::warn!("{}: {error}", id.drill()),
        }
    }
    Ok(found)
}
