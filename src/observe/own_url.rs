//! Asks our own peer URLs who is there. What that proves is not said here.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::Observer;
use super::ask::assembly_url;
use crate::assembly;
use crate::config::StatefulSet;
use crate::decide::{FoundThere, OwnUrl, misled};
use crate::gateway::Failure;
use crate::membership::same_url;

/// Whoever refuses a connection does it at once.
const AT_ONCE: Duration = Duration::from_millis(500);

impl Observer {
    /// Who is found at our own peer URLs. `listens`: our assembly answers meanwhile.
    pub fn own_urls(&self, listens: bool) -> Vec<OwnUrl> {
        let observer = self.clone();
        let deadline = Instant::now() + self.config.timeout;
        let ask = move || {
            let policy = &observer.config.policy;
            // A person may vouch for a URL, and not for this.
            if let Some(given_up) = observer.given_up() {
                return vec![given_up];
            }
            let mut asked = Vec::new();
            for url in &policy.peer_urls {
                asked.push(OwnUrl {
                    url: url.clone(),
                    found: observer.found_at(url, listens, deadline),
                });
                // One that may lead here is enough; the next one may be silent for long.
                if misled(&policy.name, &asked).is_none() {
                    break;
                }
            }
            asked
        };
        // A name that takes too long to be looked up proves nothing.
        self.stop.wait_until(deadline, ask).unwrap_or_default()
    }

    /// The set's peer URL of this pod, if it is one of ours, and the service does not have this pod.
    fn given_up(&self) -> Option<OwnUrl> {
        let set = self.config.set.as_ref()?;
        let url = set.peer_url(set.ordinal);
        let ours = &self.config.policy.peer_urls;
        (ours.iter().any(|other| same_url(other, &url)) && is_given_up(set)).then(|| OwnUrl {
            url,
            found: FoundThere::NotInService(set.domain.clone()),
        })
    }

    fn found_at(&self, url: &str, listens: bool, deadline: Instant) -> FoundThere {
        let ignored = |other: &String| same_url(other, url);
        if self.config.ignored_urls.iter().any(ignored) {
            return FoundThere::Vouched;
        }
        let Some((_, authority)) = url.split_once("://") else {
            return FoundThere::Nobody;
        };
        let addresses: Vec<_> = match authority.trim_end_matches('/').to_socket_addrs() {
            Ok(addresses) => addresses.collect(),
            Err(error) if is_unknown_name(&error.to_string()) => {
                return FoundThere::NoSuchName(error.to_string());
            }
            Err(_) => return FoundThere::Nobody,
        };
        match self.peers.get(&assembly_url(url), deadline) {
            Ok((200, body)) => {
                assembly::name(&body).map_or(FoundThere::Nobody, FoundThere::Entrypoint)
            }
            Ok(_) | Err(Failure::NotEtcd { .. }) => match self.peers.peer_members(url, deadline) {
                Ok(view) => FoundThere::Etcd(view.cluster),
                Err(_) => FoundThere::Nobody,
            },
            Err(_) if listens && !addresses.is_empty() && addresses.iter().all(is_refused) => {
                FoundThere::Refused(addresses.iter().map(SocketAddr::ip).collect())
            }
            Err(_) => FoundThere::Nobody,
        }
    }
}

/// Whether the headless service has addresses, and none of this pod. The pod's own name leads here all the same, as the
/// kubelet writes it into /etc/hosts.
fn is_given_up(set: &StatefulSet) -> bool {
    let known = (set.looked_up().as_str(), 0).to_socket_addrs();
    let known: Vec<_> = known.into_iter().flatten().collect();
    let is_ours = |address: &SocketAddr| set.addresses.contains(&address.ip());
    !set.addresses.is_empty() && !known.is_empty() && !known.iter().any(is_ours)
}

fn is_refused(address: &SocketAddr) -> bool {
    TcpStream::connect_timeout(address, AT_ONCE)
        .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// Whether nobody has such a name, as glibc and musl say it: not that nobody could be asked.
fn is_unknown_name(words: &str) -> bool {
    ["not known", "does not resolve", "No address associated"]
        .iter()
        .any(|part| words.contains(part))
}
