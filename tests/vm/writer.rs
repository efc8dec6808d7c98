//! A client that writes through the virtual address all the time. What was acknowledged is recorded
//! here, outside of both guests, so that it survives either.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::guest::Guest;

/// What was acknowledged, and when.
#[derive(Clone, Debug, Default)]
pub struct Record(Arc<Mutex<Vec<(Instant, String)>>>);

impl Record {
    /// A writer in this guest, under a prefix that no other has. It ends with the guest.
    pub fn write_from(&self, guest: &Guest, prefix: &str) {
        let lines = guest
            .lines(&format!("exec /guest/client {prefix}"))
            .expect("the guest takes a script");
        let record = self.0.clone();
        std::thread::spawn(move || {
            for line in lines {
                if let Some(key) = line.strip_prefix("acknowledged ") {
                    record
                        .lock()
                        .unwrap()
                        .push((Instant::now(), key.to_string()));
                }
            }
        });
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// All keys.
    pub fn keys(&self) -> Vec<String> {
        let record = self.0.lock().unwrap();
        record.iter().map(|(_, key)| key.clone()).collect()
    }

    /// When the first one came after this moment.
    pub fn first_after(&self, moment: Instant) -> Option<Instant> {
        let record = self.0.lock().unwrap();
        record.iter().map(|(at, _)| *at).find(|at| *at > moment)
    }

    /// The longest time without one, since this moment.
    pub fn longest_gap(&self, since: Instant) -> Duration {
        let record = self.0.lock().unwrap();
        let moments: Vec<Instant> = record.iter().map(|(at, _)| *at).collect();
        (moments.windows(2))
            .filter(|pair| pair[1] > since)
            .map(|pair| pair[1] - pair[0])
            .max()
            .unwrap_or_default()
    }
}
