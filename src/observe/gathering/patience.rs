//! When a look is over: as soon as what was heard decides.

use std::time::{Duration, Instant};

use super::Gathering;
use crate::decide::{DataDir, Trial};

/// Own data, listed by a peer, but not as it is here (a learner, other peer URLs): so long the proof of a leader
/// may still arrive.
const GRACE_LEADER: Duration = Duration::from_millis(100);
/// A leader is proven, or need not be: so long a twin may still answer.
const GRACE_TWIN: Duration = Duration::from_millis(20);
/// Empty or damaged, a leader is proven: so long the other peers may still contradict.
const GRACE_PEERS: Duration = Duration::from_millis(100);
/// A promised first start, a peer is etcd already: so long a leader may still show.
const GRACE_FOUNDING: Duration = Duration::from_millis(50);
/// Empty, no leader: so long somebody else may still answer at our own peer URL. What follows may be a
/// founding. Where packets to it are swallowed, as from inside some container networks, a look
/// without a proven leader takes that much longer.
const GRACE_OWN_URL: Duration = Duration::from_millis(250);

impl Gathering<'_> {
    /// When this look is over, as far as can be told now.
    pub(super) fn until(&self) -> Instant {
        let now = Instant::now();
        let peers_open = self.unheard.iter().any(|open| *open > 0);
        if !peers_open
            && self.gateways_open + self.far_open + self.twins_open + self.doubts_open == 0
        {
            return self.own_urls_until(now);
        }
        // Somebody has answered as us: what follows may be a second vote in our name.
        if self.observer.patient || self.doubts_open > 0 {
            return self.deadline;
        }
        let after = |since: Option<Instant>, grace: Duration| {
            since.map_or(self.deadline, |since| (since + grace).min(self.deadline))
        };
        let quorate = self.quorate.as_ref();
        match &self.seen.data {
            DataDir::Own(own) if quorate.is_some_and(|(_, q)| q.cluster == own.cluster) => {
                match self.twins_open {
                    0 => now,
                    _ => after(self.quorate_at, GRACE_TWIN),
                }
            }
            // Nobody need be reached at a client URL for a restart: then it is as without the question.
            DataDir::Own(_) if self.plain && self.far_enough.is_none() && self.far_open > 0 => {
                after(self.listed_at, GRACE_LEADER)
            }
            DataDir::Own(_) if self.plain => match self.twins_open {
                0 => now,
                // Over a long way a twin answers no sooner than the peer did, and is asked only now.
                _ => after(self.listed_at, GRACE_TWIN.max(2 * self.way)),
            },
            // What a leader says may be why the last start made no progress: that we were removed. Or that the
            // others lack what was committed here.
            DataDir::Own(_)
                if self.seen.given_up
                    || self.seen.stalled
                    || self.led
                    || self.seen.trial != Trial::None =>
            {
                self.deadline
            }
            // Where a version is still to come, no gateway has been asked yet.
            DataDir::Own(_) => match self.gateways_open + self.twins_open + self.versions_open() {
                0 if self.listed_at.is_some() => now,
                _ => after(self.listed_at, GRACE_LEADER),
            },
            // How many of them do decides: a certificate of ours that is wrong is refused by all.
            DataDir::Damaged { .. } | DataDir::Empty if peers_open && self.seen.is_refused() => {
                self.deadline
            }
            DataDir::Damaged { .. } | DataDir::Empty if quorate.is_some() => {
                match (peers_open || self.gateways_open > 0, self.twins_open) {
                    (false, 0) => now,
                    (true, 0) => after(self.quorate_at, GRACE_PEERS),
                    // What follows may be a remove: a member that runs elsewhere has all the time.
                    _ => self.deadline,
                }
            }
            DataDir::Empty if self.seen.promise => {
                self.own_urls_until(after(self.founding_at, GRACE_FOUNDING))
            }
            DataDir::Damaged { .. } | DataDir::Empty => self.deadline,
        }
    }

    fn versions_open(&self) -> usize {
        self.unversioned.iter().sum()
    }

    /// This moment, or a later one if a founding could follow and our own URL has not been heard.
    fn own_urls_until(&self, moment: Instant) -> Instant {
        let founds = matches!(self.seen.data, DataDir::Empty) && self.quorate.is_none();
        match founds && self.own_urls_open > 0 {
            true => moment.max((self.begun + GRACE_OWN_URL).min(self.deadline)),
            false => moment,
        }
    }
}
