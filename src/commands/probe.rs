//! Health of the etcd beside us, for HEALTHCHECK and probes: needs no shell.
//!
//! Kubernetes restarts whom `startup` and `live` deny for long, so both know what is no illness; `ready` only takes
//! clients away.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Exit, print};
use crate::config::Config;
use crate::datadir::Volume;
use crate::gateway::{Client, Failure};
use crate::membership::Member;
use crate::rover::gate;
use crate::rover::rove::{VolumeReport, VolumeStatus};

/// Asks our own etcd's `/health`; prints one line.
pub fn probe(config: &Config) -> Exit {
    match health(config) {
        Ok(()) => {
            // Whoever asks looks at the exit code.
            print("healthy\n");
            Exit::OK
        }
        Err(why) => {
            print(&format!("not healthy: {why}\n"));
            Exit::NOT_OK
        }
    }
}

/// Whether this member is on its way, or there.
pub fn startup(config: &Config) -> Exit {
    said("on its way", alive(config, true))
}

/// Whether a restart of this member would be of no use.
pub fn live(config: &Config) -> Exit {
    said("alive", alive(config, false))
}

/// Whether clients are served here.
pub fn ready(config: &Config) -> Exit {
    said("ready", serves(config))
}

fn said(what: &str, is_so: Result<String, String>) -> Exit {
    match is_so {
        Ok(why) => {
            // As above.
            print(&format!("{what}: {why}\n"));
            Exit::OK
        }
        Err(why) => {
            print(&format!("not {what}: {why}\n"));
            Exit::NOT_OK
        }
    }
}

/// etcd answers at one of its ports, or an entrypoint is at work. `starting`: etcd alone counts. Whoever passes a
/// startup probe once is never asked again, and then nobody has patience with an etcd that reads a large database.
///
/// Before its first quorum etcd answers at no client URL, at its peer URL it does.
fn alive(config: &Config, starting: bool) -> Result<String, String> {
    // Whoever does not answer the one question must leave time for the other.
    let deadline = || Instant::now() + (config.timeout / 2).min(Duration::from_secs(2));
    let clients = Client::new(&config.client_tls, None).map_err(|error| error.to_string())?;
    let urls = config.own_client_urls();
    if let Some(url) = urls.iter().find(|url| clients.answers(url, deadline())) {
        return Ok(format!("etcd answers at {url}"));
    }
    let peers = Client::new(&config.peer_client_tls, None).map_err(|error| error.to_string())?;
    let urls = config.own_peer_urls();
    if let Some(url) = urls
        .iter()
        .find(|url| peers.peer_members(url, deadline()).is_ok())
    {
        return Ok(format!("etcd answers at {url}"));
    }
    if let Some(rover) = &config.rover {
        let volume = VolumeStatus::look(rover);
        if !volume.is_here() && volume.is_well() {
            return Ok(volume.in_short());
        }
    }
    let volume = Volume::new(&config.data_dir, config.wal_dir.as_deref());
    let by = |held: Result<Option<String>, crate::error::Error>| {
        held.map_err(|error| format!("etcd does not answer, and {error}"))
    };
    let (entrypoint, etcd) = (by(volume.held_by_entrypoint())?, by(volume.held_by_etcd())?);
    match (entrypoint, etcd) {
        (Some(entrypoint), None) if starting => Err(format!(
            "{entrypoint} still brings this member up; `etcd-rejoin status` says what it waits for"
        )),
        (Some(entrypoint), None) => Ok(format!(
            "{entrypoint} brings this member up; `etcd-rejoin status` says what it waits for"
        )),
        (_, Some(etcd)) => Err(format!(
            "{etcd} holds the data dir, and answers at none of its URLs"
        )),
        (None, None) => Err("neither etcd nor etcd-rejoin holds the data dir".into()),
    }
}

/// A linearizable answer, of a member that has a vote. No user is needed for either question.
fn serves(config: &Config) -> Result<String, String> {
    let deadline = Instant::now() + config.timeout;
    let at = first_healthy(config, |clients, url| clients.serves(url, deadline))?;
    let peers = Client::new(&config.peer_client_tls, None).map_err(|error| error.to_string())?;
    let mut why = String::from("no peer URL is known");
    for url in config.own_peer_urls() {
        let ours = |member: &&Member| member.has_peer_url(&config.policy.peer_urls);
        match peers.peer_members(&url, deadline) {
            Ok(view) => match view.members.iter().find(ours) {
                Some(own) if own.learner => {
                    return Err(format!(
                        "member {} is a learner, which serves no client",
                        own.id
                    ));
                }
                Some(_) => return Ok(format!("{at} answers with a leader")),
                None => why = format!("{url}: it lists no member with our peer URL"),
            },
            Err(failure) => why = failure.to_string(),
        }
    }
    Err(format!("it is not known whether this is a learner: {why}"))
}

/// Says whether this machine may bid for the virtual address, by what the rover saw last.
pub fn promotable(gate: Option<PathBuf>) -> Exit {
    let Some(gate) = gate.filter(|gate| !gate.as_os_str().is_empty()) else {
        eprintln!("etcd-rejoin: no gate is named: write --gate PATH, or set REJOIN_GATE");
        return Exit::USAGE;
    };
    gate::tokens::keepalived_asks(&gate);
    let why = match VolumeReport::read(&gate) {
        Ok(report) if report.no_bid.is_empty() => {
            print(&format!("promotable: {}\n", report.volume));
            return Exit::OK;
        }
        Ok(report) => report.no_bid,
        Err(why) => why,
    };
    print(&format!("not promotable: {why}\n"));
    Exit::NOT_OK
}

/// Whether our own etcd says that it is healthy; else why not.
pub fn health(config: &Config) -> Result<(), String> {
    let deadline = || Instant::now() + config.timeout;
    first_healthy(config, |clients, url| clients.health(url, deadline())).map(|_| ())
}

/// The first of our client URLs where etcd says so.
fn first_healthy(
    config: &Config,
    asked: impl Fn(&Client, &str) -> Result<bool, Failure>,
) -> Result<String, String> {
    let clients = Client::new(&config.client_tls, None).map_err(|error| error.to_string())?;
    let mut why = String::from("ETCD_LISTEN_CLIENT_URLS names no URL");
    for url in config.own_client_urls() {
        match asked(&clients, &url) {
            Ok(true) => return Ok(url),
            Ok(false) => why = format!("{url}: etcd says that it is not healthy"),
            Err(failure) => why = failure.to_string(),
        }
    }
    Err(why)
}
