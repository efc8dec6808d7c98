//! A call into the kernel in a thread of its own: waited for as long as one likes, never taken back.

use std::time::{Duration, Instant};

use crate::mount::{FileSystem, UnmountError};
use crate::table::VolumeStep;
use etcd_rejoin_host::error::{Context, Error};
use etcd_rejoin_host::signals::Ended;
use etcd_rejoin_host::work::Work;

/// How often a wait asks whether it is given up.
const TICK: Duration = Duration::from_millis(5);

/// What came of it.
#[derive(Debug)]
pub enum KernelAnswer {
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
    work: Work<KernelAnswer>,
}

/// What is known of its end.
#[derive(Debug)]
pub enum End {
    /// It has not ended.
    NotYet,
    /// With this.
    Done(KernelAnswer),
    /// It has ended without a word.
    Lost,
}

impl UnderWay {
    /// Begins it.
    pub fn begin(
        step: VolumeStep,
        call: impl FnOnce() -> KernelAnswer + Send + 'static,
    ) -> Result<UnderWay, Error> {
        let work = Work::begin(call).context(|| format!("cannot begin to {}", step.name()))?;
        let begun = Instant::now();
        Ok(UnderWay { step, begun, work })
    }

    /// Waits for its end: for so long, or until that is given up.
    pub fn wait(&self, limit: Duration, give_up: &mut dyn FnMut() -> bool) -> End {
        let until = Instant::now() + limit;
        loop {
            match self.work.wait(TICK) {
                Ok(done) => return End::Done(done),
                Err(Ended::Closed | Ended::Stopped(_)) => return End::Lost,
                Err(Ended::Deadline) if Instant::now() >= until || give_up() => {
                    return End::NotYet;
                }
                Err(Ended::Deadline) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// A call that ends when it is let.
    fn held() -> (std::sync::mpsc::Sender<()>, UnderWay) {
        let (let_go, held) = channel();
        let call = move || {
            let _ = held.recv();
            KernelAnswer::Unmounted(Ok(()))
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
        assert!(
            matches!(end, End::Done(KernelAnswer::Unmounted(Ok(())))),
            "{end:?}"
        );
    }

    #[test]
    fn one_that_ends_without_a_word_has_ended() {
        let call = UnderWay::begin(VolumeStep::Mount, || panic!("on purpose")).unwrap();
        assert!(matches!(call.wait(LONG, &mut || false), End::Lost));
    }
}
