//! `member/snap`: which snapshots are good, and which one etcd would start from. Never writes.
//!
//! Source: etcd `server/etcdserver/api/snap/snapshotter.go` and `server/etcdserver/server.go`.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::blob::{Blob, Window};
use super::proto::{self, Field};
use crate::error::{Context, Error};

/// What a snapshot stands for: the log up to this index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapId {
    /// The term of the entry at the index.
    pub term: u64,
    /// The index.
    pub index: u64,
}

impl SnapId {
    /// The name of its file.
    pub(super) fn file_name(self) -> String {
        format!("{:016x}-{:016x}.snap", self.term, self.index)
    }
}

/// The names and good snapshots of a snap directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snaps {
    /// What the good `.snap` files stand for, oldest first.
    pub good: Vec<SnapId>,
    /// How many `.snap` files do not read.
    pub bad: usize,
}

/// etcd keeps five (`--max-snapshots`); more than this many newest ones are not looked at.
const MOST: usize = 256;

/// Reads the two hex numbers, of 16 digits each, that a dash joins in the names of WAL and snap files.
pub(super) fn hex_pair(name: &str, suffix: &str) -> Option<(u64, u64)> {
    let (a, b) = name.strip_suffix(suffix)?.split_once('-')?;
    Some((hex16(a)?, hex16(b)?))
}

fn hex16(digits: &str) -> Option<u64> {
    let hex = digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

/// Reads the `.snap` files of a snap directory; a missing directory has none.
pub fn scan(dir: &Path) -> Result<Snaps, Error> {
    let mut snaps = Snaps::default();
    let mut names = Vec::new();
    for name in super::durable::names(dir)? {
        if hex_pair(&name, ".snap").is_some() {
            names.push(name);
        } else if name.ends_with(".snap") {
            snaps.bad += 1;
        }
    }
    names.sort();
    for name in names.iter().rev().take(MOST) {
        let path = dir.join(name);
        let failed = || format!("cannot read snapshot {}", path.display());
        match open(&path).context(failed)? {
            Some(file) => match read(file).context(failed)? {
                Some(id) => snaps.good.push(id),
                None => snaps.bad += 1,
            },
            None => snaps.bad += 1,
        }
    }
    snaps.good.reverse();
    Ok(snaps)
}

/// Opens a regular file. `None`: something else lies there, or nothing any more.
pub(super) fn open(path: &Path) -> io::Result<Option<File>> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() => File::open(path).map(Some),
        Ok(_) => Ok(None),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// What a `.snap` file stands for; `None`: it is damaged. `Err` says nothing about the data.
pub fn read<B: Blob>(blob: B) -> io::Result<Option<SnapId>> {
    let mut window = Window::new(blob)?;
    let size = window.size();
    let (mut stored, mut data) = (0, None);
    let mut offset = 0;
    while offset < size {
        let Some((number, field, len)) = proto::head(window.get(offset, proto::MAX_HEAD)?) else {
            return Ok(None);
        };
        offset += len as u64;
        match (number, field) {
            (1, Field::Number(value)) => stored = value as u32,
            (2, Field::Bytes(len)) => data = Some((offset, len)),
            _ => {}
        }
        match skip(offset, field, size) {
            Some(next) => offset = next,
            None => return Ok(None),
        }
    }
    match data {
        Some((start, len)) if len > 0 && stored != 0 => {
            match crc(&mut window, start, len)? == Some(stored) {
                true => metadata(&mut window, start, start + len),
                false => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

/// Behind a field's bytes, if they end before `end`.
fn skip(offset: u64, field: Field, end: u64) -> Option<u64> {
    let next = match field {
        Field::Number(_) => offset,
        Field::Bytes(len) | Field::Fixed(len) => offset.checked_add(len)?,
    };
    (next <= end).then_some(next)
}

fn crc<B: Blob>(window: &mut Window<B>, start: u64, len: u64) -> io::Result<Option<u32>> {
    let (mut offset, end) = (start, start + len);
    let mut crc = 0;
    while offset < end {
        let bytes = window.get(offset, usize::try_from(end - offset).unwrap_or(usize::MAX))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        crc = crc32c::crc32c_append(crc, bytes);
        offset += bytes.len() as u64;
    }
    Ok(Some(crc))
}

/// Term and index from `raftpb.Snapshot { data = 1, metadata = 2 { conf_state = 1, index = 2, term = 3 } }`.
fn metadata<B: Blob>(
    window: &mut Window<B>,
    mut offset: u64,
    end: u64,
) -> io::Result<Option<SnapId>> {
    let mut id = SnapId { term: 0, index: 0 };
    // The metadata's fields are read in place: its conf state may be of any length.
    let mut inner = None;
    while offset < end {
        let Some((number, field, len)) = proto::head(window.get(offset, proto::MAX_HEAD)?) else {
            return Ok(None);
        };
        offset += len as u64;
        let Some(next) = skip(offset, field, inner.unwrap_or(end)) else {
            return Ok(None);
        };
        match (inner, number, field) {
            (None, 2, Field::Bytes(len)) => {
                inner = Some(offset + len);
                continue;
            }
            (Some(_), 2, Field::Number(value)) => id.index = value,
            (Some(_), 3, Field::Number(value)) => id.term = value,
            _ => {}
        }
        offset = next;
        if inner == Some(offset) {
            inner = None;
        }
    }
    Ok((id.index > 0).then_some(id))
}
