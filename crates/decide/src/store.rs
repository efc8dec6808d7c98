//! What the store of snapshots holds, as plain values, and what follows from that alone: which data history is the
//! newest, who belongs to it, and which snapshot begins the next one.
//!
//! The store remembers what no empty disk can. An empty or silent store alone proves nothing.

use serde::{Deserialize, Serialize};

use crate::membership::{ClusterId, MemberId};

/// Clients of a seed alone are held by etcd itself: by an alarm `CORRUPT` of this member, which no cluster has. While it
/// is there nothing is written, and whatever else etcd does goes on. Whoever becomes the second voter takes it away.
pub const HELD_BY: MemberId = MemberId(u64::from_be_bytes(*b"rejoined"));

/// Whether this is that alarm, as a member's status tells it (etcd `server/etcdserver/api/v3rpc/maintenance.go`,
/// `Status`).
pub fn is_held(error: &str) -> bool {
    error.contains(&format!("memberID:{} ", HELD_BY.0))
}

/// Whether a cluster that lost everything comes back by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recover {
    /// It waits for a person's word.
    #[default]
    Hold,
    /// From the newest good snapshot, once every member was heard to hold nothing.
    Auto,
}

/// A random text that tells one promise, founding or lineage from every other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce(pub String);

/// What another entrypoint says of the store, beside what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SaidOfStore {
    /// Its name, as that of the peer: who was asked knows it.
    #[serde(skip)]
    pub name: String,
    /// Whether it would come back from a total loss by itself.
    pub recover: Recover,
    /// Which version of the rows of a restore it has.
    pub table: u32,
    /// The marker that it reads in its store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker: Option<Nonce>,
    /// Which founding promise it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promise: Option<Nonce>,
    /// It waits for the order of this number, and has noted so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<u64>,
}

/// What the store answered in a look.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StoreSeen {
    /// Nothing that counts: it is silent, refuses us, or could not be listed. In words. That is no evidence that it is
    /// empty.
    Silent(String),
    /// A successful listing.
    Read(Kept),
}

/// What lies in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Kept {
    /// It ignores the condition of a conditional create: the same key was put twice. Nothing can be decided once there.
    pub cannot_decide: bool,
    /// Whose store it is: written once, when the cluster was founded or adopted.
    pub marker: Option<KeptMarker>,
    /// The histories, oldest first. The founding's is the first one.
    pub lineages: Vec<KeptLineage>,
    /// The snapshots that have a manifest.
    pub snapshots: Vec<KeptSnapshot>,
    /// The orders to restore.
    pub orders: Vec<KeptOrder>,
    /// The members of the newest manifest, and those whose URLs were recorded before their add.
    pub members: Vec<KeptMember>,
}

/// The marker of a founding. A second one cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeptMarker {
    /// Which founding. The token of its cluster includes it, so its cluster ID is nobody else's.
    pub nonce: Nonce,
    /// The promises that it was founded on; none where a running cluster was adopted.
    pub promises: Vec<Nonce>,
}

/// A data history: founded or restored once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeptLineage {
    /// Its number: later ones have larger numbers, and not every number is used.
    pub number: u64,
    /// Which one it is; the founding's nonce is the marker's.
    pub nonce: Nonce,
    /// Which history it goes on with; none for the founding.
    pub parent: Option<Nonce>,
    /// Its cluster's ID.
    pub cluster: ClusterId,
    /// The name of the snapshot that it begins with; none where it was founded, or goes on with a survivor's data.
    pub base: Option<String>,
}

/// A snapshot, by its manifest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeptSnapshot {
    /// Its name.
    pub name: String,
    /// The number of its lineage.
    pub lineage: u64,
    /// Its revision. Of one lineage the larger one is the newer one; no clock is asked.
    pub revision: u64,
    /// It was read, and is not what its manifest says.
    pub bad: bool,
}

/// An order, written by an operator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeptOrder {
    /// The number of the lineage that it begins.
    pub number: u64,
    /// What that lineage goes on with.
    pub what: Ordered,
    /// What became of it, once decided.
    pub outcome: Option<OrderOutcome>,
}

/// What an order goes on with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ordered {
    /// This snapshot: nothing newer, and nothing older.
    Snapshot {
        /// Its name.
        name: String,
        /// It was read, and is what its manifest says.
        verified: bool,
    },
    /// What this member has, where the majority is lost for good.
    Survivor {
        /// Its name.
        name: String,
        /// Those whose data is destroyed, by the operator's word.
        destroyed: Vec<String>,
    },
}

impl Ordered {
    /// The snapshot that the lineage begins with; none where it goes on with a member's own data.
    pub fn base(&self) -> Option<&String> {
        match self {
            Ordered::Snapshot { name, .. } => Some(name),
            Ordered::Survivor { .. } => None,
        }
    }
}

/// What became of an order: decided once, by a conditional create.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OrderOutcome {
    /// It is carried out: what is older than its lineage is never started again.
    Begun,
    /// It never will be.
    Cancelled,
}

/// A member that the store knows of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeptMember {
    /// Its name; the name of a peer where it was asked.
    pub name: String,
    /// Its peer URLs.
    pub peer_urls: Vec<String>,
    /// The newest manifest lists it with a vote.
    pub voter: bool,
}

/// Which snapshot a total loss begins the next lineage with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Base {
    /// Its name.
    pub name: String,
    /// Newer ones of its history, in words, that were passed over because they are bad.
    pub passed_over: Vec<String>,
}

impl Kept {
    /// Nothing was ever kept here.
    pub fn is_empty(&self) -> bool {
        self.marker.is_none() && self.lineages.is_empty() && self.snapshots.is_empty()
    }

    /// Why this is not the store of one cluster, whole: a history that does not go back to the marker.
    pub fn disagreement(&self) -> Option<String> {
        let Some(marker) = &self.marker else {
            let kept = !self.lineages.is_empty() || !self.snapshots.is_empty();
            return kept.then(|| "there are snapshots or lineages, and no marker".into());
        };
        let whole = |lineage: &&KeptLineage| match &lineage.parent {
            None => lineage.nonce == marker.nonce,
            Some(parent) => {
                let mut older = (self.lineages.iter()).filter(|it| it.number < lineage.number);
                older.any(|it| it.nonce == *parent)
            }
        };
        let astray = self.lineages.iter().find(|lineage| !whole(lineage));
        if let Some(astray) = astray {
            let number = astray.number;
            return Some(format!("lineage {number} does not go back to the marker"));
        }
        let of_none = |it: &&KeptSnapshot| self.lineage(it.lineage).is_none();
        let stray = self.snapshots.iter().find(of_none);
        stray.map(|it| format!("snapshot {} is of no lineage that is listed", it.name))
    }

    /// The newest lineage.
    pub fn newest(&self) -> Option<&KeptLineage> {
        self.lineages.iter().max_by_key(|lineage| lineage.number)
    }

    /// The lineage of this number.
    pub fn lineage(&self, number: u64) -> Option<&KeptLineage> {
        self.lineages.iter().find(|it| it.number == number)
    }

    /// The lineage of this cluster. An old copy of a store, or another cluster's, has none.
    pub fn lineage_of(&self, cluster: ClusterId) -> Option<&KeptLineage> {
        self.lineages.iter().find(|it| it.cluster == cluster)
    }

    /// The number that the next lineage gets: what an order was given is not used again.
    pub fn next_number(&self) -> u64 {
        let lineages = self.lineages.iter().map(|it| it.number);
        let orders = self.orders.iter().map(|it| it.number);
        1 + lineages.chain(orders).max().unwrap_or(0)
    }

    /// The newest order that was not cancelled. A new one is written only when the one before has been decided.
    pub fn newest_order(&self) -> Option<&KeptOrder> {
        let cancelled = Some(OrderOutcome::Cancelled);
        let orders = self.orders.iter().filter(|it| it.outcome != cancelled);
        orders.max_by_key(|order| order.number)
    }

    /// The order of this number.
    pub fn order(&self, number: u64) -> Option<&KeptOrder> {
        self.orders.iter().find(|order| order.number == number)
    }

    /// The newest good snapshot of the newest lineage's own history.
    ///
    /// A lineage goes on from its base: what its parent had after that was rolled back, by an order or because it was
    /// bad, and comes back by none of these. Older than the base there is what the base itself goes back to.
    pub fn base(&self) -> Option<Base> {
        let mut lineage = self.newest();
        let mut at_most = u64::MAX;
        let mut passed_over = Vec::new();
        while let Some(here) = lineage {
            let mut own: Vec<&KeptSnapshot> = (self.snapshots.iter())
                .filter(|it| it.lineage == here.number && it.revision <= at_most)
                .collect();
            let newest = |own: &[&KeptSnapshot]| {
                let all = own.iter().enumerate();
                let newest = all.max_by_key(|(_, it)| (it.revision, &it.name));
                newest.map(|(at, _)| at)
            };
            while let Some(at) = newest(&own) {
                let snapshot = own.swap_remove(at);
                if !snapshot.bad {
                    let name = snapshot.name.clone();
                    return Some(Base { name, passed_over });
                }
                let (name, revision) = (&snapshot.name, snapshot.revision);
                passed_over.push(format!("{name}, revision {revision}"));
            }
            // A survivor's lineage has none: others have set aside what it may have had, and a person has to choose.
            let base = here.base.as_ref()?;
            let base = self.snapshots.iter().find(|it| it.name == *base)?;
            lineage = self.lineage(base.lineage);
            at_most = base.revision;
        }
        None
    }
}
