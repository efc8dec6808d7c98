//! Subcommands that no help names: the process between a trial and its etcd; and in a debug build both ways to
//! become etcd without looking at a cluster first, for `tests/handover.rs`.

use std::ffi::OsString;

use super::child::{CHILD, become_etcd};
use super::{Called, Etcd};

/// Runs a hidden subcommand, if the words begin with one; its exit code.
///
/// - `__child PARENT PROGRAM ARG0 [ARG..]`
///
/// And in a debug build, without any variable `REJOIN_*`:
///
/// - `__exec PROGRAM ARG0 [ARG..]`
/// - `__trial PROGRAM ARG0 [ARG..]`, healthy once the file `REJOIN_HEALTHY` exists; prints the outcome
pub fn hidden_main(called: &Called) -> Option<i32> {
    let (command, args) = called.words.split_first()?;
    match command.to_str()? {
        CHILD => Some(match args {
            [parent, args @ ..] => {
                etcd(args, &called.env).map_or(USAGE, |etcd| become_etcd(parent, &etcd))
            }
            [] => USAGE,
        }),
        #[cfg(debug_assertions)]
        way @ ("__exec" | "__trial") => Some(tested::main(way, args, called)),
        _ => None,
    }
}

const USAGE: i32 = 2;

fn etcd(args: &[OsString], env: &[(OsString, OsString)]) -> Option<Etcd> {
    let [program, arg0, args @ ..] = args else {
        return None;
    };
    Some(Etcd {
        program: program.into(),
        arg0: arg0.clone(),
        args: args.to_vec(),
        env: env.to_vec(),
    })
}

#[cfg(debug_assertions)]
mod tested {
    use std::ffi::OsString;
    use std::path::PathBuf;

    use super::super::{Called, Etcd, Next, TrialError, exec, trial};
    use crate::error::Error;
    use crate::signals::Stop;

    pub fn main(way: &str, args: &[OsString], called: &Called) -> i32 {
        let ours = |name: &OsString| name.as_encoded_bytes().starts_with(b"REJOIN_");
        let (ours, others): (Vec<_>, Vec<_>) =
            (called.env.iter().cloned()).partition(|(name, _)| ours(name));
        let Some(etcd) = super::etcd(args, &others) else {
            return super::USAGE;
        };
        let healthy = ours.into_iter().find(|(name, _)| name == "REJOIN_HEALTHY");
        let ended = match way {
            "__trial" => on_trial(&etcd, called, healthy.map(|(_, path)| path.into())),
            _ => at_once(&etcd),
        };
        ended.unwrap_or_else(|error| {
            eprintln!("etcd-rejoin: {error}");
            74
        })
    }

    fn at_once(etcd: &Etcd) -> Result<i32, Error> {
        if let Some(signal) = Stop::install()?.end_at_once()? {
            return Ok(128 + signal);
        }
        let error = exec(etcd);
        eprintln!("etcd-rejoin: {error}");
        Ok(error.exit_code())
    }

    fn on_trial(etcd: &Etcd, called: &Called, healthy: Option<PathBuf>) -> Result<i32, Error> {
        let stop = Stop::install()?;
        let ended = trial(etcd, &called.name, &stop, move |watch| match &healthy {
            Some(file) if file.exists() => {
                watch.healthy();
                Next::Done
            }
            _ => Next::Again,
        });
        match ended {
            Ok(outcome) => {
                println!("{outcome:?}");
                Ok(outcome.status.exit_code())
            }
            Err(TrialError::Stopped(signal)) => Ok(128 + signal),
            Err(TrialError::Failed(error)) => Err(error),
        }
    }
}
