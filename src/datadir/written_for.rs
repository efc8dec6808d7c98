//! For which version of etcd the data was written, and what in it a newer one does not get over. Never writes.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;

use serde::Deserialize;

use super::blob::{Blob, Window};
use super::wal::{OldRequests, old_requests, wal_files};
use super::{Volume, lookup, snap};
use crate::decide::{MinorVersion, Traps};
use crate::error::{Context, Error};
use crate::membership::MemberId;

/// Who has a part in Raft (bucket `meta`, `confState`: etcd `server/storage/schema/confstate.go`; from 3.5 on).
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ConfState {
    voters: Vec<u64>,
    learners: Vec<u64>,
    voters_outgoing: Vec<u64>,
    learners_next: Vec<u64>,
}

impl ConfState {
    /// Whether this member has a part.
    pub(super) fn has(&self, id: MemberId) -> bool {
        [
            &self.voters,
            &self.learners,
            &self.voters_outgoing,
            &self.learners_next,
        ]
        .iter()
        .any(|ids| ids.contains(&id.0))
    }
}

/// As much of a member as counts here (bucket `members`: etcd `server/storage/schema/membership.go`).
#[derive(Default, Deserialize)]
#[serde(default)]
struct DatabaseMember {
    id: u64,
    #[serde(rename = "isLearner")]
    learner: bool,
}

impl Volume {
    /// The newer one of the storage version, which 3.6 and newer write, and of the version of the cluster; none where
    /// the database does not say it.
    pub fn written_for(&self) -> Option<MinorVersion> {
        let database = snap::open(&self.snap.join("db")).ok()??;
        let storage = lookup::storage_version(&database).ok()?.ok()?;
        let cluster = lookup::cluster_version(&database).ok()?.ok()?;
        storage.max(cluster).map(MinorVersion::from)
    }

    /// What lies here that a newer etcd does not get over, which allows so many learners. Reads the whole WAL.
    pub fn traps(&self, most_learners: usize) -> Result<Traps, Error> {
        let mut traps = Traps::default();
        let path = self.snap.join("db");
        let failed = || format!("cannot read {}", path.display());
        if let Some(database) = snap::open(&path).context(failed)? {
            let own = self.owner()?.map(|owner| owner.member);
            members(&database, own, most_learners, &mut traps).context(failed)?;
        }
        let files = wal_files(&self.wal)?;
        if !files.names.is_empty() {
            let OldRequests { any, content } = old_requests(&files.names, |name| {
                let path = self.wal.join(name.to_string());
                File::open(&path).context(|| format!("cannot open {}", path.display()))
            })?;
            traps.old_request = any;
            traps.v2_content = content.is_some();
        }
        if let Some(newest) = snap::scan(&self.snap)?.good.iter().max() {
            let path = self.snap.join(newest.file_name());
            let found = File::open(&path).and_then(has_v2_content);
            traps.v2_content |= found.context(|| format!("cannot read {}", path.display()))?;
        }
        Ok(traps)
    }
}

/// Whom the database lists, held against who has a part in Raft. What does not read there says nothing.
fn members(
    database: &File,
    own: Option<MemberId>,
    most_learners: usize,
    traps: &mut Traps,
) -> io::Result<()> {
    let listed = lookup::pairs(database, b"members")?.unwrap_or_default();
    let listed: Vec<DatabaseMember> = (listed.iter())
        .filter_map(|(_, member)| serde_json::from_slice(member).ok())
        .collect();
    let state = lookup::value(database, b"meta", b"confState")?.unwrap_or_default();
    let state = state.and_then(|state| serde_json::from_slice::<ConfState>(&state).ok());
    // A restore makes new members, and leaves the saved cluster's state there until the next change of the membership
    // (etcd `etcdutl/snapshot/v3_snapshot.go`): one that does not have us is not ours.
    let state = state.filter(|state| own.is_none_or(|own| state.has(own)));
    let mut learners = listed.iter().filter(|member| member.learner).count();
    if let Some(state) = state {
        let voters: BTreeSet<u64> = state
            .voters
            .iter()
            .chain(&state.voters_outgoing)
            .copied()
            .collect();
        let is_learner = |id| state.learners.contains(&id) || state.learners_next.contains(&id);
        for member in listed {
            match (voters.contains(&member.id), member.learner) {
                (true, true) => traps.promoted.push(MemberId(member.id)),
                (false, _) if !is_learner(member.id) => traps.removed.push(MemberId(member.id)),
                (true | false, _) => {}
            }
        }
        learners = learners.saturating_sub(traps.promoted.len());
    }
    traps.learners = Some(learners).filter(|learners| *learners > most_learners);
    Ok(())
}

/// In front of the path of each node of the v2 store (etcd 3.5 `server/etcdserver/api/v2store/node.go`), as JSON has
/// it; within a value the quotes have a backslash before them.
const PATH: &[u8] = b"\"Path\":\"/";

/// Whether a snapshot holds what was written by the v2 API: anything but `/0`, which is etcd's own, and users' and
/// roles' empty folders below `/2` (etcd 3.6 `server/etcdserver/api/membership/storev2.go`, `IsMetaStoreOnly`).
fn has_v2_content(blob: impl Blob) -> io::Result<bool> {
    const STEP: usize = 32 << 10;
    let mut window = Window::new(blob)?;
    let mut offset = 0;
    while offset < window.size() {
        // A path that begins in this step is read beyond its end.
        let bytes = window.get(offset, STEP + 64)?;
        let starts = bytes.windows(PATH.len()).take(STEP).enumerate();
        let paths = starts.filter(|(_, start)| *start == PATH);
        if paths
            .map(|(at, _)| &bytes[at + PATH.len()..])
            .any(is_content)
        {
            return Ok(true);
        }
        offset += STEP as u64;
    }
    Ok(false)
}

/// Whether this node is content, by its path without the first slash.
fn is_content(path: &[u8]) -> bool {
    let until = path
        .iter()
        .position(|byte| *byte == b'"')
        .unwrap_or(path.len());
    let parts: Vec<&[u8]> = path[..until].split(|byte| *byte == b'/').collect();
    match parts.as_slice() {
        [b"0", ..] | [_] | [] => false,
        [b"2", ..] => parts.len() > 2,
        [_, ..] => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_of_the_v2_api_is_what_lies_beside_etcds_own() {
        let snap = |paths: &[&str]| {
            let nodes: Vec<String> = (paths.iter())
                .map(|path| format!(r#""x":{{"Path":"{path}","Value":"\"Path\":\"/1/no\""}}"#))
                .collect();
            has_v2_content(nodes.join(",").as_bytes()).unwrap()
        };
        let usual = ["/", "/0", "/0/members", "/0/members/1/attributes", "/1"];
        assert!(!snap(&usual));
        assert!(!snap(&["/2", "/2/enabled", "/2/roles", "/2/users"]));
        assert!(snap(&["/1", "/1/foo"]));
        assert!(snap(&["/2/users", "/2/users/root"]));
        // Across the border of two steps.
        let mut many = vec!["/0/members/12345678/attributes"; 3000];
        many.push("/1/foo");
        assert!(snap(&many));
        assert!(!snap(&many[..3000]));
    }
}
