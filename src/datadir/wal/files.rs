//! The files of a WAL directory, by name: which there are, and in which order.

use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use super::super::{durable, snap};
use crate::error::{Context, Error};

/// A WAL file's name, `SEQUENCE-INDEX.wal` in 16 hex digits each (etcd `wal/util.go`, `walName`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WalName {
    /// Rises by one from file to file.
    pub seq: u64,
    /// The index of the first entry that may lie in the file.
    pub index: u64,
}

impl fmt::Display for WalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}.wal", self.seq, self.index)
    }
}

impl FromStr for WalName {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let (seq, index) = snap::hex_pair(name, ".wal").ok_or(())?;
        Ok(WalName { seq, index })
    }
}

/// The `.wal` files of a directory.
#[derive(Debug, Default)]
pub(in crate::datadir) struct WalFiles {
    /// By name, sorted.
    pub names: Vec<WalName>,
    /// Something ends in `.wal` and is no WAL file: etcd counts it, and then cannot read it.
    pub odd: Option<String>,
}

impl WalFiles {
    /// Whether etcd would say that there is a WAL (`wal/util.go`, `Exist`).
    pub fn any(&self) -> bool {
        !self.names.is_empty() || self.odd.is_some()
    }
}

/// Lists the `.wal` files of a directory.
pub(in crate::datadir) fn wal_files(dir: &Path) -> Result<WalFiles, Error> {
    let mut files = WalFiles::default();
    for name in durable::names(dir)? {
        if !name.ends_with(".wal") {
            continue;
        }
        let path = dir.join(&name);
        let meta = fs::metadata(&path).context(|| format!("cannot look at {}", path.display()))?;
        match name.parse() {
            Ok(parsed) if meta.is_file() => files.names.push(parsed),
            Ok(_) | Err(()) => files.odd = Some(name),
        }
    }
    files.names.sort();
    Ok(files)
}
