//! Which variants of the inputs of `decide` occur together in a case.

use std::collections::BTreeSet;

use etcd_rejoin_decide::membership::{Member, MemberId};
use etcd_rejoin_decide::{
    Bootstrap, DataDir, Decision, Heard, Holds, Identity, JoinAs, Knock, ListedHere, Misplaced,
    Observation, Policy, Steady, Trial, data_elsewhere, decide, hindrance, misled,
};

/// What holds in one observation: `(what, which)`.
pub type Facts = BTreeSet<(&'static str, &'static str)>;

const YES_NO: &[&str] = &["yes", "no"];

/// Every variant by name. The matches below are exhaustive, so a new variant shows up there first.
const VARIANTS: &[(&str, &[&str])] = &[
    ("data", &["empty", "own", "damaged", "damaged without head"]),
    ("cluster", &["quorate", "no leader", "assembly", "silent"]),
    (
        "membership",
        &["started", "unstarted", "learner", "not listed"],
    ),
    (
        "heard",
        &[
            "silent",
            "etcd",
            "stranger",
            "empty",
            "alone",
            "promised",
            "own",
            "other",
            "damaged",
            "set-aside",
            "called",
            "differs",
            "refused",
            "nonsense",
        ],
    ),
    ("bootstrap", &["all", "now", "never"]),
    ("join", &["auto", "voter", "learner", "never"]),
    ("note", &["none", "this entry", "another"]),
    (
        "trial",
        &["none", "behind", "unreadable", "old list", "other"],
    ),
    ("failed", &["this start", "another", "none"]),
    ("old lists", &["none", "some", "too many"]),
    ("denied", &["this step", "another", "none"]),
    ("hindered", YES_NO),
    ("misled", YES_NO),
    ("promise", YES_NO),
    ("given up", YES_NO),
    (
        "listed here",
        &["unknown", "as ours", "as another's", "removed"],
    ),
    ("history lacked", YES_NO),
    ("left", YES_NO),
    ("in use", YES_NO),
    ("twin", YES_NO),
    ("refused", YES_NO),
    ("unclear", YES_NO),
    ("key unfit", YES_NO),
    ("stalled", YES_NO),
    ("leftovers", YES_NO),
    ("set aside", YES_NO),
    ("elsewhere", &["ours", "near", "not ours", "none"]),
    (
        "misplaced",
        &["where it was", "within the data dir", "foreign", "no"],
    ),
    (
        "called",
        &["by a member", "by a founder", "probed", "unreadable", "no"],
    ),
    ("listened", YES_NO),
    ("steady", &["no", "seconds", "half a minute"]),
    ("joins only", YES_NO),
    ("url given", YES_NO),
    ("keep", YES_NO),
    ("added learner", YES_NO),
    ("members", &["1", "2", "3", "5"]),
];

/// The pairs that must occur, and for which data dir (`any`: for some).
const PAIRS: &[(&str, &str, &str)] = &[
    ("any", "data", "cluster"),
    ("any", "data", "membership"),
    ("any", "data", "heard"),
    ("any", "data", "join"),
    ("any", "data", "left"),
    ("any", "data", "in use"),
    ("any", "data", "twin"),
    ("any", "data", "refused"),
    ("any", "data", "key unfit"),
    ("any", "data", "denied"),
    ("any", "data", "hindered"),
    ("any", "data", "misled"),
    ("own", "failed", "cluster"),
    ("empty", "failed", "leftovers"),
    ("damaged", "given up", "membership"),
    ("own", "trial", "cluster"),
    ("own", "trial", "membership"),
    ("own", "trial", "given up"),
    ("own", "trial", "stalled"),
    ("own", "trial", "join"),
    ("own", "stalled", "cluster"),
    ("own", "given up", "cluster"),
    ("own", "given up", "membership"),
    ("own", "given up", "join"),
    ("own", "given up", "stalled"),
    ("own", "listed here", "cluster"),
    ("own", "listed here", "given up"),
    ("own", "history lacked", "given up"),
    ("own", "history lacked", "membership"),
    ("own", "history lacked", "join"),
    ("own", "history lacked", "trial"),
    ("damaged", "history lacked", "membership"),
    ("damaged", "history lacked", "given up"),
    ("own", "join", "membership"),
    ("own", "keep", "set aside"),
    ("own", "url given", "cluster"),
    ("own", "url given", "membership"),
    ("own", "keep", "membership"),
    ("own", "added learner", "membership"),
    ("damaged", "join", "membership"),
    ("damaged", "url given", "cluster"),
    ("empty", "note", "promise"),
    ("empty", "note", "cluster"),
    ("empty", "note", "membership"),
    ("empty", "note", "join"),
    ("empty", "promise", "cluster"),
    ("empty", "promise", "membership"),
    ("empty", "promise", "heard"),
    ("empty", "promise", "bootstrap"),
    ("empty", "promise", "joins only"),
    ("empty", "bootstrap", "heard"),
    ("empty", "bootstrap", "cluster"),
    ("empty", "bootstrap", "set aside"),
    ("empty", "bootstrap", "joins only"),
    ("empty", "unclear", "bootstrap"),
    ("empty", "unclear", "promise"),
    ("empty", "called", "cluster"),
    ("empty", "called", "members"),
    ("empty", "called", "bootstrap"),
    ("empty", "called", "joins only"),
    ("empty", "called", "set aside"),
    ("empty", "called", "listened"),
    ("empty", "called", "promise"),
    ("empty", "listened", "bootstrap"),
    ("empty", "steady", "cluster"),
    ("empty", "joins only", "cluster"),
    ("empty", "url given", "cluster"),
    ("empty", "url given", "members"),
    ("empty", "join", "membership"),
    ("empty", "added learner", "membership"),
    ("empty", "leftovers", "promise"),
    ("empty", "leftovers", "cluster"),
    ("empty", "leftovers", "note"),
    ("empty", "set aside", "heard"),
    ("empty", "set aside", "promise"),
    ("empty", "elsewhere", "cluster"),
    ("empty", "elsewhere", "promise"),
    ("empty", "elsewhere", "bootstrap"),
    ("empty", "misplaced", "cluster"),
    ("empty", "misplaced", "promise"),
    ("empty", "misplaced", "leftovers"),
    ("empty", "twin", "cluster"),
    ("empty", "members", "cluster"),
];

/// Pairs that cannot be, and why.
const IMPOSSIBLE: &[(&str, &str, &str)] = &[
    // A note about this entry needs a list.
    ("note", "this entry", "assembly"),
    ("note", "this entry", "silent"),
    ("note", "this entry", "not listed"),
    // Whoever founds alone has no other founder.
    ("called", "by a founder", "1"),
    // Nobody to hear.
    ("members", "1", "assembly"),
];

fn lacks_history(seen: &Observation) -> bool {
    let reached = seen.quorate.as_ref().and_then(|quorate| quorate.reached);
    reached.is_some_and(|reached| reached.lacks(seen.committed))
}

pub fn facts(policy: &Policy, seen: &Observation) -> Facts {
    let yes_no = |yes| if yes { "yes" } else { "no" };
    let mut facts = Facts::from([
        ("data", data(seen)),
        ("cluster", cluster(seen)),
        ("bootstrap", bootstrap(policy)),
        ("join", join(policy)),
        ("note", note(policy, seen)),
        ("trial", trial(seen)),
        ("failed", failed(policy, seen)),
        (
            "old lists",
            match seen.old_lists {
                0 => "none",
                1..=5 => "some",
                _ => "too many",
            },
        ),
        ("denied", denied(policy, seen)),
        ("hindered", yes_no(hindrance(seen).is_some())),
        (
            "misled",
            yes_no(misled(&policy.name, &seen.own_urls).is_some()),
        ),
        ("promise", yes_no(seen.promise)),
        ("given up", yes_no(seen.given_up)),
        (
            "listed here",
            match &seen.listed_here {
                ListedHere::Unknown => "unknown",
                ListedHere::As(entry) if entry.name == policy.name => "as ours",
                ListedHere::As(_) => "as another's",
                ListedHere::Removed => "removed",
            },
        ),
        ("history lacked", yes_no(lacks_history(seen))),
        ("left", yes_no(seen.left)),
        ("in use", yes_no(seen.in_use)),
        ("twin", yes_no(seen.twin)),
        ("refused", yes_no(seen.is_refused())),
        ("unclear", yes_no(seen.unclear.is_some())),
        ("key unfit", yes_no(seen.unfit.is_some())),
        ("stalled", yes_no(seen.stalled)),
        ("leftovers", yes_no(seen.leftovers)),
        ("set aside", yes_no(seen.set_aside > 0)),
        ("elsewhere", elsewhere(policy, seen)),
        (
            "misplaced",
            match seen.misplaced {
                Some(Misplaced::WhereItWas { .. }) => "where it was",
                Some(Misplaced::WithinDataDir { .. }) => "within the data dir",
                Some(Misplaced::Foreign { .. }) => "foreign",
                None => "no",
            },
        ),
        ("called", called(policy, seen)),
        ("listened", yes_no(seen.listened)),
        (
            "steady",
            match seen.steady {
                Steady::No => "no",
                Steady::Seconds => "seconds",
                Steady::HalfAMinute => "half a minute",
            },
        ),
        ("joins only", yes_no(policy.joins_only.is_some())),
        ("url given", yes_no(policy.peer_urls_given)),
        ("keep", yes_no(policy.keep.is_some())),
        ("added learner", yes_no(seen.added_learner.is_some())),
        (
            "members",
            match policy.initial.len() {
                1 => "1",
                2 => "2",
                3 => "3",
                5 => "5",
                n => panic!("{n} members"),
            },
        ),
    ]);
    if let Some(quorate) = &seen.quorate {
        facts.insert(("membership", membership(policy, seen, &quorate.members)));
    }
    for peer in &seen.peers {
        let heard = match &peer.heard {
            Heard::Silent(_) => "silent",
            Heard::Etcd { cluster, .. } if *cluster == policy.static_cluster => "etcd",
            Heard::Etcd { .. } => "stranger",
            Heard::Refused(_) => "refused",
            Heard::Nonsense(_) => "nonsense",
            Heard::Entrypoint { holds, differs } => {
                if differs.is_some() {
                    facts.insert(("heard", "differs"));
                }
                match holds {
                    Holds::Empty => "empty",
                    Holds::Alone => "alone",
                    Holds::Promised => "promised",
                    Holds::Own(cluster) if *cluster == policy.static_cluster => "own",
                    Holds::Own(_) => "other",
                    Holds::Damaged => "damaged",
                    Holds::SetAside => "set-aside",
                    Holds::Called => "called",
                }
            }
        };
        facts.insert(("heard", heard));
    }
    facts
}

/// The pairs that occur nowhere, in words.
pub fn missing(cases: &[Facts]) -> Vec<String> {
    let mut missing = Vec::new();
    for (data, one, two) in PAIRS {
        for a in variants(one) {
            for b in variants(two) {
                let impossible = IMPOSSIBLE
                    .iter()
                    .any(|(what, x, y)| [one, two].contains(&what) && [a, b] == [x, y]);
                let occurs = cases.iter().any(|facts| {
                    (*data == "any" || facts.contains(&("data", *data)))
                        && facts.contains(&(*one, *a))
                        && facts.contains(&(*two, *b))
                });
                if !occurs && !impossible {
                    missing.push(format!("{data} data dir: {one} {a:?} with {two} {b:?}"));
                }
            }
        }
    }
    missing
}

fn variants(name: &str) -> &'static [&'static str] {
    (VARIANTS.iter().find(|(variant, _)| *variant == name))
        .unwrap_or_else(|| panic!("{name} has no variants"))
        .1
}

fn data(seen: &Observation) -> &'static str {
    match seen.counts_as() {
        DataDir::Empty => "empty",
        DataDir::Own(_) => "own",
        DataDir::Damaged { head: Some(_) } => "damaged",
        DataDir::Damaged { head: None } => "damaged without head",
    }
}

fn cluster(seen: &Observation) -> &'static str {
    let entrypoint = |heard: &Heard| matches!(heard, Heard::Entrypoint { .. });
    if seen.quorate.is_some() {
        "quorate"
    } else if seen.views().next().is_some() {
        "no leader"
    } else if seen.peers.iter().any(|peer| entrypoint(&peer.heard)) {
        "assembly"
    } else {
        "silent"
    }
}

fn bootstrap(policy: &Policy) -> &'static str {
    match policy.bootstrap {
        Bootstrap::All => "all",
        Bootstrap::Now => "now",
        Bootstrap::Never => "never",
    }
}

fn join(policy: &Policy) -> &'static str {
    match policy.join {
        JoinAs::Auto => "auto",
        JoinAs::Voter => "voter",
        JoinAs::Learner => "learner",
        JoinAs::Never => "never",
    }
}

fn elsewhere(policy: &Policy, seen: &Observation) -> &'static str {
    match (seen.elsewhere.first(), data_elsewhere(policy, seen)) {
        (None, _) => "none",
        (Some(_), None) => "not ours",
        (Some(_), Some(data)) if data.near => "near",
        (Some(_), Some(_)) => "ours",
    }
}

fn trial(seen: &Observation) -> &'static str {
    match seen.trial {
        Trial::None => "none",
        Trial::Behind => "behind",
        Trial::Unreadable => "unreadable",
        Trial::OldList => "old list",
        Trial::Other => "other",
    }
}

fn failed(policy: &Policy, seen: &Observation) -> &'static str {
    let Some(failed) = &seen.failed else {
        return "none";
    };
    let mut before = seen.clone();
    before.failed = None;
    before.leftovers = false;
    match decide(policy, &before) {
        Decision::Start(start, _) if start == *failed => "this start",
        _ => "another",
    }
}

fn denied(policy: &Policy, seen: &Observation) -> &'static str {
    let Some((denied, _)) = &seen.denied else {
        return "none";
    };
    let mut before = seen.clone();
    before.denied = None;
    match decide(policy, &before) {
        Decision::Do(step, _) if step == *denied => "this step",
        _ => "another",
    }
}

fn called(policy: &Policy, seen: &Observation) -> &'static str {
    match seen.knocks.last() {
        None => "no",
        Some(Knock::Probe) => "probed",
        Some(Knock::Unreadable(_)) => "unreadable",
        Some(Knock::Member { .. }) => match seen.knocks_of_a_cluster(policy).next() {
            Some(_) => "by a member",
            None => "by a founder",
        },
    }
}

/// Our entry: by the ID of the data where there is one, else by URL.
fn entry<'a>(policy: &Policy, seen: &Observation, members: &'a [Member]) -> Option<&'a Member> {
    let id: Option<MemberId> = match seen.data {
        DataDir::Own(Identity { member, .. }) => Some(member),
        DataDir::Damaged { head } => head.map(|head| head.member),
        DataDir::Empty => None,
    };
    members.iter().find(|member| match id {
        Some(id) => member.id == id,
        None => member.has_peer_url(&policy.peer_urls),
    })
}

fn membership(policy: &Policy, seen: &Observation, members: &[Member]) -> &'static str {
    match entry(policy, seen, members) {
        None => "not listed",
        Some(entry) if entry.learner => "learner",
        Some(entry) if entry.started() => "started",
        Some(_) => "unstarted",
    }
}

fn note(policy: &Policy, seen: &Observation) -> &'static str {
    let quorate = seen
        .quorate
        .iter()
        .map(|quorate| quorate.members.as_slice());
    let mut lists = quorate.chain(seen.views().map(|(_, members)| members));
    match seen.join_note {
        None => "none",
        Some(id) => {
            match lists.any(|list| entry(policy, seen, list).is_some_and(|entry| entry.id == id)) {
                true => "this entry",
                false => "another",
            }
        }
    }
}
