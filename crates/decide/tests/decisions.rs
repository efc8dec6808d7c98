//! Is each row of the decision table what we meant? `decisions.txt` is the table in words; here it is
//! run, and searched for rows and pairs of variants that no case shows.

#[path = "../../../tests/support/cases.rs"]
mod cases;
#[path = "decisions/coverage.rs"]
mod coverage;
#[path = "decisions/text.rs"]
mod text;

use std::collections::BTreeSet;
use std::time::Duration;

use etcd_rejoin_decide::{
    Begin, DataDir, Decision, Observation, Quorate, Reason, Wants, decide, is_settled, listens,
};

use text::{Case, in_words};

/// The table without a store of snapshots, and the rows that need one.
const FILES: [(&str, &str); 2] = [
    ("decisions.txt", include_str!("decisions.txt")),
    ("recovery.txt", include_str!("recovery.txt")),
];

fn cases() -> Vec<Case> {
    let files = FILES.iter().flat_map(|(_, text)| text::cases(text));
    files.collect()
}

#[test]
fn every_case_is_decided_as_written() {
    let variants: usize = cases().iter().map(|case| case.variants.len()).sum();
    println!("{} cases, {variants} observations", cases().len());
    for (file, text) in FILES {
        let cases = text::cases(text);
        let wrong = cases::wrong(&cases, |(policy, seen)| in_words(&decide(policy, seen)));
        assert!(wrong.is_empty(), "\n{file}:\n{wrong}");
    }
}

#[test]
fn every_look_asks_for_what_is_missing_and_no_more() {
    let cases = text::cases(include_str!("enough.txt"));
    let wrong = cases::wrong(&cases, |(policy, seen)| text::still_to_ask(policy, seen));
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// The words in which `Row::decision` speaks of a decision.
fn documented_as(decision: &Decision) -> &'static str {
    match decision {
        Decision::Start(start, _) => match start.begin {
            Begin::WithData => "start with data",
            Begin::New => "start new",
            Begin::Existing { .. } => "start existing",
        },
        Decision::Do(step, _) => step.name(),
        Decision::Wait(_) => "wait",
        Decision::Refuse(_) => "refuse",
        Decision::Done(_) => "done",
    }
}

fn documented_data(seen: &Observation) -> &'static str {
    match seen.counts_as() {
        DataDir::Own(_) => "own",
        DataDir::Damaged { .. } => "damaged",
        DataDir::Empty => "empty",
    }
}

#[test]
fn every_reason_decides_all_that_its_row_documents_and_nothing_else() {
    let mut shown = BTreeSet::new();
    for case in cases() {
        for (policy, seen) in &case.variants {
            let decision = decide(policy, seen);
            let row = decision.reason().row();
            let (kind, data) = (documented_as(&decision), documented_data(seen));
            assert!(
                row.decision
                    .split(" / ")
                    .any(|documented| documented == kind),
                "line {}: {} is documented as {:?}, not as {kind}",
                case.line,
                row.name,
                row.decision,
            );
            assert!(
                row.data == "any" || row.data.split(", ").any(|documented| documented == data),
                "line {}: {} is documented for {} data, not for {data}",
                case.line,
                row.name,
                row.data,
            );
            shown.insert((row.name, kind));
            shown.insert((row.name, data));
        }
    }
    for row in Reason::ALL.iter().map(|reason| reason.row()) {
        let data = match row.data {
            "any" => "own, damaged, empty",
            data => data,
        };
        for part in row.decision.split(" / ").chain(data.split(", ")) {
            let found = shown
                .iter()
                .any(|(name, shown)| (*name, *shown) == (row.name, part));
            assert!(found, "no case shows {} with {part}", row.name);
        }
    }
}

/// A look that ends with what a peer lists decides as one that a leader has confirmed.
#[test]
fn a_plain_restart_is_decided_as_with_a_leader_that_lists_the_same() {
    let mut plain = 0;
    for case in cases() {
        for (policy, seen) in &case.variants {
            let mut seen = seen.clone();
            (seen.quorate, seen.heard_out) = (None, false);
            if policy.wants != Wants::Start || !is_settled(policy, &seen) {
                continue;
            }
            plain += 1;
            let settled = decide(policy, &seen);
            let (cluster, members) = seen.views().next().expect("a peer's list");
            seen.quorate = Some(Quorate {
                cluster,
                members: members.to_vec(),
                reached: Some(seen.committed),
                leader: None,
                at: String::new(),
            });
            assert_eq!(
                in_words(&settled),
                in_words(&decide(policy, &seen)),
                "{seen:?}"
            );
        }
    }
    assert!(plain > 10, "only {plain} cases");
}

#[test]
fn a_founder_listens_for_longer_where_it_is_alone_and_where_elections_take_long() {
    for (initial, election_ms, listens_ms) in [
        ("n3", 1000, 5000),
        ("n3", 10_000, 12_000),
        ("n1,n2,n3", 500, 1500),
        ("n1,n2,n3", 1000, 1500),
        ("n1,n2,n3", 5000, 5500),
        // It need not name us.
        ("n1", 1000, 1500),
    ] {
        let listens = listens(&text::policy(initial), Duration::from_millis(election_ms));
        assert_eq!(listens, Duration::from_millis(listens_ms), "{initial}");
    }
}

#[test]
fn every_pair_of_variants_occurs() {
    let seen: Vec<_> = cases()
        .iter()
        .flat_map(|case| case.variants.iter().map(|(p, o)| coverage::facts(p, o)))
        .collect();
    let missing = coverage::missing(&seen);
    assert!(
        missing.is_empty(),
        "{} pairs occur in no case:\n{}",
        missing.len(),
        missing.join("\n")
    );
}
