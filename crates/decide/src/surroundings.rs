//! What etcd would find on this machine, as plain values. What keeps it from starting is not said here.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::versions::{MinorVersion, Versions};

/// What etcd would find on this machine. It is looked at only where a step is due, or where a person asks; without
/// that nothing is known to hinder. The versions are looked at in front of a start with data, too.
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
    /// The versions of the other members that answer, by name. Asked where a step is due, or an upgrade begins.
    pub running: Vec<(String, String)>,
}

impl Surroundings {
    /// The versions that run beside each other, where they are several: etcd takes changes of the membership all the
    /// same.
    pub fn mixed(&self) -> Option<String> {
        let minors = self
            .running
            .iter()
            .map(|(_, version)| MinorVersion::read(version));
        let all: BTreeSet<_> = minors.chain([self.versions.etcd]).flatten().collect();
        let said = |(name, version): &(String, String)| format!("{name}={version}");
        let here = (!self.etcd.is_empty()).then(|| format!("here={}", self.etcd));
        let said: Vec<String> = self.running.iter().map(said).chain(here).collect();
        (all.len() > 1).then(|| said.join(","))
    }
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
