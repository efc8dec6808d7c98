//! From etcd's stream to the store, in constant memory: hashed, compressed and handed on piece by piece.
//!
//! One thread hashes and compresses; this task receives and uploads. Between them are short queues: who is slow makes
//! the others wait, up to etcd.

use std::io::Write;
use std::thread::JoinHandle;

use bytes::Bytes;
use ring::digest::{Context as Digest, SHA256};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use etcd_rejoin_host::error::{Context, Error};

use crate::hex;

/// What follows the database in etcd's stream and in a `.db` file.
pub const HASH: usize = 32;
/// How hard to compress: the fastest that still halves most databases.
const LEVEL: i32 = 1;
/// How many pieces of etcd (32 KiB each) may wait.
const WAITING: usize = 32;

/// SHA-256 of a database whose last 32 bytes are that hash, as they pass.
pub struct DbHash {
    digest: Digest,
    tail: Vec<u8>,
    size: u64,
}

impl Default for DbHash {
    fn default() -> Self {
        DbHash {
            digest: Digest::new(&SHA256),
            tail: Vec::new(),
            size: 0,
        }
    }
}

impl DbHash {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        if let Some(body) = bytes.len().checked_sub(HASH) {
            self.digest.update(&self.tail);
            self.digest.update(&bytes[..body]);
            self.tail.clear();
            self.tail.extend_from_slice(&bytes[body..]);
        } else {
            self.tail.extend_from_slice(bytes);
            let body = self.tail.len().saturating_sub(HASH);
            self.digest.update(&self.tail[..body]);
            self.tail.drain(..body);
        }
    }

    /// The size with the hash, and the hash; an error where the hash is not that of the bytes.
    pub fn finish(self) -> Result<(u64, String), Error> {
        let found = self.digest.finish();
        match found.as_ref() == self.tail {
            true => Ok((self.size, hex(&self.tail))),
            false => Err(Error::new(format!(
                "the hash at its end is not that of the {} bytes before it: it is cut, or damaged",
                self.size.saturating_sub(HASH as u64)
            ))),
        }
    }
}

/// What went through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The bytes of the `.db`, its hash included.
    pub size: u64,
    /// The hash.
    pub sha256: String,
    /// The bytes of the `.db.zst`.
    pub stored_size: u64,
    /// Its hash.
    pub stored_sha256: String,
}

/// A thread that hashes and compresses.
pub struct Compressor {
    /// The database goes in here; dropping it ends the stream.
    pub input: Sender<Bytes>,
    /// Compressed pieces come out here, until there are no more.
    pub output: Receiver<Bytes>,
    /// What to join for what went through, once the input is dropped and the output read to its end.
    pub end: CompressorEnd,
}

/// What a compressor ends with.
pub struct CompressorEnd(JoinHandle<Result<Passed, Error>>);

impl CompressorEnd {
    /// Waits for it.
    pub fn join(self) -> Result<Passed, Error> {
        self.0
            .join()
            .unwrap_or_else(|_| Err(Error::new("the compressing thread died")))
    }
}

impl Compressor {
    /// Starts it; pieces come out in this size.
    pub fn start(piece: usize) -> Result<Compressor, Error> {
        let (input, receiver) = channel(WAITING);
        let (sender, output) = channel(1);
        let work = move || compress(receiver, Pieces::new(piece, sender));
        let thread = std::thread::Builder::new()
            .name("compress".into())
            .spawn(work);
        let thread = thread.context(|| "cannot start a thread".into())?;
        Ok(Compressor {
            input,
            output,
            end: CompressorEnd(thread),
        })
    }
}

fn compress(mut input: Receiver<Bytes>, pieces: Pieces) -> Result<Passed, Error> {
    let what = || "cannot compress".to_string();
    let mut hash = DbHash::default();
    let mut encoder = zstd::stream::write::Encoder::new(pieces, LEVEL).context(what)?;
    // `zstd -d` and `zstd -t` then check it by themselves.
    encoder.include_checksum(true).context(what)?;
    while let Some(bytes) = input.blocking_recv() {
        hash.update(&bytes);
        encoder.write_all(&bytes).context(what)?;
    }
    // A stream that was cut is not made a whole one.
    let (size, sha256) = hash.finish()?;
    let (stored_size, stored_sha256) = encoder.finish().and_then(Pieces::finish).context(what)?;
    Ok(Passed {
        size,
        sha256,
        stored_size,
        stored_sha256,
    })
}

/// Collects bytes to pieces of one size, hashes them and sends them on.
struct Pieces {
    piece: Vec<u8>,
    full: usize,
    to: Sender<Bytes>,
    digest: Digest,
    size: u64,
}

impl Pieces {
    fn new(full: usize, to: Sender<Bytes>) -> Pieces {
        Pieces {
            piece: Vec::with_capacity(full),
            full,
            to,
            digest: Digest::new(&SHA256),
            size: 0,
        }
    }

    fn send(&mut self, next: usize) -> std::io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(next));
        self.digest.update(&piece);
        self.size += piece.len() as u64;
        self.to
            .blocking_send(piece.into())
            .map_err(|_| std::io::Error::other("nobody takes the pieces any more"))
    }

    fn finish(mut self) -> std::io::Result<(u64, String)> {
        if !self.piece.is_empty() {
            self.send(0)?;
        }
        Ok((self.size, hex(self.digest.finish().as_ref())))
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let taken = bytes.len().min(self.full - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == self.full {
            self.send(self.full)?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Decompresses what a store holds, and checks both of its hashes.
pub struct Opener<W: Write> {
    decoder: zstd::stream::write::Decoder<'static, Opened<W>>,
    digest: Digest,
    stored_size: u64,
}

struct Opened<W> {
    hash: DbHash,
    to: W,
    full: bool,
}

impl<W: Write> Write for Opened<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.to.write(bytes).inspect_err(|_| self.full = true)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        // Whoever gets the writer back flushes it: a full disk is no damage.
        Ok(())
    }
}

impl<W: Write> Opener<W> {
    /// The database goes to this writer.
    pub fn new(to: W) -> Result<Opener<W>, Error> {
        let opened = Opened {
            hash: DbHash::default(),
            to,
            full: false,
        };
        let decoder =
            zstd::stream::write::Decoder::new(opened).context(|| "cannot decompress".into())?;
        Ok(Opener {
            decoder,
            digest: Digest::new(&SHA256),
            stored_size: 0,
        })
    }

    /// Takes the next stored bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.digest.update(bytes);
        self.stored_size += bytes.len() as u64;
        self.decoder
            .write_all(bytes)
            .context(|| "it does not decompress".into())
    }

    /// Whether the writer failed, and not what was read.
    pub fn writer_failed(&self) -> bool {
        self.decoder.get_ref().full
    }

    /// How many bytes came out so far.
    pub fn size(&self) -> u64 {
        self.decoder.get_ref().hash.size
    }

    /// What was in it, and the writer.
    pub fn finish(mut self) -> Result<(Passed, W), Error> {
        self.decoder
            .flush()
            .context(|| "it does not decompress".into())?;
        let opened = self.decoder.into_inner();
        let (size, sha256) = opened.hash.finish()?;
        let stored_sha256 = hex(self.digest.finish().as_ref());
        Ok((
            Passed {
                size,
                sha256,
                stored_size: self.stored_size,
                stored_sha256,
            },
            opened.to,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database as etcd sends it.
    fn database(size: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..size).map(|at| (at * at / 7) as u8).collect();
        let hash = ring::digest::digest(&SHA256, &bytes);
        bytes.extend_from_slice(hash.as_ref());
        bytes
    }

    fn through(bytes: &[u8], step: usize) -> Result<(Passed, Vec<u8>), Error> {
        let mut compressor = Compressor::start(1 << 10).unwrap();
        let mut stored = Vec::new();
        for chunk in bytes.chunks(step) {
            let mut chunk = Some(Bytes::copy_from_slice(chunk));
            while let Some(taken) = chunk.take() {
                match compressor.input.try_send(taken) {
                    Err(tokio::sync::mpsc::error::TrySendError::Full(back)) => chunk = Some(back),
                    sent => sent.unwrap(),
                }
                while let Ok(piece) = compressor.output.try_recv() {
                    stored.push(piece);
                }
            }
        }
        let Compressor {
            input,
            mut output,
            end,
        } = compressor;
        drop(input);
        while let Some(piece) = output.blocking_recv() {
            stored.push(piece);
        }
        Ok((end.join()?, stored.concat()))
    }

    #[test]
    fn what_went_in_comes_out_whatever_the_pieces() {
        for (size, step) in [
            (0, 1),
            (1, 32),
            (5000, 1),
            (70_000, 31),
            (70_000, 33),
            (200_000, 32_768),
        ] {
            let bytes = database(size);
            let (passed, stored) = through(&bytes, step).unwrap();
            assert_eq!(
                (passed.size, passed.stored_size),
                (bytes.len() as u64, stored.len() as u64)
            );
            assert_eq!(passed.sha256, hex(&bytes[size..]));
            let mut opener = Opener::new(Vec::new()).unwrap();
            for chunk in stored.chunks(100) {
                opener.write(chunk).unwrap();
            }
            assert_eq!(opener.finish().unwrap(), (passed, bytes));
        }
    }

    #[test]
    fn a_stream_that_was_cut_is_an_error_wherever_it_was_cut() {
        let bytes = database(4096);
        for end in [0, 1, 31, 32, 33, 4096, 4097, bytes.len() - 1] {
            let error = through(&bytes[..end], 512).unwrap_err().to_string();
            assert!(error.contains("it is cut, or damaged"), "{end}: {error}");
        }
    }

    #[test]
    fn a_flipped_bit_is_found_when_it_is_opened() {
        let (_, stored) = through(&database(4096), 512).unwrap();
        for at in 0..stored.len() {
            let mut bad = stored.clone();
            bad[at] ^= 1;
            let mut opener = Opener::new(Vec::new()).unwrap();
            let opened = opener.write(&bad).and_then(|()| opener.finish());
            // The frame's header has bits that mean nothing: the stored hash tells those.
            if let Ok((passed, _)) = opened {
                assert_ne!(
                    passed.stored_sha256,
                    crate::hex(ring::digest::digest(&SHA256, &stored).as_ref())
                );
            }
        }
    }
}
