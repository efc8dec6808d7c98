//! Where to look, and what is found there.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::two_node::host::Host;
use crate::two_node::plan::Grammar;
use crate::two_node::statements::Unread;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Acknowledged writes can be lost, or the member can stay away with nobody told.
    Danger,
    /// It works, worse than it could.
    Warning,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckFinding {
    /// How bad it is.
    pub severity: Severity,
    /// Where, as `file:line`, `file`, or the name of a variable.
    pub place: String,
    /// Its name, which stays.
    pub name: &'static str,
    /// What is so.
    pub what: String,
    /// What to do.
    pub cure: String,
}

impl fmt::Display for CheckFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Danger => "danger",
            Severity::Warning => "warning",
        };
        let CheckFinding {
            place,
            name,
            what,
            cure,
            ..
        } = self;
        write!(f, "{severity}: {place}: {name}: {what}; {cure}")
    }
}

/// Where to look.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The machine.
    pub host: Host,
    /// `drbd.conf`.
    pub drbd_conf: PathBuf,
    /// `keepalived.conf`, and the other machine's.
    pub keepalived_conf: PathBuf,
    /// The other machine's `keepalived.conf`.
    pub other_keepalived_conf: Option<PathBuf>,
    /// The roving member's environment, and what its mistakes are named after.
    pub env: BTreeMap<String, String>,
    /// Where that comes from.
    pub env_from: String,
    /// It is all of it: an environment file, not what a person's shell happens to have.
    pub whole_env: bool,
    /// What the entrypoint would refuse of it.
    pub mistakes: Vec<String>,
    /// Which DRBD, if somebody said so.
    pub grammar: Option<Grammar>,
}

/// Collects the findings.
#[derive(Debug, Default)]
pub struct CheckFindings(pub Vec<CheckFinding>);

impl CheckFindings {
    fn add(
        &mut self,
        severity: Severity,
        place: impl fmt::Display,
        name: &'static str,
        what: impl Into<String>,
        cure: impl Into<String>,
    ) {
        self.0.push(CheckFinding {
            severity,
            place: place.to_string(),
            name,
            what: what.into(),
            cure: cure.into(),
        });
    }

    pub fn danger(
        &mut self,
        place: impl fmt::Display,
        name: &'static str,
        what: impl Into<String>,
        cure: impl Into<String>,
    ) {
        self.add(Severity::Danger, place, name, what, cure);
    }

    pub fn warning(
        &mut self,
        place: impl fmt::Display,
        name: &'static str,
        what: impl Into<String>,
        cure: impl Into<String>,
    ) {
        self.add(Severity::Warning, place, name, what, cure);
    }

    pub fn unread(&mut self, unread: Vec<Unread>) {
        for Unread { at, why } in unread {
            let cure = "what stands there was not checked";
            self.danger(at, "not-readable", why, cure);
        }
    }
}
