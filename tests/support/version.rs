//! The versions of etcd under test, and where their binaries lie.

use std::env;
use std::path::PathBuf;

/// A version of etcd, by the Debian suite it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 3.4, of bookworm.
    V34,
    /// An early 3.5, of trixie.
    V3516,
    /// A late 3.5, of sid.
    V3530,
}

impl Version {
    fn suite(self) -> &'static str {
        match self {
            Version::V34 => "bookworm",
            Version::V3516 => "trixie",
            Version::V3530 => "sid",
        }
    }

    fn binary(self, name: &str) -> PathBuf {
        let cache = match (env::var_os("ETCD_REJOIN_CACHE"), env::var_os("HOME")) {
            (Some(cache), _) => PathBuf::from(cache),
            (None, Some(home)) => PathBuf::from(home).join(".cache/etcd-rejoin"),
            (None, None) => panic!("neither ETCD_REJOIN_CACHE nor HOME is set"),
        };
        let path = cache.join("etcd").join(self.suite()).join(name);
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
        match self {
            Version::V34 => self.etcdctl(),
            Version::V3516 | Version::V3530 => self.binary("etcdutl"),
        }
    }
}
