//! What was seen, as plain values: the input of `decide`.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::own_url::OwnUrl;
use super::replicas::SetWants;
use super::surroundings::Surroundings;
use super::{Nonce, Recover, SaidOfStore, Start, Step, StoreSeen};
use crate::membership::{ClusterId, InitialCluster, Member, MemberId};

/// Who must be heard before a new cluster is founded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bootstrap {
    /// Every member of the initial cluster.
    All,
    /// Nobody: try at once. Can lose acknowledged writes with one lost disk.
    Now,
    /// Never found a cluster.
    Never,
}

/// How a member joins a running cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinAs {
    /// Voter or learner, by margin.
    Auto,
    /// As voter wherever that costs no margin.
    Voter,
    /// As learner, promoted once it has caught up.
    Learner,
    /// Not at all: the membership is never changed.
    Never,
}

/// Why a member may join a cluster, and found none whatever is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JoinsOnly {
    /// `ETCD_INITIAL_CLUSTER_STATE=existing`: the user forbids founding.
    State,
    /// The initial cluster does not name us with our peer URLs.
    Outside,
    /// The initial cluster gives two members one peer URL: one of them can never be heard, and etcd refuses
    /// to found it (etcd `server/config/config.go`, `VerifyBootstrap`).
    SharedUrl,
    /// `REJOIN_BOOTSTRAP=never`: so does the user.
    Never,
}

impl JoinsOnly {
    /// What forbids founding.
    pub fn what(self) -> &'static str {
        match self {
            JoinsOnly::State => "ETCD_INITIAL_CLUSTER_STATE=existing",
            JoinsOnly::Outside => "an ETCD_INITIAL_CLUSTER without this member's name and peer URL",
            JoinsOnly::SharedUrl => "an ETCD_INITIAL_CLUSTER that gives two members one peer URL",
            JoinsOnly::Never => "REJOIN_BOOTSTRAP=never",
        }
    }

    /// What would allow it.
    pub fn cure(self) -> &'static str {
        match self {
            JoinsOnly::State => "set ETCD_INITIAL_CLUSTER_STATE=new",
            JoinsOnly::Outside => {
                "name this member in ETCD_INITIAL_CLUSTER as it is in ETCD_NAME and ETCD_INITIAL_ADVERTISE_PEER_URLS"
            }
            JoinsOnly::SharedUrl => {
                "give each member a peer URL of its own in ETCD_INITIAL_CLUSTER"
            }
            JoinsOnly::Never => "set REJOIN_BOOTSTRAP=all",
        }
    }
}

/// What a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// To become etcd.
    Start,
    /// That this member, which runs and was added as a learner, becomes a voter.
    Vote,
    /// That this member leaves its cluster for good.
    Leave,
}

/// What the user wants; fixed for the life of the process.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What this run is for.
    pub wants: Wants,
    /// Our name (`ETCD_NAME`).
    pub name: String,
    /// Our advertised peer URLs.
    pub peer_urls: Vec<String>,
    /// Somebody said what our peer URLs are. Else they are etcd's default, which leads each other member to
    /// itself.
    pub peer_urls_given: bool,
    /// The initial cluster, ourselves included.
    pub initial: InitialCluster,
    /// The ID that etcd would compute for us in a new cluster.
    pub static_id: MemberId,
    /// The IDs that it would compute for the other members: those with another name and other peer URLs.
    pub static_others: Vec<MemberId>,
    /// The cluster ID that etcd would compute for a new cluster.
    pub static_cluster: ClusterId,
    /// Who must be heard before a new cluster.
    pub bootstrap: Bootstrap,
    /// How to join a running one.
    pub join: JoinAs,
    /// Why this member may join a cluster, and found none whatever is heard.
    pub joins_only: Option<JoinsOnly>,
    /// We listen for peers beyond this machine, whatever our peer URLs say: with a wildcard etcd advertises
    /// the address of the default route (etcd `embed/config.go`, `UpdateDefaultClusterFromName`).
    pub listens_wide: bool,
    /// Client URLs of other members were given: silence of a one-member initial cluster is then no proof.
    pub knows_others: bool,
    /// `REJOIN_DATA=delete`: how many set-aside data dirs to keep.
    pub keep: Option<usize>,
    /// Our ordinal in the StatefulSet that we are of.
    pub ordinal: Option<u32>,
    /// `leave --if-scaled-down`: only where the StatefulSet does not want us any more.
    pub if_scaled_down: bool,
    /// `REJOIN_RECOVER`: whether a cluster that lost everything comes back by itself.
    pub recover: Recover,
    /// The token of the initial cluster, where there is a store: the nonce of its marker is added to it.
    pub token: Option<String>,
}

impl Default for Policy {
    /// Nothing is said: a start, in no initial cluster.
    fn default() -> Self {
        Policy {
            wants: Wants::Start,
            name: String::new(),
            peer_urls: Vec::new(),
            peer_urls_given: true,
            initial: InitialCluster::default(),
            static_id: MemberId(0),
            static_others: Vec::new(),
            static_cluster: ClusterId(0),
            bootstrap: Bootstrap::All,
            join: JoinAs::Auto,
            joins_only: None,
            listens_wide: false,
            knows_others: false,
            keep: None,
            ordinal: None,
            if_scaled_down: false,
            recover: Recover::Hold,
            token: None,
        }
    }
}

impl Policy {
    /// How many other members the initial cluster names. It need not name us.
    pub fn initial_others(&self) -> usize {
        self.initial
            .iter()
            .filter(|(name, _)| *name != self.name)
            .count()
    }

    /// Why no cluster is founded whatever is heard, if so.
    pub fn forbids_founding(&self) -> Option<JoinsOnly> {
        let never = self.bootstrap == Bootstrap::Never;
        self.joins_only.or(never.then_some(JoinsOnly::Never))
    }

    /// Whether the initial cluster names only ourselves, and no others are known.
    pub fn is_alone(&self) -> bool {
        !self.has_others()
    }

    /// Whether other members are known, by the initial cluster or by client URLs.
    pub fn has_others(&self) -> bool {
        self.knows_others || self.initial_others() > 0
    }

    /// Whether somebody on another machine could reach us.
    pub fn is_reachable(&self) -> bool {
        self.listens_wide || self.peer_urls.iter().any(|url| !is_of_this_machine(url))
    }
}

/// Whether a URL leads to this machine alone.
fn is_of_this_machine(url: &str) -> bool {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let address = rest.split('/').next().unwrap_or_default();
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    scheme.starts_with("unix") || matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

/// Whose a data dir is, from the head of its WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The member.
    pub member: MemberId,
    /// Its cluster.
    pub cluster: ClusterId,
}

/// The data dir.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DataDir {
    /// No WAL. What else lies there proves nothing.
    Empty,
    /// A WAL whose head and CRC chain read well, with a database that belongs to it.
    Own(Identity),
    /// A WAL that does not read, or a proven bad snapshot or database.
    Damaged {
        /// Whose it is, where the head still reads.
        head: Option<Identity>,
    },
}

/// How the database of a data dir lists the member whose data it is: as far as it was applied there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum ListedHere {
    /// It does not say: there is none, or none that reads.
    #[default]
    Unknown,
    /// So.
    As(Member),
    /// As removed. An ID that was removed never comes back (etcd `server/etcdserver/api/membership/cluster.go`,
    /// `ValidateConfigurationChange`).
    Removed,
}

/// etcd's data that lies at another place than the data dir.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Elsewhere {
    /// The data dir that it is.
    pub path: PathBuf,
    /// Whose it is, where the head of its WAL reads.
    pub owner: Option<Identity>,
    /// Its place is one that this member is likely to have had, whoever its owner is: in the data dir or around
    /// it, where etcd images keep it, or etcd's default for our name.
    pub near: bool,
    /// A process runs on it.
    pub held: bool,
}

/// Why no WAL may be made where one is missing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Misplaced {
    /// The WAL lies where the last start had it.
    WhereItWas {
        /// There.
        noted: PathBuf,
        /// Where it is missing.
        wal_dir: PathBuf,
    },
    /// The WAL lies within the data dir, and the WAL dir is one by itself.
    WithinDataDir {
        /// There.
        within: PathBuf,
        /// Where it is missing.
        wal_dir: PathBuf,
    },
    /// The WAL dir, one by itself, holds something that is not ours: etcd removes whatever lies there when it makes
    /// its WAL (`server/storage/wal/wal.go`, `renameWAL`).
    Foreign {
        /// What it holds.
        name: String,
        /// The WAL dir.
        wal_dir: PathBuf,
    },
}

impl fmt::Display for Misplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misplaced::WhereItWas { noted, wal_dir } => {
                let (noted, wal_dir) = (noted.display(), wal_dir.display());
                write!(
                    f,
                    "the WAL lies in {noted}, where the last start had it, and {wal_dir} has none"
                )
            }
            Misplaced::WithinDataDir { within, wal_dir } => {
                let (within, wal_dir) = (within.display(), wal_dir.display());
                write!(
                    f,
                    "the WAL lies in {within}, and ETCD_WAL_DIR={wal_dir} has none"
                )
            }
            Misplaced::Foreign { name, wal_dir } => {
                write!(f, "ETCD_WAL_DIR={} holds {name}", wal_dir.display())
            }
        }
    }
}

/// What a trial of etcd in this very run died of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Trial {
    /// None ran, or it was healthy once.
    #[default]
    None,
    /// The leader knows entries of ours that are missing here (panic "tocommit").
    Behind,
    /// etcd could not read its data. That is its word alone: the files must say so too.
    Unreadable,
    /// The list of members that it took from another member was an old one, or nobody was there just then: a member
    /// that starts lists what it has read of its log so far.
    OldList,
    /// Anything else: port in use, full disk, flags, a data error that the files do not confirm.
    Other,
}

/// What another member of the cluster holds, in its entrypoint's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holds {
    /// Nothing.
    Empty,
    /// Nothing, and its initial cluster names itself alone: it founds that one, unless a cluster calls.
    Alone,
    /// Nothing, and it heard every other member empty or promised.
    Promised,
    /// Data of this cluster.
    Own(ClusterId),
    /// Data that does not read.
    Damaged,
    /// Nothing, but data lies set aside on its volume.
    SetAside,
    /// Nothing, but a running cluster asks for it.
    Called,
}

/// How one other member answered in this look.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Heard {
    /// Not at all. That is no evidence that it is not there.
    Silent(String),
    /// As etcd, with its own view of the members: applied there, possibly old.
    Etcd {
        /// Its cluster.
        cluster: ClusterId,
        /// Its view.
        members: Vec<Member>,
    },
    /// As an entrypoint before any etcd runs.
    Entrypoint {
        /// What it holds.
        holds: Holds,
        /// How its initial cluster or token differs from ours.
        differs: Option<String>,
    },
    /// It refuses to speak to us: TLS, user, certificate.
    Refused(String),
    /// It answered something that is no answer. Counts as silence, and is named.
    Nonsense(String),
}

/// Another member, and how it answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Its name in the initial cluster, else the URL it was reached at.
    pub name: String,
    /// Whether the initial cluster names it.
    pub initial: bool,
    /// How it answered.
    pub heard: Heard,
}

/// How far a history goes: the last entry that is known to be committed in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Progress {
    /// Its index; 0 where none is known.
    pub index: u64,
    /// Its term, or an earlier one; 0 where none is known.
    pub term: u64,
}

impl Progress {
    /// Whether a history that goes so far cannot be one that has gone as far as `known`: neither index nor term
    /// of what is committed ever falls.
    pub fn lacks(self, known: Progress) -> bool {
        self.index < known.index || self.term != 0 && self.term < known.term
    }
}

/// How far a member has come, in its own words: it may be behind what is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemberProgress {
    /// Which member says so.
    pub of: Identity,
    /// How far it has come.
    pub reached: Progress,
    /// Whom it follows.
    pub leader: Option<MemberId>,
}

/// A linearizable answer, asked after we started: the proof of a leader.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Quorate {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its members, as committed.
    pub members: Vec<Member>,
    /// How far the member that proved the leader has come, asked after the proof; none where there is no data
    /// to hold it against.
    pub reached: Option<Progress>,
    /// Who leads, where the member that proved it was asked; see `reached`.
    pub leader: Option<MemberId>,
    /// The client URL where it was asked.
    pub at: String,
}

/// Who has asked for us at our own peer URL while only our assembly listened there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Knock {
    /// The etcd of a member whose cluster lists us.
    Member {
        /// Who asks.
        id: MemberId,
        /// Its cluster.
        cluster: ClusterId,
        /// Whom it takes us for.
        wants: Option<MemberId>,
    },
    /// An etcd looks whether its member is here; its probes do not say who asks.
    Probe,
    /// What came is not what this port speaks: a failed TLS handshake, TLS on a plain port, plain text on a
    /// TLS port. In words.
    Unreadable(String),
}

/// What became of the removal that this member has asked for, so that it leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Removal {
    /// It was not asked for, as far as is known.
    #[default]
    NotAsked,
    /// The cluster said no, in these words: nothing will come of it.
    Refused(String),
    /// No answer that is a clear no: it may be applied later. In these words; none where an earlier run has asked.
    Unsure(Option<String>),
    /// The cluster has removed it.
    Done,
}

/// For how long what the others list without a leader has stayed the same.
///
/// A member that has just started answers its peers while it still reads its log, and lists what it has read so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Steady {
    /// It may be another list in a moment.
    No,
    /// For three seconds: enough to go on with what is listed, where a note says that it is right.
    Seconds,
    /// For thirty: a long log is read by then. It counts for what is left out, too.
    HalfAMinute,
}

/// Everything that was seen in one look.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Observation {
    /// The data dir, as it was found. See [`Observation::counts_as`].
    pub data: DataDir,
    /// The last record of its WAL is cut: etcd cuts that off by itself.
    pub torn: bool,
    /// What this data proves to have been committed once, by its WAL, snapshots and database.
    pub committed: Progress,
    /// How its database lists this member.
    pub listed_here: ListedHere,
    /// The join note: an entry that was added from this volume, and that never ran.
    pub join_note: Option<MemberId>,
    /// The join note has no ID yet: an add was begun from this volume, and nothing is noted of its answer.
    pub adding: bool,
    /// The entry that an add of this very run was answered with; not noted yet, perhaps.
    pub added: Option<MemberId>,
    /// A founding promise for this very initial cluster and token.
    pub promise: bool,
    /// The give-up note, naming the very identity of this data dir. One that names another is stale.
    pub given_up: bool,
    /// This member left on purpose.
    pub left: bool,
    /// It did because its StatefulSet had shrunk.
    pub left_scaled: bool,
    /// How many data dirs lie set aside on this volume; a database that lost its WAL counts, in its place
    /// too. What an etcd leaves that never ran does not: a refused first start leaves some, and set-aside
    /// data forbids a first start.
    pub set_aside: usize,
    /// etcd's data at other places, where the data dir is empty.
    pub elsewhere: Vec<Elsewhere>,
    /// Why no WAL may be made where the data dir has none.
    pub misplaced: Option<Misplaced>,
    /// Files without a WAL lie where etcd would start.
    pub leftovers: bool,
    /// Another process holds the data dir.
    pub in_use: bool,
    /// The last start on this data made no progress.
    pub stalled: bool,
    /// We added this identity as a learner, and have not seen it promoted. Written with the join note
    /// that names the entry, so that a kill right after the add does not leave a learner for ever.
    pub added_learner: Option<MemberId>,
    /// What the last trial in this run died of.
    pub trial: Trial,
    /// The start that has just failed on trial, with nothing changed since.
    pub failed: Option<Start>,
    /// So many trials in a row have just died of an old list of members.
    pub old_lists: u8,
    /// A step that the cluster does not allow us (TLS, user, or gateway), and its words.
    pub denied: Option<(Step, String)>,
    /// What etcd would find on this machine.
    pub surroundings: Surroundings,
    /// Who was found at our own peer URLs. Asked only where a step is due after which others look for us there.
    pub own_urls: Vec<OwnUrl>,
    /// The other members.
    pub peers: Vec<Peer>,
    /// The linearizable answer, if there is one.
    pub quorate: Option<Quorate>,
    /// How far other members have come. Asked where that may spare the proof of a leader.
    pub progress: Vec<MemberProgress>,
    /// Everybody was given the time to answer who might, needed or not: who proves no leader has none.
    pub heard_out: bool,
    /// The gateway refuses us, in its own words.
    pub refused: Option<String>,
    /// What stood in the way of a leader's proof, endpoint by endpoint.
    pub failures: Vec<String>,
    /// A client URL that was given to us answers, and proves no leader: in its own words.
    pub unclear: Option<String>,
    /// Why nobody can be asked over https, if so: a certificate or key of ours that is no use.
    pub unfit: Option<String>,
    /// Our own member answers somewhere, although it does not run here.
    pub twin: bool,
    /// Who has asked for us while our assembly listened.
    pub knocks: Vec<Knock>,
    /// Our assembly has listened for long enough: a cluster that lists us would have knocked.
    pub listened: bool,
    /// For how long what the others list without a leader has been the same.
    pub steady: Steady,
    /// A step that own data can do without was refused or has failed in this run.
    pub no_chores: bool,
    /// What became of the removal that leaving is.
    pub removal: Removal,
    /// This run has asked the leader, which is this member, to let another one lead.
    pub asked_to_move: bool,
    /// What the StatefulSet wants that this member is of. Its members beyond the initial cluster are peers.
    pub set: SetWants,
    /// This command has taken as long as a person waits for it.
    pub over: bool,
    /// What the store of snapshots answered; none where there is no `REJOIN_STORE`.
    pub store: Option<StoreSeen>,
    /// What the other entrypoints say of it.
    pub said: Vec<SaidOfStore>,
    /// Which founding promise lies on this volume.
    pub promise_nonce: Option<Nonce>,
    /// The note that this volume waits for the order of this number.
    pub order_note: Option<u64>,
    /// The note that this volume begins this lineage, and that it has never run.
    pub restoring: Option<(u64, Nonce)>,
    /// This run has removed our own entry, so that its add makes no cluster grow.
    pub rejoins: bool,
}

impl Default for Observation {
    /// An empty volume, and nobody asked yet.
    fn default() -> Self {
        Observation {
            data: DataDir::Empty,
            torn: false,
            committed: Progress::default(),
            listed_here: ListedHere::Unknown,
            join_note: None,
            adding: false,
            added: None,
            promise: false,
            given_up: false,
            left: false,
            left_scaled: false,
            set_aside: 0,
            elsewhere: Vec::new(),
            misplaced: None,
            leftovers: false,
            in_use: false,
            stalled: false,
            added_learner: None,
            trial: Trial::None,
            failed: None,
            old_lists: 0,
            denied: None,
            surroundings: Surroundings::default(),
            own_urls: Vec::new(),
            peers: Vec::new(),
            quorate: None,
            progress: Vec::new(),
            heard_out: false,
            refused: None,
            failures: Vec::new(),
            unclear: None,
            unfit: None,
            twin: false,
            knocks: Vec::new(),
            listened: false,
            steady: Steady::No,
            no_chores: false,
            removal: Removal::NotAsked,
            asked_to_move: false,
            set: SetWants::NotAsked,
            over: false,
            store: None,
            said: Vec::new(),
            promise_nonce: None,
            order_note: None,
            restoring: None,
            rejoins: false,
        }
    }
}

impl Observation {
    /// What the data dir counts as. A torn end of the WAL is damage where etcd could not read its data: it cuts off
    /// what a torn write leaves, so this is none. The files and etcd's own words have to agree.
    pub fn counts_as(&self) -> DataDir {
        match (&self.data, self.trial) {
            (DataDir::Own(own), Trial::Unreadable) if self.torn => {
                DataDir::Damaged { head: Some(*own) }
            }
            (found, _) => found.clone(),
        }
    }

    /// Whether no etcd may run under this identity again, whatever others still list: it was given up, or removed.
    pub fn has_ended(&self) -> bool {
        self.given_up || self.listed_here == ListedHere::Removed
    }

    /// The views of the peers that run etcd.
    pub fn views(&self) -> impl Iterator<Item = (ClusterId, &[Member])> {
        self.peers.iter().filter_map(|peer| match &peer.heard {
            Heard::Etcd { cluster, members } => Some((*cluster, members.as_slice())),
            Heard::Silent(_)
            | Heard::Entrypoint { .. }
            | Heard::Refused(_)
            | Heard::Nonsense(_) => None,
        })
    }

    /// The peers of this cluster that do not list the members that are committed, with their IDs and URLs.
    pub fn lags<'a>(&'a self, quorate: &'a Quorate) -> impl Iterator<Item = &'a Peer> {
        fn listed(members: &[Member]) -> BTreeSet<(MemberId, &str)> {
            let each = members.iter().flat_map(|member| {
                let urls = member.peer_urls.iter();
                urls.map(|url| (member.id, url.as_str()))
            });
            each.collect()
        }
        let committed = listed(&quorate.members);
        self.peers.iter().filter(move |peer| match &peer.heard {
            Heard::Etcd { cluster, members } => {
                *cluster == quorate.cluster && listed(members) != committed
            }
            Heard::Silent(_)
            | Heard::Entrypoint { .. }
            | Heard::Refused(_)
            | Heard::Nonsense(_) => false,
        })
    }

    /// The other members of the initial cluster.
    pub fn initial_peers(&self) -> impl Iterator<Item = &Peer> {
        self.peers.iter().filter(|peer| peer.initial)
    }

    /// The knocks that rule a first start out: a cluster runs that has us as its member. One that has left the
    /// same first start for etcd asks for us too.
    pub fn knocks_of_a_cluster<'a>(
        &'a self,
        policy: &'a Policy,
    ) -> impl Iterator<Item = &'a Knock> {
        self.knocks_of_others(|id, cluster| {
            cluster == policy.static_cluster && policy.static_others.contains(&id)
        })
    }

    /// The knocks of all but these members.
    ///
    /// A probe does not say who asks; those of a known member come seconds after it has first said who it is.
    pub fn knocks_of_others(
        &self,
        known: impl Fn(MemberId, ClusterId) -> bool,
    ) -> impl Iterator<Item = &Knock> {
        let is_known = move |knock: &Knock| match knock {
            Knock::Member { id, cluster, .. } => known(*id, *cluster),
            Knock::Probe | Knock::Unreadable(_) => false,
        };
        let explained = self.knocks.iter().any(&is_known);
        self.knocks
            .iter()
            .filter(move |knock| match (knock, explained) {
                (Knock::Probe, true) => false,
                (knock, _) => !is_known(knock),
            })
    }

    /// Whether the other entrypoints are told what this member holds. Own data starts at once; only where it was
    /// given up, or waits for an order, does it wait with the others.
    pub fn tells_the_others(&self) -> bool {
        !matches!(self.counts_as(), DataDir::Own(_))
            || self.has_ended()
            || self.order_note.is_some()
    }

    /// Whether somebody refuses to answer us.
    pub fn is_refused(&self) -> bool {
        self.refused.is_some()
            || (self.peers.iter()).any(|peer| matches!(peer.heard, Heard::Refused(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Silent, it would be passed over where empty ones may found beside silence (`REJOIN_BOOTSTRAP=now`).
    #[test]
    fn the_others_are_told_of_data_that_counts_as_damaged() {
        let identity = Identity {
            member: MemberId(3),
            cluster: ClusterId(1),
        };
        let own = Observation {
            data: DataDir::Own(identity),
            torn: true,
            ..Observation::default()
        };
        assert!(!own.tells_the_others());
        let unreadable = Observation {
            trial: Trial::Unreadable,
            ..own
        };
        assert!(unreadable.tells_the_others());
    }
}
