//! `drill`: restores a snapshot into a throw-away etcd, compares, and writes down that it is proven.

use std::fs::{self, DirBuilder, File};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Instant;

use futures_util::future::{Either, select};

use etcd_rejoin_host::error::{Context as _, Error};
use etcd_rejoin_host::exit::Exit;
use etcd_rejoin_host::tls;

use super::at_hand::AtHand;
use super::fetch::Flaw;
use super::{fetch, others};
use crate::catalog::json;
use crate::cli::DrillArgs;
use crate::cluster::candidates;
use crate::drill::{Holdings, Tools, restored};
use crate::layout::{DrillRecord, FORMAT, HashKv, Manifest, Moment};
use crate::stop::Stopping;
use crate::table::size;
use crate::{NotDone, random};

/// What etcd needs beside the database: its WAL is made in whole files.
const BESIDE: u64 = 256 << 20;

/// Restores, compares, writes down.
pub async fn drill(
    around: &AtHand,
    args: &DrillArgs,
    stopping: &Stopping,
) -> Result<Exit, NotDone> {
    let tools = Tools::find(
        &around.settings.etcd_program,
        around.settings.search.clone(),
    )?;
    if let Some(name) = &args.foreign {
        return of_another(around, name, &tools, args, stopping).await;
    }
    let (at, began) = (Moment::now(), Instant::now());
    let manifest = around.which(&args.which).await?;
    tools.may_open(manifest.storage())?;
    let scratch = Scratch::create(&args.scratch(), manifest.size)?;
    let db = scratch.0.join("db");
    let what = || format!("cannot write {}", db.display());
    let to = BufWriter::with_capacity(1 << 20, File::create(&db).context(what)?);
    let record = |compared: Vec<&str>, differs: Vec<String>| DrillRecord {
        format: FORMAT,
        id: manifest.id.clone(),
        at,
        passed: differs.is_empty(),
        compared: compared.iter().map(|what| what.to_string()).collect(),
        differs,
        etcd_version: tools.version.clone(),
        took_ms: began.elapsed().as_millis().try_into().unwrap_or(u64::MAX),
        program: env!("CARGO_PKG_VERSION").into(),
    };
    let mut to = match select(
        pin!(fetch::open(&around.store, &manifest, to)),
        pin!(stopping.asked()),
    )
    .await
    {
        Either::Left((Ok(to), _)) => to,
        // That is a verdict: monitors and `prune` have to hear it.
        Either::Left((Err(Flaw::Damaged(error)), _)) => {
            let record = record(Vec::new(), vec![format!("it is damaged: {error}")]);
            return told(around, &record, &Holdings::default()).await;
        }
        Either::Left((Err(flaw), _)) => return Err(flaw.of(&manifest.id).into()),
        Either::Right(((), _)) => return Err(NotDone::Stopped),
    };
    to.flush().context(what)?;
    drop(to);
    let holds = etcd_on(
        around,
        &tools,
        &db,
        &scratch.0,
        Some(manifest.revision),
        stopping,
    )
    .await?;
    // Of a revision that it has not reached etcd counts nothing: that is a verdict, below.
    let reached = holds.revision >= Some(manifest.revision);
    if reached && holds.keys.is_none() && manifest.keys.is_some() {
        let cure = "where authentication is on, set REJOIN_USER to a user with the root role, as for `save`";
        let id = &manifest.id;
        // That is no verdict on the snapshot.
        return Err(Error::new(format!(
            "{id}: the restored etcd does not count its keys: {cure}"
        ))
        .into());
    }
    let wanted = Holdings {
        revision: Some(manifest.revision),
        keys: manifest.keys,
        hashkv: match manifest.hashkv {
            Some(hashkv) => Some(hashkv),
            None => of_the_cluster(around, &manifest).await,
        },
    };
    let (compared, differs) = holds.compare(&wanted);
    told(around, &record(compared, differs), &holds).await
}

/// Writes the outcome down, and says it.
async fn told(around: &AtHand, record: &DrillRecord, holds: &Holdings) -> Result<Exit, NotDone> {
    around.store.put(&record.id.drill(), json(record)).await?;
    let printed = around.answer(record, || words(record, holds));
    Ok(if record.passed { printed } else { Exit::NOT_OK })
}

/// One of another program's: there is nothing to compare it with, and nothing is written down beside it.
async fn of_another(
    around: &AtHand,
    name: &str,
    tools: &Tools,
    args: &DrillArgs,
    stopping: &Stopping,
) -> Result<Exit, NotDone> {
    let found = others::named(around, name).await?;
    if let Some(version) = &found.etcd_version {
        tools.may_open(version)?;
    }
    // A database shrinks to a tenth by gzip, or less.
    let scratch = Scratch::create(&args.scratch(), found.stored_size.saturating_mul(10))?;
    let db = scratch.0.join("db");
    let what = || format!("cannot write {}", db.display());
    let to = BufWriter::with_capacity(1 << 20, File::create(&db).context(what)?);
    let (mut to, _) = others::open(around, &found, to).await?;
    to.flush().context(what)?;
    let holds = etcd_on(around, tools, &db, &scratch.0, None, stopping).await?;
    Ok(around.answer(&holds, || {
        let number = |number: Option<u64>| {
            number.map_or_else(|| "?".into(), |number: u64| number.to_string())
        };
        let (revision, keys) = (number(holds.revision), number(holds.keys));
        format!(
            "{name} is restorable: etcd {} runs on it, revision {revision}, keys {keys}\n",
            tools.version
        )
    }))
}

async fn etcd_on(
    around: &AtHand,
    tools: &Tools,
    db: &Path,
    scratch: &Path,
    at: Option<u64>,
    stopping: &Stopping,
) -> Result<Holdings, NotDone> {
    let access = &around.settings.etcd;
    let tls = tls::client_config(&access.tls).map_err(tls::Unfit::into_error)?;
    let restored = restored(tools, db, scratch, at, (tls, access.user.clone()), stopping).await;
    match restored {
        Err(_) if stopping.is_asked() => Err(NotDone::Stopped),
        restored => Ok(restored?),
    }
}

/// What the running cluster says of this revision, where it answers and has not compacted it.
async fn of_the_cluster(around: &AtHand, manifest: &Manifest) -> Option<HashKv> {
    let asked = candidates(&around.settings.etcd).await.ok()?.0;
    let same = asked
        .iter()
        .find(|candidate| candidate.cluster_id() == manifest.cluster_id)?;
    same.endpoint.hashkv(manifest.revision).await
}

fn words(record: &DrillRecord, holds: &Holdings) -> String {
    let DrillRecord {
        id,
        etcd_version,
        at,
        ..
    } = record;
    if holds.revision.is_none() && !record.passed {
        return format!("{id}: NOT what was saved: {}\n", record.differs.join("; "));
    }
    let seconds = record.took_ms as f64 / 1000.0;
    let mut text =
        format!("{id}: restored, and etcd {etcd_version} runs on it, in {seconds:.1} s\n");
    if let Some(revision) = holds.revision {
        text += &format!("revision {revision}, keys {}\n", holds.keys.unwrap_or(0));
    }
    match record.passed {
        true => {
            text += &format!(
                "as they have to be: {}\nproven restorable at {at}\n",
                record.compared.join(", ")
            )
        }
        false => text += &format!("NOT what was saved: {}\n", record.differs.join("; ")),
    }
    if !record.compared.iter().any(|what| what == "hashkv") {
        text += "its hashkv was compared with nothing: save with --hashkv, or drill before the next compaction\n";
    }
    text
}

/// A folder of the drill's own, gone with this value.
struct Scratch(PathBuf);

impl Scratch {
    /// In this folder, which has to have room for the database twice.
    fn create(within: &Path, database: u64) -> Result<Scratch, Error> {
        let what = || format!("cannot use --scratch={}", within.display());
        let stat = rustix::fs::statvfs(within).context(what)?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let need = database.saturating_mul(2).saturating_add(BESIDE);
        if free < need {
            let (free, need) = (size(free), size(need));
            let words = format!(
                "{} has {free} free, and a drill needs {need}: set --scratch",
                within.display()
            );
            return Err(Error::new(words));
        }
        let path = within.join(format!("etcd-drill-{}", random::text()));
        // A database holds secrets.
        DirBuilder::new().mode(0o700).create(&path).context(what)?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            log::warn!("{} stays: {error}", self.0.display());
        }
    }
}
