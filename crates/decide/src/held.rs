//! What in a row held, as plain values: `decide` tells it once, and nothing works it out again to say it.

use crate::membership::{Member, MemberId};
use crate::{Heard, JoinsOnly, Knock, Observation, Peer, Progress};

/// Who and what was heard that made the row hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Evidence {
    /// Members, and how they answered.
    pub peers: Vec<Peer>,
    /// What was said otherwise, in its own words.
    pub words: Vec<String>,
    /// Who asks for us.
    pub knocks: Vec<Knock>,
}

/// Whether no other member is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Alone(pub bool);

/// How it shows that a volume is another member's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Whose {
    /// The cluster lists it so; these peers run etcd.
    Listed(Vec<Peer>),
    /// Nobody answers, and its own database lists it so, as another member of our initial cluster.
    ListedHere(Member),
}

/// How far two histories of one cluster ID have come.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Histories {
    /// On this volume.
    pub here: Progress,
    /// Where the leader was proven.
    pub there: Option<Progress>,
    /// The URL where that was.
    pub at: String,
    /// They list this member, as which ours was founded, and which was removed since.
    pub founder: Option<MemberId>,
}

/// Who says that own data is a member of the cluster as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Confirmed {
    /// A leader.
    ByLeader,
    /// A peer's list; nobody was waited for to prove a leader.
    ByPeer,
}

/// Who is in the first start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Founders {
    /// This member alone.
    Alone,
    /// Every member of the initial cluster.
    All,
    /// `REJOIN_BOOTSTRAP=now`: whoever answers.
    Whoever,
}

/// A first start that somebody was not heard in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Unheard {
    /// Who was not, and who asks for us.
    pub evidence: Evidence,
    /// The initial cluster names only this member; others are known by their client URLs.
    pub alone: bool,
    /// What forbids founding besides.
    pub forbids: Option<JoinsOnly>,
}

/// No leader is proven.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Leaderless {
    /// What stood in the way, and who asks for us.
    pub evidence: Evidence,
    /// A join note lies on this volume.
    pub noted: bool,
    /// What would end it.
    pub outlook: Outlook,
}

/// What would end that no leader is proven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Outlook {
    /// The others may elect one.
    #[default]
    Election,
    /// Of two members the other one has it all, if it lists the same for half a minute.
    SecondOfTwo,
    /// Those who are silent: a first start began without this member.
    FirstStart,
    /// The other members; if there are only the two that are listed: an initial cluster that names no others.
    OnlyTwo,
    /// The other members.
    Others,
    /// Nobody: there is no other member.
    Nobody,
}

/// What would be left of a cluster without this member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rest {
    /// Other members.
    pub members: usize,
    /// Those of them that are voters.
    pub voters: usize,
    /// Those of these that have started, and answer at their peer URLs.
    pub answering: usize,
}

impl Observation {
    /// The peers that answered so.
    pub(crate) fn peers_that(&self, wanted: impl Fn(&Heard) -> bool) -> Vec<Peer> {
        let heard = self.peers.iter().filter(|peer| wanted(&peer.heard));
        heard.cloned().collect()
    }

    /// The peers that run etcd.
    pub(crate) fn running(&self) -> Vec<Peer> {
        self.peers_that(|heard| matches!(heard, Heard::Etcd { .. }))
    }
}
