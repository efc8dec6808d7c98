//! A FIFO that keepalived writes to (`vrrp_notify_fifo`), read line by line without ever waiting.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// A line without an end is no line of keepalived.
const MAX_LINE: usize = 1024;
/// How much a FIFO holds, where the kernel does not say.
const PIPE: usize = 65_536;

/// An open FIFO, and the beginning of a line that has not ended yet.
#[derive(Debug)]
pub(super) struct Fifo {
    file: File,
    pub(super) id: (u64, u64),
    partial: Vec<u8>,
    room: usize,
    /// Nobody has it open for writing: keepalived does not run.
    pub(super) no_writer: bool,
}

impl Fifo {
    /// For reading only: then an empty FIFO tells whether anybody has it open for writing (fifo(7)).
    pub(super) fn open(path: &Path) -> std::io::Result<Fifo> {
        let nonblock = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(nonblock)
            .open(path)?;
        let meta = file.metadata()?;
        if !meta.file_type().is_fifo() {
            return Err(ErrorKind::NotFound.into());
        }
        let room = rustix::pipe::fcntl_getpipe_size(&file).unwrap_or(PIPE);
        Ok(Fifo {
            id: (meta.dev(), meta.ino()),
            file,
            partial: Vec::new(),
            room,
            no_writer: false,
        })
    }

    /// The whole lines that wait, and whether it was so full that later ones may be lost.
    pub(super) fn lines(&mut self) -> std::io::Result<(Vec<String>, bool)> {
        let mut lines = Vec::new();
        let mut read = 0;
        let mut buffer = [0; 4096];
        // As much as it holds, no more: a writer without end must not keep us here.
        while read <= self.room {
            match self.file.read(&mut buffer) {
                Ok(0) => {
                    self.no_writer = true;
                    self.partial.clear();
                    break;
                }
                Ok(n) => {
                    read += n;
                    self.no_writer = false;
                    for byte in &buffer[..n] {
                        match byte {
                            b'\n' => {
                                let line = std::mem::take(&mut self.partial);
                                lines.push(String::from_utf8_lossy(&line).into_owned());
                            }
                            // The end of an endless line is no line either: it stays too long.
                            byte if self.partial.len() <= MAX_LINE => self.partial.push(*byte),
                            _ => {}
                        }
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.no_writer = false;
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        lines.retain(|line| line.len() <= MAX_LINE);
        // A page at its end may be too small for one more line.
        Ok((lines, read + 4096 > self.room))
    }
}
