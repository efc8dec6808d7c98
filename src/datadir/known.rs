//! What was found last, for as long as no file of it changes: who waits with a damaged volume looks twice a
//! second, and reads it once.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Depth, Finding, Volume, durable};
use crate::decide::Progress;
use crate::error::{Context, Error};

/// A change that comes so soon after the last one may leave the times of a file as they were: a file system's
/// clock ticks every few milliseconds, that of some only every two seconds.
const TICK: Duration = Duration::from_secs(3);

/// What was found last.
#[derive(Debug, Default)]
pub struct Known(Mutex<Option<Found>>);

#[derive(Debug)]
struct Found {
    files: Vec<Seen>,
    depth: Depth,
    finding: (Finding, Progress),
}

/// One file. Nobody can set back when it was changed last (inode(7), `ctime`).
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    path: PathBuf,
    place: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Known {
    /// What `find` finds on this volume, or has found before, where nothing has changed since.
    pub(super) fn or_find(
        &self,
        volume: &Volume,
        depth: Depth,
        now: SystemTime,
        find: impl FnOnce() -> Result<(Finding, Progress), Error>,
    ) -> Result<(Finding, Progress), Error> {
        // Before it is read: a change while it is read shows at the next look.
        let files = files(volume)?;
        if let Some(found) = self.found().as_ref()
            && found.depth >= depth
            && found.files == files
        {
            return Ok(found.finding.clone());
        }
        let finding = find()?;
        *self.found() = is_settled(&files, now).then(|| Found {
            files,
            depth,
            finding: finding.clone(),
        });
        Ok(finding)
    }

    fn found(&self) -> MutexGuard<'_, Option<Found>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The files that a finding depends on: those of the WAL, and of the snapshots beside the database.
fn files(volume: &Volume) -> Result<Vec<Seen>, Error> {
    let mut files = Vec::new();
    for dir in [&volume.wal, &volume.snap] {
        let mut names = durable::names(dir)?;
        names.sort_unstable();
        for name in names {
            files.extend(Seen::of(&dir.join(name))?);
        }
    }
    Ok(files)
}

fn is_settled(files: &[Seen], now: SystemTime) -> bool {
    let last = files.iter().map(|file| file.changed.0).max();
    let last = Duration::from_secs(last.unwrap_or(0).try_into().unwrap_or(0));
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(last) > TICK
}

impl Seen {
    fn of(path: &Path) -> Result<Option<Seen>, Error> {
        let meta = match fs::metadata(path) {
            Err(error) if durable::missing(&error) => return Ok(None),
            meta => meta.context(|| format!("cannot look at {}", path.display()))?,
        };
        Ok(Some(Seen {
            path: path.to_path_buf(),
            place: (meta.dev(), meta.ino()),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }))
    }
}
