//! Can the other members reach this one? etcd's own defaults are on the loopback address, where nobody
//! else hears it: it would wait for ever, and each of the others too.

use super::parse::Checker;
use crate::membership::InitialCluster;
use crate::text::shorten;

/// Where this member listens for the others, and what it tells them.
pub struct Urls<'a> {
    pub listen_peer: &'a [String],
    pub listen_client: &'a [String],
    pub advertise_client: &'a [String],
    /// Its own peer URLs.
    pub peer: &'a [String],
}

impl Checker {
    /// Warns where other members are on other hosts, and could not reach this one or its gateway.
    pub fn reach(&mut self, name: &str, initial: &InitialCluster, urls: &Urls) {
        let mut others = initial.iter().filter(|(other, _)| *other != name);
        let elsewhere = others.find_map(|(other, urls)| {
            let url = urls.iter().find(|url| !is_loopback(url))?;
            Some(format!("{}={}", shorten(other), shorten(url)))
        });
        let Some(elsewhere) = elsewhere else {
            return;
        };
        let all_here =
            |urls: &[String]| !urls.is_empty() && urls.iter().all(|url| is_loopback(url));
        let host = urls.peer.first().map_or("HOST", |url| parts(url).1);
        let host = if is_loopback_host(host) { "HOST" } else { host };
        if all_here(urls.listen_peer) {
            let set = moved(urls.listen_peer, "0.0.0.0");
            self.unreachable(
                "ETCD_LISTEN_PEER_URLS",
                urls.listen_peer,
                &elsewhere,
                "cannot reach this one",
                &set,
            );
        }
        if all_here(urls.listen_client) {
            let set = moved(urls.listen_client, "0.0.0.0");
            self.unreachable(
                "ETCD_LISTEN_CLIENT_URLS",
                urls.listen_client,
                &elsewhere,
                "cannot ask this one for a leader",
                &set,
            );
        }
        if all_here(urls.advertise_client) {
            let set = moved(urls.advertise_client, host);
            self.unreachable(
                "ETCD_ADVERTISE_CLIENT_URLS",
                urls.advertise_client,
                &elsewhere,
                "would ask themselves in its place",
                &set,
            );
        }
    }

    fn unreachable(
        &mut self,
        variable: &str,
        urls: &[String],
        elsewhere: &str,
        what: &str,
        set: &str,
    ) {
        let (named, urls) = (self.named(variable), shorten(&urls.join(",")));
        self.warnings.push(format!(
            "{named}={urls} is this host alone, but {elsewhere} is not here: the others {what}; write {named}={set}"
        ));
    }
}

/// The first URL, on another host.
fn moved(urls: &[String], host: &str) -> String {
    let (scheme, _, port) = parts(urls.first().map_or("", |url| url));
    format!("{scheme}://{host}:{port}")
}

/// Scheme, host and port of a URL that was checked.
fn parts(url: &str) -> (&str, &str, &str) {
    let (scheme, authority) = url.split_once("://").unwrap_or(("http", url));
    let (host, port) =
        (authority.trim_end_matches('/').rsplit_once(':')).unwrap_or((authority, ""));
    (scheme, host, port)
}

/// Whether a URL leads to this machine alone.
pub fn is_loopback(url: &str) -> bool {
    let (scheme, host, _) = parts(url);
    scheme.starts_with("unix") || is_loopback_host(host)
}

fn is_loopback_host(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<std::net::IpAddr>();
    bare == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Overrides};

    fn warnings(env: &[(&str, &str)]) -> Vec<String> {
        let env = env.iter().map(|(name, value)| (name.into(), value.into()));
        Config::read(env, &[], &Overrides::default())
            .unwrap()
            .warnings
    }

    const THREE: &str = "n1=http://n1:2380,n2=http://n2:2380,n3=http://n3:2380";

    #[test]
    fn name_and_initial_cluster_alone_reach_nobody_and_it_is_said() {
        let warnings = warnings(&[("ETCD_NAME", "n1"), ("ETCD_INITIAL_CLUSTER", THREE)]);
        let wanted = [
            "write ETCD_LISTEN_PEER_URLS=http://0.0.0.0:2380",
            "write ETCD_LISTEN_CLIENT_URLS=http://0.0.0.0:2379",
            "write ETCD_ADVERTISE_CLIENT_URLS=http://n1:2379",
        ];
        assert_eq!(warnings.len(), wanted.len(), "{warnings:?}");
        for (warning, end) in warnings.iter().zip(wanted) {
            assert!(warning.ends_with(end), "{warning}");
            assert!(warning.contains("n2=http://n2:2380"), "{warning}");
        }
    }

    #[test]
    fn one_address_that_others_reach_is_enough() {
        let env = [
            ("ETCD_NAME", "n1"),
            ("ETCD_INITIAL_CLUSTER", THREE),
            (
                "ETCD_LISTEN_PEER_URLS",
                "http://127.0.0.1:2380,http://10.0.0.1:2380",
            ),
            (
                "ETCD_LISTEN_CLIENT_URLS",
                "http://[::1]:2379,http://[::]:2379",
            ),
            ("ETCD_ADVERTISE_CLIENT_URLS", "http://n1:2379"),
        ];
        assert_eq!(warnings(&env), Vec::<String>::new());
    }

    #[test]
    fn members_of_one_host_may_keep_to_it() {
        let initial = "n1=http://localhost:2380,n2=http://127.0.0.1:3380,n3=http://[::1]:4380";
        let env = [("ETCD_NAME", "n1"), ("ETCD_INITIAL_CLUSTER", initial)];
        assert_eq!(warnings(&env), Vec::<String>::new());
        assert_eq!(warnings(&[]), Vec::<String>::new(), "nobody else is there");
    }

    #[test]
    fn whoever_listens_beyond_loopback_may_be_called() {
        for (listens, wide) in [
            ("http://localhost:2380", false),
            ("http://127.8.0.1:2380,http://[::1]:2380", false),
            ("unix://n1:2380", false),
            ("http://0.0.0.0:2380", true),
            ("http://localhost:2380,http://[::]:2380", true),
        ] {
            let env = [("ETCD_LISTEN_PEER_URLS".into(), listens.into())];
            let config = Config::read(env, &[], &Overrides::default()).unwrap();
            assert_eq!(config.policy.listens_wide, wide, "{listens}");
        }
    }
}
