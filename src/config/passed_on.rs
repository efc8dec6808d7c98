//! What the user gave for etcd, and what is said in its place where etcd would not take it so.

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::flags;

/// What etcd gets from the user, to be completed by the decision.
#[derive(Clone, Debug, Default)]
pub struct PassedOn {
    /// Its environment.
    pub env: Vec<(OsString, OsString)>,
    /// Its flags.
    pub flags: Vec<flags::Flag>,
    /// Its configuration file.
    pub file: Option<(PathBuf, Map<String, Value>)>,
    /// The file's settings are not all as the user wrote them.
    pub file_changed: bool,
}

impl PassedOn {
    /// What etcd is told, by the names of its flags; beside a configuration file that alone.
    pub fn settings(&self) -> Vec<(String, String)> {
        if let Some((_, file)) = &self.file {
            return super::file::settings(file);
        }
        let given = |flag: &flags::Flag| (flag.name.clone(), flag.value.clone());
        let set = self.env.iter().filter_map(|(name, value)| {
            let name = name.to_str().filter(|name| name.starts_with("ETCD_"))?;
            Some((flags::of_variable(name), value.to_str()?.into()))
        });
        self.flags.iter().map(given).chain(set).collect()
    }

    /// One of these.
    pub fn setting(&self, flag: &str) -> Option<String> {
        let mut settings = self.settings().into_iter();
        settings
            .find(|(name, _)| name == flag)
            .map(|(_, value)| value)
    }

    /// How this setting is written here: as a key of the file, or as a variable.
    pub fn written(&self, flag: &str) -> String {
        match &self.file {
            Some(_) => flag.into(),
            None => flags::variable(flag),
        }
    }

    /// The store's credentials are none of etcd's: it would show them for its whole life to whoever may look at it.
    pub(super) fn keep_back(&mut self, has_store: bool) {
        let of_store = |name: &OsString| has_store && name.to_string_lossy().starts_with("AWS_");
        self.env.retain(|(name, _)| !of_store(name));
    }

    /// Says it by a variable, in place of what the user said. etcd takes no variable beside its flag, not even
    /// beside an empty one, which says nothing.
    ///
    /// Source: etcd `pkg/flags/flag.go`, `verifyEnv`.
    pub(super) fn say(&mut self, variable: &str, value: &str) {
        self.flags.retain(|flag| flag.variable() != variable);
        self.env.retain(|(known, _)| known != variable);
        self.env.push((variable.into(), value.into()));
    }

    /// Says it where the user said it otherwise: beside a configuration file no variable counts.
    pub(super) fn say_instead(&mut self, variable: &str, value: &str) {
        match &mut self.file {
            Some((_, map)) => {
                map.insert(flags::of_variable(variable), value.into());
                self.file_changed = true;
            }
            None => self.say(variable, value),
        }
    }
}
