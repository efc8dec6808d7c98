//! One value of the database: the index up to which it holds the log. Never writes.
//!
//! etcd keeps it in the bucket `meta` (`server/mvcc/buckets`, `consistent_index`, 8 bytes, big-endian)
//! and does not start with a snapshot that is newer (`recoverSnapshotBackend`).

use std::io;

use super::blob::{Blob, Window};
use super::bolt::{HEADER, newest, u32_at, u64_at};
use super::tree::{BRANCH, BUCKET, ELEMENT, LEAF, MAX_DEPTH, Trouble, Walk, wrong};

/// The database's consistent index, 0 if it has none; `Err` inside says what is wrong with it.
pub fn consistent_index<B: Blob>(blob: B) -> io::Result<Result<u64, String>> {
    let mut window = Window::new(blob)?;
    let Some(meta) = newest(&mut window)? else {
        return Ok(Err("neither of its two meta pages is good".into()));
    };
    match Walk::new(window, meta).consistent_index() {
        Ok(index) => Ok(Ok(index)),
        Err(Trouble::Wrong(what)) => Ok(Err(what)),
        Err(Trouble::Read(e)) => Err(e),
    }
}

/// Where a value lies.
struct Place {
    page: u64,
    at: u64,
    size: u64,
}

impl<B: Blob> Walk<B> {
    fn consistent_index(&mut self) -> Result<u64, Trouble> {
        let root = self.meta.root;
        let Some(bucket) = self.find(root, b"meta")? else {
            return Ok(0);
        };
        if bucket.size < BUCKET {
            return wrong(bucket.page, "has a bucket that is cut");
        }
        let key = b"consistent_index";
        let found = match self.number(bucket.page, bucket.at)? {
            // The bucket's only page lies within its value.
            0 => {
                let base = bucket.at + BUCKET;
                let bytes = self.window.get(base, HEADER)?;
                if bytes.len() < HEADER {
                    return wrong(bucket.page, "is cut");
                }
                let count = u64::from(u16::from_le_bytes([bytes[10], bytes[11]]));
                self.search(bucket.page, base, count, key)?
            }
            root => self.find(root, key)?,
        };
        match found {
            Some(value) if value.size == 8 => Ok(self.number(value.page, value.at)?.swap_bytes()),
            Some(value) => wrong(value.page, "has a consistent index of a wrong size"),
            None => Ok(0),
        }
    }

    /// Follows a key from a bucket's root page to its leaf.
    fn find(&mut self, mut page: u64, key: &[u8]) -> Result<Option<Place>, Trouble> {
        for _ in 0..MAX_DEPTH {
            let header = self.header(page)?;
            let base = page * self.meta.page_size;
            match header.flags {
                LEAF => return self.search(page, base, header.count, key),
                BRANCH => page = self.child(page, base, header.count, key)?,
                flags => return wrong(page, format!("is no branch and no leaf ({flags:#x})")),
            }
        }
        wrong(page, "lies too deep in the tree")
    }

    /// The child that may hold a key: the last one that begins at or before it, else the first.
    fn child(&mut self, page: u64, base: u64, count: u64, key: &[u8]) -> Result<u64, Trouble> {
        let mut child = None;
        for i in 0..count {
            let at = base + HEADER as u64 + i * ELEMENT;
            let element = self.element(page, at)?;
            let (pos, size) = (u32_at(&element, 0), u32_at(&element, 4));
            let begins = self.key(page, at + u64::from(pos), u64::from(size))?;
            if child.is_some() && begins.as_slice() > key {
                break;
            }
            child = Some(u64_at(&element, 8));
        }
        match child {
            Some(child) => Ok(child),
            None => wrong(page, "is a branch without children"),
        }
    }

    fn search(
        &mut self,
        page: u64,
        base: u64,
        count: u64,
        key: &[u8],
    ) -> Result<Option<Place>, Trouble> {
        for i in 0..count {
            let at = base + HEADER as u64 + i * ELEMENT;
            let element = self.element(page, at)?;
            let [pos, ksize, vsize] = [4, 8, 12].map(|at| u64::from(u32_at(&element, at)));
            if self.key(page, at + pos, ksize)? == key {
                let at = at + pos + ksize;
                return Ok(Some(Place {
                    page,
                    at,
                    size: vsize,
                }));
            }
        }
        Ok(None)
    }
}
