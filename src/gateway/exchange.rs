//! One exchange with a server: the agent for its URL, the token, the reply.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::{Request, header};

use super::connect;
use super::failure::Failure;
use super::reply::{self, HttpReply};
use crate::access::{Credentials, TlsFiles};
use crate::error::Error;
use crate::membership::ClusterId;
use crate::tls::{self, Unfit};

/// Where the gateway lives since 3.4.
const PREFIX: &str = "/v3";

/// The most that any other answer may be long.
pub(super) const SMALL: u64 = 256 << 10;

/// One way to speak to servers: TLS files, credentials, and connections that are used again.
///
/// Clones share everything.
#[derive(Clone, Debug)]
pub struct Client(pub(super) Arc<Inner>);

/// What the clones of a client share.
pub(super) struct Inner {
    files: TlsFiles,
    credentials: Option<Credentials>,
    plain: Agent,
    /// Made at the first https URL, and made anew after a refusal: certificates get renewed.
    secure: Mutex<Option<Agent>>,
    /// Why no https URL can be asked, although etcd itself may.
    pub(super) unfit: Option<String>,
    token: Mutex<Option<String>>,
    /// The cluster whose members all make a list linearizable when asked.
    pub(super) linearizable_lists: OnceLock<ClusterId>,
}

impl Inner {
    pub(super) fn new(files: &TlsFiles, credentials: Option<Credentials>) -> Result<Self, Error> {
        let (secure, unfit) = match files.is_given().then(|| tls::client_config(files)) {
            Some(Ok(config)) => (Some(connect::agent(Some(config))), None),
            Some(Err(Unfit::Files(error))) => return Err(error),
            Some(Err(Unfit::Key(error))) => (None, Some(error.to_string())),
            None => (None, None),
        };
        Ok(Inner {
            files: files.clone(),
            credentials,
            plain: connect::agent(None),
            secure: Mutex::new(secure),
            unfit,
            token: Mutex::default(),
            linearizable_lists: OnceLock::new(),
        })
    }
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
pub(super) struct Exchange<'a> {
    url: &'a str,
    body: Option<&'a [u8]>,
    token: Option<&'a str>,
    limit: u64,
    deadline: Instant,
}

impl Client {
    pub(super) fn with_cure(&self, failure: Failure) -> Failure {
        failure.with_cure((self.0.credentials.as_ref()).map(|own| own.user.as_str()))
    }

    pub(super) fn call_cured(
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
    pub(super) fn call(
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

    /// Posts to the gateway.
    fn post(
        &self,
        client_url: &str,
        path: &str,
        body: &[u8],
        token: Option<&str>,
        limit: u64,
        deadline: Instant,
    ) -> Result<Vec<u8>, Failure> {
        let url = join(client_url, &format!("{PREFIX}{path}"));
        let reply = self.send(&Exchange {
            url: &url,
            body: Some(body),
            token,
            limit,
            deadline,
        })?;
        match reply.status {
            200 => Ok(reply.body),
            // etcd's own "member not found" is a 404 too, but has a code.
            404 if reply.rejection().is_none() => Err(self.without_gateway(client_url, deadline)),
            _ => Err(Failure::of_reply(client_url, &reply)),
        }
    }

    /// A server without the gateway's path: etcd all the same, or not.
    fn without_gateway(&self, client_url: &str, deadline: Instant) -> Failure {
        let url = join(client_url, "/version");
        match self.send(&Exchange::get(&url, SMALL, deadline)) {
            Ok(reply) if reply.status == 200 && reply::is_version(&reply.body) => {
                Failure::GatewayOff(format!(
                    "{client_url}: its JSON gateway is off: start it with --enable-grpc-gateway=true, or beside \
                     a configuration file write `enable-grpc-gateway: true` into that"
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
                    .map_err(|why| Failure::Refused(format!("{url}: {}", why.into_error())))?;
                Ok(secure.insert(connect::agent(Some(config))).clone())
            }
            Some("unix" | "unixs") => Err(unreachable("unix sockets are not asked")),
            _ => Err(unreachable("not an http or https URL")),
        }
    }

    /// The one function that sends.
    pub(super) fn send(&self, call: &Exchange<'_>) -> Result<HttpReply, Failure> {
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
                Ok(HttpReply {
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

impl<'a> Exchange<'a> {
    pub(super) fn get(url: &'a str, limit: u64, deadline: Instant) -> Self {
        Exchange {
            url,
            body: None,
            token: None,
            limit,
            deadline,
        }
    }

    pub(super) fn signed(mut self, authorization: &'a str) -> Self {
        self.token = Some(authorization);
        self
    }
}

pub(super) fn join(base: &str, path: &str) -> String {
    format!("{}{path}", base.trim_end_matches('/'))
}

pub(super) fn read<T>(endpoint: &str, parsed: Result<T, String>) -> Result<T, Failure> {
    parsed.map_err(|why| Failure::not_etcd(endpoint, Some(200), &why))
}

/// What is kept behind these locks is whole at any time, also after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
