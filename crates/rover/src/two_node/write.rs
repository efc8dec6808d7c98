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
    /// Where it belongs on that machine; empty where it stays here.
    pub place: String,
    /// Its mode, here and there.
    pub mode: u32,
    /// What it holds.
    pub text: String,
}

/// Writes the files below `dir`.
pub fn write(dir: &Path, files: &[File]) -> Result<Vec<PathBuf>, Error> {
    let paths: Vec<PathBuf> = files.iter().map(|file| dir.join(&file.path)).collect();
    if let Some(path) = paths.iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(Error::new(format!(
            "{} exists: nothing was written; name another --dir",
            path.display()
        )));
    }
    for (file, path) in files.iter().zip(&paths) {
        let shown = path.display();
        let folder = path.parent().unwrap_or(dir);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.context(|| format!("cannot make the folder {}", folder.display()))?;
        // Checked above; this is for whoever came in between.
        let mut open = OpenOptions::new();
        let open = open.write(true).create_new(true).mode(file.mode).open(path);
        let mut open = open.context(|| format!("cannot create {shown}"))?;
        (open.write_all(file.text.as_bytes())).context(|| format!("cannot write {shown}"))?;
    }
    Ok(paths)
}
