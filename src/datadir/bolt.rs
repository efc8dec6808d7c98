//! The database (`member/snap/db`, bbolt): whether one of its two meta pages is good. Never writes.
//!
//! Source: bbolt `internal/common/meta.go`, `page.go`, `db.go`.

use std::io;

use super::blob::{Blob, Window};

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// In front of every page: id, flags, count, overflow.
pub(super) const HEADER: usize = 16;
/// The meta structure behind the header, the checksum in its last 8 bytes.
const META: usize = 64;
/// bbolt looks for the second meta page at 1 KiB, 2 KiB, ... 16 MiB if the first one is bad.
const PAGE_SIZES: std::ops::RangeInclusive<u32> = 10..=24;

/// A good meta page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The size of a page.
    pub page_size: u64,
    /// The page of the root bucket.
    pub root: u64,
    /// The freelist's page; `u64::MAX` where none is written, as etcd has it.
    pub freelist: u64,
    /// One more than the highest page in use.
    pub pages: u64,
    /// The transaction that wrote it.
    pub txid: u64,
}

/// The newest good meta page; `None`: there is none. `Err` says nothing about the data.
pub fn meta<B: Blob>(blob: B) -> io::Result<Option<Meta>> {
    newest(&mut Window::new(blob)?)
}

pub(super) fn newest<B: Blob>(window: &mut Window<B>) -> io::Result<Option<Meta>> {
    let first = meta_at(window, 0)?;
    let second = match first {
        Some(first) => meta_at(window, first.page_size)?,
        None => {
            let mut found = None;
            for shift in PAGE_SIZES {
                found = meta_at(window, 1 << shift)?.filter(|meta| meta.page_size == 1 << shift);
                if found.is_some() {
                    break;
                }
            }
            found
        }
    };
    let newest = [first, second]
        .into_iter()
        .flatten()
        .max_by_key(|meta| meta.txid);
    // bbolt maps at least two pages: "file size too small".
    Ok(newest.filter(|meta| window.size() >= 2 * meta.page_size))
}

fn meta_at<B: Blob>(window: &mut Window<B>, offset: u64) -> io::Result<Option<Meta>> {
    let bytes = window.get(offset, HEADER + META)?;
    if bytes.len() < HEADER + META {
        return Ok(None);
    }
    let meta = &bytes[HEADER..];
    let good = u32_at(meta, 0) == MAGIC
        && u32_at(meta, 4) == VERSION
        && u64_at(meta, 56) == fnv1a(&meta[..56]);
    let page_size = u64::from(u32_at(meta, 8));
    let sane = page_size.is_power_of_two() && PAGE_SIZES.contains(&page_size.ilog2());
    Ok((good && sane).then(|| Meta {
        page_size,
        root: u64_at(meta, 16),
        freelist: u64_at(meta, 32),
        pages: u64_at(meta, 40),
        txid: u64_at(meta, 48),
    }))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
