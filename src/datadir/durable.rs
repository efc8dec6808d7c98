//! Files and directories that are still there after a power cut. Knows nothing about etcd.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::error::{Context, Error};

/// Whether an error says that nothing lies there.
pub fn missing(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::NotFound
}

/// The names in a directory that are text; none if there is no directory.
pub fn names(dir: &Path) -> Result<Vec<String>, Error> {
    let failed = || format!("cannot list {}", dir.display());
    let entries = match fs::read_dir(dir) {
        Err(e) if missing(&e) => return Ok(Vec::new()),
        entries => entries.context(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.context(failed)?.file_name().into_string().ok());
    }
    Ok(names)
}

/// Whether something lies at a path, without following a link.
pub fn exists(path: &Path) -> Result<bool, Error> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(e) if missing(&e) => Ok(false),
        Err(e) => Err(Error::caused(
            format!("cannot look at {}", path.display()),
            e,
        )),
    }
}

/// Makes names that were created, moved or removed in a directory durable.
pub fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .context(|| format!("cannot sync {}", dir.display()))
}

/// Creates a directory (0700) if it is missing, and makes its name durable in any case: an earlier
/// run may have been killed between the two.
pub fn create_dir(dir: &Path) -> Result<(), Error> {
    let parent = match dir.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => sync_dir(parent),
        // Also where there is a link, or a mount; its use says whether it serves.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            match File::open(parent) {
                Ok(parent_dir) => {
                    (parent_dir.sync_all()).context(|| format!("cannot sync {}", parent.display()))
                }
                // Whoever may not read the parent has not created the directory either.
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
                Err(e) => Err(Error::caused(
                    format!("cannot open {}", parent.display()),
                    e,
                )),
            }
        }
        // Where the parent is there (a link to nothing, /proc), making it again changes nothing.
        Err(e) if missing(&e) && parent != dir && fs::symlink_metadata(parent).is_err() => {
            create_dir(parent)?;
            create_dir(dir)
        }
        Err(e) => Err(Error::caused(format!("cannot create {}", dir.display()), e)),
    }
}

/// Writes a small file: under another name, synced, renamed, and the directory synced.
pub fn write(path: &Path, text: &str) -> Result<(), Error> {
    write_unsynced_or_not(path, text, true)
}

/// Writes a small file whole or not at all, without waiting for the disk.
pub fn write_unsynced(path: &Path, text: &str) -> Result<(), Error> {
    write_unsynced_or_not(path, text, false)
}

fn write_unsynced_or_not(path: &Path, text: &str, sync: bool) -> Result<(), Error> {
    let temporary = path.with_extension("tmp");
    let failed = || format!("cannot write {}", path.display());
    remove_file(&temporary)?;
    let mut file = (OpenOptions::new().write(true).create_new(true).mode(0o600))
        .open(&temporary)
        .context(failed)?;
    file.write_all(text.as_bytes()).context(failed)?;
    if sync {
        file.sync_all().context(failed)?;
    }
    fs::rename(&temporary, path).context(failed)?;
    match path.parent() {
        Some(dir) if sync => sync_dir(dir),
        Some(_) | None => Ok(()),
    }
}

/// Removes a file; whether there was one. Not yet durable.
pub fn remove_file(path: &Path) -> Result<bool, Error> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if missing(&e) => Ok(false),
        Err(e) => Err(Error::caused(
            format!("cannot remove {}", path.display()),
            e,
        )),
    }
}
