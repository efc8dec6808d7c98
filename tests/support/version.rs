//! The etcds under test, and where they lie: Debian's three, and each further one that is there.
//!
//! `ETCD_REJOIN_NEWEST`, a folder with etcd, etcdctl and etcdutl, stands for the newest of Debian's: `tests/run.sh` runs
//! all tests of that one again with each further etcd (`ETCD_REJOIN_ETCDS`, and folders named by a version in the cache).

use std::fmt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

/// An etcd: its place among all.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Version(usize);

/// Debian's suites, the oldest etcd first: `tests/setup/etcd.sh` unpacks them.
const SUITES: [&str; 3] = ["bookworm", "trixie", "sid"];

struct Found {
    dir: PathBuf,
    number: OnceLock<[u32; 3]>,
}

fn found() -> &'static [Found] {
    static FOUND: OnceLock<Vec<Found>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let cache = match (env::var_os("ETCD_REJOIN_CACHE"), env::var_os("HOME")) {
            (Some(cache), _) => PathBuf::from(cache),
            (None, Some(home)) => PathBuf::from(home).join(".cache/etcd-rejoin"),
            (None, None) => panic!("neither ETCD_REJOIN_CACHE nor HOME is set"),
        }
        .join("etcd");
        let mut further: Vec<PathBuf> = match env::var_os("ETCD_REJOIN_ETCDS") {
            Some(dirs) => env::split_paths(&dirs).collect(),
            None => Vec::new(),
        };
        let cached = fs::read_dir(&cache).into_iter().flatten().flatten();
        let numbered = cached.filter(|entry| {
            let name = entry.file_name();
            name.as_encoded_bytes()[0].is_ascii_digit()
        });
        further.extend(numbered.map(|entry| entry.path()));
        let named = env::var_os("ETCD_REJOIN_NEWEST").filter(|dir| !dir.is_empty());
        further.extend(named.map(PathBuf::from));
        further.retain(|dir| dir.join("etcd").is_file());
        let further = further.iter().map(|dir| dir.canonicalize().unwrap());
        let mut dirs: Vec<PathBuf> = SUITES.iter().map(|suite| cache.join(suite)).collect();
        for dir in further {
            if !dirs.contains(&dir) {
                dirs.push(dir);
            }
        }
        let number = OnceLock::new;
        let found = dirs.into_iter().map(|dir| Found {
            dir,
            number: number(),
        });
        found.collect()
    })
}

impl Version {
    /// The oldest of Debian's: 3.4.
    pub fn oldest() -> Version {
        Version(0)
    }

    /// An early 3.5.
    pub fn middle() -> Version {
        Version(1)
    }

    /// The newest of Debian's, or the one that stands for it in this run.
    pub fn newest() -> Version {
        let Some(dir) = env::var_os("ETCD_REJOIN_NEWEST").filter(|dir| !dir.is_empty()) else {
            return Version(SUITES.len() - 1);
        };
        let dir = PathBuf::from(dir);
        let same = |found: &Found| dir.canonicalize().is_ok_and(|dir| found.dir == dir);
        let place = found().iter().position(same);
        Version(place.unwrap_or_else(|| panic!("ETCD_REJOIN_NEWEST={} has no etcd", dir.display())))
    }

    /// Each that is there, the oldest first.
    pub fn all() -> Vec<Version> {
        let mut all: Vec<Version> = (0..found().len()).map(Version).collect();
        all.sort_by_key(|version| version.number());
        all
    }

    /// Its place among all: for addresses and names of its own.
    pub fn place(self) -> usize {
        self.0
    }

    /// Major, minor and patch, as it says itself.
    pub fn number(self) -> [u32; 3] {
        *found()[self.0].number.get_or_init(|| {
            let said = Command::new(self.etcd())
                .arg("--version")
                .env_clear()
                .output();
            let said = String::from_utf8(said.unwrap().stdout).unwrap();
            let line = said.lines().next().unwrap_or_default();
            let number = line.strip_prefix("etcd Version: ").expect(&said);
            let number = number.split(['-', '+']).next().unwrap_or_default();
            let parts: Vec<u32> = number
                .split('.')
                .map(|part| part.parse().unwrap())
                .collect();
            parts.try_into().unwrap()
        })
    }

    /// Of `3.4.23`, the 4.
    pub fn minor(self) -> u32 {
        self.number()[1]
    }

    fn binary(self, name: &str) -> PathBuf {
        let path = found()[self.0].dir.join(name);
        assert!(
            path.exists(),
            "{} is missing: run tests/setup/etcd.sh",
            path.display()
        );
        path
    }

    /// The server.
    pub fn etcd(self) -> PathBuf {
        self.binary("etcd")
    }

    /// The client.
    pub fn etcdctl(self) -> PathBuf {
        self.binary("etcdctl")
    }

    /// What restores a snapshot: a program of its own since 3.5.
    pub fn etcdutl(self) -> PathBuf {
        match self.minor() {
            ..=4 => self.etcdctl(),
            5.. => self.binary("etcdutl"),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.number();
        write!(f, "{major}.{minor}.{patch}")
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "etcd {self}")
    }
}

/// Makes the tests of a topic: `each` runs on every version of etcd, `both` on the oldest and the newest, the rest on
/// the one that is named. What `newest` runs is run again with each further etcd.
macro_rules! scenarios {
    (
        $(each: $($each:ident),* $(,)?;)?
        $(both: $($both:ident),* $(,)?;)?
        $(oldest: $($oldest:ident),* $(,)?;)?
        $(middle: $($middle:ident),* $(,)?;)?
        $(newest: $($newest:ident),* $(,)?;)?
    ) => {
        mod oldest {
            $($(#[test] fn $each() { super::$each($crate::support::Version::oldest()) })*)?
            $($(#[test] fn $both() { super::$both($crate::support::Version::oldest()) })*)?
            $($(#[test] fn $oldest() { super::$oldest($crate::support::Version::oldest()) })*)?
        }
        mod middle {
            $($(#[test] fn $each() { super::$each($crate::support::Version::middle()) })*)?
            $($(#[test] fn $middle() { super::$middle($crate::support::Version::middle()) })*)?
        }
        mod newest {
            $($(#[test] fn $each() { super::$each($crate::support::Version::newest()) })*)?
            $($(#[test] fn $both() { super::$both($crate::support::Version::newest()) })*)?
            $($(#[test] fn $newest() { super::$newest($crate::support::Version::newest()) })*)?
        }
    };
}
pub(crate) use scenarios;
