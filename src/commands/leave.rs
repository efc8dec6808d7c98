//! Leaving on purpose: said explicitly, and final until said otherwise.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Exit, must_exist, print};
use crate::config::Config;
use crate::datadir::{Depth, Finding, Volume};
use crate::decide::{Identity, Reason, may_leave};
use crate::error::Error;
use crate::gateway::{Client, Failure};
use crate::membership::{Member, MemberId};

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
    if let Err(exit) = must_exist(config) {
        return exit;
    }
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
    if let Some(misplaced) = contents.misplaced {
        return Err(Error::new(misplaced.to_string()));
    }
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
    urls.extend(config.own_client_urls());
    match ask(
        [&clients, &peers],
        urls,
        identity,
        volume,
        contents.left,
        config,
    ) {
        Ok(()) => Ok(identity.member),
        Err(NotLeft { why, noted: false }) => Err(Error::new(why)),
        Err(NotLeft { why, noted: true }) => Err(Error::new(format!(
            "{why}; it may be removed all the same, so it stays noted that it left: its next start \
             refuses (reason={}); run `etcd-rejoin leave` again, or `etcd-rejoin leave --undo` to stay",
            Reason::Left
        ))),
    }
}

/// Why the member has not left, as far as is known.
struct NotLeft {
    why: String,
    /// The note that it left stays.
    noted: bool,
}

/// Asks one gateway after the other to remove us, until one of our own cluster has done it.
///
/// `noted` is whether an earlier attempt has left its note.
fn ask(
    [clients, peers]: [&Client; 2],
    urls: Vec<String>,
    own: Identity,
    volume: &Volume,
    noted: bool,
    config: &Config,
) -> Result<(), NotLeft> {
    let mut why = format!("no member of cluster {} answers", own.cluster);
    // A remove that got no clear no may be applied later: then the note must stay.
    let mut unsure = noted;
    let mut asked = false;
    for url in urls {
        let quorate = match clients.quorate_members(&url, Instant::now() + config.timeout) {
            Ok(quorate) => quorate,
            // What became of a remove says more than who did not answer after it.
            Err(_) if asked => continue,
            Err(failure) => {
                why = failure.to_string();
                continue;
            }
        };
        // "Member not found" is a success only where the member was: another cluster says so of every ID.
        if quorate.cluster != own.cluster {
            let other = format!(
                "{url} leads to cluster {}, this member is of cluster {}",
                quorate.cluster, own.cluster
            );
            eprintln!("etcd-rejoin: {other}: nothing is asked there");
            if !asked {
                why = other;
            }
            continue;
        }
        let answers = |others: &[&Member]| answering(peers, others, config.timeout);
        may_leave(&config.policy, own.member, &quorate.members, answers)
            .map_err(|why| NotLeft { why, noted: unsure })?;
        // First the note: a member that is removed and not noted would come back by itself.
        volume.note_left().map_err(|error| NotLeft {
            why: error.to_string(),
            noted: unsure,
        })?;
        match clients.member_remove(&url, own.member, Instant::now() + CHANGE_TIME) {
            Ok(()) => return Ok(()),
            Err(failure) if failure.is_member_not_found() => return Ok(()),
            Err(failure) => {
                // "Unavailable" and "deadline exceeded" say nothing about what was proposed before.
                let no = match &failure {
                    Failure::Refused(_) => true,
                    Failure::Rejected { code, .. } => ![4, 14].contains(code),
                    _ => false,
                };
                unsure |= !no && !failure.is_unhealthy_cluster();
                why = failure.to_string();
                asked = true;
            }
        }
        if !unsure {
            // Still a member: without this it would not start again.
            volume.forget_left().map_err(|error| NotLeft {
                why: error.to_string(),
                noted: true,
            })?;
        }
    }
    Err(NotLeft {
        why: format!("cannot leave the cluster: {why}"),
        noted: unsure,
    })
}

/// How many of them answer as etcd at one of their peer URLs: all are asked at once.
fn answering(peers: &Client, members: &[&Member], timeout: Duration) -> usize {
    let deadline = Instant::now() + timeout;
    let answers = |member: &Member| {
        let mut urls = member.peer_urls.iter();
        urls.any(|url| peers.peer_members(url, deadline).is_ok())
    };
    std::thread::scope(|scope| {
        let asked: Vec<_> = (members.iter())
            .map(|member| scope.spawn(|| answers(member)))
            .collect();
        let answered = asked.into_iter().map(|asked| asked.join().unwrap_or(false));
        answered.filter(|answers| *answers).count()
    })
}
