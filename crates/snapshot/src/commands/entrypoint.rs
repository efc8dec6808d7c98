//! The entrypoint's steps that need the store. Each can be done twice: it asks for what has to be so, and says whether
//! it is.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};

use etcd_rejoin_host::error::{Context as _, Error};
use etcd_rejoin_host::exit::Exit;
use etcd_rejoin_host::tls;

use super::at_hand::AtHand;
use super::fetch::{self, Flaw};
use crate::NotDone;
use crate::catalog::{Catalog, json, manifest, read_json};
use crate::cli::{EntrypointArgs, EntrypointStep, IntoArgs};
use crate::drill::{NewMember, Speaks, Tools};
use crate::layout::{
    DrillRecord, FORMAT, Lineage, MARKER, Manifest, Marker, Moment, OrderEnd, RecordedMember,
    SnapshotId, lineage_key, member_key,
};
use crate::orders;
use crate::restore::{NewDataDir, bump, bytes_of, copy_member, saved_alone};
use crate::stop::Stopping;
use crate::store::{Creation, Store};

/// How long a step may take; none where it moves a database.
pub fn limit(args: &EntrypointArgs) -> Option<Duration> {
    match args.step {
        EntrypointStep::Mark { .. }
        | EntrypointStep::RecordUrl { .. }
        | EntrypointStep::BeginLineage { .. }
        | EntrypointStep::BeginOrder { .. } => Some(args.timeout),
        EntrypointStep::Restore { .. } | EntrypointStep::Continue { .. } => None,
    }
}

/// Takes a step. Exit code 0: it is so now.
pub async fn step(
    around: &AtHand,
    args: &EntrypointArgs,
    stopping: &Stopping,
) -> Result<Exit, NotDone> {
    let work = work(around, &args.step, stopping);
    let done = match limit(args) {
        None => work.await,
        Some(limit) => match select(
            pin!(tokio::time::timeout(limit, work)),
            pin!(stopping.asked()),
        )
        .await
        {
            Either::Left((Ok(done), _)) => done,
            Either::Left((Err(_), _)) => {
                let place = &around.settings.place;
                let words = format!("{place} does not answer within {limit:?}");
                Err(Error::new(words).into())
            }
            Either::Right(((), _)) => Err(NotDone::Stopped),
        },
    };
    match done {
        Ok(()) => Ok(Exit::OK),
        Err(NotDone::Refused(error) | NotDone::Failed(error)) => {
            eprintln!("{error}");
            Ok(Exit::NOT_OK)
        }
        Err(NotDone::Stopped) => Err(NotDone::Stopped),
    }
}

async fn work(around: &AtHand, step: &EntrypointStep, stopping: &Stopping) -> Result<(), NotDone> {
    let store = &around.store;
    match step {
        EntrypointStep::Mark {
            nonce,
            cluster,
            cluster_id,
            promises,
        } => {
            let marker = Marker {
                format: FORMAT,
                nonce: nonce.clone(),
                cluster: cluster.clone(),
                cluster_id: cluster_id.clone(),
                promises: promises.clone(),
                made: Moment::now(),
            };
            Ok(mark(store, &marker).await?)
        }
        EntrypointStep::RecordUrl { name, peer_urls } => Ok(record(store, name, peer_urls).await?),
        EntrypointStep::BeginLineage {
            number,
            nonce,
            parent,
            cluster_id,
            base,
        } => {
            let base_sha256 = match base {
                Some(base) => Some(manifest(store, base).await?.sha256),
                None => None,
            };
            let lineage = Lineage {
                format: FORMAT,
                n: *number,
                nonce: nonce.clone(),
                parent: parent.clone(),
                cluster_id: cluster_id.clone(),
                base: base.clone(),
                base_sha256,
                made: Moment::now(),
            };
            Ok(begin_lineage(store, &lineage).await?)
        }
        EntrypointStep::BeginOrder { number } => Ok(begin_order(store, *number).await?),
        EntrypointStep::Restore { snapshot, into } => {
            restore(around, snapshot, into, stopping).await
        }
        EntrypointStep::Continue { data_dir, into } => {
            go_on(around, data_dir, into, stopping).await
        }
    }
}

async fn mark(store: &Store, marker: &Marker) -> Result<(), Error> {
    if store.create(MARKER, json(marker)).await? == Creation::Ours {
        return Ok(());
    }
    match read_json::<Marker>(store, MARKER).await? {
        // Another founder was first: by the same promises it is the same founding.
        Some(found) if found.nonce == marker.nonce || same_promises(&found, marker) => Ok(()),
        found => {
            let nonce = found.map_or_else(|| "none".into(), |found| found.nonce);
            Err(Error::new(format!(
                "it is marked by another founding: {nonce}"
            )))
        }
    }
}

fn same_promises(one: &Marker, other: &Marker) -> bool {
    !one.promises.is_empty() && one.promises == other.promises
}

/// The URLs of now count: whoever looks for a member at an old one finds somebody else there, or nobody.
async fn record(store: &Store, name: &str, peer_urls: &[String]) -> Result<(), Error> {
    let key = member_key(name);
    let found = read_json::<RecordedMember>(store, &key).await?;
    if found.is_some_and(|found| found.peer_urls == peer_urls) {
        return Ok(());
    }
    let member = RecordedMember {
        format: FORMAT,
        name: name.into(),
        peer_urls: peer_urls.to_vec(),
        made: Moment::now(),
    };
    store.put(&key, json(&member)).await
}

async fn begin_lineage(store: &Store, lineage: &Lineage) -> Result<(), Error> {
    let key = lineage_key(lineage.n);
    if store.create(&key, json(lineage)).await? == Creation::Ours {
        return Ok(());
    }
    match read_json::<Lineage>(store, &key).await? {
        Some(found) if found.nonce == lineage.nonce => Ok(()),
        Some(_) => Err(Error::new(format!(
            "lineage {} was begun by another member",
            lineage.n
        ))),
        None => Err(Error::new(format!("{key} was there, and is gone"))),
    }
}

async fn begin_order(store: &Store, n: u64) -> Result<(), Error> {
    if orders::order(store, n).await?.is_none() {
        return Err(Error::new(format!("there is no order {n}")));
    }
    match orders::decide(store, n, OrderEnd::Begun).await? {
        OrderEnd::Begun => Ok(()),
        OrderEnd::Cancelled => Err(Error::new(format!("order {n} was cancelled"))),
    }
}

fn tools(around: &AtHand) -> Result<Tools, Error> {
    let settings = &around.settings;
    Tools::find(&settings.etcd_program, settings.search.clone())
}

fn member(into: &IntoArgs) -> NewMember {
    NewMember {
        name: into.name.clone(),
        peer_urls: into.peer_urls.clone(),
        token: into.token.clone(),
    }
}

/// By how much the revision rises: beyond that of every snapshot, of whatever lineage.
async fn beyond(store: &Store, from: u64) -> Result<u64, Error> {
    let snapshots = Catalog::read(store).await?.snapshots;
    let seen = snapshots.iter().map(|id| id.revision);
    Ok(bump(from, seen))
}

async fn restore(
    around: &AtHand,
    snapshot: &SnapshotId,
    into: &IntoArgs,
    stopping: &Stopping,
) -> Result<(), NotDone> {
    let tools = tools(around)?;
    let manifest = manifest(&around.store, snapshot).await?;
    tools.may_open(manifest.storage())?;
    let bump = beyond(&around.store, manifest.revision).await?;
    let new = NewDataDir::begin(&into.into, manifest.size)?;
    if let Err(first) = fetched(around, &manifest, &new, stopping).await? {
        // A verdict is for good, and a path that flips a bit once is none.
        log::warn!("{snapshot} is read again: {first}");
        if let Err(error) = fetched(around, &manifest, &new, stopping).await? {
            let record = DrillRecord::damaged(snapshot, &tools.version, &error);
            around.store.put(&snapshot.drill(), json(&record)).await?;
            let words = format!("{snapshot} is damaged, and noted as bad");
            return Err(Error::caused(words, error).into());
        }
    }
    let hold = hold(around, into)?;
    let restored = new
        .restore(&tools, &member(into), Some(bump), hold, stopping)
        .await;
    stopped_or(restored, stopping)
}

/// How we speak to the restored etcd, where it is to hold its clients.
fn hold(around: &AtHand, into: &IntoArgs) -> Result<Option<Speaks>, Error> {
    into.hold.then(|| speaks(around)).transpose()
}

fn speaks(around: &AtHand) -> Result<Speaks, Error> {
    let access = &around.settings.etcd;
    let tls = tls::client_config(&access.tls).map_err(tls::Unfit::into_error)?;
    Ok((tls, access.user.clone()))
}

/// Reads the snapshot to where it is restored from. The inner error is what is damaged.
async fn fetched(
    around: &AtHand,
    manifest: &Manifest,
    new: &NewDataDir,
    stopping: &Stopping,
) -> Result<Result<(), Error>, NotDone> {
    let db = new.db();
    let what = || format!("cannot write {}", db.display());
    let to = BufWriter::with_capacity(1 << 20, File::create(&db).context(what)?);
    let reading = fetch::open(&around.store, manifest, to);
    match select(pin!(reading), pin!(stopping.asked())).await {
        Either::Left((Ok(mut to), _)) => {
            to.flush().context(what)?;
            Ok(Ok(()))
        }
        Either::Left((Err(Flaw::Damaged(error)), _)) => Ok(Err(error)),
        Either::Left((Err(flaw), _)) => Err(flaw.of(&manifest.id).into()),
        Either::Right(((), _)) => Err(NotDone::Stopped),
    }
}

async fn go_on(
    around: &AtHand,
    data_dir: &std::path::Path,
    into: &IntoArgs,
    stopping: &Stopping,
) -> Result<(), NotDone> {
    let tools = tools(around)?;
    let began = Instant::now();
    let new = NewDataDir::begin(&into.into, bytes_of(&data_dir.join("member"))?)?;
    let copy = new.copy();
    copy_member(data_dir, &copy)?;
    let speaks = speaks(around)?;
    let revision = saved_alone(&tools, &copy, &new.db(), speaks, stopping).await?;
    let bump = beyond(&around.store, revision).await?;
    log::info!(
        "the data of {} are saved at revision {revision}, in {:.1?}",
        data_dir.display(),
        began.elapsed()
    );
    let hold = hold(around, into)?;
    let restored = new
        .restore(&tools, &member(into), Some(bump), hold, stopping)
        .await;
    stopped_or(restored, stopping)
}

fn stopped_or(done: Result<(), Error>, stopping: &Stopping) -> Result<(), NotDone> {
    match done {
        Err(_) if stopping.is_asked() => Err(NotDone::Stopped),
        done => Ok(done?),
    }
}
