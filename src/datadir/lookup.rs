//! Single values of the database: the index up to which it holds the log, the versions that it was written for, its
//! members, and whether it holds anything. Never writes.
//!
//! etcd keeps it in the bucket `meta` (`server/mvcc/buckets`, `consistent_index`, 8 bytes, big-endian)
//! and does not start with a snapshot that is newer (`recoverSnapshotBackend`).

use std::io;

use super::blob::{Blob, Window};
use super::bolt::{HEADER, newest, u32_at, u64_at};
use super::tree::{BRANCH, BUCKET, ELEMENT, LEAF, MAX_DEPTH, Trouble, Walk, wrong};

/// The database's consistent index, 0 if it has none; `Err` inside says what is wrong with it.
pub fn consistent_index<B: Blob>(blob: B) -> io::Result<Result<u64, String>> {
    walked(blob, Walk::consistent_index)
}

/// The version of etcd that the database was written for, major and minor, if it says so: from 3.6 on it does
/// (bucket `meta`, `storageVersion`: etcd `server/storage/schema/bucket.go`). `Err` inside says what is wrong with it.
pub fn storage_version<B: Blob>(blob: B) -> io::Result<Result<Option<(u64, u64)>, String>> {
    walked(blob, |walk| walk.version(b"meta", b"storageVersion"))
}

/// The version of the cluster that this member was last told, major and minor; (3, 0) while the first leader has not
/// heard all members (bucket `cluster`, `clusterVersion`: etcd `server/etcdserver/api/membership/cluster.go`,
/// `SetVersion`; 3.4 has it too). `Err` inside says what is wrong with it.
pub fn cluster_version<B: Blob>(blob: B) -> io::Result<Result<Option<(u64, u64)>, String>> {
    walked(blob, |walk| walk.version(b"cluster", b"clusterVersion"))
}

/// All keys and values of a bucket, in order; none where there is no such bucket. For small ones: `members`,
/// `members_removed`. `Err` inside says what is wrong with it.
pub fn pairs<B: Blob>(blob: B, bucket: &[u8]) -> io::Result<Result<Vec<Pair>, String>> {
    walked(blob, |walk| walk.pairs(bucket))
}

/// The value of a key of a bucket, if it is there. `Err` inside says what is wrong with it.
pub fn value<B: Blob>(
    blob: B,
    bucket: &[u8],
    key: &[u8],
) -> io::Result<Result<Option<Vec<u8>>, String>> {
    walked(blob, |walk| match walk.value_of(bucket, key)? {
        Some(value) => walk.key(value.page, value.at, value.size).map(Some),
        None => Ok(None),
    })
}

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Whether etcd has ever applied anything to this database; `Err` inside says what is wrong with it.
///
/// 3.4 writes the index only with a key, and up to 100 ms later; the members it writes as they are applied. Where
/// etcd refuses to start, it has made the buckets, and nothing is in them (`mustCreateBackendBuckets`).
pub fn has_applied<B: Blob>(blob: B) -> io::Result<Result<bool, String>> {
    walked(blob, Walk::has_applied)
}

fn walked<B: Blob, T>(
    blob: B,
    walk: impl FnOnce(&mut Walk<B>) -> Result<T, Trouble>,
) -> io::Result<Result<T, String>> {
    let mut window = Window::new(blob)?;
    let Some(meta) = newest(&mut window)? else {
        return Ok(Err("neither of its two meta pages is good".into()));
    };
    match walk(&mut Walk::new(window, meta)) {
        Ok(found) => Ok(Ok(found)),
        Err(Trouble::Wrong(what)) => Ok(Err(what)),
        Err(Trouble::Read(e)) => Err(e),
    }
}

/// A bucket of more pages is none of those whose pairs are wanted: one page holds some twenty members.
const MOST_PAGES: usize = 4096;

/// Where a value lies.
struct Span {
    page: u64,
    at: u64,
    size: u64,
}

/// Where a bucket's pairs begin.
enum Root {
    /// Its only page lies within its value.
    Within { page: u64, base: u64, count: u64 },
    /// A page of its own.
    Page(u64),
}

impl<B: Blob> Walk<B> {
    fn has_applied(&mut self) -> Result<bool, Trouble> {
        for bucket in [&b"members"[..], b"key"] {
            if self.holds(bucket)? {
                return Ok(true);
            }
        }
        Ok(self.consistent_index()? > 0)
    }

    /// Whether there is this bucket, and something in it.
    fn holds(&mut self, name: &[u8]) -> Result<bool, Trouble> {
        match self.bucket_at(name)? {
            Some(Root::Within { count, .. }) => Ok(count > 0),
            Some(Root::Page(root)) => Ok(self.header(root)?.count > 0),
            None => Ok(false),
        }
    }

    /// How many elements a bucket has whose only page lies within its value.
    fn inline_count(&mut self, bucket: &Span) -> Result<u64, Trouble> {
        let bytes = self.window.get(bucket.at + BUCKET, HEADER)?;
        if bytes.len() < HEADER {
            return wrong(bucket.page, "is cut");
        }
        Ok(u64::from(u16::from_le_bytes([bytes[10], bytes[11]])))
    }

    fn consistent_index(&mut self) -> Result<u64, Trouble> {
        match self.value_of(b"meta", b"consistent_index")? {
            Some(value) if value.size == 8 => Ok(self.number(value.page, value.at)?.swap_bytes()),
            Some(value) => wrong(value.page, "has a consistent index of a wrong size"),
            None => Ok(0),
        }
    }

    /// As etcd writes it: `3.6.0`.
    fn version(&mut self, bucket: &[u8], key: &[u8]) -> Result<Option<(u64, u64)>, Trouble> {
        let Some(value) = self.value_of(bucket, key)? else {
            return Ok(None);
        };
        let bytes = self.key(value.page, value.at, value.size)?;
        let text = String::from_utf8_lossy(&bytes);
        let mut numbers = text.split('.').map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok(Some((major, minor))),
            _ => wrong(value.page, "has a version that is none"),
        }
    }

    fn value_of(&mut self, bucket: &[u8], key: &[u8]) -> Result<Option<Span>, Trouble> {
        match self.bucket_at(bucket)? {
            Some(Root::Within { page, base, count }) => self.search(page, base, count, key),
            Some(Root::Page(root)) => self.find(root, key),
            None => Ok(None),
        }
    }

    fn pairs(&mut self, bucket: &[u8]) -> Result<Vec<Pair>, Trouble> {
        let mut pairs = Vec::new();
        let mut todo = match self.bucket_at(bucket)? {
            Some(Root::Within { page, base, count }) => {
                self.leaf_pairs(page, base, count, &mut pairs)?;
                Vec::new()
            }
            Some(Root::Page(root)) => vec![(root, 0)],
            None => Vec::new(),
        };
        let mut visited = 0;
        while let Some((page, depth)) = todo.pop() {
            visited += 1;
            if visited > MOST_PAGES {
                return wrong(page, "belongs to a bucket that is too large");
            }
            let header = self.header(page)?;
            let base = page * self.meta.page_size;
            match header.flags {
                LEAF => self.leaf_pairs(page, base, header.count, &mut pairs)?,
                BRANCH if depth < MAX_DEPTH => {
                    for i in (0..header.count).rev() {
                        let at = base + HEADER as u64 + i * ELEMENT;
                        todo.push((u64_at(&self.element(page, at)?, 8), depth + 1));
                    }
                }
                flags => return wrong(page, format!("is no branch and no leaf ({flags:#x})")),
            }
        }
        Ok(pairs)
    }

    fn leaf_pairs(
        &mut self,
        page: u64,
        base: u64,
        count: u64,
        pairs: &mut Vec<Pair>,
    ) -> Result<(), Trouble> {
        for i in 0..count {
            let at = base + HEADER as u64 + i * ELEMENT;
            let element = self.element(page, at)?;
            let [pos, ksize, vsize] = [4, 8, 12].map(|at| u64::from(u32_at(&element, at)));
            let key = self.key(page, at + pos, ksize)?;
            pairs.push((key, self.key(page, at + pos + ksize, vsize)?));
        }
        Ok(())
    }

    /// Where a bucket's pairs begin.
    fn bucket_at(&mut self, name: &[u8]) -> Result<Option<Root>, Trouble> {
        let root = self.meta.root;
        let Some(bucket) = self.find(root, name)? else {
            return Ok(None);
        };
        if bucket.size < BUCKET {
            return wrong(bucket.page, "has a bucket that is cut");
        }
        Ok(Some(match self.number(bucket.page, bucket.at)? {
            0 => Root::Within {
                page: bucket.page,
                base: bucket.at + BUCKET,
                count: self.inline_count(&bucket)?,
            },
            root => Root::Page(root),
        }))
    }

    /// Follows a key from a bucket's root page to its leaf.
    fn find(&mut self, mut page: u64, key: &[u8]) -> Result<Option<Span>, Trouble> {
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
    ) -> Result<Option<Span>, Trouble> {
        for i in 0..count {
            let at = base + HEADER as u64 + i * ELEMENT;
            let element = self.element(page, at)?;
            let [pos, ksize, vsize] = [4, 8, 12].map(|at| u64::from(u32_at(&element, at)));
            if self.key(page, at + pos, ksize)? == key {
                let at = at + pos + ksize;
                return Ok(Some(Span {
                    page,
                    at,
                    size: vsize,
                }));
            }
        }
        Ok(None)
    }
}
