//! Asks the store of snapshots, one question at a time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Observer;
use crate::decide::StoreSeen;
use crate::store::{self, ToProbe};

/// What the store said counts for so long: looks repeat twice a second, and each one at an object store is paid for.
const FRESH: Duration = Duration::from_secs(2);

impl Observer {
    /// What the store holds, or held a moment ago. `over`: nobody wants to know it any more.
    pub(super) fn store_seen(
        &self,
        probe: ToProbe,
        deadline: Instant,
        over: &AtomicBool,
    ) -> StoreSeen {
        // The last question has ended, or ends now.
        let mut known = self.store_known();
        if let Some((at, seen)) = &*known
            && at.elapsed() < FRESH
        {
            return seen.clone();
        }
        let Some(settings) = &self.config.store else {
            return StoreSeen::Silent("REJOIN_STORE is not set".into());
        };
        let within = deadline.saturating_duration_since(Instant::now());
        let ended = || over.load(Ordering::Relaxed) || self.stop.raised().is_some();
        // What a store does with a condition stays so.
        let probe = match self.store_decides.load(Ordering::Relaxed) {
            true => ToProbe::Nothing,
            false => probe,
        };
        let seen = store::look(settings, within, probe, &ended);
        if let (ToProbe::Always, StoreSeen::Read(kept)) = (probe, &seen) {
            (self.store_decides).store(!kept.cannot_decide, Ordering::Relaxed);
        }
        if !ended() {
            *known = Some((Instant::now(), seen.clone()));
        }
        seen
    }

    /// What was seen of the store does not count any more: we have changed something there.
    pub fn forget_store(&self) {
        *self.store_known() = None;
    }

    /// Waits until no child of ours speaks to the store: nobody would reap it once etcd has taken our place.
    pub fn leave_store(&self) {
        drop(self.store_known());
    }

    fn store_known(&self) -> MutexGuard<'_, Option<(Instant, StoreSeen)>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
