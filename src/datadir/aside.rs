//! Setting data aside by rename, and putting it back. Deletes only in `delete_set_aside`.
//!
//! `member/` goes to `quarantine/<name>/member` in the data dir. A WAL dir that lies by itself goes to
//! `<wal-dir>.quarantine/<name>/wal`: beside it, where etcd needs to write too (`<wal-dir>.tmp`), and
//! never into it, as etcd removes all of it when it creates a WAL.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::wal::wal_files;
use super::{Volume, durable};
use crate::calendar::{STAMP, stamp, unstamp};
use crate::error::{Context, Error};

/// What a name ends with while it is being deleted: no longer listed, and never put back.
pub(super) const DELETING: &str = ".deleting";
/// What a name has behind the member's ID, where it was set aside for a lineage.
pub(super) const FOR: &str = "-for-";
/// What a name ends with where there was no WAL.
const LEFTOVERS: &str = "leftovers";

impl Volume {
    /// Moves `member/`, and a WAL dir that lies by itself, to `quarantine/<time>-<member id>/`.
    ///
    /// The notes J, P and G go with it. No WAL is success: then there was nothing to move (`None`),
    /// or a move that was killed between its two renames is finished.
    pub fn quarantine(&self, now: SystemTime) -> Result<Option<PathBuf>, Error> {
        match wal_files(&self.wal)?.any() {
            true => {
                let name = self.new_name(now, &self.whose()?)?;
                self.move_all(&name).map(Some)
            }
            false => self.finish(),
        }
    }

    /// The same for the lineage of this number, to `quarantine/<time>-<member id>-for-<number>/`: it is kept whatever
    /// is deleted, and hinders no restore.
    pub fn set_aside_for(&self, number: u64, now: SystemTime) -> Result<Option<PathBuf>, Error> {
        match wal_files(&self.wal)?.any() {
            true => self.set_all_aside_for(number, now).map(Some),
            false => self.finish(),
        }
    }

    /// Whatever lies in the place of data.
    pub(super) fn set_all_aside_for(&self, number: u64, now: SystemTime) -> Result<PathBuf, Error> {
        let whose = match wal_files(&self.wal)?.any() {
            true => self.whose()?,
            false => LEFTOVERS.into(),
        };
        let name = self.new_name(now, &format!("{whose}{FOR}{number}"))?;
        self.move_all(&name)
    }

    /// Whose the data is, for its name.
    fn whose(&self) -> Result<String, Error> {
        Ok(match self.owner()? {
            Some(owner) => owner.member.to_string(),
            None => "unknown".into(),
        })
    }

    /// Moves what lies where etcd would start, but has no WAL, to `quarantine/<time>-leftovers/`.
    ///
    /// J and P stay.
    pub fn set_aside_leftovers(&self, now: SystemTime) -> Result<Option<PathBuf>, Error> {
        if wal_files(&self.wal)?.any() {
            return Ok(None);
        }
        if let Some(finished) = self.finish()? {
            return Ok(Some(finished));
        }
        if !self.has_leftovers()? {
            return Ok(None);
        }
        let name = self.new_name(now, LEFTOVERS)?;
        let aside = self.aside(&name);
        durable::create_dir(&aside.join("member"))?;
        let tmp = self.wal_tmp();
        if durable::exists(&tmp)? {
            match self.wal_aside(&name) {
                Some(wal_aside) => {
                    durable::create_dir(&wal_aside)?;
                    rename(&tmp, &wal_aside.join("wal.tmp"))?;
                }
                None => rename(&tmp, &aside.join("member/wal.tmp"))?,
            }
        }
        if !is_empty(&self.snap)? {
            rename(&self.snap, &aside.join("member/snap"))?;
        }
        Ok(Some(aside))
    }

    /// Puts set-aside data back where it was. Refuses while a WAL lies there.
    ///
    /// What else lies there, notes included, is set aside first. A kill on the way leaves no WAL in
    /// place; putting it back again then begins anew.
    pub fn put_back(&self, name: &str, now: SystemTime) -> Result<(), Error> {
        if wal_files(&self.wal)?.any() {
            let wal = self.wal.display();
            return Err(Error::new(format!(
                "cannot put {name} back: there is data in {wal}: move that away by hand first"
            )));
        }
        self.finish()?;
        let listed = self.quarantined()?;
        let Some(entry) = listed.into_iter().find(|entry| entry.name == name) else {
            let where_ = self.asides();
            return Err(Error::new(format!(
                "there is no {name} in {}",
                where_.display()
            )));
        };
        let member = self.aside(name).join("member");
        let inside = has_wal(&member)?;
        if inside && self.external {
            return Err(Error::new(format!(
                "cannot put {name} back: its WAL lies in member/wal; leave out the WAL dir (ETCD_WAL_DIR, --wal-dir)"
            )));
        }
        let whose = name.get(STAMP..).and_then(|rest| rest.strip_prefix('-'));
        let had_none = whose.is_some_and(|whose| whose.starts_with(LEFTOVERS));
        if !inside && entry.wal.is_none() && !had_none {
            let place = self.wal_asides().map_or_else(
                || "the WAL dir that it had (ETCD_WAL_DIR, --wal-dir) is not given".into(),
                |dir| format!("it is not in {}", dir.display()),
            );
            return Err(Error::new(format!(
                "cannot put {name} back: its WAL is missing: {place}"
            )));
        }
        let in_the_way =
            durable::exists(&self.member)? || (self.external && durable::exists(&self.wal)?);
        if in_the_way {
            let leftovers = self.new_name(now, LEFTOVERS)?;
            self.move_all(&leftovers)?;
        }
        if durable::exists(&member)? {
            rename(&member, &self.member)?;
        }
        if let Some(wal) = entry.wal {
            rename(&wal, &self.wal)?;
        }
        // Only empty folders go; whatever else a person put there stays.
        for dir in [Some(self.aside(name)), self.wal_aside(name)]
            .into_iter()
            .flatten()
        {
            let _ = fs::remove_dir(&dir);
            let _ = dir.parent().map(fs::remove_dir);
        }
        Ok(())
    }

    /// Deletes set-aside data, oldest first, until this many are left that hold something. Returns
    /// what is gone. What a restore has set aside stays.
    pub fn delete_set_aside(&self, keep: usize) -> Result<Vec<String>, Error> {
        let mut listed = self.quarantined()?;
        listed.retain(|entry| entry.lineage.is_none());
        let held = listed.iter().filter(|entry| entry.counts).count();
        let mut surplus = held.saturating_sub(keep);
        let mut gone = Vec::new();
        let dirs = [Some(self.asides()), self.wal_asides()];
        for entry in listed {
            if entry.counts {
                if surplus == 0 {
                    continue;
                }
                surplus -= 1;
            }
            // Renamed first: a kill in the middle must not leave half of it to be put back.
            for dir in dirs.iter().flatten() {
                let from = dir.join(&entry.name);
                if durable::exists(&from)? {
                    rename(&from, &dir.join(format!("{}{DELETING}", entry.name)))?;
                }
            }
            gone.push(entry.name);
        }
        for dir in dirs.iter().flatten() {
            for name in dirs_in(dir)?
                .into_iter()
                .filter(|name| name.ends_with(DELETING))
            {
                let path = dir.join(name);
                fs::remove_dir_all(&path)
                    .context(|| format!("cannot delete {}", path.display()))?;
            }
        }
        Ok(gone)
    }

    /// Whether files lie where etcd would start.
    pub(super) fn has_leftovers(&self) -> Result<bool, Error> {
        Ok(durable::exists(&self.wal_tmp())? || !is_empty(&self.snap)?)
    }

    /// Where etcd builds a new WAL before it renames it (`wal/wal.go`, `Create`).
    fn wal_tmp(&self) -> PathBuf {
        with_suffix(&self.wal, ".tmp")
    }

    pub(super) fn asides(&self) -> PathBuf {
        self.data.join("quarantine")
    }

    pub(super) fn aside(&self, name: &str) -> PathBuf {
        self.asides().join(name)
    }

    pub(super) fn wal_asides(&self) -> Option<PathBuf> {
        self.external.then(|| with_suffix(&self.wal, ".quarantine"))
    }

    pub(super) fn wal_aside(&self, name: &str) -> Option<PathBuf> {
        Some(self.wal_asides()?.join(name))
    }

    /// A name that is free on both sides, and comes after all that lie there: a clock that was set back
    /// must not make the newest data look like the oldest, which is deleted first.
    fn new_name(&self, now: SystemTime, whose: &str) -> Result<String, Error> {
        let mut stem = format!("{}-{whose}", stamp(now));
        let mut names = dirs_in(&self.asides())?;
        if let Some(dir) = self.wal_asides() {
            names.extend(dirs_in(&dir)?);
        }
        let latest = names.iter().max().filter(|latest| **latest > stem);
        let time = latest.and_then(|latest| unstamp(latest.get(..STAMP)?));
        if let Some(time) = time
            && !latest.is_some_and(|latest| latest.starts_with(&stem))
        {
            stem = format!("{}-{whose}", stamp(time + Duration::from_secs(1)));
        }
        for n in 1.. {
            let name = match n {
                1 => stem.clone(),
                n => format!("{stem}-{n}"),
            };
            let mut taken = false;
            for dir in [Some(self.asides()), self.wal_asides()]
                .into_iter()
                .flatten()
            {
                let deleting = dir.join(format!("{name}{DELETING}"));
                taken |= durable::exists(&dir.join(&name))? || durable::exists(&deleting)?;
            }
            if !taken {
                return Ok(name);
            }
        }
        Err(Error::new(format!("no name is left beside {stem}")))
    }

    /// The WAL first: without it nothing is mistaken for data, and `finish` knows where the rest goes.
    fn move_all(&self, name: &str) -> Result<PathBuf, Error> {
        let (aside, wal_aside) = (self.aside(name), self.wal_aside(name));
        let moved = self.move_to(&aside, wal_aside.as_deref());
        if moved.is_err()
            && !wal_aside
                .as_ref()
                .is_some_and(|dir| dir.join("wal").exists())
        {
            // What cannot be moved is tried again and again: leave no trail of empty folders.
            for dir in [Some(&aside), wal_aside.as_ref()].into_iter().flatten() {
                let _ = fs::remove_dir(dir);
            }
        }
        moved.map(|()| aside)
    }

    fn move_to(&self, aside: &Path, wal_aside: Option<&Path>) -> Result<(), Error> {
        durable::create_dir(&self.asides())?;
        durable::create_dir(aside)?;
        if let Some(wal_aside) = wal_aside
            && durable::exists(&self.wal)?
        {
            durable::create_dir(wal_aside)?;
            rename(&self.wal, &wal_aside.join("wal"))?;
        }
        self.move_member(aside)
    }

    fn move_member(&self, aside: &Path) -> Result<(), Error> {
        match durable::exists(&self.member)? {
            true => rename(&self.member, &aside.join("member")),
            false => durable::create_dir(&aside.join("member")),
        }
    }

    /// Finishes a move that was killed between WAL and `member/`, in either direction.
    fn finish(&self) -> Result<Option<PathBuf>, Error> {
        for name in dirs_in(&self.asides())? {
            let aside = self.aside(&name);
            let Some(wal_aside) = self.wal_aside(&name) else {
                return Ok(None);
            };
            if durable::exists(&wal_aside.join("wal"))? && !durable::exists(&aside.join("member"))?
            {
                self.move_member(&aside)?;
                return Ok(Some(aside));
            }
        }
        Ok(None)
    }
}

/// Whether there is a WAL in a `member/` that lies set aside; a link that led to one need not lead there from
/// here.
pub(super) fn has_wal(member: &Path) -> Result<bool, Error> {
    let wal = member.join("wal");
    let is_link = |path: &Path| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
    Ok(is_link(member) || is_link(&wal) || wal_files(&wal)?.any())
}

/// The folders in a directory, sorted; none if there is no directory.
pub(super) fn dirs_in(dir: &Path) -> Result<Vec<String>, Error> {
    let mut names = durable::names(dir)?;
    names.retain(|name| fs::symlink_metadata(dir.join(name)).is_ok_and(|meta| meta.is_dir()));
    names.sort();
    Ok(names)
}

pub(super) fn is_empty(dir: &Path) -> Result<bool, Error> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(e) if durable::missing(&e) => Ok(true),
        Err(e) => Err(Error::caused(format!("cannot list {}", dir.display()), e)),
    }
}

/// Moves within one filesystem, and makes both directories durable.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    let failed = || format!("cannot move {} to {}", from.display(), to.display());
    if let Err(e) = fs::rename(from, to) {
        let cure = match e.kind() {
            io::ErrorKind::ResourceBusy => {
                "it is a mount point of its own: mount one level higher and use a folder in it"
            }
            io::ErrorKind::CrossesDevices => "they lie on different filesystems",
            _ => return Err(Error::caused(failed(), e)),
        };
        return Err(Error::caused(failed(), Error::caused(cure, e)));
    }
    for dir in [to.parent(), from.parent()].into_iter().flatten() {
        match dir.as_os_str().is_empty() {
            true => durable::sync_dir(Path::new("."))?,
            false => durable::sync_dir(dir)?,
        }
    }
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(suffix);
    PathBuf::from(name)
}
