//! The write-ahead log: whose it is, where it ends, and whether it reads. Never writes.
//!
//! It follows etcd's own reader (`server/storage/wal/decoder.go`, `wal.go`), which reads every file
//! from the first to the last on each start (`ValidSnapshotEntries`), in constant memory.

use std::fmt;
use std::io;
use std::str::FromStr;

use super::blob::{Blob, Window};
use super::proto::{self, Field};
use super::snap::SnapId;
use crate::decide::Identity;
use crate::error::Error;
use crate::membership::{ClusterId, MemberId};

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

/// A WAL file's name, `SEQUENCE-INDEX.wal` in 16 hex digits each (etcd `wal/util.go`, `walName`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WalName {
    /// Rises by one from file to file.
    pub seq: u64,
    /// The index of the first entry that may lie in the file.
    pub index: u64,
}

impl fmt::Display for WalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}.wal", self.seq, self.index)
    }
}

impl FromStr for WalName {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let (seq, index) = super::snap::hex_pair(name, ".wal").ok_or(())?;
        Ok(WalName { seq, index })
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
    /// Which of the wanted snapshots the WAL knows as committed, in the order of the log.
    pub snapshots: Vec<SnapId>,
    /// Why it does not read; what came before holds as far as it goes.
    pub broken: Option<String>,
}

/// A frame begins with 8 bytes: the length in the low 56 bits, padding in the top byte.
const FRAME: u64 = 8;
/// As much of a record's data as its meaning needs; an entry's data is only summed.
const KEEP: usize = 4096;
/// etcd's `minSectorSize`: a torn write leaves a sector of zeros.
const SECTOR: u64 = 512;
/// So many zeros at the end of a file were preallocated.
const TAIL: u64 = 4096;
/// So far behind the last record zeros are looked at on every start.
const NEAR: usize = 64 << 10;
/// So far behind a record that does not read later ones are looked for: a file and its longest record.
const FAR: u64 = 128 << 20;

const METADATA: u64 = 1;
const ENTRY: u64 = 2;
const STATE: u64 = 3;
const CRC: u64 = 4;
const SNAPSHOT: u64 = 5;

/// Reads a whole WAL. `names` are sorted; `wanted` are the snapshots that lie on disk.
///
/// `Err` is a failed read, never a statement about the data.
pub fn read<B: Blob>(
    names: &[WalName],
    wanted: &[SnapId],
    mut open: impl FnMut(WalName) -> Result<B, Error>,
) -> Result<Reading, Error> {
    let first = *names.first().expect("a WAL has at least one file");
    let mut reader = Reader {
        reading: Reading {
            head: None,
            end: WalEnd {
                file: first,
                offset: 0,
                crc: 0,
                commit: 0,
            },
            torn: false,
            snapshots: Vec::new(),
            broken: None,
        },
        seen: Vec::new(),
        wanted,
    };
    for (i, name) in names.iter().enumerate() {
        if name.seq != first.seq.wrapping_add(i as u64) {
            reader.broken(format!(
                "the WAL file before {name} is missing: sequence numbers must rise by one"
            ));
            break;
        }
        let last = i + 1 == names.len();
        let blob = open(*name)?;
        let failed = |e| Error::caused(format!("cannot read WAL file {name}"), e);
        let window = Window::new(blob).map_err(failed)?;
        if let Stop::Broken(what) = reader.file(*name, window, last).map_err(failed)? {
            reader.broken(format!("WAL file {name}: {what}"));
            break;
        }
    }
    let commit = reader.reading.end.commit;
    // A snapshot that the log knows beyond its commit index is not used (`ValidSnapshotEntries`).
    reader.seen.retain(|snapshot| snapshot.index <= commit);
    reader.reading.snapshots = reader.seen;
    Ok(reader.reading)
}

/// Why reading a file ended.
enum Stop {
    /// At its end.
    End,
    /// At something that etcd does not get over.
    Broken(String),
}

/// Why one record could not be taken.
enum Bad {
    /// The file ends inside it, or it claims to be longer than the file.
    Short(&'static str),
    /// It does not parse, or its checksum is wrong.
    Wrong(&'static str),
}

struct Record {
    kind: u64,
    data: Vec<u8>,
    cut: bool,
}

struct Reader<'a> {
    reading: Reading,
    seen: Vec<SnapId>,
    wanted: &'a [SnapId],
}

impl Reader<'_> {
    fn broken(&mut self, what: String) {
        self.reading.broken = Some(what);
    }

    fn file<B: Blob>(
        &mut self,
        name: WalName,
        mut window: Window<B>,
        last: bool,
    ) -> io::Result<Stop> {
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
                    return Ok(Stop::Broken("it ends before its metadata".into()));
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
                    return Ok(Stop::Broken(what));
                }
                if self.synced_behind(&mut window, offset)? {
                    return Ok(Stop::Broken(format!(
                        "records are missing at offset {offset}"
                    )));
                }
                self.reading.torn = true;
                break;
            }
            let (size, padding) = frame_size(length);
            let room = window.size().saturating_sub(offset + FRAME);
            let total = size + padding;
            if last && self.is_no_torn_write(&mut window, offset, size, total > room)? {
                let what = format!("the length of a record is wrong at offset {offset}");
                return Ok(Stop::Broken(what));
            }
            let result = match total > room {
                true => Err(Bad::Short("a record is longer than the rest of the file")),
                false => self.record(&mut window, offset + FRAME, size)?,
            };
            match result {
                Ok(record) => {
                    if let Err(what) = self.take(count, record) {
                        return Ok(Stop::Broken(format!("{what} at offset {offset}")));
                    }
                }
                Err(Bad::Short(what)) => return Ok(self.cut(last, count, what)),
                Err(Bad::Wrong(what)) => {
                    if last
                        && zero_sector(&mut window, offset + FRAME, total)?
                        && !self.synced_behind(&mut window, offset)?
                    {
                        return Ok(self.cut(last, count, what));
                    }
                    return Ok(Stop::Broken(format!("{what} at offset {offset}")));
                }
            }
            offset += FRAME + total;
            self.reading.end.file = name;
            self.reading.end.offset = offset;
        }
        Ok(Stop::End)
    }

    /// A cut record ends the last file; anywhere else, or in a head, it is damage.
    fn cut(&mut self, last: bool, count: u64, what: &str) -> Stop {
        if !last || count < 2 {
            return Stop::Broken(what.into());
        }
        self.reading.torn = true;
        Stop::End
    }

    /// Whether the record at this offset has a wrong length, which etcd would take for a torn write: it
    /// would cut off what is behind, acknowledged entries too.
    ///
    /// A torn write lacks whole sectors. A record's own head, read from one sector, cannot contradict
    /// the length before it.
    fn is_no_torn_write<B: Blob>(
        &mut self,
        window: &mut Window<B>,
        offset: u64,
        size: u64,
        endless: bool,
    ) -> io::Result<bool> {
        let contradicts = |outline: &Outline| {
            let (first, last) = (offset + FRAME, offset + FRAME + outline.head - 1);
            outline.size != size && first / SECTOR == last / SECTOR
        };
        match outline(window, offset + FRAME)? {
            Some(outline) if contradicts(&outline) => return Ok(true),
            None if garbled(window, offset + FRAME)? => return Ok(true),
            Some(_) | None => {}
        }
        if !endless {
            return Ok(false);
        }
        // A file that was cut ends within the record; preallocated zeros at its end were not cut.
        let last = window.size().saturating_sub(TAIL).max(offset + FRAME);
        let tail = window.get(last, TAIL as usize)?;
        let preallocated = tail.len() as u64 == TAIL && tail.iter().all(|byte| *byte == 0);
        Ok(preallocated || self.synced_behind(window, offset)?)
    }

    /// Whether records behind `offset` prove that everything before them was on disk once.
    ///
    /// An entry, a hard state and an entry again are of two batches at least, and etcd syncs a batch
    /// that has entries before it writes the next (`WAL.Save`, `raft.MustSync`).
    fn synced_behind<B: Blob>(&mut self, window: &mut Window<B>, offset: u64) -> io::Result<bool> {
        let end = window.size().min(offset.saturating_add(FAR));
        let mut at = offset + FRAME;
        while at < end {
            let bytes = window.get(at, SECTOR as usize)?;
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count() as u64;
            if zeros == bytes.len() as u64 {
                at += zeros.max(FRAME);
                continue;
            }
            at += zeros / FRAME * FRAME;
            if self.two_batches(window, at)? {
                return Ok(true);
            }
            at += FRAME;
        }
        Ok(false)
    }

    /// Whether a chain of good records begins here that holds two batches.
    fn two_batches<B: Blob>(&mut self, window: &mut Window<B>, mut at: u64) -> io::Result<bool> {
        let before = self.reading.end.crc;
        let (mut found, mut first) = (0, true);
        while found < 3 {
            let Ok(frame) = <[u8; 8]>::try_from(window.get(at, FRAME as usize)?) else {
                break;
            };
            let (size, padding) = frame_size(u64::from_le_bytes(frame));
            if size == 0 || size + padding > window.size().saturating_sub(at + FRAME) {
                break;
            }
            let kind = match std::mem::take(&mut first) {
                // What it was summed up from is not known; the next one proves it.
                true => match outline(window, at + FRAME)? {
                    Some(outline) if outline.size == size => {
                        self.reading.end.crc = outline.crc;
                        outline.kind
                    }
                    Some(_) | None => break,
                },
                false => match self.record(window, at + FRAME, size)? {
                    Ok(record) => record.kind,
                    Err(_) => break,
                },
            };
            found += usize::from(kind == [ENTRY, STATE, ENTRY][found]);
            at += FRAME + size + padding;
        }
        self.reading.end.crc = before;
        Ok(found == 3)
    }

    /// Reads the record of this size at this offset and checks it against the running CRC.
    fn record<B: Blob>(
        &mut self,
        window: &mut Window<B>,
        mut offset: u64,
        size: u64,
    ) -> io::Result<Result<Record, Bad>> {
        const SHRUNK: Bad = Bad::Short("the file became shorter");
        let end = offset + size;
        let (mut kind, mut crc) = (0, 0);
        let mut running = self.reading.end.crc;
        let mut record = Record {
            kind,
            data: Vec::new(),
            cut: false,
        };
        while offset < end {
            let room = usize::try_from(end - offset).unwrap_or(usize::MAX);
            let bytes = window.get(offset, room.min(proto::MAX_HEAD))?;
            let Some((number, field, len)) = proto::head(bytes) else {
                return Ok(Err(Bad::Wrong("a record does not parse")));
            };
            offset += len as u64;
            let length = match field {
                Field::Number(value) => {
                    match number {
                        1 => kind = value,
                        2 => crc = value as u32,
                        _ => {}
                    }
                    continue;
                }
                Field::Bytes(length) | Field::Fixed(length) => length,
            };
            if length > end - offset {
                return Ok(Err(Bad::Wrong("a record does not parse")));
            }
            let until = offset + length;
            if (number, field) == (3, Field::Bytes(length)) {
                // The last of several counts, as everywhere in protobuf.
                record.data.clear();
                running = self.reading.end.crc;
                while offset < until {
                    let want = usize::try_from(until - offset).unwrap_or(usize::MAX);
                    let bytes = window.get(offset, want)?;
                    if bytes.is_empty() {
                        return Ok(Err(SHRUNK));
                    }
                    running = crc32c::crc32c_append(running, bytes);
                    let keep = bytes.len().min(KEEP - record.data.len());
                    record.data.extend_from_slice(&bytes[..keep]);
                    offset += bytes.len() as u64;
                }
                record.cut = length > KEEP as u64;
            }
            offset = until;
        }
        record.kind = kind;
        if kind == CRC {
            // At a file border: what came before must sum up to it. A log whose first files
            // were purged starts with the sum so far.
            let before = self.reading.end.crc;
            if before != 0 && before != crc {
                return Ok(Err(Bad::Wrong("the checksum of what came before differs")));
            }
            self.reading.end.crc = crc;
        } else if running != crc {
            return Ok(Err(Bad::Wrong("a record has a wrong checksum")));
        } else {
            self.reading.end.crc = running;
        }
        Ok(Ok(record))
    }

    /// What a good record says.
    fn take(&mut self, count: u64, record: Record) -> Result<(), String> {
        // Each file begins with a checksum and the metadata (`Create`, `cut`).
        match (count, record.kind) {
            (0, CRC) | (1, METADATA) | (2.., _) => {}
            (0 | 1, _) => return Err("its head is not a checksum and metadata".into()),
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
                if self.wanted.contains(&id) && !self.seen.contains(&id) {
                    self.seen.push(id);
                }
            }
            ENTRY | CRC => {}
            kind => return Err(format!("unknown record type {kind}")),
        }
        Ok(())
    }
}

/// What the head of a record says.
struct Outline {
    kind: u64,
    crc: u32,
    /// How long the head is.
    head: u64,
    /// How long the record must be.
    size: u64,
}

/// Whether what should be a record's head is neither that nor a sector that was never written.
///
/// etcd writes the type of a record first, always (`walpb.Record.MarshalTo`).
fn garbled<B: Blob>(window: &mut Window<B>, offset: u64) -> io::Result<bool> {
    // The longest head of a number; all of one sector is there, or none.
    const HEAD: u64 = 16;
    if offset / SECTOR != (offset + HEAD - 1) / SECTOR {
        return Ok(false);
    }
    let bytes = window.get(offset, HEAD as usize)?;
    let typed = matches!(proto::head(bytes), Some((1, Field::Number(_), _)));
    Ok(bytes.len() as u64 == HEAD && bytes.iter().any(|byte| *byte != 0) && !typed)
}

/// Reads the head of a record as etcd writes it: type, checksum, data.
fn outline<B: Blob>(window: &mut Window<B>, offset: u64) -> io::Result<Option<Outline>> {
    let mut bytes = window.get(offset, 3 * proto::MAX_HEAD)?;
    let mut length = 0;
    let mut next = || {
        let (number, field, len) = proto::head(bytes)?;
        bytes = &bytes[len..];
        length += len as u64;
        Some((number, field))
    };
    let (Some((1, Field::Number(kind))), Some((2, Field::Number(crc)))) = (next(), next()) else {
        return Ok(None);
    };
    let Some((3, Field::Bytes(data))) = next() else {
        return Ok(None);
    };
    Ok(Some(Outline {
        kind,
        crc: crc as u32,
        head: length,
        size: length.saturating_add(data),
    }))
}

/// The record's size and its padding, from the frame's length field (`decodeFrameSize`).
fn frame_size(length: u64) -> (u64, u64) {
    let size = length & ((1 << 56) - 1);
    let padding = match length >> 63 {
        1 => (length >> 56) & 7,
        _ => 0,
    };
    (size, padding)
}

/// Whether some sector of a record is all zero (`isTornEntry`).
fn zero_sector<B: Blob>(window: &mut Window<B>, start: u64, len: u64) -> io::Result<bool> {
    let (mut offset, end) = (start, start + len);
    while offset < end {
        let next = (offset / SECTOR + 1) * SECTOR;
        let part = window.get(offset, (next.min(end) - offset) as usize)?;
        if part.iter().all(|byte| *byte == 0) {
            return Ok(true);
        }
        offset = next;
    }
    Ok(false)
}
