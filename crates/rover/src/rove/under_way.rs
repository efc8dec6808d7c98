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

/// A call that was begun, by this step.
#[derive(Debug)]
pub struct UnderWay {
    pub step: VolumeStep,
    pub begun: Instant,
    work: Work<KernelAnswer>,
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

    /// Waits for its end: for so long, or until that is given up. `None`: it has not ended.
    pub fn wait(
        &self,
        limit: Duration,
        give_up: &dyn Fn() -> bool,
    ) -> Option<Result<KernelAnswer, Error>> {
        let until = Instant::now() + limit;
        loop {
            match self.work.wait(TICK) {
                Ok(done) => return Some(Ok(done)),
                Err(Ended::Closed | Ended::Stopped(_)) => {
                    return Some(Err(Error::new(format!(
                        "{} has broken off",
                        self.step.name()
                    ))));
                }
                Err(Ended::Deadline) if Instant::now() >= until || give_up() => return None,
                Err(Ended::Deadline) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn begin(call: impl FnOnce() -> KernelAnswer + Send + 'static) -> UnderWay {
        UnderWay::begin(VolumeStep::Unmount, call).unwrap()
    }

    #[test]
    fn what_does_not_come_back_is_waited_for_no_longer_than_that() {
        let (let_go, held) = channel::<()>();
        let call = begin(move || {
            let _ = held.recv();
            KernelAnswer::Unmounted(Ok(()))
        });
        assert!(call.wait(Duration::ZERO, &|| false).is_none());
        assert!(call.wait(LONG, &|| true).is_none());
        let_go.send(()).unwrap();
        // It is heard of later.
        let end = call.wait(LONG, &|| false);
        assert!(matches!(end, Some(Ok(KernelAnswer::Unmounted(Ok(()))))));
        let lost = begin(|| panic!("on purpose"));
        assert!(matches!(lost.wait(LONG, &|| false), Some(Err(_))));
    }
}
