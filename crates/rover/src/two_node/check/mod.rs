//! What of a machine's configuration can lose writes, or keep the member away unseen: one finding a line, with the
//! cure. Changes nothing.

mod drbd;
mod findings;
mod host;
mod keepalived;
mod programs;

use std::path::Path;

use super::args::Grammar;
use super::tools::{self, Verdict};
use findings::CheckFindings;
pub use findings::{CheckFinding, Sources};
pub use host::Host;

/// Everything that is found, the dangers first; and what could not be asked, in words. `mistakes` is what the
/// entrypoint would refuse of the environment.
pub fn check(sources: &Sources, mistakes: &[String]) -> (Vec<CheckFinding>, Vec<String>) {
    let mut findings = CheckFindings::default();
    let mut notes = Vec::new();
    let host = &sources.host;
    let marks = ["/.dockerenv", "/run/.containerenv"];
    if host.is_own() && marks.iter().any(|mark| Path::new(mark).exists()) {
        findings.add("/", "in-a-container", &[]);
    }
    environment(sources, mistakes, &mut findings);
    let grammar = module(host);
    match tools::drbd_dump(&host.path(&sources.drbd_conf), grammar) {
        Verdict::Accepts(text) => drbd::check(sources, grammar, &text, &mut findings),
        Verdict::Refuses(why) | Verdict::NotAsked(why) => {
            let why = format!("drbdadm says: {why}");
            findings.add(sources.drbd_conf.display(), "not-readable", &[&why]);
        }
    }
    match host.read(&sources.keepalived_conf) {
        Ok(text) => keepalived::check(sources, &text, &mut findings, &mut notes),
        Err(error) => findings.add(sources.keepalived_conf.display(), "not-readable", &[&error]),
    }
    let CheckFindings(mut findings) = findings;
    findings.sort_by_key(|(danger, _)| !danger);
    findings.dedup();
    (findings, notes)
}

/// What the entrypoint would refuse, and whether there is a roving member at all.
fn environment(sources: &Sources, mistakes: &[String], out: &mut CheckFindings) {
    let from = &sources.env_from;
    if sources.env("REJOIN_DRBD").is_none() {
        return out.add(from, "no-rover", &[]);
    }
    // Of the machine that is looked at, which may be another one: looked at by itself.
    let theirs = |said: &&String| !said.starts_with("REJOIN_FENCE_KEY_FILE=");
    for mistake in mistakes.iter().filter(theirs) {
        out.add(from, "mistake", &[mistake]);
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
