//! One record of a WAL: its frame, its head, its checksum.

use std::io;

use super::super::blob::{Blob, Window};
use super::super::proto::{self, Field};

/// A frame begins with 8 bytes: the length in the low 56 bits, padding in the top byte.
pub(super) const FRAME: u64 = 8;
/// As much of a record's data as its meaning needs; an entry's data is only summed.
const KEEP: usize = 4096;
pub(super) const METADATA: u64 = 1;
pub(super) const ENTRY: u64 = 2;
pub(super) const STATE: u64 = 3;
pub(super) const CRC: u64 = 4;
pub(super) const SNAPSHOT: u64 = 5;

/// Why one record could not be taken.
pub(super) enum Bad {
    /// The file ends inside it, or it claims to be longer than the file.
    Short(&'static str),
    /// It does not parse, or its checksum is wrong.
    Wrong(&'static str),
}

pub(super) struct Record {
    pub(super) kind: u64,
    pub(super) data: Vec<u8>,
    pub(super) cut: bool,
}

/// Reads the record of this size at this offset, and checks it against the CRC over all records before it, which then
/// is that over this one too.
pub(super) fn record<B: Blob>(
    window: &mut Window<B>,
    mut offset: u64,
    size: u64,
    sum: &mut u32,
) -> io::Result<Result<Record, Bad>> {
    const SHRUNK: Bad = Bad::Short("the file became shorter");
    let end = offset + size;
    let (mut kind, mut crc) = (0, 0);
    let mut running = *sum;
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
            running = *sum;
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
        if *sum != 0 && *sum != crc {
            return Ok(Err(Bad::Wrong("the checksum of what came before differs")));
        }
        *sum = crc;
    } else if running != crc {
        return Ok(Err(Bad::Wrong("a record has a wrong checksum")));
    } else {
        *sum = running;
    }
    Ok(Ok(record))
}

/// What the head of a record says.
pub(super) struct Outline {
    pub(super) kind: u64,
    pub(super) crc: u32,
    /// How long the head is.
    pub(super) head: u64,
    /// How long the record must be.
    pub(super) size: u64,
}

/// Reads the head of a record as etcd writes it: type, checksum, data.
pub(super) fn outline<B: Blob>(window: &mut Window<B>, offset: u64) -> io::Result<Option<Outline>> {
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
pub(super) fn frame_size(length: u64) -> (u64, u64) {
    let size = length & ((1 << 56) - 1);
    let padding = match length >> 63 {
        1 => (length >> 56) & 7,
        _ => 0,
    };
    (size, padding)
}
