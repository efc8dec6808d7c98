//! What of a machine's configuration can lose writes, or keep the member away unseen: one finding a line, with the
//! cure. Changes nothing.

mod drbd;
mod host;
mod keepalived;
mod programs;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::args::{CheckArgs, Grammar};
use super::tools::{self, Verdict};
use crate::drbd::{Piece, pieces};
pub use host::Host;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Acknowledged writes can be lost, or the member can stay away with nobody told.
    Danger,
    /// It works until something else fails.
    Warning,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckFinding {
    /// How bad it is.
    pub severity: Severity,
    /// Where: a file, or the name of a variable.
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
#[derive(Debug)]
pub struct Sources {
    /// The machine.
    pub host: Host,
    /// `drbd.conf`.
    pub drbd_conf: PathBuf,
    /// `keepalived.conf`.
    pub keepalived_conf: PathBuf,
    /// The roving member's environment, and where that comes from.
    pub env: BTreeMap<String, String>,
    /// The file that it is from.
    pub env_from: String,
}

impl Sources {
    /// What `two-node check` is told, with the environment that it names.
    pub fn new(args: &CheckArgs, host: Host, env: BTreeMap<String, String>) -> Sources {
        Sources {
            host,
            drbd_conf: args.drbd_conf.clone(),
            keepalived_conf: args.keepalived_conf.clone(),
            env,
            env_from: args.env_file.display().to_string(),
        }
    }

    fn env(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str)
    }
}

/// Collects the findings.
#[derive(Debug, Default)]
struct CheckFindings(Vec<CheckFinding>);

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
}

/// Everything that is found, the dangers first; and what could not be asked, in words. `mistakes` is what the
/// entrypoint would refuse of the environment.
pub fn check(sources: &Sources, mistakes: &[String]) -> (Vec<CheckFinding>, Vec<String>) {
    let mut findings = CheckFindings::default();
    let mut notes = Vec::new();
    let host = &sources.host;
    let marks = ["/.dockerenv", "/run/.containerenv"];
    if host.is_own() && marks.iter().any(|mark| Path::new(mark).exists()) {
        findings.warning(
            "/",
            "in-a-container",
            "this is a container, and the kernel and keepalived call programs of the machine itself",
            "run this on the machine, or with --root=DIR where its file system is mounted here",
        );
    }
    environment(sources, mistakes, &mut findings);
    let place = sources.drbd_conf.display();
    let grammar = module(host);
    match tools::drbd_dump(&host.path(&sources.drbd_conf), grammar) {
        Verdict::Accepts(text) => drbd::check(sources, grammar, &text, &mut findings),
        Verdict::Refuses(why) | Verdict::NotAsked(why) => {
            let cure = "correct it: nothing of DRBD was checked";
            findings.danger(place, "not-readable", format!("drbdadm says: {why}"), cure);
        }
    }
    let place = sources.keepalived_conf.display();
    match host.read(&sources.keepalived_conf) {
        Ok(text) => keepalived::check(sources, &text, &mut findings, &mut notes),
        Err(error) => {
            let cure = "name the file with --keepalived-conf, or write one with two-node config";
            findings.danger(place, "not-readable", error.to_string(), cure);
        }
    }
    let CheckFindings(mut findings) = findings;
    findings.sort_by_key(|finding| finding.severity);
    findings.dedup();
    (findings, notes)
}

/// What the entrypoint would refuse, and whether there is a roving member at all.
fn environment(sources: &Sources, mistakes: &[String], out: &mut CheckFindings) {
    let from = &sources.env_from;
    if sources.env("REJOIN_DRBD").is_none() {
        let what = "REJOIN_DRBD is not set: what is started with this does not own the volume";
        out.danger(
            from,
            "no-rover",
            what,
            "name the environment file of the roving member",
        );
        return;
    }
    // Of the machine that is looked at, which may be another one: looked at by itself.
    for mistake in mistakes
        .iter()
        .filter(|said| !said.starts_with("REJOIN_FENCE_KEY_FILE="))
    {
        out.danger(
            from,
            "mistake",
            mistake,
            "the entrypoint ends with 78 until it is corrected",
        );
    }
    if let Some(key) = sources.env("REJOIN_FENCE_KEY_FILE") {
        programs::key_file(&sources.host, &"REJOIN_FENCE_KEY_FILE", key, out);
    }
}

/// Which DRBD the machine has, by its module.
fn module(host: &Host) -> Option<Grammar> {
    let version = host.read(Path::new("/sys/module/drbd/version")).ok()?;
    match version.trim().split('.').next()? {
        "8" => Some(Grammar::V84),
        "9" => Some(Grammar::V9),
        _ => None,
    }
}

/// The value of a flag in a command line: `--flag value` or `--flag=value`.
fn flag<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let mut words = line.split_whitespace();
    while let Some(word) = words.next() {
        match word.strip_prefix(name) {
            Some("") => return words.next(),
            Some(rest) if rest.starts_with('=') => return Some(&rest[1..]),
            Some(_) | None => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_found_in_both_ways() {
        assert_eq!(flag("x --gate /a b", "--gate"), Some("/a"));
        assert_eq!(flag("x --gate=/a b", "--gate"), Some("/a"));
        assert_eq!(flag("x --gates /a", "--gate"), None);
        assert_eq!(flag("x --gate", "--gate"), None);
    }
}
