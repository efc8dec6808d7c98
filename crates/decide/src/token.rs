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
