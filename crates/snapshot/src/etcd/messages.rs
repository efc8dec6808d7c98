//! The few messages of etcd's gRPC API that are spoken here, field by field.
//!
//! Source: etcd `api/etcdserverpb/rpc.proto`, 3.4 to 3.7: numbers and types are the same in all of them. Fields that
//! nobody here reads are left out, and passed over where they come.

use bytes::Bytes;
use etcd_rejoin_decide::is_held;
use prost::Message;

/// Which cluster and member answered.
#[derive(Clone, PartialEq, Message)]
pub struct ResponseHeader {
    /// The cluster's ID.
    #[prost(uint64, tag = "1")]
    pub cluster_id: u64,
    /// The member's ID.
    #[prost(uint64, tag = "2")]
    pub member_id: u64,
    /// Its revision.
    #[prost(int64, tag = "3")]
    pub revision: i64,
    /// Its Raft term.
    #[prost(uint64, tag = "4")]
    pub raft_term: u64,
}

/// Nothing is asked.
#[derive(Clone, PartialEq, Message)]
pub struct EmptyRequest {}

/// How a member is.
#[derive(Clone, PartialEq, Message)]
pub struct StatusResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Its version.
    #[prost(string, tag = "2")]
    pub version: String,
    /// The bytes of its database file.
    #[prost(int64, tag = "3")]
    pub db_size: i64,
    /// The leader's ID; 0 without one.
    #[prost(uint64, tag = "4")]
    pub leader: u64,
    /// The index that its Raft has committed.
    #[prost(uint64, tag = "5")]
    pub raft_index: u64,
    /// Its term.
    #[prost(uint64, tag = "6")]
    pub raft_term: u64,
    /// The index that it has applied.
    #[prost(uint64, tag = "7")]
    pub raft_applied_index: u64,
    /// What is wrong with it, alarms included.
    #[prost(string, repeated, tag = "8")]
    pub errors: Vec<String>,
    /// Whether it is a learner.
    #[prost(bool, tag = "10")]
    pub is_learner: bool,
    /// The version of its storage format, from 3.6 on.
    #[prost(string, tag = "11")]
    pub storage_version: String,
}

impl StatusResponse {
    /// Whether a restore holds its clients: nobody may write to it yet.
    pub fn is_held(&self) -> bool {
        self.errors.iter().any(|error| is_held(error))
    }
}

/// A piece of the database.
#[derive(Clone, PartialEq, Message)]
pub struct SnapshotResponse {
    /// How many bytes come after this piece.
    #[prost(uint64, tag = "2")]
    pub remaining_bytes: u64,
    /// The piece.
    #[prost(bytes = "bytes", tag = "3")]
    pub blob: Bytes,
    /// The version of the storage format, from 3.6 on.
    #[prost(string, tag = "4")]
    pub version: String,
}

/// Who the members are.
#[derive(Clone, PartialEq, Message)]
pub struct MemberListRequest {
    /// Whether the leader has to agree.
    #[prost(bool, tag = "1")]
    pub linearizable: bool,
}

/// The members.
#[derive(Clone, PartialEq, Message)]
pub struct MemberListResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// All of them.
    #[prost(message, repeated, tag = "2")]
    pub members: Vec<MemberMessage>,
}

/// A member.
#[derive(Clone, PartialEq, Message)]
pub struct MemberMessage {
    /// Its ID.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Where its peers reach it.
    #[prost(string, repeated, tag = "3")]
    pub peer_urls: Vec<String>,
    /// Where its clients reach it.
    #[prost(string, repeated, tag = "4")]
    pub client_urls: Vec<String>,
    /// Whether it has no vote.
    #[prost(bool, tag = "5")]
    pub is_learner: bool,
}

/// A user and its password.
#[derive(Clone, PartialEq, Message)]
pub struct AuthenticateRequest {
    /// The user.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The password.
    #[prost(string, tag = "2")]
    pub password: String,
}

/// What stands for both from now on.
#[derive(Clone, PartialEq, Message)]
pub struct AuthenticateResponse {
    /// The token.
    #[prost(string, tag = "2")]
    pub token: String,
}

/// Which keys.
#[derive(Clone, PartialEq, Message)]
pub struct RangeRequest {
    /// From this key on.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    /// To before this one.
    #[prost(bytes = "bytes", tag = "2")]
    pub range_end: Bytes,
    /// At this revision.
    #[prost(int64, tag = "4")]
    pub revision: i64,
    /// Without the leader.
    #[prost(bool, tag = "7")]
    pub serializable: bool,
    /// Only how many.
    #[prost(bool, tag = "9")]
    pub count_only: bool,
}

/// Keys.
#[derive(Clone, PartialEq, Message)]
pub struct RangeResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// How many there are.
    #[prost(int64, tag = "4")]
    pub count: i64,
}

/// Raises an alarm.
#[derive(Clone, PartialEq, Message)]
pub struct AlarmRequest {
    /// 1: raise it.
    #[prost(int32, tag = "1")]
    pub action: i32,
    /// Of which member.
    #[prost(uint64, tag = "2")]
    pub member_id: u64,
    /// 2: corrupt.
    #[prost(int32, tag = "3")]
    pub alarm: i32,
}

/// Nothing of it is read.
#[derive(Clone, PartialEq, Message)]
pub struct AlarmResponse {}

/// Which revision's hash.
#[derive(Clone, PartialEq, Message)]
pub struct HashKvRequest {
    /// The revision; 0: the newest.
    #[prost(int64, tag = "1")]
    pub revision: i64,
}

/// The hash of all that happened to the keys.
#[derive(Clone, PartialEq, Message)]
pub struct HashKvResponse {
    /// The hash.
    #[prost(uint32, tag = "2")]
    pub hash: u32,
    /// The revision of the last compaction.
    #[prost(int64, tag = "3")]
    pub compact_revision: i64,
}
