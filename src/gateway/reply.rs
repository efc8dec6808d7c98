//! Reading what etcd answered. Nothing in an answer is believed before it was checked.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde_json::Value;

use crate::decide::Progress;
use crate::membership::{ClusterId, Member, MemberId};

/// How much of a server's own words is shown.
const WORDS: usize = 300;

/// An answer as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpReply {
    /// The HTTP status.
    pub status: u16,
    /// The header `X-Etcd-Cluster-Id`.
    pub cluster: Option<String>,
    /// The body, whole.
    pub body: Vec<u8>,
}

/// A member's own view of the cluster: applied there, possibly old.
///
/// After a restart without quorum it is what its log had committed on disk: client URLs of members
/// that have long served may be missing, its own too, and there may be no members at all for an
/// instant (measured with 3.4.23, 3.5.16 and 3.5.30).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerView {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its members.
    pub members: Vec<Member>,
}

/// What a member says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its ID.
    pub member: MemberId,
    /// Its etcd's version.
    pub version: String,
    /// The leader it follows.
    pub leader: Option<MemberId>,
    /// The last entry it knows to be committed.
    pub raft_index: u64,
    /// The term of the last entry that it has applied since it started.
    pub raft_term: u64,
    /// The last entry it has applied, where it says so.
    pub applied_index: Option<u64>,
    /// It is a learner.
    pub learner: bool,
    /// The size of its database, in bytes.
    pub db_size: u64,
    /// How much of that is in use.
    pub db_in_use: u64,
    /// How large it may become, where it says so (3.6 and newer).
    pub quota: Option<u64>,
    /// The revision of its keys.
    pub revision: u64,
    /// What it complains about, such as `etcdserver: no leader`.
    pub errors: Vec<String>,
}

impl Status {
    /// How far it has come, in its own words: it may be behind what is committed.
    pub fn reached(&self) -> Progress {
        Progress {
            index: self.raft_index,
            term: self.raft_term,
        }
    }
}

/// Who answered through the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answerer {
    pub cluster: ClusterId,
    pub member: MemberId,
}

impl HttpReply {
    /// The gRPC code and message of an error: `{"error","message","code"}` in 3.4, without `error` in 3.5.
    pub(super) fn rejection(&self) -> Option<(u32, String)> {
        #[derive(Deserialize)]
        struct Body {
            code: u32,
            #[serde(default)]
            message: Option<String>,
            #[serde(default)]
            error: Option<String>,
        }
        if self.status == 200 {
            return None;
        }
        let raw: Body = serde_json::from_slice(&self.body).ok()?;
        let message = raw.message.or(raw.error).unwrap_or_default();
        (raw.code != 0).then(|| (raw.code, printable(&message)))
    }

    /// The first of its words, printable.
    pub(super) fn words(&self) -> String {
        match self.body.is_empty() {
            true => "an empty answer".into(),
            false => printable(&String::from_utf8_lossy(&self.body)),
        }
    }
}

/// One line, without control characters, cut to a sensible length.
fn printable(text: &str) -> String {
    let line: String = (text.chars().take(WORDS))
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    line.trim().to_string()
}

/// A number that the gateway writes as a decimal string, and the peer port as a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Number(u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an unsigned number, as such or as a string")
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Number, E> {
                Ok(Number(value))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
                text.parse().map(Number).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[derive(Deserialize)]
struct RawHeader {
    cluster_id: Number,
    // Omitted where zero, which no member's ID is, but a proxy's is.
    #[serde(default)]
    member_id: Number,
    #[serde(default)]
    revision: Number,
}

impl RawHeader {
    fn checked(&self) -> Result<Answerer, String> {
        match self.cluster_id.0 {
            0 => Err("its cluster ID is 0".into()),
            cluster => Ok(Answerer {
                cluster: ClusterId(cluster),
                member: MemberId(self.member_id.0),
            }),
        }
    }
}

/// A member on either port: the gateway calls the field `ID`, the peer port `id`.
#[derive(Deserialize)]
struct RawMember {
    #[serde(alias = "ID")]
    id: Number,
    #[serde(default)]
    name: Option<String>,
    #[serde(default, rename = "peerURLs")]
    peer_urls: Option<Vec<String>>,
    #[serde(default, rename = "clientURLs")]
    client_urls: Option<Vec<String>>,
    #[serde(default, rename = "isLearner")]
    learner: Option<bool>,
}

impl RawMember {
    fn checked(self) -> Result<Member, String> {
        let member = Member {
            id: MemberId(self.id.0),
            name: self.name.unwrap_or_default(),
            peer_urls: self.peer_urls.unwrap_or_default(),
            client_urls: self.client_urls.unwrap_or_default(),
            learner: self.learner.unwrap_or_default(),
        };
        if member.id.0 == 0 {
            return Err("a member's ID is 0".into());
        }
        if member.name.chars().any(char::is_control) {
            return Err(format!("member {} has no printable name", member.id));
        }
        // etcd lists no member without a peer URL (`client/pkg/types/urls.go`, `NewURLs`).
        if member.peer_urls.is_empty() {
            return Err(format!("member {} has no peer URL", member.id));
        }
        // A comma would be two members in an initial cluster, a line break two lines in the log.
        let bad = |url: &String| {
            url.is_empty()
                || url.contains(|c: char| c == ',' || c.is_whitespace() || c.is_control())
        };
        match (member.peer_urls.iter().chain(&member.client_urls)).find(|url| bad(url)) {
            Some(url) => Err(format!("member {} has the URL {url:?}", member.id)),
            None => Ok(member),
        }
    }
}

fn checked(raw: Vec<RawMember>) -> Result<Vec<Member>, String> {
    let mut ids = BTreeSet::new();
    let mut members = Vec::with_capacity(raw.len());
    for member in raw {
        let member = member.checked()?;
        if !ids.insert(member.id) {
            return Err(format!("it lists member {} twice", member.id));
        }
        members.push(member);
    }
    Ok(members)
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|why| printable(&why.to_string()))
}

/// Who answered a call whose answer is otherwise empty.
pub(super) fn header(body: &[u8]) -> Result<Answerer, String> {
    #[derive(Deserialize)]
    struct Body {
        header: RawHeader,
    }
    json::<Body>(body)?.header.checked()
}

/// `member/list`, never empty.
pub(super) fn members(body: &[u8]) -> Result<(Answerer, Vec<Member>), String> {
    #[derive(Deserialize)]
    struct Body {
        header: RawHeader,
        #[serde(default)]
        members: Option<Vec<RawMember>>,
    }
    let raw: Body = json(body)?;
    let from = raw.header.checked()?;
    match checked(raw.members.unwrap_or_default())? {
        members if members.is_empty() => Err("it lists no members".into()),
        members => Ok((from, members)),
    }
}

/// The ID of the member that `member/add` added.
pub(super) fn added(body: &[u8]) -> Result<MemberId, String> {
    #[derive(Deserialize)]
    struct Body {
        header: RawHeader,
        member: RawMember,
    }
    let raw: Body = json(body)?;
    raw.header.checked()?;
    raw.member.checked().map(|member| member.id)
}

/// `maintenance/status`.
pub(super) fn status(body: &[u8]) -> Result<Status, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        header: RawHeader,
        #[serde(default)]
        version: String,
        #[serde(default)]
        leader: Number,
        #[serde(default)]
        raft_index: Number,
        #[serde(default)]
        raft_term: Number,
        #[serde(default)]
        raft_applied_index: Option<Number>,
        #[serde(default)]
        is_learner: bool,
        #[serde(default)]
        db_size: Number,
        #[serde(default)]
        db_size_in_use: Number,
        #[serde(default)]
        db_size_quota: Option<Number>,
        #[serde(default)]
        errors: Option<Vec<String>>,
    }
    let raw: Body = json(body)?;
    let from = raw.header.checked()?;
    if from.member.0 == 0 {
        return Err("its member ID is 0".into());
    }
    Ok(Status {
        cluster: from.cluster,
        member: from.member,
        version: printable(&raw.version),
        leader: (raw.leader.0 != 0).then_some(MemberId(raw.leader.0)),
        raft_index: raw.raft_index.0,
        raft_term: raw.raft_term.0,
        applied_index: raw.raft_applied_index.map(|number| number.0),
        learner: raw.is_learner,
        db_size: raw.db_size.0,
        db_in_use: raw.db_size_in_use.0,
        quota: raw.db_size_quota.map(|number| number.0),
        revision: raw.header.revision.0,
        errors: (raw.errors.unwrap_or_default().iter())
            .map(|error| printable(error))
            .collect(),
    })
}

/// `maintenance/alarm`: members, and what they are alarmed about.
pub(super) fn alarms(body: &[u8]) -> Result<Vec<(MemberId, String)>, String> {
    let raw: Value = json(body)?;
    let alarms = raw.get("alarms").and_then(Value::as_array);
    let read = |one: &Value| {
        let id = one.get("memberID")?.as_str()?.parse().ok()?;
        Some((MemberId(id), printable(one.get("alarm")?.as_str()?)))
    };
    let alarms = alarms.into_iter().flatten().map(read);
    alarms
        .collect::<Option<_>>()
        .ok_or_else(|| "an alarm does not read".into())
}

/// The token of `auth/authenticate`.
pub(super) fn token(body: &[u8]) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Body {
        token: String,
    }
    let token = json::<Body>(body)?.token;
    match token.is_empty() || token.contains(|c: char| !c.is_ascii_graphic()) {
        true => Err("its token is none".into()),
        false => Ok(token),
    }
}

/// `GET /health`, which says `"true"` in quotes.
pub(super) fn health(body: &[u8]) -> Result<bool, String> {
    #[derive(Deserialize)]
    struct Body {
        health: String,
    }
    match json::<Body>(body)?.health.as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("neither healthy nor not".into()),
    }
}

/// What a member says of versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaidVersions {
    /// Its etcd's, as it says it.
    pub etcd: String,
    /// Its cluster's, major and minor; (0, 0) before the first leader has decided.
    pub cluster: (u64, u64),
}

/// Whether this is etcd's `GET /version`.
pub(super) fn is_version(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Body {
        #[serde(rename = "etcdserver")]
        _server: String,
    }
    json::<Body>(body).is_ok()
}

/// What `GET /version` says. 3.6 and newer add `storage`.
pub(super) fn versions(body: &[u8]) -> Result<SaidVersions, String> {
    #[derive(Deserialize)]
    struct Body {
        etcdserver: String,
        etcdcluster: String,
    }
    let said = json::<Body>(body)?;
    let etcd = printable(&said.etcdserver);
    if said.etcdcluster == "not_decided" {
        return Ok(SaidVersions {
            etcd,
            cluster: (0, 0),
        });
    }
    let mut numbers = said.etcdcluster.split('.').map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok(SaidVersions {
            etcd,
            cluster: (major, minor),
        }),
        _ => Err("its cluster version is none".into()),
    }
}

/// `GET /members` of the peer port: cluster ID in hex in a header, IDs as numbers.
///
/// Source: etcd `server/etcdserver/api/etcdhttp/peer.go`.
pub(super) fn peer_members(reply: &HttpReply) -> Result<PeerView, String> {
    let cluster = (reply.cluster.as_deref()).ok_or("it has no X-Etcd-Cluster-Id")?;
    let cluster: ClusterId = (cluster.parse()).map_err(|_| "its X-Etcd-Cluster-Id is no ID")?;
    if cluster.0 == 0 {
        return Err("its cluster ID is 0".into());
    }
    let raw: Option<Vec<RawMember>> = json(&reply.body)?;
    let members = checked(raw.unwrap_or_default())?;
    Ok(PeerView { cluster, members })
}
