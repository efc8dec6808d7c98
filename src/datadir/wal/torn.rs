//! What a torn write looks like, and what only looks like one: etcd cuts off a torn record and all behind
//! it, acknowledged entries too.

use std::io;

use super::super::blob::{Blob, Window};
use super::super::proto::{self, Field};
use super::record::{ENTRY, FRAME, Outline, STATE, frame_size, outline, record};

/// etcd's `minSectorSize`: a torn write leaves a sector of zeros.
pub(super) const SECTOR: u64 = 512;
/// etcd's `SegmentSizeBytes`: so large a file is made. The record that does not fit any more makes it longer, and
/// only then the next file follows (`WAL.Save`, `cut`).
const SEGMENT: u64 = 64_000_000;
/// So many zeros at the end of a file were preallocated.
const TAIL: u64 = 4096;
/// So far behind a record that does not read later ones are looked for: a file and its longest record.
const FAR: u64 = 128 << 20;

/// Whether the record at this offset has a wrong length, which etcd would take for a torn write: it
/// would cut off what is behind, acknowledged entries too.
///
/// A torn write lacks whole sectors. A record's own head, read from one sector, cannot contradict
/// the length before it.
pub(super) fn is_no_torn_write<B: Blob>(
    window: &mut Window<B>,
    offset: u64,
    size: u64,
    endless: bool,
) -> io::Result<bool> {
    let contradicts = |outline: &Outline| {
        let (first, last) = (offset + FRAME, offset + FRAME + outline.head - 1);
        outline.size != size && first / SECTOR == last / SECTOR
    };
    let outline = outline(window, offset + FRAME)?;
    match &outline {
        Some(outline) if contradicts(outline) => return Ok(true),
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
    // Nothing was ever behind a record that is as long as its own head says and crosses the end that its file
    // was made with: it was being written when the machine stopped, and the file was not longer yet. 3.4, and 3.5
    // from 3.5.7 on, cut it off (`decodeRecord`, `Repair`); on one before, a trial shows that they do not.
    let crosses = window.size() == SEGMENT && outline.is_some_and(|outline| outline.size == size);
    Ok(preallocated && !crosses || synced_behind(window, offset)?)
}

/// Whether records behind `offset` prove that everything before them was on disk once.
///
/// An entry, a hard state and an entry again are of two batches at least, and etcd syncs a batch
/// that has entries before it writes the next (`WAL.Save`, `raft.MustSync`).
pub(super) fn synced_behind<B: Blob>(window: &mut Window<B>, offset: u64) -> io::Result<bool> {
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
        if two_batches(window, at)? {
            return Ok(true);
        }
        at += FRAME;
    }
    Ok(false)
}

/// Whether a chain of good records begins here that holds two batches.
fn two_batches<B: Blob>(window: &mut Window<B>, mut at: u64) -> io::Result<bool> {
    let (mut sum, mut found, mut first) = (0, 0, true);
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
                    sum = outline.crc;
                    outline.kind
                }
                Some(_) | None => break,
            },
            false => match record(window, at + FRAME, size, &mut sum)? {
                Ok(next) => next.kind,
                Err(_) => break,
            },
        };
        found += usize::from(kind == [ENTRY, STATE, ENTRY][found]);
        at += FRAME + size + padding;
    }
    Ok(found == 3)
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

/// Whether some sector of a record is all zero (`isTornEntry`).
pub(super) fn zero_sector<B: Blob>(
    window: &mut Window<B>,
    start: u64,
    len: u64,
) -> io::Result<bool> {
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
