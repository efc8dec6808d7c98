//! What `two-node check` names: a machine that is as it should be, spoiled in one place each time.

use super::call;
use super::machine::Machine;

const DRBD: &str = "/etc/drbd.conf";
const RES: &str = "/etc/drbd.d/etcd.res";
const KEEPALIVED: &str = "/etc/keepalived/keepalived.conf";
const ENV: &str = "/etc/etcd-rejoin/etcd3.env";
const KEY: &str = "/etc/etcd-rejoin/fence.key";
const THIRD: [&str; 2] = ["--tie-breaker", "node3=10.2.0.3"];

fn good() -> Machine {
    Machine::with_drbd("8.4.11")
}

fn nine() -> Machine {
    Machine::with_drbd("9.2.12")
}

fn three() -> Machine {
    Machine::with("9.2.12", &THIRD)
}

#[test]
fn what_two_node_writes_is_not_dangerous() {
    for machine in [good(), nine(), three()] {
        let said = machine.check();
        said.ends_with(0).has(&["nothing is dangerous here"]);
    }
}

// ---- DRBD ---------------------------------------------------------------------------------------

#[test]
fn a_shape_that_loses_writes_is_a_danger() {
    let fencing = "fencing resource-and-stonith;";
    for other in ["", "fencing dont-care;", "fencing resource-only;"] {
        for machine in [good(), nine()] {
            let said = machine.drbd(fencing, other).danger(DRBD, "unsafe-config");
            said.has(&["says UpToDate, and is promoted without the newest writes"]);
        }
    }
    three()
        .drbd("quorum majority;", "quorum off;")
        .danger(DRBD, "unsafe-config");
    three()
        .drbd("quorum majority;", "quorum 1;")
        .danger(DRBD, "unsafe-config");
    three()
        .drbd("disk none;", "disk /dev/sdb;\n        meta-disk internal;")
        .check()
        .ends_with(0);
    let no_quorum = three()
        .drbd("quorum majority;", "")
        .drbd("disk none;", "disk /dev/sdb;\n        meta-disk internal;");
    let fenced = no_quorum.drbd("protocol C;", "protocol C; fencing resource-and-stonith;");
    fenced
        .danger(DRBD, "unsafe-config")
        .has(&["of more than two machines with data"]);
    three()
        .drbd("protocol C;", "protocol C; fencing resource-and-stonith;")
        .danger(DRBD, "unsafe-config")
        .has(&["`quorum` together with `fencing`"]);
    let both = nine().drbd(
        "auto-promote no;",
        "auto-promote no; quorum majority; on-no-quorum io-error;",
    );
    both.danger(DRBD, "unsafe-config")
        .has(&["of two machines a quorum needs both"]);
}

#[test]
fn a_fencing_in_the_common_section_counts() {
    let common = "common { disk { fencing resource-and-stonith; } }\n";
    let machine = good().drbd("fencing resource-and-stonith;", "");
    machine
        .file("/etc/drbd.d/global_common.conf", common)
        .check()
        .ends_with(0);
}

#[test]
fn a_handler_that_is_not_ours_or_not_there_is_a_danger() {
    let line = "fence-peer \"/usr/bin/etcd-rejoin fence-peer";
    for other in [
        "before-resync-target \"/usr/bin/x",
        "fence-peer \"/usr/lib/drbd/crm-fence-peer.9.sh",
        "fence-peer \"/usr/bin/etcd-rejoin notify",
    ] {
        good()
            .drbd(line, other)
            .danger(DRBD, "unsafe-config")
            .has(&["handler is not ours"]);
    }
    good()
        .drbd(line, &line.replace("/usr/bin", "/opt"))
        .danger(DRBD, "program-missing");
    let machine = good().chmod("/usr/bin/etcd-rejoin", 0o644);
    machine.danger(DRBD, "program-not-executable");
    let place = "/sys/module/drbd/parameters/usermode_helper";
    for machine in [good(), nine()] {
        machine
            .file(place, "disabled\n")
            .danger(place, "unsafe-config")
            .has(&["runs no handlers"]);
    }
    good()
        .file(place, "/opt/drbdadm\n")
        .danger(place, "program-missing");
}

#[test]
fn a_program_that_somebody_could_exchange_is_a_danger() {
    let machine = good();
    machine.mode("/usr/bin", 0o777);
    machine
        .danger(DRBD, "program-exchangeable")
        .has(&["is writable by everybody"]);
}

#[test]
fn the_key_file_is_there_secret_long_enough_and_the_entrypoint_s() {
    good().remove(KEY).danger(DRBD, "key-file");
    good().chmod(KEY, 0o644).danger(DRBD, "key-file-readable");
    good()
        .chmod(KEY, 0o660)
        .danger("REJOIN_FENCE_KEY_FILE", "key-file-readable");
    good().file(KEY, "short").danger(DRBD, "key-file");
    let other = "/etc/etcd-rejoin/other.key";
    let with = |secret: &str| {
        let machine = good().drbd(KEY, other);
        machine.file(other, secret).chmod(other, 0o600)
    };
    let said = with(&"kl".repeat(32)).danger(DRBD, "fence-key-differs");
    assert!(!said.all().contains("klkl"), "{said:?}");
    // The line's end is no part of it.
    with(&format!("{}\n", "ke".repeat(32))).check().ends_with(0);
}

#[test]
fn a_secret_that_every_user_reads_is_a_warning() {
    let said = good().chmod(RES, 0o644).warning(RES, "secret-readable");
    said.has(&["chmod 600"]);
    let command = "/usr/local/sbin/off";
    let fenced = |mode| {
        let machine = Machine::with("8.4.11", &["--fence-command", command]);
        machine
            .file(command, "#!/bin/sh\nfence --password=hidden\n")
            .chmod(command, mode)
    };
    fenced(0o700).check().ends_with(0);
    let said = fenced(0o755).warning(command, "password-readable");
    assert!(!said.all().contains("hidden"), "{said:?}");
}

#[test]
fn auto_promote_is_a_danger_on_9_alone() {
    nine()
        .drbd("auto-promote no;", "")
        .danger(DRBD, "auto-promote-on");
    nine()
        .drbd("auto-promote no;", "auto-promote yes;")
        .danger(DRBD, "auto-promote-on");
    let said = good().check();
    assert!(!said.out.contains("auto-promote"), "{said:?}");
}

#[test]
fn what_throws_writes_away_is_a_danger() {
    let instead = |from: &str, to: &str, name: &str| good().drbd(from, to).danger(DRBD, name);
    let beside =
        |more: &str, name: &str| instead("protocol C;", &format!("protocol C; {more}"), name);
    instead("protocol C;", "protocol A;", "protocol-not-c")
        .has(&["protocol A acknowledges a write before"]);
    instead(
        "after-sb-0pri disconnect;",
        "after-sb-0pri discard-zero-changes;",
        "split-brain-solved-by-itself",
    );
    instead(
        "after-sb-2pri disconnect;",
        "after-sb-2pri violently-as0p;",
        "split-brain-solved-by-itself",
    );
    beside("rr-conflict violently;", "primary-overwritten");
    beside("allow-two-primaries yes;", "two-primaries");
    beside("allow-two-primaries;", "two-primaries");
    instead(
        "    disk {\n",
        "    startup { become-primary-on node1; }\n    disk {\n",
        "promoted-at-boot",
    );
}

#[test]
fn what_weakens_the_disk_or_freezes_is_a_warning() {
    good()
        .drbd("on-io-error detach", "disk-flushes no")
        .warning(DRBD, "no-flushes");
    good()
        .drbd("on-io-error detach", "on-io-error pass_on")
        .warning(DRBD, "on-io-error");
    for to in ["", "on-no-quorum suspend-io;"] {
        three()
            .drbd("on-no-quorum io-error;", to)
            .warning(DRBD, "frozen-without-quorum");
    }
}

#[test]
fn a_resource_of_another_name_is_a_danger() {
    let said = good()
        .env("REJOIN_DRBD=etcd", "REJOIN_DRBD=data")
        .danger(DRBD, "no-such-resource");
    said.has(&["REJOIN_DRBD=data is no configured resource"]);
    good().remove(RES).danger(DRBD, "no-such-resource");
}

const WANTS: &str = "/etc/systemd/system/multi-user.target.wants";
const UNIT: &str = "etcd-rejoin-drbd.service";

/// With these services enabled.
fn enabled(names: &[&str]) -> Machine {
    let machine = good().file(&format!("{WANTS}/x"), "");
    for name in names {
        let link = machine.path(&format!("{WANTS}/{name}"));
        std::os::unix::fs::symlink(format!("/lib/systemd/system/{name}"), link).unwrap();
    }
    machine
}

#[test]
fn who_takes_drbd_down_is_one_unit_and_it_is_there() {
    enabled(&[UNIT]).check().ends_with(0);
    enabled(&[]).warning(WANTS, "drbd-stays-up");
    for name in ["drbd.service", "drbd@etcd.target", "drbd@etcd.service"] {
        enabled(&[UNIT, name]).warning(WANTS, "drbd-service");
    }
}

#[test]
fn a_configuration_that_does_not_read_is_a_danger() {
    good().remove(DRBD).danger(DRBD, "not-readable");
    good()
        .drbd("connect-int 3;", "connect-int 3")
        .danger(DRBD, "not-readable");
    good().remove(KEEPALIVED).danger(KEEPALIVED, "not-readable");
    good()
        .keepalived("    track_script {", "    track_script {\n {")
        .danger(KEEPALIVED, "not-readable");
    let noise: String = (0..20_000_u32)
        .map(|n| char::from_u32(n * 7 % 0xd000).unwrap_or('{'))
        .collect();
    good()
        .file(RES, &noise)
        .file(KEEPALIVED, &noise)
        .check()
        .ends_with(65);
    let machine = good();
    let bytes = [0xff, 0xfe, 0, b'{', b'\n'].repeat(1000);
    std::fs::write(machine.path(KEEPALIVED), bytes).unwrap();
    machine.check().ends_with(65);
}

// ---- keepalived ---------------------------------------------------------------------------------

#[test]
fn a_keepalived_that_tells_nobody_is_a_danger() {
    good()
        .keepalived("    notify ", "    # ")
        .danger(KEEPALIVED, "no-gate");
    good()
        .env("GATE=/run/etcd-rejoin/gate", "GATE=/run/gate")
        .danger(KEEPALIVED, "no-gate");
    good()
        .env("GATE=/run/", "GATE=/var/run/")
        .check()
        .ends_with(0);
    let other = good().keepalived("vrrp_instance etcd {", "vrrp_sync_group etcd {");
    other.danger(KEEPALIVED, "no-instance");
    good()
        .keepalived("vrrp_instance etcd {", "vrrp_instance etcd\n{")
        .check()
        .ends_with(0);
    let missing = good().keepalived("notify \"/usr/bin/etcd-rejoin", "notify \"/opt/etcd-rejoin");
    missing.danger(KEEPALIVED, "program-missing");
    good()
        .keepalived("global_defs {", "include more.conf\nglobal_defs {")
        .warning(KEEPALIVED, "not-readable");
}

#[test]
fn a_machine_that_bids_without_a_probe_is_a_warning() {
    good()
        .keepalived("    track_script {", "    track_nothing {")
        .warning(KEEPALIVED, "no-probe");
    good()
        .keepalived(
            "probe promotable --gate /run/etcd-rejoin",
            "probe promotable --gate /run",
        )
        .warning(KEEPALIVED, "no-probe");
}

#[test]
fn scripts_run_as_root() {
    good()
        .keepalived("    script_user root\n", "")
        .danger(KEEPALIVED, "script-user");
    good()
        .keepalived("script_user root", "script_user nobody")
        .danger(KEEPALIVED, "script-user");
}

// ---- together -----------------------------------------------------------------------------------

#[test]
fn the_peer_is_another_machine_in_another_network() {
    for ours in ["10.1.0.1", "127.0.0.1"] {
        good()
            .drbd("--peer 10.1.0.2", &format!("--peer {ours}"))
            .danger(DRBD, "fence-peer-is-us");
    }
    for machine in [good(), nine()] {
        let machine = machine.drbd("--peer 10.1.0.2", "--peer 10.2.0.2");
        machine
            .warning(DRBD, "fence-over-the-replication-link")
            .has(&["10.2.0.2"]);
    }
    good()
        .env("REJOIN_FENCE_LISTEN=", "# ")
        .danger(ENV, "no-fence-peer");
}

#[test]
fn the_entrypoint_s_own_mistakes_are_named() {
    for (from, to, part) in [
        ("REJOIN_MOUNT=", "# ", "REJOIN_MOUNT is not set"),
        (
            "REJOIN_DRBD",
            "REJOIN_NOSUCH=1\nREJOIN_DRBD",
            "REJOIN_NOSUCH",
        ),
        (
            "DATA_DIR=/var/lib/etcd3",
            "DATA_DIR=/var/lib/etc",
            "ETCD_DATA_DIR",
        ),
    ] {
        good().env(from, to).danger(ENV, "mistake").has(&[part]);
    }
    good().file(ENV, "").danger(ENV, "no-rover");
    // Looked at on this machine it would not be there.
    let said = good().remove(KEY).check();
    said.ends_with(65).has(&["key-file"]);
    assert!(!said.all().contains("mistake"), "{said:?}");
    good()
        .remove(ENV)
        .check()
        .ends_with(74)
        .has(&["cannot read /", "etcd3.env: No such file"]);
}

#[test]
fn dangers_come_first_and_are_counted() {
    let said = good()
        .drbd("protocol C", "protocol A")
        .drbd("on-io-error detach", "disk-flushes no")
        .check();
    said.ends_with(65).has(&["dangers: 1, warnings: 1"]);
    assert!(said.out.starts_with("danger: "), "{said:?}");
}

#[test]
fn a_machine_without_anything_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let words = ["two-node", "check", "--root", dir.path().to_str().unwrap()];
    call(&words)
        .ends_with(74)
        .has(&["cannot read /", "etcd3.env"]);
}
