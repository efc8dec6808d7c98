//! `two-node init`, step by step, against the stand-in.

use std::process::{Command, Output};

use crate::stand_in::{StandIn, recorded};

/// A machine whose disk is empty, beside one that is ready.
pub fn empty_machine() -> StandIn {
    let stand_in = StandIn::new();
    let disk = stand_in.path("disk");
    std::fs::write(&disk, vec![0; 16 << 20]).unwrap();
    stand_in.put("volume", "");
    std::fs::write(stand_in.path("volume"), vec![0; 16 << 20]).unwrap();
    stand_in.put("state", "exists -\n");
    for (name, text) in [
        ("no-data", recorded("8.4/no-data.events2")),
        ("connecting", recorded("8.4/connecting.events2")),
        ("connected", recorded("8.4/connected.events2")),
        ("primary", recorded("8.4/primary.events2")),
        ("half-up", recorded("8.4/half-up.events2")),
    ] {
        stand_in.put(name, &text);
    }
    let disk = format!("echo {}", disk.display());
    for question in ["sh-ll-dev", "sh-md-dev"] {
        stand_in.answers(&format!("drbdadm {question}"), &disk);
    }
    stand_in.answers("drbdadm sh-dev", "echo \"$here/volume\"");
    stand_in.answers("drbdadm get-gi", "[ -e metadata ] || exit 1; cat metadata");
    stand_in.fails("drbdadm dump-md", 1, "No valid meta data found");
    stand_in.answers(
        "drbdadm create-md",
        "echo 0000000000000004:0:0:0:0:0:0:0:0:0:0 > metadata",
    );
    stand_in.answers("drbdadm adjust", "cp no-data state");
    stand_in.answers("drbdadm down", "echo 'exists -' > state");
    stand_in.answers("drbdadm new-current-uuid", "cp connected state");
    stand_in.answers("drbdadm primary", "cp primary state");
    stand_in.answers("drbdadm secondary", "cp connected state");
    for kind in ["ext4", "xfs"] {
        stand_in.program(
            &format!("mkfs.{kind}"),
            "#!/bin/sh\necho \"${0##*/} $*\" >> \"${0%/*}/calls\"\n",
        );
    }
    stand_in
}

pub fn init(stand_in: &StandIn, options: &[&str]) -> (i32, String) {
    let program = env!("CARGO_BIN_EXE_etcd-rejoin");
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs(stand_in.env())
        .env("REJOIN_DRBD", "etcd")
        .args(["two-node", "init"])
        .args(options);
    ended(command.output().unwrap())
}

fn ended(output: Output) -> (i32, String) {
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap_or(-1), format!("{out}{err}"))
}

const READY: [&str; 2] = ["drbdadm create-md etcd", "drbdadm adjust etcd"];

#[test]
fn a_machine_gets_metadata_and_comes_up_and_no_more() {
    let stand_in = empty_machine();
    let (code, said) = init(&stand_in, &[]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(stand_in.changes(), READY);
    assert!(said.contains("--first on exactly one"), "{said}");
    // Once more changes nothing.
    assert_eq!(init(&stand_in, &[]).0, 0);
    assert_eq!(stand_in.changes(), READY);
}

#[test]
fn the_first_makes_the_generation_and_the_file_system_and_demotes() {
    let stand_in = empty_machine();
    let (code, said) = init(&stand_in, &["--first"]);
    assert_eq!(code, 0, "{said}");
    let volume = stand_in.path("volume");
    let mkfs = format!("mkfs.ext4 -q -E nodiscard {}", volume.display());
    let rest = [
        "drbdadm new-current-uuid --clear-bitmap etcd/0",
        "drbdadm primary etcd",
        &mkfs,
        "drbdadm secondary etcd",
    ];
    assert_eq!(stand_in.changes(), [&READY[..], &rest].concat());
    let xfs = empty_machine();
    assert_eq!(init(&xfs, &["--first", "--fs", "xfs"]).0, 0);
    let volume = xfs.path("volume");
    let mkfs = format!("mkfs.xfs -q -K {}", volume.display());
    assert!(xfs.changes().contains(&mkfs), "{:?}", xfs.changes());
}

#[test]
fn it_goes_on_from_each_step_at_which_it_may_be_killed() {
    let whole = empty_machine();
    init(&whole, &["--first"]);
    let whole = whole.changes();
    // Killed before the step of this number: that step fails, and all after it never come.
    for (at, word) in [(1, "adjust"), (2, "new-current-uuid"), (3, "primary")] {
        let stand_in = empty_machine();
        let call = format!("drbdadm {word}");
        let kept = std::fs::read_to_string(stand_in.path(&call.replace(' ', "."))).unwrap();
        stand_in.fails(&call, 1, "killed");
        assert_eq!(init(&stand_in, &["--first"]).0, 74);
        stand_in.answers(&call, &kept);
        let (code, said) = init(&stand_in, &["--first"]);
        assert_eq!(code, 0, "{word}: {said}");
        let mut all: Vec<String> = stand_in.changes();
        all.remove(at);
        let plain = |calls: &[String]| -> Vec<String> {
            calls
                .iter()
                .map(|call| call.split(" /").next().unwrap().into())
                .collect()
        };
        assert_eq!(plain(&all), plain(&whole), "{word}");
    }
}

#[test]
fn a_disk_that_holds_anything_is_refused() {
    let refused = |at: usize, bytes: &[u8]| {
        let stand_in = empty_machine();
        let mut disk = vec![0; 16 << 20];
        disk[at..at + bytes.len()].copy_from_slice(bytes);
        // Without blkid every byte counts.
        stand_in.program("blkid", "#!/bin/sh\nexit 4\n");
        std::fs::write(stand_in.path("disk"), disk).unwrap();
        for options in [&[][..], &["--first"]] {
            let (code, said) = init(&stand_in, options);
            assert_eq!(code, 65, "{said}");
            assert!(said.contains("not empty"), "{said}");
        }
        assert!(stand_in.changes().is_empty(), "{:?}", stand_in.changes());
    };
    refused(1080, &[0x53, 0xEF]);
    refused(0, b"XFSB");
    refused(512, b"LABELONE");
    refused((16 << 20) - 4096 + 60, &[0x83, 0x74, 2, 0x6b]);
}

#[test]
fn what_blkid_knows_is_refused() {
    let stand_in = empty_machine();
    stand_in.program("blkid", "#!/bin/sh\necho DEVNAME=x\necho TYPE=zfs_member\n");
    let (code, said) = init(&stand_in, &[]);
    assert_eq!(code, 65);
    assert!(said.contains("zfs_member"), "{said}");
    assert!(stand_in.changes().is_empty());
}

#[test]
fn metadata_with_data_is_refused() {
    let stand_in = empty_machine();
    stand_in.put("metadata", "14E465D0A683C8EB:0:0:0:1:1:0:0:0:0:0\n");
    for options in [&[][..], &["--first"]] {
        assert_eq!(init(&stand_in, options).0, 65);
    }
    assert!(stand_in.changes().is_empty());
}

#[test]
fn a_peer_with_data_is_never_overruled() {
    let stand_in = empty_machine();
    let with_data = recorded("8.4/no-data.events2")
        .replace("peer-disk:Inconsistent", "peer-disk:UpToDate")
        .replace("Established", "SyncTarget");
    stand_in.put("no-data", &with_data);
    assert_eq!(init(&stand_in, &["--first"]).0, 65);
    assert_eq!(stand_in.changes(), READY);
    let (code, said) = init(&stand_in, &[]);
    assert_eq!(code, 0);
    assert!(said.contains("receives the peer's data"), "{said}");
}

#[test]
fn a_volume_with_a_file_system_is_not_even_promoted() {
    let stand_in = empty_machine();
    stand_in.put("state", &recorded("8.4/connected.events2"));
    let mut disk = vec![0; 16 << 20];
    disk[1080..1082].copy_from_slice(&[0x53, 0xEF]);
    std::fs::write(stand_in.path("disk"), disk).unwrap();
    let (code, said) = init(&stand_in, &["--first"]);
    assert_eq!(code, 65);
    assert!(said.contains("ext4"), "{said}");
    assert!(stand_in.changes().is_empty());
}

#[test]
fn a_volume_that_proves_not_empty_is_demoted_again() {
    let stand_in = empty_machine();
    stand_in.put("state", &recorded("8.4/connected.events2"));
    stand_in.program("blkid", "#!/bin/sh\nexit 4\n");
    std::fs::write(stand_in.path("volume"), vec![1; 1 << 20]).unwrap();
    assert_eq!(init(&stand_in, &["--first"]).0, 65);
    let wanted = ["drbdadm primary etcd", "drbdadm secondary etcd"];
    assert_eq!(stand_in.changes(), wanted);
}

#[test]
fn it_waits_for_the_other_machine_and_says_so() {
    let stand_in = empty_machine();
    stand_in.answers("drbdadm adjust", "cp connecting state");
    let (code, said) = init(&stand_in, &["--first", "--wait", "1s"]);
    assert_eq!(code, 69, "{said}");
    assert!(
        said.contains("run `etcd-rejoin two-node init` there"),
        "{said}"
    );
    assert_eq!(stand_in.changes(), READY);
}

#[test]
fn a_dry_run_changes_nothing() {
    let stand_in = empty_machine();
    let (code, said) = init(&stand_in, &["--first", "--dry-run"]);
    assert_eq!(code, 0);
    assert!(
        said.contains("would create metadata: drbdadm create-md etcd"),
        "{said}"
    );
    assert!(stand_in.changes().is_empty());
}

#[test]
fn a_resource_that_came_up_without_its_disk_is_taken_down_first() {
    let stand_in = empty_machine();
    stand_in.put("state", &recorded("8.4/half-up.events2"));
    assert_eq!(init(&stand_in, &[]).0, 0);
    let wanted = [&["drbdadm down etcd"], &READY[..]].concat();
    assert_eq!(stand_in.changes(), wanted);
}

#[test]
fn an_ignored_sigchld_misleads_nobody() {
    let stand_in = empty_machine();
    // A tool that waits for a child of its own, as drbdadm does.
    stand_in.answers(
        "drbdsetup events2",
        "sh -c 'exit 3'; [ $? = 3 ] || exit 77; cat state",
    );
    let program = env!("CARGO_BIN_EXE_etcd-rejoin");
    let mut command = Command::new("bash");
    let script = format!("trap '' CHLD; exec {program} two-node init --dry-run");
    command
        .args(["-c", &script])
        .envs(stand_in.env())
        .env(
            "PATH",
            format!("{}:/usr/bin:/bin", stand_in.path("").display()),
        )
        .env("REJOIN_DRBD", "etcd");
    let (code, said) = ended(command.output().unwrap());
    assert_eq!(code, 0, "{said}");
}
