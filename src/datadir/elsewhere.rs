//! etcd's data at other places than the data dir, where a changed ETCD_DATA_DIR leaves it. Reads lists of names
//! and heads of WALs, and changes nothing.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::wal::{self, WalName};
use super::{Volume, snap};
use crate::decide::{Elsewhere, Identity};
use crate::path::resolved;

/// So many names of a folder are looked at: one that holds all users' files costs no more.
const MOST: usize = 1000;
/// The CRC and the metadata are the first two records of each WAL file (etcd `server/storage/wal/wal.go`,
/// `Create` and `cut`); the metadata is two numbers.
const HEAD: u64 = 4096;
/// Where images and packages of etcd keep their data: Bitnami's, kubeadm's, that of etcd's own documentation, and
/// those of Debian and Fedora.
const PLACES: [&str; 5] = [
    "/bitnami/etcd/data",
    "/var/lib/etcd",
    "/etcd-data",
    "/var/lib/etcd/default",
    "/var/lib/etcd/default.etcd",
];

impl Volume {
    /// Data of etcd beside, above and below the data dir, in etcd's default and where images keep it; `ignored`
    /// is left out, and so is what cannot be looked at. `name` is this member's.
    pub fn elsewhere(&self, name: &str, ignored: &[PathBuf]) -> Vec<Elsewhere> {
        let default = format!("{name}.etcd");
        let here = device(&self.data);
        let above = self.data.parent().filter(|dir| device(dir) == here);
        let ours = [self.member.clone(), self.asides(), self.next()];
        let others = |dir: &PathBuf| !ours.contains(dir);
        let within = dirs_in(&self.data).into_iter().filter(others);
        let mut places: Vec<(PathBuf, bool)> = within.map(|dir| (dir, true)).collect();
        places.extend(above.map(|dir| (dir.to_path_buf(), true)));
        places.extend(PLACES.iter().map(|dir| (PathBuf::from(dir), true)));
        let current = std::env::current_dir().unwrap_or_default();
        for dir in [current.join(&default), current.join("default.etcd")] {
            let named = dir.ends_with(&default);
            places.push((dir, named));
        }
        let beside = above.iter().flat_map(|dir| dirs_in(dir));
        let beside = beside.filter(|dir| device(dir) == here);
        for dir in beside.chain(dirs_in(Path::new("/var/lib/etcd"))) {
            let named = dir.ends_with(&default);
            places.push((dir, named));
        }
        let ignored = ignored.iter().map(|dir| resolved(dir));
        let mut known: BTreeSet<PathBuf> = ignored.chain([resolved(&self.data)]).collect();
        let unknown = places.into_iter().filter_map(|(path, near)| {
            let owner = owner(&path)?;
            known.insert(resolved(&path)).then(|| Elsewhere {
                held: is_held(&path),
                path,
                owner,
                near,
            })
        });
        unknown.collect()
    }
}

/// Whose data lies in a data dir, if its head reads; `None` where there is no WAL.
fn owner(data_dir: &Path) -> Option<Option<Identity>> {
    let dir = data_dir.join("member/wal");
    let names = fs::read_dir(&dir).ok()?.take(MOST).flatten();
    let names = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let first: WalName = names.min()?;
    let mut head = Vec::new();
    if let Ok(Some(file)) = snap::open(&dir.join(first.to_string())) {
        file.take(HEAD).read_to_end(&mut head).ok();
    }
    let reading = wal::read(&[first], &[], |_| Ok(head.as_slice()));
    Some(reading.ok().and_then(|reading| reading.head))
}

/// Whether some process runs on it.
fn is_held(data_dir: &Path) -> bool {
    let volume = Volume::new(data_dir, None);
    let held = [volume.held_by_etcd(), volume.held_by_entrypoint()];
    held.into_iter().any(|holder| matches!(holder, Ok(Some(_))))
}

fn dirs_in(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().take(MOST).flatten();
    let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_file()));
    dirs.map(|entry| entry.path()).collect()
}

/// The device of a path, or of what is there of it.
fn device(path: &Path) -> Option<u64> {
    let meta = path.ancestors().find_map(|top| fs::metadata(top).ok());
    meta.map(|meta| meta.dev())
}
