//! Subcommands that no help names: the process between a trial and its etcd, and both ways to become
//! etcd without looking at a cluster first, for `tests/handover.rs`.

use std::ffi::OsString;
use std::path::PathBuf;

use super::child::{CHILD, become_etcd};
use super::{Etcd, Next, TrialError, exec, trial};
use crate::signals::Stop;

/// Runs a hidden subcommand, if `args` (without the program's own name) begin with one; its exit code.
///
/// - `__child PARENT PROGRAM ARG0 [ARG..]`
/// - `__exec PROGRAM ARG0 [ARG..]`
/// - `__trial PROGRAM ARG0 [ARG..]`, healthy once the file `REJOIN_HEALTHY` exists; prints the outcome
///
/// No variable `REJOIN_*` is passed on by the last two.
pub fn hidden_main(args: impl IntoIterator<Item = OsString>) -> Option<i32> {
    let mut args = args.into_iter();
    let command = args.next()?;
    let parent = match command.to_str()? {
        CHILD => args.next().unwrap_or_default(),
        "__exec" | "__trial" => OsString::new(),
        _ => return None,
    };
    let (Some(program), Some(arg0)) = (args.next(), args.next()) else {
        return Some(2);
    };
    let mut etcd = Etcd {
        program: program.into(),
        arg0,
        args: args.collect(),
        env: std::env::vars_os().collect(),
    };
    if command == CHILD {
        return Some(become_etcd(&parent, &etcd));
    }
    let ours = |name: &OsString| name.as_encoded_bytes().starts_with(b"REJOIN_");
    etcd.env.retain(|(name, _)| !ours(name));
    match run(command == "__trial", &etcd) {
        Ok(code) => Some(code),
        Err(error) => {
            eprintln!("etcd-rejoin: {error}");
            Some(74)
        }
    }
}

fn run(on_trial: bool, etcd: &Etcd) -> Result<i32, crate::error::Error> {
    let stop = Stop::install()?;
    if !on_trial {
        if let Some(signal) = stop.end_at_once()? {
            return Ok(128 + signal);
        }
        let error = exec(etcd);
        eprintln!("etcd-rejoin: {error}");
        return Ok(error.exit_code());
    }
    let healthy = std::env::var_os("REJOIN_HEALTHY").map(PathBuf::from);
    let ended = trial(etcd, &stop, move |watch| match &healthy {
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
