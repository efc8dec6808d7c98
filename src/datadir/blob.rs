//! Reading a file of unknown content in constant memory: positions and lengths are never trusted.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Something that is read at positions: a file, or bytes in memory.
pub trait Blob {
    /// How long it is.
    fn size(&self) -> io::Result<u64>;
    /// Reads at `offset` into `buffer`; 0 means the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl Blob for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }
}

impl<B: Blob> Blob for &B {
    fn size(&self) -> io::Result<u64> {
        B::size(self)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        B::read_at(self, buffer, offset)
    }
}

impl Blob for &[u8] {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.get(offset..))
            .unwrap_or(&[]);
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

/// How much is kept in memory of one file.
const WINDOW: usize = 64 * 1024;
/// How much is read at a jump; a read that follows the last one fills the whole window.
const FIRST: usize = 4 * 1024;

/// A moving window over a blob.
pub struct Window<B> {
    blob: B,
    size: u64,
    start: u64,
    filled: usize,
    buffer: Vec<u8>,
}

impl<B: Blob> Window<B> {
    /// A window over the blob, at its present size.
    pub fn new(blob: B) -> io::Result<Self> {
        Ok(Window {
            size: blob.size()?,
            blob,
            start: 0,
            filled: 0,
            buffer: vec![0; WINDOW],
        })
    }

    /// How long the blob was when the window was made.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The bytes at `offset`: as many as asked for, fewer only at the end or above the window's size.
    pub fn get(&mut self, offset: u64, len: usize) -> io::Result<&[u8]> {
        let len = len.min(WINDOW);
        let end = self.start + self.filled as u64;
        if offset < self.start || offset.saturating_add(len as u64) > end {
            self.fill(offset, len, offset >= self.start && offset <= end)?;
        }
        let from = (offset - self.start) as usize;
        let to = (from + len).min(self.filled);
        Ok(&self.buffer[from.min(to)..to])
    }

    /// What of the bytes at `offset` already lies in memory.
    pub fn buffered(&self, offset: u64) -> &[u8] {
        let from = offset
            .checked_sub(self.start)
            .map_or(self.filled, |from| (from as usize).min(self.filled));
        &self.buffer[from..self.filled]
    }

    fn fill(&mut self, offset: u64, len: usize, follows: bool) -> io::Result<()> {
        let want = match follows && self.filled > 0 {
            true => WINDOW,
            false => len.max(FIRST),
        };
        self.start = offset;
        self.filled = 0;
        while self.filled < want {
            let at = offset.saturating_add(self.filled as u64);
            match self.blob.read_at(&mut self.buffer[self.filled..want], at) {
                Ok(0) => break,
                Ok(read) => self.filled += read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // What follows was not asked for: an unreadable sector there is met when it is.
                Err(_) if self.filled >= len => break,
                Err(e) => {
                    self.filled = 0;
                    return Err(e);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_gives_what_is_there() {
        let bytes: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
        let mut window = Window::new(bytes.as_slice()).unwrap();
        for offset in [
            0,
            3,
            100,
            4090,
            65_530,
            65_536,
            10,
            199_990,
            200_000,
            u64::MAX,
        ] {
            for len in [0, 1, 8, 4096, 70_000] {
                let from = (offset as usize).min(bytes.len());
                let to = from.saturating_add(len.min(WINDOW)).min(bytes.len());
                assert_eq!(window.get(offset, len).unwrap(), &bytes[from..to]);
            }
        }
    }
}
