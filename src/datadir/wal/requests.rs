//! Which entries of a WAL are requests of the v2 API, and would be replayed. Never writes.
//!
//! etcd up to 3.5 publishes its own name and client URLs, and the cluster version at first, as such requests
//! (`server/etcdserver/server.go`, `publish`). 3.6 turns those into requests of v3 and panics at any other
//! (`server/etcdserver/apply_v2.go`, `v2ToV3Request`); 3.7 panics at each (`server/etcdserver/apply/apply.go`, `Apply`).
//! Both replay what comes behind the last snapshot that the WAL knows as committed, applied before or not.

use super::record::Record;
use crate::datadir::proto::{self, Field};

/// `raftpb.EntryNormal`; the others change the membership.
const NORMAL: u64 = 0;

/// Where a WAL has requests of the v2 API that would be replayed: the index of the last one of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OldRequests {
    /// Any at all.
    pub any: Option<u64>,
    /// One that concerns neither a member nor the cluster version: content of a user, or what keeps it.
    pub content: Option<u64>,
}

/// What was met so far.
#[derive(Debug, Default)]
pub(super) struct RequestsMet {
    /// Index, and whether it is content.
    met: Vec<(u64, bool)>,
    /// The index of each snapshot record.
    snapshots: Vec<u64>,
}

impl RequestsMet {
    pub(super) fn snapshot(&mut self, index: u64) {
        self.snapshots.push(index);
    }

    pub(super) fn entry(&mut self, record: &Record) {
        let Some((kind, index, data)) = entry(&record.data) else {
            return;
        };
        // It replaces what lay there, and all behind it.
        while self.met.last().is_some_and(|(last, _)| *last >= index) {
            self.met.pop();
        }
        if kind == NORMAL
            && let Some(content) = is_content(data)
        {
            self.met.push((index, content));
        }
    }

    /// What comes behind the last snapshot up to `commit`.
    pub(super) fn replayed(&self, commit: u64) -> OldRequests {
        let known = self.snapshots.iter().filter(|index| **index <= commit);
        let from = known.max().copied().unwrap_or(0);
        let behind = self.met.iter().filter(|(index, _)| *index > from);
        OldRequests {
            any: behind.clone().map(|(index, _)| *index).max(),
            content: behind
                .filter(|(_, content)| *content)
                .map(|(index, _)| *index)
                .max(),
        }
    }
}

/// Type, index and data of `raftpb.Entry`, whose data comes last, and may be cut.
fn entry(mut bytes: &[u8]) -> Option<(u64, u64, &[u8])> {
    let (mut kind, mut index) = (0, 0);
    // The leader's first entry has no data.
    while !bytes.is_empty() {
        let (number, field, len) = proto::head(bytes)?;
        bytes = &bytes[len..];
        match (number, field) {
            (1, Field::Number(value)) => kind = value,
            (3, Field::Number(value)) => index = value,
            (2, Field::Number(_)) => {}
            (4, Field::Bytes(size)) => {
                let size = usize::try_from(size).unwrap_or(usize::MAX).min(bytes.len());
                return Some((kind, index, &bytes[..size]));
            }
            _ => return None,
        }
    }
    Some((kind, index, &[]))
}

/// Whether a request of the v2 API is content; none: it is one of v3, or empty.
///
/// `etcdserverpb.Request { ID = 1, Method = 2, Path = 3, ... }`: a request of v3 has nothing under 2.
fn is_content(bytes: &[u8]) -> Option<bool> {
    let (1, Field::Number(_), len) = proto::head(bytes)? else {
        return None;
    };
    let (method, rest) = text(2, &bytes[len..])?;
    if method.is_empty() || !method.iter().all(u8::is_ascii_uppercase) {
        return None;
    }
    let (path, _) = text(3, rest)?;
    let of_etcd = path.starts_with(b"/0/members/") || path == b"/0/version";
    Some(method != b"PUT" || !of_etcd)
}

/// The text under this number, and what comes behind it.
fn text(wanted: u64, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (number, Field::Bytes(size), len) = proto::head(bytes)? else {
        return None;
    };
    let rest = &bytes[len..];
    let size = usize::try_from(size)
        .ok()
        .filter(|size| *size <= rest.len())?;
    (number == wanted).then(|| rest.split_at(size))
}
