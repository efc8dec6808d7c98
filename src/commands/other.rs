//! Words that are no command of ours: a program of ours beside this one, else any program.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::Exit;
use crate::cli;
use crate::handover::{self, Called, Etcd};
use crate::path::beside_us;
use crate::signals::Stop;

/// Becomes `etcd-rejoin-WORD` that lies beside our own file, else the program that is called so.
pub fn run(word: OsString, args: Vec<OsString>, called: &Called, stop: &Stop) -> Exit {
    if let Some(ours) = beside(&word) {
        return exec(ours.into_os_string(), args, called, stop, "");
    }
    let shown = word.display();
    let nearest = word.to_str().and_then(cli::nearest_command);
    let hint = match nearest {
        Some(name) => format!(" (did you mean the command {name}?)"),
        None if is_plain(&word) => format!(
            " (nor is it a command of etcd-rejoin: see --help; and no etcd-rejoin-{shown} lies beside it)"
        ),
        None => " (nor is it a command of etcd-rejoin: see --help)".into(),
    };
    exec(word, args, called, stop, &hint)
}

/// The program of ours with this name. It comes before another one of that name, which can be given by its path.
fn beside(word: &OsStr) -> Option<PathBuf> {
    if !is_plain(word) {
        return None;
    }
    let mut name = OsString::from("etcd-rejoin-");
    name.push(word);
    beside_us(name)
}

/// A word that can be a part of a program's name. Hidden ones, which we give ourselves, are none.
fn is_plain(word: &OsStr) -> bool {
    let hidden = word.as_encoded_bytes().starts_with(b"_");
    !hidden && Path::new(word).file_name() == Some(word)
}

/// Becomes this program, in our own environment.
pub fn exec(
    program: OsString,
    args: Vec<OsString>,
    called: &Called,
    stop: &Stop,
    hint: &str,
) -> Exit {
    let other = Etcd {
        program: program.clone().into(),
        arg0: program,
        args,
        env: called.env.clone(),
    };
    // Without the handlers a signal in the next instant is lost; no reason not to run the program.
    if let Ok(Some(signal)) = stop.end_at_once() {
        return Exit::signal(signal);
    }
    let error = handover::exec(&other);
    eprintln!("etcd-rejoin: {error}{hint}");
    Exit(error.exit_code())
}
