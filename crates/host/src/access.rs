//! What we show to others, and whom we trust: TLS files and etcd's user, as plain values.

use std::fmt;
use std::path::PathBuf;

/// The TLS files of one side, as etcd's `--cert-file` family names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Who is trusted; the machine's own bundle if not given.
    pub ca: Option<PathBuf>,
    /// The machine's own bundle, where `SSL_CERT_FILE` names it.
    pub bundle: Option<PathBuf>,
    /// Our certificate, with its chain.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// `ETCD_AUTO_TLS`, `ETCD_PEER_AUTO_TLS`: encrypted, but nobody is authenticated.
    pub insecure: bool,
}

impl TlsFiles {
    /// Whether any file is named.
    pub fn is_given(&self) -> bool {
        self.ca.is_some() || self.cert.is_some() || self.key.is_some()
    }
}

/// A user and its password, for clusters with auth on.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user; changes of the membership need the role root.
    pub user: String,
    /// Its password. Never printed.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}
