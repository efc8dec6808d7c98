//! A data dir for a cluster of one, made beside its place: from a snapshot, or from a survivor's data. Changes nothing
//! that is there.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use rustls::ClientConfig;

use etcd_rejoin_host::access::Credentials;
use etcd_rejoin_host::error::{Context, Error};

use crate::NotDone;
use crate::drill::{NewMember, Speaks, Tools};
use crate::stop::Stopping;
use crate::stream::DbHash;
use crate::table::size;

/// What etcd needs beside the database: its WAL is made in whole files.
pub const BESIDE: u64 = 256 << 20;
/// How far beyond all that a client may have seen the revision goes: what was written since the last snapshot was less.
pub const AHEAD: u64 = 1_000_000_000;

/// By how much a revision has to rise, so that it is beyond all of these by far.
pub fn bump(from: u64, seen: impl Iterator<Item = u64>) -> u64 {
    let seen = seen.max().unwrap_or(0).max(from);
    seen - from + AHEAD
}

/// An error where a folder has no room for so many bytes. `cure` says what else could be taken.
pub fn has_room(within: &Path, need: u64, cure: &str) -> Result<(), Error> {
    let what = || format!("cannot ask how much is free in {}", within.display());
    let stat = rustix::fs::statvfs(within).context(what)?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free < need {
        let (within, free, need) = (within.display(), size(free), size(need));
        let words = format!("{within} has {free} free, and {need} are needed: {cure}");
        return Err(Error::new(words));
    }
    Ok(())
}

/// A data dir that is not there yet, and what it is made from meanwhile. Dropped unfinished, all of it is gone.
pub struct NewDataDir {
    place: PathBuf,
    part: PathBuf,
}

impl NewDataDir {
    /// Begins it, in an empty folder beside its place. What an earlier try left there is no data of anybody.
    pub fn begin(place: &Path, database: u64) -> Result<NewDataDir, Error> {
        if fs::symlink_metadata(place).is_ok() {
            let words = format!("{} exists: nothing is written over it", place.display());
            return Err(Error::new(words));
        }
        let mut part = OsString::from(place);
        part.push(".part");
        let part = PathBuf::from(part);
        match fs::remove_dir_all(&part) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::caused(
                    format!("cannot remove {}", part.display()),
                    error,
                ));
            }
            Ok(()) | Err(_) => {}
        }
        has_room(
            folder_of(place),
            database.saturating_mul(2).saturating_add(BESIDE),
            "make room there",
        )?;
        // A database holds secrets.
        let made = DirBuilder::new().mode(0o700).create(&part);
        made.context(|| format!("cannot make {}", part.display()))?;
        Ok(NewDataDir {
            place: place.into(),
            part,
        })
    }

    /// Where the `.db` goes.
    pub fn db(&self) -> PathBuf {
        self.part.join("db")
    }

    /// Where a copy of a survivor's data goes.
    pub fn copy(&self) -> PathBuf {
        self.part.join("copy")
    }

    /// Makes the data dir from the `.db`, and gives it its name, durable. `hold`: nobody writes to what comes of it, until
    /// a second voter says otherwise.
    pub async fn restore(
        self,
        tools: &Tools,
        member: &NewMember,
        bump: Option<u64>,
        hold: Option<Speaks>,
        stopping: &Stopping,
    ) -> Result<(), Error> {
        let data = self.part.join("data");
        tools
            .restore(&self.db(), &data, member, bump, stopping)
            .await?;
        if let Some(speaks) = hold {
            let log = self.part.join("etcd.log");
            (tools.hold(&data, member, &log, speaks, stopping)).await?;
        }
        sync_all(&data)?;
        let what = || {
            format!(
                "cannot rename {} to {}",
                data.display(),
                self.place.display()
            )
        };
        fs::rename(&data, &self.place).context(what)?;
        sync(folder_of(&self.place))
    }
}

impl Drop for NewDataDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.part) {
            log::warn!("{} stays: {error}", self.part.display());
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    let parent = path.parent();
    let named = parent.filter(|parent| !parent.as_os_str().is_empty());
    named.unwrap_or(Path::new("."))
}

fn sync(path: &Path) -> Result<(), Error> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.context(|| format!("cannot sync {}", path.display()))
}

/// Whatever etcd's tool has left to the kernel is on the disk afterwards.
fn sync_all(path: &Path) -> Result<(), Error> {
    let what = || format!("cannot read {}", path.display());
    if fs::metadata(path).context(what)?.is_dir() {
        for entry in fs::read_dir(path).context(what)? {
            sync_all(&entry.context(what)?.path())?;
        }
    }
    sync(path)
}

/// Copies the member's data, and nothing else that lies in its data dir. How many bytes these were.
pub fn copy_member(data_dir: &Path, to: &Path) -> Result<(), Error> {
    let member = data_dir.join("member");
    if !member.join("wal").is_dir() {
        let words = format!("{} has no member/wal: there is no data", data_dir.display());
        return Err(Error::new(words));
    }
    copy(&member, &to.join("member"))
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let what = || format!("cannot copy {}", from.display());
    if !fs::metadata(from).context(what)?.is_dir() {
        return fs::copy(from, to).map(drop).context(what);
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(to);
    made.context(what)?;
    for entry in fs::read_dir(from).context(what)? {
        let entry = entry.context(what)?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// How many bytes lie below.
pub fn bytes_of(path: &Path) -> Result<u64, Error> {
    let what = || format!("cannot read {}", path.display());
    let meta = fs::metadata(path).context(what)?;
    if !meta.is_dir() {
        return Ok(meta.len());
    }
    let mut sum = 0;
    for entry in fs::read_dir(path).context(what)? {
        sum += bytes_of(&entry.context(what)?.path())?;
    }
    Ok(sum)
}

/// Lets a copy of a survivor's data come up by itself, in a throw-away etcd on loopback, and saves it as a `.db`: what
/// its WAL has committed is in it then. Its revision.
pub async fn saved_alone(
    tools: &Tools,
    copy: &Path,
    db: &Path,
    speaks: (Arc<ClientConfig>, Option<Credentials>),
    stopping: &Stopping,
) -> Result<u64, NotDone> {
    let log = copy.join("etcd.log");
    let alone = tools.run_alone(copy, &log, speaks, stopping).await;
    let running = match alone {
        Err(_) if stopping.is_asked() => return Err(NotDone::Stopped),
        alone => alone?,
    };
    let saving = async {
        let what = || format!("cannot write {}", db.display());
        let mut to = BufWriter::with_capacity(1 << 20, File::create(db).context(what)?);
        let mut hash = DbHash::default();
        let mut messages = running.endpoint.snapshot().await?;
        loop {
            let message = messages.message().await;
            let message = message
                .map_err(|status| running.endpoint.failed("go on with the snapshot", &status))?;
            let Some(message) = message else { break };
            hash.update(&message.blob);
            to.write_all(&message.blob).context(what)?;
        }
        to.flush().context(what)?;
        hash.finish().map(drop)
    };
    match select(pin!(saving), pin!(stopping.asked())).await {
        Either::Left((saved, _)) => saved?,
        Either::Right(((), _)) => return Err(NotDone::Stopped),
    }
    Ok(running.revision)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_rises_beyond_all_that_was_seen() {
        assert_eq!(bump(42, [40, 42].into_iter()), AHEAD);
        assert_eq!(bump(42, [100, 7].into_iter()), 58 + AHEAD);
        assert_eq!(bump(42, std::iter::empty()), AHEAD);
    }

    #[test]
    fn what_is_not_finished_is_gone_and_what_a_killed_one_left_too() {
        let dir = tempfile::tempdir().unwrap();
        let (place, part) = (dir.path().join("new"), dir.path().join("new.part"));
        fs::create_dir(&part).unwrap();
        fs::write(part.join("half"), "x").unwrap();
        let new = NewDataDir::begin(&place, 1).unwrap();
        assert_eq!(fs::read_dir(&part).unwrap().count(), 0);
        drop(new);
        assert!(!part.exists());
        fs::create_dir(&place).unwrap();
        let error = NewDataDir::begin(&place, 1).err().unwrap().to_string();
        assert!(error.contains("nothing is written over it"), "{error}");
    }
}
