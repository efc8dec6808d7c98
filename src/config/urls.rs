//! URLs and the initial cluster: whether etcd takes them, and how it reads them.

use std::net::IpAddr;

use super::parse::Checker;
use crate::decide::JoinsOnly;
use crate::membership::{InitialCluster, check_url, read_url, same_url};
use crate::text::shorten;

impl Checker {
    /// Each URL once, as etcd from 3.5 on reads its variables and flags.
    ///
    /// Source: etcd `pkg/flags/unique_urls.go`, `Set`.
    pub fn urls(&mut self, variable: &str, value: &str) -> Vec<String> {
        self.checked_urls(variable, value, check_url)
    }

    fn checked_urls(
        &mut self,
        variable: &str,
        value: &str,
        check: fn(&str) -> Result<(), String>,
    ) -> Vec<String> {
        let (mut urls, mut repeats) = (Vec::new(), false);
        if value.trim().is_empty() {
            return urls;
        }
        for url in value.split(',').map(str::trim).map(read_url) {
            let checked = match url.is_empty() {
                true => Err("it names an empty URL, which etcd does not take".into()),
                false => check(&url),
            };
            match checked {
                Ok(()) if urls.iter().any(|known| same_url(known, &url)) => repeats = true,
                Ok(()) => urls.push(url),
                Err(why) => self.mistake(variable, value, &format!("is wrong: {}", shorten(&why))),
            }
        }
        if repeats {
            self.restated.push((variable.into(), urls.join(",")));
        }
        urls
    }

    /// etcd binds addresses, not names; with a name it ends right after we have changed the membership.
    ///
    /// Source: etcd `server/embed/config.go`, `checkBindURLs`.
    pub fn listen_urls(
        &mut self,
        variable: &str,
        value: Option<&str>,
        default: &str,
    ) -> Vec<String> {
        let urls = self.checked_urls(variable, value.unwrap_or(default), check_listen_url);
        for url in &urls {
            let authority = url.split_once("://").map_or("", |(_, rest)| rest);
            let host = authority.rsplit_once(':').map_or("", |(host, _)| host);
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            if host != "localhost" && bare.parse::<IpAddr>().is_err() && !url.starts_with("unix") {
                let why = "has a name where etcd takes only an IP address to listen on: write http://0.0.0.0:PORT";
                self.mistake(variable, url, why);
            }
        }
        urls
    }

    pub fn initial_cluster(&mut self, variable: &str, value: &str) -> Option<InitialCluster> {
        match InitialCluster::parse(value) {
            Ok(cluster) => {
                let parts = || value.split(',').filter(|part| !part.is_empty());
                let blank = |part: &str| {
                    part.split_once('=')
                        .is_some_and(|(name, _)| name != name.trim())
                };
                let blanks = parts().any(blank);
                if blanks {
                    let named = self.named(variable);
                    self.warnings.push(format!(
                        "{named}={} has blanks around a name, which etcd would take for a part of it: it gets the name without them",
                        shorten(value)
                    ));
                }
                let urls = cluster.iter().map(|(_, urls)| urls.len()).sum::<usize>();
                if blanks || urls < parts().count() {
                    self.restated.push((variable.into(), cluster.to_string()));
                }
                Some(cluster)
            }
            Err(why) => {
                self.mistake(variable, value, &format!("is wrong: {}", shorten(&why)));
                None
            }
        }
    }

    /// Whether this initial cluster is none that we could found: then we can join, and no more.
    pub fn outside(
        &mut self,
        name: &str,
        peer_urls: &[String],
        initial: &InitialCluster,
    ) -> Option<JoinsOnly> {
        if let Some((url, [one, other])) = initial.shared_url() {
            let cluster = self.named("ETCD_INITIAL_CLUSTER");
            self.warnings.push(format!(
                "{cluster} gives {} and {} one peer URL, {}: one of them can never be heard, and nobody can found this cluster",
                shorten(one), shorten(other), shorten(url)
            ));
            return Some(JoinsOnly::SharedUrl);
        }
        let Some(ours) = initial.get(name) else {
            let (named, cluster) = (self.named("ETCD_NAME"), self.named("ETCD_INITIAL_CLUSTER"));
            self.warnings.push(format!(
                "{named}={} is not in {cluster}={}: this member can join a running cluster, not found one",
                shorten(name),
                shorten(&initial.to_string())
            ));
            return Some(JoinsOnly::Outside);
        };
        let same = ours.len() == peer_urls.len() && ours.iter().all(|url| peer_urls.contains(url));
        if !same {
            let cluster = self.named("ETCD_INITIAL_CLUSTER");
            let advertised = self.named("ETCD_INITIAL_ADVERTISE_PEER_URLS");
            self.warnings.push(format!(
                "{cluster} has {}={}, but {advertised}={}: this member can join a running cluster, not found one",
                shorten(name),
                shorten(&ours.join(",")),
                shorten(&peer_urls.join(","))
            ));
        }
        (!same).then_some(JoinsOnly::Outside)
    }
}

/// A unix socket may be a path, as from etcd 3.5 on.
///
/// Source: etcd `client/pkg/types/urls.go`, `NewURLs`.
fn check_listen_url(url: &str) -> Result<(), String> {
    match url.split_once("://") {
        Some(("unix" | "unixs", path))
            if path.starts_with('/') && !path.contains(char::is_whitespace) =>
        {
            Ok(())
        }
        _ => check_url(url),
    }
}

/// etcd's default initial cluster: ourselves alone.
pub fn alone(name: &str, peer_urls: &[String]) -> InitialCluster {
    let parts: Vec<String> = peer_urls
        .iter()
        .map(|url| format!("{name}={url}"))
        .collect();
    InitialCluster::parse(&parts.join(",")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_to_listen_at_may_be_a_path() {
        for good in ["unix:///run/etcd.sock", "unixs:///a", "unix://localhost:1"] {
            assert_eq!(check_listen_url(good), Ok(()), "{good}");
        }
        for bad in ["unix://", "unix://a b", "http:///run/x", "file:///run/x"] {
            assert!(check_listen_url(bad).is_err(), "{bad}");
        }
        assert!(check_url("unix:///run/etcd.sock").is_err());
    }

    #[test]
    fn a_password_in_a_url_is_not_shown() {
        let mut check = Checker::default();
        check.urls("ETCD_X", "http://a:1,http://root:geheim@b:2/");
        check.initial_cluster("ETCD_Y", "n1=http://root:ge/heim@b:2,n2=http://x:y@c:3");
        assert_eq!(check.mistakes.len(), 2);
        for mistake in &check.mistakes {
            assert!(
                mistake.contains("***@b:2") && !mistake.contains("heim"),
                "{mistake}"
            );
        }
    }

    #[test]
    fn a_url_that_is_given_twice_counts_once() {
        let mut check = Checker::default();
        let urls = check.urls("X", "http://a:1,http://b:1, http://A:1");
        assert_eq!(urls, ["http://a:1", "http://b:1"]);
        let cluster = check.initial_cluster("Y", "n1=http://a:1,n1=http://a:1");
        assert_eq!(cluster.unwrap().get("n1").unwrap(), ["http://a:1"]);
        let once = [("X", "http://a:1,http://b:1"), ("Y", "n1=http://a:1")];
        let once = once.map(|(variable, urls)| (variable.to_string(), urls.to_string()));
        assert_eq!(check.restated, once);
    }

    #[test]
    fn blanks_around_a_name_do_not_reach_etcd() {
        let mut check = Checker::default();
        check.initial_cluster("Y", "n1=http://a:1, n2=http://b:1");
        let without = "n1=http://a:1,n2=http://b:1";
        assert_eq!(check.restated, [("Y".to_string(), without.to_string())]);
        assert_eq!((check.mistakes.len(), check.warnings.len()), (0, 1));
    }

    #[test]
    fn etcd_listens_on_addresses_only() {
        let mut check = Checker::default();
        let urls = "HTTP://localhost:1,http://[::]:2,https://127.0.0.1:3,unix://a:4";
        assert_eq!(check.listen_urls("X", Some(urls), "").len(), 4);
        assert!(check.mistakes.is_empty(), "{:?}", check.mistakes);
        check.listen_urls("X", Some("http://n1:2380"), "");
        assert!(check.mistakes[0].starts_with("X=http://n1:2380 has a name"));
    }
}
