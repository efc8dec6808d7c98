//! etcd's gRPC API, as far as snapshots need it. Changes nothing in a cluster, but the one that a restore makes.

pub mod choose;
pub mod messages;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http::uri::PathAndQuery;
use rustls::ClientConfig;
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

use etcd_rejoin_decide::HELD_BY;
use etcd_rejoin_host::access::Credentials;
use etcd_rejoin_host::error::Error;

use crate::http::{GrpcClient, caused, chain, grpc};
use crate::layout::HashKv;
use messages::{
    AlarmRequest, AlarmResponse, AuthenticateRequest, AuthenticateResponse, EmptyRequest,
    HashKvRequest, HashKvResponse, MemberListRequest, MemberListResponse, RangeRequest,
    RangeResponse, SnapshotResponse, StatusResponse,
};

/// How long a short question may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How long etcd may hash everything.
const HASHING: Duration = Duration::from_secs(120);
/// How long nothing may come in the middle of a snapshot.
pub const SILENCE: Duration = Duration::from_secs(30);

/// What to do about it, where an error has these words. Words are for people: nothing is decided by them.
const CURES: &[(&str, &str)] = &[
    (
        "user name is empty",
        "; authentication is on: set REJOIN_USER to a user with the root role, and REJOIN_PASSWORD_FILE",
    ),
    (
        "permission denied",
        "; a snapshot needs a user with the root role",
    ),
    (
        "UnknownIssuer",
        "; REJOIN_CACERT names the CA of etcd's certificate",
    ),
    ("onnection refused", "; does etcd run there?"),
];

/// One member's client URL, and how we speak to it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The URL, as it was given.
    pub url: String,
    client: Grpc<GrpcClient>,
    token: Option<String>,
}

impl Endpoint {
    /// Connects to nobody yet. The error reads well by itself.
    pub fn new(url: &str, tls: Arc<ClientConfig>) -> Result<Endpoint, Error> {
        let bad = || {
            Error::new(format!(
                "{url} is no client URL of etcd: write http://HOST:2379 or https://HOST:2379"
            ))
        };
        let with_scheme = match url.contains("://") {
            true => url.to_string(),
            false => format!("http://{url}"),
        };
        let uri: Uri = with_scheme
            .trim_end_matches('/')
            .parse()
            .map_err(|_| bad())?;
        if !matches!(uri.scheme_str(), Some("http" | "https"))
            || uri.host().is_none_or(str::is_empty)
        {
            return Err(bad());
        }
        let client = Grpc::with_origin(grpc(tls), uri);
        Ok(Endpoint {
            url: with_scheme,
            client,
            token: None,
        })
    }

    /// Says who we are, where authentication is on.
    pub async fn authenticate(&mut self, who: &Credentials) -> Result<(), Error> {
        let request = AuthenticateRequest {
            name: who.user.clone(),
            password: who.password.clone(),
        };
        let answer: Result<AuthenticateResponse, _> =
            self.ask("/etcdserverpb.Auth/Authenticate", request).await;
        match answer {
            Ok(answer) => self.token = Some(answer.token),
            // Nobody has to say who they are.
            Err(status) if status.message().contains("authentication is not enabled") => {}
            Err(status) => return Err(self.failed(&format!("take us for {}", who.user), &status)),
        }
        Ok(())
    }

    /// How the member is.
    pub async fn status(&self) -> Result<StatusResponse, Error> {
        let answer = self
            .ask("/etcdserverpb.Maintenance/Status", EmptyRequest {})
            .await;
        answer.map_err(|status| self.failed("say how it is", &status))
    }

    /// Who the members are, by this one's own account.
    pub async fn members(&self) -> Result<MemberListResponse, Error> {
        let request = MemberListRequest {
            linearizable: false,
        };
        let answer = self.ask("/etcdserverpb.Cluster/MemberList", request).await;
        answer.map_err(|status| self.failed("list its members", &status))
    }

    /// How many keys there are at this revision; none where it is compacted already, or not had.
    pub async fn keys(&self, revision: u64) -> Option<u64> {
        let request = RangeRequest {
            key: Bytes::from_static(b"\0"),
            range_end: Bytes::from_static(b"\0"),
            revision: revision.try_into().ok()?,
            serializable: true,
            count_only: true,
        };
        let answer: Result<RangeResponse, _> = self.ask("/etcdserverpb.KV/Range", request).await;
        answer.ok()?.count.try_into().ok()
    }

    /// etcd's hash of this revision; none where it is compacted already, or not had. It costs the member a look at
    /// everything.
    pub async fn hashkv(&self, revision: u64) -> Option<HashKv> {
        let request = HashKvRequest {
            revision: revision.try_into().ok()?,
        };
        let answer = self
            .ask_within(HASHING, "/etcdserverpb.Maintenance/HashKV", request)
            .await;
        let HashKvResponse {
            hash,
            compact_revision,
        } = answer.ok()?;
        // Before the first compaction it says -1.
        Some(HashKv {
            hash,
            compact_revision: compact_revision.try_into().unwrap_or(0),
        })
    }

    /// Lets nobody write any more, until this alarm is taken away: see `HELD_BY`.
    pub async fn hold(&self) -> Result<(), Error> {
        let request = AlarmRequest {
            action: 1,
            member_id: HELD_BY.0,
            alarm: 2,
        };
        let answer: Result<AlarmResponse, _> =
            self.ask("/etcdserverpb.Maintenance/Alarm", request).await;
        answer.map_err(|status| self.failed("hold its clients", &status))?;
        Ok(())
    }

    /// The database, piece by piece; the last 32 bytes are SHA-256 of all before.
    pub async fn snapshot(&self) -> Result<Streaming<SnapshotResponse>, Error> {
        let path = PathAndQuery::from_static("/etcdserverpb.Maintenance/Snapshot");
        let mut client = self.client.clone();
        let call = async {
            client
                .ready()
                .await
                .map_err(|error| Status::unavailable(chain(&error)))?;
            client
                .server_streaming(self.request(EmptyRequest {}), path, ProstCodec::default())
                .await
        };
        let answer = tokio::time::timeout(SILENCE, call).await;
        match answer {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(self.failed("send a snapshot", &status)),
            Err(_) => Err(Error::new(format!(
                "etcd at {} does not begin a snapshot within {SILENCE:?}",
                self.url
            ))),
        }
    }

    async fn ask<Q, A>(&self, path: &'static str, question: Q) -> Result<A, Status>
    where
        Q: prost::Message + Default + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        self.ask_within(ANSWER, path, question).await
    }

    async fn ask_within<Q, A>(
        &self,
        limit: Duration,
        path: &'static str,
        question: Q,
    ) -> Result<A, Status>
    where
        Q: prost::Message + Default + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let mut client = self.client.clone();
        let call = async {
            client
                .ready()
                .await
                .map_err(|error| Status::unavailable(chain(&error)))?;
            let codec: ProstCodec<Q, A> = ProstCodec::default();
            client
                .unary(
                    self.request(question),
                    PathAndQuery::from_static(path),
                    codec,
                )
                .await
        };
        match tokio::time::timeout(limit, call).await {
            Ok(answer) => answer.map(tonic::Response::into_inner),
            Err(_) => Err(Status::deadline_exceeded(format!(
                "no answer within {limit:?}"
            ))),
        }
    }

    fn request<Q>(&self, question: Q) -> Request<Q> {
        let mut request = Request::new(question);
        if let Some(token) = self
            .token
            .as_deref()
            .and_then(|token| MetadataValue::try_from(token).ok())
        {
            request.metadata_mut().insert("token", token);
        }
        request
    }

    /// What went wrong, and what to do about it.
    pub fn failed(&self, what: &str, status: &Status) -> Error {
        let words = caused(status.message().into(), std::error::Error::source(status));
        let cure = (CURES.iter()).find(|(sign, _)| words.contains(sign));
        let cure = cure.map_or("", |(_, cure)| cure);
        Error::new(format!(
            "etcd at {} does not {what}: {words}{cure}",
            self.url
        ))
    }
}
