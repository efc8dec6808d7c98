//! Holding a data dir, and seeing that another process holds it. Creates no file.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::wal::wal_files;
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
        match self.held_by_etcd()? {
            Some(holder) => Err(LockError::Held { holder }),
            None => Ok(Lock { _dir: dir }),
        }
    }

    /// Which entrypoint holds the data dir, without taking it: it locks the directory itself, and keeps that
    /// lock beside an etcd on trial. A command of ours that changes the data holds it too, for a moment.
    pub fn held_by_entrypoint(&self) -> Result<Option<String>, Error> {
        if !durable::exists(&self.data)? {
            return Ok(None);
        }
        let failed = || format!("cannot try {}", self.data.display());
        let dir = File::open(&self.data).context(failed)?;
        // Shared, and let go of at once.
        try_flock(&dir, FlockOperation::NonBlockingLockShared).context(failed)
    }

    /// Which etcd runs on the data dir, by its own locks: its program may have any name.
    pub fn held_by_etcd(&self) -> Result<Option<String>, Error> {
        let db = self.snap.join("db");
        if let Some(holder) = held_db(&db).context(|| format!("cannot try {}", db.display()))? {
            return Ok(Some(holder));
        }
        for name in wal_files(&self.wal)?.names.iter().rev() {
            let path = self.wal.join(name.to_string());
            let failed = || format!("cannot try {}", path.display());
            if let Some(holder) = held_wal(&path).context(failed)? {
                return Ok(Some(holder));
            }
        }
        Ok(None)
    }
}

fn held_db(path: &Path) -> io::Result<Option<String>> {
    match snap::open(path)? {
        // Whether an flock is held cannot be asked without trying. Shared, and let go of at once: an etcd that
        // starts this moment tries again 50 ms later (bbolt `bolt_unix.go`, `flock`).
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
    // Asked, not tried: etcd tries its own lock once, and ends where it finds ours ("fileutil: file already
    // locked"). The answer tells of open file description locks too, and needs no /proc.
    let mut lock = libc::flock {
        l_type: libc::F_RDLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_GETLK(&mut lock)).map_err(io::Error::from)?;
    match i32::from(lock.l_type) == libc::F_UNLCK {
        true => Ok(None),
        false => holder(&file).map(Some),
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
