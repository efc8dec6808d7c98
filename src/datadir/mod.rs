//! The data directory: whose it is, whether it reads, and how to set it aside. Never deletes
//! (except `delete_set_aside`).
//!
//! What lies there is judged by IDs, checksums and structure alone, as etcd judges it; whatever keeps
//! us from reading is an error, never evidence about the data.

mod aside;
pub mod blob;
pub mod bolt;
mod durable;
mod elsewhere;
mod inspect;
mod known;
mod listed;
mod lock;
pub mod lookup;
mod notes;
mod proto;
mod restore;
mod set_aside;
pub mod snap;
pub mod tree;
pub mod wal;
mod whole;
mod written_for;

pub use known::Known;
pub use lock::{Lock, LockError};
pub use set_aside::SetAside;
pub use wal::WalEnd;

use std::path::{Path, PathBuf};

use crate::decide::{DataDir, Elsewhere, Identity, ListedHere, Misplaced, Nonce, Progress};
use crate::membership::MemberId;
use crate::path::{clean, resolved};

/// A data dir and its WAL directory, which lies within it (`member/wal`) or by itself (`--wal-dir`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    data: PathBuf,
    member: PathBuf,
    snap: PathBuf,
    wal: PathBuf,
    /// The WAL directory does not move with `member/`.
    external: bool,
}

/// How closely to look. Both read the whole WAL, as etcd does on each start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// The database by its meta pages.
    Quick,
    /// The database page by page as well.
    Deep,
}

/// What lies on a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The data.
    pub finding: Finding,
    /// What is proven to have been committed once, as far as this data reads.
    pub committed: Progress,
    /// How the database lists this member.
    pub listed_here: ListedHere,
    /// The join note J. One that does not read is none.
    pub join_note: Option<MemberId>,
    /// It has no ID yet: an add was begun.
    pub adding: bool,
    /// The founding promise P: the digest in it. One that does not read is none.
    pub promise: Option<String>,
    /// The give-up note G, for the identity of this WAL. One that does not read counts.
    pub given_up: bool,
    /// This member left on purpose.
    pub left: bool,
    /// It did because its StatefulSet had shrunk.
    pub left_scaled: bool,
    /// How many data dirs with something in them lie set aside, for no restore; a database in its place, without a
    /// WAL, is one.
    pub set_aside: usize,
    /// The order that this volume waits for.
    pub order_note: Option<u64>,
    /// The lineage that this volume begins, and that has never run here.
    pub restoring: Option<(u64, Nonce)>,
    /// Why no WAL may be made where there is none.
    pub misplaced: Option<Misplaced>,
    /// Files without a WAL lie where etcd would start.
    pub leftovers: bool,
    /// A start was noted, and the WAL still ends where it ended then.
    pub stalled: bool,
    /// We added this identity as a learner.
    pub added_learner: Option<MemberId>,
    /// What lies at other places; looked for only where there is no WAL here.
    pub elsewhere: Vec<Elsewhere>,
}

/// The data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// No WAL.
    Empty,
    /// A WAL that reads, with a database that belongs to it.
    Own {
        /// Whose it is.
        identity: Identity,
        /// Where the last good record ends.
        end: WalEnd,
        /// The last record is cut; etcd cuts it off by itself.
        torn: bool,
    },
    /// A WAL that does not read, or a proven bad database.
    Damaged {
        /// Whose it is, where the head still reads.
        head: Option<Identity>,
        /// What is wrong, in a sentence.
        what: String,
    },
}

impl Finding {
    /// Whose it is, where that is known.
    pub fn identity(&self) -> Option<Identity> {
        self.data_dir().identity()
    }

    /// As the decision table sees it.
    pub fn data_dir(&self) -> DataDir {
        match self {
            Finding::Empty => DataDir::Empty,
            Finding::Own { identity, .. } => DataDir::Own(*identity),
            Finding::Damaged { head, .. } => DataDir::Damaged { head: *head },
        }
    }
}

impl Volume {
    /// The volume with this data dir (`--data-dir`) and, if it lies by itself, this WAL dir (`--wal-dir`).
    pub fn new(data_dir: &Path, wal_dir: Option<&Path>) -> Volume {
        let data = clean(data_dir);
        let member = data.join("member");
        let wal = wal_dir.map_or_else(|| member.join("wal"), clean);
        // A link in `member/` moves with it, wherever it leads.
        let within = wal.starts_with(&member) || resolved(&wal).starts_with(resolved(&member));
        Volume {
            external: !within,
            snap: member.join("snap"),
            data,
            member,
            wal,
        }
    }

    /// The data dir.
    pub fn data_dir(&self) -> &Path {
        &self.data
    }
}

#[cfg(test)]
mod tests;
