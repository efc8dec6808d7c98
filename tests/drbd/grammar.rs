//! Every command that we give, judged by the real `drbdadm` under both grammars. Needs drbd-utils, no
//! module and no disk.

use std::process::Command;

use etcd_rejoin::program;

use crate::set_up::{empty_machine, init};
use crate::stand_in::{LONG, recorded};

const CONFIGURATION: &str = "global { usage-count no; }
resource etcd {
  net { protocol C; NET }
  disk { DISK }
  on a { address 10.2.0.1:7789; device /dev/drbd0 minor 0; disk /dev/vda; meta-disk internal; }
  on b { address 10.2.0.2:7789; device /dev/drbd0 minor 0; disk /dev/vda; meta-disk internal; }
}
";

/// All our calls of `drbdadm`: those of a whole set-up, and those of the rover.
fn calls() -> Vec<String> {
    let stand_in = empty_machine();
    assert_eq!(init(&stand_in, &["--first"]).0, 0);
    stand_in.put("state", &recorded("8.4/half-up.events2"));
    std::fs::remove_file(stand_in.path("metadata")).unwrap();
    assert_eq!(init(&stand_in, &[]).0, 0);
    stand_in.answers("drbdadm outdate", "");
    stand_in.answers("drbdadm resume-io", "");
    let mut drbd = stand_in.drbd();
    // Attached, it is asked for the minor; else the metadata is written.
    let _ = drbd.outdate(LONG);
    let attached = stand_in.path("state");
    let state = std::fs::read_to_string(&attached).unwrap();
    stand_in.put("state", "exists -\n");
    let _ = drbd.outdate(LONG);
    stand_in.put("state", &state);
    drbd.demote(LONG).unwrap();
    for (word, options) in [("primary", &["--force"][..]), ("resume-io", &[])] {
        drbd.admin(word, options, LONG, &|| false).unwrap();
    }
    let mut calls = stand_in.calls();
    calls.retain(|call| call.starts_with("drbdadm "));
    calls.sort();
    calls.dedup();
    calls
}

#[test]
fn drbdadm_knows_every_word_of_ours_under_both_grammars() {
    let search = program::search_path(None);
    let drbdadm = program::find("drbdadm", &search).expect("drbd-utils is installed");
    let dir = tempfile::tempdir().unwrap();
    let fencing = "fencing resource-and-stonith;";
    let grammars = [("8.4.11", "", fencing), ("9.2.0", fencing, "")];
    let calls = calls();
    let verbs = [
        "adjust",
        "create-md",
        "down",
        "dump-md",
        "get-gi",
        "new-current-uuid",
        "outdate",
        "primary",
        "resume-io",
        "secondary",
        "sh-dev",
        "sh-ll-dev",
        "sh-md-dev",
        "sh-minor",
    ];
    for verb in verbs {
        let given = |call: &String| call.split(' ').nth(1) == Some(verb);
        assert!(
            calls.iter().any(given),
            "{verb} was never called: {calls:?}"
        );
    }
    for (version, net, disk) in grammars {
        let file = dir.path().join(version);
        let text = CONFIGURATION.replace("NET", net).replace("DISK", disk);
        std::fs::write(&file, text).unwrap();
        for call in &calls {
            let output = Command::new(&drbdadm)
                .env("DRBD_DRIVER_VERSION_OVERRIDE", version)
                .env("__DRBD_NODE__", "a")
                .args(["-d", "-c"])
                .arg(&file)
                .args(call.split(' ').skip(1))
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{version}: {call}: {said}");
        }
    }
}
