//! Volumes of tests: where they lie, what they hold, and how disks go bad.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::hash::{DefaultHasher, Hasher};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A directory that goes with the value, in memory where there is room: etcd preallocates 128 MB.
pub fn scratch() -> TempDir {
    let builder = || {
        let mut builder = tempfile::Builder::new();
        builder.prefix("etcd-rejoin-");
        builder
    };
    let shm = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(shm).map_or(0, |fs| fs.f_bavail * fs.f_frsize);
    if room > 8 << 30
        && let Ok(dir) = builder().tempdir_in(shm)
    {
        return dir;
    }
    builder().tempdir().unwrap()
}

/// What a directory holds: names, sizes and contents of all files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree(BTreeMap<PathBuf, (u64, u64)>);

impl Tree {
    /// Reads all of it.
    pub fn of(dir: &Path) -> Self {
        let mut tree = BTreeMap::new();
        read_tree(dir, dir, &mut tree);
        Tree(tree)
    }

    /// The files, relative to the directory.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    /// Fails naming the files that differ from `before`.
    #[track_caller]
    pub fn assert_is(&self, before: &Tree) {
        let differ = |a: &Tree, b: &Tree| -> Vec<PathBuf> {
            let files =
                a.0.iter()
                    .filter(|(path, what)| b.0.get(*path) != Some(*what));
            files.map(|(path, _)| path.clone()).collect()
        };
        let (now, then) = (differ(self, before), differ(before, self));
        assert!(self == before, "touched: now {now:?}, before {then:?}");
    }
}

fn read_tree(top: &Path, dir: &Path, tree: &mut BTreeMap<PathBuf, (u64, u64)>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = path.strip_prefix(top).unwrap().to_path_buf();
        if entry.file_type().unwrap().is_dir() {
            tree.insert(name, (0, 0));
            read_tree(top, &path, tree);
        } else {
            let bytes = fs::read(&path).unwrap_or_default();
            let mut hash = DefaultHasher::new();
            hash.write(&bytes);
            tree.insert(name, (bytes.len() as u64, hash.finish()));
        }
    }
}

/// Removes what a directory holds; the directory itself stays, as a mount point does.
pub fn wipe(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => fs::remove_dir_all(&path).unwrap(),
            false => fs::remove_file(&path).unwrap(),
        }
    }
}

/// Copies a directory; holes stay holes.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let done = std::process::Command::new("cp")
        .args(["-a", "--sparse=always"])
        .arg(from.join("."))
        .arg(to)
        .status();
    assert!(done.unwrap().success());
}

/// The WAL files of a data dir, oldest first.
pub fn wal_files(wal: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(wal)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "wal"))
        .collect();
    files.sort();
    files
}

/// Where the written part of a preallocated file ends.
fn written_end(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |at| at + 1)
}

/// How a file of etcd goes bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Some bytes in the middle of what is written are flipped.
    FlippedMiddle,
    /// The last written bytes are flipped.
    FlippedTail,
    /// The last third of what is written is zeros.
    ZeroedTail,
    /// The file ends within its last third.
    CutTail,
    /// The first kilobytes are garbage.
    FlippedHead,
    /// In the middle of a WAL, a record's length says that it ends beyond the file.
    EndlessRecord,
    /// In the middle of a WAL, a record's length says that it ends in the preallocated zeros.
    LongRecord,
    /// The file is there, and holds nothing.
    Emptied,
    /// The file is gone.
    Gone,
}

/// Damages one file.
pub fn damage(path: &Path, how: Damage) {
    let bytes = fs::read(path).unwrap();
    let end = written_end(&bytes);
    let file = OpenOptions::new().write(true).open(path).unwrap();
    let flip = |from: usize, to: usize| {
        let flipped: Vec<u8> = bytes[from..to].iter().map(|byte| !byte).collect();
        file.write_all_at(&flipped, from as u64).unwrap();
    };
    let set_byte = |at: usize, to: u8| {
        file.write_all_at(&[to], at as u64).unwrap();
    };
    match how {
        Damage::FlippedMiddle => flip(end / 2, end / 2 + 64),
        Damage::FlippedTail => flip(end - 40, end),
        Damage::FlippedHead => flip(0, end.min(8192)),
        Damage::ZeroedTail => {
            let from = end - end / 3;
            file.write_all_at(&vec![0; end - from], from as u64)
                .unwrap();
        }
        Damage::CutTail => file.set_len((end - end / 3) as u64).unwrap(),
        Damage::EndlessRecord => set_byte(frame_in_the_middle(&bytes, end) + 6, 1),
        Damage::LongRecord => set_byte(frame_in_the_middle(&bytes, end) + 2, 1),
        Damage::Emptied => file.set_len(0).unwrap(),
        Damage::Gone => fs::remove_file(path).unwrap(),
    }
}

/// Where a record of a WAL begins, with several before and behind it.
///
/// A frame is a length in 56 bits and, in the top byte, the padding (etcd `wal/encoder.go`).
fn frame_in_the_middle(bytes: &[u8], end: usize) -> usize {
    let mut at = 0;
    while at < end / 2 {
        let frame = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let padding = if frame >> 63 == 1 {
            (frame >> 56) & 7
        } else {
            0
        };
        at += 8 + ((frame & ((1 << 56) - 1)) + padding) as usize;
    }
    assert!(at < end, "the WAL has no record behind its middle");
    at
}
