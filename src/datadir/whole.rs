//! What an etcd lacks that would start on a WAL that reads: a snapshot to begin at, a database that goes with it. Never
//! writes.
//!
//! Up to 3.6 etcd begins at the newest good `.snap` that the WAL knows, else at the beginning of the log. From 3.7 on it
//! still writes `.snap`, and reads none: it begins at the last snapshot that the WAL knows (etcd
//! `server/etcdserver/bootstrap.go`, `recoverSnapshot`). Where the database ends before that, it panics.

use super::snap::{self, SnapId, Snaps};
use super::wal::Reading;
use super::{Depth, Volume, durable, lookup, tree};
use crate::decide::MinorVersion;
use crate::error::{Context, Error};

/// Says the version of the etcd that would start here; none where nobody says it.
pub(super) type WhichEtcd<'a> = &'a dyn Fn() -> Option<MinorVersion>;

/// The database, as far as it matters for a start.
enum Database {
    /// It is missing or empty: etcd makes a new one.
    Missing,
    /// It holds the log up to this index.
    UpTo(u64),
    /// What is wrong with it.
    Bad(String),
}

impl Volume {
    /// What etcd would lack on this WAL, whose files begin at the index `first`; none where it starts. It is asked for
    /// its version only where that matters; one that does not say it is taken to be as new as the data.
    pub(super) fn lacks(
        &self,
        depth: Depth,
        first: u64,
        reading: &Reading,
        snaps: &Snaps,
        etcd: WhichEtcd,
    ) -> Result<Option<String>, Error> {
        let database = self.database(depth)?;
        let none = snaps.good.len() + snaps.bad == 0;
        let lacks = |start: Option<SnapId>| {
            let start = start.map_or(0, |start| start.index);
            let came_with = start > 0 && self.came_with(start)?;
            Ok(lacks(first, start, &database, came_with, none))
        };
        let by_file = lacks(reading.snapshots.iter().max().copied())?;
        let by_record = lacks(reading.recorded)?;
        if by_file.is_some() == by_record.is_some() {
            return Ok(by_file);
        }
        let version = etcd().or_else(|| self.storage_version());
        Ok(match version {
            Some(version) if version >= (3, 7).into() => by_record,
            Some(_) | None => by_file,
        })
    }

    fn database(&self, depth: Depth) -> Result<Database, Error> {
        let path = self.snap.join("db");
        let failed = || format!("cannot read {}", path.display());
        let file = match snap::open(&path).context(failed)? {
            Some(file) if file.metadata().context(failed)?.len() > 0 => file,
            Some(_) | None => return Ok(Database::Missing),
        };
        let index = match lookup::consistent_index(&file).context(failed)? {
            Ok(index) => index,
            Err(what) => return Ok(Database::Bad(what)),
        };
        let bad = match depth {
            Depth::Deep => tree::check(&file).context(failed)?,
            Depth::Quick => None,
        };
        Ok(match bad {
            Some(what) => Database::Bad(what),
            None => Database::UpTo(index),
        })
    }

    /// Whether a snapshot's own database lies there, as received from the leader (`snap/db.go`).
    fn came_with(&self, start: u64) -> Result<bool, Error> {
        durable::exists(&self.snap.join(format!("{start:016x}.snap.db")))
    }

    /// The version that the database was written for, if it says so.
    fn storage_version(&self) -> Option<MinorVersion> {
        let database = snap::open(&self.snap.join("db")).ok()??;
        let version = lookup::storage_version(&database).ok()?.ok()?;
        version.map(MinorVersion::from)
    }
}

/// What is lacking to begin behind the index `start` of a log that begins at `first`; a start at 0 is that of the log.
/// `none`: there is no `.snap` at all.
fn lacks(
    first: u64,
    start: u64,
    database: &Database,
    came_with: bool,
    none: bool,
) -> Option<String> {
    if start < first {
        let why = match none {
            true => "and there is no snapshot",
            false => "and no snapshot that reads reaches as far",
        };
        return Some(format!("the WAL begins at index {first} {why}"));
    }
    match database {
        Database::Bad(what) => Some(format!("the database member/snap/db: {what}")),
        Database::Missing if start > 0 && !came_with => {
            Some("there is a snapshot, but its database member/snap/db is missing or empty".into())
        }
        Database::UpTo(index) if *index < start && !came_with => Some(format!(
            "the database member/snap/db: it ends at index {index}, before the snapshot of {start}"
        )),
        // Without a snapshot etcd replays the log into a new database.
        Database::Missing | Database::UpTo(_) => None,
    }
}
