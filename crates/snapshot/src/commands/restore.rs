//! `restore`: an order to restore a snapshot, its list, and taking it back. The members carry it out.

use std::io::sink;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use etcd_rejoin_host::error::Error;
use etcd_rejoin_host::exit::Exit;

use super::at_hand::AtHand;
use super::fetch;
use crate::catalog::{Catalog, json, manifest, manifests};
use crate::cli::OrderArgs;
use crate::cluster::{Candidate, candidates};
use crate::layout::{
    FORMAT, Manifest, Moment, OrderEnd, OrderedWith, SNAPSHOTS, SnapshotId, WrittenOrder, order_key,
};
use crate::orders::{self, FoundOrder};
use crate::save::{Saved, Task};
use crate::stop::Stopping;
use crate::store::Creation;
use crate::table::{age, length, table};
use crate::{NotDone, ask, random};

/// An order that was written, and what came before.
#[derive(Serialize)]
pub struct OrderAnswer<'a> {
    /// It.
    pub order: &'a WrittenOrder,
    /// What is lost, in words.
    pub loses: &'a [String],
    /// The snapshot that was saved before; none where none could be.
    pub backup: Option<SnapshotId>,
}

/// What an order needs: a store that is somebody's, that can decide, and in which no other order waits.
pub async fn ready(around: &AtHand) -> Result<(Catalog, Vec<FoundOrder>), NotDone> {
    let store = &around.store;
    let found = orders::orders(store).await?;
    if let Some(open) = found.iter().find(|order| order.outcome.is_none()) {
        let n = open.n;
        return Err(NotDone::Refused(Error::new(format!(
            "order {n} waits: `restore list` shows it, and `restore cancel {n}` takes it back"
        ))));
    }
    decides(around).await?;
    Ok((Catalog::read(store).await?, found))
}

async fn decides(around: &AtHand) -> Result<(), NotDone> {
    match around.store.decides(&random::text()).await? {
        true => Ok(()),
        false => Err(NotDone::Refused(Error::new(format!(
            "{} ignores the condition of a conditional create: an order could be begun and cancelled at once there",
            around.settings.place
        )))),
    }
}

/// The number that the next lineage gets: neither a lineage nor an order has it.
fn next_number(catalog: &Catalog, found: &[FoundOrder]) -> u64 {
    let lineages = catalog.lineages.iter().map(|lineage| lineage.n);
    let snapshots = catalog.snapshots.iter().map(|id| id.lineage);
    let orders = found.iter().map(|order| order.n);
    1 + lineages
        .chain(snapshots)
        .chain(orders)
        .max()
        .unwrap_or(1)
        .max(1)
}

/// Writes an order for these, unless another one was written meanwhile.
pub async fn write(
    around: &AtHand,
    (catalog, found): (&Catalog, &[FoundOrder]),
    with: OrderedWith,
) -> Result<WrittenOrder, NotDone> {
    let order = WrittenOrder {
        format: FORMAT,
        n: next_number(catalog, found),
        nonce: random::nonce(),
        with,
        by: rustix::system::uname().nodename().to_string_lossy().into(),
        made: Moment::now(),
    };
    let key = order_key(order.n);
    match around.store.create(&key, json(&order)).await? {
        Creation::Ours => Ok(order),
        Creation::Others => Err(NotDone::Refused(Error::new(
            "another order was written meanwhile: `restore list` shows it",
        ))),
    }
}

/// A fresh snapshot, read again; or why there is none.
pub async fn backup(around: &AtHand) -> Option<SnapshotId> {
    let stopping = Stopping::never();
    let task = Task {
        store: &around.store,
        place: &around.settings.place,
        etcd: &around.settings.etcd,
        name: None,
        if_changed: true,
        hashkv: false,
        stopping: &stopping,
    };
    let saved = match task.save().await {
        Ok(Saved::New(saved)) => Ok(*saved),
        Ok(Saved::Unchanged(id)) => manifest(&around.store, &id).await,
        Err(NotDone::Refused(error) | NotDone::Failed(error)) => Err(error),
        Err(NotDone::Stopped) => Err(Error::new("it was stopped")),
    };
    let read = match saved {
        Ok(saved) => match fetch::open(&around.store, &saved, sink()).await {
            Ok(_) => Ok(saved.id),
            Err(flaw) => Err(flaw.of(&saved.id)),
        },
        Err(error) => Err(error),
    };
    match read {
        Ok(id) => {
            eprintln!("saved before: {id}, read again");
            Some(id)
        }
        Err(error) => {
            eprintln!("no snapshot before: {error}");
            None
        }
    }
}

/// Orders a snapshot to be restored.
pub async fn order(around: &AtHand, args: &OrderArgs) -> Result<Exit, NotDone> {
    let (catalog, found) = ready(around).await?;
    if catalog.marker.is_none() {
        let words = format!(
            "{} has no marker: nobody can tell whose snapshots these are; `save` puts it back",
            around.settings.place
        );
        return Err(NotDone::Refused(Error::new(words)));
    }
    let wanted = around.which(&args.which).await?;
    let loses = losses(around, &catalog, &wanted).await?;
    let id = &wanted.id;
    let verified = fetch::open(&around.store, &wanted, sink()).await;
    verified.map_err(|flaw| flaw.of(id))?;
    let n = next_number(&catalog, &found);
    eprintln!(
        "order {n}: restore {id}, revision {}, taken {}",
        wanted.revision, wanted.taken
    );
    eprintln!("it was read, and is what was saved");
    for loss in &loses {
        eprintln!("lost: {loss}");
    }
    ask::yes(
        args.yes,
        &format!("order {n} rolls the cluster back to {id}"),
    )?;
    let backup = backup(around).await;
    let with = OrderedWith::Snapshot {
        snapshot: id.clone(),
        verified: true,
    };
    let order = write(around, (&catalog, &found), with).await?;
    // Whoever prunes lists the orders once, before: it may have missed this one.
    let listed = around.store.list(SNAPSHOTS).await?;
    let is_there = |key: String| listed.iter().any(|found| found.key == key);
    if !is_there(id.manifest()) || !is_there(id.object()) {
        orders::decide(&around.store, order.n, OrderEnd::Cancelled).await?;
        let words = format!("{id} was removed meanwhile: order {} is cancelled", order.n);
        return Err(Error::new(words).into());
    }
    let answer = OrderAnswer {
        order: &order,
        loses: &loses,
        backup,
    };
    let members = wanted.members.iter().map(|member| member.name.as_str());
    let members: Vec<&str> = members.collect();
    Ok(around.answer(&answer, || next_words(&order, &members)))
}

/// What happens next.
fn next_words(order: &WrittenOrder, members: &[&str]) -> String {
    let n = order.n;
    format!(
        "order {n} is written, and nothing has changed yet

next: stop all members ({}), then start them again; those that wait already hear of it. A cluster that runs goes on
      until then; a rolling restart keeps it running. Once more than half of them wait for the order it is begun: all
      set their data aside, one restores, and the others rejoin it
watch: `etcd-rejoin restore list`, and the members' logs: restore-ordered, restore-begun
take it back: `etcd-rejoin restore cancel {n}`, until it is begun
",
        members.join(", ")
    )
}

/// What a restore of this one loses, in words: of the newest snapshot, and of the cluster where it answers.
async fn losses(
    around: &AtHand,
    catalog: &Catalog,
    wanted: &Manifest,
) -> Result<Vec<String>, NotDone> {
    let mut losses = Vec::new();
    if let Some(newest) = catalog
        .snapshots
        .last()
        .filter(|newest| **newest != wanted.id)
    {
        // One that cannot be used is nothing to be lost.
        let (newest, _) = manifests(&around.store, std::slice::from_ref(newest)).await?;
        losses.extend(newest.first().map(|newest| behind(wanted, newest)));
    }
    let running = candidates(&around.settings.etcd).await;
    let running = running.map(|(running, _)| running.into_iter().max_by_key(Candidate::revision));
    losses.push(match running {
        Ok(Some(running)) => {
            let (id, url) = (running.cluster_id(), &running.endpoint.url);
            let since = since(wanted.taken.0, SystemTime::now());
            match id == wanted.cluster_id {
                true => {
                    let revisions = running.revision().saturating_sub(wanted.revision);
                    format!("{revisions} revisions of the cluster that runs (revision {} at {url}), written in the last {since}", running.revision())
                }
                false => format!("all that the cluster that runs at {url} ({id}) has written: it is of another lineage, {}", catalog.lineage_of(&id).map_or("which this place does not know".into(), |n| n.to_string())),
            }
        }
        Ok(None) => unanswered("nobody answers", wanted),
        Err(error) => unanswered(&error.to_string(), wanted),
    });
    Ok(losses)
}

fn unanswered(why: &str, wanted: &Manifest) -> String {
    format!(
        "whatever was written after {}: how much that is is not known, as the cluster does not answer ({why})",
        wanted.taken
    )
}

/// What a newer snapshot has more.
fn behind(wanted: &Manifest, newest: &Manifest) -> String {
    let (id, since) = (&newest.id, since(wanted.taken.0, newest.taken.0));
    match id.lineage == wanted.id.lineage {
        true => format!(
            "{} revisions of the newest snapshot {id}, taken {since} later",
            newest.revision.saturating_sub(wanted.revision)
        ),
        false => format!(
            "all of lineage {}, of which the newest snapshot is {id}, taken {since} later",
            id.lineage
        ),
    }
}

/// How long from one time to another.
fn since(then: SystemTime, now: SystemTime) -> String {
    length(now.duration_since(then).unwrap_or(Duration::ZERO))
}

#[derive(Serialize)]
struct ListedOrder<'a> {
    #[serde(flatten)]
    order: &'a WrittenOrder,
    state: String,
}

/// The orders.
pub async fn list(around: &AtHand) -> Result<Exit, NotDone> {
    let found = orders::orders(&around.store).await?;
    let lineages = Catalog::read(&around.store).await?.lineages;
    let state = |found: &FoundOrder| match found.end() {
        None => "waits".into(),
        Some(end) => match lineages.iter().find(|lineage| lineage.n == found.n) {
            Some(lineage) if end == OrderEnd::Begun => {
                format!("begun; cluster {} goes on with it", lineage.cluster_id)
            }
            Some(_) | None => end.to_string(),
        },
    };
    let listed: Vec<ListedOrder> = (found.iter())
        .map(|found| ListedOrder {
            order: &found.order,
            state: state(found),
        })
        .collect();
    Ok(around.answer(&listed, || {
        if listed.is_empty() {
            return format!("no orders in {}\n", around.settings.place);
        }
        let now = SystemTime::now();
        let line = |one: &ListedOrder| {
            vec![
                one.order.n.to_string(),
                what(&one.order.with),
                age(one.order.made.0, now),
                one.order.by.clone(),
                one.state.clone(),
            ]
        };
        let lines: Vec<_> = listed.iter().map(line).collect();
        table(&["ORDER", "WHAT", "WRITTEN", "BY", "STATE"], &lines)
    }))
}

fn what(with: &OrderedWith) -> String {
    match with {
        OrderedWith::Snapshot { snapshot, .. } => format!("restore {snapshot}"),
        OrderedWith::Survivor { member, destroyed } => {
            format!("go on with {member}; destroyed: {}", destroyed.join(","))
        }
    }
}

/// Takes an order back, unless it is begun.
pub async fn cancel(around: &AtHand, n: u64) -> Result<Exit, NotDone> {
    if orders::order(&around.store, n).await?.is_none() {
        let words = format!("there is no order {n}: `restore list` has them");
        return Err(Error::new(words).into());
    }
    decides(around).await?;
    match orders::decide(&around.store, n, OrderEnd::Cancelled).await? {
        end @ OrderEnd::Cancelled => {
            let answer = serde_json::json!({ "order": n, "outcome": end });
            Ok(around.answer(&answer, || format!("order {n} is cancelled\n")))
        }
        OrderEnd::Begun => Err(NotDone::Refused(Error::new(format!(
            "order {n} is begun: members have set their data aside for it"
        )))),
    }
}
