//! What was seen, in words: the log and `status` say the same.

use super::{
    Begin, DataDir, Heard, Holds, Identity, ListedHere, Observation, Peer, Policy, Start, Step,
    StoreSeen,
};
use super::{is_settled, own_id};
use crate::membership::{Member, MemberId, quorum};

impl Heard {
    /// How a peer answered, in a few words.
    pub fn short(&self) -> &'static str {
        match self {
            Heard::Silent(_) => "silent",
            Heard::Etcd { .. } => "runs etcd",
            Heard::Entrypoint {
                differs: Some(_), ..
            } => "was given other settings",
            Heard::Entrypoint {
                holds,
                differs: None,
            } => match holds {
                Holds::Empty => "is empty",
                Holds::Alone => "is alone in its initial cluster",
                Holds::Promised => "has promised",
                Holds::Own(_) => "has data",
                Holds::Damaged => "has damaged data",
                Holds::SetAside => "has data set aside",
                Holds::Called => "is asked for by a running cluster",
            },
            Heard::Refused(_) => "refuses us",
            Heard::Nonsense(_) => "answers nonsense",
        }
    }

    /// How a peer answered, with its words.
    pub fn words(&self) -> String {
        match self {
            Heard::Silent(why) | Heard::Refused(why) | Heard::Nonsense(why) => {
                format!("{}: {why}", self.short())
            }
            Heard::Etcd { cluster, members } => {
                format!(
                    "runs etcd of cluster {cluster}, lists {}",
                    in_one_line(members)
                )
            }
            Heard::Entrypoint {
                differs: Some(differs),
                ..
            } => {
                format!("waits to start, and was given {differs}")
            }
            Heard::Entrypoint { .. } => format!("waits to start, {}", self.short()),
        }
    }
}

/// A member list in one line.
pub fn in_one_line(members: &[Member]) -> String {
    let members: Vec<String> = members.iter().map(member).collect();
    members.join(", ")
}

fn member(member: &Member) -> String {
    let name = if member.name.is_empty() {
        "(no name)"
    } else {
        &member.name
    };
    let state = match (member.started(), member.learner) {
        (true, false) => "",
        (true, true) => " learner",
        (false, false) => " unstarted",
        (false, true) => " unstarted learner",
    };
    format!("{name} {}{state}", member.id)
}

impl DataDir {
    /// In one word.
    pub fn word(&self) -> &'static str {
        match self {
            DataDir::Empty => "empty",
            DataDir::Own(_) => "own",
            DataDir::Damaged { .. } => "damaged",
        }
    }

    /// Whose it is, where that is known.
    pub fn identity(&self) -> Option<Identity> {
        match self {
            DataDir::Empty => None,
            DataDir::Own(identity) => Some(*identity),
            DataDir::Damaged { head } => *head,
        }
    }
}

impl StoreSeen {
    /// What it holds, in a few words.
    pub fn words(&self) -> String {
        let kept = match self {
            StoreSeen::Silent(why) => return format!("silent: {why}"),
            StoreSeen::Read(kept) => kept,
        };
        let Some(newest) = kept.newest() else {
            return "empty".into();
        };
        let snapshots = match kept.snapshots.len() {
            1 => "1 snapshot".into(),
            many => format!("{many} snapshots"),
        };
        let mut words = format!("lineage {}, {snapshots}", newest.number);
        if let Some(order) = kept
            .newest_order()
            .filter(|order| order.number > newest.number)
        {
            words += &format!(", order {}", order.number);
        }
        words
    }
}

impl Observation {
    /// The cluster in one word.
    pub fn cluster_word(&self, policy: &Policy) -> &'static str {
        match (&self.quorate, self.views().next()) {
            (Some(_), _) => "quorate",
            (None, Some(_)) if is_settled(policy, self) => "listed",
            (None, Some(_)) if self.is_refused() => "leader-not-told",
            (None, Some(_)) => "no-leader",
            (None, None) if policy.is_alone() && self.peers.is_empty() => "alone",
            (None, None) => "unreachable",
        }
    }

    /// Further failures that the cluster survives, as far as the peers answered. `own` runs here, and well.
    ///
    /// None where no leader is proven, or some other voter was not asked: it may well be healthy.
    pub fn margin(&self, policy: &Policy, own: Option<MemberId>) -> Option<i64> {
        let quorate = self.quorate.as_ref()?;
        let ourselves = match self.data.identity() {
            Some(identity) => Some(identity.member),
            None => own_id(policy, &quorate.members),
        };
        let answers =
            |member: &Member| self.answers(member) || member.client_urls.contains(&quorate.at);
        let (mut voters, mut healthy) = (0, 0);
        for member in quorate.members.iter().filter(|member| !member.learner) {
            let was_asked = || self.asked(member).next().is_some();
            voters += 1;
            if own == Some(member.id) || answers(member) {
                healthy += 1;
            } else if member.started() && ourselves != Some(member.id) && !was_asked() {
                return None;
            }
        }
        Some(healthy - quorum(voters) as i64)
    }

    /// Whether this member of the quorate cluster answers as etcd at its own peer URL.
    pub fn answers(&self, member: &Member) -> bool {
        let ours = self.quorate.as_ref().map(|quorate| quorate.cluster);
        self.asked(member).any(|peer| match &peer.heard {
            // An etcd of another cluster, or one that does not know of this member, is somebody else there.
            Heard::Etcd { cluster, members } => {
                ours == Some(*cluster) && members.iter().any(|listed| listed.id == member.id)
            }
            _ => false,
        })
    }

    /// The peers that this member is.
    pub fn asked(&self, member: &Member) -> impl Iterator<Item = &Peer> {
        (self.peers.iter())
            .filter(|peer| peer.name == member.name || peer.name == member.id.to_string())
    }

    /// The notes on this volume, by name.
    pub fn notes(&self) -> Vec<(&'static str, String)> {
        let mut notes = Vec::new();
        notes.extend(self.join_note.map(|id| ("join-note", id.to_string())));
        let flags = [
            (self.promise, "promise"),
            (self.given_up, "given-up"),
            (self.left, "left"),
            (self.listed_here == ListedHere::Removed, "removed"),
            (self.leftovers, "leftovers"),
            (self.stalled, "no-progress"),
            (self.twin, "twin"),
        ];
        let set = flags.iter().filter(|(on, _)| *on);
        notes.extend(set.map(|(_, name)| (*name, "yes".into())));
        notes.extend(
            self.order_note
                .map(|it| ("waits-for-order", it.to_string())),
        );
        let restoring = self.restoring.as_ref();
        notes.extend(restoring.map(|(number, _)| ("restoring", number.to_string())));
        if self.set_aside > 0 {
            notes.push(("set-aside", self.set_aside.to_string()));
        }
        notes
    }

    /// The member that a step is about.
    pub fn whose(&self, step: &Step) -> Option<MemberId> {
        match step {
            Step::NoteJoin(id)
            | Step::SettleJoin(id)
            | Step::RemoveMember(id)
            | Step::UpdatePeerUrls(id)
            | Step::PromoteMember(id)
            | Step::MoveLeadership(id) => Some(*id),
            Step::Quarantine
            | Step::GiveUp
            | Step::DeleteSetAside { .. }
            | Step::ForgetLearner
            | Step::NoteLeft
            | Step::ForgetLeft => self.own(),
            Step::AddMember { .. } | Step::SetAsideLeftovers | Step::Promise | Step::Store(_) => {
                None
            }
        }
    }

    /// The member that etcd starts as, where that is known by its ID.
    pub fn starts_as(&self, start: &Start) -> Option<MemberId> {
        match &start.begin {
            Begin::WithData => self.own(),
            Begin::Existing { id, .. } => Some(*id),
            Begin::New => None,
        }
    }

    fn own(&self) -> Option<MemberId> {
        self.data.identity().map(|identity| identity.member)
    }
}
