//! The notes: one line of text each, written so that no kill and no power cut leaves half of one.
//!
//! J and P lie in the WAL directory, under names that etcd takes for no WAL: etcd leaves them there
//! when it refuses to start, and its creation of the WAL (`os.RemoveAll`, then rename, etcd
//! `wal/wal.go`, `renameWAL`) removes them. So they never outlive their truth. The others lie in
//! `member/`, where etcd does not mind unknown names, and go where the data goes.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::durable;
use super::wal::WalEnd;
use super::wal::wal_files;
use super::{Volume, snap};
use crate::error::{Context, Error};
use crate::membership::MemberId;

pub(super) const JOIN: &str = "rejoin-join";
pub(super) const PROMISE: &str = "rejoin-promise";
pub(super) const GIVE_UP: &str = "rejoin-give-up";
pub(super) const LEARNER: &str = "rejoin-learner";
pub(super) const START: &str = "rejoin-start";
pub(super) const WAL_DIR: &str = "rejoin-wal-dir";
/// Which etcd was started here.
const ETCD: &str = "rejoin-etcd";
pub(super) const LEFT: &str = "rejoin-left";
/// What it says of one whose StatefulSet had shrunk.
const LEFT_SCALED: &str = "left as its StatefulSet had shrunk";

/// What the notes about an add say before it: it names no ID, and so is none.
const NOT_YET: &str = "not added yet";
/// No note is longer.
const LONGEST: u64 = 4096;

/// A note as it lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// There is none.
    None,
    /// One line of text.
    Line(String),
    /// Something that we did not write.
    Unreadable,
}

/// Reads a note. `Err` is a failed read, never a statement about the note.
pub(super) fn read(path: &Path) -> Result<Note, Error> {
    let failed = || format!("cannot read {}", path.display());
    let file = match snap::open(path).context(failed)? {
        Some(file) => file,
        None if durable::exists(path)? => return Ok(Note::Unreadable),
        None => return Ok(Note::None),
    };
    let mut bytes = Vec::new();
    (file.take(LONGEST).read_to_end(&mut bytes)).context(failed)?;
    let line = (String::from_utf8(bytes).ok())
        .and_then(|text| text.strip_suffix('\n').map(str::to_string))
        .filter(|line| !line.is_empty() && !line.contains(|c: char| c.is_control()));
    Ok(line.map_or(Note::Unreadable, Note::Line))
}

/// A member ID exactly as we write it.
fn id(line: &str) -> Option<MemberId> {
    let id: MemberId = line.parse().ok()?;
    (id.to_string() == line).then_some(id)
}

/// The notes of one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notes {
    pub join: Option<MemberId>,
    pub adding: bool,
    pub promise: Option<String>,
    pub give_up: Note,
    pub learner: Option<MemberId>,
    pub start: Option<String>,
    pub left: bool,
    pub left_scaled: bool,
}

impl Volume {
    pub(super) fn notes(&self) -> Result<Notes, Error> {
        let line = |path: PathBuf| match read(&path)? {
            Note::Line(line) => Ok::<_, Error>(Some(line)),
            // Whatever we did not write proves nothing.
            Note::None | Note::Unreadable => Ok(None),
        };
        let (left, left_scaled) = match read(&self.data.join(LEFT))? {
            Note::None => (false, false),
            Note::Line(line) => (true, line == LEFT_SCALED),
            Note::Unreadable => (true, false),
        };
        let join = line(self.wal.join(JOIN))?;
        Ok(Notes {
            adding: join.as_deref() == Some(NOT_YET),
            join: join.and_then(|line| id(&line)),
            promise: line(self.wal.join(PROMISE))?,
            give_up: read(&self.member.join(GIVE_UP))?,
            learner: line(self.member.join(LEARNER))?.and_then(|line| id(&line)),
            start: line(self.member.join(START))?,
            left,
            left_scaled,
        })
    }

    /// Before an add: drops the founding promise P, which speaks for the static ID, and writes the join note J
    /// (and that of a learner) without an ID. That is no note yet, but shows that one can be written.
    pub fn before_join(&self, learner: bool) -> Result<(), Error> {
        self.refuse_beside_a_wal()?;
        self.create_wal_dir()?;
        self.drop_note(&self.wal, PROMISE)?;
        // What joins begins no lineage.
        self.forget_lineage()?;
        if learner {
            write(&self.member.join(LEARNER), NOT_YET)?;
        }
        write(&self.wal.join(JOIN), NOT_YET)
    }

    /// Writes the join note J: this entry was added from this volume, after `before_join`, and never ran.
    pub fn note_join(&self, id: MemberId) -> Result<(), Error> {
        self.refuse_beside_a_wal()?;
        write(&self.wal.join(JOIN), &id.to_string())
    }

    /// Writes the founding promise P with this digest of initial cluster and token.
    pub fn note_promise(&self, digest: &str) -> Result<(), Error> {
        self.refuse_beside_a_wal()?;
        self.create_wal_dir()?;
        write(&self.wal.join(PROMISE), digest)
    }

    /// Writes the give-up note G: this identity is never started again.
    pub fn give_up(&self, id: MemberId) -> Result<(), Error> {
        self.create_member_dir()?;
        write(&self.member.join(GIVE_UP), &id.to_string())
    }

    /// Notes that we added this identity as a learner, so that we promote it.
    pub fn note_learner(&self, id: MemberId) -> Result<(), Error> {
        self.create_member_dir()?;
        write(&self.member.join(LEARNER), &id.to_string())
    }

    /// Drops the learner note. No note is success.
    pub fn forget_learner(&self) -> Result<(), Error> {
        self.drop_note(&self.member, LEARNER)
    }

    /// Notes where the WAL ends at a start, to see whether the start made progress.
    ///
    /// Not synced: without the note a start is taken for one that made progress.
    pub fn note_start(&self, end: &WalEnd) -> Result<(), Error> {
        if !durable::exists(&self.member)? {
            self.create_member_dir()?;
        }
        durable::write_unsynced(&self.member.join(START), &format!("{end}\n"))
    }

    /// Notes where the WAL lies, if by itself: a later start without that setting would find no WAL.
    ///
    /// Not synced: without the note a WAL that is not found is taken for lost.
    pub fn note_wal_dir(&self) -> Result<(), Error> {
        let path = self.member.join(WAL_DIR);
        let Some(wal) = self.wal.to_str().filter(|_| self.external) else {
            return durable::remove_file(&path).map(drop);
        };
        if read(&path)? == Note::Line(wal.into()) {
            return Ok(());
        }
        self.create_member_dir()?;
        durable::write_unsynced(&path, &format!("{wal}\n"))
    }

    /// Where the last start had its WAL, if that was by itself and not where it is now.
    pub(super) fn wal_was_elsewhere(&self) -> Result<Option<PathBuf>, Error> {
        Ok(match read(&self.member.join(WAL_DIR))? {
            Note::Line(line) => Some(PathBuf::from(line)).filter(|wal| *wal != self.wal),
            Note::None | Note::Unreadable => None,
        })
    }

    /// Notes which etcd is started on this data, so that the next start need not run it to know its version.
    ///
    /// Not synced: without the note etcd is asked.
    pub fn note_etcd(&self, program: &Path, version: &str) -> Result<(), Error> {
        let Some(line) = program_line(program, version) else {
            return Ok(());
        };
        let path = self.member.join(ETCD);
        if !durable::exists(&self.member)? || read(&path)? == Note::Line(line.clone()) {
            return Ok(());
        }
        durable::write_unsynced(&path, &format!("{line}\n"))
    }

    /// The version of this program, if it was started here before and its file has not changed since.
    pub fn noted_etcd(&self, program: &Path) -> Option<String> {
        let Ok(Note::Line(line)) = read(&self.member.join(ETCD)) else {
            return None;
        };
        let (_, version) = line.rsplit_once(' ')?;
        (program_line(program, version).as_ref() == Some(&line)).then(|| version.into())
    }

    /// Notes that this member left on purpose. It stays until `forget_left`, whatever else moves. `scaled`: because
    /// its StatefulSet had shrunk.
    pub fn note_left(&self, scaled: bool) -> Result<(), Error> {
        durable::create_dir(&self.data)?;
        let why = if scaled {
            LEFT_SCALED
        } else {
            "left on purpose"
        };
        write(&self.data.join(LEFT), why)
    }

    /// Whether the note lies there that this member left, or perhaps does.
    pub fn has_left(&self) -> bool {
        !matches!(read(&self.data.join(LEFT)), Ok(Note::None))
    }

    /// Drops the note of having left. No note is success.
    pub fn forget_left(&self) -> Result<(), Error> {
        self.drop_note(&self.data, LEFT)
    }

    fn create_member_dir(&self) -> Result<(), Error> {
        durable::create_dir(&self.data)?;
        durable::create_dir(&self.member)
    }

    /// A note beside a WAL would outlive its truth.
    fn refuse_beside_a_wal(&self) -> Result<(), Error> {
        let wal = self.wal.display();
        match wal_files(&self.wal)?.any() {
            true => Err(Error::new(format!(
                "cannot write a note to {wal}: there is a WAL"
            ))),
            false => Ok(()),
        }
    }

    /// The WAL directory, as etcd will make it: within `member/`, or by itself.
    fn create_wal_dir(&self) -> Result<(), Error> {
        self.create_member_dir()?;
        durable::create_dir(&self.wal)
    }

    pub(super) fn drop_note(&self, dir: &Path, name: &str) -> Result<(), Error> {
        match durable::remove_file(&dir.join(name))? {
            true => durable::sync_dir(dir),
            // An earlier run may have been killed between the two.
            false => match fs::metadata(dir) {
                Ok(_) => durable::sync_dir(dir),
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(e) => Err(Error::caused(
                    format!("cannot look at {}", dir.display()),
                    e,
                )),
            },
        }
    }
}

/// A program's file, so that another one or a changed one differs, and its version.
fn program_line(program: &Path, version: &str) -> Option<String> {
    let file = fs::metadata(program).ok()?;
    let (device, inode, size) = (file.dev(), file.ino(), file.size());
    let (written, changed) = (file.mtime(), file.ctime());
    let (written_ns, changed_ns) = (file.mtime_nsec(), file.ctime_nsec());
    Some(format!(
        "{device} {inode} {size} {written}.{written_ns:09} {changed}.{changed_ns:09} {version}"
    ))
}

pub(super) fn write(path: &Path, line: &str) -> Result<(), Error> {
    // A line that does not read back would be no note; better to say so now.
    if line.is_empty() || line.len() as u64 >= LONGEST || line.contains(|c: char| c.is_control()) {
        return Err(Error::new(format!(
            "cannot write {}: {line:?} is not one line of text",
            path.display()
        )));
    }
    durable::write(path, &format!("{line}\n"))
}
