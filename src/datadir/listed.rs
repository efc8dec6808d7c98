//! How the database lists the member whose data it is. Never writes.

use serde::Deserialize;

use super::written_for::ConfState;
use super::{Volume, lookup, snap};
use crate::decide::ListedHere;
use crate::membership::{Member, MemberId};

/// A member as etcd stores it (`server/etcdserver/api/membership/member.go`).
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct StoredMember {
    name: String,
    #[serde(rename = "peerURLs")]
    peer_urls: Vec<String>,
    #[serde(rename = "clientURLs")]
    client_urls: Vec<String>,
    #[serde(rename = "isLearner")]
    learner: bool,
}

impl Volume {
    /// How the database lists this member: the key is its ID as etcd prints it, in the bucket `members` or, once it was
    /// removed, in `members_removed` (`server/storage/schema/membership.go`; 3.4 has both too). A restore by 3.4 leaves
    /// there what was removed before it, and the member that it makes may have such an ID: Raft must know nothing of it
    /// either, which databases say from 3.5 on.
    ///
    /// What does not read says nothing: whether that is damage is asked elsewhere.
    pub(super) fn listed_here(&self, id: MemberId) -> ListedHere {
        let key = id.to_string();
        let key = key.as_bytes();
        let stored = |bucket: &[u8], key: &[u8]| {
            let database = snap::open(&self.snap.join("db")).ok()??;
            lookup::value(&database, bucket, key).ok()?.ok()?
        };
        if let Some(member) = stored(b"members", key) {
            return read(id, &member).map_or(ListedHere::Unknown, ListedHere::As);
        }
        if stored(b"members_removed", key).is_none() {
            return ListedHere::Unknown;
        }
        let state = stored(b"meta", b"confState");
        let state = state.and_then(|state| serde_json::from_slice::<ConfState>(&state).ok());
        match state {
            Some(state) if !state.has(id) => ListedHere::Removed,
            Some(_) | None => ListedHere::Unknown,
        }
    }
}

fn read(id: MemberId, json: &[u8]) -> Option<Member> {
    let stored: StoredMember = serde_json::from_slice(json).ok()?;
    let is_printed = |text: &String| !text.chars().any(char::is_control);
    let printed = is_printed(&stored.name) && stored.peer_urls.iter().all(is_printed);
    printed.then_some(Member {
        id,
        name: stored.name,
        peer_urls: stored.peer_urls,
        client_urls: stored.client_urls,
        learner: stored.learner,
    })
}
