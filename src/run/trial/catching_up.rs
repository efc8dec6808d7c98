//! How far a learner is from being promoted, in words: how much it lacks, how fast it gets on, how long that takes.

use std::time::Duration;

/// So long a learner may take without a word.
const FIRST: Duration = Duration::from_secs(10);
/// What it lacks is said again after this.
const AGAIN: Duration = Duration::from_secs(60);

/// How far a learner and its leader have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Came {
    /// The last entry that the learner knows to be committed; none while its etcd does not answer.
    pub learner: Option<u64>,
    /// The last entry that the cluster has committed.
    pub cluster: u64,
}

/// What was seen of a learner, and when, since its etcd runs.
#[derive(Default)]
pub struct CatchingUp {
    last: Option<(Came, Duration)>,
    said: Option<Duration>,
}

impl CatchingUp {
    /// Whether it is time for a word.
    pub fn is_due(&self, now: Duration) -> bool {
        match self.said {
            None => now >= FIRST,
            Some(said) => now >= said + AGAIN,
        }
    }

    /// The word.
    pub fn words(&mut self, came: Came, now: Duration) -> String {
        self.said = Some(now);
        let last = self.last.replace((came, now));
        let Some(learner) = came.learner else {
            return format!(
                "its etcd does not answer yet: it receives the database, or reads it; the cluster is at entry {}",
                came.cluster
            );
        };
        let behind = came.cluster.saturating_sub(learner);
        let place = format!(
            "at entry {learner} of {}, {behind} entries behind",
            came.cluster
        );
        let before = last.and_then(|(came, at)| Some((came.learner?, came.cluster, at)));
        let Some((was, cluster_was, at)) = before else {
            return place;
        };
        let seconds = now.saturating_sub(at).as_secs_f64().max(0.001);
        let rate = learner.saturating_sub(was) as f64 / seconds;
        let nearer = rate - came.cluster.saturating_sub(cluster_was) as f64 / seconds;
        let outlook = match (behind, rate > 0.0, nearer > 0.0) {
            (0, _, _) => "it has caught up, and the leader has not seen it yet".into(),
            (_, false, _) => format!("no entry came in {seconds:.0} s: look at the leader's log"),
            (_, true, false) => "the cluster writes as fast: it does not catch up like this".into(),
            (_, true, true) => format!("about {:.0} s to go", behind as f64 / nearer),
        };
        format!("{place}, {rate:.0} entries/s; {outlook}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(catching_up: &mut CatchingUp, learner: Option<u64>, cluster: u64, at: u64) -> String {
        let came = Came { learner, cluster };
        catching_up.words(came, Duration::from_secs(at))
    }

    #[test]
    fn a_learner_that_gets_on_says_how_long_it_takes() {
        let mut it = CatchingUp::default();
        assert!(said(&mut it, None, 1000, 10).contains("does not answer yet"));
        assert_eq!(
            said(&mut it, Some(100), 1000, 70),
            "at entry 100 of 1000, 900 entries behind"
        );
        assert_eq!(
            said(&mut it, Some(400), 1060, 130),
            "at entry 400 of 1060, 660 entries behind, 5 entries/s; about 165 s to go"
        );
    }

    #[test]
    fn one_that_does_not_says_why_it_takes_for_ever() {
        let mut it = CatchingUp::default();
        said(&mut it, Some(100), 1000, 10);
        let stands = said(&mut it, Some(100), 1000, 70);
        assert!(stands.ends_with("0 entries/s; no entry came in 60 s: look at the leader's log"));
        let chases = said(&mut it, Some(200), 2000, 130);
        assert!(chases.contains("does not catch up like this"), "{chases}");
        assert!(said(&mut it, Some(2000), 2000, 190).contains("it has caught up"));
    }

    #[test]
    fn it_is_said_after_ten_seconds_and_each_minute() {
        let mut it = CatchingUp::default();
        let at = Duration::from_secs;
        assert!(!it.is_due(at(9)) && it.is_due(at(10)));
        said(&mut it, None, 1, 10);
        assert!(!it.is_due(at(69)) && it.is_due(at(70)));
    }
}
