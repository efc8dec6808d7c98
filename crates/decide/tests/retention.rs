//! Which snapshots stay? `retention.txt` is the rules in words; what must never go is asked of any list.

#[path = "../../../tests/support/cases.rs"]
mod cases;

use std::cmp::Reverse;
use std::collections::BTreeSet;

use etcd_rejoin_decide::{KeptFor, Prunable, Retention, retain};
use proptest::prelude::*;

#[derive(Debug)]
struct Store {
    rules: Retention,
    own: Option<u64>,
    now: u64,
    snapshots: Vec<Prunable>,
}

fn store(at: usize, lines: &[String]) -> Store {
    let mut store = Store {
        rules: Retention::default(),
        own: None,
        now: 0,
        snapshots: Vec::new(),
    };
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["keep", "nothing"] => {}
            ["keep", ..] => words[1..].iter().for_each(|word| {
                let (rule, count) = word.split_once('=').expect("rule=count");
                *place(&mut store.rules, rule) = count.parse().expect("a count");
            }),
            ["now", time] => store.now = seconds(time),
            ["own", lineage] => store.own = Some(lineage.parse().expect("a number")),
            ["snapshot", name, time, ref known @ ..] => {
                let (lineage, revision) = name.split_once('/').expect("lineage/revision");
                store.snapshots.push(Prunable {
                    lineage: lineage.parse().expect("a lineage"),
                    revision: revision.parse().expect("a revision"),
                    taken: seconds(time),
                    month: time[..4].parse::<u64>().expect("a year") * 12
                        + time[5..7].parse::<u64>().expect("a month"),
                    verified: known.contains(&"verified"),
                    bound: known.contains(&"bound"),
                });
            }
            _ => panic!("line {at}: {line:?}"),
        }
    }
    store
}

fn place<'a>(rules: &'a mut Retention, rule: &str) -> &'a mut u32 {
    match rule {
        "last" => &mut rules.last,
        "hourly" => &mut rules.hourly,
        "daily" => &mut rules.daily,
        "weekly" => &mut rules.weekly,
        "monthly" => &mut rules.monthly,
        _ => panic!("no rule {rule}"),
    }
}

/// `2026-11-29T12`, in seconds since 1970.
fn seconds(text: &str) -> u64 {
    let part = |range: std::ops::Range<usize>| text[range].parse::<u64>().expect("a number");
    let (year, month, day, hour) = (part(0..4), part(5..7), part(8..10), part(11..13));
    let leaps = |year: u64| year / 4 - year / 100 + year / 400;
    let leap = u64::from(leaps(year) > leaps(year - 1));
    let before = [0, 31, 28 + leap, 31, 30, 31, 30, 31, 31, 30, 31, 30];
    let days = (year - 1970) * 365 + leaps(year - 1) - leaps(1969);
    let days = days + before[..month as usize].iter().sum::<u64>() + day - 1;
    days * 86_400 + hour * 3600
}

fn in_words(store: &Store) -> String {
    let newest = store.snapshots.iter().map(|it| it.lineage).max();
    let own = store.own.or(newest).expect("a snapshot");
    let kept = retain(&store.rules, own, store.now, &store.snapshots);
    let mut all: Vec<_> = store.snapshots.iter().zip(kept).collect();
    all.sort_by_key(|(it, _)| Reverse((it.lineage, it.revision)));
    let (mut stay, mut go) = (String::from("stay"), String::from(" go"));
    for (it, why) in all {
        let name = format!(" {}/{}", it.lineage, it.revision);
        if why.is_empty() {
            go += &name;
            continue;
        }
        let why: Vec<String> = why.iter().map(KeptFor::to_string).collect();
        stay += &format!("{name}({})", why.join(", "));
    }
    stay + &go
}

#[test]
fn every_list_is_pruned_as_written() {
    let meaning = cases::Meaning {
        variant: store,
        any: |verb| panic!("{verb} has no choices"),
    };
    let cases = cases::cases(include_str!("retention.txt"), &meaning);
    assert!(cases.len() >= 14);
    let wrong = cases::wrong(&cases, in_words);
    assert!(wrong.is_empty(), "\n{wrong}");
}

fn snapshots() -> impl Strategy<Value = Vec<Prunable>> {
    let one = (1..4_u64, 1..60_u64, 0..5_000_000_u64, 0..5_u8, 0..8_u8).prop_map(
        |(lineage, revision, taken, verified, bound)| Prunable {
            lineage,
            revision,
            taken,
            month: taken / 2_629_746,
            verified: verified == 0,
            bound: bound == 0,
        },
    );
    prop::collection::vec(one, 0..40)
}

prop_compose! {
    fn rules()(last in 0..4_u32, hourly in 0..4_u32, daily in 0..4_u32, weekly in 0..4_u32, monthly in 0..3_u32)
        -> Retention
    {
        Retention { last, hourly, daily, weekly, monthly }
    }
}

proptest! {
    #[test]
    fn what_may_be_needed_never_goes(
        list in snapshots(), rules in rules(), own in 1..4_u64, now in 0..5_000_000_u64,
    ) {
        let kept = retain(&rules, own, now, &list);
        prop_assert_eq!(kept.len(), list.len());
        let rank = |it: &Prunable| (it.lineage, it.revision);
        for (it, why) in list.iter().zip(&kept).filter(|(_, why)| why.is_empty()) {
            prop_assert_eq!(it.lineage, own);
            prop_assert!(!it.bound && it.taken <= now && rules != Retention::default(), "{:?}", why);
            prop_assert!(list.iter().zip(&kept).any(|(other, why)| rank(other) >= rank(it) && !why.is_empty()));
            if it.verified {
                let newer = |(other, why): (&Prunable, &BTreeSet<KeptFor>)| {
                    other.verified && rank(other) >= rank(it) && !why.is_empty()
                };
                prop_assert!(list.iter().zip(&kept).any(newer), "no verified one as new stays");
            }
        }
    }

    /// Pruned twice is pruned once: what stayed stays, so that a prune that was killed can be repeated.
    #[test]
    fn what_has_stayed_stays(
        list in snapshots(), rules in rules(), own in 1..4_u64, now in 0..5_000_000_u64,
    ) {
        let stayed = |list: &[Prunable]| -> Vec<Prunable> {
            let kept = retain(&rules, own, now, list);
            list.iter().zip(kept).filter(|(_, why)| !why.is_empty()).map(|(it, _)| it.clone()).collect()
        };
        let once = stayed(&list);
        prop_assert_eq!(stayed(&once), once);
    }

    /// More rules keep more.
    #[test]
    fn a_rule_that_is_added_removes_nothing(
        list in snapshots(), rules in rules(), own in 1..4_u64, now in 0..5_000_000_u64,
    ) {
        prop_assume!(rules != Retention::default());
        let more = Retention { last: rules.last + 1, daily: rules.daily + 1, ..rules };
        let (few, many) = (retain(&rules, own, now, &list), retain(&more, own, now, &list));
        for (few, many) in few.iter().zip(&many) {
            prop_assert!(few.is_empty() || !many.is_empty());
        }
    }
}
