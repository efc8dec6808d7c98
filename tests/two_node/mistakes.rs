//! Every wrong value is named by its flag, with what to write instead; all of them at once.

use super::{Said, call};

const ONE: &str = "name=a,lan=10.1.0.1,replication=10.2.0.1,disk=/dev/sdb,interface=eth0";
const TWO: &str = "name=b,lan=10.1.0.2,replication=10.2.0.2,disk=/dev/sdb,interface=eth0";
const VIP: &str = "10.1.0.100/24";

/// A call that differs from a good one in what is given; nothing may be written.
fn given(one: &str, two: &str, virtual_ip: &str, more: &[&str]) -> Said {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let start = [
        "two-node",
        "config",
        "--dir",
        out.to_str().unwrap(),
        "--machine",
        one,
        "--machine",
        two,
        "--virtual-ip",
        virtual_ip,
    ];
    let drbd: &[&str] = if more.contains(&"--drbd") {
        &[]
    } else {
        &["--drbd", "9"]
    };
    let said = call(&[&start, drbd, more].concat());
    assert_eq!(out.exists(), said.code == 0, "{said:?}");
    said
}

#[track_caller]
fn machine(one: &str, says: &[&str]) {
    given(one, TWO, VIP, &[]).ends_with(78).has(says);
}

#[track_caller]
fn flags(more: &[&str], says: &[&str]) {
    given(ONE, TWO, VIP, more).ends_with(78).has(says);
}

#[test]
fn good_values_are_no_mistake() {
    given(ONE, TWO, VIP, &[]).ends_with(0);
}

#[test]
fn a_machine_says_what_it_lacks_and_what_is_wrong_with_it() {
    machine(
        "name=a",
        &[
            "has no lan=ADDRESS",
            "no replication=ADDRESS",
            "no disk=DEVICE",
            "--interface is not given",
        ],
    );
    machine(
        "nonsense",
        &["\"nonsense\", which is no KEY=VALUE", "has no name=HOST"],
    );
    machine(&format!("{ONE},colour=red"), &["has the key \"colour\""]);
    machine(&format!("{ONE},name=c"), &["has name twice"]);
    machine(
        &ONE.replace("=a", "=-a"),
        &["--machine name=-a is not a host name"],
    );
    machine(
        &ONE.replace("10.1.0.1", "node1"),
        &["--machine lan=node1 is not an IP address"],
    );
    machine(
        &ONE.replace("10.1.0.1", "127.0.0.1"),
        &["lan=127.0.0.1 is no address that another machine reaches"],
    );
    machine(
        &ONE.replace("/dev/sdb", "sdb"),
        &["disk=sdb is no device below /dev"],
    );
    machine(
        &ONE.replace("/dev/sdb", "/dev/drbd1"),
        &["disk=/dev/drbd1 is a DRBD device"],
    );
    machine(&ONE.replace("/dev/sdb", "/dev/a b;x"), &["cannot carry"]);
    machine(
        &ONE.replace("eth0", "lo"),
        &["interface=lo is the loopback"],
    );
    machine(
        &ONE.replace("eth0", "a-name-too-long-for-linux"),
        &["is not the name of a network interface"],
    );
}

#[test]
fn machines_have_to_differ_and_to_fit_each_other() {
    machine(
        &ONE.replace("name=a", "name=b"),
        &["name=b is given to two machines"],
    );
    machine(
        &ONE.replace("10.1.0.1", "10.1.0.2"),
        &["10.1.0.2 is an address of two things"],
    );
    machine(
        &ONE.replace("10.1.0.1", "10.1.0.100"),
        &["10.1.0.100 is an address of two things"],
    );
    machine(
        &ONE.replace("10.1.0.1", "10.9.0.1"),
        &["lan=10.9.0.1 is not in the network of --virtual-ip"],
    );
    machine(
        &ONE.replace("10.2.0.1", "10.1.0.1"),
        &["10.1.0.1 is also the replication address"],
    );
    machine(
        &ONE.replace("10.2.0.1", "10.1.0.3"),
        &["replication=10.1.0.3 is in the network of --virtual-ip"],
    );
    machine(
        &ONE.replace("10.2.0.1", "fd00::1"),
        &["is of another family than the other machine's"],
    );
    given(ONE, TWO, "fd00::64/64", &[])
        .ends_with(78)
        .has(&["is of another family than the LAN"]);
}

#[test]
fn one_machine_or_three_are_not_two() {
    let words = [
        "two-node",
        "config",
        "--dir",
        "/nonexistent/x",
        "--drbd",
        "9",
        "--virtual-ip",
        VIP,
    ];
    call(&[words.as_slice(), &["--machine", ONE]].concat())
        .ends_with(78)
        .has(&["--machine is given 1 times: give it twice"]);
    flags(&["--machine", ONE], &["--machine is given 3 times"]);
}

#[test]
fn the_virtual_ip_needs_a_prefix() {
    given(ONE, TWO, "10.1.0.100", &[])
        .ends_with(78)
        .has(&["--virtual-ip=10.1.0.100 has no prefix"]);
    given(ONE, TWO, "10.1.0.100/33", &[])
        .ends_with(78)
        .has(&["no prefix between 1 and 32"]);
    given(ONE, TWO, "vip/24", &[])
        .ends_with(78)
        .has(&["--virtual-ip=vip is not an IP address"]);
}

#[test]
fn numbers_names_and_paths_are_checked() {
    flags(
        &["--vrid", "0"],
        &["--vrid=0 is not a VRRP router ID: write 1 to 255"],
    );
    flags(&["--vrid", "256"], &["--vrid=256 is not"]);
    flags(&["--drbd-port", "0"], &["--drbd-port=0 is not a port"]);
    flags(
        &["--fence-port", "70000"],
        &["--fence-port=70000 is not a port"],
    );
    flags(
        &["--client-port", "2380"],
        &["=2380 is one port for two things"],
    );
    flags(&["--minor=-1"], &["--minor=-1 is not a minor number"]);
    flags(&["--minor", "2000000"], &["beyond DRBD's 1048575"]);
    flags(
        &["--advert-int", "0"],
        &["--advert-int=0 is not a number of seconds"],
    );
    flags(
        &["--resource", "a b"],
        &["--resource=a b is not the name of a resource"],
    );
    flags(
        &["--resource", "all"],
        &["--resource=all is a word of DRBD's own"],
    );
    flags(
        &["--cluster-token", "a\nb"],
        &["--cluster-token=a\\nb is not a token"],
    );
    flags(
        &["--mount", "mnt"],
        &["--mount=mnt is not a path from the root"],
    );
    flags(
        &["--mount", "/a/../b"],
        &["--mount=/a/../b is not the plain path"],
    );
    flags(
        &["--gate", "/var/lib/etcd3/gate"],
        &["lies on the volume that it decides about"],
    );
    flags(
        &["--program", "/a\"; }"],
        &["--program=/a\\\"; } has characters"],
    );
    flags(
        &["--fence-command", "/off -f"],
        &["--fence-command=/off -f has a blank"],
    );
    flags(
        &["--fence-command", "off"],
        &["--fence-command=off is not a path"],
    );
}

#[test]
fn tls_is_whole_or_not_at_all() {
    flags(
        &["--cert", "/c"],
        &["is not enough for TLS: set --ca and --key too"],
    );
    flags(
        &[
            "--ca",
            "/a",
            "--cert",
            "/c",
            "--key",
            "/k",
            "--roving-cert",
            "/r",
        ],
        &["--roving-cert and --roving-key together"],
    );
}

#[test]
fn a_tie_breaker_needs_drbd_9_and_leaves_no_room_for_fencing() {
    let third = ["--tie-breaker", "c=10.2.0.3"];
    flags(
        &[&third[..], &["--drbd", "8.4"]].concat(),
        &["needs --drbd=9"],
    );
    flags(
        &[&third[..], &["--fence-command", "/off"]].concat(),
        &["--fence-command=/off is not used with --tie-breaker"],
    );
    flags(
        &["--tie-breaker", "c"],
        &["--tie-breaker=c is not HOST=ADDRESS"],
    );
    flags(
        &["--tie-breaker", "a=10.2.0.3"],
        &["name=a is given to two machines"],
    );
}

#[test]
fn a_weak_or_unreadable_secret_is_refused_and_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let put = |text: &[u8]| {
        let path = dir.path().join("secret");
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let short = put(b"hidden\n");
    let said = given(ONE, TWO, VIP, &["--fence-key-file", &short]);
    said.ends_with(78)
        .has(&["holds 6 bytes, and a secret has at least 32"]);
    let same = put(&[b'k'; 40]);
    flags(&["--fence-key-file", &same], &["one byte over and over"]);
    assert!(!said.err.contains("hidden"), "{said:?}");
    let long = put(b"hidden-and-long\n");
    let said = given(ONE, TWO, VIP, &["--vrrp-password-file", &long]);
    said.ends_with(78).has(&["longer than the 8 characters"]);
    assert!(!said.err.contains("hidden"), "{said:?}");
    let binary = put(&[0xff; 64]);
    flags(&["--fence-key-file", &binary], &["is no text"]);
    let huge = put(&vec![b'a'; 100_000]);
    flags(&["--fence-key-file", &huge], &["is larger than 4096 bytes"]);
    flags(
        &["--fence-key-file", "/nonexistent"],
        &["--fence-key-file=/nonexistent does not read"],
    );
}

#[test]
fn all_mistakes_are_reported_at_once() {
    flags(
        &["--vrid", "0", "--minor", "x", "--gate", "g"],
        &["--vrid=0", "--minor=x", "--gate=g"],
    );
}
