//! What a trial prints: to our standard error as it came, and past the reader of last words.
//!
//! One thread for the life of the child: etcd's standard error stays this pipe when the trial has
//! become healthy. The thread blocks while there is nothing, and nothing else waits for it.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::last_words::{LastWords, LastWordsReader};
use crate::error::{Context, Error};

/// How much is read at once. A pipe holds 64 KiB; etcd's lines are far below this.
const CHUNK: usize = 16 * 1024;

/// How long a standard error that takes nothing may hold up the end of a trial.
const PATIENCE: Duration = Duration::from_secs(2);

/// A running copy.
pub(super) struct Copy {
    heard: Arc<Mutex<Option<LastWordsReader>>>,
    /// Dropped to say that the child has ended.
    running: PipeWriter,
    drained: Receiver<()>,
}

impl Copy {
    /// Starts to copy from `from` to our standard error.
    pub(super) fn start(from: PipeReader) -> Result<Self, Error> {
        let heard = Arc::new(Mutex::new(Some(LastWordsReader::default())));
        let (ended, running) = io::pipe().context(|| "cannot make a pipe".into())?;
        let (done, drained) = channel();
        let listener = heard.clone();
        thread::Builder::new()
            .name("stderr".into())
            .stack_size(64 * 1024)
            .spawn(move || {
                copy(from, &ended, &listener);
                let _ = done.send(());
            })
            .context(|| "cannot start a thread".into())?;
        Ok(Copy {
            heard,
            running,
            drained,
        })
    }

    /// What ends the listening: a healthy etcd's words are not its last.
    pub(super) fn listener(&self) -> Arc<Mutex<Option<LastWordsReader>>> {
        self.heard.clone()
    }

    /// Waits until everything that the ended child wrote is on our standard error.
    pub(super) fn finish(self) -> LastWords {
        drop(self.running);
        let _ = self.drained.recv_timeout(PATIENCE);
        match &mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(listener) => listener.last_words(),
            None => LastWords::None,
        }
    }
}

fn copy(mut from: PipeReader, ended: &PipeReader, heard: &Mutex<Option<LastWordsReader>>) {
    let mut chunk = vec![0; CHUNK];
    loop {
        let mut fds = [
            PollFd::new(&from, PollFlags::IN),
            PollFd::new(ended, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(_) => return,
        }
        // All that the child wrote lies in the pipe before its end is said: an empty pipe is the end,
        // even if a process that the child left behind still holds it open.
        if fds[0].revents().is_empty() {
            return;
        }
        match from.read(&mut chunk) {
            Ok(0) => return,
            Ok(n) => {
                if let Some(listener) = &mut *heard.lock().unwrap_or_else(PoisonError::into_inner) {
                    listener.hear(&chunk[..n]);
                }
                write_all(&chunk[..n]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Writes to our standard error, past its lock: a reader that takes nothing must not hold up others.
///
/// An error loses the chunk and not etcd: a closed standard error would end a bare etcd by SIGPIPE,
/// a full disk behind it would only cost the lines.
fn write_all(mut bytes: &[u8]) {
    let stderr = io::stderr();
    while !bytes.is_empty() {
        match rustix::io::write(stderr.as_fd(), bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
                let _ = poll(&mut fds, None);
            }
            Err(_) => return,
        }
    }
}
