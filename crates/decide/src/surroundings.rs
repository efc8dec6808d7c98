//! What etcd would find on this machine, as plain values. What keeps it from starting is not said here.

use std::path::PathBuf;

use super::versions::Versions;

/// What etcd would find on this machine. It is looked at only where a step is due, or where a person asks; without
/// that nothing is known to hinder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Surroundings {
    /// It is told where to listen for clients, and not what to advertise to them.
    pub advertises_no_client_url: bool,
    /// It does not take its command line, and says this.
    pub flags_refused: Option<String>,
    /// The URLs that it could not listen at, in words.
    pub ports: Vec<String>,
    /// The directories that it writes to.
    pub dirs: Vec<Dir>,
    /// The WAL dir, where that is a mount point.
    pub wal_mount: Option<PathBuf>,
    /// The `member` folder, where that is a mount point.
    pub member_mount: Option<PathBuf>,
    /// Its version, as it says it.
    pub etcd: String,
    /// Its version and those that it has to fit.
    pub versions: Versions,
}

/// A directory that etcd writes to, or the nearest one above it that exists.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dir {
    /// Which one.
    pub path: PathBuf,
    /// How many bytes are left on its disk; or why nobody can write there, in words.
    pub free: Result<u64, String>,
    /// A WAL is made in it.
    pub wal: bool,
    /// How many bytes the database takes that lies in it.
    pub database: u64,
}
