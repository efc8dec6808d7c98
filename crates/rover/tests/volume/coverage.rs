//! Which variants of the inputs of `decide_volume` occur together in a case.

use std::time::Duration;

use etcd_rejoin_rover::table::{
    Checked, Child, Connection, Disk, Fencing, Gate, Mounted, PeerVolume, Replication, Role,
    VolumePolicy, VolumeSeen, VolumeState,
};

/// What holds in one observation: `(what, which)`.
pub type Facts = Vec<(&'static str, &'static str)>;

const YES_NO: &[&str] = &["yes", "no"];
const DISKS: &[&str] = &[
    "diskless",
    "changing",
    "inconsistent",
    "outdated",
    "unknown",
    "consistent",
    "up-to-date",
];

/// Every variant by name. The matches below are exhaustive, so a new variant shows up there first.
const VARIANTS: &[(&str, &[&str])] = &[
    ("gate", &["master", "backup", "fault", "stop", "unknown"]),
    ("ending", YES_NO),
    ("volume", &["unusable", "down", "up"]),
    ("role", &["primary", "secondary", "unknown"]),
    ("disk", DISKS),
    (
        "fencing",
        &["dont-care", "resource-only", "resource-and-stonith"],
    ),
    ("quorum", &["off", "held", "lost"]),
    ("suspended", &["no", "just now", "for long"]),
    ("failing", YES_NO),
    (
        "connection",
        &["none", "stand-alone", "connecting", "connected"],
    ),
    ("peer role", &["primary", "secondary", "unknown"]),
    ("peer disk", DISKS),
    (
        "replication",
        &["off", "established", "sync-source", "sync-target", "other"],
    ),
    (
        "mounted",
        &["no", "yes", "read-only", "something else", "elsewhere"],
    ),
    ("child", &["none", "running", "stopping", "ended"]),
    ("promoted", YES_NO),
    ("met", YES_NO),
    ("checked", &["no", "clean", "broken"]),
    ("failed here", &["no", "just now", "long ago"]),
    ("accept loss", YES_NO),
    ("handler ours", YES_NO),
    ("refused", &["no", "just now", "before"]),
    ("kernel", &["idle", "under way", "unsettled"]),
    ("demoting", &["no", "under way", "overdue"]),
    ("demoted", &["no", "just now", "long ago"]),
    ("self fence", YES_NO),
];

/// What is not seen of a volume that is not up, and what is not seen of a peer that is not there.
const OF_A_RESOURCE: &[&str] = &[
    "role",
    "disk",
    "fencing",
    "quorum",
    "suspended",
    "failing",
    "connection",
    "peer role",
    "peer disk",
    "replication",
];
const OF_A_PEER: &[&str] = &["peer role", "peer disk", "replication"];

/// Pairs that cannot be, or that DRBD never shows.
const IMPOSSIBLE: &[(&str, &str, &str, &str)] = &[
    // A peer that is not connected has no role, and nothing replicates.
    ("connection", "stand-alone", "peer role", "secondary"),
    ("connection", "stand-alone", "peer role", "primary"),
    ("connection", "connecting", "peer role", "secondary"),
    ("connection", "connecting", "peer role", "primary"),
    // DRBD 8.4 has no quorum.
    ("fencing", "resource-only", "quorum", "held"),
    ("fencing", "resource-only", "quorum", "lost"),
    ("fencing", "resource-and-stonith", "quorum", "held"),
    ("fencing", "resource-and-stonith", "quorum", "lost"),
];

pub fn facts(policy: &VolumePolicy, seen: &VolumeSeen) -> Facts {
    let yes_no = |yes| if yes { "yes" } else { "no" };
    let mut facts = Vec::from([
        ("gate", gate(seen.gate)),
        ("ending", yes_no(seen.ending)),
        ("mounted", mounted(&seen.mounted)),
        ("child", child(seen.child)),
        ("promoted", yes_no(seen.promoted)),
        ("met", yes_no(seen.met_peer)),
        ("checked", checked(seen.checked)),
        (
            "failed here",
            match seen.failed_here {
                None => "no",
                Some(ago) if ago < Duration::from_secs(300) => "just now",
                Some(_) => "long ago",
            },
        ),
        ("accept loss", yes_no(seen.accept_loss)),
        ("handler ours", yes_no(seen.handler_ours)),
        (
            "refused",
            match &seen.refused {
                None => "no",
                Some((ago, _)) if *ago < Duration::from_secs(2) => "just now",
                Some(_) => "before",
            },
        ),
        (
            "kernel",
            match (seen.under_way, seen.unsettled) {
                (Some(_), _) => "under way",
                (None, true) => "unsettled",
                (None, false) => "idle",
            },
        ),
        (
            "demoting",
            match seen.demoting_for {
                None => "no",
                Some(time) if time < policy.demote_timeout => "under way",
                Some(_) => "overdue",
            },
        ),
        (
            "demoted",
            match seen.demoted_for {
                None => "no",
                Some(ago) if ago < Duration::from_secs(5) => "just now",
                Some(_) => "long ago",
            },
        ),
        ("self fence", yes_no(policy.self_fence)),
    ]);
    let resource = match &seen.volume {
        VolumeState::Unusable(_) => {
            facts.push(("volume", "unusable"));
            return facts;
        }
        VolumeState::Down => {
            facts.push(("volume", "down"));
            return facts;
        }
        VolumeState::Up(resource) => resource,
    };
    facts.extend([
        ("volume", "up"),
        ("role", role(resource.role)),
        ("disk", disk(resource.disk)),
        (
            "fencing",
            match resource.fencing {
                Fencing::DontCare => "dont-care",
                Fencing::ResourceOnly => "resource-only",
                Fencing::ResourceAndStonith => "resource-and-stonith",
            },
        ),
        (
            "quorum",
            match (resource.quorum_on, resource.quorum) {
                (false, _) => "off",
                (true, true) => "held",
                (true, false) => "lost",
            },
        ),
        (
            "suspended",
            match seen.frozen_for {
                None => "no",
                Some(time) if time < policy.fence_timeout => "just now",
                Some(_) => "for long",
            },
        ),
        ("failing", yes_no(resource.failing)),
    ]);
    if resource.peers.is_empty() {
        facts.push(("connection", "none"));
    }
    facts.extend(resource.peers.iter().flat_map(peer));
    facts
}

/// The pairs that occur nowhere, in words.
pub fn missing(cases: impl Iterator<Item = Facts>) -> Vec<String> {
    let all: Facts = (VARIANTS.iter())
        .flat_map(|(what, which)| which.iter().map(|which| (*what, *which)))
        .collect();
    let at = |fact| (all.iter().position(|known| *known == fact)).expect("a known variant");
    let mut occurs = vec![false; all.len() * all.len()];
    for facts in cases {
        let places: Vec<usize> = facts.into_iter().map(at).collect();
        for a in &places {
            places.iter().for_each(|b| occurs[a * all.len() + b] = true);
        }
    }
    let mut missing = Vec::new();
    for (a, one) in all.iter().enumerate() {
        for (b, two) in all.iter().enumerate().skip(a + 1) {
            if one.0 != two.0 && !occurs[a * all.len() + b] && !impossible(*one, *two) {
                missing.push(format!("{} {:?} with {} {:?}", one.0, one.1, two.0, two.1));
            }
        }
    }
    missing
}

fn impossible(one: (&str, &str), two: (&str, &str)) -> bool {
    let is = |a: (&str, &str), b: (&str, &str)| {
        let no_resource = a.0 == "volume" && a.1 != "up" && OF_A_RESOURCE.contains(&b.0);
        let no_peer = a == ("connection", "none") && OF_A_PEER.contains(&b.0);
        let cut = a.0 == "connection" && a.1 != "connected" && b.0 == "replication" && b.1 != "off";
        // Nothing replicates without a connection, and where there is one something is said.
        let off = b == ("replication", "off")
            && (a == ("connection", "connected")
                || a == ("peer role", "primary")
                || a == ("peer role", "secondary"));
        // What replicates says what the peer's disk is (`sanitize_state` in drbd_state.c).
        let disk = a.0 == "peer disk"
            && match b {
                ("replication", "sync-source") => a.1 != "inconsistent",
                ("replication", "sync-target") => a.1 != "up-to-date",
                ("replication", "established") => !["diskless", "up-to-date"].contains(&a.1),
                _ => false,
            };
        let pairs = IMPOSSIBLE.iter();
        no_resource
            || no_peer
            || cut
            || off
            || disk
            || pairs
                .into_iter()
                .any(|(what, x, other, y)| a == (*what, *x) && b == (*other, *y))
    };
    is(one, two) || is(two, one)
}

fn peer(peer: &PeerVolume) -> [(&'static str, &'static str); 4] {
    [
        (
            "connection",
            match peer.connection {
                Connection::StandAlone => "stand-alone",
                Connection::Connecting => "connecting",
                Connection::Connected => "connected",
            },
        ),
        ("peer role", role(peer.role)),
        ("peer disk", disk(peer.disk)),
        (
            "replication",
            match peer.replication {
                Replication::Off => "off",
                Replication::Established => "established",
                Replication::SyncSource => "sync-source",
                Replication::SyncTarget => "sync-target",
                Replication::Other => "other",
            },
        ),
    ]
}

fn gate(gate: Gate) -> &'static str {
    match gate {
        Gate::Master => "master",
        Gate::Backup => "backup",
        Gate::Fault => "fault",
        Gate::Stop => "stop",
        Gate::Unknown => "unknown",
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Primary => "primary",
        Role::Secondary => "secondary",
        Role::Unknown => "unknown",
    }
}

fn disk(disk: Disk) -> &'static str {
    match disk {
        Disk::Diskless => "diskless",
        Disk::Changing => "changing",
        Disk::Inconsistent => "inconsistent",
        Disk::Outdated => "outdated",
        Disk::Unknown => "unknown",
        Disk::Consistent => "consistent",
        Disk::UpToDate => "up-to-date",
    }
}

fn mounted(mounted: &Mounted) -> &'static str {
    match mounted {
        Mounted::No => "no",
        Mounted::Yes => "yes",
        Mounted::ReadOnly => "read-only",
        Mounted::SomethingElse(_) => "something else",
        Mounted::Elsewhere(_) => "elsewhere",
    }
}

fn child(child: Child) -> &'static str {
    match child {
        Child::None => "none",
        Child::Running => "running",
        Child::Stopping => "stopping",
        Child::Ended(_) => "ended",
    }
}

fn checked(checked: Checked) -> &'static str {
    match checked {
        Checked::No => "no",
        Checked::Clean => "clean",
        Checked::Broken => "broken",
    }
}
