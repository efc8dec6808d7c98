//! What of a machine's configuration is dangerous: one finding a line, with the cure. Changes nothing.

mod drbd;
mod handler;
pub mod host;
mod keepalived;
mod programs;
mod settings;
mod together;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use self::host::Host;
use super::plan::Grammar;
use super::tools::{self, Verdict};
use super::words::{At, Style, Unread, read};

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
pub struct Finding {
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

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Danger => "danger",
            Severity::Warning => "warning",
        };
        let Finding {
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
pub struct Look {
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
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    fn add(
        &mut self,
        severity: Severity,
        place: impl fmt::Display,
        name: &'static str,
        what: impl Into<String>,
        cure: impl Into<String>,
    ) {
        self.0.push(Finding {
            severity,
            place: place.to_string(),
            name,
            what: what.into(),
            cure: cure.into(),
        });
    }

    fn danger(
        &mut self,
        place: impl fmt::Display,
        name: &'static str,
        what: impl Into<String>,
        cure: impl Into<String>,
    ) {
        self.add(Severity::Danger, place, name, what, cure);
    }

    fn warning(
        &mut self,
        place: impl fmt::Display,
        name: &'static str,
        what: impl Into<String>,
        cure: impl Into<String>,
    ) {
        self.add(Severity::Warning, place, name, what, cure);
    }

    fn unread(&mut self, unread: Vec<Unread>) {
        for Unread { at, why } in unread {
            let cure = "what stands there was not checked";
            self.danger(at, "not-readable", why, cure);
        }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file.display()),
            line => write!(f, "{}:{line}", self.file.display()),
        }
    }
}

/// Everything that is found, the dangers first; and what could not be asked, in words.
pub fn check(look: &Look) -> (Vec<Finding>, Vec<String>) {
    let mut findings = Findings::default();
    let mut notes = Vec::new();
    let host = &look.host;
    if host.is_own() && in_a_container() {
        findings.warning(
            "/",
            "in-a-container",
            "this is a container, and the kernel and keepalived call programs of the machine itself",
            "run this on the machine, or with --root=DIR where its file system is mounted here",
        );
    }
    let (statements, unread) = read(host, &look.drbd_conf, Style::Drbd);
    let readable = unread.is_empty();
    findings.unread(unread);
    let drbd = drbd::Drbd::new(host, look, &statements);
    if readable || !statements.is_empty() {
        drbd.check(&mut findings);
    }
    if readable {
        let verdict = tools::drbd_reads(&host.path(&look.drbd_conf), drbd.grammar);
        let place = look.drbd_conf.display();
        asked(&mut findings, &mut notes, place, "drbdadm-refuses", verdict);
    }
    let (statements, unread) = read(host, &look.keepalived_conf, Style::Keepalived);
    let readable = unread.is_empty();
    findings.unread(unread);
    let ours = keepalived::Keepalived::new(&statements, &look.keepalived_conf);
    if readable || !statements.is_empty() {
        ours.check(host, &mut findings);
    }
    if readable && host.is_own() {
        let verdict = tools::keepalived(&look.keepalived_conf, &ours.interfaces());
        let place = look.keepalived_conf.display();
        asked(
            &mut findings,
            &mut notes,
            place,
            "keepalived-refuses",
            verdict,
        );
    }
    if let Some(path) = &look.other_keepalived_conf {
        let (statements, unread) = read(host, path, Style::Keepalived);
        findings.unread(unread);
        let other = keepalived::Keepalived::new(&statements, path);
        ours.beside(&other, &mut findings);
    }
    settings::check(look, &drbd, &ours, &mut findings);
    together::check(look, &drbd, &ours, &mut findings);
    if !look.env.contains_key("REJOIN_DRBD") && !look.whole_env {
        notes.push(
            "the roving member's settings were not looked at: name its file with --env-file".into(),
        );
    }
    let Findings(mut findings) = findings;
    findings.sort_by_key(|finding| finding.severity);
    findings.dedup();
    (findings, notes)
}

fn asked(
    findings: &mut Findings,
    notes: &mut Vec<String>,
    place: impl fmt::Display,
    name: &'static str,
    verdict: Verdict,
) {
    match verdict {
        Verdict::Accepts => {}
        Verdict::Refuses(words) => {
            let cure = "correct it: with this file it does not start, or starts without";
            findings.danger(
                place,
                name,
                format!("the program itself says: {words}"),
                cure,
            );
        }
        Verdict::NotAsked(why) => notes.push(format!("{place} was read by us alone: {why}")),
    }
}

fn in_a_container() -> bool {
    let marks = ["/.dockerenv", "/run/.containerenv"];
    marks.iter().any(|mark| Path::new(mark).exists())
}
