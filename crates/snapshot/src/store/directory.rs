//! A directory as a store. An object is there wholly or not at all, and durable before anybody is told: written beside
//! its place, synced, renamed, and the folder synced.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use bytes::Bytes;

use etcd_rejoin_host::error::{Context, Error};

use super::object::{Creation, Listing, SMALL};

/// What is being written has such a name, which is listed by nobody.
const UNFINISHED: &str = ".unfinished-";
/// How much is read at once.
const PIECE: usize = 1 << 20;

/// A directory that exists: a mount that is missing shall not become a folder on the disk below.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// This one.
    pub fn new(root: &Path) -> Directory {
        Directory { root: root.into() }
    }

    fn exists(&self) -> Result<(), Error> {
        match fs::metadata(&self.root) {
            Ok(meta) if meta.is_dir() => Ok(()),
            Ok(_) => Err(Error::new(format!(
                "REJOIN_STORE={} is no directory",
                self.root.display()
            ))),
            Err(error) => {
                let what = format!(
                    "REJOIN_STORE={} does not open: create it, or mount it",
                    self.root.display()
                );
                Err(Error::caused(what, error))
            }
        }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.exists()?;
        let path = self.path(key);
        let what = || format!("cannot read {}", path.display());
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::caused(what(), error)),
        };
        let mut bytes = Vec::new();
        file.take(SMALL as u64 + 1)
            .read_to_end(&mut bytes)
            .context(what)?;
        match bytes.len() <= SMALL {
            true => Ok(Some(bytes)),
            false => Err(Error::new(format!(
                "{} is larger than {SMALL} bytes: it is not ours",
                path.display()
            ))),
        }
    }

    pub fn put(&self, key: &str, bytes: &[u8]) -> Result<(), Error> {
        let mut file = self.upload(key)?;
        file.write(bytes)?;
        file.finish()
    }

    pub fn create(&self, key: &str, bytes: &[u8]) -> Result<Creation, Error> {
        let mut file = self.upload(key)?;
        file.write(bytes)?;
        file.finish_new()
    }

    pub fn list(&self, folder: &str) -> Result<Vec<Listing>, Error> {
        self.exists()?;
        let path = self.path(folder);
        let what = || format!("cannot list {}", path.display());
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::caused(what(), error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.context(what)?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else {
                continue;
            };
            let meta = match entry.metadata() {
                Ok(meta) => meta,
                // Gone meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::caused(what(), error)),
            };
            if meta.is_file() {
                let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                found.push(Listing {
                    key: format!("{folder}/{name}"),
                    size: meta.len(),
                    modified,
                });
            }
        }
        Ok(found)
    }

    /// The files of the place and of its folders, two levels deep, as others keep snapshots.
    pub fn tree(&self) -> Result<Vec<Listing>, Error> {
        let mut found = self.list(".")?;
        let what = || format!("cannot list {}", self.root.display());
        let mut folders = vec![(String::new(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            for entry in fs::read_dir(self.path(&folder)).context(what)? {
                let entry = entry.context(what)?;
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                let Some(name) = entry.file_name().to_str().map(String::from) else {
                    continue;
                };
                if is_folder && depth < 2 && !name.starts_with('.') && name != "lost+found" {
                    let below = format!("{folder}{name}");
                    found.extend(self.list(&below)?);
                    folders.push((format!("{below}/"), depth + 1));
                }
            }
        }
        for listing in &mut found {
            listing.key = listing.key.trim_start_matches("./").into();
        }
        Ok(found)
    }

    pub fn delete(&self, key: &str) -> Result<(), Error> {
        self.exists()?;
        let path = self.path(key);
        match fs::remove_file(&path) {
            Ok(()) => sync_folder_of(&path),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Error::caused(
                format!("cannot delete {}", path.display()),
                error,
            )),
        }
    }

    pub fn sweep(&self, folder: &str, age: std::time::Duration) -> Result<(), Error> {
        self.exists()?;
        let path = self.path(folder);
        let what = || format!("cannot tidy {}", path.display());
        if !path.exists() {
            return Ok(());
        }
        for entry in fs::read_dir(&path).context(what)? {
            let entry = entry.context(what)?;
            let ours =
                (entry.file_name().to_str()).is_some_and(|name| name.starts_with(UNFINISHED));
            let modified = entry.metadata().and_then(|meta| meta.modified());
            let old = modified.is_ok_and(|at| at.elapsed().is_ok_and(|since| since > age));
            if ours && old {
                log::info!(
                    "{} is what a killed upload left: it is removed",
                    entry.path().display()
                );
                // Another one may have done it.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    pub fn free(&self) -> Result<u64, Error> {
        self.exists()?;
        let stat = rustix::fs::statvfs(&self.root);
        let stat =
            stat.context(|| format!("cannot ask how much is free in {}", self.root.display()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    pub fn upload(&self, key: &str) -> Result<NewFile, Error> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        self.exists()?;
        let path = self.path(key);
        let folder = folder_of(&path);
        if !folder.exists() {
            fs::create_dir_all(folder).context(|| format!("cannot make {}", folder.display()))?;
            // Its own entry has to be as durable as what is in it.
            sync_folder_of(folder)?;
        }
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let beside = folder.join(format!("{UNFINISHED}{}-{count}", crate::random::text()));
        // What is saved holds secrets: nobody else reads it.
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside);
        let file = file.context(|| format!("cannot write to {}", folder.display()))?;
        Ok(NewFile { file, beside, path })
    }

    pub fn download(&self, key: &str) -> Result<OpenFile, Error> {
        self.exists()?;
        let path = self.path(key);
        let file = File::open(&path).context(|| format!("cannot read {}", path.display()))?;
        Ok(OpenFile { file, path })
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().expect("a path below the root")
}

fn sync_folder_of(path: &Path) -> Result<(), Error> {
    let folder = folder_of(path);
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.context(|| format!("cannot sync {}", folder.display()))
}

/// A file that is being written beside its place. Dropped, it is gone.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    beside: PathBuf,
    path: PathBuf,
}

impl NewFile {
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file
            .write_all(bytes)
            .context(|| format!("cannot write {}", self.path.display()))
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.file
            .sync_all()
            .context(|| format!("cannot sync {}", self.path.display()))
    }

    pub fn finish(mut self) -> Result<(), Error> {
        self.sync()?;
        fs::rename(&self.beside, &self.path)
            .context(|| format!("cannot write {}", self.path.display()))?;
        sync_folder_of(&self.path)
    }

    /// As `finish`, unless a file of the name is there: a second link is refused by every file system that has links.
    fn finish_new(mut self) -> Result<Creation, Error> {
        self.sync()?;
        match fs::hard_link(&self.beside, &self.path) {
            Ok(()) => sync_folder_of(&self.path).map(|()| Creation::Ours),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Creation::Others),
            Err(error) => {
                let what = format!(
                    "cannot write {} by a link, which its file system has to know",
                    self.path.display()
                );
                Err(Error::caused(what, error))
            }
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // Renamed, it is not there any more.
        let _ = fs::remove_file(&self.beside);
    }
}

/// A file that is being read.
pub struct OpenFile {
    file: File,
    path: PathBuf,
}

impl OpenFile {
    pub fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let mut piece = vec![0; PIECE];
        let read = self
            .file
            .read(&mut piece)
            .context(|| format!("cannot read {}", self.path.display()))?;
        piece.truncate(read);
        Ok((read > 0).then(|| piece.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> (tempfile::TempDir, Directory) {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::new(folder.path());
        (folder, directory)
    }

    fn names(directory: &Directory) -> Vec<String> {
        directory
            .list("a")
            .unwrap()
            .into_iter()
            .map(|found| found.key)
            .collect()
    }

    #[test]
    fn what_is_not_finished_is_not_there() {
        let (folder, directory) = directory();
        let mut file = directory.upload("a/b").unwrap();
        file.write(b"half").unwrap();
        assert_eq!(
            (directory.get("a/b").unwrap(), names(&directory)),
            (None, vec![])
        );
        drop(file);
        assert_eq!(fs::read_dir(folder.path().join("a")).unwrap().count(), 0);
    }

    #[test]
    fn the_second_create_finds_the_first() {
        let (_folder, directory) = directory();
        assert_eq!(directory.create("a/b", b"1").unwrap(), Creation::Ours);
        assert_eq!(directory.create("a/b", b"2").unwrap(), Creation::Others);
        assert_eq!(directory.get("a/b").unwrap().unwrap(), b"1");
        directory.put("a/b", b"3").unwrap();
        assert_eq!(directory.get("a/b").unwrap().unwrap(), b"3");
        assert_eq!(names(&directory), ["a/b"]);
        directory.delete("a/b").unwrap();
        directory.delete("a/b").unwrap();
        assert_eq!(directory.get("a/b").unwrap(), None);
    }

    #[test]
    fn a_missing_directory_is_no_empty_one() {
        let (folder, directory) = directory();
        drop(folder);
        let said = directory.list("a").unwrap_err().to_string();
        assert!(said.contains("create it, or mount it"), "{said}");
        assert!(directory.get("marker.json").is_err() && directory.put("a/b", b"1").is_err());
    }
}
