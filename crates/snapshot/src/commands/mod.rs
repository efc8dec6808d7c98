//! From the command line to a command, one function each.

mod drill;
mod every;
mod fetch;
mod list;
mod look;
mod others;
mod prune;
mod save;

use std::time::Duration;

use etcd_rejoin_host::error::{Context as _, Error};
use etcd_rejoin_host::exit::{Exit, print};
use etcd_rejoin_host::signals::Stop;
use etcd_rejoin_host::{logging, tls};
use serde::Serialize;

use crate::Trouble;
use crate::catalog::{Catalog, manifest, manifests};
use crate::cli::{SnapshotCli, SnapshotCommand, Which};
use crate::layout::Manifest;
use crate::settings::{self, SnapshotSettings, Variables};
use crate::stop::Stopping;
use crate::store::{Place, Store};

/// What every command has at hand.
pub struct Surroundings {
    /// What is settled.
    pub settings: SnapshotSettings,
    /// The store.
    pub store: Store,
    /// Whether JSON is wanted.
    pub json: bool,
}

/// Does what the command line says.
pub fn run(cli: SnapshotCli, mut env: Variables) -> Exit {
    cli.common.over(&mut env);
    let log = settings::log_config(&env);
    logging::start(log, &Stop::default());
    let settings = match settings::read(&env) {
        Ok(settings) => settings,
        Err(mistakes) => {
            for mistake in mistakes {
                eprintln!("etcd-rejoin-snapshot: {mistake}");
            }
            return Exit::CONFIG;
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let done = runtime
        .context(|| "cannot start".into())
        .map_err(Trouble::from)
        .and_then(|runtime| {
            let done = runtime.block_on(command(cli, settings));
            // Whoever still waits for an answer is not waited for.
            runtime.shutdown_timeout(Duration::ZERO);
            done
        });
    match done {
        Ok(exit) => exit,
        Err(Trouble::Refused(error)) => said(&error, Exit::REFUSED),
        Err(Trouble::Failed(error)) => said(&error, Exit::FAILED),
        Err(Trouble::Stopped) => Exit::signal(15),
    }
}

fn said(error: &Error, exit: Exit) -> Exit {
    eprintln!("etcd-rejoin-snapshot: {error}");
    exit
}

async fn command(cli: SnapshotCli, mut settings: SnapshotSettings) -> Result<Exit, Trouble> {
    if let (SnapshotCommand::Look(args), Place::Bucket(place)) = (&cli.command, &mut settings.place)
    {
        place.patience = Some(args.timeout / 2);
    }
    let tls = tls::client_config(&settings.store_tls).map_err(tls::Unfit::into_error)?;
    let store = Store::open(&settings.place, tls)?;
    let around = Surroundings {
        settings,
        store,
        json: cli.common.json,
    };
    let stopping = match &cli.command {
        SnapshotCommand::Save(_) | SnapshotCommand::Every(_) | SnapshotCommand::Drill(_) => {
            Stopping::install()?
        }
        // Nothing has to be put in order.
        _ => Stopping::never(),
    };
    match &cli.command {
        SnapshotCommand::Save(args) => save::save(&around, args, &stopping).await,
        SnapshotCommand::Every(args) => every::every(&around, args, &stopping).await,
        SnapshotCommand::List { foreign: true } => others::list(&around).await,
        SnapshotCommand::List { foreign: false } => list::list(&around).await,
        SnapshotCommand::Show { which } => list::show(&around, which).await,
        SnapshotCommand::Verify {
            foreign: Some(name),
            ..
        } => others::verify(&around, name).await,
        SnapshotCommand::Verify { which, all, .. } => fetch::verify(&around, which, *all).await,
        SnapshotCommand::Fetch {
            file,
            foreign: Some(name),
            ..
        } => others::fetch(&around, file, name).await,
        SnapshotCommand::Fetch { file, which, .. } => fetch::fetch(&around, file, which).await,
        SnapshotCommand::Drill(args) => drill::drill(&around, args, &stopping).await,
        SnapshotCommand::Prune(args) => prune::prune(&around, args).await,
        SnapshotCommand::Look(args) => look::look(&around, args).await,
    }
}

impl Surroundings {
    /// The snapshot that is meant.
    pub async fn which(&self, which: &Which) -> Result<Manifest, Trouble> {
        if let Some(id) = &which.snapshot {
            return Ok(manifest(&self.store, id).await?);
        }
        let catalog = Catalog::read(&self.store).await?;
        let none = || Error::new(format!("{} has no snapshot", self.settings.place));
        let Some(at) = which.at else {
            let newest = catalog.snapshots.last().ok_or_else(none)?;
            return Ok(manifest(&self.store, newest).await?);
        };
        let (all, _) = manifests(&self.store, &catalog.snapshots).await?;
        let found = all.into_iter().rev().find(|manifest| manifest.taken <= at);
        Ok(found.ok_or_else(|| {
            Error::new(format!(
                "{} has no snapshot as old as {at}",
                self.settings.place
            ))
        })?)
    }

    /// JSON where it is wanted, else these words.
    pub fn answer(&self, value: &impl Serialize, words: impl FnOnce() -> String) -> Exit {
        match self.json {
            true => {
                let text = serde_json::to_string_pretty(value).expect("plain values are JSON");
                print(&format!("{text}\n"))
            }
            false => print(&words()),
        }
    }
}
