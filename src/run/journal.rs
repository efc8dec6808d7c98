//! What the log has said last, so that it says it once; and since when we wait.

use std::time::{Duration, Instant, SystemTime};

use log::Level;

use crate::calendar::timestamp;
use crate::logging::Line;

/// While we wait, the log says so again after this.
const REMIND: Duration = Duration::from_secs(60);

/// What the log has said last.
#[derive(Default)]
pub(super) struct Journal {
    line: Option<Line>,
    scene: String,
    refusal: String,
    refused_at: Option<Instant>,
    warning: String,
    at: Option<Instant>,
    waiting: Option<Waiting>,
}

/// Since when we wait: on the clock on the wall, and for REJOIN_WAIT.
#[derive(Clone, Copy)]
struct Waiting {
    at: SystemTime,
    since: Instant,
}

impl Journal {
    /// Says this line, unless it was the last one.
    pub(super) fn say(&mut self, line: Line) {
        if self.line.as_ref() != Some(&line) {
            line.log();
            self.line = Some(line);
            self.at = Some(Instant::now());
        }
    }

    /// Says this as a warning, unless it was the last one.
    pub(super) fn warn(&mut self, words: String) {
        if words != self.warning {
            log::warn!("{words}");
            self.warning = words;
        }
    }

    /// The same while we wait: now and then it is said again, as what lasts is worth a warning.
    pub(super) fn say_or_remind(&mut self, line: Line, waited: Duration) {
        let again = self.at.is_none_or(|at| at.elapsed() >= REMIND);
        if self.line.as_ref() == Some(&line) && again {
            let mut still = line.clone().after("still ");
            still.level = still.level.min(Level::Warn);
            still.with("waited", format!("{}s", waited.as_secs())).log();
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

    /// How loudly it is to be said that the cluster refuses a step in these words, if at all: what is tried
    /// again at once is mere news, what lasts is not.
    pub(super) fn refused(&mut self, words: &str) -> Option<Level> {
        let another = self.refusal != words;
        let lasts = self.refused_at.is_some_and(|at| at.elapsed() >= REMIND);
        if !another && !lasts {
            return None;
        }
        self.refusal = words.into();
        self.refused_at = Some(Instant::now());
        Some(match another {
            true => Level::Info,
            false => Level::Warn,
        })
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
    pub(super) fn with_since(&mut self, line: Line) -> Line {
        line.with("since", timestamp(self.waiting().at))
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
        let mut said = Journal::default();
        let waits = || Line::new(Level::Info, "waits");
        let first = said.with_since(waits());
        assert_ne!(first, waits());
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(said.with_since(waits()), first);
        assert!(said.waited() >= Duration::from_millis(5));
        said.done();
        assert_ne!(said.with_since(waits()), first);
    }
}
