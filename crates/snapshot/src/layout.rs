//! What lies where in a store, and what each object says. Reads and writes nothing.
//!
//! Below the place that `REJOIN_STORE` names, which is one cluster's alone:
//!
//! ```text
//! marker.json                        whose place this is; a conditional create, once
//! lineage/N.json                     a restore began lineage N (2 and up); a conditional create, once
//! snapshot/ID.db.zst                 the stream of etcd's snapshot call, its hash included, through zstd
//! snapshot/ID.json                   its manifest, written last: without it there is no snapshot
//! snapshot/ID.drill.json             the outcome of the last drill with it
//! order/N.json                       a person wants lineage N: of a named snapshot, or of a survivor's data
//! order/N.outcome.json               begun or cancelled, never both; a conditional create
//! member/NAME.json                   the peer URLs of a member, written before it was added
//! uploader.json                      who uploads just now, of several that could
//! ```
//!
//! An ID is `LINEAGE-REVISION-RANDOM`, each of a fixed width: sorted by name as by lineage, then revision. No clock
//! takes part in any order. Whoever reads passes over fields that it does not know.
//!
//! A snapshot needs nothing of ours to be restored: `zstd -d ID.db.zst`, then `etcdutl snapshot restore ID.db`.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use etcd_rejoin_host::calendar;

/// The number of this layout. A larger one was written by a newer program, and is not read.
pub const FORMAT: u32 = 1;

/// Whose place this is.
pub const MARKER: &str = "marker.json";
/// Who uploads just now.
pub const UPLOADER: &str = "uploader.json";
/// Below it lie the lineages that restores began.
pub const LINEAGES: &str = "lineage";
/// Below it lie snapshots and their manifests.
pub const SNAPSHOTS: &str = "snapshot";
/// What the outcome of a drill ends with.
const DRILL: &str = ".drill.json";
/// Below it lie orders and their outcomes.
pub const ORDERS: &str = "order";
/// What the outcome of an order ends with.
const OUTCOME: &str = ".outcome.json";
/// Below it lie the members that were recorded.
pub const MEMBERS: &str = "member";

/// Where a restored lineage is written down.
pub fn lineage_key(n: u64) -> String {
    format!("{LINEAGES}/{n}.json")
}

/// Where an order lies.
pub fn order_key(n: u64) -> String {
    format!("{ORDERS}/{n}.json")
}

/// The number of the order that lies there.
pub fn order_of(key: &str) -> Option<u64> {
    let name = key.strip_prefix(ORDERS)?.strip_prefix('/')?;
    name.strip_suffix(".json")?.parse().ok()
}

/// Where its outcome lies.
pub fn outcome_key(n: u64) -> String {
    format!("{ORDERS}/{n}{OUTCOME}")
}

/// Where the URLs of a member of this name lie. Whatever a name has in it, it is one plain name below the folder.
pub fn member_key(name: &str) -> String {
    let mut safe = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => safe.push(byte.into()),
            other => safe += &format!("_{other:02x}"),
        }
    }
    format!("{MEMBERS}/{safe}.json")
}

/// A snapshot's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SnapshotId {
    /// Its lineage.
    pub lineage: u64,
    /// Its revision.
    pub revision: u64,
    /// Eight hexadecimal digits, so that two uploads of one revision never meet.
    pub random: String,
}

impl SnapshotId {
    /// Where its data lie.
    pub fn object(&self) -> String {
        format!("{SNAPSHOTS}/{self}.db.zst")
    }

    /// Where the outcome of its last drill lies.
    pub fn drill(&self) -> String {
        format!("{SNAPSHOTS}/{self}{DRILL}")
    }

    /// The snapshot of which this is the outcome of a drill.
    pub fn of_drill(key: &str) -> Option<SnapshotId> {
        file_of(key, DRILL)
    }

    /// Where its manifest lies.
    pub fn manifest(&self) -> String {
        format!("{SNAPSHOTS}/{self}.json")
    }

    /// The snapshot whose manifest this is.
    pub fn of_manifest(key: &str) -> Option<SnapshotId> {
        file_of(key, ".json")
    }

    /// The snapshot whose data these are.
    pub fn of_object(key: &str) -> Option<SnapshotId> {
        file_of(key, ".db.zst")
    }
}

fn file_of(key: &str, ending: &str) -> Option<SnapshotId> {
    let name = key.strip_prefix(SNAPSHOTS)?.strip_prefix('/')?;
    name.strip_suffix(ending)?.parse().ok()
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SnapshotId {
            lineage,
            revision,
            random,
        } = self;
        write!(f, "{lineage:04}-{revision:019}-{random}")
    }
}

impl FromStr for SnapshotId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let mut parts = text.split('-');
            let (lineage, revision, random) = (parts.next()?, parts.next()?, parts.next()?);
            let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            let hex =
                |text: &str| (text.bytes()).all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            let fits = parts.next().is_none()
                && (lineage.len() >= 4 && digits(lineage))
                && (revision.len() == 19 && digits(revision))
                && (random.len() == 8 && hex(random));
            fits.then_some(SnapshotId {
                lineage: lineage.parse().ok()?,
                revision: revision.parse().ok()?,
                random: random.into(),
            })
        };
        // One snapshot has one name.
        let read = read().filter(|id: &SnapshotId| id.to_string() == text);
        read.ok_or_else(|| format!("{text} is not the name of a snapshot: `list` has them"))
    }
}

impl TryFrom<String> for SnapshotId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<SnapshotId> for String {
    fn from(id: SnapshotId) -> String {
        id.to_string()
    }
}

/// Whose place this is. It stands for lineage 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// The layout's number.
    pub format: u32,
    /// A random text: the identity of this founding, also where names and tokens are those of another.
    pub nonce: String,
    /// How people call the cluster.
    pub cluster: String,
    /// The cluster ID of lineage 1: hexadecimal, as etcd prints it.
    pub cluster_id: String,
    /// The promises of a first start, one of each founder; none where a running cluster was adopted.
    #[serde(default)]
    pub promises: Vec<String>,
    /// When.
    pub made: Moment,
}

/// A data history that began with a restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// The layout's number.
    pub format: u32,
    /// Its number, from 2 on.
    pub n: u64,
    /// A random text.
    pub nonce: String,
    /// The nonce of the lineage before it; of the marker, for lineage 2.
    pub parent: String,
    /// Its cluster ID: hexadecimal, as etcd prints it.
    pub cluster_id: String,
    /// The snapshot that it began with; none where it goes on with a survivor's data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<SnapshotId>,
    /// The `sha256` of its manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_sha256: Option<String>,
    /// When.
    pub made: Moment,
}

/// A person wants the next lineage to begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenOrder {
    /// The layout's number.
    pub format: u32,
    /// The number of the lineage that it begins.
    pub n: u64,
    /// A random text.
    pub nonce: String,
    /// What that lineage goes on with.
    #[serde(flatten)]
    pub with: OrderedWith,
    /// Who wrote it, for people: a machine.
    pub by: String,
    /// When.
    pub made: Moment,
}

/// What an order goes on with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum OrderedWith {
    /// A snapshot.
    Snapshot {
        /// Which.
        snapshot: SnapshotId,
        /// It was read wholly before, and is what its manifest says.
        verified: bool,
    },
    /// What this member holds, where the majority is lost for good.
    Survivor {
        /// Its name.
        member: String,
        /// Those whose data is destroyed, by a person's word.
        destroyed: Vec<String>,
    },
}

impl OrderedWith {
    /// The snapshot; none where it goes on with a member's own data.
    pub fn snapshot(&self) -> Option<&SnapshotId> {
        match self {
            OrderedWith::Snapshot { snapshot, .. } => Some(snapshot),
            OrderedWith::Survivor { .. } => None,
        }
    }
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenOutcome {
    /// The layout's number.
    pub format: u32,
    /// What.
    pub outcome: OrderEnd,
    /// A random text: who wrote it.
    pub nonce: String,
    /// When.
    pub made: Moment,
}

/// An order is carried out, or never will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderEnd {
    /// It is carried out.
    Begun,
    /// It never will be.
    Cancelled,
}

impl fmt::Display for OrderEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OrderEnd::Begun => "begun",
            OrderEnd::Cancelled => "cancelled",
        })
    }
}

/// The peer URLs of a member, written down before it was added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedMember {
    /// The layout's number.
    pub format: u32,
    /// Its name.
    pub name: String,
    /// Its peer URLs.
    pub peer_urls: Vec<String>,
    /// When.
    pub made: Moment,
}

/// A member, as the member list had it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedMember {
    /// Its ID: hexadecimal, as etcd prints it.
    pub id: String,
    /// Its name; empty where it never started.
    pub name: String,
    /// Where its peers reach it.
    pub peer_urls: Vec<String>,
    /// Where its clients reach it.
    pub client_urls: Vec<String>,
    /// Whether it has no vote.
    #[serde(default)]
    pub learner: bool,
}

/// What is known of a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The layout's number.
    pub format: u32,
    /// Its name.
    pub id: SnapshotId,
    /// The cluster ID of its lineage.
    pub cluster_id: String,
    /// The revision of the member asked, just before: all up to it is in the snapshot, and perhaps a little more.
    pub revision: u64,
    /// The Raft term of the member asked, just before.
    pub term: u64,
    /// The Raft index that the member asked had applied, just before: all up to it is in the snapshot.
    pub index: u64,
    /// The member asked.
    pub member: String,
    /// The members of the cluster.
    pub members: Vec<SavedMember>,
    /// The version of etcd.
    pub etcd_version: String,
    /// The version of its storage format; none before 3.6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_version: Option<String>,
    /// The bytes of the `.db`, its hash of 32 bytes included.
    pub size: u64,
    /// The hash that etcd sent: SHA-256 of the `.db` without its last 32 bytes. It was checked.
    pub sha256: String,
    /// The bytes of the `.db.zst`.
    pub stored_size: u64,
    /// SHA-256 of the `.db.zst`.
    pub stored_sha256: String,
    /// How many keys there are at the revision; none where etcd did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<u64>,
    /// etcd's hash at the revision; none where it was not asked for, or was compacted meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hashkv: Option<HashKv>,
    /// When it was begun, by the clock of the machine that saved it.
    pub taken: Moment,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The version of this program.
    pub program: String,
    /// The marker of the place: it can be put back from here.
    pub marker: Marker,
    /// All lineages that restores had begun: they can be put back from here.
    #[serde(default)]
    pub lineages: Vec<Lineage>,
}

impl Manifest {
    /// The version that an etcd has to have to open it.
    pub fn storage(&self) -> &str {
        self.storage_version.as_ref().unwrap_or(&self.etcd_version)
    }
}

/// etcd's hash over all that happened to the keys since the last compaction. Two members that hold the same have the same
/// one, whatever their version, and so has what is restored (measured: 3.4.23 to 3.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashKv {
    /// The hash.
    pub hash: u32,
    /// The revision of the last compaction: hashes of different ones say nothing about each other.
    pub compact_revision: u64,
}

/// The outcome of a drill: a snapshot was restored into a throw-away etcd, and compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillRecord {
    /// The layout's number.
    pub format: u32,
    /// The snapshot.
    pub id: SnapshotId,
    /// When.
    pub at: Moment,
    /// Whether it came back whole.
    pub passed: bool,
    /// What was compared, and was equal where it passed.
    pub compared: Vec<String>,
    /// What was not as it has to be.
    #[serde(default)]
    pub differs: Vec<String>,
    /// The etcd that restored it.
    pub etcd_version: String,
    /// How long that took, from the download to the comparison, in milliseconds.
    pub took_ms: u64,
    /// The version of this program.
    pub program: String,
}

impl DrillRecord {
    /// It was read, and did not come so far as to be restored.
    pub fn damaged(id: &SnapshotId, etcd_version: &str, why: impl fmt::Display) -> DrillRecord {
        DrillRecord {
            format: FORMAT,
            id: id.clone(),
            at: Moment::now(),
            passed: false,
            compared: Vec::new(),
            differs: vec![format!("it is damaged: {why}")],
            etcd_version: etcd_version.into(),
            took_ms: 0,
            program: env!("CARGO_PKG_VERSION").into(),
        }
    }
}

/// Who uploads just now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The layout's number.
    pub format: u32,
    /// A random text: the process.
    pub holder: String,
    /// Its machine, for people.
    pub host: String,
    /// Until when it counts, if it is not renewed.
    pub until: Moment,
}

/// A time, written as people and programs read it: `2026-11-21T09:30:00.123Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment(pub SystemTime);

impl Moment {
    /// Now, by this machine's clock; as exact as it is written.
    pub fn now() -> Moment {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let since = Duration::new(since.as_secs(), since.subsec_millis() * 1_000_000);
        Moment(SystemTime::UNIX_EPOCH + since)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&calendar::timestamp(self.0))
    }
}

impl TryFrom<String> for Moment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let read = calendar::untimestamp(&text).map(Moment);
        read.ok_or_else(|| format!("{text} is not a time: write 2026-11-21T09:30:00Z"))
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> String {
        moment.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_lineage_then_revision() {
        let id = |lineage, revision| SnapshotId {
            lineage,
            revision,
            random: "00c0ffee".into(),
        };
        let ids = [id(1, 9), id(1, 10), id(2, 1), id(10, 1)];
        let mut names: Vec<String> = ids.iter().map(|id| id.manifest()).collect();
        assert_eq!(names[1], "snapshot/0001-0000000000000000010-00c0ffee.json");
        assert!(names.is_sorted());
        for (name, id) in names.iter().zip(&ids) {
            assert_eq!(SnapshotId::of_manifest(name).as_ref(), Some(id));
        }
        names.push(ids[0].object());
        assert_eq!(SnapshotId::of_manifest(names.last().unwrap()), None);
        assert_eq!(
            SnapshotId::of_object(names.last().unwrap()).as_ref(),
            Some(&ids[0])
        );
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "1-2-3",
            "0001-0000000000000000010-00C0FFEE",
            "0001-0000000000000000010-00c0ffee-1",
            "00001-0000000000000000010-00c0ffee",
            "latest",
        ] {
            assert!(text.parse::<SnapshotId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_members_name_is_one_plain_name_in_a_store() {
        for (name, key) in [
            ("node-1", "member/node-1.json"),
            (".a/../b c", "member/_2ea_2f_2e_2e_2fb_20c.json"),
            ("\u{e9}_", "member/_c3_a9_5f.json"),
        ] {
            assert_eq!(member_key(name), key);
        }
        assert_eq!(order_of(&order_key(7)), Some(7));
        assert_eq!(order_of(&outcome_key(7)), None);
    }

    #[test]
    fn a_moment_is_read_as_it_is_written() {
        let now = Moment::now();
        assert_eq!(Moment::try_from(now.to_string()), Ok(now));
        assert!(Moment::try_from("yesterday".to_string()).is_err());
    }
}
