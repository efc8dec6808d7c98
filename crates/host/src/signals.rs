//! The stop flag, and waits that end when it is raised.
//!
//! A PID 1 without a handler ignores SIGTERM, so `Stop::install` comes before everything else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::error::{Context, Error};
use crate::work::Work;

pub use crate::work::Ended;

/// How often a wait looks at the flag. A stop before the hand-over ends within 200 ms.
const TICK: Duration = Duration::from_millis(10);

/// Raised by SIGTERM or SIGINT; remembers which.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicUsize>);

impl Stop {
    /// Installs the handlers of SIGTERM and SIGINT.
    ///
    /// Both are held meanwhile: between installing its handler and knowing what to do in it, signal-hook
    /// drops a signal (`signal-hook-registry/src/lib.rs`, `race_fallback`; one start in 9,000 was hit).
    ///
    /// Then empties the signal mask, for this thread and those that it starts: a SIGTERM or SIGCHLD
    /// that whoever started us has blocked would never arrive. The mask is inherited over exec, and
    /// Rust's `Command` leaves it as it is. In this order: what was held arrives here.
    pub fn install() -> Result<Self, Error> {
        Stop::hold()?;
        let stop = Stop::default();
        for signal in [SIGTERM, SIGINT] {
            signal_hook::flag::register_usize(signal, stop.0.clone(), signal as usize)
                .context(|| format!("cannot handle signal {signal}"))?;
        }
        SigSet::empty()
            .thread_set_mask()
            .context(|| "cannot unblock signals".into())?;
        Ok(stop)
    }

    /// Keeps SIGTERM and SIGINT from this thread until the next `install`, over an exec of ourselves too.
    ///
    /// Between an exec and the new handlers a PID 1 ignores them, unless they are blocked (Linux
    /// `kernel/signal.c`, `sig_ignored`). For the main thread, with `end_at_once` for all others.
    pub fn hold() -> Result<(), Error> {
        SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT])
            .thread_block()
            .context(|| "cannot block signals".into())
    }

    /// The signal that asked us to stop, if one did.
    pub fn raised(&self) -> Option<i32> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(signal as i32),
        }
    }

    /// From now on SIGTERM and SIGINT end the program at once, with 128 + n; the signal, if one came
    /// before.
    ///
    /// For the last step before an exec: a signal that only raised the flag would be lost there. After
    /// the exec the new program's own dispositions hold.
    pub fn end_at_once(&self) -> Result<Option<i32>, Error> {
        for signal in [SIGTERM, SIGINT] {
            let always = Arc::new(AtomicBool::new(true));
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, always)
                .context(|| format!("cannot handle signal {signal}"))?;
        }
        // Looked at last: what came before the handlers stands in the flag.
        Ok(self.raised())
    }

    /// Sleeps until `deadline` or until the flag is raised; the signal, if it was.
    pub fn sleep_until(&self, deadline: Instant) -> Option<i32> {
        loop {
            if let Some(signal) = self.raised() {
                return Some(signal);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            std::thread::sleep(left.min(TICK));
        }
    }

    /// Does what nothing can interrupt, such as reading a slow disk, in a thread of its own, and waits for it
    /// until the flag is raised; as long as it takes.
    pub fn wait_for<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Ended> {
        let work = begun(work)?;
        self.until(None, |longest| work.wait(longest))
    }

    /// The same until `deadline`. `Closed`: it was not begun.
    pub fn wait_until<T: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Ended> {
        let work = begun(work)?;
        self.until(Some(deadline), |longest| work.wait(longest))
    }

    /// Waits for a value until `deadline` or until the flag is raised.
    pub fn receive<T>(&self, from: &Receiver<T>, deadline: Instant) -> Result<T, Ended> {
        self.until(Some(deadline), |longest| {
            from.recv_timeout(longest).map_err(|error| match error {
                RecvTimeoutError::Timeout => Ended::Deadline,
                RecvTimeoutError::Disconnected => Ended::Closed,
            })
        })
    }

    /// Waits in short steps until `deadline` or until the flag is raised.
    fn until<T>(
        &self,
        deadline: Option<Instant>,
        wait: impl Fn(Duration) -> Result<T, Ended>,
    ) -> Result<T, Ended> {
        loop {
            if let Some(signal) = self.raised() {
                return Err(Ended::Stopped(signal));
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            match wait(left.map_or(TICK, |left| left.min(TICK))) {
                Err(Ended::Deadline) if left != Some(Duration::ZERO) => {}
                ended => return ended,
            }
        }
    }
}

fn begun<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<Work<T>, Ended> {
    Work::begin(work).map_err(|error| {
        log::warn!("cannot start a thread: {error}");
        Ended::Closed
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_signal_that_is_held_arrives_at_the_next_install() {
        Stop::hold().unwrap();
        nix::sys::signal::raise(Signal::SIGINT).unwrap();
        let stop = Stop::install().unwrap();
        assert_eq!(stop.raised(), Some(SIGINT));
    }

    #[test]
    fn a_wait_ends_with_its_value_its_deadline_or_the_stop() {
        let stop = Stop::default();
        let (tx, rx) = channel();
        tx.send(7).unwrap();
        let soon = || Instant::now() + Duration::from_millis(5);
        assert_eq!(stop.receive(&rx, soon()), Ok(7));
        assert_eq!(stop.receive(&rx, soon()), Err(Ended::Deadline));
        stop.0.store(15, Ordering::Relaxed);
        assert_eq!(stop.receive(&rx, soon()), Err(Ended::Stopped(15)));
        assert_eq!(stop.sleep_until(soon()), Some(15));
    }
}
