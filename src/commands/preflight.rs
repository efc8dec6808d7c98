//! Before anything is changed: could etcd start here at all? A full disk or a port in use is no reason
//! to leave the cluster.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, statvfs};

use super::{Exit, ports};
use crate::config::Config;

/// etcd preallocates a WAL file of this size before it starts.
///
/// Source: etcd `server/storage/wal/wal.go`, `SegmentSizeBytes`.
const WAL_SIZE: u64 = 64 << 20;

/// The etcd program, found and executable.
pub fn program(config: &Config) -> Result<PathBuf, (Exit, String)> {
    let path = (config.launch.env.iter()).find(|(name, _)| name == "PATH");
    let path = path.map(|(_, value)| value.clone());
    let named = &config.etcd;
    let here = std::env::current_dir().unwrap_or_else(|_| "/".into());
    let shown = named.display();
    which::which_in(named, path.as_ref(), here).map_err(|_| {
        let is_path = named.components().count() > 1;
        match (is_path, is_path && named.exists()) {
            (true, true) => (
                Exit(126),
                format!("cannot run etcd: REJOIN_ETCD={shown} is not executable"),
            ),
            (true, false) => (
                Exit(127),
                format!("cannot run etcd: REJOIN_ETCD={shown} does not exist"),
            ),
            (false, _) => (
                Exit(127),
                format!(
                    "cannot run etcd: no {shown} in PATH={}: set REJOIN_ETCD to where it is",
                    path.unwrap_or_default().display()
                ),
            ),
        }
    })
}

/// Whether etcd could start here; the error says what stands in its way.
///
/// `peer_ports` tries the peer ports too; not while we listen there ourselves.
pub fn surroundings(config: &Config, peer_ports: bool) -> Result<(), String> {
    ports::bindable(config, peer_ports)?;
    let dirs = [Some(config.data_dir.as_path()), config.wal_dir.as_deref()];
    dirs.into_iter().flatten().try_for_each(writable)
}

fn writable(dir: &Path) -> Result<(), String> {
    let existing = dir
        .ancestors()
        .find(|dir| dir.exists())
        .unwrap_or(Path::new("."));
    let shown = existing.display();
    access(existing, Access::WRITE_OK)
        .map_err(|error| format!("cannot write to {shown}: {error}"))?;
    let space = statvfs(existing).map_err(|error| format!("cannot look at {shown}: {error}"))?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    match free < WAL_SIZE {
        true => Err(format!(
            "{shown} has {} MiB left, etcd needs 64 to start",
            free >> 20
        )),
        false => Ok(()),
    }
}
