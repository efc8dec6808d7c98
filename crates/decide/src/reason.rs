//! The rows of the decision table by name: when each holds, what is decided, what would change it.
//!
//! The tables of `docs/`, `status` and the log are printed from here; `decide` gives the row its meaning. A row
//! whose words depend on the case names in brackets what it holds for them (`held.rs`).

use std::fmt;

use crate::held::{
    Alone, Confirmed, Evidence, Founders, Histories, Leaderless, Rest, Unheard, Whose,
};
use crate::membership::{ClusterId, Member, MemberId};
use crate::{Base, Elsewhere, JoinsOnly, Knock, Misleads, Misplaced, Nonce, Peer};

/// A row of the table, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The reason's name, as the log, `status --json` and the tests have it.
    pub name: &'static str,
    /// The data dir: own, damaged, empty or any.
    pub data: &'static str,
    /// The cluster, and what else must hold.
    pub when: &'static str,
    /// What is decided.
    pub decision: &'static str,
    /// What would change the decision, or how to go on.
    pub cure: &'static str,
    /// Whether something was lost.
    pub gravity: Gravity,
    /// A refusal that concerns the others: they are shown for a moment what is held here.
    pub shown: bool,
    /// What a refusal ends with.
    pub ending: Ending,
}

impl Row {
    const fn loss(mut self) -> Row {
        self.gravity = Gravity::Loss;
        self
    }

    const fn no_majority(mut self) -> Row {
        self.gravity = Gravity::NoMajority;
        self
    }

    const fn shown(mut self) -> Row {
        self.shown = true;
        self
    }

    const fn ends(mut self, ending: Ending) -> Row {
        self.ending = ending;
        self
    }

    const fn configuration(self) -> Row {
        self.ends(Ending::Configuration)
    }

    const fn surroundings(self) -> Row {
        self.ends(Ending::Surroundings)
    }

    const fn as_etcd(self) -> Row {
        self.ends(Ending::AsEtcd)
    }
}

/// What a refusal ends with: the exit code says who has to do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Only a person can tell how to go on.
    Refused,
    /// Something around us is not as it has to be.
    Surroundings,
    /// The configuration is wrong.
    Configuration,
    /// With the exit code of the etcd that failed.
    AsEtcd,
}

/// Whether something was lost: whoever reads only of losses has to hear of these rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gravity {
    /// Nothing.
    Usual,
    /// This member's data or its place in the cluster; the others make up for it.
    Loss,
    /// The majority: without a leader this member cannot come back.
    NoMajority,
}

macro_rules! reasons {
    ($($variant:ident $(($($held:ty),+))?, $name:literal, $data:literal, $when:literal, $decision:literal, $cure:literal $(, $mark:ident)*;)*) => {
        /// The name of a row: why something was decided.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $(#[doc = $when] $variant,)* }

        /// A row, and what in it held.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum Why { $(#[doc = $when] $variant $(($($held),+))?,)* }

        impl Why {
            /// The name of the row.
            pub fn reason(&self) -> Reason {
                match self { $(Why::$variant { .. } => Reason::$variant,)* }
            }
        }

        impl Reason {
            /// Every reason, in the order of the table.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)*];

            /// The row behind the name.
            pub const fn row(self) -> Row {
                match self {
                    $(Reason::$variant => Row {
                        name: $name, data: $data, when: $when, decision: $decision, cure: $cure,
                        gravity: Gravity::Usual, shown: false, ending: Ending::Refused,
                    }$(.$mark())*,)*
                }
            }
        }
    };
}

reasons! {
    DataDirInUse, "data-dir-in-use", "any", "another process holds the data dir",
        "wait", "stop the other process, or give this one a data dir of its own";
    Left, "left", "any", "this member left on purpose: at its start / for `leave`",
        "refuse / done", "`etcd-rejoin leave --undo` lets it join again";
    WantedAgain, "wanted-again", "any", "this member left because its StatefulSet had shrunk, and that wants it again",
        "forget-left", "nothing to do: it joins again";
    ReplicasUnknown(String), "replicas-unknown", "any", "it is not known how many replicas the StatefulSet wants: a first start is due, or this member left as the set had shrunk / for `leave --if-scaled-down`",
        "wait / refuse", "let the ServiceAccount of the pod get the StatefulSet (docs/kubernetes.md of etcd-rejoin has the Role), or see why the API server does not answer", surroundings;
    StillWanted, "still-wanted", "any", "`leave --if-scaled-down`: the StatefulSet wants this member",
        "done", "nothing to do: a stop is not a leave";
    ScaledToZero, "scaled-to-zero", "any", "`leave --if-scaled-down`: the StatefulSet wants no replicas at all",
        "done", "nothing to do: all are stopped, and none leaves";
    LeaderMovesFirst, "leader-moves-first", "own, damaged", "`leave`: noted, and this member leads: another one shall before it goes",
        "move-leadership", "nothing to do";
    Leaving, "leaving", "own, damaged, empty", "`leave`: quorate, and the others have a quorum without it, or without what a pod has added that never ran; no note of it / noted / an add from here may still be applied, within ten seconds",
        "note-left / remove-member / wait", "nothing to do";
    WouldCostQuorum(Rest), "would-cost-quorum", "own, damaged, empty", "`leave`: the others would have no quorum without it: too few of them answer at their peer URLs, or none of them is a voter that has started: its set has shrunk, within ten seconds / noted that it left / not noted",
        "wait / forget-left / refuse", "bring them back, or let a learner be promoted, then leave again; to end the cluster of an only member, stop it", surroundings;
    LeftToAnother(MemberId, MemberId), "left-to-another", "own, damaged", "`leave`: the member that this data belongs to is gone from the cluster, and another one has its place there",
        "refuse", "to take that one out too, run `etcdctl member remove`", surroundings;
    LeavingUnheard(ClusterId, Vec<Peer>), "leaving-unheard", "own, damaged, empty", "`leave`: no leader of its own cluster is proven / for ten seconds",
        "wait / refuse", "bring back enough of the members for a leader, then leave again", surroundings;
    LeavingRefused(Option<String>), "leaving-refused", "own, damaged", "`leave`: for ten seconds the cluster has refused to remove it, or has not been heard: noted that it left / not noted",
        "forget-left / refuse", "see the refusal's own words, then leave again", surroundings;
    LeavingUnsure(Option<String>), "leaving-unsure", "own, damaged", "`leave`: it may be removed all the same, as no answer was a clear no, so it stays noted that it left",
        "refuse", "run `etcd-rejoin leave` again, or `etcd-rejoin leave --undo` to stay: until then its next start refuses (reason=left)", surroundings;
    NoIdentity, "no-identity", "damaged, empty", "`leave`: nothing here says which member this is",
        "refuse", "leave where its data lies, or take its entry out with `etcdctl member remove`", surroundings;
    WalElsewhere(Misplaced), "wal-elsewhere", "empty", "the WAL lies where the last start had it, or within the data dir, and ETCD_WAL_DIR leads to a place that has none",
        "refuse", "set ETCD_WAL_DIR to where the WAL lies, or move the files; ETCD_WAL_DIR is left out where the WAL lies within the data dir", surroundings;
    WalDirNotEmpty(Misplaced), "wal-dir-not-empty", "empty", "ETCD_WAL_DIR is a place by itself that holds no WAL, and something that is not ours: etcd would delete it when it makes its WAL there",
        "refuse", "name a directory of its own in ETCD_WAL_DIR", surroundings;
    KeyUnfit(String), "key-unfit", "damaged, empty", "the certificate or key with which the others are asked over https is no use",
        "refuse", "correct the file that it names", configuration;
    VolumeOfAnotherMember(Whose), "volume-of-another-member", "own, damaged", "the cluster lists the volume's member under a name and peer URLs that are not ours; or nobody answers, and its own database lists it as another member of our initial cluster",
        "refuse", "mount this member's own volume, or correct ETCD_NAME and ETCD_INITIAL_ADVERTISE_PEER_URLS";
    TwinAlive, "twin-alive", "any", "our member already runs somewhere else",
        "refuse", "stop the other process that runs as this member, or give this one a name and URLs of its own";
    OtherCluster(Vec<Peer>), "other-cluster", "own, damaged", "the others are another cluster than the one on this volume",
        "refuse", "point this member at its own cluster, or move the data dir away by hand if it is not wanted";
    OtherHistory(Histories), "other-history", "own, damaged", "quorate, with this volume's cluster ID, and without what was committed here: it has come less far than this volume, or lists again what this member was founded as and was removed since",
        "refuse", "keep a copy of both sides, and decide which one is right. This volume's: stop the others, move their data away, start this member once with etcd's --force-new-cluster (docs/lost-majority.md of etcd-rejoin says how), and start the others empty. The others': move this data dir away by hand, and this member joins them empty";
    StartFailed, "start-failed", "own, empty", "the same start has just failed on trial, and nothing has changed since",
        "refuse", "what etcd printed says why; the exit code is etcd's", as_etcd;
    CannotStart(String), "cannot-start", "any", "a step is due that counts on a start, and etcd could not start here: it cannot listen at one of its URLs, the disk is full or read-only, the WAL dir is a mount point, or it is older than the cluster or the data, or more than one minor version newer than the cluster",
        "refuse", "free the port or the disk, correct the URL, or run an etcd of the others' version; until then no step is taken", surroundings;
    VersionSkip(String), "version-skip", "own, empty", "etcd would start, and does not take over this data: it is older than the data or its cluster, more than one minor version newer, or would not get over what lies in it / nor does it join this cluster",
        "refuse", "run the etcd that it names; the data is left as it is", surroundings;
    UrlListedTwice(Vec<Member>), "url-listed-twice", "any", "a step is due that counts on a start, and the cluster lists a peer URL of another member twice: no etcd joins beside that",
        "refuse", "run `etcdctl member update` as it says, with each URL once; until then no step is taken";
    PeerUrlsNotGiven, "peer-urls-not-given", "any", "this member has to join the others, and nobody said what its peer URL is: etcd's default, http://localhost:2380, leads each of them to itself",
        "refuse", "set ETCD_INITIAL_ADVERTISE_PEER_URLS, or name this member in ETCD_INITIAL_CLUSTER", configuration;
    GivenUp(Option<Leaderless>), "given-up", "own", "this identity was given up: listed / not listed / no leader",
        "remove-member / quarantine / wait", "nothing to do: it goes on once the others have a leader", loss;
    DataBehind, "data-behind", "own", "quorate, listed; on trial etcd found that acknowledged entries are missing here",
        "give-up", "nothing to do", loss;
    Removed(Option<Leaderless>), "removed", "own", "quorate, id not listed; joining allowed / REJOIN_AS=never / no leader is proven, and the volume's own database lists this member as removed",
        "quarantine / refuse / wait", "nothing to do: it joins again, once the others have a leader / REJOIN_AS=auto lets it join again, and sets its data aside", loss;
    PeerUrlsChanged(Vec<String>), "peer-urls-changed", "own", "quorate, listed under our name with other peer URLs",
        "update-peer-urls", "nothing to do";
    PeerUrlMisleads(Misleads), "peer-url-misleads", "any", "the others would look for this member at its peer URL from now on, and that leads nowhere, or to somebody else, as far as can be told from here: instead of a step that counts on it / of publishing it",
        "wait / start with data", "correct ETCD_INITIAL_ADVERTISE_PEER_URLS; where the others do reach this member there, name the URL in REJOIN_IGNORE / where a headless service has no address of this pod: delete the pod, or set publishNotReadyAddresses: true on that service";
    SetAsideNotNeeded, "set-aside-not-needed", "own", "quorate, listed as a started voter; REJOIN_DATA=delete and more set aside than REJOIN_DATA_KEEP",
        "delete-set-aside", "REJOIN_DATA=quarantine keeps what was set aside";
    OwnLearner, "own-learner", "own", "quorate, listed as learner / it runs, and somebody lists it / nobody who answers does",
        "start with data / promote-member / wait", "nothing to do: it is promoted when it has caught up, if we added it";
    Voter, "voter", "own", "it runs, was added as a learner, and is a voter now: noted / no longer",
        "forget-learner / done", "nothing to do";
    OwnData(Confirmed), "own-data", "own", "quorate, listed / a peer lists this member just as it is here",
        "start with data", "nothing to do";
    NoLeader, "no-leader", "own", "others answer, no leader is proven",
        "start with data", "nothing to do: it may be the one that is missing";
    NobodyAnswers(Alone), "nobody-answers", "own", "no other member answers",
        "start with data", "nothing to do: etcd waits for the others";
    TwoClusters(Vec<Peer>), "two-clusters", "damaged, empty", "the answers name two cluster IDs",
        "refuse", "find out which cluster is the right one, and stop or reconfigure the members of the other";
    TwoEntries, "two-entries", "damaged, empty", "our peer URL and our name are two different entries of the member list",
        "refuse", "remove the entry that is not wanted with `etcdctl member remove`, or correct ETCD_NAME and the peer URL";
    DataDamaged, "data-damaged", "damaged", "quorate; its id listed / the same, and given up or not to be read / not listed",
        "give-up / remove-member / quarantine", "nothing to do", loss;
    DataDamagedNoQuorum(Leaderless), "data-damaged-no-quorum", "damaged", "no leader is proven: it may be the last copy",
        "wait", "bring the other members back; only if they are lost for good: repair or restore by hand", no_majority;
    JoiningForbidden, "joining-forbidden", "any", "quorate, and a remove or add would be needed, but REJOIN_AS=never",
        "refuse", "REJOIN_AS=auto lets it rejoin";
    DataLost, "data-lost", "empty", "quorate, listed as started",
        "remove-member", "nothing to do", loss;
    AddedNotOurs(Member), "added-not-ours", "empty", "quorate, listed as unstarted, and no note on this volume names it: it may have voted on another one, or, as a learner, acknowledged what counts once it is promoted",
        "remove-member", "nothing to do";
    AddedUnderOldUrl, "added-under-old-url", "empty", "quorate, and the unstarted member that our join note names has other peer URLs than ours now",
        "remove-member", "nothing to do";
    NoteAdded, "note-added", "empty", "quorate, listed as unstarted, as our add was answered; as third voter: both others must know of it across a crash",
        "note-join / settle-join", "nothing to do";
    AddedNotStarted, "added-not-started", "empty", "listed as unstarted, and a note on this volume proves that it never ran",
        "start existing", "nothing to do";
    PeerLags(Vec<String>), "peer-lags", "empty", "the same, but a peer does not list the members yet that the leader does, and etcd may take its list from there",
        "wait", "nothing to do: it goes on when that peer has caught up, or has listed the same for three seconds";
    NotListed, "not-listed", "empty", "quorate, not listed",
        "add-member", "nothing to do";
    AnotherRejoins, "another-rejoins", "empty", "quorate, not listed; adding now would cost margin while another member joins",
        "wait", "nothing to do: it goes on once the other one is a started voter (`etcdctl member list` shows it); one that shall stay a learner has to be removed until this member has joined";
    SecondOfTwo, "second-of-two", "empty", "no leader; for thirty seconds a two-member cluster that waits for us, and no third member asks for us: the other one holds every acknowledged write",
        "start existing", "nothing to do", loss;
    DataLostNoLeader(Leaderless), "data-lost-no-leader", "empty", "no leader, listed; no note on this volume proves that it never ran, or what the others list has not stayed the same for three seconds (thirty, where it is the other one of two)",
        "wait", "bring back enough of the other members for a leader; if they are lost for good, run plain etcd once with --force-new-cluster in the place of the member that has the last copy (docs/lost-majority.md of etcd-rejoin)", no_majority;
    NotListedNoLeader(Leaderless), "not-listed-no-leader", "empty", "no leader, not listed in what is seen",
        "wait", "bring back enough of the other members for a leader; if they are lost for good, run plain etcd once with --force-new-cluster in the place of the member that has the last copy (docs/lost-majority.md of etcd-rejoin)", no_majority;
    NotAllowed(Evidence), "not-allowed", "any", "so many of the others refuse to answer us that the rest, with us, is no quorum, or none of them is etcd yet; or a step of ours is refused: TLS, user, or gateway",
        "refuse", "see the refusal's own words; REJOIN_CACERT, REJOIN_CERT, REJOIN_KEY, REJOIN_USER and REJOIN_PASSWORD_FILE say how we speak to client URLs, ETCD_PEER_* how to peer URLs";
    FirstStartContinued, "first-start-continued", "empty", "founding promise; a peer has left the first start for etcd",
        "start new", "nothing to do";
    FirstStart(Founders), "first-start", "empty", "every other member has promised (with REJOIN_BOOTSTRAP=now, whoever answers), or there is none; and no running cluster asks for us",
        "start new", "nothing to do";
    FirstStartPromise(Founders, Vec<Peer>), "first-start-promise", "empty", "every other member was heard empty or promised in one look (with REJOIN_BOOTSTRAP=now, whoever answers) / not all have promised yet",
        "promise / wait", "nothing to do: it goes on when the others have promised too";
    Listening(Alone), "listening", "empty", "a first start is due, and a running cluster that lists this member would ask for it now",
        "wait", "nothing to do: it goes on when it has listened for a second and a half (as the only member of the initial cluster: five seconds; longer with a long election timeout), and no cluster asks for it";
    CalledByACluster(Vec<Knock>), "called-by-a-cluster", "empty", "a first start is due, and a running cluster asks for this member at its peer URL: one that the initial cluster does not name, or that cannot be read / an etcd looks whether this member is here, and has not said yet who it is",
        "refuse / wait", "nothing was founded; name the other members in ETCD_INITIAL_CLUSTER, or their client URLs in ETCD_OTHER_PEERS_CLIENT_URLS, and this member joins them again; if it shall not, `etcdctl member remove` it there", shown;
    PeerHasData(Vec<Peer>), "peer-has-data", "empty", "no etcd runs yet, and a peer holds data: this is no first start",
        "wait", "start etcd on the peers that hold data; this member joins them";
    NotAllHeard(Unheard), "not-all-heard", "empty", "some member of the initial cluster was not heard: an empty disk beside a cut cable looks the same",
        "wait", "start the missing members";
    NowRuledOut(Evidence), "now-ruled-out", "empty", "REJOIN_BOOTSTRAP=now, and somebody answers who is not known to be in the same first start",
        "wait", "see who answers there, and start it, or correct the URL; `now` founds where nobody answers who is not empty too";
    DataSetAside(Vec<Peer>), "data-set-aside", "empty", "all are empty, but a volume holds data that was set aside, or a database without its WAL",
        "refuse", "put it back with `etcd-rejoin quarantine put-back`, or bring the WAL back, then see docs/lost-majority.md of etcd-rejoin; or delete it by hand if it is not wanted", shown;
    DataElsewhere(Elsewhere), "data-elsewhere", "empty", "a first start is due, and etcd's data lies at another place that this member may have had: its ID or its cluster is ours, or it lies in the data dir, around it, or where etcd images keep it",
        "refuse", "set ETCD_DATA_DIR to where the data lies; if this member shall begin without it, move it away, or name its path in REJOIN_IGNORE", shown;
    FoundingForbidden(JoinsOnly), "founding-forbidden", "empty", "all are empty, but ETCD_INITIAL_CLUSTER_STATE=existing or REJOIN_BOOTSTRAP=never, or ETCD_INITIAL_CLUSTER cannot be founded as it is written",
        "wait", "start the cluster that this member shall join, or allow it to found one";
    PeersDisagree(Vec<Peer>), "peers-disagree", "empty", "all are empty, and were given another initial cluster or token",
        "refuse", "give every member the same ETCD_INITIAL_CLUSTER and ETCD_INITIAL_CLUSTER_TOKEN", shown;
    RestorePending(u64), "restore-pending", "own", "an order to restore, and this volume's lineage is quorate without us: an order never lowers the margin",
        "start with data", "to carry the order out, restart all members at once; `etcd-rejoin restore cancel` takes it back";
    RestoreOrdered(u64, Vec<String>), "restore-ordered", "any", "an order, and no lineage before it is quorate; not noted on this volume / noted: too many others were not heard to wait for it, its snapshot is not verified, or the store does not say what became of it",
        "note-order / wait", "stop the members that still run, and start them again; `etcd-rejoin restore cancel` takes the order back", no_majority;
    RestoreBegun(u64, String), "restore-begun", "any", "an order to restore: so many wait for it that the rest is no quorum, and its snapshot is verified; then the order is begun: data of an older lineage / empty, and the first by name / another one restores",
        "begin-order / set-aside-for / begin-lineage / restore-snapshot / wait", "nothing to do: the members join when the first one has restored", loss;
    SurvivorSeeds(u64, String), "survivor-seeds", "any", "an order to go on with what one member has: every other one waits for it, or is named as destroyed and does not answer; then the order is begun: that member / another one",
        "begin-order / begin-lineage / continue-lineage / wait", "nothing to do: the members join when that one has begun", loss;
    OrderOver(u64), "order-over", "any", "this volume waits for an order that was cancelled, or whose lineage is here",
        "forget-order", "nothing to do";
    Superseded(u64), "superseded", "own, damaged", "a later lineage is quorate, by the store's own chain: this volume was passed over by a restore",
        "set-aside-for", "nothing to do: it joins the restored cluster", loss;
    SupersededUnproven(Option<u64>, Vec<Peer>), "superseded-unproven", "own", "the store has a later lineage, and nobody proves a leader of it; or the store does not answer, and a member of the initial cluster is of another cluster",
        "wait", "start the members of the later lineage, or let the store be read", no_majority;
    StoreUnreachable(String), "store-unreachable", "empty", "a first start is due, or a member with a new peer URL, and the store does not answer",
        "wait", "let the store be read: what it holds decides whether this is a first start";
    StoreCannotDecide, "store-cannot-decide", "empty", "the store ignores the condition of a conditional create, so that two members could decide two things",
        "refuse", "use a store that honours If-None-Match, or a directory", surroundings;
    StoreDisagrees(String), "store-disagrees", "empty", "what lies in the store is not the history of one cluster",
        "refuse", "point REJOIN_STORE at this cluster's own store, or at an empty prefix";
    UrlUnrecorded, "url-unrecorded", "empty", "quorate, not listed, and the store does not know this peer URL: a total loss would not ask for it",
        "record-url", "nothing to do";
    FirstStartMarked, "first-start-marked", "empty", "every other member has promised, and a successful listing of the store was empty",
        "mark-store", "nothing to do";
    MarkedWithoutSnapshot(Nonce), "marked-without-snapshot", "empty", "the store's marker lists other promises, and there is no snapshot: a cluster was founded with it, and no copy of its data is here",
        "wait", "find that cluster's disks; if its data is not wanted any more, remove the marker of that nonce from the store by hand", no_majority;
    TotalLoss(Base), "total-loss", "damaged, empty", "everybody that the initial cluster and the store name was heard to hold nothing, all have REJOIN_RECOVER=auto, and this is the first by name",
        "begin-lineage / set-aside-for / restore-snapshot", "nothing to do", loss;
    SeedRestores(String), "seed-restores", "damaged, empty", "the same, and another member is the first by name",
        "wait", "nothing to do: it joins when that one has restored; if that one does not, see its log", no_majority;
    TotalLossHeld(Vec<String>), "total-loss-held", "damaged, empty", "the same, but with REJOIN_RECOVER=hold",
        "wait", "`etcd-rejoin restore` restores; REJOIN_RECOVER=auto on each member does it without a word", no_majority;
    SettingsDiffer(Vec<String>), "settings-differ", "damaged, empty", "the same, but not all have the same store and the same version of these rows",
        "wait", "give every member the same REJOIN_STORE, and the same version of etcd-rejoin", no_majority;
    Leftovers, "leftovers", "empty", "files without a WAL lie where etcd is about to start",
        "set-aside-leftovers", "nothing to do";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().name)
    }
}

/// The decision table as Markdown; the documentation holds it, a test keeps them equal.
pub fn table() -> String {
    table_of(Reason::ALL.iter())
}

/// The part of it that a store of snapshots brings along.
pub fn recovery_table() -> String {
    let all = Reason::ALL.iter();
    let begin = all.skip_while(|reason| **reason != Reason::RestorePending);
    table_of(begin.take_while(|reason| **reason != Reason::Leftovers))
}

fn table_of<'a>(reasons: impl Iterator<Item = &'a Reason>) -> String {
    let mut text = String::from("| data dir | cluster | decision | reason |\n|---|---|---|---|\n");
    for reason in reasons {
        let row = reason.row();
        text += &format!(
            "| {} | {} | {} | `{}` |\n",
            row.data, row.when, row.decision, row.name
        );
    }
    text
}

/// What to do about each row, as Markdown; the documentation holds it, a test keeps them equal.
pub fn cures_table() -> String {
    let mut text = String::from("| reason | | what to do |\n|---|---|---|\n");
    for reason in Reason::ALL {
        let row = reason.row();
        let urgency = match (row.decision, row.gravity) {
            ("refuse", _) => "alert",
            ("wait", Gravity::Loss | Gravity::NoMajority) => "alert if it stays",
            (decision, _) if decision.contains("refuse") => "alert where it refuses",
            (_, Gravity::Loss) => "warn",
            (_, Gravity::Usual | Gravity::NoMajority) => "",
        };
        text += &format!("| `{}` | {urgency} | {} |\n", row.name, row.cure);
    }
    text
}
