//! `look`: one bounded read of the store, for the entrypoint. A store that does not answer is an error, never an empty
//! list.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use etcd_rejoin_host::error::Error;
use etcd_rejoin_host::exit::Exit;

use super::at_hand::AtHand;
use crate::catalog::{Catalog, manifests};
use crate::cli::LookArgs;
use crate::drills::drills;
use crate::layout::{
    Lineage, Manifest, Marker, OrderedWith, RecordedMember, SnapshotId, WrittenOrder,
    WrittenOutcome,
};
use crate::orders::{FoundOrder, orders, recorded};
use crate::{NotDone, random};

/// All that the entrypoint wants to know of a store.
#[derive(Serialize)]
struct StoreLook {
    /// Whose place it is; stands for lineage 1.
    marker: Option<Marker>,
    /// What restores began.
    lineages: Vec<Lineage>,
    /// All snapshots; the newest is the last.
    snapshots: Vec<SnapshotId>,
    /// The manifests of the newest ones, of the bases of lineages, and of those that orders name.
    manifests: Vec<Manifest>,
    /// Snapshots whose manifest cannot be used, with why.
    unusable: BTreeMap<SnapshotId, String>,
    /// Those that were read once, by a drill or a restore, and are not what was saved.
    bad: Vec<SnapshotId>,
    /// Orders, by number.
    orders: Vec<OrderLook>,
    /// The members that were recorded before they were added.
    members: Vec<RecordedMember>,
    /// Whether a conditional create means something there; nothing where it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    decides: Option<bool>,
}

#[derive(Serialize)]
struct OrderLook {
    n: u64,
    order: WrittenOrder,
    outcome: Option<WrittenOutcome>,
}

/// Looks, and prints it as JSON.
pub async fn look(around: &AtHand, args: &LookArgs) -> Result<Exit, NotDone> {
    let looked = tokio::time::timeout(args.timeout, see(around, args)).await;
    let late = |_| {
        Error::new(format!(
            "{} does not answer within {:?}",
            around.settings.place, args.timeout
        ))
    };
    let look = looked.map_err(late)??;
    let text = serde_json::to_string(&look).expect("plain values are JSON");
    Ok(etcd_rejoin_host::exit::print(&format!("{text}\n")))
}

async fn see(around: &AtHand, args: &LookArgs) -> Result<StoreLook, Error> {
    let store = &around.store;
    let catalog = Catalog::read(store).await?;
    let newest = catalog.snapshots.iter().rev().take(args.manifests);
    let bases = (catalog.lineages.iter()).filter_map(|lineage| lineage.base.as_ref());
    let found = orders(store).await?;
    let ordered = found.iter().filter_map(|found| found.order.with.snapshot());
    let wanted: BTreeSet<SnapshotId> = newest.chain(bases).chain(ordered).cloned().collect();
    let wanted: Vec<_> = wanted.into_iter().collect();
    let (manifests, unusable) = manifests(store, &wanted).await?;
    let drills = drills(store, &catalog.drilled).await?;
    let failed = drills.into_iter().filter(|(_, drill)| !drill.passed);
    let bad = failed.map(|(id, _)| id).collect();
    let orders = (found.into_iter())
        .map(|found| order_look(found, &catalog.snapshots))
        .collect();
    let members = recorded(store).await?;
    let decides = match args.decides {
        true => Some(store.decides(&random::text()).await?),
        false => None,
    };
    let Catalog {
        marker,
        lineages,
        snapshots,
        ..
    } = catalog;
    Ok(StoreLook {
        marker,
        lineages,
        snapshots,
        manifests,
        unusable,
        bad,
        orders,
        members,
        decides,
    })
}

/// An order, as it holds now: a snapshot that is gone is not verified any more.
fn order_look(found: FoundOrder, snapshots: &[SnapshotId]) -> OrderLook {
    let FoundOrder {
        n,
        mut order,
        outcome,
    } = found;
    if let OrderedWith::Snapshot { snapshot, verified } = &mut order.with {
        *verified &= snapshots.contains(snapshot);
    }
    OrderLook { n, order, outcome }
}
