//! Each answer of DRBD's that was measured has its name.

use std::time::{Duration, Instant};

use etcd_rejoin_rover::drbd::{DrbdFailure, FailureKind};

use crate::stand_in::{LONG, StandIn, recorded};

/// Command, exit code, words, kind: DRBD 8.4.11 and 9.2.18 with drbd-utils 9.22.
const MEASURED: &[(&str, i32, &str, FailureKind)] = &[
    (
        "primary",
        17,
        "0: State change failed: (-2) Need access to UpToDate data\nCommand 'drbdsetup-84 primary 0' terminated with exit code 17",
        FailureKind::Other,
    ),
    (
        "primary",
        11,
        "0: State change failed: (-1) Multiple primaries not allowed by config",
        FailureKind::Other,
    ),
    (
        "primary",
        11,
        "0: State change failed: (-7) Refusing to be Primary while peer is not outdated",
        FailureKind::Other,
    ),
    (
        "primary",
        11,
        "etcd: State change failed: (-25) No quorum\n1 of 2 nodes visible, need 2 for quorum",
        FailureKind::Other,
    ),
    (
        "primary",
        11,
        "etcd: State change failed: (-19) Concurrent state changes detected",
        FailureKind::Passing,
    ),
    (
        "secondary",
        11,
        "0: State change failed: (-12) Device is held open by someone\nCommand 'drbdsetup-84 secondary 0' terminated with exit code 11",
        FailureKind::HeldOpen,
    ),
    (
        "secondary",
        11,
        "etcd: State change failed: (-12) Device is held open by someone\ndrbd0 opened by mount (pid 186) at 2026-11-20",
        FailureKind::HeldOpen,
    ),
    ("outdate", 17, "", FailureKind::Primary),
    (
        "outdate",
        17,
        "0: State change failed: (-2) Need access to UpToDate data",
        FailureKind::Primary,
    ),
    (
        "outdate",
        11,
        "0: State change failed: (-6) Refusing to be Outdated while Connected",
        FailureKind::NotRecorded,
    ),
    (
        "adjust",
        1,
        "No valid meta data found",
        FailureKind::NoMetadata,
    ),
    (
        "adjust",
        20,
        "Failed to modprobe drbd (No such file or directory)",
        FailureKind::Other,
    ),
    (
        "secondary",
        10,
        "0: Failure: (127) Device minor not allocated\nadditional info from kernel:\nunknown minor",
        FailureKind::Other,
    ),
    (
        "secondary",
        1,
        "'etcd' not defined in your config (for this host).",
        FailureKind::Other,
    ),
];

fn run(stand_in: &StandIn, command: &str) -> Result<(), DrbdFailure> {
    let mut drbd = stand_in.drbd();
    match command {
        "primary" => drbd.promote(false, LONG, &|| false),
        "secondary" => drbd.demote(LONG),
        "outdate" => drbd.outdate(LONG),
        "adjust" => drbd.bring_up(LONG),
        other => panic!("{other}"),
    }
}

#[test]
fn every_measured_failure_has_its_kind_and_drbds_words() {
    for (command, code, words, kind) in MEASURED {
        let stand_in = StandIn::new();
        let tool = if *command == "outdate" {
            "drbdsetup"
        } else {
            "drbdadm"
        };
        stand_in.fails(&format!("{tool} {command}"), *code, words);
        let failure = run(&stand_in, command).unwrap_err();
        assert_eq!(failure.kind, *kind, "{failure}");
        let first = words.lines().next().unwrap_or_default();
        assert!(failure.to_string().contains(first), "{failure}");
        assert!(failure.to_string().contains(&format!("exit code {code}")));
        assert!(!failure.words.contains("terminated with"), "{failure}");
    }
}

#[test]
fn a_tool_that_does_not_end_is_ended_and_named() {
    let stand_in = StandIn::new();
    stand_in.answers("drbdadm primary", "sleep 60");
    let begun = Instant::now();
    let limit = Duration::from_millis(200);
    let failure = stand_in
        .drbd()
        .promote(false, limit, &|| false)
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::TimedOut);
    let failure = stand_in.drbd().promote(false, LONG, &|| true).unwrap_err();
    assert_eq!(failure.kind, FailureKind::GivenUp);
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn outdated_is_only_what_is_recorded() {
    let outdated = |state: &str| {
        let stand_in = StandIn::new();
        stand_in.answers("drbdsetup outdate", "[ $2 = 0 ]");
        stand_in.put("state", state);
        stand_in
            .drbd()
            .outdate(LONG)
            .map_err(|failure| failure.kind)
    };
    // Connected, DRBD says yes and records nothing.
    let connected = recorded("8.4/connected.events2");
    assert_eq!(outdated(&connected), Err(FailureKind::NotRecorded));
    assert_eq!(
        outdated(&recorded("8.4/primary.events2")),
        Err(FailureKind::NotRecorded)
    );
    let alone = connected.replace(" disk:UpToDate", " disk:Outdated");
    assert_eq!(outdated(&alone), Ok(()));
    // Half a resync is less than that, and DRBD says so.
    let stand_in = StandIn::new();
    stand_in.fails(
        "drbdsetup outdate",
        5,
        "State change failed: (-16) Disk state is lower than outdated",
    );
    stand_in.put("state", &recorded("9/standalone.events2"));
    assert_eq!(stand_in.drbd().outdate(LONG), Ok(()));
}

#[test]
fn a_disk_that_is_not_attached_is_outdated_in_its_metadata() {
    let outdated = |flags: &str| {
        let stand_in = StandIn::new();
        stand_in.answers("drbdadm outdate", "");
        stand_in.put("state", "exists -\n");
        let said = format!("echo 14E465D0A683C8EB:A120327489A83E99:0:0:{flags}");
        stand_in.answers("drbdadm get-gi", &said);
        stand_in
            .drbd()
            .outdate(LONG)
            .map_err(|failure| failure.kind)
    };
    assert_eq!(outdated("1:0:0:0:0:1:0"), Ok(()));
    assert_eq!(outdated("1:1:0:0:0:1:0"), Err(FailureKind::NotRecorded));
}

#[test]
fn a_name_that_is_no_resource_reaches_no_tool() {
    for name in ["", "all", "-x", "a b", "a/0", "ä"] {
        let stand_in = StandIn::new();
        assert!(
            etcd_rejoin_rover::drbd::Drbd::new(name, stand_in.env()).is_err(),
            "{name}"
        );
    }
}
