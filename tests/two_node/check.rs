//! What `two-node check` names: a machine that is as it should be, spoiled in one place each time.

use super::call;
use super::machine::Machine;

const DRBD: &str = "/etc/drbd.d/etcd.res";
const KEEPALIVED: &str = "/etc/keepalived/keepalived.conf";
const HANDLER: &str = "/etc/drbd.d/etcd.res:27";

fn good() -> Machine {
    Machine::with_drbd("8.4.11")
}

fn nine() -> Machine {
    Machine::with_drbd("9.2.12")
}

#[test]
fn what_two_node_writes_is_not_dangerous() {
    for machine in [
        good(),
        nine(),
        Machine::with("9.2.12", &["--fifo"]),
        Machine::with("9.2.12", &["--tie-breaker", "node3=10.2.0.3"]),
        good().other("10.1.0.1", "10.1.0.1"),
    ] {
        let said = machine.check();
        said.ends_with(0).has(&["nothing is dangerous here"]);
    }
}

// ---- DRBD ---------------------------------------------------------------------------------------

#[test]
fn neither_fencing_nor_quorum_is_a_danger() {
    good()
        .drbd("fencing resource-and-stonith;", "")
        .danger(&format!("{DRBD}:3"), "no-fencing-no-quorum");
    good()
        .drbd("resource-and-stonith", "dont-care")
        .danger(&format!("{DRBD}:23"), "no-fencing-no-quorum");
    Machine::with("9.2.12", &["--tie-breaker", "node3=10.2.0.3"])
        .drbd("quorum majority;", "quorum off;")
        .danger(&format!("{DRBD}:3"), "no-fencing-no-quorum");
}

#[test]
fn fencing_that_does_not_freeze_is_a_danger() {
    good()
        .drbd("resource-and-stonith", "resource-only")
        .danger(&format!("{DRBD}:23"), "fencing-does-not-freeze");
}

#[test]
fn a_fencing_in_the_common_section_counts() {
    good()
        .drbd("fencing resource-and-stonith;", "")
        .file(
            "/etc/drbd.d/global_common.conf",
            "common { disk { fencing resource-and-stonith; } }\n",
        )
        .check()
        .ends_with(0);
}

#[test]
fn a_handler_that_is_not_there_is_a_danger() {
    good()
        .drbd("fence-peer \"", "before-resync-target \"")
        .danger(&format!("{DRBD}:23"), "no-fence-handler");
    good()
        .drbd("\"/usr/bin/etcd-rejoin fence", "\"/opt/x fence")
        .danger(HANDLER, "program-missing");
    let machine = good().drbd("\"/usr/bin/etcd-rejoin fence", "\"/etc/drbd.conf fence");
    machine.danger(HANDLER, "program-not-executable");
}

#[test]
fn the_key_file_is_there_secret_and_long_enough() {
    let key = "/etc/etcd-rejoin/fence.key";
    good().remove(key).danger(HANDLER, "key-file");
    good()
        .chmod(key, 0o644)
        .danger(HANDLER, "key-file-readable");
    good()
        .chmod(key, 0o660)
        .danger("REJOIN_FENCE_KEY_FILE", "key-file-readable");
    good().file(key, "short").danger(HANDLER, "key-file-short");
}

#[test]
fn auto_promote_is_a_danger_on_9_alone() {
    nine()
        .drbd("auto-promote no;", "")
        .danger(&format!("{DRBD}:3"), "auto-promote-on");
    nine()
        .drbd("auto-promote no;", "auto-promote yes;")
        .danger(&format!("{DRBD}:6"), "auto-promote-on");
    // The module is not loaded: the grammar tells, too.
    let machine = nine()
        .drbd("auto-promote no;", "")
        .remove("/sys/module/drbd/version");
    machine.danger(&format!("{DRBD}:3"), "auto-promote-on");
    let said = good().check();
    assert!(!said.out.contains("auto-promote"), "{said:?}");
}

#[test]
fn what_throws_writes_away_is_a_danger() {
    let says = |from: &str, to: &str, name: &str| {
        let said = good().drbd(from, to).check();
        said.ends_with(65).has(&[&format!(": {name}: ")]);
    };
    says("protocol C;", "protocol A;", "protocol-not-c");
    says(
        "after-sb-0pri disconnect;",
        "after-sb-0pri discard-zero-changes;",
        "split-brain-solved-by-itself",
    );
    says(
        "after-sb-2pri disconnect;",
        "after-sb-2pri violently-as0p;",
        "split-brain-solved-by-itself",
    );
    says(
        "protocol C;",
        "protocol C; rr-conflict violently;",
        "primary-overwritten",
    );
    says(
        "protocol C;",
        "protocol C; allow-two-primaries yes;",
        "two-primaries",
    );
    says(
        "protocol C;",
        "protocol C; allow-two-primaries;",
        "two-primaries",
    );
    says(
        "disk {\n",
        "startup { become-primary-on node1; }\n    disk {\n",
        "promoted-at-boot",
    );
}

#[test]
fn what_weakens_the_disk_is_a_warning() {
    good()
        .drbd("on-io-error detach", "disk-flushes no")
        .warning(&format!("{DRBD}:18"), "no-flushes");
    good()
        .drbd("on-io-error detach", "on-io-error pass_on")
        .warning(&format!("{DRBD}:18"), "on-io-error");
}

#[test]
fn a_gate_file_of_two_instances_is_a_danger() {
    let group = "vrrp_sync_group both {\n    group { etcd }\n    \
                 notify \"/usr/bin/etcd-rejoin notify --gate /run/etcd-rejoin/gate\"\n}\n";
    let both = |more: &str| {
        let group = group.replace("notify --gate", &format!("notify{more} --gate"));
        let first = "vrrp_instance etcd {";
        good().keepalived(first, &format!("{group}{first}"))
    };
    let said = both("").check();
    said.has(&["gate-shared", "etcd and both tell one gate file"]);
    let said = both(" --instance both").check();
    assert!(!said.all().contains("gate-shared"));
}

#[test]
fn a_quorum_by_number_is_a_danger_and_none() {
    nine()
        .drbd("auto-promote no;", "auto-promote no; quorum 1;")
        .danger(&format!("{DRBD}:6"), "quorum-by-number");
}

#[test]
fn quorum_of_two_is_a_warning() {
    nine()
        .drbd("auto-promote no;", "auto-promote no; quorum majority;")
        .warning(&format!("{DRBD}:6"), "quorum-of-two");
}

#[test]
fn a_resource_of_another_name_is_a_danger() {
    let said = good()
        .env("REJOIN_DRBD=etcd", "REJOIN_DRBD=data")
        .danger("REJOIN_DRBD", "no-such-resource");
    said.has(&["REJOIN_DRBD=data is no configured resource; configured: etcd"]);
    good()
        .remove(DRBD)
        .danger("REJOIN_DRBD", "no-such-resource");
}

#[test]
fn a_module_that_runs_no_handler_is_a_danger() {
    let place = "/sys/module/drbd/parameters/usermode_helper";
    let said = good()
        .file(place, "disabled\n")
        .danger(place, "handlers-disabled");
    said.has(&["nobody is promoted"]);
    let said = nine()
        .file(place, "disabled\n")
        .danger(place, "handlers-disabled");
    said.has(&["takes that for a fenced peer"]);
    good()
        .file(place, "/opt/drbdadm\n")
        .danger(place, "program-missing");
}

const WANTS: &str = "/etc/systemd/system/multi-user.target.wants";
const UNIT: &str = "etcd-rejoin-drbd.service";

/// With this service enabled.
fn enabled(name: &str) -> Machine {
    let machine = good().file(&format!("{WANTS}/x"), "");
    for name in [name, UNIT] {
        let link = machine.path(&format!("{WANTS}/{name}"));
        let _ = std::os::unix::fs::symlink(format!("/lib/systemd/system/{name}"), link);
    }
    machine
}

#[test]
fn a_service_of_drbd_s_own_is_a_warning() {
    for name in ["drbd.service", "drbd@etcd.target", "drbd@etcd.service"] {
        enabled(name).warning(&format!("{WANTS}/{name}"), "drbd-service");
    }
}

#[test]
fn that_nobody_takes_drbd_down_is_a_warning_where_systemd_could() {
    enabled(UNIT).check().ends_with(0);
    enabled(UNIT)
        .remove(&format!("{WANTS}/{UNIT}"))
        .warning(&format!("{WANTS}/{UNIT}"), "drbd-stays-up");
}

#[test]
fn a_configuration_that_does_not_read_is_a_danger() {
    good()
        .remove("/etc/drbd.conf")
        .danger("/etc/drbd.conf", "not-readable");
    good()
        .file("/etc/drbd.conf", "include \"gone.res\";\n")
        .danger("/etc/drbd.conf:1", "not-readable");
    good()
        .drbd("connect-int 3;", "connect-int 3")
        .danger("/etc/drbd.conf", "drbdadm-refuses");
    good()
        .drbd("    on node2 {", "    on node2 { {")
        .danger(&format!("{DRBD}:35"), "not-readable");
}

#[test]
fn any_bytes_are_read_without_harm() {
    let noise: String = (0..20_000_u32)
        .map(|n| char::from_u32(n * 7 % 0xd000).unwrap_or('{'))
        .collect();
    good()
        .file(DRBD, &noise)
        .file(KEEPALIVED, &noise)
        .check()
        .ends_with(65);
    let machine = good();
    std::fs::write(
        machine.path(KEEPALIVED),
        [0xff, 0xfe, 0, b'{', b'\n'].repeat(1000),
    )
    .unwrap();
    machine.check().ends_with(65);
    let machine = good();
    std::fs::write(machine.path(DRBD), vec![b'{'; 2 << 20]).unwrap();
    machine.check().ends_with(65).has(&["larger than 1 MiB"]);
}

// ---- keepalived ---------------------------------------------------------------------------------

#[test]
fn a_keepalived_that_tells_nobody_is_a_danger() {
    good()
        .keepalived("    notify ", "    # ")
        .danger(&format!("{KEEPALIVED}:20"), "no-gate");
    good()
        .keepalived("vrrp_instance etcd {", "vrrp_sync_group etcd {")
        .danger(KEEPALIVED, "no-instance");
    let said = good().remove(KEEPALIVED).danger(KEEPALIVED, "not-readable");
    assert!(!said.out.contains("no-instance"), "{said:?}");
}

#[test]
fn a_notify_script_that_keepalived_cannot_run_is_a_danger() {
    let place = format!("{KEEPALIVED}:42");
    let other = || good().keepalived("notify \"/usr/bin/etcd-rejoin", "notify \"/opt/ours/notify");
    other().danger(&place, "program-missing");
    let with = |mode| {
        other()
            .file("/opt/ours/notify", "#!/bin/sh\n")
            .chmod("/opt/ours/notify", mode)
    };
    with(0o644).danger(&place, "program-not-executable");
    with(0o757)
        .danger(&place, "program-exchangeable")
        .has(&["/opt/ours/notify is writable by everybody"]);
    let said = with(0o755)
        .chmod("/opt/ours", 0o777)
        .danger(&place, "program-exchangeable");
    said.has(&["/opt/ours is writable by everybody"]);
    with(0o755).chmod("/opt/ours", 0o755).check().ends_with(0);
}

#[test]
fn a_probe_that_keepalived_cannot_run_is_a_danger() {
    good()
        .keepalived("script \"/usr/bin/etcd-rejoin", "script \"/opt/etcd-rejoin")
        .danger(&format!("{KEEPALIVED}:12"), "program-missing");
}

#[test]
fn notify_of_one_state_does_not_say_which() {
    good()
        .keepalived("    notify ", "    notify_master ")
        .danger(&format!("{KEEPALIVED}:42"), "notify-of-one-state");
}

#[test]
fn a_script_behind_the_fifo_is_a_danger() {
    good()
        .keepalived("umask 022", "vrrp_notify_fifo_script /usr/bin/etcd-rejoin")
        .danger(&format!("{KEEPALIVED}:7"), "fifo-script");
}

#[test]
fn scripts_run_as_root_and_are_looked_at() {
    good()
        .keepalived("    script_user root\n", "")
        .danger(KEEPALIVED, "script-user");
    good()
        .keepalived("script_user root", "script_user nobody")
        .danger(&format!("{KEEPALIVED}:5"), "script-user");
    good()
        .keepalived("    enable_script_security\n", "")
        .warning(KEEPALIVED, "no-script-security");
}

#[test]
fn taking_the_member_back_is_named() {
    let at = |line| format!("{KEEPALIVED}:{line}");
    good()
        .keepalived("state BACKUP", "state MASTER")
        .danger(&at(22), "nopreempt-with-master");
    good()
        .keepalived("    nopreempt\n", "")
        .warning(&at(20), "preempts");
    good()
        .keepalived("    nopreempt\n", "")
        .keepalived("state BACKUP", "state MASTER")
        .warning(&at(22), "state-master");
}

#[test]
fn a_machine_that_bids_without_a_probe_is_a_warning() {
    good()
        .keepalived("        promotable\n", "")
        .warning(&format!("{KEEPALIVED}:20"), "no-probe");
    good()
        .keepalived("        promotable\n", "        promotable weight -20\n")
        .warning(&format!("{KEEPALIVED}:40"), "probe-with-weight");
    good()
        .keepalived("    rise 1\n", "    rise 1\n    weight 5\n")
        .warning(&format!("{KEEPALIVED}:17"), "probe-with-weight");
}

#[test]
fn an_instance_without_an_address_is_a_danger() {
    good()
        .keepalived("        10.1.0.100/24 dev nosuch0\n", "")
        .danger(&format!("{KEEPALIVED}:20"), "no-virtual-ip");
}

#[test]
fn machines_that_do_not_hear_each_other_are_a_danger() {
    let place = format!("{KEEPALIVED}:20");
    good()
        .other("virtual_router_id 100", "virtual_router_id 101")
        .danger(&place, "machines-differ");
    good()
        .other("auth_pass ", "auth_pass x")
        .danger(&place, "machines-differ");
    good()
        .other("advert_int 1", "advert_int 2")
        .danger(&place, "machines-differ");
    good()
        .other("unicast_peer", "unicast_pears")
        .danger(&place, "machines-differ");
    good()
        .other("vrrp_instance etcd", "vrrp_instance other")
        .warning(&place, "only-here");
}

#[test]
fn equal_priorities_need_nopreempt_on_both() {
    good()
        .other("priority 90", "priority 100")
        .check()
        .ends_with(0);
    good()
        .other(
            "    nopreempt\n    interface nosuch0\n    virtual_router_id 100\n    priority 90",
            "    interface nosuch0\n    virtual_router_id 100\n    priority 100",
        )
        .warning(&format!("{KEEPALIVED}:26"), "equal-priorities");
}

// ---- together -----------------------------------------------------------------------------------

#[test]
fn times_longer_than_an_election_are_warnings() {
    let ping = format!("{DRBD}:8");
    good()
        .drbd("ping-int 2;", "ping-int 10;")
        .warning(&ping, "noticed-after-election");
    good()
        .drbd("        ping-int 2;\n", "")
        .warning(&format!("{DRBD}:3"), "noticed-after-election");
    good()
        .drbd("--timeout 8s", "--timeout 19s")
        .warning(HANDLER, "fence-timeout");
    good()
        .env("TIMEOUT=8s", "TIMEOUT=19s")
        .warning("REJOIN_FENCE_TIMEOUT", "fence-timeout");
    good()
        .env("TIMEOUT=8s", "TIMEOUT=8s\nREJOIN_DEMOTE_TIMEOUT=2m")
        .warning("REJOIN_DEMOTE_TIMEOUT", "demote-timeout");
    good()
        .drbd("timeout 15;", "timeout 30;")
        .warning(&format!("{DRBD}:10"), "timeout-too-long");
    // A slower keepalived leaves DRBD its time.
    good()
        .drbd("ping-int 2;", "ping-int 10;")
        .keepalived("advert_int 1", "advert_int 4")
        .check()
        .ends_with(0);
}

#[test]
fn a_gate_that_nobody_hears_is_a_danger() {
    let (notify, probe) = (format!("{KEEPALIVED}:42"), format!("{KEEPALIVED}:12"));
    let moved = good().env("GATE=/run/etcd-rejoin/gate", "GATE=/run/gate");
    moved.danger(&notify, "gate-differs");
    moved.danger(&probe, "gate-differs");
    good()
        .keepalived("notify --gate /run/etcd-rejoin/gate", "notify")
        .danger(&notify, "gate-differs");
    good()
        .keepalived("promotable --gate /run/etcd-rejoin/gate", "promotable")
        .danger(&probe, "gate-differs");
    Machine::with("9.2.12", &["--fifo"])
        .env("GATE=/run/etcd-rejoin/gate", "GATE=/run/gate")
        .danger(&format!("{KEEPALIVED}:8"), "gate-differs");
}

#[test]
fn the_handler_and_the_entrypoint_ask_alike() {
    good()
        .env("PEER=10.1.0.2:7790", "PEER=10.1.0.2:7791")
        .danger(HANDLER, "fence-peer-differs");
    good()
        .env("REJOIN_FENCE_PEER=", "# ")
        .danger("/etc/etcd-rejoin/etcd3.env", "no-fence-peer");
    good()
        .env(
            "REJOIN_DRBD",
            "REJOIN_FENCE_COMMAND=/usr/bin/etcd-rejoin\nREJOIN_DRBD",
        )
        .danger(HANDLER, "fence-command-differs");
    good()
        .env("REJOIN_DRBD", "REJOIN_FENCE_COMMAND=/opt/off\nREJOIN_DRBD")
        .danger("REJOIN_FENCE_COMMAND", "program-missing");
}

/// Where they differ, the rover asks while the handler still does, or proves another secret.
#[test]
fn the_handler_takes_as_long_and_has_the_same_secret_and_command() {
    good()
        .drbd("--timeout 8s", "--timeout 60s")
        .warning(HANDLER, "fence-timeout-differs");
    let other = "/etc/etcd-rejoin/other.key";
    let with = |secret: &str| {
        let key = "--key-file /etc/etcd-rejoin/fence.key";
        let machine = good().drbd(key, &format!("--key-file {other}"));
        machine.file(other, secret).chmod(other, 0o600)
    };
    let differs = with(&"kl".repeat(32));
    let said = differs.danger(HANDLER, "fence-key-differs");
    assert!(!said.all().contains("klkl"), "{said:?}");
    // The line's end is no part of it.
    with(&format!("{}\n", "ke".repeat(32))).check().ends_with(0);
    let command = "REJOIN_FENCE_COMMAND=/usr/bin/etcd-rejoin off\nREJOIN_DRBD";
    good()
        .env("REJOIN_DRBD", command)
        .drbd(
            "fence-peer --",
            "fence-peer --fence-command /sbin/drbdadm --",
        )
        .warning(HANDLER, "fence-command-differs");
}

#[test]
fn the_peer_is_another_machine_in_another_network() {
    let place = "REJOIN_FENCE_PEER";
    for ours in ["10.1.0.1", "127.0.0.1"] {
        good()
            .env("PEER=10.1.0.2", &format!("PEER={ours}"))
            .drbd("--peer 10.1.0.2", &format!("--peer {ours}"))
            .danger(place, "fence-peer-is-us");
    }
    for machine in [good(), nine()] {
        let said = machine
            .env("PEER=10.1.0.2", "PEER=10.2.0.2")
            .drbd("--peer 10.1.0.2", "--peer 10.2.0.2")
            .check();
        said.ends_with(1)
            .has(&["fence-over-the-replication-link: 10.2.0.2"]);
    }
}

#[test]
fn the_entrypoint_s_own_mistakes_are_named() {
    let env = "/etc/etcd-rejoin/etcd3.env";
    for (from, to, part) in [
        ("REJOIN_MOUNT=", "# ", "REJOIN_MOUNT is not set"),
        (
            "FENCE_TIMEOUT=8s",
            "FENCE_TIMEOUT=8",
            "REJOIN_FENCE_TIMEOUT=8",
        ),
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
        good().env(from, to).danger(env, "mistake").has(&[part]);
    }
    good().file(env, "").danger(env, "no-rover");
    // Looked at on this machine it would not be there.
    let said = good().remove("/etc/etcd-rejoin/fence.key").check();
    said.ends_with(65).has(&["key-file"]);
    assert!(!said.all().contains("mistake"), "{said:?}");
}

#[test]
fn a_fifo_of_several_instances_needs_to_be_told_which_one_counts() {
    let second = "vrrp_instance web {\n    state BACKUP\n    nopreempt\n    interface eth0\n    \
                  virtual_router_id 7\n    virtual_ipaddress { 10.1.0.9/24 }\n    track_script { promotable }\n}\n\
                  vrrp_instance etcd {";
    let fifo = || Machine::with("9.2.12", &["--fifo"]);
    let both = || fifo().keepalived("vrrp_instance etcd {", second);
    let place = format!("{KEEPALIVED}:8");
    both().danger(&place, "gate-instance").has(&["web, etcd"]);
    let told = |name: &str| format!("REJOIN_GATE_INSTANCE={name}\nREJOIN_DRBD=");
    let named = |machine: Machine, name: &str| machine.env("REJOIN_DRBD=", &told(name));
    named(both(), "etcd").check().ends_with(0);
    for machine in [both(), fifo(), good()] {
        named(machine, "ectd").danger("REJOIN_GATE_INSTANCE", "no-such-instance");
    }
}

#[test]
fn a_path_below_run_may_be_written_in_two_ways() {
    good()
        .env("GATE=/run/", "GATE=/var/run/")
        .check()
        .ends_with(0);
}

#[test]
fn who_freezes_without_quorum_is_a_warning() {
    let third = || Machine::with("9.2.12", &["--tie-breaker", "node3=10.2.0.3"]);
    for to in ["", "on-no-quorum suspend-io;"] {
        let said = third().drbd("on-no-quorum io-error;", to).check();
        said.ends_with(1).has(&["frozen-without-quorum"]);
    }
}

#[test]
fn what_was_not_looked_at_is_said() {
    let said = call(&["two-node", "check", "--root", "/nowhere"]);
    said.has(&[
        "note: the roving member's settings were not looked at",
        "--env-file",
    ]);
}

#[test]
fn an_environment_that_does_not_read_is_a_failure() {
    let machine = good().remove("/etc/etcd-rejoin/etcd3.env");
    machine
        .check()
        .ends_with(74)
        .has(&["cannot read /", "/etc/etcd-rejoin/etcd3.env: No such file"]);
}

#[test]
fn three_machines_are_no_pair() {
    let more = good()
        .word("--keepalived-conf")
        .word("/a")
        .word("--keepalived-conf")
        .word("/b");
    more.check().ends_with(2).has(&["given 3 times"]);
}

#[test]
fn dangers_come_first_and_are_counted() {
    let said = good()
        .drbd("protocol C", "protocol A")
        .drbd("ping-int 2", "ping-int 10")
        .check();
    said.ends_with(65).has(&["dangers: 1, warnings: 1"]);
    let first = said.out.lines().next().unwrap();
    assert!(first.starts_with("danger: "), "{said:?}");
}

#[test]
fn a_machine_without_anything_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    call(&["two-node", "check", "--root", dir.path().to_str().unwrap()])
        .ends_with(65)
        .has(&[
            "cannot read /etc/drbd.conf",
            "cannot read /etc/keepalived/keepalived.conf",
        ]);
}
