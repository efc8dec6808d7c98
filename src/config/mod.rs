//! The configuration: read once, checked once, all mistakes reported together.
//!
//! Two stages: `Raw` is what the user said, [`Config`] is where nothing is left to check.

mod certificates;
mod check;
pub mod environment;
pub mod file;
pub mod flags;
mod foreign;
mod kinds;
mod log_format;
mod ourselves;
mod parse;
mod passed_on;
mod raw;
mod reach;
mod scalar;
mod stateful_set;
mod urls;
mod values;
pub mod variables;

use std::ffi::OsString;

use check::check;
pub use check::{Config, StoreSettings};
pub use foreign::foreign_table;
use log_format::log_config;
pub use passed_on::PassedOn;
use raw::Raw;
pub use stateful_set::StatefulSet;

use crate::logging::LogConfig;

/// Flags of `run` that say the same as a variable of ours: flag, variable, value. The flag wins.
#[derive(Clone, Debug, Default)]
pub struct Overrides(pub Vec<(&'static str, &'static str, String)>);

impl Config {
    /// Reads the environment and etcd's flags. The error is the list of all mistakes.
    pub fn read(
        env: impl IntoIterator<Item = (OsString, OsString)>,
        words: &[OsString],
        overrides: &Overrides,
    ) -> Result<Config, Vec<String>> {
        check(raw(env, words, overrides))
    }

    /// The same, and how to log, which is known where the rest is wrong too. `terminal`: a person reads the log as
    /// it is written.
    pub fn read_with_log(
        env: impl IntoIterator<Item = (OsString, OsString)>,
        words: &[OsString],
        overrides: &Overrides,
        terminal: bool,
    ) -> (LogConfig, Result<Config, Vec<String>>) {
        let raw = raw(env, words, overrides);
        (log_config(&raw, terminal), check(raw))
    }
}

fn raw(
    env: impl IntoIterator<Item = (OsString, OsString)>,
    words: &[OsString],
    overrides: &Overrides,
) -> Raw {
    let given = |wanted: &OsString| (overrides.0.iter()).any(|(_, name, _)| wanted == name);
    let env = (env.into_iter())
        .filter(|(name, _)| !given(name))
        .chain((overrides.0.iter()).map(|(_, name, value)| (name.into(), value.into())));
    let mut env: Vec<_> = env.collect();
    let set = in_a_set(&env, words);
    if let Ok(Some(set)) = &set {
        let derived = set.derived.iter();
        env.retain(|(name, _)| !derived.clone().any(|(derived, _)| name == derived.as_str()));
        env.extend(derived.map(|(name, value)| (name.into(), value.into())));
    }
    let stores = env.iter().any(|(name, _)| name == "REJOIN_STORE");
    let given = if stores { env.clone() } else { Vec::new() };
    let mut raw = raw::read(env, words);
    raw.given = given;
    match set {
        Ok(set) => raw.set = set,
        Err(mistake) => raw.mistakes.push(mistake),
    }
    for (flag, name, _) in &overrides.0 {
        raw.named.insert(name.to_string(), flag.to_string());
    }
    raw
}

/// The StatefulSet that this environment is of, if it says so.
fn in_a_set(
    env: &[(OsString, OsString)],
    words: &[OsString],
) -> Result<Option<StatefulSet>, String> {
    let text = |(name, value): &(OsString, OsString)| {
        Some((name.to_str()?.to_string(), value.to_str()?.to_string()))
    };
    let env = env
        .iter()
        .filter_map(text)
        .filter(|(_, value)| !value.is_empty());
    // What is wrong with a flag is said elsewhere.
    let flags = flags::parse(words).unwrap_or_default();
    stateful_set::derive(&env.collect(), &flags, stateful_set::Pod::around)
}
