//! Where our own peer URLs lead, as far as that can be told from here. Silence proves nothing: behind NAT, or with
//! published ports, a member may reach everybody but itself.

use std::net::IpAddr;

use crate::membership::{ClusterId, Member};

/// One of our own peer URLs, asked from here while no etcd of ours runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnUrl {
    /// The URL.
    pub url: String,
    /// Who was found there.
    pub found: FoundThere,
}

/// Who was found at one of our own peer URLs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FoundThere {
    /// Ourselves, or nobody who tells anything.
    Nobody,
    /// Not asked: a person says that the others reach us there (`REJOIN_IGNORE`). Nobody can say so of a pod that its
    /// service does not have.
    Vouched,
    /// Nobody has such a name, in the system's words.
    NoSuchName(String),
    /// An entrypoint of this name.
    Entrypoint(String),
    /// An etcd of this cluster.
    Etcd(ClusterId),
    /// It leads here as seen from here alone: for all others this headless service has no address of this pod. Another
    /// pod has its name by now, as where its node was given up, or its name is not known yet.
    NotInService(String),
    /// All these addresses of it refuse connections, while our own assembly listens.
    Refused(Vec<IpAddr>),
}

/// Where our peer URL leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Misleads {
    /// Nowhere, or to somebody else: what was seen, in words.
    Seen(String),
    /// This headless service has addresses, and none of this pod.
    NotInService(String),
    /// The cluster lists it for other members too.
    Listed(Vec<Member>),
}

/// Why all our peer URLs lead nowhere, or to somebody else. One that may lead here is enough; so is that none was
/// asked. `name` is ours.
///
/// A pod that its service does not have is misled by that alone: whoever took its place has its name.
pub fn misled(name: &str, own_urls: &[OwnUrl]) -> Option<Misleads> {
    for own in own_urls {
        if let FoundThere::NotInService(service) = &own.found {
            return Some(Misleads::NotInService(service.clone()));
        }
    }
    let why = |own: &OwnUrl| Some(format!("{}: {}", own.url, misleads(name, own)?));
    let all: Vec<String> = own_urls.iter().map(why).collect::<Option<_>>()?;
    (!all.is_empty()).then(|| Misleads::Seen(all.join("; ")))
}

fn misleads(name: &str, own: &OwnUrl) -> Option<String> {
    match &own.found {
        FoundThere::Nobody | FoundThere::Vouched | FoundThere::NotInService(_) => None,
        FoundThere::NoSuchName(words) => Some(format!("the name does not resolve ({words})")),
        FoundThere::Entrypoint(other) if other == name => None,
        FoundThere::Entrypoint(other) => Some(format!("the entrypoint of {other} answers there")),
        // Ours does not run yet.
        FoundThere::Etcd(cluster) => Some(format!("an etcd of cluster {cluster} answers there")),
        FoundThere::Refused(addresses) if only_here(&own.url, addresses) => None,
        FoundThere::Refused(_) => Some("connection refused, while this member listens".into()),
    }
}

/// Whether a name leads to this machine alone, and only as seen from here: Debian writes a host's own name into
/// `/etc/hosts` as 127.0.1.1, where nothing listens that listens at its other address. The others look it up
/// elsewhere.
fn only_here(url: &str, addresses: &[IpAddr]) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = (authority.rsplit_once(':')).map_or(authority, |(host, _)| host);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare != "localhost"
        && bare.parse::<IpAddr>().is_err()
        && addresses.iter().all(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_name_of_a_debian_host_proves_nothing() {
        let only_here = |url, ip: &str| only_here(url, &[ip.parse().unwrap()]);
        assert!(only_here("http://node1:2380", "127.0.1.1"));
        assert!(only_here("https://node1.example.org:2380", "::1"));
        assert!(!only_here("http://node1:2380", "192.0.2.1"));
        assert!(!only_here("http://localhost:2380", "127.0.0.1"));
        assert!(!only_here("http://127.0.0.1:2380", "127.0.0.1"));
        assert!(!only_here("http://[::1]:2380", "::1"));
    }
}
