//! What is dangerous in keepalived's configuration. A script that it cannot run it only logs, and
//! becomes master with nothing behind it (measured with keepalived 2.2.7).

use super::programs::{is_one_path, program};
use super::{CheckFindings, Piece, Sources, flag, pieces};
use crate::two_node::tools::{self, Verdict};

/// Looks at the file; what keepalived could not be asked becomes a note.
pub fn check(sources: &Sources, text: &str, out: &mut CheckFindings, notes: &mut Vec<String>) {
    let place = sources.keepalived_conf.display().to_string();
    let pieces = match pieces(&with_ends(text)) {
        Ok(pieces) => pieces,
        Err(why) => {
            return out.danger(
                place,
                "not-readable",
                why,
                "nothing of keepalived was checked",
            );
        }
    };
    let named = |piece: &&Piece, name: &str| piece.words.first().is_some_and(|word| word == name);
    let value = |piece: &Piece| piece.words.get(1).cloned().unwrap_or_default();
    let all = |name: &'static str| pieces.iter().filter(move |piece| named(piece, name));
    if all("include").next().is_some() {
        let what = "it includes other files, and those were not read";
        out.warning(&place, "not-readable", what, "put all of it into one file");
    }
    if all("vrrp_instance").next().is_none() {
        let what = "no vrrp_instance is configured";
        return out.danger(
            &place,
            "no-instance",
            what,
            "write one with two-node config",
        );
    }
    let gate = sources.env("REJOIN_GATE").unwrap_or_default();
    let mut told = false;
    for notify in all("notify").map(value) {
        program(&sources.host, &place, "the notify script", &notify, out);
        told |= notify.contains("etcd-rejoin notify") && is_told(&notify, gate);
    }
    if !told {
        let what = format!(
            "nothing tells the entrypoint at REJOIN_GATE={gate} what keepalived wishes: it becomes master with nothing behind it"
        );
        out.danger(
            &place,
            "no-gate",
            what,
            format!("set notify \"/usr/bin/etcd-rejoin notify --gate {gate}\""),
        );
    }
    let mut probes = false;
    for script in all("script").map(value) {
        program(&sources.host, &place, "the vrrp_script", &script, out);
        probes |= script.contains("probe promotable") && is_told(&script, gate);
    }
    if !probes || all("track_script").next().is_none() {
        let what = "it bids for the address where the volume must not be promoted: master, and nothing served";
        out.warning(
            &place,
            "no-probe",
            what,
            format!("track a vrrp_script that runs etcd-rejoin probe promotable --gate {gate}"),
        );
    }
    if all("script_user").map(value).next().as_deref() != Some("root") {
        let what =
            "scripts run as another user than root, who can neither ask DRBD nor write the gate";
        out.danger(
            &place,
            "script-user",
            what,
            "set script_user root in global_defs",
        );
    }
    if sources.host.is_own() {
        let interfaces: Vec<String> = all("interface").map(value).collect();
        let interfaces: Vec<&str> = interfaces.iter().map(String::as_str).collect();
        match tools::keepalived(&sources.keepalived_conf, &interfaces) {
            Verdict::Accepts(_) => {}
            Verdict::Refuses(words) => {
                let what = format!("keepalived says: {words}");
                out.danger(
                    &place,
                    "keepalived-refuses",
                    what,
                    "correct it: with this file it does not start, or starts without",
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
