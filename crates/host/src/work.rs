//! Work in a thread of its own: what nothing can interrupt, such as a slow disk or a silent name server. Who began
//! it waits for it as long as it likes, and never takes it back.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Why a wait ended without its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The time was over.
    Deadline,
    /// This signal asked us to stop.
    Stopped(i32),
    /// Nobody is left who could send, or the work was not begun.
    Closed,
}

/// Starts a thread. Where a limit on processes is reached, this is an error; `std::thread::spawn` would panic.
///
/// Boxed, as what starts a thread is some kilobytes of code for each kind of work.
pub fn thread(work: Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>> {
    Builder::new().spawn(work)
}

/// Work that was begun.
#[derive(Debug)]
pub struct Work<T> {
    value: Arc<Mutex<Option<T>>>,
    /// Closed when it has ended. The value does not come through it: a channel is as much code for each kind.
    ended: Receiver<()>,
}

impl<T: Send + 'static> Work<T> {
    /// Begins it; an error where no thread can be started.
    pub fn begin(work: impl FnOnce() -> T + Send + 'static) -> io::Result<Work<T>> {
        let (running, ended) = channel();
        let value = Arc::new(Mutex::new(None));
        let place = value.clone();
        thread(Box::new(move || {
            let done = work();
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
            drop(running);
        }))?;
        Ok(Work { value, ended })
    }

    /// Waits for its value, for so long at the most; it is given once.
    pub fn wait(&self, longest: Duration) -> Result<T, Ended> {
        match self.ended.recv_timeout(longest) {
            Err(RecvTimeoutError::Timeout) => Err(Ended::Deadline),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                let mut value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
                value.take().ok_or(Ended::Closed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_the_value_or_its_time() {
        let (let_go, held) = channel::<()>();
        let work = Work::begin(move || held.recv().is_err()).unwrap();
        assert_eq!(work.wait(Duration::from_millis(5)), Err(Ended::Deadline));
        drop(let_go);
        assert_eq!(work.wait(Duration::from_secs(60)), Ok(true));
        assert_eq!(work.wait(Duration::ZERO), Err(Ended::Closed));
    }
}
