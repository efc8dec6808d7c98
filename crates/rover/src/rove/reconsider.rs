//! Asking a peer that said no what it would say by now, while the gate is closed: keepalived bids again
//! only once that may be a yes. Outdates nothing, turns nothing off.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::fence::{Answer, Asked, Key, Machine, Request, ask};
use crate::table::{Gate, PeerFate, Would};

/// How often: whoever takes the address for a try takes it from nobody, but clients see it come and go.
pub const EVERY: Duration = Duration::from_secs(20);
/// How long the peer may take to answer. It does nothing for it.
const PATIENCE: Duration = Duration::from_secs(3);

/// The question that is under way, and since when there is a no.
#[derive(Debug, Default)]
pub struct Reconsider {
    pub asking: Option<JoinHandle<Would>>,
    since: Option<Instant>,
}

impl Reconsider {
    /// Whether it is time to ask. The first time is one pause after the no.
    pub fn is_due(&mut self, now: Instant, gate: Gate, tried: PeerFate) -> bool {
        let open = match gate {
            Gate::Master => true,
            Gate::Backup | Gate::Fault | Gate::Stop | Gate::Unknown => false,
        };
        // With the gate open the rover asks in earnest.
        if open || tried == PeerFate::Unknown {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let due = self.asking.is_none() && now.duration_since(since) >= EVERY;
        if due {
            self.since = Some(now);
        }
        due
    }

    /// What was answered, once it was.
    pub fn answered(&mut self) -> Option<Would> {
        match &self.asking {
            Some(asking) if asking.is_finished() => {
                let asking = self.asking.take()?;
                Some(asking.join().unwrap_or(Would::Silent))
            }
            Some(_) | None => None,
        }
    }
}

/// Asks it.
pub fn would(peer: &str, key: &Key, machine: &Machine, request: &Request) -> Would {
    let nothing_against = matches!(request, Request::Without(_));
    match ask(peer, key, machine, request, Instant::now() + PATIENCE) {
        Asked::Heard(Answer::Would) => Would::Outdate,
        Asked::Heard(Answer::Primary | Answer::Busy(_)) => Would::Refuse,
        Asked::Heard(_) | Asked::Silent(_) if nothing_against => Would::Outdate,
        Asked::Heard(Answer::Failed(_) | Answer::Outdated | Answer::State(_)) => Would::Fail,
        Asked::Silent(_) => Would::Silent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_said_no_is_asked_again_at_a_calm_pace_while_the_gate_is_closed() {
        let mut reconsider = Reconsider::default();
        let start = Instant::now();
        let mut asked = |after: u64, gate, tried| {
            reconsider.is_due(start + Duration::from_secs(after), gate, tried)
        };
        assert!(!asked(0, Gate::Fault, PeerFate::Silent));
        assert!(!asked(19, Gate::Backup, PeerFate::Silent));
        assert!(asked(20, Gate::Backup, PeerFate::Silent));
        assert!(!asked(21, Gate::Backup, PeerFate::Alive));
        assert!(asked(40, Gate::Backup, PeerFate::Alive));
        for (gate, tried) in [
            (Gate::Master, PeerFate::Silent),
            (Gate::Backup, PeerFate::Unknown),
        ] {
            assert!(!asked(60, gate, tried));
            assert!(!asked(61, Gate::Backup, PeerFate::Silent), "begins anew");
        }
    }
}
