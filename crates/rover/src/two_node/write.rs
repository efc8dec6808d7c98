//! Writing the files: all or, where one is there already, none. Never over anything.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use etcd_rejoin_host::error::{Context, Error};

/// One file to be written.
#[derive(Debug, PartialEq, Eq)]
pub struct File {
    /// Its path below the output folder: `node1/keepalived.conf`.
    pub path: String,
    /// Where it belongs on that machine; a text for people has no such place.
    pub place: Option<String>,
    /// It holds a secret: only its owner may read it.
    pub secret: bool,
    /// What it holds.
    pub text: String,
}

/// Writes the files below `dir`.
pub fn write(dir: &Path, files: &[File]) -> Result<Vec<PathBuf>, Error> {
    let paths: Vec<PathBuf> = files.iter().map(|file| dir.join(&file.path)).collect();
    let mut there = paths.iter().filter(|path| path.symlink_metadata().is_ok());
    if let Some(path) = there.next() {
        let more = match there.count() {
            0 => String::new(),
            n => format!(" (and {n} more)"),
        };
        return Err(Error::new(format!(
            "{} exists{more}: nothing was written; name another --dir",
            path.display()
        )));
    }
    for (file, path) in files.iter().zip(&paths) {
        let shown = path.display();
        let folder = path.parent().unwrap_or(dir);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .context(|| format!("cannot make the folder {}", folder.display()))?;
        let mode = if file.secret { 0o600 } else { 0o644 };
        // Checked above; this is for whoever came in between.
        let mut open = OpenOptions::new();
        let mut open = (open.write(true).create_new(true).mode(mode).open(path))
            .context(|| format!("cannot create {shown}"))?;
        (open.write_all(file.text.as_bytes())).context(|| format!("cannot write {shown}"))?;
    }
    Ok(paths)
}
