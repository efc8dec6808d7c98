//! One question to several, of whom one is enough.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use etcd_rejoin_host::work::thread;

/// How long they have, all together.
pub const QUESTION: Duration = Duration::from_secs(1);
/// So long one of them is asked alone, at the most: a promotion is an entry that both sides sync.
const MOMENT: Duration = Duration::from_millis(150);

/// Puts one question to all of these at once, each in a thread of its own, and ends at the first answer that is
/// wanted, or with the time for one question.
///
/// The next one is asked as soon as the last one has answered, or has not for a moment: mostly one is enough. All are
/// asked while half of the time is left.
pub fn first<T: Send + 'static, A>(
    questions: impl IntoIterator<Item = impl FnOnce(Instant) -> T + Send + 'static>,
    mut wanted: impl FnMut(T) -> Option<A>,
) -> Option<A> {
    let deadline = Instant::now() + QUESTION;
    let (tx, rx) = channel();
    let mut open = 0;
    let questions: Vec<_> = questions.into_iter().collect();
    let moment = MOMENT.min(QUESTION / 2 / questions.len().max(1) as u32);
    for question in questions {
        let tx = tx.clone();
        let asked = thread(Box::new(move || {
            // Nobody listens any more: another one has answered.
            let _ = tx.send(question(deadline));
        }));
        if let Err(error) = asked {
            log::warn!("cannot start a thread: {error}");
            continue;
        }
        open += 1;
        match rx.recv_timeout(moment) {
            Ok(answer) => {
                open -= 1;
                let answer = wanted(answer);
                if answer.is_some() {
                    return answer;
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }
    while open > 0 {
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = wanted(rx.recv_timeout(left).ok()?);
        if answer.is_some() {
            return answer;
        }
        open -= 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers after so many seconds, if there is so much time.
    fn after(seconds: u64) -> impl FnOnce(Instant) -> u64 + Send + 'static {
        move |deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            std::thread::sleep(left.min(Duration::from_secs(seconds)));
            seconds
        }
    }

    #[test]
    fn whoever_is_silent_does_not_hold_up_the_others() {
        let found = first([9, 9, 9, 0, 9].map(after), |seconds| {
            (seconds == 0).then_some(())
        });
        // Held up by one of the others it would have no time left.
        assert_eq!(found, Some(()));
    }

    #[test]
    fn one_round_has_one_deadline_and_hears_everybody() {
        let mut heard = Vec::new();
        let questions = [9, 9, 0, 9, 0].map(|seconds| {
            move |deadline| {
                after(seconds)(deadline);
                deadline
            }
        });
        let found = first(questions, |deadline| {
            heard.push(deadline);
            None::<()>
        });
        assert_eq!(found, None);
        assert!(heard.len() >= 2, "{heard:?}");
        assert!(
            heard.iter().all(|deadline| *deadline == heard[0]),
            "{heard:?}"
        );
    }

    #[test]
    fn one_that_answers_is_asked_alone() {
        let asked = first([0, 0].map(after), Some);
        assert_eq!(asked, Some(0));
    }
}
