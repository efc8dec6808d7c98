//! What the log has said last, so that it says it once; and since when we wait.

use std::time::{Duration, Instant, SystemTime};

use crate::logging::timestamp;

/// While we wait, the log says so again after this.
const REMIND: Duration = Duration::from_secs(60);

/// What the log has said last.
#[derive(Default)]
pub(super) struct Said {
    line: String,
    scene: String,
    refusal: String,
    at: Option<Instant>,
    waiting: Option<Waiting>,
}

/// Since when we wait: on the clock on the wall, and for REJOIN_WAIT.
#[derive(Clone, Copy)]
struct Waiting {
    at: SystemTime,
    since: Instant,
}

impl Said {
    /// Says this line, unless it was the last one.
    pub(super) fn say(&mut self, line: String) {
        if line != self.line {
            log::info!("{line}");
            self.line = line;
            self.at = Some(Instant::now());
        }
    }

    /// The same while we wait: now and then it is said again.
    pub(super) fn say_or_remind(&mut self, line: String, waited: Duration) {
        let again = self.at.is_none_or(|at| at.elapsed() >= REMIND);
        if line == self.line && again {
            log::info!("still {line} waited={}s", waited.as_secs());
            self.at = Some(Instant::now());
        }
        self.say(line);
    }

    /// Whether what is seen has changed since the last time.
    pub(super) fn is_news(&mut self, scene: String) -> bool {
        let news = self.scene != scene;
        self.scene = scene;
        news
    }

    /// Whether the cluster refuses in other words than the last time.
    pub(super) fn is_another_refusal(&mut self, words: &str) -> bool {
        let another = self.refusal != words;
        self.refusal = words.into();
        another
    }

    /// How long we have waited: since the first call, until something was done.
    pub(super) fn waited(&mut self) -> Duration {
        self.waiting().since.elapsed()
    }

    /// When we shall have waited that long, if we wait.
    pub(super) fn waited_until(&self, allowed: Duration) -> Option<Instant> {
        self.waiting.map(|waiting| waiting.since + allowed)
    }

    /// The line with the time since when we wait: it stays the same, so that the line is said once.
    pub(super) fn with_since(&mut self, line: &str) -> String {
        format!("{line} since={}", timestamp(self.waiting().at))
    }

    /// Something was done: whoever waits now begins to.
    pub(super) fn done(&mut self) {
        self.refusal.clear();
        self.waiting = None;
    }

    fn waiting(&mut self) -> Waiting {
        *self.waiting.get_or_insert_with(|| Waiting {
            at: SystemTime::now(),
            since: Instant::now(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waits_line_is_the_same_until_something_was_done() {
        let mut said = Said::default();
        let first = said.with_since("waits");
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(said.with_since("waits"), first);
        assert!(said.waited() >= Duration::from_millis(5));
        said.done();
        assert_ne!(said.with_since("waits"), first);
        assert!(
            first.starts_with("waits since=20") && first.ends_with('Z'),
            "{first}"
        );
    }
}
