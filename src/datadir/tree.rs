//! Walking the database's pages: every page that bbolt would follow must be what its place says.
//! Never writes.
//!
//! Source: bbolt `internal/common/page.go`, `node.go` (how a page is laid out), `tx_check.go`. What is
//! not reachable is not looked at: a file that was cut behind its last used page is healthy.

use std::fmt;
use std::io;

use super::blob::{Blob, Window};
use super::bolt::{HEADER, Meta, newest, u32_at, u64_at};

/// Behind a page's header, for each key: leaf `flags pos ksize vsize`, branch `pos ksize pgid`.
pub(super) const ELEMENT: u64 = 16;
/// A bucket's value begins with its root page and a sequence number.
pub(super) const BUCKET: u64 = 16;

pub(super) const BRANCH: u16 = 1;
pub(super) const LEAF: u16 = 2;
const FREELIST: u16 = 0x10;

/// bbolt's `MaxKeySize`.
const MAX_KEY: u64 = 32_768;
/// bbolt splits a node that outgrows its page unless it has but a few keys.
const MAX_BRANCH: u64 = 1 << 20;
/// A tree this deep has more pages than any disk.
pub(super) const MAX_DEPTH: usize = 32;
/// Above this many pages (1 TiB) the walk is left out: what it remembers would not be small any more.
const MAX_PAGES: u64 = 1 << 28;
/// bbolt's `PgidNoFreelist`: etcd does not write its freelist.
const NO_FREELIST: u64 = u64::MAX;

/// What is wrong with the database, if something is. `Err` says nothing about the data.
pub fn check<B: Blob>(blob: B) -> io::Result<Option<String>> {
    let mut window = Window::new(blob)?;
    let Some(meta) = newest(&mut window)? else {
        return Ok(Some("neither of its two meta pages is good".into()));
    };
    let held = (window.size() / meta.page_size).min(meta.pages);
    if held > MAX_PAGES {
        return Ok(None);
    }
    let mut walk = Walk::new(window, meta);
    walk.seen = vec![0; (held / 64 + 1) as usize];
    match walk.all() {
        Ok(()) => Ok(None),
        Err(Trouble::Wrong(what)) => Ok(Some(what)),
        Err(Trouble::Read(e)) => Err(e),
    }
}

pub(super) enum Trouble {
    Wrong(String),
    Read(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(e: io::Error) -> Self {
        Trouble::Read(e)
    }
}

pub(super) fn wrong<T>(page: u64, what: impl fmt::Display) -> Result<T, Trouble> {
    Err(Trouble::Wrong(format!("page {page} {what}")))
}

/// A page that is still to be visited, and the keys that may lie in it.
struct Todo {
    page: u64,
    from: Vec<u8>,
    before: Option<Vec<u8>>,
    depth: usize,
    root: bool,
}

pub(super) struct Header {
    pub flags: u16,
    pub count: u64,
    overflow: u64,
}

pub(super) struct Walk<B> {
    pub window: Window<B>,
    pub meta: Meta,
    /// A bit for each page that the file holds, or nothing.
    seen: Vec<u64>,
}

impl<B: Blob> Walk<B> {
    /// A walk to single keys: it remembers no pages.
    pub(super) fn new(window: Window<B>, meta: Meta) -> Self {
        let seen = Vec::new();
        Walk { window, meta, seen }
    }

    fn all(&mut self) -> Result<(), Trouble> {
        self.mark(0, 2)?;
        if self.meta.freelist != NO_FREELIST {
            self.freelist(self.meta.freelist)?;
        }
        let bucket = |page, depth| Todo {
            page,
            from: Vec::new(),
            before: None,
            depth,
            root: true,
        };
        let mut todo = vec![bucket(self.meta.root, 0)];
        while let Some(next) = todo.pop() {
            if next.depth > MAX_DEPTH {
                return wrong(next.page, "lies too deep in the tree");
            }
            let header = self.header(next.page)?;
            match header.flags {
                BRANCH => self.branch(&next, &header, &mut todo)?,
                LEAF => {
                    let base = next.page * self.meta.page_size;
                    let end = base + (header.overflow + 1) * self.meta.page_size;
                    if header.count == 0 && !next.root {
                        return wrong(next.page, "is a leaf without keys");
                    }
                    for root in self.leaf(&next, base, end, header.count, true)? {
                        todo.push(bucket(root, next.depth + 1));
                    }
                }
                flags => return wrong(next.page, format!("is no branch and no leaf ({flags:#x})")),
            }
        }
        Ok(())
    }

    /// Remembers pages; each may be used once.
    fn mark(&mut self, page: u64, count: u64) -> Result<(), Trouble> {
        // Pages that the file does not hold are not remembered: whoever reads one finds out.
        let held = self.seen.len() as u64 * 64;
        for page in page..page.saturating_add(count).min(held) {
            let word = &mut self.seen[(page / 64) as usize];
            if *word >> (page % 64) & 1 == 1 {
                return wrong(page, "is used twice");
            }
            *word |= 1 << (page % 64);
        }
        Ok(())
    }

    /// The header of a page that something points at.
    pub(super) fn header(&mut self, page: u64) -> Result<Header, Trouble> {
        if page < 2 || page >= self.meta.pages {
            return wrong(page, "is pointed at, and is none of the database's pages");
        }
        let Some(offset) = page.checked_mul(self.meta.page_size) else {
            return wrong(page, "lies behind the end of the file");
        };
        let bytes = self.window.get(offset, HEADER)?;
        if bytes.len() < HEADER {
            return wrong(page, "lies behind the end of the file");
        }
        let id = u64_at(bytes, 0);
        let header = Header {
            flags: u16::from_le_bytes([bytes[8], bytes[9]]),
            count: u64::from(u16::from_le_bytes([bytes[10], bytes[11]])),
            overflow: u64::from(u32_at(bytes, 12)),
        };
        if id != page {
            return wrong(page, format!("says that it is page {id}"));
        }
        if header.overflow >= self.meta.pages - page {
            return wrong(page, "reaches behind the database's last page");
        }
        self.mark(page, header.overflow + 1)?;
        Ok(header)
    }

    fn freelist(&mut self, page: u64) -> Result<(), Trouble> {
        let header = self.header(page)?;
        if header.flags != FREELIST {
            return wrong(page, "is no freelist");
        }
        let mut at = page * self.meta.page_size + HEADER as u64;
        let end = (page + header.overflow + 1) * self.meta.page_size;
        let mut count = header.count;
        // From this many on, the first ID is the count.
        if count == 0xffff {
            count = self.number(page, at)?;
            at += 8;
        }
        if count > (end - at) / 8 {
            return wrong(page, "is a freelist that is longer than its page");
        }
        for _ in 0..count {
            let free = self.number(page, at)?;
            if free < 2 || free >= self.meta.pages {
                return wrong(page, format!("is a freelist with page {free} in it"));
            }
            self.mark(free, 1)?;
            at += 8;
        }
        Ok(())
    }

    pub(super) fn number(&mut self, page: u64, at: u64) -> Result<u64, Trouble> {
        match <[u8; 8]>::try_from(self.window.get(at, 8)?) {
            Ok(bytes) => Ok(u64::from_le_bytes(bytes)),
            Err(_) => wrong(page, "is cut"),
        }
    }

    fn branch(
        &mut self,
        todo: &Todo,
        header: &Header,
        next: &mut Vec<Todo>,
    ) -> Result<(), Trouble> {
        let page = todo.page;
        let base = page * self.meta.page_size;
        let end = base + (header.overflow + 1) * self.meta.page_size;
        if header.count == 0 {
            return wrong(page, "is a branch without children");
        }
        if end - base > MAX_BRANCH + self.meta.page_size {
            return wrong(page, "is a branch of impossible size");
        }
        let mut layout = Layout::new(page, base, header.count);
        let mut children: Vec<(u64, Vec<u8>)> = Vec::new();
        for i in 0..header.count {
            let element = self.element(page, layout.element(i))?;
            let (pos, ksize) = (u32_at(&element, 0), u32_at(&element, 4));
            let at = layout.next(i, pos, ksize, 0, end)?;
            let key = self.key(page, at, u64::from(ksize))?;
            let last = children.last().map(|(_, key)| key.as_slice());
            if last.is_some_and(|last| last >= key.as_slice()) {
                return wrong(page, "has keys out of order");
            }
            todo.holds(&key)?;
            children.push((u64_at(&element, 8), key));
        }
        layout.overflow(header.overflow, self.meta.page_size)?;
        let mut before = todo.before.clone();
        for (child, key) in children.into_iter().rev() {
            next.push(Todo {
                page: child,
                from: key.clone(),
                before: before.replace(key),
                depth: todo.depth + 1,
                root: false,
            });
        }
        Ok(())
    }

    /// A leaf page, or one that lies within a bucket's value; the root pages of the buckets in it.
    fn leaf(
        &mut self,
        todo: &Todo,
        base: u64,
        end: u64,
        count: u64,
        whole: bool,
    ) -> Result<Vec<u64>, Trouble> {
        let page = todo.page;
        let mut layout = Layout::new(page, base, count);
        let mut last: Option<Vec<u8>> = None;
        let mut roots = Vec::new();
        for i in 0..count {
            let element = self.element(page, layout.element(i))?;
            let [flags, pos, ksize, vsize] = [0, 4, 8, 12].map(|at| u32_at(&element, at));
            let at = layout.next(i, pos, ksize, vsize, end)?;
            let key = self.key(page, at, u64::from(ksize))?;
            if last.is_some_and(|last| last >= key) {
                return wrong(page, "has keys out of order");
            }
            if whole {
                todo.holds(&key)?;
            }
            last = Some(key);
            if flags & 1 == 1 && whole {
                let value = at + u64::from(ksize);
                roots.extend(self.bucket(todo, value, u64::from(vsize))?);
            }
        }
        if whole {
            layout.overflow((end - base) / self.meta.page_size - 1, self.meta.page_size)?;
        }
        // The values' last byte must be there as well.
        if layout.at > self.window.size() {
            return wrong(page, "is cut");
        }
        Ok(roots)
    }

    /// A bucket's value: its root page, or its only page itself.
    fn bucket(&mut self, todo: &Todo, value: u64, size: u64) -> Result<Option<u64>, Trouble> {
        if size < BUCKET {
            return wrong(todo.page, "has a bucket that is cut");
        }
        let root = self.number(todo.page, value)?;
        if root != 0 {
            return Ok(Some(root));
        }
        let base = value + BUCKET;
        let bytes = self.window.get(base, HEADER)?;
        if size < BUCKET + HEADER as u64 || bytes.len() < HEADER {
            return wrong(todo.page, "has a bucket that is cut");
        }
        let flags = u16::from_le_bytes([bytes[8], bytes[9]]);
        let count = u64::from(u16::from_le_bytes([bytes[10], bytes[11]]));
        if flags != LEAF {
            return wrong(todo.page, "has a bucket that is no leaf");
        }
        self.leaf(todo, base, value + size, count, false)?;
        Ok(None)
    }

    pub(super) fn element(
        &mut self,
        page: u64,
        at: u64,
    ) -> Result<[u8; ELEMENT as usize], Trouble> {
        match self.window.get(at, ELEMENT as usize)?.try_into() {
            Ok(element) => Ok(element),
            Err(_) => wrong(page, "is cut"),
        }
    }

    pub(super) fn key(&mut self, page: u64, at: u64, size: u64) -> Result<Vec<u8>, Trouble> {
        if size > MAX_KEY {
            return wrong(page, "has a key of impossible size");
        }
        let key = self.window.get(at, size as usize)?;
        match key.len() as u64 == size {
            true => Ok(key.to_vec()),
            false => wrong(page, "is cut"),
        }
    }
}

impl Todo {
    /// Whether a key may lie in this page, by the keys of the branch above.
    fn holds(&self, key: &[u8]) -> Result<(), Trouble> {
        let below = key < self.from.as_slice();
        let above = (self.before.as_deref()).is_some_and(|before| key >= before);
        match below || above {
            true => wrong(self.page, "has a key that belongs to another page"),
            false => Ok(()),
        }
    }
}

/// Keys and values lie one behind the other, right behind the elements (`node.go`, `write`).
struct Layout {
    page: u64,
    base: u64,
    at: u64,
}

impl Layout {
    fn new(page: u64, base: u64, count: u64) -> Self {
        Layout {
            page,
            base,
            at: base + HEADER as u64 + count * ELEMENT,
        }
    }

    /// Where an element lies.
    fn element(&self, i: u64) -> u64 {
        self.base + HEADER as u64 + i * ELEMENT
    }

    /// Where an element's key lies, if that is where it must.
    fn next(&mut self, i: u64, pos: u32, ksize: u32, vsize: u32, end: u64) -> Result<u64, Trouble> {
        let key = self.at;
        self.at += u64::from(ksize) + u64::from(vsize);
        match self.element(i) + u64::from(pos) == key && self.at <= end {
            true => Ok(key),
            false => wrong(self.page, "has an element that points elsewhere"),
        }
    }

    /// A page takes as much room as it needs; older versions take one page more where it fits exactly.
    fn overflow(&self, overflow: u64, page_size: u64) -> Result<(), Trouble> {
        let size = self.at - self.base;
        match overflow == size / page_size || overflow + 1 == size.div_ceil(page_size) {
            true => Ok(()),
            false => wrong(self.page, "has a wrong size"),
        }
    }
}
