//! `look`: one bounded read of the store, for the entrypoint. A store that does not answer is an error, never an empty
//! list.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use etcd_rejoin_host::error::Error;
use etcd_rejoin_host::exit::Exit;

use super::at_hand::AtHand;
use crate::catalog::{Catalog, manifests, read_json};
use crate::cli::LookArgs;
use crate::layout::{Lineage, Manifest, Marker, ORDERS, SnapshotId, order_key, outcome_key};
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
    /// The manifests of the newest ones, and of the bases of lineages.
    manifests: Vec<Manifest>,
    /// Snapshots whose manifest cannot be used, with why.
    unusable: BTreeMap<SnapshotId, String>,
    /// Orders, by number.
    orders: Vec<OrderLook>,
    /// Whether a conditional create means something there; nothing where it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    decides: Option<bool>,
}

#[derive(Serialize)]
struct OrderLook {
    n: u64,
    order: Value,
    outcome: Option<Value>,
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
    let bases = catalog.lineages.iter().map(|lineage| &lineage.base);
    let wanted: BTreeSet<SnapshotId> = newest.chain(bases).cloned().collect();
    let wanted: Vec<_> = wanted.into_iter().collect();
    let (manifests, unusable) = manifests(store, &wanted).await?;
    let mut orders = Vec::new();
    let listed = store.list(ORDERS).await?;
    let mut numbers: Vec<u64> = listed
        .iter()
        .filter_map(|found| order_of(&found.key))
        .collect();
    numbers.sort_unstable();
    for n in numbers {
        if let Some(order) = read_json(store, &order_key(n)).await? {
            orders.push(OrderLook {
                n,
                order,
                outcome: read_json(store, &outcome_key(n)).await?,
            });
        }
    }
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
        orders,
        decides,
    })
}

/// The number of an order.
fn order_of(key: &str) -> Option<u64> {
    key.strip_prefix(ORDERS)?
        .strip_prefix('/')?
        .strip_suffix(".json")?
        .parse()
        .ok()
}
