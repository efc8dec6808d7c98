//! The machine that is looked at: its files, below a root that may be elsewhere. Reads only.

use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// No configuration is larger.
const MAX_FILE: u64 = 1 << 20;

/// The folders in which the kernel's handlers and keepalived look for a bare name.
const FOLDERS: [&str; 4] = ["/sbin", "/usr/sbin", "/bin", "/usr/bin"];

/// A machine's file system.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
    /// Who may own what runs as root: root, or whoever owns the root that we were given.
    owner: u32,
}

/// What stands in a program's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// Nothing: its path.
    Fine(PathBuf),
    /// There is none.
    Missing,
    /// It is no file that may be executed.
    NotExecutable,
}

impl Host {
    /// The machine whose root is there.
    pub fn at(root: &Path) -> Self {
        let owner = root.metadata().map_or(0, |meta| meta.uid());
        Host {
            root: root.to_path_buf(),
            owner,
        }
    }

    /// Whether this is the file system that we run in.
    pub fn is_own(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Where a path of the machine is found here.
    pub fn path(&self, path: &Path) -> PathBuf {
        let inside = path.components().filter(|part| match part {
            Component::Normal(_) | Component::ParentDir => true,
            Component::RootDir | Component::CurDir | Component::Prefix(_) => false,
        });
        match path.is_absolute() {
            true => self.root.join(inside.collect::<PathBuf>()),
            false => path.to_path_buf(),
        }
    }

    /// A file's text. What is no UTF-8 is replaced; it is a comment in somebody's language.
    pub fn read(&self, path: &Path) -> io::Result<String> {
        let path = self.path(path);
        if !fs::metadata(&path)?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut bytes = Vec::new();
        let file = fs::File::open(&path)?;
        file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > MAX_FILE {
            true => Err(io::Error::other("it is larger than 1 MiB")),
            false => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    /// What is known of a file.
    pub fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        fs::metadata(self.path(path))
    }

    /// Whether a link lies there, wherever it leads.
    pub fn has_link(&self, path: &Path) -> bool {
        fs::symlink_metadata(self.path(path)).is_ok_and(|meta| meta.is_symlink())
    }

    /// Whether every user of the machine can read it.
    pub fn is_open_to_all(&self, path: &Path) -> bool {
        (self.metadata(path)).is_ok_and(|meta| meta.mode() & 0o004 != 0)
    }

    /// The program that a command line begins with.
    pub fn program(&self, word: &str) -> Program {
        let path = Path::new(word);
        let candidates: Vec<PathBuf> = match path.is_absolute() {
            true => vec![path.to_path_buf()],
            false => FOLDERS
                .iter()
                .map(|folder| Path::new(folder).join(word))
                .collect(),
        };
        let found = candidates
            .into_iter()
            .find_map(|path| Some((self.metadata(&path).ok()?, path)));
        match found {
            None => Program::Missing,
            Some((meta, path)) if meta.is_file() && meta.mode() & 0o111 != 0 => Program::Fine(path),
            Some(_) => Program::NotExecutable,
        }
    }

    /// The first part of a path that somebody else than root could exchange. keepalived then disables
    /// the script, and becomes master without it.
    ///
    /// Source: keepalived `lib/notify.c`, `check_security`.
    pub fn exchangeable(&self, path: &Path) -> Option<(PathBuf, &'static str)> {
        let mut parts: Vec<&Path> = path.ancestors().collect();
        parts.reverse();
        parts.into_iter().find_map(|part| {
            let meta = self.metadata(part).ok()?;
            let sticky_folder = meta.is_dir() && meta.mode() & 0o1000 != 0;
            let why = if ![0, self.owner].contains(&meta.uid()) {
                "is not owned by root"
            } else if sticky_folder {
                return None;
            } else if meta.mode() & 0o002 != 0 {
                "is writable by everybody"
            } else if meta.mode() & 0o020 != 0 && meta.gid() != 0 {
                "is writable by a group that is not root's"
            } else {
                return None;
            };
            Some((part.to_path_buf(), why))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_the_root() {
        let host = Host::at(Path::new("/tmp"));
        assert_eq!(host.path(Path::new("/etc/x")), Path::new("/tmp/etc/x"));
        assert_eq!(host.path(Path::new("//etc/./x")), Path::new("/tmp/etc/x"));
    }
}
