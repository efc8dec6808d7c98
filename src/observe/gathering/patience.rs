//! When a look is over: what it still has to ask says what is waited for, and here is for how long.

use std::time::{Duration, Instant};

use super::Gathering;
use crate::decide::{DataDir, ToAsk};

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
        let open = self.gateways_open + self.far_open + self.twins_open + self.doubts_open;
        let open = open + usize::from(self.waits_for_set()) + usize::from(self.waits_for_store());
        if !self.peers_open() && open == 0 {
            return self.own_urls_until(now);
        }
        if self.waits_for_set() || self.waits_for_store() {
            return self.deadline;
        }
        // Somebody has answered as us: what follows may be a second vote in our name.
        if self.doubts_open > 0 {
            return self.deadline;
        }
        let after = |since: Option<Instant>, grace: Duration| {
            since.map_or(self.deadline, |since| (since + grace).min(self.deadline))
        };
        match self.to_ask() {
            ToAsk::TwinBesideLeader => match self.twins_open {
                0 => now,
                _ => after(self.quorate_at, GRACE_TWIN),
            },
            // Nobody need be reached at a client URL for a restart: then it is as without the question.
            ToAsk::HowFar if self.far_open > 0 => after(self.listed_at, GRACE_LEADER),
            ToAsk::HowFar | ToAsk::TwinBesideListed => match self.twins_open {
                0 => now,
                // Over a long way a twin answers no sooner than the peer did, and is asked only now.
                _ => after(self.listed_at, GRACE_TWIN.max(2 * self.way)),
            },
            // Where a version is still to come, no gateway has been asked yet.
            ToAsk::LeaderForAMoment => {
                match self.gateways_open + self.twins_open + self.versions_open() {
                    0 => now,
                    _ => after(self.listed_at, GRACE_LEADER),
                }
            }
            ToAsk::Contradiction => {
                match (self.peers_open() || self.gateways_open > 0, self.twins_open) {
                    (false, 0) => now,
                    (true, 0) => after(self.quorate_at, GRACE_PEERS),
                    _ => self.deadline,
                }
            }
            ToAsk::FirstStart => self.own_urls_until(after(self.founding_at, GRACE_FOUNDING)),
            ToAsk::Leader | ToAsk::Everybody => self.deadline,
        }
    }

    /// Notes since when no more than this has been missing.
    pub(super) fn note_time(&mut self) {
        let since = match self.to_ask() {
            ToAsk::HowFar | ToAsk::TwinBesideListed | ToAsk::LeaderForAMoment => {
                &mut self.listed_at
            }
            ToAsk::TwinBesideLeader | ToAsk::Contradiction => &mut self.quorate_at,
            ToAsk::FirstStart => &mut self.founding_at,
            ToAsk::Leader | ToAsk::Everybody => return,
        };
        since.get_or_insert_with(Instant::now);
    }

    fn versions_open(&self) -> usize {
        self.unversioned.iter().sum()
    }

    /// This moment, or a later one if a founding could follow and our own URL has not been heard.
    fn own_urls_until(&self, moment: Instant) -> Instant {
        let founds = matches!(self.seen.data, DataDir::Empty) && self.seen.quorate.is_none();
        match founds && self.own_urls_open > 0 {
            true => moment.max((self.begun + GRACE_OWN_URL).min(self.deadline)),
            false => moment,
        }
    }
}
