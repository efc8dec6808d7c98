//! What lies set aside: whose, since when, how much, and whether a person may want it back.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::aside::{DELETING, FOR, dirs_in, has_wal, is_empty};
use super::wal::wal_files;
use super::{Volume, durable, lookup, snap};
use crate::calendar::unstamp;
use crate::error::{Context, Error};
use crate::membership::MemberId;

/// bbolt makes a database of four pages in one write, and nothing is in it (bbolt `db.go`, `init`).
const FRESH_DB: u64 = 16 * 1024;

/// Data that lies set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// What it is put back by.
    pub name: String,
    /// Where it lies: the data dir's part, else the WAL's.
    pub path: PathBuf,
    /// Where the WAL lies, if it lies by itself.
    pub wal: Option<PathBuf>,
    /// Whose it was, if that was known.
    pub member: Option<MemberId>,
    /// The lineage that it was set aside for: by a restore, which keeps it.
    pub lineage: Option<u64>,
    /// When it was set aside.
    pub time: Option<SystemTime>,
    /// How much of the disk it takes.
    pub bytes: u64,
    /// It holds what a person may want back: a WAL, a snapshot, or a database with something in it.
    pub counts: bool,
}

impl std::fmt::Display for SetAside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} bytes={} path={}",
            self.name,
            self.bytes,
            self.path.display()
        )?;
        match &self.wal {
            Some(wal) => write!(f, " wal={}", wal.display()),
            None => Ok(()),
        }
    }
}

impl Volume {
    /// What lies set aside, oldest first.
    pub fn quarantined(&self) -> Result<Vec<SetAside>, Error> {
        let mut names: BTreeSet<String> = BTreeSet::new();
        let dirs = [Some(self.asides()), self.wal_asides()];
        for dir in dirs.into_iter().flatten() {
            names.extend(dirs_in(&dir)?);
        }
        let mut found = Vec::new();
        for name in names.into_iter().filter(|name| !name.ends_with(DELETING)) {
            found.extend(self.set_aside(name)?);
        }
        Ok(found)
    }

    fn set_aside(&self, name: String) -> Result<Option<SetAside>, Error> {
        let path = self.aside(&name);
        let member = path.join("member");
        let wal_aside = self.wal_aside(&name);
        let wal = match wal_aside.as_ref().map(|dir| dir.join("wal")) {
            Some(wal) if durable::exists(&wal)? => Some(wal),
            Some(_) | None => None,
        };
        let mut any_wal = has_wal(&member)?;
        if let Some(wal) = &wal {
            any_wal |= wal_files(wal)?.any();
        }
        let counts = any_wal || holds_data(&member.join("snap"))?;
        let here = durable::exists(&path)?;
        let mut bytes = 0;
        for part in [Some(&path), wal_aside.as_ref()].into_iter().flatten() {
            bytes += disk_usage(part)?;
        }
        if is_empty(&path)?
            && wal_aside
                .as_ref()
                .is_none_or(|dir| is_empty(dir).unwrap_or(false))
        {
            return Ok(None);
        }
        let (time, whose) = name.split_once('-').unwrap_or((&name, ""));
        Ok(Some(SetAside {
            time: unstamp(time),
            member: whose.split('-').next().and_then(|id| id.parse().ok()),
            lineage: for_lineage(whose),
            path: match here {
                true => path,
                false => wal_aside.unwrap_or(path),
            },
            name,
            wal,
            bytes,
            counts,
        }))
    }
}

/// The lineage that such a name tells. Of several in one second the later ones have a number of their own behind it.
fn for_lineage(whose: &str) -> Option<u64> {
    let (_, number) = whose.split_once(FOR)?;
    number.split('-').next()?.parse().ok()
}

/// Whether a `snap` directory holds more than what an etcd leaves that never ran: without its WAL it is
/// no data that etcd starts on, but it may be the last copy.
pub(super) fn holds_data(snap: &Path) -> Result<bool, Error> {
    let names = durable::names(snap)?;
    let has_db = names.iter().any(|name| name == "db");
    Ok(names.iter().any(|name| name.ends_with(".snap"))
        || (has_db && has_applied(&snap.join("db"))?))
}

/// Whether etcd has applied anything to a database: a start that it refuses makes one too, and applies nothing.
/// One that does not read counts, unless it is no larger than an empty one.
fn has_applied(path: &Path) -> Result<bool, Error> {
    let failed = || format!("cannot read {}", path.display());
    let Some(file) = snap::open(path).context(failed)? else {
        return Ok(false);
    };
    let size = file.metadata().context(failed)?.len();
    if size == 0 {
        return Ok(false);
    }
    let applied = lookup::has_applied(&file).context(failed)?;
    Ok(applied.unwrap_or(size > FRESH_DB))
}

fn disk_usage(top: &Path) -> Result<u64, Error> {
    let mut bytes = 0;
    let mut paths = vec![top.to_path_buf()];
    while let Some(path) = paths.pop() {
        match fs::symlink_metadata(&path) {
            Ok(meta) => {
                bytes += meta.blocks() * 512;
                if meta.is_dir() {
                    paths.extend(durable::names(&path)?.iter().map(|name| path.join(name)));
                }
            }
            Err(e) if durable::missing(&e) => {}
            Err(e) => {
                return Err(Error::caused(
                    format!("cannot look at {}", path.display()),
                    e,
                ));
            }
        }
    }
    Ok(bytes)
}
