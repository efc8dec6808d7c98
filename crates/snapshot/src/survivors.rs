//! Who holds what, where the majority is lost: every member that is known is asked at its peer URLs, by its entrypoint's
//! answer or etcd's own. Decides nothing.

use std::time::Duration;

use futures_util::future::join_all;
use rustls::ClientConfig;
use serde::Serialize;

use crate::http::get;
use crate::layout::{Manifest, RecordedMember};
use crate::says::EntrypointSays;

/// How long one question may take.
const ANSWER: Duration = Duration::from_secs(5);
/// No answer is larger.
const MOST: usize = 1 << 20;

/// A member that is known, and what it holds.
#[derive(Clone, Debug, Serialize)]
pub struct KnownMember {
    /// Its name; its URL where nothing else is known.
    pub name: String,
    /// Where it was asked.
    pub peer_urls: Vec<String>,
    /// What it answered.
    pub holds: MemberHolds,
}

/// What a member holds, by its own account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberHolds {
    /// Its entrypoint answers.
    Entrypoint(EntrypointSays),
    /// Its etcd runs.
    Runs(RunningSays),
    /// Nobody answers, or in words that do not read; why.
    Silent(String),
}

/// What an etcd says that runs. Before its first quorum it says no more than its cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunningSays {
    /// Of which cluster.
    pub cluster: String,
    /// Its term.
    pub term: Option<u64>,
    /// The index up to which it knows the entries to be committed.
    pub commit: Option<u64>,
}

/// The members that are known: those of the initial cluster, of the newest manifest, the recorded ones, and these URLs.
/// Each is known once, by its URL.
pub fn known(
    initial: &[(String, String)],
    newest: Option<&Manifest>,
    recorded: &[RecordedMember],
    urls: &[String],
) -> Vec<(String, Vec<String>)> {
    let mut known: Vec<(String, Vec<String>)> = Vec::new();
    let mut add = |name: &str, urls: &[String]| {
        if let Some((_, found)) = known.iter_mut().find(|(of, _)| of == name) {
            let new = urls.iter().filter(|url| !found.contains(url)).cloned();
            let new: Vec<_> = new.collect();
            found.extend(new);
        } else if !(known.iter()).any(|(_, found)| urls.iter().any(|url| found.contains(url))) {
            known.push((name.into(), urls.to_vec()));
        }
    };
    for (name, url) in initial {
        add(name, std::slice::from_ref(url));
    }
    for member in newest.iter().flat_map(|newest| &newest.members) {
        add(&member.name, &member.peer_urls);
    }
    for member in recorded {
        add(&member.name, &member.peer_urls);
    }
    for url in urls {
        let url = url.trim_end_matches('/').to_string();
        add(&url, std::slice::from_ref(&url));
    }
    known
}

/// Asks all of them at once.
pub async fn asked(tls: &ClientConfig, known: Vec<(String, Vec<String>)>) -> Vec<KnownMember> {
    join_all(known.into_iter().map(|(name, peer_urls)| async move {
        let mut silent = Vec::new();
        for url in &peer_urls {
            match ask(tls, url).await {
                Ok(MemberHolds::Entrypoint(says)) => {
                    let name = match name.contains("://") {
                        true => says.name.clone(),
                        false => name,
                    };
                    let another = says.name != name;
                    let words = format!("{} answers there", says.name);
                    let holds = match another {
                        true => MemberHolds::Silent(words),
                        false => MemberHolds::Entrypoint(says),
                    };
                    return KnownMember {
                        name,
                        peer_urls,
                        holds,
                    };
                }
                Ok(holds) => {
                    return KnownMember {
                        name,
                        peer_urls,
                        holds,
                    };
                }
                Err(why) => silent.push(why),
            }
        }
        let holds = MemberHolds::Silent(silent.join("; "));
        KnownMember {
            name,
            peer_urls,
            holds,
        }
    }))
    .await
}

async fn ask(tls: &ClientConfig, url: &str) -> Result<MemberHolds, String> {
    let said = get(tls, &format!("{url}/etcd-rejoin/assembly"), ANSWER, MOST).await?;
    if said.status == 200 {
        return EntrypointSays::read(&said.body).map(MemberHolds::Entrypoint);
    }
    let members = get(tls, &format!("{url}/members"), ANSWER, MOST).await?;
    let cluster = members.headers.get("X-Etcd-Cluster-Id");
    let cluster = cluster.and_then(|id| id.to_str().ok());
    match (members.status, cluster) {
        (200, Some(cluster)) => Ok(MemberHolds::Runs(RunningSays {
            cluster: cluster.into(),
            term: None,
            commit: None,
        })),
        (status, _) => Err(format!("it answers with HTTP {status}")),
    }
}
