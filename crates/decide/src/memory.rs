//! What a run of the entrypoint remembers of its own last steps, and what becomes of that with all that happens. Pure:
//! time comes in, as how long this process has been looking.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::recovery::without_passed_over;
use super::{Observation, Reason, Removal, Start, Steady, Step, Trial};
use crate::membership::{ClusterId, Member, MemberId};

/// What the others list without a leader has to stay the same for so long before it counts for what it leaves out.
/// A member of etcd reads its log within that, and takes part in elections only then.
const STEADY: Duration = Duration::from_secs(3);
/// The same where a start empty follows that no note allows. A restart with 325 MB takes about a second on a fast
/// disk (measured with 3.4 and 3.5), and many times that on a slow one.
const LONG_STEADY: Duration = Duration::from_secs(30);
/// Own data starts without a step that it can do without, when the cluster has not taken it so often.
const MAX_CHORE_TRIES: u8 = 3;

/// So long a person waits for `leave`. etcd refuses a change while a member has been connected for less than five
/// seconds (etcd `server/etcdserver/server.go`, `HealthInterval`).
const A_PERSON_WAITS: Duration = Duration::from_secs(10);

/// What no look can tell, because it is over. Gone with the process; an etcd on trial is outlived by what its
/// supervisor has to know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Memory {
    /// The start that is on trial, or was last.
    tried: Option<Start>,
    /// What it died of; nothing once a step was taken since.
    trial: Trial,
    /// The start that failed on trial, with nothing changed since that it depends on, and etcd's exit code.
    failed: Option<(Start, i32)>,
    /// So many trials in a row died of an old list of members.
    old_lists: u8,
    /// The entry that an add was answered with.
    #[serde(skip)]
    added: Option<MemberId>,
    /// The step that the cluster does not allow us, and its words.
    #[serde(skip)]
    denied: Option<(Step, String)>,
    /// How often in a row a step was not taken, or has led nowhere.
    #[serde(skip)]
    in_vain: u8,
    /// Since when our assembly listens.
    #[serde(skip)]
    listens_since: Option<Duration>,
    /// What the others listed at the last look, each with its cluster.
    #[serde(skip)]
    listed: Vec<(ClusterId, Vec<Member>)>,
    /// Since when they list the same.
    #[serde(skip)]
    same_since: Duration,
    /// It was this run that removed our own entry.
    #[serde(skip)]
    rejoins: bool,
    /// It was this run that noted that the member left.
    #[serde(skip)]
    noted_left: bool,
    /// What became of the removal that it asked for.
    #[serde(skip)]
    removal: Removal,
    /// It has asked this member, which led, to let another one lead.
    #[serde(skip)]
    asked_to_move: bool,
}

/// What happens to a run of the entrypoint.
#[derive(Clone, Copy, Debug)]
pub enum Happened<'a> {
    /// A look has seen this.
    Saw(&'a Observation),
    /// Our assembly listens from now on.
    Listens,
    /// A step was done, for this reason; an add was answered with this entry.
    Did(&'a Step, Reason, Option<MemberId>),
    /// The cluster was not ready for a step. It was no change, or one whose outcome is unknown.
    NotTaken,
    /// A step that own data can do without has failed.
    DoesWithout,
    /// What became of a removal that was asked for, so that this member leaves.
    Asked(&'a Removal),
    /// This member, which leads, was asked to let another one lead, whatever came of it.
    AskedToMove,
    /// The cluster refuses us this step, in these words.
    Denied(&'a Step, &'a str),
    /// etcd is started like this.
    Starts(&'a Start),
    /// It has died of this on trial, with this exit code, and was never healthy.
    Died(Trial, i32),
}

impl Memory {
    /// After this, which has happened now.
    pub fn after(mut self, happened: Happened, now: Duration) -> Memory {
        match happened {
            Happened::Saw(seen) if !self.lists_the_same(seen) => {
                let views = seen.views();
                self.listed = views.map(|(id, members)| (id, members.to_vec())).collect();
                self.same_since = now;
            }
            Happened::Saw(_) => {}
            Happened::Listens => self.listens_since = Some(now),
            Happened::Did(step, reason, added) => {
                self.trial = Trial::None;
                self.denied = None;
                self.added = added.or(self.added);
                self.rejoins |= matches!(step, Step::RemoveMember(_));
                self.noted_left |= *step == Step::NoteLeft;
                if step.changes_what_starts() {
                    self.failed = None;
                    self.old_lists = 0;
                }
                // To undo an add that was answered to nobody brings us nowhere.
                if reason != Reason::AddedNotOurs {
                    self.in_vain = 0;
                }
            }
            // One that may be applied later stays so, whatever the next one is answered with.
            Happened::Asked(Removal::Refused(_)) if matches!(self.removal, Removal::Unsure(_)) => {}
            Happened::Asked(removal) => self.removal = removal.clone(),
            Happened::AskedToMove => self.asked_to_move = true,
            Happened::NotTaken => self.in_vain = self.in_vain.saturating_add(1),
            Happened::DoesWithout => self.in_vain = MAX_CHORE_TRIES,
            Happened::Denied(step, words) => self.denied = Some((step.clone(), words.into())),
            // Once it has run, no entry that was added is one that never ran.
            Happened::Starts(start) => {
                return Memory {
                    tried: Some(start.clone()),
                    old_lists: self.old_lists,
                    ..Memory::default()
                };
            }
            Happened::Died(of, exit) => {
                self.trial = of;
                self.old_lists = match of {
                    Trial::OldList => self.old_lists.saturating_add(1),
                    Trial::Behind | Trial::Unreadable | Trial::Other | Trial::None => 0,
                };
                self.failed = self.tried.clone().map(|start| (start, exit));
            }
        }
        self
    }

    /// What is seen now, completed with what is remembered.
    pub fn complete(&self, seen: Observation, now: Duration) -> Observation {
        let seen = without_passed_over(seen);
        Observation {
            trial: self.trial,
            failed: self.failed.as_ref().map(|(start, _)| start.clone()),
            old_lists: self.old_lists,
            added: self.added,
            denied: self.denied.clone(),
            removal: match &self.removal {
                // By an earlier run: what became of that one's removal nobody knows.
                Removal::NotAsked if seen.left && !self.noted_left => Removal::Unsure(None),
                Removal::Refused(words) if seen.left && !self.noted_left => {
                    Removal::Unsure(Some(words.clone()))
                }
                known => known.clone(),
            },
            asked_to_move: self.asked_to_move,
            rejoins: self.rejoins,
            over: now >= A_PERSON_WAITS,
            no_chores: self.in_vain >= MAX_CHORE_TRIES,
            steady: match now.saturating_sub(self.same_since) {
                _ if !self.lists_the_same(&seen) => Steady::No,
                same if same >= LONG_STEADY => Steady::HalfAMinute,
                same if same >= STEADY => Steady::Seconds,
                _ => Steady::No,
            },
            ..seen
        }
    }

    /// What the last trial died of.
    pub fn trial(&self) -> Trial {
        self.trial
    }

    /// The start that is on trial, or was last.
    pub fn tried(&self) -> Option<&Start> {
        self.tried.as_ref()
    }

    /// The exit code of the start that failed on trial.
    pub fn failed_with(&self) -> Option<i32> {
        self.failed.as_ref().map(|(_, exit)| *exit)
    }

    /// The last trial died of an old list of members: the next one is not read at once.
    pub fn has_old_list(&self) -> bool {
        self.old_lists > 0
    }

    /// Whether this run has removed our own entry.
    pub fn rejoins(&self) -> bool {
        self.rejoins
    }

    /// Whether the last step was taken, and led somewhere.
    pub fn gets_on(&self) -> bool {
        self.in_vain == 0
    }

    /// How long our assembly has listened.
    pub fn listened(&self, now: Duration) -> Duration {
        let since = self.listens_since;
        since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    fn lists_the_same(&self, seen: &Observation) -> bool {
        let listed = self.listed.iter();
        (listed.map(|(id, members)| (*id, members.as_slice()))).eq(seen.views())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Begin, Heard, Peer};

    const START: Start = Start {
        begin: Begin::WithData,
        trial: true,
        promote: false,
    };

    fn after(memory: &Memory, happened: &[Happened]) -> Memory {
        let step = |memory: Memory, now: &Happened| memory.after(*now, Duration::ZERO);
        happened.iter().fold(memory.clone(), step)
    }

    fn seen(memory: &Memory) -> Observation {
        memory.complete(Observation::default(), Duration::ZERO)
    }

    fn lists(id: u64) -> Observation {
        let peer = Peer {
            name: "n1".into(),
            initial: true,
            heard: Heard::Etcd {
                cluster: ClusterId(id),
                members: Vec::new(),
            },
        };
        Observation {
            peers: vec![peer],
            ..Observation::default()
        }
    }

    #[test]
    fn a_failed_start_is_remembered_until_a_step_changes_what_starts() {
        let failed = after(
            &Memory::default(),
            &[Happened::Starts(&START), Happened::Died(Trial::Behind, 7)],
        );
        assert_eq!(failed.failed_with(), Some(7));
        let leftovers = Happened::Did(&Step::SetAsideLeftovers, Reason::Leftovers, None);
        let aside = seen(&after(&failed, &[leftovers]));
        assert_eq!((aside.failed, aside.trial), (Some(START), Trial::None));
        let given_up = Happened::Did(&Step::GiveUp, Reason::DataBehind, None);
        assert_eq!(after(&failed, &[given_up]).failed_with(), None);
        let again = after(&failed, &[Happened::Starts(&START)]);
        assert_eq!(seen(&again).failed, None);
    }

    #[test]
    fn old_lists_are_counted_over_trials_and_the_leftovers_between_them() {
        let old = [Happened::Starts(&START), Happened::Died(Trial::OldList, 1)];
        let leftovers = Happened::Did(&Step::SetAsideLeftovers, Reason::Leftovers, None);
        let mut memory = Memory::default();
        for times in 1..4 {
            memory = after(&after(&memory, &old), &[leftovers]);
            assert_eq!(seen(&memory).old_lists, times);
        }
        let other = [Happened::Starts(&START), Happened::Died(Trial::Other, 1)];
        assert_eq!(seen(&after(&memory, &other)).old_lists, 0);
    }

    #[test]
    fn what_was_added_never_ran_until_etcd_starts() {
        let add = Step::AddMember { learner: true };
        let did = Happened::Did(&add, Reason::NotListed, Some(MemberId(7)));
        let added = after(&Memory::default(), &[did]);
        assert_eq!(seen(&added).added, Some(MemberId(7)));
        let step = Step::SettleJoin(MemberId(7));
        let settled = after(&added, &[Happened::Did(&step, Reason::NoteAdded, None)]);
        assert_eq!(seen(&settled).added, Some(MemberId(7)));
        assert_eq!(
            seen(&after(&added, &[Happened::Starts(&START)])).added,
            None
        );
    }

    #[test]
    fn own_data_does_without_what_was_not_taken_three_times() {
        let none = |memory: &Memory| seen(memory).no_chores;
        let mut memory = Memory::default();
        for _ in 0..3 {
            assert!(!none(&memory));
            memory = after(&memory, &[Happened::NotTaken]);
        }
        assert!(none(&memory));
        assert!(none(&after(&Memory::default(), &[Happened::DoesWithout])));
        let remove = Step::RemoveMember(MemberId(7));
        let undone = Happened::Did(&remove, Reason::AddedNotOurs, None);
        assert!(none(&after(&memory, &[undone])));
        let lost = Happened::Did(&remove, Reason::DataLost, None);
        assert!(!none(&after(&memory, &[lost])));
    }

    #[test]
    fn what_is_listed_is_steady_once_it_has_stayed_the_same() {
        let at = Duration::from_secs;
        let memory = Memory::default().after(Happened::Saw(&lists(1)), at(5));
        for (now, steady) in [
            (5, Steady::No),
            (8, Steady::Seconds),
            (35, Steady::HalfAMinute),
        ] {
            assert_eq!(memory.complete(lists(1), at(now)).steady, steady, "{now}");
        }
        assert_eq!(memory.complete(lists(2), at(35)).steady, Steady::No);
        let another = memory.after(Happened::Saw(&lists(2)), at(35));
        assert_eq!(another.complete(lists(2), at(37)).steady, Steady::No);
        let same = another.after(Happened::Saw(&lists(2)), at(37));
        assert_eq!(same.complete(lists(2), at(38)).steady, Steady::Seconds);
    }

    #[test]
    fn what_became_of_a_removal_is_known_of_this_run_alone() {
        let left = |memory: &Memory| {
            let seen = Observation {
                left: true,
                ..Observation::default()
            };
            memory.complete(seen, Duration::ZERO).removal
        };
        let (no, nothing) = (
            Removal::Refused("unhealthy".into()),
            Removal::Unsure(Some("no answer".into())),
        );
        let earlier = Memory::default();
        let noted = Happened::Did(&Step::NoteLeft, Reason::Leaving, None);
        let ours = after(&earlier, &[noted]);
        assert_eq!(left(&earlier), Removal::Unsure(None));
        assert_eq!(left(&ours), Removal::NotAsked);
        let refused = Happened::Asked(&no);
        assert_eq!(left(&after(&ours, &[refused])), no);
        let words = Removal::Unsure(Some("unhealthy".into()));
        assert_eq!(left(&after(&earlier, &[refused])), words);
        let unsure = after(&ours, &[Happened::Asked(&nothing), refused]);
        assert_eq!(left(&unsure), nothing);
        for memory in [earlier, ours, unsure] {
            let done = after(&memory, &[Happened::Asked(&Removal::Done)]);
            assert_eq!(left(&done), Removal::Done);
        }
    }

    #[test]
    fn what_outlives_an_etcd_on_trial_is_handed_on() {
        let failed = after(
            &Memory::default(),
            &[Happened::Starts(&START), Happened::Died(Trial::OldList, 1)],
        );
        let words = serde_json::to_string(&failed).unwrap();
        assert_eq!(serde_json::from_str::<Memory>(&words).unwrap(), failed);
    }
}
