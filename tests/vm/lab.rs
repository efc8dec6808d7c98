//! One pair for all cases, one case at a time. A case that fails gets a report, and the next one new
//! machines.

use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::pair::Pair;

static PAIR: Mutex<Option<Pair>> = Mutex::new(None);

/// The pair, for the length of a case.
pub struct Lab {
    pair: MutexGuard<'static, Option<Pair>>,
    case: &'static str,
    begun: Instant,
}

/// The pair in the state that every case begins with: machine 1 serves, all is healthy.
pub fn lab(case: &'static str) -> Lab {
    let mut lab = Lab {
        pair: PAIR.lock().unwrap_or_else(PoisonError::into_inner),
        case,
        begun: Instant::now(),
    };
    println!("== {case}");
    match lab.pair.as_ref() {
        Some(pair) => pair.settle(),
        None => lab.pair.insert(Pair::new("ext4")).set_up(),
    }
    lab.begun = Instant::now();
    lab
}

impl Deref for Lab {
    type Target = Pair;

    fn deref(&self) -> &Pair {
        self.pair
            .as_ref()
            .expect("a pair, for as long as the case runs")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        println!("{}: {:.0?}", self.case, self.begun.elapsed());
        if std::env::var_os("ETCD_REJOIN_VM_REPORT").is_some()
            && let Some(pair) = self.pair.as_ref()
        {
            pair.report();
        }
        if std::thread::panicking()
            && let Some(pair) = self.pair.take()
        {
            pair.report();
        }
    }
}
