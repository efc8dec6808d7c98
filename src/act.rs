//! Performs one [`Step`]. There is no plan and no undo: after one step we look again.

mod restore;
mod store;

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use crate::config::Config;
use crate::datadir::Volume;
use crate::decide::{DataDir, HELD_BY, Observation, Step, Wants, add_as};
use crate::error::Error;
use crate::first::{QUESTION, first};
use crate::gateway::{Client, Failure};
use crate::membership::{ClusterId, Member, MemberId};
use crate::observe::promise_note;
use crate::signals::{Ended, Stop};
use crate::store::new_nonce;

/// An add may take this long; after that its outcome is unknown, and one that was done after all has to be undone.
const ADD_TIME: Duration = Duration::from_secs(8);
/// A remove or an update may take this long before it is sent again: done twice it is done, since no ID is used
/// again (etcd `api/membership/cluster.go`, `ValidateConfigurationChange`).
///
/// Where two members change the list at once, the leader may drop the second change without a word, and nobody ever
/// answers (etcd `raft/raft.go`, `stepLeader`: "ignoring conf change, possible unapplied conf change"; of 14 pairs of
/// removes 3 hung with 3.4.23). One that is sent while the leader is being replaced has been seen to hang for 20 s.
const REPEAT_AFTER: Duration = Duration::from_secs(2);

/// Performs steps.
pub struct Actor<'a> {
    config: &'a Config,
    volume: &'a Volume,
    clients: &'a Client,
    stop: &'a Stop,
}

/// What came of a step.
#[derive(Debug)]
pub struct Done {
    /// In words.
    pub words: String,
    /// The ID that an add was answered with.
    pub added: Option<MemberId>,
    /// How many bytes of the disk it has set aside.
    pub set_aside: u64,
}

/// Why a step was not done. Whatever the answer was, the next look tells what became of it.
#[derive(Debug)]
pub enum Undone {
    /// This signal asked us to stop; what was sent may still be applied.
    Stopped(i32),
    /// The cluster said nothing, or nothing clear: look again, then perhaps try again.
    Cluster(String),
    /// The cluster said a clear no: nothing will come of what was asked for. Look again, then perhaps try again.
    NotNow(String),
    /// The cluster refuses us: who we are, not what we ask for.
    Refused(String),
    /// The list has changed since the look.
    Changed,
    /// Our own disk: surroundings.
    Failed(Error),
}

impl fmt::Display for Undone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Undone::Stopped(signal) => write!(f, "stopped by signal {signal}"),
            Undone::Cluster(words) | Undone::NotNow(words) | Undone::Refused(words) => {
                f.write_str(words)
            }
            Undone::Changed => f.write_str("the list of members has changed"),
            Undone::Failed(error) => error.fmt(f),
        }
    }
}

impl<'a> Actor<'a> {
    /// Ready to act.
    pub fn new(
        config: &'a Config,
        volume: &'a Volume,
        clients: &'a Client,
        stop: &'a Stop,
    ) -> Self {
        Actor {
            config,
            volume,
            clients,
            stop,
        }
    }

    /// Performs the step. `endpoints` are client URLs of other members, the one that proved a leader first; of a
    /// promotion all are asked.
    pub fn perform(
        &self,
        step: &Step,
        seen: &Observation,
        endpoints: &[String],
    ) -> Result<Done, Undone> {
        let words = match step {
            Step::AddMember { learner } => return self.add(*learner, seen, endpoints),
            Step::NoteJoin(id) => {
                let (id, learner) = (*id, is_learner(seen, *id));
                self.local(move |volume| note_join(volume, id, learner))
            }
            Step::SettleJoin(id) => {
                let id = *id;
                self.update(id, seen, endpoints)?;
                self.local(move |volume| note_join(volume, id, false))
            }
            Step::Promise => {
                // Where there is a store a promise is told from every other; given again it stays the same.
                let nonce = match (&seen.promise_nonce, &self.config.store) {
                    (None, Some(_)) => Some(new_nonce().map_err(Undone::Failed)?),
                    (known, _) => known.clone(),
                };
                let note = promise_note(self.config, nonce.as_ref());
                self.local(move |volume| {
                    volume.note_promise(&note)?;
                    Ok("promised to found only together with the others".into())
                })
            }
            Step::GiveUp => {
                let own = seen.data.clone();
                self.local(move |volume| give_up(volume, &own))
            }
            Step::Quarantine => return self.quarantine(),
            Step::SetAsideLeftovers => {
                self.local(|volume| said(volume.set_aside_leftovers(SystemTime::now())))
            }
            Step::DeleteSetAside { keep } => {
                let keep = *keep;
                self.local(move |volume| {
                    Ok(format!(
                        "deleted {}",
                        volume.delete_set_aside(keep)?.join(", ")
                    ))
                })
            }
            Step::RemoveMember(id) => self.remove(*id, seen, endpoints),
            Step::PromoteMember(id) => self.promote(*id, endpoints),
            Step::ForgetLearner => {
                self.forget_learner(endpoints)?;
                Ok("took away the note of a learner".into())
            }
            Step::NoteLeft => {
                let scaled = self.config.policy.if_scaled_down;
                self.local(move |volume| {
                    volume.note_left(scaled)?;
                    Ok("noted that this member left".into())
                })
            }
            Step::ForgetLeft => self.local(|volume| {
                volume.forget_left()?;
                Ok("took back the note that this member left".into())
            }),
            Step::MoveLeadership(to) => self.move_leadership(*to),
            Step::UpdatePeerUrls(id) => self.update(*id, seen, endpoints),
            Step::Store(step) => self.store_step(step, seen),
        };
        words.map(|words| Done {
            words,
            added: None,
            set_aside: 0,
        })
    }

    fn quarantine(&self) -> Result<Done, Undone> {
        self.local(|volume| {
            let moved = volume.quarantine(SystemTime::now())?;
            // How much that was is for the log alone.
            let all = volume.quarantined().unwrap_or_default();
            let moved_now = all.iter().find(|aside| Some(&aside.path) == moved.as_ref());
            Ok(Done {
                set_aside: moved_now.map_or(0, |aside| aside.bytes),
                words: said(Ok(moved))?,
                added: None,
            })
        })
    }

    /// Works on the volume in a thread of its own: a slow disk must not delay a stop, and every step can
    /// be killed at any instruction.
    fn local<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Volume) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Undone> {
        let volume = self.volume.clone();
        match self.stop.wait_for(move || work(&volume)) {
            Ok(done) => done.map_err(Undone::Failed),
            Err(Ended::Stopped(signal)) => Err(Undone::Stopped(signal)),
            Err(Ended::Closed | Ended::Deadline) => Err(Undone::Failed(Error::new(
                "the step ended without an answer",
            ))),
        }
    }

    fn remove(
        &self,
        id: MemberId,
        seen: &Observation,
        endpoints: &[String],
    ) -> Result<String, Undone> {
        let (url, cluster) = (endpoint(endpoints)?, cluster(seen));
        // Who leaves may be asked to remove itself: it runs, and nobody else may be reached from here.
        let never = match self.config.policy.wants {
            Wants::Start | Wants::Vote => Some(id),
            Wants::Leave => None,
        };
        let removed = self.change(REPEAT_AFTER, move |clients, deadline| {
            if members_still(clients, &url, cluster, never, deadline)?.is_none() {
                return Ok(None);
            }
            match clients.member_remove(&url, id, deadline) {
                // One that was sent before has been done.
                Err(failure) if failure.is_member_not_found() => Ok(Some(())),
                removed => removed.map(Some),
            }
        })?;
        removed.ok_or(Undone::Changed)?;
        Ok(format!("removed member {id}"))
    }

    /// Lists again right before the add: another rejoin may have come first. So may a pre-stop: who has noted that
    /// this member left looks for what was added, and does not find what comes later.
    fn add(&self, learner: bool, seen: &Observation, endpoints: &[String]) -> Result<Done, Undone> {
        let (url, urls) = (endpoint(endpoints)?, self.config.policy.peer_urls.clone());
        self.local(move |volume| {
            volume.before_join(learner)?;
            Ok(())
        })?;
        let (policy, cluster) = (self.config.policy.clone(), cluster(seen));
        let volume = self.volume.clone();
        let id = self.change(2 * ADD_TIME, move |clients, _| {
            let deadline = Instant::now() + ADD_TIME;
            let now = members_still(clients, &url, cluster, None, deadline)?;
            if now.and_then(|members| add_as(&policy, &members)) != Some(learner) {
                return Ok(None);
            }
            if volume.has_left() {
                return Ok(None);
            }
            let deadline = Instant::now() + ADD_TIME;
            clients.member_add(&url, &urls, learner, deadline).map(Some)
        })?;
        let id = id.ok_or(Undone::Changed)?;
        let kind = if learner { "learner" } else { "voter" };
        Ok(Done {
            words: format!("added ourselves as {kind} {id}"),
            added: Some(id),
            set_aside: 0,
        })
    }

    /// Asks our own etcd, which leads.
    fn move_leadership(&self, to: MemberId) -> Result<String, Undone> {
        let urls = self.config.own_client_urls();
        self.change(REPEAT_AFTER, move |clients, deadline| {
            let mut moved = Err(Failure::Unreachable {
                endpoint: "ETCD_LISTEN_CLIENT_URLS".into(),
                why: "names no URL".into(),
                timed_out: false,
            });
            for url in urls {
                moved = clients.move_leader(&url, to, deadline);
                if moved.is_ok() {
                    break;
                }
            }
            moved
        })?;
        Ok(format!("member {to} leads now"))
    }

    fn update(
        &self,
        id: MemberId,
        seen: &Observation,
        endpoints: &[String],
    ) -> Result<String, Undone> {
        let (url, urls) = (endpoint(endpoints)?, self.config.policy.peer_urls.clone());
        let (shown, cluster) = (urls.join(","), cluster(seen));
        let updated = self.change(REPEAT_AFTER, move |clients, deadline| {
            if members_still(clients, &url, cluster, Some(id), deadline)?.is_none() {
                return Ok(None);
            }
            clients.member_update(&url, id, &urls, deadline).map(Some)
        })?;
        updated.ok_or(Undone::Changed)?;
        Ok(format!("member {id} has peer URLs {shown}"))
    }

    /// A second voter has caught up: clients that a restore holds are held no longer. The note goes after that: a kill
    /// in between lets the next start do it again.
    fn forget_learner(&self, voters: &[String]) -> Result<(), Undone> {
        let mut held = "nobody can be asked".to_string();
        let disarmed = voters.iter().any(|url| {
            let deadline = Instant::now() + QUESTION;
            let disarmed = self.clients.disarm(url, HELD_BY, "CORRUPT", deadline);
            disarmed
                .map_err(|failure| held = failure.to_string())
                .is_ok()
        });
        // Without a store there was a restore only where this member alone does not know it: a try is enough.
        if !disarmed && self.config.store.is_some() {
            let words = format!("it is a voter, and its clients may still be held: {held}");
            return Err(Undone::Cluster(words));
        }
        self.volume.forget_learner().map_err(Undone::Failed)
    }

    /// Asks the voters to promote us, each of them once. Its note is of no use after that.
    fn promote(&self, id: MemberId, voters: &[String]) -> Result<String, Undone> {
        if voters.is_empty() {
            return Err(Undone::Cluster(
                "no voter has published a client URL: ETCD_OTHER_PEERS_CLIENT_URLS names one"
                    .into(),
            ));
        }
        let questions = voters.iter().cloned().map(|url| {
            let clients = self.clients.clone();
            move |deadline| {
                let promoted = clients.member_promote(&url, id, deadline);
                promoted.map(|()| url)
            }
        });
        let (mut behind, mut other) = (Vec::new(), Vec::new());
        let promoted = first(questions, |answer| {
            let failure = match answer {
                Ok(url) => return Some(Some(url)),
                Err(failure) if failure.is_not_learner() => return Some(None),
                Err(failure) => failure,
            };
            match failure.is_not_in_sync() {
                true => behind.push(failure.to_string()),
                false => other.push(failure.to_string()),
            }
            None
        });
        if let Some(at) = promoted {
            let mut voters = voters.to_vec();
            at.into_iter().for_each(|url| voters.insert(0, url));
            self.forget_learner(&voters)?;
            return Ok("caught up, promoted to voter".into());
        }
        // In the order in which they failed the same words would be news each time.
        other.sort_unstable();
        Err(match other.is_empty() {
            true => Undone::NotNow(behind.join("; ")),
            false => Undone::Cluster(other.join("; ")),
        })
    }

    /// Sends a change from a thread of its own: a stop must not wait for the answer.
    fn change<T: Send + 'static>(
        &self,
        within: Duration,
        send: impl FnOnce(&Client, Instant) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Undone> {
        let deadline = Instant::now() + within;
        let clients = self.clients.clone();
        let answer = deadline + Duration::from_millis(500);
        match (self.stop).wait_until(answer, move || send(&clients, deadline)) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(failure @ Failure::Refused(_))) => Err(Undone::Refused(failure.to_string())),
            Ok(Err(failure)) if failure.is_bad_url() => Err(Undone::Refused(failure.to_string())),
            Ok(Err(failure)) if failure.is_clear_no() => Err(Undone::NotNow(failure.to_string())),
            Ok(Err(failure)) => Err(Undone::Cluster(failure.to_string())),
            Err(Ended::Stopped(signal)) => Err(Undone::Stopped(signal)),
            Err(Ended::Deadline) => Err(Undone::Cluster(
                "no answer in time: it may still be applied".into(),
            )),
            Err(Ended::Closed) => Err(Undone::Failed(Error::new("nothing could be sent"))),
        }
    }
}

fn endpoint(endpoints: &[String]) -> Result<String, Undone> {
    let none = || Undone::Cluster("no client URL of another member is known".into());
    endpoints.first().cloned().ok_or_else(none)
}

/// The cluster that has proven a leader.
fn cluster(seen: &Observation) -> Option<ClusterId> {
    seen.quorate.as_ref().map(|quorate| quorate.cluster)
}

/// The members, if this URL still leads to the cluster of the look, and not to `own` member of ours.
///
/// Behind a balancer another one may answer the second time: one of another cluster, or the very member that is to
/// go, a process of ours that nobody has noticed.
fn members_still(
    clients: &Client,
    url: &str,
    cluster: Option<ClusterId>,
    own: Option<MemberId>,
    deadline: Instant,
) -> Result<Option<Vec<Member>>, Failure> {
    let (by, now) = clients.quorate_members_by(url, deadline)?;
    let still = Some(now.cluster) == cluster && Some(by) != own;
    Ok(still.then_some(now.members))
}

fn is_learner(seen: &Observation, id: MemberId) -> bool {
    let mut members = seen.quorate.iter().flat_map(|quorate| &quorate.members);
    members.any(|member| member.id == id && member.learner)
}

fn note_join(volume: &Volume, id: MemberId, learner: bool) -> Result<String, Error> {
    // The learner's note comes first: it is in nobody's way, and a join note alone starts etcd.
    if learner {
        volume.note_learner(id)?;
    }
    volume.note_join(id)?;
    Ok(format!("noted that {id} is ours and never ran"))
}

fn give_up(volume: &Volume, data: &DataDir) -> Result<String, Error> {
    match data {
        DataDir::Own(own) | DataDir::Damaged { head: Some(own) } => {
            volume.give_up(own.member)?;
            Ok(format!("member {} is never started again", own.member))
        }
        DataDir::Damaged { head: None } | DataDir::Empty => {
            Err(Error::new("there is no identity to give up"))
        }
    }
}

fn said(moved: Result<Option<std::path::PathBuf>, Error>) -> Result<String, Error> {
    Ok(match moved? {
        Some(path) => format!("moved to {}", path.display()),
        None => "nothing was left to move".into(),
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::access::TlsFiles;
    use crate::decide::Identity;

    #[test]
    fn damaged_data_is_given_up_by_the_id_that_still_reads() {
        let dir = tempfile::tempdir().unwrap();
        let volume = Volume::new(dir.path(), None);
        let head = Identity {
            member: MemberId(7),
            cluster: ClusterId(1),
        };
        give_up(&volume, &DataDir::Damaged { head: Some(head) }).unwrap();
        let note = std::fs::read_to_string(dir.path().join("member/rejoin-give-up"));
        assert_eq!(note.unwrap(), "7\n");
        assert!(give_up(&volume, &DataDir::Damaged { head: None }).is_err());
    }

    /// Head and body may come one after the other.
    fn read_request(stream: &mut TcpStream) {
        let (mut asked, mut part) = (Vec::new(), [0; 4096]);
        while !asked.ends_with(b"}") {
            match stream.read(&mut part) {
                Ok(n @ 1..) => asked.extend_from_slice(&part[..n]),
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// A gateway: these answer in turn, as (member, cluster), each on a connection of its own.
    fn balancer(turns: &'static [(u64, u64)]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for (member, cluster) in turns {
                // The read, then the list.
                for list in [
                    "",
                    r#","members":[{"ID":"3","name":"n3","peerURLs":["http://n3:1"]}]"#,
                ] {
                    let (mut stream, _) = listener.accept().unwrap();
                    read_request(&mut stream);
                    let body = format!(
                        r#"{{"header":{{"cluster_id":"{cluster}","member_id":"{member}","raft_term":"1"}}{list}}}"#
                    );
                    let length = body.len();
                    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length:";
                    let _ = stream.write_all(format!("{head} {length}\r\n\r\n{body}").as_bytes());
                }
            }
        });
        url
    }

    #[test]
    fn a_change_goes_to_the_cluster_of_the_look_and_never_to_our_own_member() {
        let clients = Client::new(&TlsFiles::default(), None).unwrap();
        let url = balancer(&[(1, 7), (1, 8), (3, 7)]);
        let own = Some(MemberId(3));
        let ask = || {
            let deadline = Instant::now() + ADD_TIME;
            let members = members_still(&clients, &url, Some(ClusterId(7)), own, deadline);
            members.unwrap().map(|members| members.len())
        };
        assert_eq!(ask(), Some(1), "another member of the same cluster");
        assert_eq!(ask(), None, "another cluster");
        assert_eq!(ask(), None, "our own member");
    }
}
