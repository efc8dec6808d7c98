//! Holding a data dir, and seeing that another process holds it. Creates no file.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{FlockOperation, fcntl_lock, flock};
use rustix::io::Errno;

use super::inspect::wal_files;
use super::{Volume, durable, snap};
use crate::error::{Context, Error};

/// The data dir is ours until this is dropped, or the process becomes another program.
#[derive(Debug)]
pub struct Lock {
    _dir: File,
}

/// Why the data dir is not ours.
#[derive(Debug)]
pub enum LockError {
    /// Another process holds it.
    Held {
        /// Which one, as far as it can be seen.
        holder: String,
    },
    /// It could not be tried.
    Failed(Error),
}

impl From<Error> for LockError {
    fn from(error: Error) -> Self {
        LockError::Failed(error)
    }
}

impl Volume {
    /// Takes the data dir (creating it, 0700), unless another process or a running etcd holds it.
    ///
    /// etcd itself holds `member/snap/db` by flock (bbolt `bolt_unix.go`) and its WAL files by open
    /// file description locks (etcd `client/pkg/fileutil/lock_linux.go`).
    pub fn lock(&self) -> Result<Lock, LockError> {
        if !durable::exists(&self.data)? {
            durable::create_dir(&self.data)?;
        }
        let failed = || format!("cannot lock {}", self.data.display());
        let dir = File::open(&self.data).context(failed)?;
        if let Some(holder) =
            try_flock(&dir, FlockOperation::NonBlockingLockExclusive).context(failed)?
        {
            return Err(LockError::Held { holder });
        }
        self.held_by_etcd()?;
        Ok(Lock { _dir: dir })
    }

    /// Who holds the data dir, without taking it: `Ok` means nobody.
    pub fn holder(&self) -> Result<(), LockError> {
        if !durable::exists(&self.data)? {
            return Ok(());
        }
        let failed = || format!("cannot try {}", self.data.display());
        let dir = File::open(&self.data).context(failed)?;
        // Shared, and let go of at once.
        if let Some(holder) =
            try_flock(&dir, FlockOperation::NonBlockingLockShared).context(failed)?
        {
            return Err(LockError::Held { holder });
        }
        self.held_by_etcd()
    }

    fn held_by_etcd(&self) -> Result<(), LockError> {
        let db = self.snap.join("db");
        if let Some(holder) = held_db(&db).context(|| format!("cannot try {}", db.display()))? {
            return Err(LockError::Held { holder });
        }
        for name in wal_files(&self.wal)?.names.iter().rev() {
            let path = self.wal.join(name.to_string());
            let failed = || format!("cannot try {}", path.display());
            if let Some(holder) = held_wal(&path).context(failed)? {
                return Err(LockError::Held { holder });
            }
        }
        Ok(())
    }
}

fn held_db(path: &Path) -> io::Result<Option<String>> {
    match snap::open(path)? {
        // Shared, and let go of at once: only an etcd that starts this moment might have to retry.
        Some(file) => try_flock(&file, FlockOperation::NonBlockingLockShared),
        None => Ok(None),
    }
}

fn try_flock(file: &File, operation: FlockOperation) -> io::Result<Option<String>> {
    match flock(file, operation) {
        Ok(()) => Ok(None),
        Err(Errno::WOULDBLOCK) => Ok(Some(holder(file)?)),
        Err(e) => Err(e.into()),
    }
}

fn held_wal(path: &Path) -> io::Result<Option<String>> {
    let Some(file) = snap::open(path)? else {
        return Ok(None);
    };
    // A record lock conflicts with an open file description lock, and needs no /proc to be seen.
    match fcntl_lock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(None),
        Err(Errno::AGAIN | Errno::ACCESS) => holder(&file).map(Some),
        Err(e) => Err(e.into()),
    }
}

/// Who holds a file: by the kernel's list of locks, else by who has it open.
fn holder(file: &File) -> io::Result<String> {
    let meta = file.metadata()?;
    let file = (meta.dev(), meta.ino());
    let listed = listed_pids(meta.ino());
    let known = (listed.iter().copied())
        .find(|pid| has_open(*pid, file))
        .or_else(|| {
            pids()
                .into_iter()
                .find(|pid| *pid != std::process::id() && has_open(*pid, file))
        })
        .or_else(|| listed.first().copied());
    Ok(match known {
        Some(pid) => match fs::read_to_string(format!("/proc/{pid}/comm")) {
            Ok(comm) => format!("process {pid} ({})", comm.trim_end()),
            Err(_) => format!("process {pid}"),
        },
        None => "a process outside this PID namespace".into(),
    })
}

/// The processes that hold a lock on this inode, by `/proc/locks`; those of open file descriptions
/// are not named there.
fn listed_pids(inode: u64) -> Vec<u32> {
    let Ok(locks) = File::open("/proc/locks") else {
        return Vec::new();
    };
    let pid = |line: String| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // `6: FLOCK ADVISORY WRITE 12966 fe:00:10027138 0 EOF`; `6: -> ..` is one that waits.
        let [_, _, _, _, pid, file, ..] = fields[..] else {
            return None;
        };
        let held = fields[1] != "->" && file.rsplit(':').next() == Some(&inode.to_string());
        held.then(|| pid.parse().ok()).flatten()
    };
    (BufReader::new(locks).lines().map_while(Result::ok))
        .filter_map(pid)
        .collect()
}

fn pids() -> Vec<u32> {
    let names = durable::names(Path::new("/proc")).unwrap_or_default();
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

fn has_open(pid: u32, file: (u64, u64)) -> bool {
    let Ok(fds) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    fds.flatten()
        .any(|fd| fs::metadata(fd.path()).is_ok_and(|meta| (meta.dev(), meta.ino()) == file))
}
