//! The data dir of an etcd that runs: it changes while it is read. Calls nothing damaged that only moves.

use std::time::Duration;

use crate::datadir::wal::WalName;
use crate::datadir::{Contents, Finding, WalEnd};
use crate::error::Error;

/// How often it is read at most.
const LOOKS: usize = 6;
/// The pause between two of them: a record is written within microseconds.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// Reads until it reads well.
///
/// A read takes several calls. A record that etcd writes between two of them looks as if it had lost its
/// beginning, and a file that etcd renames or removes is missing.
pub(super) fn read(
    mut inspect: impl FnMut() -> Result<Contents, Error>,
    pause: Duration,
) -> Result<Contents, Error> {
    let mut last = inspect();
    let mut moves = false;
    for _ in 1..LOOKS {
        if last.as_ref().is_ok_and(|contents| !is_damaged(contents)) {
            return last;
        }
        std::thread::sleep(pause);
        let next = inspect();
        if let (Ok(before), Ok(now)) = (&last, &next) {
            moves |= before.finding != now.finding;
        }
        last = next;
    }
    last.map(|contents| match moves {
        true => by_its_head(contents),
        false => contents,
    })
}

fn is_damaged(contents: &Contents) -> bool {
    matches!(contents.finding, Finding::Damaged { .. })
}

/// Damage is read in the same words each time. What is at another place each time is etcd at work: then the head
/// says whose data it is, and where it ends is known to etcd alone.
fn by_its_head(contents: Contents) -> Contents {
    let finding = match contents.finding {
        Finding::Damaged {
            head: Some(identity),
            ..
        } => Finding::Own {
            identity,
            end: WalEnd {
                file: WalName { seq: 0, index: 0 },
                offset: 0,
                crc: 0,
                commit: 0,
            },
            torn: false,
        },
        other => other,
    };
    Contents {
        finding,
        ..contents
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::{DataDir, Identity, ListedHere, Progress};
    use crate::membership::{ClusterId, MemberId};

    const OURS: Identity = Identity {
        member: MemberId(1),
        cluster: ClusterId(2),
    };

    fn damaged(what: &str) -> Finding {
        Finding::Damaged {
            head: Some(OURS),
            what: what.into(),
        }
    }

    fn contents(finding: Finding) -> Contents {
        Contents {
            finding,
            committed: Progress::default(),
            listed_here: ListedHere::Unknown,
            join_note: None,
            adding: false,
            promise: None,
            given_up: false,
            left: false,
            left_scaled: false,
            set_aside: 0,
            order_note: None,
            restoring: None,
            leftovers: false,
            stalled: false,
            added_learner: None,
            elsewhere: Vec::new(),
            misplaced: None,
        }
    }

    /// What comes of these looks, the last of which goes on; and how many were taken.
    fn read_all(looks: &[Result<Finding, &str>]) -> (Result<Finding, String>, usize) {
        let mut taken = 0;
        let inspect = || {
            let look = &looks[taken.min(looks.len() - 1)];
            taken += 1;
            look.clone().map(contents).map_err(Error::new)
        };
        let read = read(inspect, Duration::ZERO);
        let read = read.map(|contents| contents.finding);
        (read.map_err(|error| error.to_string()), taken)
    }

    #[test]
    fn what_reads_well_is_read_once() {
        assert_eq!(read_all(&[Ok(Finding::Empty)]), (Ok(Finding::Empty), 1));
    }

    #[test]
    fn a_record_that_was_being_written_is_no_damage() {
        let own = by_its_head(contents(damaged("at 1"))).finding;
        let looks = [Ok(damaged("at 1")), Err("gone"), Ok(own.clone())];
        assert_eq!(read_all(&looks), (Ok(own), 3));
    }

    #[test]
    fn damage_that_stays_is_said() {
        let stays = [Ok(damaged("at 1"))];
        assert_eq!(read_all(&stays), (Ok(damaged("at 1")), LOOKS));
        assert_eq!(read_all(&[Err("denied")]), (Err("denied".into()), LOOKS));
    }

    #[test]
    fn what_is_at_another_place_each_time_is_etcd_at_work() {
        let moves = ["at 1", "at 2", "at 3", "at 4", "at 5", "at 6"].map(|what| Ok(damaged(what)));
        let own = by_its_head(contents(damaged("at 6"))).finding;
        assert_eq!(own.data_dir(), DataDir::Own(OURS));
        assert_eq!(read_all(&moves), (Ok(own), LOOKS));
        // Where the head says nothing, nobody knows whose it is.
        let headless = moves.map(|look| {
            look.map(|finding| match finding {
                Finding::Damaged { what, .. } => Finding::Damaged { head: None, what },
                other => other,
            })
        });
        assert!(matches!(read_all(&headless).0, Ok(Finding::Damaged { .. })));
    }
}
