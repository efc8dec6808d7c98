//! What fits only alone: DRBD, keepalived and the roving member's environment, held against each other.

use super::drbd::DrbdConf;
use super::findings::{CheckFindings, Sources};
use super::handler::{self, FENCE_TIMEOUT};
use super::keepalived::Keepalived;
use super::programs::{flag, is_one_path, key_file, program, seconds};

/// A demotion may take so many elections before it is worth a word.
const DEMOTION: f64 = 10.0;

/// So many elections settling the peer may take: it answers once its own DRBD has noticed the loss.
const FENCING: f64 = 3.0;
/// The entrypoint's own default, in seconds.
const DEMOTE_TIMEOUT: f64 = 20.0;

/// Holds them against each other.
pub fn check(sources: &Sources, drbd: &DrbdConf, keepalived: &Keepalived, out: &mut CheckFindings) {
    let env = |name: &str| sources.env.get(name).map(String::as_str);
    times(sources, drbd, keepalived, out);
    gate(sources, keepalived, out);
    if let Some(key) = env("REJOIN_FENCE_KEY_FILE") {
        key_file(&sources.host, &"REJOIN_FENCE_KEY_FILE", key, out);
    }
    if let Some(command) = env("REJOIN_FENCE_COMMAND") {
        program(
            &sources.host,
            &"REJOIN_FENCE_COMMAND",
            "the fence command",
            command,
            out,
        );
    }
    handler::check(sources, drbd, out);
}

/// The gate is where keepalived says it is.
fn gate(sources: &Sources, keepalived: &Keepalived, out: &mut CheckFindings) {
    let Some(gate) = sources.env.get("REJOIN_GATE") else {
        return;
    };
    let gates = keepalived.gates();
    for (told, at) in &gates {
        if !is_one_path(told, gate) {
            let what = format!(
                "keepalived says what it wishes at {told}, and REJOIN_GATE={gate}: the entrypoint never hears it"
            );
            out.danger(at, "gate-differs", what, "give both the same path");
        }
    }
    // The FIFO carries all of them; a gate file holds the last word, whoever said it.
    let mut tellers = keepalived.tellers(gate);
    if let (Some((first, _)), Some((second, at))) = (tellers.next(), tellers.next()) {
        let what = format!(
            "{first} and {second} tell one gate file: each replaces what the other wished, and the member follows either"
        );
        let cure = "let one of them call etcd-rejoin notify, or give each call --instance with the name that counts";
        out.danger(at, "gate-shared", what, cure);
    }
    for probe in keepalived.probes() {
        let told = flag(probe.value(), "--gate");
        if told.is_none_or(|told| !is_one_path(told, gate)) {
            let what = "the probe does not ask beside REJOIN_GATE: it says no for ever, and this machine never bids for the address";
            let cure = format!("let it be ... probe promotable --gate {gate}");
            out.danger(&probe.at, "gate-differs", what, cure);
        }
    }
    let ours = keepalived
        .notify()
        .into_iter()
        .find(|s| s.value().contains("etcd-rejoin"));
    if let (Some(notify), true) = (ours, gates.is_empty()) {
        let what = "etcd-rejoin notify is not told where the gate is, and keepalived has no REJOIN_GATE of its own";
        let cure = format!("add --gate {gate}");
        out.danger(&notify.at, "gate-differs", what, cure);
    }
}

/// Times longer than keepalived's election: the other machine is master and waits for us.
fn times(sources: &Sources, drbd: &DrbdConf, keepalived: &Keepalived, out: &mut CheckFindings) {
    let election = keepalived.election();
    let told = |name: &str| sources.env.get(name).and_then(|value| seconds(value));
    for resource in &drbd.resources {
        let (seconds, at) = resource.noticed_after();
        if seconds > election {
            let what = format!(
                "a lost peer is noticed after {seconds:.1} s, and keepalived elects after {election:.1} s: the new master waits for DRBD"
            );
            let cure = "set ping-int 2 and ping-timeout 10 in net, or a longer advert_int";
            out.warning(at, "noticed-after-election", what, cure);
        }
        let Some((line, at)) = resource.handler() else {
            continue;
        };
        let fenced = flag(line, "--fence-command").is_some();
        let handler = flag(line, "--timeout").map_or(Some(FENCE_TIMEOUT), self::seconds);
        if let (Some(handler), false, true) = (handler, fenced, line.contains("etcd-rejoin"))
            && handler > FENCING * election
        {
            let what = format!(
                "the handler may take {handler:.1} s, and keepalived elects after {election:.1} s: writes stand still for longer than need be"
            );
            out.warning(at, "fence-timeout", what, "add --timeout 8s to the handler");
        }
    }
    let fence = told("REJOIN_FENCE_TIMEOUT").unwrap_or(FENCE_TIMEOUT);
    if sources.env.contains_key("REJOIN_FENCE_PEER")
        && !sources.env.contains_key("REJOIN_FENCE_COMMAND")
        && fence > FENCING * election
    {
        let what = format!(
            "a silent peer is waited for {fence:.1} s, and keepalived elects after {election:.1} s"
        );
        out.warning(
            "REJOIN_FENCE_TIMEOUT",
            "fence-timeout",
            what,
            "set REJOIN_FENCE_TIMEOUT=8s",
        );
    }
    let demotion = told("REJOIN_DEMOTE_TIMEOUT").unwrap_or(DEMOTE_TIMEOUT);
    if sources.env.contains_key("REJOIN_DRBD") && demotion > DEMOTION * election {
        let what = format!(
            "letting the volume go may take {demotion:.0} s, and keepalived elects after {election:.1} s: the other machine is master all that time, and serves nothing"
        );
        out.warning(
            "REJOIN_DEMOTE_TIMEOUT",
            "demote-timeout",
            what,
            "set REJOIN_DEMOTE_TIMEOUT=20s",
        );
    }
}
