//! Health of the etcd beside us, for HEALTHCHECK and probes: needs no shell.

use std::path::PathBuf;
use std::time::Instant;

use super::{Exit, print};
use crate::config::Config;
use crate::gateway::Client;
use crate::rover::gate;
use crate::rover::rove::VolumeReport;

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

/// Says whether this machine may bid for the virtual address, by what the rover saw last.
pub fn promotable(gate: Option<PathBuf>) -> Exit {
    let Some(gate) = gate.filter(|gate| !gate.as_os_str().is_empty()) else {
        eprintln!("etcd-rejoin: no gate is named: write --gate PATH, or set REJOIN_GATE");
        return Exit::USAGE;
    };
    gate::asked::note(&gate);
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
    let clients = Client::new(&config.client_tls, None).map_err(|error| error.to_string())?;
    let mut why = String::from("ETCD_LISTEN_CLIENT_URLS names no URL");
    for url in config.own_client_urls() {
        match clients.health(&url, Instant::now() + config.timeout) {
            Ok(true) => return Ok(()),
            Ok(false) => why = format!("{url}: etcd says that it is not healthy"),
            Err(failure) => why = failure.to_string(),
        }
    }
    Err(why)
}
