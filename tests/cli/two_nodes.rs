//! The commands of the two-node setup: keepalived's script, and the operator's word.

use etcd_rejoin::rover::gate::{GateReader, tokens};
use etcd_rejoin::rover::table::Gate;

use crate::{Call, call, executable};

const SAID: [&str; 4] = ["INSTANCE", "etcd", "MASTER", "100"];

#[test]
fn a_notify_script_notes_the_wish_and_says_nothing() {
    let mut notify = call(&["notify", "--gate", "run/gate"]);
    for word in SAID {
        notify = notify.arg(word);
    }
    let said = notify.run();
    assert_eq!((said.all().as_str(), said.code), ("", 0));
    let gate = notify.dir().join("run/gate");
    assert_eq!(GateReader::open(&gate).latest(), Gate::Master);
    // By the variable too, with words of the user before keepalived's.
    let mut notify = call(&["notify", "--own", "word"]);
    for word in SAID {
        notify = notify.arg(word);
    }
    let gate = notify.dir().join("gate");
    let mut notify = notify.env("REJOIN_GATE", &gate);
    notify.run().ends_with(0);
    assert_eq!(GateReader::open(&gate).latest(), Gate::Master);
}

#[test]
fn a_notify_script_of_one_instance_passes_over_the_others() {
    let dir = crate::support::files::scratch();
    let gate = dir.path().join("gate");
    for (instance, state) in [("etcd", "MASTER"), ("web", "BACKUP")] {
        let words = ["notify", "--instance", "etcd", "INSTANCE", instance, state];
        let said = call(&[&words[..], &["100"]].concat())
            .env("REJOIN_GATE", &gate)
            .run();
        assert_eq!((said.all().as_str(), said.code), ("", 0));
    }
    assert_eq!(GateReader::open(&gate).latest(), Gate::Master);
}

#[test]
fn a_notify_script_that_cannot_says_why() {
    let said = call(&["notify", "INSTANCE", "etcd", "MASTER", "100"]).run();
    said.ends_with(2)
        .has(&["--gate PATH", "REJOIN_GATE in keepalived's environment"]);
    let with_gate = |words: &[&str]| {
        let mut call = call(&["notify", "--gate", "gate"]);
        for word in words {
            call = call.arg(word);
        }
        call
    };
    let mut without = with_gate(&[]);
    without.run().ends_with(2).has(&["four words"]);
    with_gate(&["INSTANCE", "etcd", "UP", "1"])
        .run()
        .ends_with(2);
    assert!(!without.dir().join("gate").exists());
    let mut notify = with_gate(&SAID);
    std::fs::create_dir(notify.dir().join("gate")).unwrap();
    notify
        .run()
        .ends_with(74)
        .has(&["cannot write gate", "Master of etcd is lost"]);
    call(&["notify", "--gate", "/proc/gate"])
        .arg("GROUP")
        .arg("g")
        .arg("STOP")
        .arg("0")
        .run()
        .ends_with(74)
        .has(&["/proc/gate.writing", "Stop of g is lost"]);
}

fn promote(args: &[&str]) -> Call {
    roving(&[&["two-node", "promote"], args].concat())
}

/// A call beside a volume whose peer is lost.
fn roving(args: &[&str]) -> Call {
    beside(
        args,
        "Connecting role:Unknown",
        "UpToDate",
        "Off peer-disk:DUnknown",
    )
}

/// A call beside a volume, with DRBD's words for the connection, the disk and what replicates.
fn beside(args: &[&str], connection: &str, disk: &str, replication: &str) -> Call {
    let call = call(args);
    let (gate, mount) = (call.dir().join("gate"), call.dir().join("mount"));
    std::fs::create_dir(&mount).unwrap();
    let script = format!(
        "#!/bin/sh\n[ \"$*\" != 'show etcd' ] || {{ echo 'resource etcd {{'; echo '}}'; exit; }}\n\
         [ \"$*\" = 'events2 --now' ] || exit 20\n\
         echo 'exists resource name:etcd role:Secondary suspended:no'\n\
         echo 'exists connection name:etcd peer-node-id:0 conn-name:peer connection:{connection}'\n\
         echo 'exists device name:etcd volume:0 minor:0 disk:{disk}'\n\
         echo 'exists peer-device name:etcd peer-node-id:0 conn-name:peer volume:0 replication:{replication} resync-suspended:no'\n\
         echo 'exists -'\n"
    );
    executable(call.dir(), "drbdsetup", &script);
    let path = format!("{}:/usr/bin:/bin", call.dir().display());
    call.env("PATH", path)
        .env("REJOIN_DRBD", "etcd")
        .env("REJOIN_GATE", gate)
        .env("ETCD_DATA_DIR", mount.join("data"))
        .env("REJOIN_MOUNT", mount)
}

/// What may be lost depends on what the disk is known to be; and where the word would change nothing it
/// is not given.
#[test]
fn an_operator_reads_what_is_so_here_and_now() {
    let said = |connection: &str, disk: &str, replication: &str| {
        let args = ["two-node", "promote", "--accept-loss"];
        let mut call = beside(&args, connection, disk, replication);
        let said = call.run();
        let gate = call.dir().join("gate");
        assert_eq!(
            tokens::is_loss_accepted(&gate, "etcd"),
            said.code == 0,
            "{}",
            said.all()
        );
        said
    };
    let lost = ("Connecting role:Unknown", "Off peer-disk:DUnknown");
    for (disk, words) in [
        ("UpToDate", "nobody can tell whether it is"),
        ("Consistent", "has not heard since it was attached"),
        ("Outdated", "lost for certain"),
    ] {
        let said = said(lost.0, disk, lost.1);
        said.ends_with(0)
            .has(&["What may be lost", words, "primary --force"]);
        assert!(!said.all().contains("StandAlone"), "{}", said.all());
    }
    said("StandAlone role:Unknown", "UpToDate", lost.1)
        .ends_with(0)
        .has(&["The connection is given up (StandAlone), and stays so"]);
    for (connection, disk, replication, why) in [
        (
            "Connected role:Primary",
            "UpToDate",
            "Established peer-disk:UpToDate",
            "peer-primary",
        ),
        (
            "Connected role:Secondary",
            "Inconsistent",
            "SyncTarget peer-disk:UpToDate",
            "sync-target",
        ),
        (lost.0, "Inconsistent", lost.1, "sync-target"),
        (lost.0, "Diskless", lost.1, "diskless"),
    ] {
        let said = said(connection, disk, replication);
        said.ends_with(65).has(&["no word changes this", why]);
    }
}

#[test]
fn an_operator_who_accepts_the_loss_says_so_for_this_once() {
    let mut asked = promote(&[]);
    let said = asked.run();
    said.ends_with(65)
        .has(&["peer not connected", "What may be lost", "--accept-loss"]);
    let gate = asked.dir().join("gate");
    assert!(!tokens::is_loss_accepted(&gate, "etcd"));

    let mut accepted = promote(&["--accept-loss"]);
    let said = accepted.run();
    said.ends_with(0).has(&["What may be lost", "5 minutes"]);
    let gate = accepted.dir().join("gate");
    assert!(tokens::is_loss_accepted(&gate, "etcd"));
    assert!(!tokens::is_loss_accepted(&gate, "other"));
    tokens::take_word(&gate).unwrap();
    assert!(!tokens::is_loss_accepted(&gate, "etcd"));
}

#[test]
fn where_nothing_roves_there_is_nothing_to_promote_or_to_ask() {
    for command in ["promote", "status"] {
        let said = call(&["two-node", command]).run();
        said.ends_with(78)
            .has(&["REJOIN_DRBD is not set", "--env-file"]);
    }
}

#[test]
fn without_drbd_the_word_can_still_be_given() {
    let mut silent = promote(&["--accept-loss"]);
    executable(
        silent.dir(),
        "drbdsetup",
        "#!/bin/sh\necho Failed to modprobe drbd; exit 20\n",
    );
    silent.run().ends_with(0).has(&["modprobe", "5 minutes"]);
    tokens::take_word(&silent.dir().join("gate")).unwrap();
}

/// What the rover saw last, as it writes it beside the gate, written so many seconds ago.
fn report(gate: &std::path::Path, no_bid: &str, seconds_ago: u64) {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let uptime: u64 = uptime.split('.').next().unwrap().parse().unwrap();
    let report = serde_json::json!({
        "resource": "etcd",
        "gate": "backup",
        "volume": "Secondary UpToDate, peer connected",
        "met_peer": true,
        "decision": "wait",
        "reason": "gate-backup",
        "when": "keepalived says backup",
        "to_change": "nothing to do",
        "holders": ["tail (pid 7)"],
        "no_bid": no_bid,
        "bid": "",
        "boot": boot.trim(),
        "at": uptime.saturating_sub(seconds_ago),
    });
    let path = format!("{}.report", gate.display());
    std::fs::write(path, report.to_string()).unwrap();
}

#[test]
fn keepalived_hears_whether_this_machine_may_bid() {
    let said = call(&["probe", "promotable"]).run();
    said.ends_with(2).has(&["--gate PATH", "REJOIN_GATE"]);
    let mut probe = call(&["probe", "promotable", "--gate", "gate"]);
    let gate = probe.dir().join("gate");
    probe.run().ends_with(1).has(&["no rover has reported yet"]);
    report(&gate, "", 0);
    probe
        .run()
        .ends_with(0)
        .has(&["promotable: Secondary UpToDate"]);
    report(&gate, "disk-outdated: our disk is known to lack writes", 0);
    probe
        .run()
        .ends_with(1)
        .has(&["not promotable: disk-outdated"]);
    // A rover that hangs or has died says nothing any more.
    report(&gate, "", 60);
    probe.run().ends_with(1).has(&["no rover runs"]);
    for nonsense in ["", "{}", "\u{0}", "[1"] {
        std::fs::write(probe.dir().join("gate.report"), nonsense).unwrap();
        probe.run().ends_with(1).has(&["is no report"]);
    }
    std::fs::write(probe.dir().join("gate.report"), vec![b' '; 1 << 20]).unwrap();
    probe.run().ends_with(1).has(&["is no report"]);
}

#[test]
fn status_says_what_the_volume_is_and_what_the_rover_makes_of_it() {
    let volume = |mut call: Call, seconds_ago: u64| {
        let gate = call.dir().join("gate");
        report(&gate, "disk-outdated: our disk lacks writes", seconds_ago);
        call.run()
    };
    let status = |more: &[&str]| roving(&[&["status"], more].concat());
    let of_two = |more: &[&str]| roving(&[&["two-node", "status"], more].concat());
    let said = volume(status(&[]), 0);
    said.ends_with(0).has(&[
        "volume     etcd: Secondary",
        "not mounted here",
        "gate       backup",
        "because    gate-backup: keepalived says backup",
        "held by    tail (pid 7)",
        "met peer   yes",
        "promotable no, disk-outdated",
    ]);
    assert_eq!(volume(of_two(&[]), 0).out, said.out);
    volume(status(&[]), 60).has(&[
        "no rover runs",
        "promotable no: no rover runs here. One that starts now: no, unsafe-config",
    ]);
    let said = volume(status(&["--json"]), 0);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(json["volume"]["rover"]["reason"], "gate-backup", "{json}");
    assert_eq!(json["volume"]["mounted"], false);
    assert_eq!(volume(of_two(&["--json"]), 0).out, said.out);
    let help = call(&["two-node", "status", "--help"]).run();
    let keys = json.as_object().unwrap().keys();
    for key in keys.chain(json["volume"].as_object().unwrap().keys()) {
        help.has(&[key]);
    }
    assert_eq!(json["volume"]["no_rover"], serde_json::Value::Null);
}

#[test]
fn what_a_person_types_on_the_machine_takes_the_members_environment_from_its_file() {
    let file = |mut call: Call| {
        let dir = call.dir().to_path_buf();
        std::fs::create_dir(dir.join("mount")).unwrap();
        let text = format!(
            "REJOIN_DRBD=etcd\nREJOIN_GATE={0}/gate\nREJOIN_MOUNT={0}/mount\nETCD_DATA_DIR={0}/mount/data\n",
            dir.display()
        );
        std::fs::write(dir.join("etcd3.env"), text).unwrap();
        let script = "#!/bin/sh\necho Failed to modprobe drbd; exit 20\n";
        executable(&dir, "drbdsetup", script);
        let path = format!("{}:/usr/bin:/bin", dir.display());
        call = call.env("PATH", path);
        let said = call.run();
        (dir, said)
    };
    let (_, said) = file(call(&["status", "--env-file", "etcd3.env"]));
    said.ends_with(0)
        .has(&["volume     etcd: ", "modprobe", "no rover has reported"]);
    let (_, said) = file(call(&["two-node", "promote", "--env-file", "etcd3.env"]));
    said.ends_with(65).has(&["What may be lost"]);
    let said = call(&["status", "--env-file", "nowhere"]).run();
    said.ends_with(78)
        .has(&["--env-file=nowhere does not read"]);
}

/// keepalived that runs its check shows that it lives; a person who asks the same shows nothing.
#[test]
fn the_check_of_keepalived_leaves_word_that_it_was_run() {
    let mut probe = call(&["probe", "promotable", "--gate", "gate"]);
    let word = probe.dir().join("gate.asked");
    probe.run().ends_with(1);
    assert!(!word.exists());
    // A process of that name that starts it.
    let keepalived = probe.dir().join("keepalived");
    executable(probe.dir(), "keepalived", std::fs::read("/bin/sh").unwrap());
    let status = std::process::Command::new(&keepalived)
        .args(["-c", "\"$0\" probe promotable --gate gate; exit $?"])
        .arg(env!("CARGO_BIN_EXE_etcd-rejoin"))
        .current_dir(probe.dir())
        .output()
        .unwrap()
        .status;
    assert_eq!(status.code(), Some(1));
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let text = std::fs::read_to_string(&word).unwrap();
    assert!(text.starts_with(boot.trim()), "{text}");
}
