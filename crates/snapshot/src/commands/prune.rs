//! `prune`: removes the snapshots that no rule keeps. The decision is `etcd_rejoin_decide::retain`; here it is carried out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::Value;

use etcd_rejoin_decide::{KeptFor, Prunable, Retention, retain};
use etcd_rejoin_host::calendar;
use etcd_rejoin_host::error::Error;
use etcd_rejoin_host::exit::Exit;

use super::at_hand::AtHand;
use crate::NotDone;
use crate::catalog::{Catalog, manifests, read_json};
use crate::cli::PruneArgs;
use crate::drills::drills;
use crate::layout::{Manifest, Moment, ORDERS, SnapshotId};
use crate::store::{Listing, Store};
use crate::table::{age, table};

/// How much older than the newest object half of a snapshot has to be: no upload takes so long.
const FORGOTTEN: Duration = Duration::from_secs(86_400);

#[derive(Serialize)]
struct Judged {
    snapshot: SnapshotId,
    taken: Moment,
    /// Why it stays; empty: it goes.
    kept_for: Vec<String>,
}

/// Judges all snapshots, removes those that go, and says so.
pub async fn prune(around: &AtHand, args: &PruneArgs) -> Result<Exit, NotDone> {
    let (all, kept) = judge(around, &args.keep.rules(), args.dry_run).await?;
    Ok(around.answer(&judged(&all, &kept), || words(&all, &kept, args.dry_run)))
}

/// The snapshots, and why each stays; those without a reason are gone then, unless it is a dry run.
pub async fn judge(
    around: &AtHand,
    rules: &Retention,
    dry_run: bool,
) -> Result<(Vec<Manifest>, Vec<BTreeSet<KeptFor>>), NotDone> {
    let store = &around.store;
    let catalog = Catalog::read(store).await?;
    let Some(own) = catalog
        .newest_lineage()
        .filter(|_| catalog.marker.is_some())
    else {
        let place = &around.settings.place;
        let words = format!(
            "{place} has no marker: nobody can tell whose snapshots these are; `save` puts it back"
        );
        return Err(NotDone::Refused(Error::new(words)));
    };
    // One that cannot be judged stays.
    let (all, unusable) = manifests(store, &catalog.snapshots).await?;
    for (id, why) in &unusable {
        log::warn!("{id} stays: {why}");
    }
    let proven = drills(store, &catalog.drilled).await?;
    let bound = bound(store, &catalog, &all).await?;
    let prunable = |manifest: &Manifest| {
        let taken = manifest.taken.0.duration_since(SystemTime::UNIX_EPOCH);
        let taken = taken.unwrap_or_default().as_secs();
        Prunable {
            lineage: manifest.id.lineage,
            revision: manifest.revision,
            taken,
            month: calendar::month(taken),
            verified: proven.get(&manifest.id).is_some_and(|drill| drill.passed),
            bound: bound.contains(&manifest.id),
        }
    };
    let list: Vec<Prunable> = all.iter().map(prunable).collect();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let kept = retain(rules, own, now.unwrap_or_default().as_secs(), &list);
    let goes = all.iter().zip(&kept).filter(|(_, why)| why.is_empty());
    let mut removed = 0;
    if !dry_run {
        for (manifest, _) in goes {
            remove(store, &manifest.id).await.map_err(|error| {
                Error::caused(
                    format!("{removed} snapshots are removed, the next one is not"),
                    error,
                )
            })?;
            removed += 1;
        }
        store.sweep(crate::layout::SNAPSHOTS, FORGOTTEN)?;
        for half in forgotten(&catalog, store).await? {
            log::info!(
                "{} is half of a snapshot, and a day old: it is removed",
                half.key
            );
            store.delete(&half.key).await?;
        }
    }
    Ok((all, kept))
}

/// First its manifest: from then on it is no snapshot. What a kill leaves is half of one, which a later prune takes.
async fn remove(store: &Store, id: &SnapshotId) -> Result<(), Error> {
    for key in [id.manifest(), id.object(), id.drill()] {
        store.delete(&key).await?;
    }
    Ok(())
}

/// The snapshots that lineages began with, by their own account and by that of the manifests, and those that orders name.
async fn bound(
    store: &Store,
    catalog: &Catalog,
    all: &[Manifest],
) -> Result<BTreeSet<SnapshotId>, Error> {
    let told = all.iter().flat_map(|manifest| &manifest.lineages);
    let mut bound: BTreeSet<_> = catalog
        .lineages
        .iter()
        .chain(told)
        .filter_map(|lineage| lineage.base.clone())
        .collect();
    for listing in store.list(ORDERS).await? {
        let order: Option<BTreeMap<String, Value>> = read_json(store, &listing.key).await?;
        let texts = order
            .iter()
            .flat_map(BTreeMap::values)
            .filter_map(Value::as_str);
        bound.extend(texts.filter_map(|text| text.parse().ok()));
    }
    Ok(bound)
}

/// Halves of snapshots that nobody goes on with. By the store's own clock, and ours.
async fn forgotten<'a>(catalog: &'a Catalog, store: &Store) -> Result<Vec<&'a Listing>, Error> {
    if catalog.unfinished.is_empty() {
        return Ok(Vec::new());
    }
    let newest = store
        .list(crate::layout::SNAPSHOTS)
        .await?
        .into_iter()
        .map(|it| it.modified)
        .max();
    let old = |half: &&Listing| {
        let age = newest.and_then(|newest| newest.duration_since(half.modified).ok());
        // By our own clock too: the newest may be of a clock that was ahead, and the half of an upload that goes on.
        let by_ours = SystemTime::now().duration_since(half.modified);
        age.is_some_and(|age| age > FORGOTTEN) && by_ours.is_ok_and(|age| age > FORGOTTEN)
    };
    Ok(catalog.unfinished.iter().filter(old).collect())
}

fn judged(all: &[Manifest], kept: &[BTreeSet<KeptFor>]) -> Vec<Judged> {
    let one = |(manifest, why): (&Manifest, &BTreeSet<KeptFor>)| Judged {
        snapshot: manifest.id.clone(),
        taken: manifest.taken,
        kept_for: why.iter().map(KeptFor::to_string).collect(),
    };
    all.iter().zip(kept).map(one).collect()
}

fn words(all: &[Manifest], kept: &[BTreeSet<KeptFor>], dry_run: bool) -> String {
    let now = SystemTime::now();
    let goes = if dry_run {
        "would be removed"
    } else {
        "removed"
    };
    let lines: Vec<_> = (judged(all, kept).into_iter())
        .map(|one| {
            let why = if one.kept_for.is_empty() {
                goes.to_string()
            } else {
                one.kept_for.join(", ")
            };
            vec![one.snapshot.to_string(), age(one.taken.0, now), why]
        })
        .collect();
    table(&["SNAPSHOT", "TAKEN", "KEPT FOR"], &lines)
}
