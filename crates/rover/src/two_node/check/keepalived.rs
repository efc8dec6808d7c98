//! What is dangerous in keepalived's configuration. A script that it cannot run it only logs, and
//! becomes master with nothing behind it (measured with keepalived 2.2.7).

use super::findings::{CheckFindings, Sources, flag};
use super::programs::{is_one_path, program};
use crate::drbd::{Piece, pieces};
use crate::two_node::tools::{self, Verdict};

/// Looks at the file; what keepalived could not be asked becomes a note.
pub fn check(sources: &Sources, text: &str, out: &mut CheckFindings, notes: &mut Vec<String>) {
    let place = sources.keepalived_conf.display().to_string();
    let pieces = match pieces(&with_ends(text)) {
        Ok(pieces) => pieces,
        Err(why) => return out.add(place, "not-readable", &[&why]),
    };
    let named = |piece: &&Piece, name: &str| piece.words.first().is_some_and(|word| word == name);
    let value = |piece: &Piece| piece.words.get(1).cloned().unwrap_or_default();
    let all = |name: &'static str| pieces.iter().filter(move |piece| named(piece, name));
    if all("include").next().is_some() {
        out.add(&place, "not-readable/include", &[]);
    }
    if all("vrrp_instance").next().is_none() {
        return out.add(&place, "no-instance", &[]);
    }
    let gate = sources.env("REJOIN_GATE").unwrap_or_default();
    let mut told = false;
    for notify in all("notify").map(value) {
        program(&sources.host, &place, "the notify script", &notify, out);
        told |= notify.contains("etcd-rejoin notify") && is_told(&notify, gate);
    }
    if !told {
        out.add(&place, "no-gate", &[&gate]);
    }
    let mut probes = false;
    for script in all("script").map(value) {
        program(&sources.host, &place, "the vrrp_script", &script, out);
        probes |= script.contains("probe promotable") && is_told(&script, gate);
    }
    if !probes || all("track_script").next().is_none() {
        out.add(&place, "no-probe", &[]);
    }
    if all("script_user").map(value).next().as_deref() != Some("root") {
        out.add(&place, "script-user", &[]);
    }
    if sources.host.is_own() {
        let interfaces: Vec<String> = all("interface").map(value).collect();
        let interfaces: Vec<&str> = interfaces.iter().map(String::as_str).collect();
        match tools::keepalived(&sources.keepalived_conf, &interfaces) {
            Verdict::Accepts(_) => {}
            Verdict::Refuses(words) => {
                out.add(
                    &place,
                    "not-readable",
                    &[&format!("keepalived says: {words}")],
                );
            }
            Verdict::NotAsked(why) => notes.push(format!("{place} was read by us alone: {why}")),
        }
    }
}

fn is_told(line: &str, gate: &str) -> bool {
    flag(line, "--gate").is_some_and(|told| is_one_path(told, gate))
}

/// The text as DRBD's reader takes it: its statements end with the line, and a brace may stand on the next one.
fn with_ends(text: &str) -> String {
    let code = text
        .lines()
        .map(|line| line.split(['#', '!']).next().unwrap_or_default().trim());
    let lines: Vec<&str> = code.filter(|line| !line.is_empty()).collect();
    let mut whole = String::new();
    for (n, line) in lines.iter().enumerate() {
        whole += &line.replace('}', ";}");
        let opens = lines.get(n + 1).is_some_and(|next| next.starts_with('{'));
        whole += if opens || line.ends_with('{') {
            "\n"
        } else {
            ";\n"
        };
    }
    whole
}
