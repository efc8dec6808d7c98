//! A call into the kernel that may not come back: a mount, an unmount or a read of a device that is frozen
//! or whose disk hangs. It is made in a thread of its own, so that wishes, SIGTERM and the deadline are
//! still heard. It cannot be taken back: until it has ended, nothing else may touch the mount.

use std::cell::RefCell;
use std::time::Duration;

use super::parts::Rove;
use super::under_way::{KernelAnswer, UnderWay};
use crate::gate::GateReader;
use crate::mount::UnmountError;
use crate::table::{Checked, Gate, VolumeStep};
use etcd_rejoin_host::error::Error;
use etcd_rejoin_host::signals::Stop;

impl Rove<'_> {
    /// Makes a call that may not come back. Where it has not after so long, or is not wanted any more, the
    /// looks go on without it.
    pub(super) fn in_kernel(
        &mut self,
        step: VolumeStep,
        limit: Duration,
        call: impl FnOnce() -> KernelAnswer + Send + 'static,
    ) -> Result<KernelAnswer, Error> {
        let call = UnderWay::begin(step, call)?;
        let unwanted = unwanted(self.stop, &mut self.gate);
        // What lets go is always wanted.
        let ended = call.wait(limit, &|| step != VolumeStep::Unmount && unwanted());
        drop(unwanted);
        ended.unwrap_or_else(|| {
            let took = call.begun.elapsed();
            self.memory.under_way = Some(call);
            Err(Error::new(format!(
                "{} has not come back from the kernel after {took:.0?}",
                step.name()
            )))
        })
    }

    /// Whether a call has come back that was left.
    pub(super) fn hear_of_the_kernel(&mut self) {
        let Some(call) = self.memory.under_way.take() else {
            return;
        };
        let Some(ended) = call.wait(Duration::ZERO, &|| true) else {
            self.memory.under_way = Some(call);
            return;
        };
        let (step, took) = (call.step.name(), call.begun.elapsed());
        match ended.and_then(|done| self.done(done)) {
            Ok(()) => log::info!("{step} has come back from the kernel after {took:.0?}"),
            Err(error) => {
                log::warn!("{step} has come back from the kernel after {took:.0?}: {error}")
            }
        }
    }

    /// What is remembered of it. The next look tells what is true.
    pub(super) fn done(&mut self, done: KernelAnswer) -> Result<(), Error> {
        match done {
            // An answer that nobody waits for any more: it is read again.
            KernelAnswer::Read(read) => read.map(drop),
            KernelAnswer::Mounted(mounted) => {
                if mounted.is_err() {
                    // The superblock may look better than what lies behind it.
                    self.memory.distrusted = true;
                    self.memory.known.checked = Checked::No;
                }
                mounted
            }
            KernelAnswer::Unmounted(unmounted) => {
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

/// Whether what was begun on the way up is not wanted any more.
pub(super) fn unwanted<'a>(stop: &'a Stop, gate: &'a mut GateReader) -> impl Fn() -> bool + 'a {
    let gate = RefCell::new(gate);
    move || stop.raised().is_some() || gate.borrow_mut().latest() != Gate::Master
}
