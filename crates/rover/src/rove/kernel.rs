//! A call into the kernel that may not come back: a mount, an unmount or a read of a device that is frozen
//! or whose disk hangs. It is made in a thread of its own, so that wishes, SIGTERM and the deadline are
//! still heard. It cannot be taken back: until it has ended, nothing else may touch the mount.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::Rove;
use super::steps::unwanted;
use crate::mount::{FileSystem, UnmountError};
use crate::table::{Checked, VolumeStep};
use etcd_rejoin_host::error::{Context, Error};

/// How often a wait asks whether it is given up.
const TICK: Duration = Duration::from_millis(5);

/// What came of it.
#[derive(Debug)]
pub enum Done {
    /// Which file system there is, and whether it says of itself that it is clean.
    Read(Result<(FileSystem, bool), Error>),
    /// It is mounted, or not.
    Mounted(Result<(), Error>),
    /// It is unmounted, or not.
    Unmounted(Result<(), UnmountError>),
}

/// A call that was begun.
#[derive(Debug)]
pub struct UnderWay {
    /// The step that it belongs to.
    pub step: VolumeStep,
    /// Since when.
    pub begun: Instant,
    end: Receiver<Done>,
}

/// What is known of its end.
#[derive(Debug)]
pub enum End {
    /// It has not ended.
    NotYet,
    /// With this.
    Done(Done),
    /// It has ended without a word.
    Lost,
}

impl UnderWay {
    /// Begins it.
    pub fn begin(
        step: VolumeStep,
        call: impl FnOnce() -> Done + Send + 'static,
    ) -> Result<UnderWay, Error> {
        let (send, end) = channel();
        std::thread::Builder::new()
            .spawn(move || send.send(call()))
            .context(|| format!("cannot begin to {}", step.name()))?;
        let begun = Instant::now();
        Ok(UnderWay { step, begun, end })
    }

    /// Waits for its end: for so long, or until that is given up.
    pub fn wait(&self, limit: Duration, give_up: &mut dyn FnMut() -> bool) -> End {
        let until = Instant::now() + limit;
        loop {
            match self.end.recv_timeout(TICK) {
                Ok(done) => return End::Done(done),
                Err(RecvTimeoutError::Disconnected) => return End::Lost,
                Err(RecvTimeoutError::Timeout) if Instant::now() >= until || give_up() => {
                    return End::NotYet;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

impl Rove<'_> {
    /// Makes a call that may not come back. Where it has not after so long, or is not wanted any more, the
    /// looks go on without it.
    pub(super) fn in_kernel(
        &mut self,
        step: VolumeStep,
        limit: Duration,
        call: impl FnOnce() -> Done + Send + 'static,
    ) -> Result<Done, Error> {
        let call = UnderWay::begin(step, call)?;
        let unwanted = unwanted(self.stop, &mut self.gate);
        // What lets go is always wanted.
        let mut give_up = || step != VolumeStep::Unmount && unwanted();
        match call.wait(limit, &mut give_up) {
            End::Done(done) => Ok(done),
            End::Lost => Err(Error::new(format!("{} has broken off", step.name()))),
            End::NotYet => {
                let took = call.begun.elapsed();
                self.memory.under_way = Some(call);
                Err(Error::new(format!(
                    "{} has not come back from the kernel after {took:.0?}",
                    step.name()
                )))
            }
        }
    }

    /// Whether a call has come back that was left.
    pub(super) fn hear_of_the_kernel(&mut self) {
        let Some(call) = self.memory.under_way.take() else {
            return;
        };
        let (step, took) = (call.step.name(), call.begun.elapsed());
        let done = match call.wait(Duration::ZERO, &mut || true) {
            End::NotYet => {
                self.memory.under_way = Some(call);
                return;
            }
            End::Done(done) => self.done(done),
            End::Lost => Err(Error::new("it has broken off")),
        };
        match done {
            Ok(()) => log::info!("{step} has come back from the kernel after {took:.0?}"),
            Err(error) => {
                log::warn!("{step} has come back from the kernel after {took:.0?}: {error}")
            }
        }
    }

    /// What is remembered of it. The next look tells what is true.
    pub(super) fn done(&mut self, done: Done) -> Result<(), Error> {
        match done {
            // An answer that nobody waits for any more: it is read again.
            Done::Read(read) => read.map(drop),
            Done::Mounted(mounted) => {
                if mounted.is_err() {
                    // The superblock may look better than what lies behind it.
                    self.memory.distrusted = true;
                    self.memory.known.checked = Checked::No;
                }
                mounted
            }
            Done::Unmounted(unmounted) => {
                self.memory.holders = match &unmounted {
                    Err(UnmountError::Busy(holders)) => holders.clone(),
                    Ok(()) | Err(UnmountError::Failed(_)) => Vec::new(),
                };
                unmounted.map_err(|why| {
                    let shown = self.settings.mount.display();
                    Error::new(format!("cannot unmount {shown}: {why}"))
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call that ends when it is let.
    fn held() -> (std::sync::mpsc::Sender<()>, UnderWay) {
        let (let_go, held) = channel();
        let call = move || {
            let _ = held.recv();
            Done::Unmounted(Ok(()))
        };
        (let_go, UnderWay::begin(VolumeStep::Unmount, call).unwrap())
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn what_does_not_come_back_is_waited_for_no_longer_than_that() {
        let (let_go, call) = held();
        let begun = Instant::now();
        assert!(matches!(
            call.wait(Duration::ZERO, &mut || false),
            End::NotYet
        ));
        assert!(matches!(call.wait(LONG, &mut || true), End::NotYet));
        assert!(begun.elapsed() < LONG);
        let_go.send(()).unwrap();
        // It is heard of later.
        let end = call.wait(LONG, &mut || false);
        assert!(matches!(end, End::Done(Done::Unmounted(Ok(())))), "{end:?}");
    }

    #[test]
    fn one_that_ends_without_a_word_has_ended() {
        let call = UnderWay::begin(VolumeStep::Mount, || panic!("on purpose")).unwrap();
        assert!(matches!(call.wait(LONG, &mut || false), End::Lost));
    }
}
