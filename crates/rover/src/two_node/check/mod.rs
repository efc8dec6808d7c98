//! What of a machine's configuration is dangerous: one finding a line, with the cure. Changes nothing.

mod drbd;
mod findings;
mod handler;
mod keepalived;
mod programs;
mod settings;
mod together;

use std::fmt;
use std::path::Path;

use super::statements::{Style, read};
use super::tools::{self, Verdict};
use findings::CheckFindings;
pub use findings::{CheckFinding, Severity, Sources};

/// Everything that is found, the dangers first; and what could not be asked, in words.
pub fn check(sources: &Sources) -> (Vec<CheckFinding>, Vec<String>) {
    let mut findings = CheckFindings::default();
    let mut notes = Vec::new();
    let host = &sources.host;
    if host.is_own() && in_a_container() {
        findings.warning(
            "/",
            "in-a-container",
            "this is a container, and the kernel and keepalived call programs of the machine itself",
            "run this on the machine, or with --root=DIR where its file system is mounted here",
        );
    }
    let (statements, unread) = read(host, &sources.drbd_conf, Style::Drbd);
    let readable = unread.is_empty();
    findings.unread(unread);
    let drbd = drbd::DrbdConf::new(host, sources, &statements);
    if readable || !statements.is_empty() {
        drbd.check(&mut findings);
    }
    if readable {
        let verdict = tools::drbd_reads(&host.path(&sources.drbd_conf), drbd.grammar);
        let place = sources.drbd_conf.display();
        asked(&mut findings, &mut notes, place, "drbdadm-refuses", verdict);
    }
    let (statements, unread) = read(host, &sources.keepalived_conf, Style::Keepalived);
    let readable = unread.is_empty();
    findings.unread(unread);
    let ours = keepalived::Keepalived::new(&statements, &sources.keepalived_conf);
    if readable || !statements.is_empty() {
        ours.check(host, &mut findings);
    }
    if readable && host.is_own() {
        let verdict = tools::keepalived(&sources.keepalived_conf, &ours.interfaces());
        let place = sources.keepalived_conf.display();
        asked(
            &mut findings,
            &mut notes,
            place,
            "keepalived-refuses",
            verdict,
        );
    }
    if let Some(path) = &sources.other_keepalived_conf {
        let (statements, unread) = read(host, path, Style::Keepalived);
        findings.unread(unread);
        let other = keepalived::Keepalived::new(&statements, path);
        ours.beside(&other, &mut findings);
    }
    settings::check(sources, &drbd, &ours, &mut findings);
    together::check(sources, &drbd, &ours, &mut findings);
    if !sources.env.contains_key("REJOIN_DRBD") && !sources.whole_env {
        notes.push(
            "the roving member's settings were not looked at: name its file with --env-file".into(),
        );
    }
    let CheckFindings(mut findings) = findings;
    findings.sort_by_key(|finding| finding.severity);
    findings.dedup();
    (findings, notes)
}

fn asked(
    findings: &mut CheckFindings,
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
