//! What a restore keeps on a volume until it is over: the order that is waited for, the lineage that is begun, and its
//! data before that lies in its place. Fetches nothing.
//!
//! All of it lies beside `member/`. The note of a lineage lies in the very folder that becomes `member/`, and is read
//! nowhere else: so it goes with the rename that brings the data.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use super::aside::rename;
use super::notes::{self, Note};
use super::wal::wal_files;
use super::{Volume, durable};
use crate::decide::Nonce;
use crate::error::{Context, Error};

/// The note of an order that this volume waits for.
const ORDER: &str = "rejoin-order";
/// What becomes `member/` lies in it, and what is made for it.
const NEXT: &str = "rejoin-next";
/// What is made for it has names that begin so, with the lineage's nonce behind it.
const MADE: &str = "made-";
/// What is not finished ends so.
const PART: &str = ".part";
/// The note of a lineage that this volume begins.
const LINEAGE: &str = "rejoin-lineage";

impl Volume {
    /// Notes that this volume waits for the order of this number: its data is not started before that is over.
    pub fn note_order(&self, number: u64) -> Result<(), Error> {
        durable::create_dir(&self.data)?;
        notes::write(&self.data.join(ORDER), &number.to_string())
    }

    /// Drops that note. No note is success.
    pub fn forget_order(&self) -> Result<(), Error> {
        self.drop_note(&self.data, ORDER)
    }

    /// The order that this volume waits for. A note that does not read is an error: somebody has said that it waits.
    pub(super) fn order_note(&self) -> Result<Option<u64>, Error> {
        let path = self.data.join(ORDER);
        let number = match notes::read(&path)? {
            Note::None => return Ok(None),
            Note::Line(line) => line.parse().ok(),
            Note::Unreadable => None,
        };
        number.map(Some).ok_or_else(|| {
            let path = path.display();
            Error::new(format!(
                "{path} is no note of an order: nothing is started beside it; look at `etcd-rejoin restore list`, then remove it"
            ))
        })
    }

    /// Notes that this volume begins this lineage, and has never run it. What lay there of another one goes: it is a
    /// copy of what lies in the store, or of the data here.
    pub fn note_lineage(&self, number: u64, nonce: &Nonce) -> Result<(), Error> {
        if self.external {
            let wal = self.wal.display();
            return Err(Error::new(format!(
                "cannot restore beside a WAL dir by itself ({wal}): leave out ETCD_WAL_DIR or --wal-dir for this, and move the WAL later"
            )));
        }
        if self.begins()?.as_ref() == Some(&(number, nonce.clone())) {
            return Ok(());
        }
        self.forget_lineage()?;
        let next = self.next();
        if durable::exists(&next)? {
            fs::remove_dir_all(&next).context(|| format!("cannot remove {}", next.display()))?;
        }
        durable::create_dir(&self.next_member())?;
        let line = format!("{number} {}", nonce.0);
        notes::write(&self.next_member().join(LINEAGE), &line)
    }

    /// Drops the note of a lineage. No note is success.
    pub(super) fn forget_lineage(&self) -> Result<(), Error> {
        self.drop_note(&self.next_member(), LINEAGE)
    }

    /// The lineage that this volume begins, and that has never run here. A note that does not read is none.
    pub(super) fn begins(&self) -> Result<Option<(u64, Nonce)>, Error> {
        let note = match notes::read(&self.next_member().join(LINEAGE))? {
            Note::Line(line) => line,
            Note::None | Note::Unreadable => return Ok(None),
        };
        let read =
            |(number, nonce): (&str, &str)| Some((number.parse().ok()?, Nonce(nonce.into())));
        Ok(note.split_once(' ').and_then(read))
    }

    /// Where the data of that lineage is to be made, whole or not at all; none once it has been.
    ///
    /// Each try has a place of its own: what an earlier one has left to itself may still be at work.
    pub fn to_be_made(&self, nonce: &Nonce, attempt: &str) -> Result<Option<PathBuf>, Error> {
        if self.made(nonce)?.is_some() || self.is_whole()? {
            return Ok(None);
        }
        let next = self.next();
        for name in durable::names(&next)? {
            if name.starts_with(MADE) {
                // One that is still at work has it gone later.
                let _ = fs::remove_dir_all(next.join(name));
            }
        }
        Ok(Some(next.join(format!("{MADE}{}-{attempt}", nonce.0))))
    }

    /// Brings the data that was made for this lineage into its place; what lies there is set aside for it, and said.
    ///
    /// A kill before the last rename leaves the note beside data that is whole: done again it is done.
    pub fn bring(
        &self,
        (number, nonce): (u64, &Nonce),
        now: SystemTime,
    ) -> Result<Option<PathBuf>, Error> {
        let next = self.next_member();
        if !self.is_whole()?
            && let Some(made) = self.made(nonce)?
        {
            let made = made.join("member");
            let mut names = durable::names(&made)?;
            // The WAL is the last of them, and shows that the rest is there.
            names.sort_unstable();
            for name in names {
                let to = next.join(&name);
                // Of another try that was killed here.
                if durable::exists(&to)? {
                    fs::remove_dir_all(&to)
                        .context(|| format!("cannot remove {}", to.display()))?;
                }
                rename(&made.join(&name), &to)?;
            }
        }
        if !self.is_whole()? {
            let next = next.display();
            return Err(Error::new(format!("there is no data in {next} to bring")));
        }
        let aside = match durable::exists(&self.member)? {
            true => Some(self.set_all_aside_for(number, now)?),
            false => None,
        };
        rename(&next, &self.member)?;
        // What is left of it is in nobody's way.
        let _ = fs::remove_dir_all(self.next());
        Ok(aside)
    }

    /// What was made for the lineage with this nonce, and lies there still.
    fn made(&self, nonce: &Nonce) -> Result<Option<PathBuf>, Error> {
        let next = self.next();
        let of_it = format!("{MADE}{}-", nonce.0);
        for name in durable::names(&next)? {
            let made = next.join(&name);
            if name.starts_with(&of_it)
                && !name.ends_with(PART)
                && wal_files(&made.join("member/wal"))?.any()
            {
                return Ok(Some(made));
            }
        }
        Ok(None)
    }

    /// All of it lies in the folder that becomes `member/`.
    fn is_whole(&self) -> Result<bool, Error> {
        Ok(wal_files(&self.next_member().join("wal"))?.any())
    }

    pub(super) fn next(&self) -> PathBuf {
        self.data.join(NEXT)
    }

    fn next_member(&self) -> PathBuf {
        self.next().join("member")
    }
}
