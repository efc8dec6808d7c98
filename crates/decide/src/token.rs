//! The cluster token where there is a store: the random text of a founding or of a restore is in it. So the IDs of that
//! cluster are nobody else's, also where two places share names, URLs and token.

use std::borrow::Cow;

use super::{Nonce, Observation, Policy, StoreSeen};
use crate::membership::MemberId;

/// The token of the cluster that was founded, or restored, with this nonce.
pub fn lineage_token(token: &str, nonce: &Nonce) -> String {
    format!("{token}-rejoin-{}", nonce.0)
}

impl Policy {
    /// With the IDs that etcd would compute for a new cluster with this token.
    pub fn with_ids_of(self, token: &str) -> Policy {
        let other = |name: &str, urls: &[String]| {
            name != self.name && !urls.iter().any(|url| self.peer_urls.contains(url))
        };
        let others = self.initial.iter().filter(|(name, urls)| other(name, urls));
        let others = others.filter_map(|(name, _)| self.initial.static_id(name, token));
        Policy {
            static_cluster: self.initial.static_cluster_id(token),
            static_id: (self.initial.static_id(&self.name, token)).unwrap_or(MemberId(0)),
            static_others: others.collect(),
            ..self
        }
    }

    /// The same, once the store says which founding it is of: its nonce is in the token.
    pub fn of_founding(&self, seen: &Observation) -> Cow<'_, Policy> {
        match seen.founding_token(self) {
            Some(token) => Cow::Owned(self.clone().with_ids_of(&token)),
            None => Cow::Borrowed(self),
        }
    }
}

impl Observation {
    /// The token that the cluster is founded with, once the store says so.
    pub fn founding_token(&self, policy: &Policy) -> Option<String> {
        match &self.store {
            Some(StoreSeen::Read(kept)) => {
                let marker = kept.marker.as_ref()?;
                Some(lineage_token(policy.token.as_deref()?, &marker.nonce))
            }
            Some(StoreSeen::Silent(_)) | None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::{ClusterId, InitialCluster};
    use crate::{
        Decision, Heard, Holds, Kept, KeptMarker, Knock, Peer, Reason, SaidOfStore, TABLE, decide,
    };

    fn policy() -> Policy {
        let initial = "n1=http://n1:2380,n2=http://n2:2380";
        let policy = Policy {
            name: "n1".into(),
            peer_urls: vec!["http://n1:2380".into()],
            initial: InitialCluster::parse(initial).unwrap(),
            token: Some("t".into()),
            ..Policy::default()
        };
        policy.with_ids_of("t")
    }

    fn store(nonce: Option<&str>) -> Option<StoreSeen> {
        let marker = nonce.map(|nonce| KeptMarker {
            nonce: Nonce(nonce.into()),
            promises: ["p1", "p2"].map(|it| Nonce(it.into())).into(),
        });
        Some(StoreSeen::Read(Kept {
            marker,
            ..Kept::default()
        }))
    }

    #[test]
    fn the_ids_of_a_founding_are_its_nonces() {
        let seen = |nonce: Option<&str>| Observation {
            store: store(nonce),
            ..Observation::default()
        };
        let ids = |nonce| {
            let policy = policy();
            let policy = policy.of_founding(&seen(nonce)).into_owned();
            (
                policy.static_cluster,
                policy.static_id,
                policy.static_others,
            )
        };
        assert_eq!(ids(None).0, policy().static_cluster);
        assert_ne!(ids(Some("a")), ids(None));
        assert_ne!(ids(Some("a")), ids(Some("b")));
        let without = Policy {
            token: None,
            ..policy()
        };
        assert_eq!(
            without.of_founding(&seen(Some("a"))).static_cluster,
            ids(None).0
        );
    }

    /// The store was read before the other founder has marked it, and gone on to etcd.
    #[test]
    fn a_founder_that_calls_before_its_marker_is_read_is_waited_for() {
        let founder = policy().with_ids_of(&lineage_token("t", &Nonce("a".into())));
        let seen = |nonce: Option<&str>| Observation {
            promise: true,
            promise_nonce: Some(Nonce("p1".into())),
            listened: true,
            peers: vec![Peer {
                name: "n2".into(),
                initial: true,
                heard: Heard::Entrypoint {
                    holds: Holds::Promised,
                    differs: None,
                },
            }],
            said: vec![SaidOfStore {
                name: "n2".into(),
                recover: Default::default(),
                table: TABLE,
                marker: nonce.map(|nonce| Nonce(nonce.into())),
                promise: Some(Nonce("p2".into())),
                waits_for: None,
            }],
            knocks: vec![Knock::Member {
                id: founder.static_others[0],
                cluster: founder.static_cluster,
                wants: None,
            }],
            store: store(nonce),
            ..Observation::default()
        };
        let decided = |nonce| decide(&policy(), &seen(nonce));
        let early = decided(None);
        assert!(matches!(early, Decision::Wait(_)), "{early:?}");
        assert_eq!(early.reason(), Reason::CalledByACluster);
        assert_eq!(decided(Some("a")).reason(), Reason::FirstStart);
        let other = decided(Some("b"));
        assert!(matches!(other, Decision::Refuse(_)), "{other:?}");
        assert_ne!(founder.static_cluster, ClusterId(0));
    }
}
