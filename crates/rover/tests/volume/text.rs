//! Reads `tests/volume.txt`: cases in words, each with one or several observations. The words are
//! explained at the top of that file.

use std::time::Duration;

use crate::cases::Meaning;

use etcd_rejoin_rover::table::{
    Checked, Child, Connection, Disk, Fencing, Gate, Mounted, PeerVolume, Replication, Resource,
    Role, VolumeDecision, VolumePolicy, VolumeSeen, VolumeState, VolumeStep,
};

pub type Case = crate::cases::Case<(VolumePolicy, VolumeSeen)>;

/// What makes no difference unless a case names it: each choice there is, one at a time.
pub const IRRELEVANT: &[&str] = &[
    "met",
    "handler-ours",
    "refused",
    "accept-loss",
    "failed-here",
    "demoted",
    "policy",
    "checked",
];

pub fn cases(text: &str) -> Vec<Case> {
    let meaning = Meaning { variant, any };
    let mut cases = crate::cases::cases(text, &meaning);
    for verb in IRRELEVANT {
        let varied = crate::cases::cases(&with_any(text, verb), &meaning);
        for (case, varied) in cases.iter_mut().zip(varied) {
            case.variants.extend(varied.variants);
        }
    }
    cases
}

/// The same cases, with every choice of the verb where it is not named.
pub fn with_any(text: &str, verb: &str) -> String {
    let names = |line: &&str| {
        let line = line.strip_prefix("any ").unwrap_or(line);
        line.split(' ').next() == Some(verb)
    };
    let blocks = text.split("\n\n").map(|block| {
        // What a verb is worth counts after `here`, which says some of it.
        match block.contains("\n----\n") && !block.lines().any(|line| names(&line)) {
            true => block.replacen("\n----\n", &format!("\nany {verb}\n----\n"), 1),
            false => block.into(),
        }
    });
    blocks.collect::<Vec<_>>().join("\n\n")
}

/// Every choice of a verb, for what must make no difference.
pub fn any(verb: &str) -> &'static str {
    match verb {
        "gate" => "master | backup | fault | stop | unknown",
        "disk" => {
            "diskless | changing | inconsistent | outdated | unknown | consistent | up-to-date"
        }
        "fencing" => "resource-and-stonith | resource-only | dont-care | quorum | quorum quorum=no",
        "peer" => {
            "connected secondary up-to-date established | connected primary up-to-date established | \
             connected secondary inconsistent sync-source | connected unknown changing other | \
             connected primary up-to-date sync-target | connected secondary diskless established | \
             lost unknown | lost outdated | lost inconsistent | lost consistent | lost up-to-date | \
             stand-alone unknown | stand-alone outdated | none | \
             connected secondary outdated other + connected witness"
        }
        "mounted" => "no | yes | read-only | something-else | elsewhere",
        "checked" => "no | clean | broken",
        "met" | "accept-loss" | "handler-ours" => "yes | no",
        "refused" => "no | 1s | 10s | 60s",
        "failed-here" => "no | 10s | 600s",
        "demoting" => "no | 3s",
        "demoted" => "no | 1s | 60s",
        "policy" => "no-self-fence | self-fence",
        _ => panic!("{verb:?} has no choices"),
    }
}

fn resource() -> Resource {
    Resource {
        role: Role::Secondary,
        disk: Disk::UpToDate,
        peers: peers(0, "connected secondary up-to-date established"),
        fencing: Fencing::ResourceAndStonith,
        quorum_on: false,
        quorum: true,
        suspended: false,
        failing: false,
    }
}

pub fn variant(at: usize, lines: &[String]) -> (VolumePolicy, VolumeSeen) {
    let mut policy = VolumePolicy {
        fence_timeout: Duration::from_secs(8),
        demote_timeout: Duration::from_secs(20),
        self_fence: false,
    };
    let mut resource = resource();
    let mut volume = None;
    let mut seen = VolumeSeen {
        met_peer: true,
        ..VolumeSeen::by_a_stranger(VolumeState::Down)
    };
    for line in lines {
        let (verb, words) = line.split_once(' ').expect("a verb and words");
        let bad = || -> ! { panic!("line {at}: {words:?} is nothing for {verb}") };
        let yes = || match words {
            "yes" => true,
            "no" => false,
            _ => bad(),
        };
        match verb {
            "policy" => read_policy(at, &mut policy, words),
            "gate" => seen.gate = gate(at, words),
            "keepalived" => {
                seen.keepalived_gone = match words {
                    "gone" => true,
                    "there" => false,
                    _ => bad(),
                }
            }
            "here" => here(at, &mut seen, &mut resource, words),
            "volume" => match words {
                "unusable" => volume = Some(VolumeState::Unusable("no such resource".into())),
                "down" => volume = Some(VolumeState::Down),
                "up" => volume = None,
                words => words.split(' ').for_each(|word| match word {
                    "suspended" | "just-suspended" => {
                        resource.suspended = true;
                        let seconds = if word == "suspended" { 60 } else { 1 };
                        seen.frozen_for = Some(Duration::from_secs(seconds));
                    }
                    "failing" => resource.failing = true,
                    "secondary" => resource.role = Role::Secondary,
                    "unknown" => resource.role = Role::Unknown,
                    _ => bad(),
                }),
            },
            "disk" => resource.disk = disk(at, words),
            "fencing" => fencing(at, &mut resource, words),
            "peer" => resource.peers = peers(at, words),
            "mounted" => seen.mounted = mounted(at, words),
            "child" => {
                seen.child = match words {
                    "none" => Child::None,
                    "running" => Child::Running,
                    "stopping" => Child::Stopping,
                    "ended" => Child::Ended(1),
                    _ => bad(),
                }
            }
            "checked" => {
                seen.checked = match words {
                    "no" => Checked::No,
                    "clean" => Checked::Clean,
                    "broken" => Checked::Broken,
                    _ => bad(),
                }
            }
            "met" => seen.met_peer = yes(),
            "handler-ours" => seen.handler_ours = yes(),
            "refused" => {
                let ago = time(words).unwrap_or_else(|| bad());
                seen.refused = ago.map(|ago| (ago, "the peer is silent".into()));
            }
            "refusals" => seen.refusals = words.parse().unwrap_or_else(|_| bad()),
            "failed-here" => seen.failed_here = time(words).unwrap_or_else(|| bad()),
            "accept-loss" => seen.accept_loss = yes(),
            "promoted" => seen.promoted = yes(),
            "unsettled" => seen.unsettled = yes(),
            "under-way" => {
                let step = VolumeStep::ALL.iter().find(|step| step.name() == words);
                seen.under_way = Some(*step.unwrap_or_else(|| bad()));
            }
            "ending" => seen.ending = yes(),
            "demoting" => seen.demoting_for = time(words).unwrap_or_else(|| bad()),
            "demoted" => seen.demoted_for = time(words).unwrap_or_else(|| bad()),
            _ => panic!("line {at}: {verb:?} is no verb of this file"),
        }
    }
    seen.volume = volume.unwrap_or(VolumeState::Up(resource));
    (policy, seen)
}

/// `no`, `5s` or `300ms`.
fn time(words: &str) -> Option<Option<Duration>> {
    if words == "no" {
        return Some(None);
    }
    let number = words.trim_end_matches(char::is_alphabetic).parse().ok()?;
    Some(Some(match words.ends_with("ms") {
        true => Duration::from_millis(number),
        false => Duration::from_secs(number),
    }))
}

fn read_policy(at: usize, policy: &mut VolumePolicy, words: &str) {
    for word in words.split_whitespace() {
        match word {
            "self-fence" => policy.self_fence = true,
            "no-self-fence" => policy.self_fence = false,
            _ => panic!("line {at}: {word:?} is no policy"),
        }
    }
}

/// How far we have come, from a standby to a member that runs.
fn here(at: usize, seen: &mut VolumeSeen, resource: &mut Resource, words: &str) {
    let (role, promoted, checked, mounted, child) = match words {
        "nothing" => (
            Role::Secondary,
            false,
            Checked::No,
            Mounted::No,
            Child::None,
        ),
        "found-primary" => (Role::Primary, false, Checked::No, Mounted::No, Child::None),
        "found-mounted" => (Role::Primary, false, Checked::No, Mounted::Yes, Child::None),
        "promoted" => (Role::Primary, true, Checked::No, Mounted::No, Child::None),
        "checked" => (
            Role::Primary,
            true,
            Checked::Clean,
            Mounted::No,
            Child::None,
        ),
        "mounted" => (
            Role::Primary,
            true,
            Checked::Clean,
            Mounted::Yes,
            Child::None,
        ),
        "serving" => (
            Role::Primary,
            true,
            Checked::Clean,
            Mounted::Yes,
            Child::Running,
        ),
        "stopping" => (
            Role::Primary,
            true,
            Checked::Clean,
            Mounted::Yes,
            Child::Stopping,
        ),
        "ended" => (
            Role::Primary,
            true,
            Checked::Clean,
            Mounted::Yes,
            Child::Ended(1),
        ),
        _ => panic!("line {at}: {words:?} is nothing that we have here"),
    };
    resource.role = role;
    (seen.promoted, seen.checked, seen.mounted, seen.child) = (promoted, checked, mounted, child);
}

fn gate(at: usize, word: &str) -> Gate {
    match word {
        "master" => Gate::Master,
        "backup" => Gate::Backup,
        "fault" => Gate::Fault,
        "stop" => Gate::Stop,
        "unknown" => Gate::Unknown,
        _ => panic!("line {at}: {word:?} is no gate"),
    }
}

fn disk(at: usize, word: &str) -> Disk {
    match word {
        "diskless" => Disk::Diskless,
        "changing" => Disk::Changing,
        "inconsistent" => Disk::Inconsistent,
        "outdated" => Disk::Outdated,
        "unknown" => Disk::Unknown,
        "consistent" => Disk::Consistent,
        "up-to-date" => Disk::UpToDate,
        _ => panic!("line {at}: {word:?} is no disk state"),
    }
}

fn fencing(at: usize, resource: &mut Resource, words: &str) {
    for word in words.split_whitespace() {
        match word {
            "resource-and-stonith" => resource.fencing = Fencing::ResourceAndStonith,
            "resource-only" => resource.fencing = Fencing::ResourceOnly,
            "dont-care" => resource.fencing = Fencing::DontCare,
            "quorum" => {
                resource.fencing = Fencing::DontCare;
                resource.quorum_on = true;
            }
            "quorum=no" => resource.quorum = false,
            _ => panic!("line {at}: {word:?} is nothing for fencing"),
        }
    }
}

/// `connected secondary up-to-date established`, `lost outdated`, `stand-alone unknown`, `none`; several
/// with ` + ` between.
fn peers(at: usize, words: &str) -> Vec<PeerVolume> {
    match words {
        "none" => Vec::new(),
        words => words.split(" + ").map(|words| peer(at, words)).collect(),
    }
}

fn peer(at: usize, words: &str) -> PeerVolume {
    let words: Vec<&str> = words.split_whitespace().collect();
    let witness = words.last() == Some(&"witness");
    let (connection, role, state, replication) = match words[..] {
        ["connected", "witness"] => (
            Connection::Connected,
            Role::Secondary,
            "diskless",
            Replication::Established,
        ),
        [connection, "witness"] => {
            let apart = connection == "stand-alone";
            let lost = match apart {
                true => Connection::StandAlone,
                false => Connection::Connecting,
            };
            (lost, Role::Unknown, "unknown", Replication::Off)
        }
        ["connected", role, state, replication] => {
            let role = match role {
                "primary" => Role::Primary,
                "secondary" => Role::Secondary,
                "unknown" => Role::Unknown,
                _ => panic!("line {at}: {role:?} is no role"),
            };
            let replication = match replication {
                "off" => Replication::Off,
                "established" => Replication::Established,
                "sync-source" => Replication::SyncSource,
                "sync-target" => Replication::SyncTarget,
                "other" => Replication::Other,
                _ => panic!("line {at}: {replication:?} is no replication"),
            };
            (Connection::Connected, role, state, replication)
        }
        ["lost", state] => (
            Connection::Connecting,
            Role::Unknown,
            state,
            Replication::Off,
        ),
        ["stand-alone", state] => (
            Connection::StandAlone,
            Role::Unknown,
            state,
            Replication::Off,
        ),
        _ => panic!("line {at}: {words:?} is no peer"),
    };
    PeerVolume {
        name: "node2".into(),
        connection,
        role,
        disk: disk(at, state),
        replication,
        witness,
    }
}

fn mounted(at: usize, word: &str) -> Mounted {
    match word {
        "no" => Mounted::No,
        "yes" => Mounted::Yes,
        "read-only" => Mounted::ReadOnly,
        "something-else" => Mounted::SomethingElse("tmpfs".into()),
        "elsewhere" => Mounted::Elsewhere("/srv".into()),
        _ => panic!("line {at}: {word:?} is no mount"),
    }
}

/// A decision in the words of the file.
pub fn in_words(decision: VolumeDecision) -> String {
    let what = decision.name();
    let reason = decision.reason();
    match decision {
        VolumeDecision::Do(..) => format!("do {what} ({reason})"),
        VolumeDecision::Wait(_)
        | VolumeDecision::Refuse(_)
        | VolumeDecision::Serve(_)
        | VolumeDecision::End(_) => format!("{what} ({reason})"),
    }
}
