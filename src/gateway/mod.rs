//! The client of etcd's v3 JSON gateway and of the peer port: typed answers, typed failures.
//!
//! It asks one endpoint at a time, each call under its own deadline, and never retries on its own,
//! except for a token that etcd no longer knows. Who to ask, and what an answer means, is not its
//! business.

pub mod connect;
mod exchange;
mod failure;
mod reply;

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

pub use exchange::Client;
use exchange::{Exchange, Inner, SMALL, join, read};
pub use failure::Failure;
use reply::HttpReply;
pub use reply::{PeerView, SaidVersions, Status};

use crate::access::{Credentials, TlsFiles};
use crate::decide::{Progress, Quorate};
use crate::error::Error;
use crate::membership::{ClusterId, Member, MemberId};

/// The most that a list of members may be long.
const LIST: u64 = 8 << 20;
impl Client {
    /// Files that are named are read at once, so that a mistake in them shows before anything is done.
    pub fn new(tls: &TlsFiles, credentials: Option<Credentials>) -> Result<Client, Error> {
        Ok(Client(Arc::new(Inner::new(tls, credentials)?)))
    }

    /// Why no https URL can be asked: a key of a kind that is not known here. etcd may well know it.
    pub fn unfit(&self) -> Option<&str> {
        self.0.unfit.as_deref()
    }

    /// `GET {peer_url}/members`: the view of a member, which needs no quorum and no user.
    pub fn peer_members(&self, peer_url: &str, deadline: Instant) -> Result<PeerView, Failure> {
        let url = join(peer_url, "/members");
        let reply = self.send(&Exchange::get(&url, LIST, deadline))?;
        match reply.status {
            200 => read(peer_url, reply::peer_members(&reply)),
            _ => Err(Failure::of_reply(peer_url, &reply)),
        }
    }

    /// `GET {url}` of any other small resource: its status and its body.
    pub fn get(&self, url: &str, deadline: Instant) -> Result<(u16, Vec<u8>), Failure> {
        let reply = self.send(&Exchange::get(url, SMALL, deadline))?;
        Ok((reply.status, reply.body))
    }

    /// The same of another server than etcd, as whom this header says.
    pub fn get_as(
        &self,
        url: &str,
        authorization: &str,
        deadline: Instant,
    ) -> Result<(u16, Vec<u8>), Failure> {
        let reply = self.send(&Exchange::get(url, SMALL, deadline).signed(authorization))?;
        Ok((reply.status, reply.body))
    }

    /// The proof of a leader, and the members as committed: a linearizable read, then the list.
    ///
    /// Both, because 3.4 lists what it has applied itself, whatever it is asked for. After the read
    /// that is at least what was committed when we asked. Where all members are known to be newer, the
    /// list alone proves it.
    pub fn quorate_members(&self, client_url: &str, deadline: Instant) -> Result<Quorate, Failure> {
        (self.quorate_members_by(client_url, deadline)).map(|(_, quorate)| quorate)
    }

    /// The same, and which member has answered: a URL may lead to another one than expected.
    pub fn quorate_members_by(
        &self,
        client_url: &str,
        deadline: Instant,
    ) -> Result<(MemberId, Quorate), Failure> {
        let Some(known) = self.0.linearizable_lists.get() else {
            return self.read_then_list(client_url, deadline);
        };
        let (lister, members) = self.linearizable_list(client_url, deadline)?;
        match lister.cluster == *known {
            true => Ok(quorate(client_url, lister, members)),
            false => self.read_then_list(client_url, deadline),
        }
    }

    /// From now on a list of this cluster needs no read before it: each of its members is 3.5 or newer.
    pub fn trust_lists_of(&self, cluster: ClusterId) {
        // Another cluster than the first is asked for both; that costs a round trip.
        let _ = self.0.linearizable_lists.set(cluster);
    }

    /// Whether some cluster's lists are trusted already.
    pub fn trusts_lists(&self) -> bool {
        self.0.linearizable_lists.get().is_some()
    }

    /// `GET {url}/version`: whether every member of the cluster makes its list linearizable when asked,
    /// which 3.5 and newer do (etcd `server/etcdserver/api/v3rpc/member.go`, `MemberList`).
    ///
    /// The cluster version is the lowest of its members', and an older etcd does not start in it
    /// (etcd `server/etcdserver/api/membership/downgrade.go`, `mustDetectDowngrade`).
    pub fn lists_are_linearizable(&self, url: &str, deadline: Instant) -> Result<bool, Failure> {
        Ok(self.versions(url, deadline)?.cluster >= (3, 5))
    }

    /// `GET {url}/version`: the versions of this member and of its cluster.
    pub fn versions(&self, url: &str, deadline: Instant) -> Result<SaidVersions, Failure> {
        let reply = self.send(&Exchange::get(&join(url, "/version"), SMALL, deadline))?;
        match reply.status {
            200 => read(url, reply::versions(&reply.body)),
            _ => Err(Failure::of_reply(url, &reply)),
        }
    }

    /// `GET {peer_url}/downgrade/enabled`: whether the cluster is being downgraded by one minor version.
    pub fn is_downgraded(&self, peer_url: &str, deadline: Instant) -> Result<bool, Failure> {
        let (status, body) = self.get(&join(peer_url, "/downgrade/enabled"), deadline)?;
        Ok(status == 200 && body.trim_ascii() == b"true")
    }

    fn read_then_list(
        &self,
        client_url: &str,
        deadline: Instant,
    ) -> Result<(MemberId, Quorate), Failure> {
        // Counting one key that nobody uses: it costs nothing, and linearizable is the default.
        let range = json!({"key": "AA==", "count_only": true});
        let reader = match self.call(client_url, "/kv/range", &range, SMALL, deadline) {
            Ok(body) => Some(read(client_url, reply::header(&body))?),
            Err(failure) if failure.is_after_read() => None,
            Err(failure) => return Err(self.with_cure(failure)),
        };
        let (lister, members) = self.linearizable_list(client_url, deadline)?;
        // A URL may be a balancer's: the list of a member that did not read proves nothing.
        match reader {
            Some(reader) if reader != lister => Err(in_turn(client_url)),
            Some(_) | None => Ok(quorate(client_url, lister, members)),
        }
    }

    fn linearizable_list(
        &self,
        client_url: &str,
        deadline: Instant,
    ) -> Result<(reply::Answerer, Vec<Member>), Failure> {
        let list = json!({"linearizable": true});
        let body = self.call_cured(client_url, "/cluster/member/list", &list, LIST, deadline)?;
        read(client_url, reply::members(&body))
    }

    /// `member/list` as the member has it: needs no leader in 3.4 nor in 3.5, and may be old.
    pub fn local_members(&self, client_url: &str, deadline: Instant) -> Result<PeerView, Failure> {
        let body = self.call_cured(
            client_url,
            "/cluster/member/list",
            &json!({}),
            LIST,
            deadline,
        )?;
        let (from, members) = read(client_url, reply::members(&body))?;
        Ok(PeerView {
            cluster: from.cluster,
            members,
        })
    }

    /// Adds a member; its ID. After a time-out the outcome is unknown: list again.
    pub fn member_add(
        &self,
        client_url: &str,
        peer_urls: &[String],
        learner: bool,
        deadline: Instant,
    ) -> Result<MemberId, Failure> {
        let add = json!({"peerURLs": peer_urls, "isLearner": learner});
        let body = self.call_cured(client_url, "/cluster/member/add", &add, LIST, deadline)?;
        read(client_url, reply::added(&body))
    }

    /// Removes a member. After a time-out it may still be removed later.
    pub fn member_remove(
        &self,
        client_url: &str,
        id: MemberId,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let remove = json!({"ID": id.0.to_string()});
        self.change(client_url, "/cluster/member/remove", &remove, deadline)
    }

    /// Gives a member other peer URLs.
    pub fn member_update(
        &self,
        client_url: &str,
        id: MemberId,
        peer_urls: &[String],
        deadline: Instant,
    ) -> Result<(), Failure> {
        let update = json!({"ID": id.0.to_string(), "peerURLs": peer_urls});
        self.change(client_url, "/cluster/member/update", &update, deadline)
    }

    /// Makes a learner a voter; etcd refuses until it has caught up.
    pub fn member_promote(
        &self,
        client_url: &str,
        id: MemberId,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let promote = json!({"ID": id.0.to_string()});
        self.change(client_url, "/cluster/member/promote", &promote, deadline)
    }

    /// Lets another member lead. To be asked of the leader, which waits until it is so.
    ///
    /// Source: etcd `api/etcdserverpb/rpc.proto`, `MoveLeader`.
    pub fn move_leader(
        &self,
        client_url: &str,
        to: MemberId,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let to = json!({"targetID": to.0.to_string()});
        self.maintain(client_url, "/transfer-leadership", &to, deadline)
    }

    /// Writes the member's database anew, without what is free in it. It answers nobody meanwhile.
    pub fn defragment(&self, client_url: &str, deadline: Instant) -> Result<(), Failure> {
        self.maintain(client_url, "/defragment", &json!({}), deadline)
    }

    /// Forgets all revisions before this one; ends when their space is free.
    pub fn compact(
        &self,
        client_url: &str,
        revision: u64,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let upto = json!({"revision": revision.to_string(), "physical": true});
        self.change(client_url, "/kv/compaction", &upto, deadline)
    }

    /// Which members are alarmed, and about what: `NOSPACE`, `CORRUPT`.
    pub fn alarms(
        &self,
        client_url: &str,
        deadline: Instant,
    ) -> Result<Vec<(MemberId, String)>, Failure> {
        let (path, get) = ("/maintenance/alarm", json!({"action": "GET"}));
        let body = self.call_cured(client_url, path, &get, SMALL, deadline)?;
        read(client_url, reply::alarms(&body))
    }

    /// Clears an alarm.
    pub fn disarm(
        &self,
        client_url: &str,
        member: MemberId,
        alarm: &str,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let off = json!({"action": "DEACTIVATE", "memberID": member.0.to_string(), "alarm": alarm});
        self.maintain(client_url, "/alarm", &off, deadline)
    }

    /// What a member says of itself; learners answer too.
    pub fn status(&self, client_url: &str, deadline: Instant) -> Result<Status, Failure> {
        let path = "/maintenance/status";
        let body = self.call_cured(client_url, path, &json!({}), SMALL, deadline)?;
        read(client_url, reply::status(&body))
    }

    /// How far this member has come, which has just proved a leader, and who that is: it has applied all that was committed when
    /// that was asked for, so this is no less.
    ///
    /// What was committed is told as it is; the term only when an entry of it was applied, and not by a snapshot
    /// (etcd `server/etcdserver/server.go`, `setCommittedIndex`, `setTerm`).
    pub fn reached(
        &self,
        client_url: &str,
        prover: MemberId,
        deadline: Instant,
    ) -> Result<(Progress, Option<MemberId>), Failure> {
        let status = self.status(client_url, deadline)?;
        match status.member == prover {
            true => Ok((status.reached(), status.leader)),
            false => Err(in_turn(client_url)),
        }
    }

    /// `GET /health`. A member without a leader is not healthy; before its first one it hangs.
    pub fn health(&self, client_url: &str, deadline: Instant) -> Result<bool, Failure> {
        self.health_by(client_url, "", deadline)
    }

    /// The same, but a full quota is passed over.
    ///
    /// Source: etcd `server/etcdserver/api/etcdhttp/health.go`, `getExcludedAlarms`.
    pub fn serves(&self, client_url: &str, deadline: Instant) -> Result<bool, Failure> {
        self.health_by(client_url, "?exclude=NOSPACE", deadline)
    }

    /// Whether etcd answers at all, healthy or not. From 3.5 on it needs no leader for that.
    pub fn answers(&self, client_url: &str, deadline: Instant) -> bool {
        match self.health_by(client_url, "?serializable=true", deadline) {
            Ok(_)
            | Err(Failure::Refused(_) | Failure::Rejected { .. } | Failure::GatewayOff(_)) => true,
            Err(Failure::Unreachable { .. } | Failure::NotEtcd { .. }) => false,
        }
    }

    fn health_by(&self, client_url: &str, how: &str, deadline: Instant) -> Result<bool, Failure> {
        let url = join(client_url, &format!("/health{how}"));
        let reply = self.send(&Exchange::get(&url, SMALL, deadline))?;
        match (reply.status, reply::health(&reply.body)) {
            (200, Ok(healthy)) => Ok(healthy),
            (503, Ok(_)) => Ok(false),
            (200, Err(why)) => Err(Failure::not_etcd(client_url, Some(200), &why)),
            (_, _) => Err(Failure::of_reply(client_url, &reply)),
        }
    }

    /// Answers without a header: `{}` in every version, of alarms in 3.4.
    fn maintain(
        &self,
        client_url: &str,
        path: &str,
        body: &Value,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let path = format!("/maintenance{path}");
        self.call_cured(client_url, &path, body, SMALL, deadline)
            .map(|_| ())
    }

    fn change(
        &self,
        client_url: &str,
        path: &str,
        body: &Value,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let body = self.call_cured(client_url, path, body, LIST, deadline)?;
        read(client_url, reply::header(&body)).map(|_| ())
    }
}

fn quorate(client_url: &str, lister: reply::Answerer, members: Vec<Member>) -> (MemberId, Quorate) {
    let quorate = Quorate {
        cluster: lister.cluster,
        members,
        reached: None,
        leader: None,
        at: client_url.into(),
    };
    (lister.member, quorate)
}

fn in_turn(client_url: &str) -> Failure {
    Failure::not_etcd(client_url, None, "two members answer at this URL in turn")
}

/// Runs every parser over `body`: for fuzzing. Whatever arrives, none may panic.
#[doc(hidden)]
pub fn parse_all(body: &[u8]) {
    let mut reply = HttpReply {
        status: 500,
        cluster: Some("cafe".into()),
        body: body.to_vec(),
    };
    let _ = Failure::of_reply("fuzz", &reply)
        .with_cure(None)
        .to_string();
    reply.status = 200;
    let _ = (
        reply.rejection(),
        reply.words(),
        reply::peer_members(&reply),
    );
    reply.cluster = Some(String::from_utf8_lossy(body).into_owned());
    let _ = reply::peer_members(&reply);
    let _ = (
        reply::header(body),
        reply::members(body),
        reply::added(body),
    );
    let _ = (reply::status(body), reply::token(body), reply::health(body));
    let _ = (reply::is_version(body), reply::versions(body));
    let _ = reply::alarms(body);
}
