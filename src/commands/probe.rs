//! Health of the etcd beside us, for HEALTHCHECK and probes: needs no shell.

use std::time::Instant;

use super::Exit;
use super::watch::own_client_urls;
use crate::config::Config;
use crate::gateway::Client;

/// Asks our own etcd's `/health`; prints one line.
pub fn probe(config: &Config) -> Exit {
    let clients = match Client::new(&config.client_tls, None) {
        Ok(clients) => clients,
        Err(error) => {
            println!("{error}");
            return Exit::NOT_OK;
        }
    };
    let mut why = String::from("ETCD_LISTEN_CLIENT_URLS names no URL");
    for url in own_client_urls(config) {
        match clients.health(&url, Instant::now() + config.timeout) {
            Ok(true) => {
                println!("healthy");
                return Exit::OK;
            }
            Ok(false) => why = format!("{url}: etcd says that it is not healthy"),
            Err(failure) => why = failure.to_string(),
        }
    }
    println!("not healthy: {why}");
    Exit::NOT_OK
}
