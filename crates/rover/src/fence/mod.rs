//! Settling the other machine's fate over a second network, before this one goes on alone.
//!
//! The two rovers share a secret and ask each other, over TCP, to record that their disk is outdated. A
//! fence command, where there is one, turns the other machine off instead. Nothing here promotes,
//! demotes or kills by itself.

mod ask;
mod key;
mod own;
mod server;
mod settle;
mod wire;

pub use ask::{Asked, ask};
pub use key::Key;
pub use own::own;
pub use server::{Deed, FenceServer};
pub use settle::Means;
pub use wire::Answer;

use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

/// Which machine speaks: the ID of its boot. Nobody may be asked to outdate himself in his own name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine(pub String);

impl Machine {
    /// This one.
    pub fn this() -> Result<Machine, etcd_rejoin_host::error::Error> {
        crate::gate::boot_id().map(Machine)
    }
}

/// Whose turn it is: who asks is not outdated meanwhile.
///
/// Two Secondaries that lose each other may both be wished to become master. If each outdated itself at
/// the other's request, neither could be promoted. So a rover holds its turn while it asks and until it
/// is Primary or has given up, and answers requests in its server's turn only. Of two that ask at once,
/// the one with the lower [`Machine`] goes first: it refuses, the other one waits for its own refusal.
#[derive(Debug, Default)]
pub struct Turn(Mutex<()>);

impl Turn {
    /// Takes the turn, or waits for it until then.
    pub fn take(&self, deadline: Instant) -> Option<MutexGuard<'_, ()>> {
        loop {
            match self.0.try_lock() {
                Ok(guard) => return Some(guard),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(TryLockError::WouldBlock) => return None,
            }
        }
    }
}

/// The port of `host:port`. The error reads well after the value.
pub fn port(peer: &str) -> Result<u16, String> {
    let why = "is not host:port: write the other machine's address and port, such as 10.1.0.2:7790";
    let (host, port) = peer.rsplit_once(':').ok_or(why)?;
    // An IPv6 address has brackets, or its last group would be taken for the port.
    let is_host = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.len() < 256
                && (host.bytes()).all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        }
    };
    match port.parse::<u16>() {
        Ok(port) if port != 0 && is_host => Ok(port),
        Ok(_) | Err(_) => Err(why.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_a_host_and_a_port() {
        for peer in ["node2:7790", "10.1.0.2:7790", "[fd00::2]:7790"] {
            assert_eq!(port(peer), Ok(7790), "{peer}");
        }
        for peer in [
            "",
            "node2",
            ":7790",
            "node2:0",
            "node2:99999",
            "fd00::2:7790",
            "a b:1",
            "[x]:1",
        ] {
            assert!(port(peer).is_err(), "{peer}");
        }
    }

    #[test]
    fn one_at_a_time_has_its_turn() {
        let turn = Turn::default();
        let first = turn.take(Instant::now()).unwrap();
        assert!(turn.take(Instant::now()).is_none());
        drop(first);
        assert!(turn.take(Instant::now()).is_some());
    }
}
