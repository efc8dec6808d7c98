//! The kernel's handler beside the roving member: both ask the same peer, in the same way.

use super::drbd::{DrbdConf, ResourceConf};
use super::findings::{CheckFindings, Sources};
use super::programs::{flag, seconds};
use crate::fence::Key;
use crate::two_node::statements::At;

/// The entrypoint's and the handler's default, in seconds.
pub const FENCE_TIMEOUT: f64 = 8.0;

/// Holds them against each other.
pub fn check(sources: &Sources, drbd: &DrbdConf, out: &mut CheckFindings) {
    for resource in &drbd.resources {
        if let Some((line, at)) = ours(resource) {
            peer(sources, line, at, out);
            key(sources, line, at, out);
            command(sources, line, at, out);
            time(sources, line, at, out);
        }
    }
}

/// The handler, where it is ours and asked.
fn ours<'a>(resource: &'a ResourceConf) -> Option<(&'a str, &'a At)> {
    let handler = resource.handler();
    handler.filter(|(line, _)| !resource.quorum() && line.contains("fence-peer"))
}

fn env<'a>(sources: &'a Sources, name: &str) -> Option<&'a str> {
    sources.env.get(name).map(String::as_str)
}

fn peer(sources: &Sources, line: &str, at: &At, out: &mut CheckFindings) {
    if let (Some(ours), Some(theirs)) = (env(sources, "REJOIN_FENCE_PEER"), flag(line, "--peer"))
        && ours != theirs
    {
        let what = format!("the handler asks {theirs}, REJOIN_FENCE_PEER={ours}");
        out.danger(at, "fence-peer-differs", what, "give both the same");
    }
    if sources.env.contains_key("REJOIN_DRBD") && env(sources, "REJOIN_FENCE_PEER").is_none() {
        out.danger(
            &sources.env_from,
            "no-fence-peer",
            "REJOIN_FENCE_PEER is not set: the entrypoint here does not answer the other machine's handler, which then cannot tell us from a dead machine",
            "set REJOIN_FENCE_PEER, REJOIN_FENCE_LISTEN and REJOIN_FENCE_KEY_FILE",
        );
    }
}

/// The other machine has one secret for both.
fn key(sources: &Sources, line: &str, at: &At, out: &mut CheckFindings) {
    let paths = (
        env(sources, "REJOIN_FENCE_KEY_FILE"),
        flag(line, "--key-file"),
    );
    let (Some(ours), Some(theirs)) = paths else {
        return;
    };
    let read = |path: &str| Key::read(&sources.host.path(path.as_ref())).ok();
    if let (Some(one), Some(two)) = (read(ours), read(theirs))
        && !one.is(&two)
    {
        let what = format!(
            "the secret in {theirs}, which the handler uses, is not the one in REJOIN_FENCE_KEY_FILE={ours}: the other machine proves one of them wrong, and counts as silent"
        );
        out.danger(at, "fence-key-differs", what, "give both the same file");
    }
}

fn command(sources: &Sources, line: &str, at: &At, out: &mut CheckFindings) {
    let commands = (
        env(sources, "REJOIN_FENCE_COMMAND"),
        flag(line, "--fence-command"),
    );
    let roving = sources.env.contains_key("REJOIN_DRBD");
    let missing = |has: &str, lacks: &str| {
        format!(
            "{has} is set, {lacks} is not: one of them assumes that a silent machine is dead, the other one turns it off"
        )
    };
    let (name, flag) = ("REJOIN_FENCE_COMMAND", "the handler's --fence-command");
    let what = match commands {
        (Some(_), None) if roving => missing(name, flag),
        (None, Some(_)) if roving => missing(flag, name),
        // A line of keepalived's and DRBD's kind has no quotes: only the program can be compared.
        (Some(ours), Some(theirs)) if ours.split_whitespace().next() != Some(theirs) => {
            let what = format!("{flag} is {theirs}, and {name}={ours}");
            out.warning(at, "fence-command-differs", what, "give both the same");
            return;
        }
        (Some(_), Some(_)) | (None, None) | (Some(_), None) | (None, Some(_)) => return,
    };
    out.danger(at, "fence-command-differs", what, "set both, or neither");
}

/// Once REJOIN_FENCE_TIMEOUT is over, the entrypoint asks what the handler did not settle.
fn time(sources: &Sources, line: &str, at: &At, out: &mut CheckFindings) {
    let handler = flag(line, "--timeout").map_or(Some(FENCE_TIMEOUT), seconds);
    let ours = env(sources, "REJOIN_FENCE_TIMEOUT").map_or(Some(FENCE_TIMEOUT), seconds);
    if let (Some(handler), Some(ours), true) =
        (handler, ours, sources.env.contains_key("REJOIN_DRBD"))
        && handler > ours
    {
        let what = format!(
            "the handler may take {handler:.1} s, and the entrypoint asks again after REJOIN_FENCE_TIMEOUT, {ours:.1} s: a machine could be turned off twice"
        );
        out.warning(at, "fence-timeout-differs", what, "give both the same");
    }
}
