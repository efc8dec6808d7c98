//! Single questions to other members, each within a deadline.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Observer;
use crate::assembly;
use crate::decide::{Heard, Quorate, SaidOfStore};
use crate::gateway::Failure;
use crate::membership::{ClusterId, MemberId};

/// How a peer answered.
pub(super) struct Answered {
    pub(super) heard: Heard,
    /// What it says of the store, as an entrypoint.
    pub(super) said: Option<SaidOfStore>,
}

impl From<Heard> for Answered {
    fn from(heard: Heard) -> Answered {
        Answered { heard, said: None }
    }
}

/// Asks one peer URL: etcd's own `/members`, else our assembly.
pub(super) fn hear(observer: &Observer, name: &str, url: &str, deadline: Instant) -> Answered {
    let config = &observer.config;
    let heard = match observer.peers.peer_members(url, deadline) {
        Ok(view) => Heard::Etcd {
            cluster: view.cluster,
            members: view.members,
        },
        Err(Failure::NotEtcd {
            status: Some(404), ..
        }) => match observer.peers.get(&assembly_url(url), deadline) {
            Ok((200, body)) => {
                let (heard, said) = assembly::heard(config, name, &body);
                return Answered { heard, said };
            }
            Ok((status, _)) => Heard::Nonsense(format!("HTTP status {status}")),
            Err(failure) => silent_or_refused(failure),
        },
        Err(failure) => silent_or_refused(failure),
    };
    heard.into()
}

/// Learns whether the lists of this cluster are linearizable: one more question on the same connection saves
/// a round of Raft for each proof of a leader.
pub(super) fn learn_version(observer: &Observer, url: &str, cluster: ClusterId, deadline: Instant) {
    if let Ok(true) = observer.peers.lists_are_linearizable(url, deadline) {
        observer.clients.trust_lists_of(cluster);
    }
}

/// Asks a member for the proof of a leader, and then, for a volume with data, how far it has come.
///
/// While no leader was found it is asked first whether it has one: a linearizable read that fails for want of a leader can crash etcd 3.4 before 3.4.30 (a nil logger in
/// `sendReadIndex`, seen with 3.4.23), and looks that repeat must not cost a member.
pub(super) fn prove(
    observer: &Observer,
    url: &str,
    deadline: Instant,
) -> Result<(MemberId, Quorate), Failure> {
    let clients = &observer.clients;
    if observer.leaderless.load(Ordering::Relaxed) {
        match clients.status(url, deadline) {
            Ok(status) if status.leader.is_none() => {
                return Err(Failure::Rejected {
                    code: 14,
                    message: "etcdserver: no leader".into(),
                    endpoint: url.to_string(),
                });
            }
            Err(failure @ Failure::Unreachable { .. }) => return Err(failure),
            // A status may be refused where a read is not, and the other way round: the read decides.
            Ok(_) | Err(_) => {}
        }
    }
    let (prover, mut quorate) = clients.quorate_members_by(url, deadline)?;
    if observer.holds_data.load(Ordering::Relaxed) {
        let (reached, leader) = clients.reached(url, prover, deadline)?;
        (quorate.reached, quorate.leader) = (Some(reached), leader);
    }
    Ok((prover, quorate))
}

/// Whether it is another process of our name that answers as an entrypoint at our own peer URL; none if
/// no entrypoint answers there.
pub(super) fn is_another(observer: &Observer, url: &str, deadline: Instant) -> Option<bool> {
    match observer.peers.get(&assembly_url(url), deadline) {
        Ok((200, body)) => Some(assembly::is_another(
            &observer.config,
            &observer.instance,
            &body,
        )),
        Ok(_) | Err(_) => None,
    }
}

pub(super) fn assembly_url(peer_url: &str) -> String {
    format!("{}{}", peer_url.trim_end_matches('/'), assembly::PATH)
}

fn silent_or_refused(failure: Failure) -> Heard {
    let words = failure.to_string();
    match failure {
        Failure::Unreachable { .. } => Heard::Silent(words),
        Failure::Refused(_) => Heard::Refused(words),
        Failure::Rejected { .. } | Failure::GatewayOff(_) | Failure::NotEtcd { .. } => {
            Heard::Nonsense(words)
        }
    }
}

/// What is known of a member before any of its URLs has answered or failed.
pub(super) const NO_ANSWER: &str = "no answer in time";

/// Of several URLs of one member the most telling answer counts. Of two failures it is the one that sorts
/// first, whichever came first: what a wait says is not to change from look to look.
pub(super) fn tells_more(heard: &Heard, known: &Heard) -> bool {
    match (words(heard), words(known)) {
        _ if rank(heard) != rank(known) => rank(heard) > rank(known),
        (Some(words), Some(known)) => known == NO_ANSWER || words < known,
        (Some(_), None) | (None, _) => true,
    }
}

/// The words of a failure.
fn words(heard: &Heard) -> Option<&str> {
    match heard {
        Heard::Refused(words) | Heard::Nonsense(words) | Heard::Silent(words) => Some(words),
        Heard::Etcd { .. } | Heard::Entrypoint { .. } => None,
    }
}

fn rank(heard: &Heard) -> u8 {
    match heard {
        Heard::Etcd { .. } => 4,
        Heard::Entrypoint { .. } => 3,
        Heard::Refused(_) => 2,
        Heard::Nonsense(_) => 1,
        Heard::Silent(_) => 0,
    }
}

/// Asks whoever is at this address of our headless service, under whatever name. An etcd that lists none of our set's
/// URLs is another cluster, which is not joined. None where it is ourselves.
pub(super) fn hear_stranger(
    observer: &Observer,
    domain: &str,
    url: &str,
    deadline: Instant,
) -> Option<Heard> {
    let ours = format!(".{domain}:");
    let failure = match observer.peers.peer_members(url, deadline) {
        Ok(view) => {
            let mut urls = view.members.iter().flat_map(|member| &member.peer_urls);
            return Some(match urls.any(|url| url.contains(&ours)) {
                true => Heard::Etcd {
                    cluster: view.cluster,
                    members: view.members,
                },
                false => Heard::Nonsense("it is an etcd of another cluster".into()),
            });
        }
        Err(failure) => failure,
    };
    match observer.peers.get(&assembly_url(url), deadline) {
        Ok((200, body)) => {
            let name = assembly::name(&body).unwrap_or_default();
            let config = &observer.config;
            (name != config.policy.name).then(|| assembly::heard(config, &name, &body).0)
        }
        Ok(_) | Err(_) => Some(Heard::Silent(failure.to_string())),
    }
}
