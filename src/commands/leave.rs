//! Leaving on purpose: said explicitly, and final until said otherwise.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::watch::own_client_urls;
use super::{Exit, print};
use crate::config::Config;
use crate::datadir::{Depth, Finding, Volume};
use crate::error::Error;
use crate::gateway::{Client, Failure};
use crate::membership::{MemberId, quorum};

const CHANGE_TIME: Duration = Duration::from_secs(8);

/// Removes this member from its cluster, and notes that it shall not come back by itself.
pub fn leave(config: Config) -> Exit {
    let config = Arc::new(config);
    let volume = Volume::new(&config.data_dir, config.wal_dir.as_deref());
    match try_leave(&config, &volume) {
        Ok(id) => print(&format!(
            "member {id} has left; `etcd-rejoin leave --undo` lets it join again\n"
        )),
        Err(error) => {
            eprintln!("etcd-rejoin: {error}");
            Exit::FAILED
        }
    }
}

/// Takes it back: from the next start on this member joins again.
pub fn undo(config: &Config) -> Exit {
    let volume = Volume::new(&config.data_dir, config.wal_dir.as_deref());
    match volume.forget_left() {
        Ok(()) => print("this member may join again: it does at its next start\n"),
        Err(error) => {
            eprintln!("etcd-rejoin: {error}");
            Exit::FAILED
        }
    }
}

fn try_leave(config: &Config, volume: &Volume) -> Result<MemberId, Error> {
    let contents = volume.inspect(Depth::Quick)?;
    let identity = match contents.finding {
        Finding::Own { identity, .. } => identity,
        Finding::Damaged {
            head: Some(head), ..
        } => head,
        Finding::Damaged { head: None, .. } | Finding::Empty => {
            let path = config.data_dir.display();
            return Err(Error::new(format!(
                "{path} has no data that says which member this is"
            )));
        }
    };
    let clients = Client::new(&config.client_tls, config.credentials.clone())?;
    let peers = Client::new(&config.peer_client_tls, None)?;
    let mut urls = config.other_client_urls.clone();
    for (_, peer_urls) in config.other_members() {
        for url in peer_urls {
            let view = peers.peer_members(url, Instant::now() + config.timeout);
            for member in view.into_iter().flat_map(|view| view.members) {
                if member.id != identity.member {
                    urls.extend(member.client_urls);
                }
            }
        }
    }
    urls.extend(own_client_urls(config));
    let mut why = String::from("no member answers");
    // A remove that got no clear no may be applied later: then the note must stay.
    let mut unsure = contents.left;
    for url in urls {
        let quorate = match clients.quorate_members(&url, Instant::now() + config.timeout) {
            Ok(quorate) => quorate,
            Err(failure) => {
                why = failure.to_string();
                continue;
            }
        };
        // etcd checks this too, unless it runs with `--strict-reconfig-check=false`.
        let others = (quorate.members.iter())
            .filter(|member| member.id != identity.member && !member.learner);
        let started = others.clone().filter(|member| member.started()).count();
        if started < quorum(others.count()) {
            return Err(Error::new(
                "the others would have no quorum without this member",
            ));
        }
        // First the note: a member that is removed and not noted would come back by itself.
        volume.note_left()?;
        match clients.member_remove(&url, identity.member, Instant::now() + CHANGE_TIME) {
            Ok(()) => return Ok(identity.member),
            Err(failure) if failure.is_member_not_found() => return Ok(identity.member),
            Err(failure) => {
                // "Unavailable" and "deadline exceeded" say nothing about what was proposed before.
                let no = match &failure {
                    Failure::Refused(_) => true,
                    Failure::Rejected { code, .. } => ![4, 14].contains(code),
                    _ => false,
                };
                unsure |= !no && !failure.is_unhealthy_cluster();
                why = failure.to_string();
            }
        }
        if !unsure {
            // Still a member: without this it would not start again.
            volume.forget_left()?;
        }
    }
    Err(Error::new(format!("cannot leave the cluster: {why}")))
}
