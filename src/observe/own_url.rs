//! Where our own peer URL leads, as far as that can be told from here. Silence proves nothing: behind NAT, or with
//! published ports, a member may reach everybody but itself.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use super::Observer;
use super::ask::assembly_url;
use crate::assembly;
use crate::gateway::Failure;
use crate::membership::same_url;

/// Whoever refuses a connection does it at once.
const AT_ONCE: Duration = Duration::from_millis(500);

impl Observer {
    /// Why our peer URLs lead nowhere, or to somebody else, in words. `listens`: our assembly answers meanwhile.
    pub fn misled(&self, listens: bool) -> Option<String> {
        let (tx, rx) = channel();
        let observer = self.clone();
        let deadline = Instant::now() + self.config.timeout;
        let ask = move || {
            // Nobody listens any more: a name that takes too long to be looked up proves nothing.
            let _ = tx.send(observer.all_misled(listens, deadline));
        };
        if let Err(error) = std::thread::Builder::new().spawn(ask) {
            log::warn!("cannot start a thread: {error}");
        }
        self.stop.receive(&rx, deadline).ok().flatten()
    }

    /// One URL that may lead here is enough.
    fn all_misled(&self, listens: bool, deadline: Instant) -> Option<String> {
        let mut why = Vec::new();
        for url in &self.config.policy.peer_urls {
            let ignored = |other: &String| same_url(other, url);
            if self.config.ignored_urls.iter().any(ignored) {
                return None;
            }
            why.push(format!("{url}: {}", self.misleads(url, listens, deadline)?));
        }
        (!why.is_empty()).then(|| why.join("; "))
    }

    fn misleads(&self, url: &str, listens: bool, deadline: Instant) -> Option<String> {
        let (_, authority) = url.split_once("://")?;
        let addresses: Vec<_> = match authority.trim_end_matches('/').to_socket_addrs() {
            Ok(addresses) => addresses.collect(),
            Err(error) if is_unknown_name(&error.to_string()) => {
                return Some(format!("the name does not resolve ({error})"));
            }
            Err(_) => return None,
        };
        match self.peers.get(&assembly_url(url), deadline) {
            Ok((200, body)) => assembly::somebody_else(&self.config, &body)
                .map(|name| format!("the entrypoint of {name} answers there")),
            Ok(_) | Err(Failure::NotEtcd { .. }) => match self.peers.peer_members(url, deadline) {
                // Ours does not run yet, and our own assembly would have answered.
                Ok(view) => Some(format!("an etcd of cluster {} answers there", view.cluster)),
                Err(_) => None,
            },
            Err(_) if !listens => None,
            Err(_) => {
                let is_refused = |address| {
                    TcpStream::connect_timeout(address, AT_ONCE)
                        .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
                };
                let refused = !addresses.is_empty()
                    && !only_here(authority, &addresses)
                    && addresses.iter().all(is_refused);
                refused.then(|| "connection refused, while this member listens".into())
            }
        }
    }
}

/// Whether a name leads to this machine alone, and only as seen from here: Debian writes a host's own name into
/// `/etc/hosts` as 127.0.1.1, where nothing listens that listens at its other address. The others look it up
/// elsewhere.
fn only_here(authority: &str, addresses: &[SocketAddr]) -> bool {
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare != "localhost"
        && bare.parse::<IpAddr>().is_err()
        && addresses.iter().all(|address| address.ip().is_loopback())
}

/// Whether nobody has such a name, as glibc and musl say it: not that nobody could be asked.
fn is_unknown_name(words: &str) -> bool {
    ["not known", "does not resolve", "No address associated"]
        .iter()
        .any(|part| words.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_name_of_a_debian_host_proves_nothing() {
        let at = |ip: &str| vec![SocketAddr::new(ip.parse().unwrap(), 2380)];
        assert!(only_here("node1:2380", &at("127.0.1.1")));
        assert!(only_here("node1.example.org:2380", &at("::1")));
        assert!(!only_here("node1:2380", &at("192.0.2.1")));
        assert!(!only_here("localhost:2380", &at("127.0.0.1")));
        assert!(!only_here("127.0.0.1:2380", &at("127.0.0.1")));
        assert!(!only_here("[::1]:2380", &at("::1")));
    }
}
