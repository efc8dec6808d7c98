//! The nouns of a cluster: members, IDs, the initial cluster. Pure values, no network, no disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

/// A member's ID, printed in hex as etcd prints it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct MemberId(pub u64);

/// A cluster's ID, printed in hex as etcd prints it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ClusterId(pub u64);

macro_rules! hex_id {
    ($id:ident) => {
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:x}", self.0)
            }
        }
        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $id {
            type Err = std::num::ParseIntError;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                u64::from_str_radix(s, 16).map($id)
            }
        }
        impl From<$id> for String {
            fn from(id: $id) -> String {
                id.to_string()
            }
        }
        impl TryFrom<String> for $id {
            type Error = std::num::ParseIntError;
            fn try_from(s: String) -> Result<Self, Self::Error> {
                s.parse()
            }
        }
    };
}
hex_id!(MemberId);
hex_id!(ClusterId);

/// One entry of a member list.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    /// Fixed for the life of the entry.
    pub id: MemberId,
    /// Empty until the member has published itself, unless it is of the initial cluster.
    pub name: String,
    /// Where the other members reach it.
    pub peer_urls: Vec<String>,
    /// Published by the member itself once it runs in the cluster; empty means unstarted.
    pub client_urls: Vec<String>,
    /// Receives the log, does not vote.
    pub learner: bool,
}

impl Member {
    /// Whether it ever published client URLs. `false` proves nothing: it may have voted before.
    pub fn started(&self) -> bool {
        !self.client_urls.is_empty()
    }

    /// Whether one of `urls` is among its peer URLs.
    pub fn has_peer_url(&self, urls: &[String]) -> bool {
        self.peer_urls
            .iter()
            .any(|mine| urls.iter().any(|url| same_url(mine, url)))
    }

    /// Its peer URLs, each once, if it lists one twice.
    ///
    /// etcd takes no initial cluster that has a URL twice, and none that lacks one that the members list: nobody
    /// joins beside such a member. Source: etcd `server/etcdserver/config.go`, `checkDuplicateURL`;
    /// `api/membership/cluster.go`, `ValidateClusterAndAssignIDs`.
    pub fn urls_listed_twice(&self) -> Option<Vec<&str>> {
        let urls: BTreeSet<&str> = self.peer_urls.iter().map(String::as_str).collect();
        (urls.len() < self.peer_urls.len()).then(|| urls.into_iter().collect())
    }

    /// Whether its peer URLs are exactly `urls`, in any order.
    pub fn has_exactly_peer_urls(&self, urls: &[String]) -> bool {
        self.peer_urls.len() == urls.len()
            && urls
                .iter()
                .all(|url| self.peer_urls.iter().any(|mine| same_url(mine, url)))
    }

    /// Its name, or its ID where it has published none.
    pub fn label(&self) -> String {
        if self.name.is_empty() {
            self.id.to_string()
        } else {
            self.name.clone()
        }
    }
}

/// Whether two URLs name the same endpoint: scheme and host in any case, one trailing slash ignored.
pub fn same_url(a: &str, b: &str) -> bool {
    a.trim_end_matches('/')
        .eq_ignore_ascii_case(b.trim_end_matches('/'))
}

/// How many of `voters` make a majority.
pub fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

/// `ETCD_INITIAL_CLUSTER`: the members that a cluster starts with, by name, each with its peer URLs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InitialCluster(BTreeMap<String, Vec<String>>);

impl InitialCluster {
    /// Reads `n1=http://a:2380,n2=http://b:2380`; a name may occur several times, once for each URL.
    ///
    /// The error says which part is wrong. As in etcd, blanks around a URL are nothing (a YAML block scalar
    /// ends in a newline). For etcd those around a name belong to it: no name is meant to have any, and it is
    /// another member's name that it has no use for. So they are nothing, unless they tell two members apart.
    /// The URLs of a member have no order.
    ///
    /// Source: etcd `client/pkg/types/urls.go`, `NewURLs`, which trims and sorts; `urlsmap.go`, `parse`,
    /// which does not trim.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut members: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut written = BTreeMap::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let Some((name, url)) = part.split_once('=') else {
                return Err(format!("{part:?} is not NAME=PEER_URL"));
            };
            let literal = name;
            let name = name.trim();
            if written
                .insert(name, literal)
                .is_some_and(|other| other != literal)
            {
                let why = "has blanks around the name, which make it another member for etcd";
                return Err(format!("{part:?} {why}"));
            }
            let url = read_url(url.trim());
            if name.is_empty() {
                return Err(format!("{part:?} has no name"));
            }
            check_url(&url).map_err(|why| format!("{part:?}: {why}"))?;
            let urls = members.entry(name.to_string()).or_default();
            if !urls.iter().any(|known| same_url(known, &url)) {
                urls.push(url);
            }
        }
        if members.is_empty() {
            return Err("it names no member".into());
        }
        // Members that were given the URLs of one of them in another order were given the same.
        for urls in members.values_mut() {
            urls.sort_unstable();
        }
        Ok(InitialCluster(members))
    }

    /// A cluster of these members, as etcd wants it to join an existing one.
    ///
    /// Members without a name get their ID as name: etcd compares URLs, names are free.
    pub fn of(members: &[Member], own: MemberId, own_name: &str) -> Self {
        let mut cluster = BTreeMap::new();
        for member in members {
            let mut name = match member.id == own {
                true => own_name.to_string(),
                false => member.label(),
            };
            // Two entries under one name would read as one member with two URLs, and a name with a
            // comma as two.
            let taken =
                name == own_name || cluster.contains_key(&name) || name.contains([',', '=']);
            if member.id != own && taken {
                name = member.id.to_string();
            }
            cluster.insert(name, member.peer_urls.clone());
        }
        InitialCluster(cluster)
    }

    /// How many members it names.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never true for a parsed one.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The peer URLs of the member with this name.
    pub fn get(&self, name: &str) -> Option<&[String]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// Names and peer URLs, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0
            .iter()
            .map(|(name, urls)| (name.as_str(), urls.as_slice()))
    }

    /// A peer URL that two members have, and their names.
    pub fn shared_url(&self) -> Option<(&str, [&str; 2])> {
        let all: Vec<(&str, &str)> = (self.iter())
            .flat_map(|(name, urls)| urls.iter().map(move |url| (name, url.as_str())))
            .collect();
        all.iter().enumerate().find_map(|(at, (name, url))| {
            let (other, _) = all[..at].iter().find(|(_, known)| same_url(known, url))?;
            Some((*url, [*other, *name]))
        })
    }

    /// The ID that etcd computes for a static member: SHA-1 of its sorted peer URLs and the token.
    ///
    /// Source: etcd `server/etcdserver/api/membership/member.go`, `computeMemberID`.
    pub fn static_id(&self, name: &str, token: &str) -> Option<MemberId> {
        Some(static_member_id(self.0.get(name)?, token))
    }

    /// The cluster ID that etcd computes: SHA-1 of the sorted member IDs.
    ///
    /// Source: etcd `server/etcdserver/api/membership/cluster.go`, `genID`.
    pub fn static_cluster_id(&self, token: &str) -> ClusterId {
        let mut ids: Vec<u64> = self
            .0
            .values()
            .map(|urls| static_member_id(urls, token).0)
            .collect();
        ids.sort_unstable();
        let mut hash = Sha1::new();
        for id in ids {
            hash.update(id.to_be_bytes());
        }
        ClusterId(first_eight(&hash.finalize()))
    }

    /// A digest of names and URLs, the same on every member that was given the same initial cluster.
    pub fn digest(&self) -> String {
        digest(&self.to_string())
    }
}

impl fmt::Display for InitialCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (name, urls) in &self.0 {
            for url in urls {
                if !std::mem::take(&mut first) {
                    f.write_str(",")?;
                }
                write!(f, "{name}={url}")?;
            }
        }
        Ok(())
    }
}

/// A short digest for comparing settings between members. No secret is protected by it.
pub fn digest(text: &str) -> String {
    format!("{:016x}", first_eight(&Sha1::digest(text.as_bytes())))
}

fn static_member_id(peer_urls: &[String], token: &str) -> MemberId {
    let mut urls: Vec<&str> = peer_urls.iter().map(String::as_str).collect();
    urls.sort_unstable();
    let mut hash = Sha1::new();
    for url in urls {
        hash.update(url.as_bytes());
    }
    hash.update(token.as_bytes());
    MemberId(first_eight(&hash.finalize()))
}

fn first_eight(hash: &[u8]) -> u64 {
    u64::from_be_bytes(hash[..8].try_into().expect("SHA-1 has 20 bytes"))
}

/// A URL as etcd reads and lists it: the scheme in small letters.
///
/// Source: Go's `url.Parse`.
pub fn read_url(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => format!("{}://{rest}", scheme.to_ascii_lowercase()),
        None => url.into(),
    }
}

/// What etcd wants of a member URL: http or https (or a unix socket), a host and a port, no path.
pub fn check_url(url: &str) -> Result<(), String> {
    let rest = match url.split_once("://") {
        Some(("http" | "https" | "unix" | "unixs", rest)) => rest,
        _ => return Err(format!("{url:?} is not a URL: write http://HOST:PORT")),
    };
    let authority = rest;
    if authority.contains(['/', '?', '#', '@']) || authority.contains(char::is_whitespace) {
        return Err(format!("{url:?} has more than a host and a port"));
    }
    let port = match authority.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() => port,
        _ => return Err(format!("{url:?} has no port")),
    };
    match port.parse::<u16>() {
        Ok(_) if port.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
        Ok(_) | Err(_) => Err(format!("{url:?} has no port")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_initial_cluster_reads_and_prints() {
        let text = "n1=http://a:2380,n2=http://b:2380,n2=http://c:2380";
        let cluster = InitialCluster::parse(text).unwrap();
        assert_eq!(cluster.len(), 2);
        assert_eq!(cluster.get("n2").unwrap().len(), 2);
        assert_eq!(cluster.to_string(), text);
    }

    #[test]
    fn a_broken_initial_cluster_is_named() {
        for (text, part) in [
            ("", "names no member"),
            ("n1", "NAME=PEER_URL"),
            ("=http://a:1", "no name"),
            ("n1=http://a:1, n1=http://b:1", "blanks"),
            ("n1=http://a:1,n1 =http://a:1", "blanks"),
            (" =http://a:1", "no name"),
            ("n1=a:1", "not a URL"),
            ("n1=http://a", "no port"),
            ("n1=http://a:1/x", "more than"),
        ] {
            let why = InitialCluster::parse(text).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
    }

    #[test]
    fn blanks_around_a_url_are_nothing_as_for_etcd() {
        let cluster = InitialCluster::parse("n1= http://a:1,n2=http://b:1\t\r\n").unwrap();
        assert_eq!(cluster.to_string(), "n1=http://a:1,n2=http://b:1");
    }

    #[test]
    fn blanks_around_a_name_are_nothing() {
        let text = "n1=http://a:1, n2=http://b:1,\n n2=http://c:1,n3\t=http://d:1";
        assert!(InitialCluster::parse(text).is_err(), "two names");
        let text = "n1=http://a:1, n2=http://b:1, n2=http://c:1,n3\t=http://d:1";
        let cluster = InitialCluster::parse(text).unwrap().to_string();
        let wanted = "n1=http://a:1,n2=http://b:1,n2=http://c:1,n3=http://d:1";
        assert_eq!(cluster, wanted);
    }

    #[test]
    fn a_scheme_is_read_in_any_case_as_for_etcd() {
        let [one, two] = ["n1=HTTP://A:1", "n1=http://A:1"].map(InitialCluster::parse);
        assert_eq!(one, two);
    }

    #[test]
    fn the_order_of_a_members_urls_makes_no_other_cluster() {
        let one = InitialCluster::parse("n1=http://a:1,n1=http://b:1,n2=http://c:1").unwrap();
        let two = InitialCluster::parse("n2=http://c:1,n1=http://b:1,n1=http://a:1").unwrap();
        assert_eq!(one.digest(), two.digest());
        assert_eq!(one.static_cluster_id("t"), two.static_cluster_id("t"));
    }

    #[test]
    fn names_in_a_joining_cluster_never_merge_two_members() {
        let member = |id, name: &str, url: &str| Member {
            id: MemberId(id),
            name: name.into(),
            peer_urls: vec![url.into()],
            client_urls: vec![],
            learner: false,
        };
        let list = [
            member(1, "n1", "http://a:1"),
            member(2, "n1", "http://b:1"),
            member(3, "", "http://c:1"),
        ];
        let cluster = InitialCluster::of(&list, MemberId(3), "n1");
        assert_eq!(cluster.len(), 3);
        assert_eq!(cluster.get("n1").unwrap(), ["http://c:1".to_string()]);
    }
}
