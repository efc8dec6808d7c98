//! From the command line to a command, one function each.

mod at_hand;
mod drill;
mod entrypoint;
mod every;
mod fetch;
mod list;
mod look;
mod others;
mod prune;
mod recover;
mod restore;
mod save;

use std::time::Duration;

use etcd_rejoin_host::error::{Context as _, Error};
use etcd_rejoin_host::exit::Exit;
use etcd_rejoin_host::signals::Stop;
use etcd_rejoin_host::{logging, tls};

use at_hand::AtHand;

use crate::NotDone;
use crate::cli::{RestoreAction, SnapshotCli, SnapshotCommand};
use crate::settings::{self, OwnVariables, SnapshotSettings};
use crate::stop::Stopping;
use crate::store::{Place, Store};

/// Does what the command line says.
pub fn run(cli: SnapshotCli, mut env: OwnVariables) -> Exit {
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
        .map_err(NotDone::from)
        .and_then(|runtime| {
            let done = runtime.block_on(command(cli, settings));
            // Whoever still waits for an answer is not waited for.
            runtime.shutdown_timeout(Duration::ZERO);
            done
        });
    match done {
        Ok(exit) => exit,
        Err(NotDone::Refused(error)) => said(&error, Exit::REFUSED),
        Err(NotDone::Failed(error)) => said(&error, Exit::FAILED),
        Err(NotDone::Stopped) => Exit::signal(15),
    }
}

fn said(error: &Error, exit: Exit) -> Exit {
    eprintln!("etcd-rejoin-snapshot: {error}");
    exit
}

async fn command(cli: SnapshotCli, mut settings: SnapshotSettings) -> Result<Exit, NotDone> {
    let limit = match &cli.command {
        SnapshotCommand::Look(args) => Some(args.timeout),
        SnapshotCommand::Entrypoint(args) => entrypoint::limit(args),
        _ => None,
    };
    if let (Some(limit), Place::Bucket(place)) = (limit, &mut settings.place) {
        place.patience = Some(limit / 2);
    }
    let tls = tls::client_config(&settings.store_tls).map_err(tls::Unfit::into_error)?;
    let store = Store::open(&settings.place, tls)?;
    let around = AtHand {
        settings,
        store,
        json: cli.common.json,
    };
    let stopping = match &cli.command {
        SnapshotCommand::Save(_)
        | SnapshotCommand::Every(_)
        | SnapshotCommand::Drill(_)
        | SnapshotCommand::Entrypoint(_) => Stopping::install()?,
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
        SnapshotCommand::Restore {
            action: None,
            order,
        } => restore::order(&around, order).await,
        SnapshotCommand::Restore {
            action: Some(action),
            ..
        } => match action {
            RestoreAction::List => restore::list(&around).await,
            RestoreAction::Cancel { number } => restore::cancel(&around, *number).await,
        },
        SnapshotCommand::Recover(args) => recover::recover(&around, args).await,
        SnapshotCommand::Look(args) => look::look(&around, args).await,
        SnapshotCommand::Entrypoint(args) => entrypoint::step(&around, args, &stopping).await,
    }
}
