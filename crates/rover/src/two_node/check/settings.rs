//! The roving member's environment by itself: what the entrypoint would refuse, and what never answers.

use std::net::{IpAddr, SocketAddr};

use super::drbd::DrbdConf;
use super::findings::{CheckFindings, Sources};
use super::keepalived::Keepalived;

/// What the environment says, and whether it fits the machine.
pub fn check(sources: &Sources, drbd: &DrbdConf, keepalived: &Keepalived, out: &mut CheckFindings) {
    let from = &sources.env_from;
    if sources.whole_env && !sources.env.contains_key("REJOIN_DRBD") {
        let what = "REJOIN_DRBD is not set: what is started with this does not own the volume";
        let cure = "name the environment file of the roving member, or set REJOIN_DRBD, REJOIN_MOUNT and REJOIN_GATE";
        out.danger(from, "no-rover", what, cure);
    } else if sources.whole_env {
        for mistake in &sources.mistakes {
            // Of the machine that is looked at, which may be another one: looked at by itself.
            if !mistake.starts_with("REJOIN_FENCE_KEY_FILE=") {
                let cure = "the entrypoint ends with 78 until it is corrected";
                out.danger(from, "mistake", mistake, cure);
            }
        }
    }
    peer(sources, drbd, out);
    instance(sources, keepalived, out);
}

/// The other machine is the other one, and is asked over another network.
fn peer(sources: &Sources, drbd: &DrbdConf, out: &mut CheckFindings) {
    let place = "REJOIN_FENCE_PEER";
    let Some(address) = sources.env.get(place).and_then(|peer| peer.parse().ok()) else {
        return;
    };
    let peer = |address: SocketAddr| address.ip();
    let listen = sources.env.get("REJOIN_FENCE_LISTEN");
    let ours: Option<IpAddr> = listen.and_then(|own| own.parse().ok()).map(peer);
    let peer = peer(address);
    if ours == Some(peer) || peer.is_loopback() {
        let what = format!(
            "{peer} is this machine itself, which never answers itself: each loss of the peer counts as its silence"
        );
        out.danger(place, "fence-peer-is-us", what, "name the other machine");
    }
    for resource in &drbd.resources {
        if let Some((_, at)) = (resource.addresses()).find(|(ip, _)| *ip == peer) {
            let what = format!(
                "{peer} is an address that {} replicates over: one cut cable is the loss of the peer and its silence, and where there is a fence command it turns a healthy machine off",
                resource.name
            );
            let cure = "name an address of another network, here and at the handler's --peer";
            out.warning(at, "fence-over-the-replication-link", what, cure);
        }
    }
}

/// A FIFO carries the words of all instances and groups.
fn instance(sources: &Sources, keepalived: &Keepalived, out: &mut CheckFindings) {
    let told = sources.env.get("REJOIN_GATE_INSTANCE");
    let names: Vec<&str> = keepalived.names().collect();
    let known = names.join(", ");
    match (told, keepalived.fifo()) {
        (Some(told), _) if !names.is_empty() && !names.contains(&told.as_str()) => {
            let what = format!(
                "REJOIN_GATE_INSTANCE={told} is no instance or group of keepalived's, which has {known}: what it wishes is never heard"
            );
            let cure = "give it the name of the one that carries the address";
            out.danger("REJOIN_GATE_INSTANCE", "no-such-instance", what, cure);
        }
        (None, Some(fifo)) if keepalived.instances.len() > 1 => {
            let what = format!(
                "it carries the words of {known}, and REJOIN_GATE_INSTANCE does not say whose count: none does"
            );
            let cure =
                "set REJOIN_GATE_INSTANCE to the name of the one that carries the member's address";
            out.danger(&fifo.at, "gate-instance", what, cure);
        }
        (Some(_) | None, _) => {}
    }
}
