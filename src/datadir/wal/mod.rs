//! The write-ahead log: whose it is, where it ends, and whether it reads. Never writes.
//!
//! It follows etcd's own reader (`server/storage/wal/decoder.go`, `wal.go`), which reads every file
//! from the first to the last on each start (`ValidSnapshotEntries`), in constant memory.

mod files;
mod record;
mod requests;
mod torn;

pub use files::WalName;
pub(super) use files::{WalFiles, wal_files};

use std::fmt;
use std::io;

use super::blob::{Blob, Window};
use super::proto::{self, Field};
use super::snap::SnapId;
use crate::decide::{Identity, Progress};
use crate::error::Error;
use crate::membership::{ClusterId, MemberId};
use record::{Bad, CRC, ENTRY, FRAME, METADATA, Record, SNAPSHOT, STATE, frame_size, record};
pub use requests::OldRequests;
use requests::RequestsMet;
use torn::{SECTOR, is_no_torn_write, synced_behind, zero_sector};

/// Where the last good record of a WAL ends. It moves with every record that etcd writes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WalEnd {
    /// The file that holds it.
    pub file: WalName,
    /// The offset behind it.
    pub offset: u64,
    /// The running CRC-32C over all records.
    pub crc: u32,
    /// The commit index of the last hard state.
    pub commit: u64,
}

impl fmt::Display for WalEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WalEnd {
            file,
            offset,
            crc,
            commit,
        } = self;
        write!(f, "{file} {offset} {crc:08x} {commit}")
    }
}

/// What reading a WAL found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Whose it is, where the head reads.
    pub head: Option<Identity>,
    /// Where the last good record ends.
    pub end: WalEnd,
    /// The last record is cut or torn: etcd cuts it off by itself (`wal/repair.go`).
    pub torn: bool,
    /// The last entry that was committed, and its term, or an earlier one.
    pub committed: Progress,
    /// Which of the wanted snapshots the WAL knows as committed, in the order of the log.
    pub snapshots: Vec<SnapId>,
    /// The last snapshot that the WAL knows as committed, wherever it lies. Its first record stands for none, with
    /// index 0 (`Create`).
    pub recorded: Option<SnapId>,
    /// Why it does not read; what came before holds as far as it goes.
    pub broken: Option<String>,
}

/// The requests of the v2 API that an etcd would replay from this WAL.
///
/// `Err` is a failed read. What does not read holds none: that is said elsewhere.
pub fn old_requests<B: Blob>(
    names: &[WalName],
    open: impl FnMut(WalName) -> Result<B, Error>,
) -> Result<OldRequests, Error> {
    let mut reader = WalReader::new(*names.first().expect("a WAL has at least one file"), &[]);
    reader.requests = Some(RequestsMet::default());
    reader.files(names, open)?;
    let commit = reader.reading.end.commit;
    Ok(reader.requests.unwrap_or_default().replayed(commit))
}

/// So far behind the last record zeros are looked at on every start.
const NEAR: usize = 64 << 10;

/// Reads a whole WAL. `names` are sorted; `wanted` are the snapshots that lie on disk.
///
/// `Err` is a failed read, never a statement about the data.
pub fn read<B: Blob>(
    names: &[WalName],
    wanted: &[SnapId],
    open: impl FnMut(WalName) -> Result<B, Error>,
) -> Result<Reading, Error> {
    let first = *names.first().expect("a WAL has at least one file");
    let mut reader = WalReader::new(first, wanted);
    reader.files(names, open)?;
    let commit = reader.reading.end.commit;
    // A snapshot that the log knows beyond its commit index is not used (`ValidSnapshotEntries`).
    reader.seen.retain(|snapshot| snapshot.index <= commit);
    reader.reading.snapshots = reader.seen;
    let begun = reader.terms.iter().rev().find(|(from, _)| *from <= commit);
    let recorded = (reader.records.iter().rev()).find(|snapshot| snapshot.index <= commit);
    reader.reading.recorded = recorded.copied();
    reader.reading.committed = Progress {
        index: commit,
        term: (begun.map_or(0, |(_, term)| *term))
            .max(recorded.map_or(0, |snapshot| snapshot.term)),
    };
    Ok(reader.reading)
}

/// Why reading a file ended.
enum FileEnd {
    /// At its end.
    End,
    /// At something that etcd does not get over.
    Broken(String),
}

struct WalReader<'a> {
    reading: Reading,
    /// Type and term of the last entry, as they are written.
    head: Vec<u8>,
    /// The first index of each term.
    terms: Vec<(u64, u64)>,
    /// The snapshot records that may be the last committed one, wanted or not.
    records: Vec<SnapId>,
    seen: Vec<SnapId>,
    wanted: &'a [SnapId],
    /// The requests of the v2 API, where they are wanted.
    requests: Option<RequestsMet>,
}

impl<'a> WalReader<'a> {
    fn new(first: WalName, wanted: &'a [SnapId]) -> Self {
        WalReader {
            reading: Reading {
                head: None,
                end: WalEnd {
                    file: first,
                    offset: 0,
                    crc: 0,
                    commit: 0,
                },
                torn: false,
                committed: Progress::default(),
                snapshots: Vec::new(),
                recorded: None,
                broken: None,
            },
            head: Vec::new(),
            terms: Vec::new(),
            records: Vec::new(),
            seen: Vec::new(),
            wanted,
            requests: None,
        }
    }

    /// Reads one file after the other, up to the first that is broken.
    fn files<B: Blob>(
        &mut self,
        names: &[WalName],
        mut open: impl FnMut(WalName) -> Result<B, Error>,
    ) -> Result<(), Error> {
        let first = self.reading.end.file;
        for (i, name) in names.iter().enumerate() {
            if name.seq != first.seq.wrapping_add(i as u64) {
                self.broken(format!(
                    "the WAL file before {name} is missing: sequence numbers must rise by one"
                ));
                break;
            }
            let last = i + 1 == names.len();
            let blob = open(*name)?;
            let failed = |e| Error::caused(format!("cannot read WAL file {name}"), e);
            let window = Window::new(blob).map_err(failed)?;
            if let FileEnd::Broken(what) = self.file(*name, window, last).map_err(failed)? {
                self.broken(format!("WAL file {name}: {what}"));
                break;
            }
        }
        Ok(())
    }

    fn broken(&mut self, what: String) {
        self.reading.broken = Some(what);
    }

    fn file<B: Blob>(
        &mut self,
        name: WalName,
        mut window: Window<B>,
        last: bool,
    ) -> io::Result<FileEnd> {
        let mut offset = 0u64;
        for count in 0u64.. {
            let frame = window.get(offset, FRAME as usize)?;
            let length = match <[u8; 8]>::try_from(frame) {
                Ok(bytes) => u64::from_le_bytes(bytes),
                Err(_) if frame.is_empty() => 0,
                Err(_) => return Ok(self.cut(last, count, "it ends inside a record")),
            };
            if length == 0 {
                if count < 2 {
                    return Ok(FileEnd::Broken("it ends before its metadata".into()));
                }
                // Zeros with something behind them are a torn write too; etcd clears it away.
                let behind = window.get(offset, NEAR)?;
                if !last || behind.iter().all(|byte| *byte == 0) {
                    break;
                }
                // A sector is written in full or not at all.
                let rest = (SECTOR - offset % SECTOR) as usize;
                if behind.iter().take(rest).any(|byte| *byte != 0) {
                    let what = format!("a record has lost its length at offset {offset}");
                    return Ok(FileEnd::Broken(what));
                }
                if synced_behind(&mut window, offset)? {
                    return Ok(FileEnd::Broken(format!(
                        "records are missing at offset {offset}"
                    )));
                }
                self.reading.torn = true;
                break;
            }
            let (size, padding) = frame_size(length);
            let room = window.size().saturating_sub(offset + FRAME);
            let total = size + padding;
            if last && is_no_torn_write(&mut window, offset, size, total > room)? {
                let what = format!("the length of a record is wrong at offset {offset}");
                return Ok(FileEnd::Broken(what));
            }
            let result = match total > room {
                true => Err(Bad::Short("a record is longer than the rest of the file")),
                false => record(&mut window, offset + FRAME, size, &mut self.reading.end.crc)?,
            };
            match result {
                Ok(record) => {
                    if let Err(what) = self.take(count, record) {
                        return Ok(FileEnd::Broken(format!("{what} at offset {offset}")));
                    }
                }
                Err(Bad::Short(what)) => return Ok(self.cut(last, count, what)),
                Err(Bad::Wrong(what)) => {
                    if last
                        && zero_sector(&mut window, offset + FRAME, total)?
                        && !synced_behind(&mut window, offset)?
                    {
                        return Ok(self.cut(last, count, what));
                    }
                    return Ok(FileEnd::Broken(format!("{what} at offset {offset}")));
                }
            }
            offset += FRAME + total;
            self.reading.end.file = name;
            self.reading.end.offset = offset;
        }
        Ok(FileEnd::End)
    }

    /// A cut record ends the last file; anywhere else, or in a head, it is damage.
    fn cut(&mut self, last: bool, count: u64, what: &str) -> FileEnd {
        if !last || count < 2 {
            return FileEnd::Broken(what.into());
        }
        self.reading.torn = true;
        FileEnd::End
    }

    /// An entry of another term than the one before, or of another type.
    fn begin_term(&mut self, record: &Record) {
        // Its data comes last (`raftpb.Entry`), and may be cut. One that does not read ends etcd.
        let Some([_kind, term, index]) = proto::numbers::<3>(&record.data, record.cut) else {
            return;
        };
        let mut length = 0;
        while let Some((1 | 2, Field::Number(_), len)) = proto::head(&record.data[length..]) {
            length += len;
        }
        self.head = record.data[..length].to_vec();
        // It replaces what lay there, and all behind it.
        while self.terms.last().is_some_and(|(from, _)| *from >= index) {
            self.terms.pop();
        }
        if self.terms.last().is_none_or(|(_, known)| *known != term) {
            self.terms.push((index, term));
        }
    }

    /// What a good record says.
    fn take(&mut self, count: u64, record: Record) -> Result<(), String> {
        // Each file begins with a checksum and the metadata (`Create`, `cut`).
        match (count, record.kind) {
            (0, CRC) | (1, METADATA) | (2.., _) => {}
            (0 | 1, _) => return Err("its head is not a checksum and metadata".into()),
        }
        if let (ENTRY, Some(requests)) = (record.kind, &mut self.requests) {
            requests.entry(&record);
        }
        match record.kind {
            METADATA => {
                let [member, cluster] = proto::numbers::<2>(&record.data, false)
                    .filter(|[member, cluster]| !record.cut && *member != 0 && *cluster != 0)
                    .ok_or("its metadata does not read")?;
                let identity = Identity {
                    member: MemberId(member),
                    cluster: ClusterId(cluster),
                };
                match self.reading.head {
                    Some(head) if head == identity => {}
                    None => self.reading.head = Some(identity),
                    Some(head) => {
                        // A head that differs mixes two logs: then neither says whose this is.
                        if count == 1 {
                            self.reading.head = None;
                        }
                        let (was, is) = (head.member, identity.member);
                        return Err(format!("two members' metadata, {was} and {is},"));
                    }
                }
            }
            STATE => {
                let [_term, _vote, commit] =
                    proto::numbers::<3>(&record.data, false).ok_or("a hard state does not read")?;
                self.reading.end.commit = commit;
            }
            SNAPSHOT => {
                let [index, term] = proto::numbers::<2>(&record.data, record.cut)
                    .ok_or("a snapshot record does not read")?;
                let id = SnapId { term, index };
                if id.index <= self.reading.end.commit {
                    self.records.clear();
                }
                self.records.push(id);
                if let Some(requests) = &mut self.requests {
                    requests.snapshot(index);
                }
                if self.wanted.contains(&id) && !self.seen.contains(&id) {
                    self.seen.push(id);
                }
            }
            // Of the same term as the one before: an entry replaces others only under a later one.
            ENTRY if !self.head.is_empty() && record.data.starts_with(&self.head) => {}
            ENTRY => self.begin_term(&record),
            CRC => {}
            kind => return Err(format!("unknown record type {kind}")),
        }
        Ok(())
    }
}
