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

    /// The files that a pattern names, in order; only its last part may have `*` and `?`.
    pub fn matching(&self, pattern: &Path) -> Vec<PathBuf> {
        let Some(name) = pattern.file_name().map(|name| name.to_string_lossy()) else {
            return Vec::new();
        };
        if !name.contains(['*', '?']) {
            let there = self.metadata(pattern).is_ok();
            return there.then(|| pattern.to_path_buf()).into_iter().collect();
        }
        let folder = pattern.parent().unwrap_or(Path::new("/"));
        let entries = fs::read_dir(self.path(folder))
            .into_iter()
            .flatten()
            .flatten();
        let mut files: Vec<PathBuf> = entries
            .map(|entry| entry.file_name())
            .filter(|entry| {
                let entry = entry.to_string_lossy();
                !entry.starts_with('.') && matches(name.as_bytes(), entry.as_bytes())
            })
            .map(|entry| folder.join(entry))
            .filter(|file| self.metadata(file).is_ok_and(|meta| meta.is_file()))
            .collect();
        files.sort();
        files
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

/// `*` and `?`, as in a shell.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            Some(_) | None => {
                let Some((at, from)) = star else {
                    return false;
                };
                (p, n, star) = (at + 1, from + 1, Some((at, from + 1)));
            }
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        let says = |pattern: &str, name: &str| matches(pattern.as_bytes(), name.as_bytes());
        assert!(says("*.res", "etcd.res") && says("*", "x") && says("a?c*", "abcd"));
        assert!(!says("*.res", "etcd.res.bak") && !says("a?c", "ac"));
        assert!(!says(&"*a".repeat(40), &"b".repeat(2000)));
    }

    #[test]
    fn a_path_stays_below_the_root() {
        let host = Host::at(Path::new("/tmp"));
        assert_eq!(host.path(Path::new("/etc/x")), Path::new("/tmp/etc/x"));
        assert_eq!(host.path(Path::new("//etc/./x")), Path::new("/tmp/etc/x"));
    }
}
