//! The client of etcd's v3 JSON gateway and of the peer port: typed answers, typed failures.
//!
//! It asks one endpoint at a time, each call under its own deadline, and never retries on its own,
//! except for a token that etcd no longer knows. Who to ask, and what an answer means, is not its
//! business.

pub mod connect;
mod failure;
mod reply;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::{Request, header};

pub use failure::Failure;
use reply::Reply;
pub use reply::{PeerView, Status, parse_all};

use crate::decide::Quorate;
use crate::error::Error;
use crate::membership::MemberId;
use crate::tls::{self, TlsFiles};

/// The most that a list of members may be long.
const LIST: u64 = 8 << 20;
/// The most that any other answer may be long.
const SMALL: u64 = 256 << 10;

/// Where the gateway lives: 3.4 and newer, 3.3, 3.2. A server has some of them.
const PREFIXES: [&str; 3] = ["/v3", "/v3beta", "/v3alpha"];

/// A user and its password, for clusters with auth on.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user; changes of the membership need the role root.
    pub user: String,
    /// Its password. Never printed.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// One way to speak to servers: TLS files, credentials, and connections that are used again.
///
/// Clones share everything.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

struct Inner {
    files: TlsFiles,
    credentials: Option<Credentials>,
    plain: Agent,
    /// Made at the first https URL, and made anew after a refusal: certificates get renewed.
    secure: Mutex<Option<Agent>>,
    token: Mutex<Option<String>>,
    /// By client URL, where it is not the first.
    prefixes: Mutex<HashMap<String, &'static str>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("files", &self.files)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

/// One request, as it is sent.
struct Call<'a> {
    url: &'a str,
    body: Option<&'a [u8]>,
    token: Option<&'a str>,
    limit: u64,
    deadline: Instant,
}

impl Client {
    /// Files that are named are read at once, so that a mistake in them shows before anything is done.
    pub fn new(tls: &TlsFiles, credentials: Option<Credentials>) -> Result<Client, Error> {
        let secure = match tls.is_given() {
            true => Some(connect::agent(Some(tls::client_config(tls)?))),
            false => None,
        };
        Ok(Client(Arc::new(Inner {
            files: tls.clone(),
            credentials,
            plain: connect::agent(None),
            secure: Mutex::new(secure),
            token: Mutex::default(),
            prefixes: Mutex::default(),
        })))
    }

    /// `GET {peer_url}/members`: the view of a member, which needs no quorum and no user.
    pub fn peer_members(&self, peer_url: &str, deadline: Instant) -> Result<PeerView, Failure> {
        let url = join(peer_url, "/members");
        let reply = self.send(&Call::get(&url, LIST, deadline))?;
        match reply.status {
            200 => read(peer_url, reply::peer_members(&reply)),
            _ => Err(Failure::of_reply(peer_url, &reply)),
        }
    }

    /// `GET {url}` of any other small resource: its status and its body.
    pub fn get(&self, url: &str, deadline: Instant) -> Result<(u16, Vec<u8>), Failure> {
        let reply = self.send(&Call::get(url, SMALL, deadline))?;
        Ok((reply.status, reply.body))
    }

    /// The proof of a leader, and the members as committed: a linearizable read, then the list.
    ///
    /// Both, because 3.4 lists what it has applied itself, whatever it is asked for. After the read
    /// that is at least what was committed when we asked.
    pub fn quorate_members(&self, client_url: &str, deadline: Instant) -> Result<Quorate, Failure> {
        // Counting one key that nobody uses: it costs nothing, and linearizable is the default.
        let range = json!({"key": "AA==", "count_only": true});
        let reader = match self.call(client_url, "/kv/range", &range, SMALL, deadline) {
            Ok(body) => Some(read(client_url, reply::header(&body))?),
            Err(failure) if failure.is_after_read() => None,
            Err(failure) => return Err(self.with_cure(failure)),
        };
        let list = json!({"linearizable": true});
        let body = self.call_cured(client_url, "/cluster/member/list", &list, LIST, deadline)?;
        let (lister, members) = read(client_url, reply::members(&body))?;
        // A URL may be a balancer's: the list of a member that did not read proves nothing.
        match reader {
            Some(reader) if reader != lister => Err(Failure::not_etcd(
                client_url,
                None,
                "two members answer at this URL in turn",
            )),
            Some(_) | None => Ok(Quorate {
                cluster: lister.cluster,
                members,
            }),
        }
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

    /// What a member says of itself; learners answer too.
    pub fn status(&self, client_url: &str, deadline: Instant) -> Result<Status, Failure> {
        let path = "/maintenance/status";
        let body = self.call_cured(client_url, path, &json!({}), SMALL, deadline)?;
        read(client_url, reply::status(&body))
    }

    /// `GET /health`. A member without a leader is not healthy; before its first one it hangs.
    pub fn health(&self, client_url: &str, deadline: Instant) -> Result<bool, Failure> {
        let url = join(client_url, "/health");
        let reply = self.send(&Call::get(&url, SMALL, deadline))?;
        match (reply.status, reply::health(&reply.body)) {
            (200, Ok(healthy)) => Ok(healthy),
            (503, Ok(_)) => Ok(false),
            (200, Err(why)) => Err(Failure::not_etcd(client_url, Some(200), &why)),
            (_, _) => Err(Failure::of_reply(client_url, &reply)),
        }
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

    fn with_cure(&self, failure: Failure) -> Failure {
        failure.with_cure((self.0.credentials.as_ref()).map(|own| own.user.as_str()))
    }

    fn call_cured(
        &self,
        client_url: &str,
        path: &str,
        body: &Value,
        limit: u64,
        deadline: Instant,
    ) -> Result<Vec<u8>, Failure> {
        self.call(client_url, path, body, limit, deadline)
            .map_err(|failure| self.with_cure(failure))
    }

    /// Calls with the token there is; where etcd wants another one, gets it and calls once more.
    fn call(
        &self,
        client_url: &str,
        path: &str,
        body: &Value,
        limit: u64,
        deadline: Instant,
    ) -> Result<Vec<u8>, Failure> {
        let body = body.to_string().into_bytes();
        let token = lock(&self.0.token).clone();
        let first = self.post(client_url, path, &body, token.as_deref(), limit, deadline);
        match (first, &self.0.credentials) {
            (Err(failure), Some(credentials)) if failure.wants_token() => {
                let token = self.authenticate(client_url, credentials, deadline)?;
                self.post(client_url, path, &body, Some(&token), limit, deadline)
            }
            (first, _) => first,
        }
    }

    fn authenticate(
        &self,
        client_url: &str,
        credentials: &Credentials,
        deadline: Instant,
    ) -> Result<String, Failure> {
        let login = json!({"name": credentials.user, "password": credentials.password});
        let login = login.to_string().into_bytes();
        let body = self
            .post(
                client_url,
                "/auth/authenticate",
                &login,
                None,
                SMALL,
                deadline,
            )
            .map_err(|failure| self.with_cure(failure))?;
        let token = read(client_url, reply::token(&body))?;
        *lock(&self.0.token) = Some(token.clone());
        Ok(token)
    }

    /// Posts below the prefix that this server has.
    fn post(
        &self,
        client_url: &str,
        path: &str,
        body: &[u8],
        token: Option<&str>,
        limit: u64,
        deadline: Instant,
    ) -> Result<Vec<u8>, Failure> {
        let known = lock(&self.0.prefixes).get(client_url).copied();
        let others = PREFIXES.into_iter().filter(|prefix| Some(*prefix) != known);
        for prefix in known.into_iter().chain(others) {
            let url = join(client_url, &format!("{prefix}{path}"));
            let reply = self.send(&Call {
                url: &url,
                body: Some(body),
                token,
                limit,
                deadline,
            })?;
            // etcd's own "member not found" is a 404 too, but has a code.
            if reply.status == 404 && reply.rejection().is_none() {
                continue;
            }
            if known != Some(prefix) && prefix != PREFIXES[0] {
                lock(&self.0.prefixes).insert(client_url.to_string(), prefix);
            }
            return match reply.status {
                200 => Ok(reply.body),
                _ => Err(Failure::of_reply(client_url, &reply)),
            };
        }
        Err(self.without_gateway(client_url, deadline))
    }

    /// A server without any of the gateway's paths: etcd all the same, or not.
    fn without_gateway(&self, client_url: &str, deadline: Instant) -> Failure {
        let url = join(client_url, "/version");
        match self.send(&Call::get(&url, SMALL, deadline)) {
            Ok(reply) if reply.status == 200 && reply::is_version(&reply.body) => {
                Failure::GatewayOff(format!(
                    "{client_url}: its JSON gateway is off: start it with --enable-grpc-gateway=true"
                ))
            }
            Ok(_) => Failure::not_etcd(client_url, Some(404), "it has no gateway"),
            Err(failure) => failure,
        }
    }

    fn agent(&self, url: &str) -> Result<Agent, Failure> {
        let unreachable = |why: &str| Failure::Unreachable {
            endpoint: url.to_string(),
            why: why.to_string(),
            timed_out: false,
        };
        match url.split_once("://").map(|(scheme, _)| scheme) {
            Some("http") => Ok(self.0.plain.clone()),
            Some("https") => {
                let mut secure = lock(&self.0.secure);
                if let Some(agent) = &*secure {
                    return Ok(agent.clone());
                }
                let config = tls::client_config(&self.0.files)
                    .map_err(|why| Failure::Refused(format!("{url}: {why}")))?;
                Ok(secure.insert(connect::agent(Some(config))).clone())
            }
            Some("unix" | "unixs") => Err(unreachable("unix sockets are not asked")),
            _ => Err(unreachable("not an http or https URL")),
        }
    }

    /// The one function that sends.
    fn send(&self, call: &Call<'_>) -> Result<Reply, Failure> {
        let failed = |error| Failure::of_transport(call.url, error);
        let left = call.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failure::Unreachable {
                endpoint: call.url.to_string(),
                why: "no time is left to ask it".into(),
                timed_out: true,
            });
        }
        let agent = self.agent(call.url)?;
        let mut request = Request::builder().uri(call.url);
        if let Some(token) = call.token {
            request = request.header(header::AUTHORIZATION, token);
        }
        let sent = match call.body {
            None => request.method("GET").body(()).map(|request| {
                let request = agent.configure_request(request);
                agent.run(request.timeout_global(Some(left)).build())
            }),
            Some(body) => request
                .method("POST")
                .header(header::CONTENT_TYPE, "application/json")
                .body(body)
                .map(|request| {
                    let request = agent.configure_request(request);
                    agent.run(request.timeout_global(Some(left)).build())
                }),
        };
        let answered = sent
            .map_err(|error| failed(error.into()))?
            .and_then(|mut reply| {
                let cluster = reply.headers().get("X-Etcd-Cluster-Id");
                let cluster = cluster.and_then(|value| value.to_str().ok());
                Ok(Reply {
                    status: reply.status().as_u16(),
                    cluster: cluster.map(str::to_string),
                    body: reply
                        .body_mut()
                        .with_config()
                        .limit(call.limit)
                        .read_to_vec()?,
                })
            });
        let answered = answered.map_err(failed);
        if let Err(Failure::Refused(_)) = answered {
            *lock(&self.0.secure) = None;
        }
        answered
    }
}

impl<'a> Call<'a> {
    fn get(url: &'a str, limit: u64, deadline: Instant) -> Self {
        Call {
            url,
            body: None,
            token: None,
            limit,
            deadline,
        }
    }
}

fn join(base: &str, path: &str) -> String {
    format!("{}{path}", base.trim_end_matches('/'))
}

fn read<T>(endpoint: &str, parsed: Result<T, String>) -> Result<T, Failure> {
    parsed.map_err(|why| Failure::not_etcd(endpoint, Some(200), &why))
}

/// What is kept behind these locks is whole at any time, also after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
