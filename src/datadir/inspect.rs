//! Looking at a volume: changes nothing, and follows what etcd does when it starts.

use std::fs::{self, File};
use std::path::Path;
use std::time::SystemTime;

use super::notes::Note;
use super::set_aside::{SetAside, holds_data};
use super::snap::{self, Snaps};
use super::wal::{self, WalFiles, wal_files};
use super::whole::WhichEtcd;
use super::{Contents, Depth, Finding, Known, Volume, durable, lookup};
use crate::decide::{Identity, ListedHere, Misplaced, Progress};
use crate::error::{Context, Error};

impl Volume {
    /// Looks at the volume, for an etcd as new as the data. `Err` is about the surroundings, never evidence about the
    /// data.
    pub fn inspect(&self, depth: Depth) -> Result<Contents, Error> {
        self.inspect_again(depth, &Known::default(), SystemTime::now(), &|| None)
    }

    /// The same, `now`; what is known and has not changed since is not read again. `etcd` is asked which version would
    /// start here, where that matters; none: one as new as the data.
    pub fn inspect_again(
        &self,
        depth: Depth,
        known: &Known,
        now: SystemTime,
        etcd: WhichEtcd,
    ) -> Result<Contents, Error> {
        for dir in [&self.data, &self.member, &self.snap, &self.wal] {
            must_be_dir(dir)?;
        }
        let (finding, committed) = known.or_find(self, depth, now, || self.finding(depth, etcd))?;
        let notes = self.notes()?;
        let empty = finding == Finding::Empty;
        let counts = |aside: &&SetAside| aside.counts && aside.lineage.is_none();
        let count = |all: &[SetAside]| all.iter().filter(counts).count();
        let given_up = match notes.give_up {
            Note::None => false,
            Note::Unreadable => true,
            Note::Line(line) => match (line.parse(), finding.identity()) {
                (Ok(id), Some(identity)) => identity.member == id,
                (Ok(_), None) | (Err(_), _) => true,
            },
        };
        let stalled = match &finding {
            Finding::Own { end, .. } => notes.start.is_some_and(|start| start == end.to_string()),
            Finding::Empty | Finding::Damaged { .. } => false,
        };
        Ok(Contents {
            // Beside a WAL both would be untrue: etcd ran here.
            join_note: notes.join.filter(|_| empty),
            adding: notes.adding && empty,
            promise: notes.promise.filter(|_| empty),
            given_up: given_up && !empty,
            left: notes.left,
            left_scaled: notes.left_scaled,
            set_aside: match (self.quarantined(), &finding) {
                (Ok(all), Finding::Empty) => count(&all) + usize::from(holds_data(&self.snap)?),
                (Ok(all), _) => count(&all),
                // Only for founding and deleting it matters what lies there.
                (Err(error), Finding::Own { .. }) => {
                    log::warn!("{error}");
                    0
                }
                (Err(error), Finding::Empty | Finding::Damaged { .. }) => return Err(error),
            },
            order_note: self.order_note()?,
            restoring: self.begins()?,
            misplaced: match empty {
                true => self.misplaced()?,
                false => None,
            },
            leftovers: empty && self.has_leftovers()?,
            stalled,
            added_learner: notes.learner,
            elsewhere: Vec::new(),
            committed,
            listed_here: match &finding {
                Finding::Own { identity, .. } => self.listed_here(identity.member),
                Finding::Empty | Finding::Damaged { .. } => ListedHere::Unknown,
            },
            finding,
        })
    }

    /// Where there is no WAL: whether it is where the last start had it. And if the WAL dir is one by itself, whether
    /// the WAL is within the data dir, where it lies without that setting, or something else lies in its place.
    fn misplaced(&self) -> Result<Option<Misplaced>, Error> {
        let wal_dir = self.wal.clone();
        if let Some(noted) = self.wal_was_elsewhere()?
            && wal_files(&noted)?.any()
        {
            return Ok(Some(Misplaced::WhereItWas { noted, wal_dir }));
        }
        if !self.external {
            return Ok(None);
        }
        let within = self.member.join("wal");
        if wal_files(&within)?.any() {
            return Ok(Some(Misplaced::WithinDataDir { within, wal_dir }));
        }
        let ours = |name: &String| name.starts_with("rejoin-") || name.ends_with(".tmp");
        let foreign = durable::names(&self.wal)?
            .into_iter()
            .find(|name| !ours(name));
        Ok(foreign.map(|name| Misplaced::Foreign { name, wal_dir }))
    }

    /// What lies there, and what it proves to have been committed.
    fn finding(&self, depth: Depth, etcd: WhichEtcd) -> Result<(Finding, Progress), Error> {
        let files = wal_files(&self.wal)?;
        if !files.any() {
            return Ok((Finding::Empty, Progress::default()));
        }
        let snaps = snap::scan(&self.snap)?;
        let mut committed = Progress::default();
        let finding = self.judged(depth, files, &snaps, etcd, &mut committed)?;
        // etcd makes snapshots of what it has applied, and applies what is committed.
        if let Some(newest) = snaps.good.iter().max() {
            committed.index = committed.index.max(newest.index);
            committed.term = committed.term.max(newest.term);
        }
        // The damage may lie before all that.
        if let Finding::Damaged { .. } = finding {
            committed.index = committed.index.max(self.applied());
        }
        Ok((finding, committed))
    }

    /// The last entry that the database holds, 0 where it does not say. Beside damage a disk that fails to read
    /// it says nothing new.
    fn applied(&self) -> u64 {
        let file = snap::open(&self.snap.join("db")).ok().flatten();
        let index = file.and_then(|file| lookup::consistent_index(&file).ok()?.ok());
        index.unwrap_or(0)
    }

    fn judged(
        &self,
        depth: Depth,
        files: WalFiles,
        snaps: &Snaps,
        etcd: WhichEtcd,
        committed: &mut Progress,
    ) -> Result<Finding, Error> {
        let damaged = |head, what| Ok(Finding::Damaged { head, what });
        let Some(first) = files.names.first() else {
            let odd = files.odd.unwrap_or_default();
            return damaged(None, format!("{odd} in the WAL directory is no WAL file"));
        };
        let reading = wal::read(&files.names, &snaps.good, |name| {
            let path = self.wal.join(name.to_string());
            File::open(&path).context(|| format!("cannot open {}", path.display()))
        })?;
        *committed = reading.committed;
        let head = reading.head;
        if let Some(what) = reading.broken {
            return damaged(head, what);
        }
        let Some(identity) = head else {
            return damaged(None, "the WAL has no metadata".into());
        };
        if let Some(what) = self.lacks(depth, first.index, &reading, snaps, etcd)? {
            return damaged(head, what);
        }
        Ok(Finding::Own {
            identity,
            end: reading.end,
            torn: reading.torn,
        })
    }

    /// Whose data lies there, by the head of the WAL alone.
    pub(super) fn owner(&self) -> Result<Option<Identity>, Error> {
        let files = wal_files(&self.wal)?;
        let Some(first) = files.names.first() else {
            return Ok(None);
        };
        let path = self.wal.join(first.to_string());
        let reading = wal::read(&[*first], &[], |_| {
            File::open(&path).context(|| format!("cannot open {}", path.display()))
        })?;
        Ok(reading.head)
    }
}

fn must_be_dir(path: &Path) -> Result<(), Error> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => Err(Error::new(format!("{} is not a directory", path.display()))),
        Err(e) if durable::missing(&e) => leads_somewhere(path),
        Err(e) => Err(Error::caused(
            format!("cannot look at {}", path.display()),
            e,
        )),
    }
}

/// That nothing is where no link says that there is something: a disk that is not mounted holds data, too.
fn leads_somewhere(path: &Path) -> Result<(), Error> {
    for top in path.ancestors() {
        if durable::exists(top)? {
            return match fs::metadata(top) {
                Err(e) if durable::missing(&e) => Err(Error::new(format!(
                    "{} is a link that leads nowhere: is its disk mounted? Nothing was changed",
                    top.display()
                ))),
                Ok(_) | Err(_) => Ok(()),
            };
        }
    }
    Ok(())
}
