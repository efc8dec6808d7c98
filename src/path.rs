//! Paths as they compare: two spellings of one place are one. And what lies beside our own file.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// An absolute path without doubled or trailing slashes: etcd cleans the WAL dir's, too, before it
/// adds `.tmp` (`wal.Create`), and two spellings of one directory must compare equal.
pub fn clean(path: &Path) -> PathBuf {
    std::path::absolute(path)
        .unwrap_or_else(|_| path.to_path_buf())
        .components()
        .collect()
}

/// Where a path leads, as far as it is there; the rest, a link to nothing too, stays as it is written.
pub fn resolved(path: &Path) -> PathBuf {
    let path = clean(path);
    for top in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (top.canonicalize(), path.strip_prefix(top)) {
            return real.join(rest).components().collect();
        }
    }
    path
}

/// The file of this name beside our own, if there is one.
pub fn beside_us(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let ourselves = std::fs::read_link("/proc/self/exe").ok()?;
    Some(ourselves.with_file_name(name.as_ref())).filter(|path| path.is_file())
}
