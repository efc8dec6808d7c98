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
    let shapes = ["--fence-command", "--tie-breaker", "--without-fencing"];
    let shape: &[&str] = match more.iter().any(|word| shapes.contains(word)) {
        true => &[],
        false => &["--without-fencing"],
    };
    let said = call(&[&start, drbd, more, shape].concat());
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
    let instead = |from: &str, to: &str, says: &str| machine(&ONE.replace(from, to), &[says]);
    machine(
        "name=a",
        &["--machine=name=a lacks lan, replication, disk, interface"],
    );
    machine("nonsense", &["\"nonsense\", which is no KEY=VALUE"]);
    machine(&format!("{ONE},colour=red"), &["has the key \"colour\""]);
    machine(&format!("{ONE},name=c"), &["has name twice"]);
    instead("=a", "=-a", "has name=-a that is not a host name");
    instead(
        "10.1.0.1",
        "node1",
        "has lan=node1 that is not an IP address",
    );
    instead(
        "10.1.0.1",
        "127.0.0.1",
        "lan=127.0.0.1 that is no address that another machine reaches",
    );
    instead("/dev/sdb", "sdb", "disk=sdb that is no disk");
    instead("/dev/sdb", "/dev/drbd1", "disk=/dev/drbd1 that is no disk");
    instead("/dev/sdb", "/dev/a b;x", "is not the plain path");
    instead(
        "eth0",
        "a-name-too-long-for-linux",
        "is no network interface",
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
        &[
            "10.1.0.1 is an address of two things",
            "is in the network of --virtual-ip",
        ],
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
        .has(&["lan=10.1.0.1 is not in the network of --virtual-ip"]);
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
        .has(&["--virtual-ip=vip/24 is not an IP address"]);
}

#[test]
fn addresses_and_paths_are_checked() {
    flags(
        &["--gateway", "router"],
        &["--gateway=router is not an IP address"],
    );
    flags(&["--pki", "pki"], &["--pki=pki is not the plain path"]);
    for bad in ["off", "/off -f", "/a/../b", "/off/", "/a\"; }"] {
        flags(
            &["--fence-command", bad],
            &["is not the plain path of one thing"],
        );
    }
}

#[test]
fn one_thing_decides_about_a_lost_machine() {
    let says = &["what decides about a lost machine?", "--without-fencing"];
    let third = ["--tie-breaker", "c=10.2.0.3"];
    let start = [
        "two-node",
        "config",
        "--dir",
        "/nonexistent/x",
        "--drbd",
        "9",
    ];
    let machines = ["--machine", ONE, "--machine", TWO, "--virtual-ip", VIP];
    call(&[&start[..], &machines].concat())
        .ends_with(78)
        .has(says);
    flags(&[&third[..], &["--fence-command", "/off"]].concat(), says);
    flags(&[&third[..], &["--without-fencing"]].concat(), says);
    flags(
        &[&third[..], &["--drbd", "8.4"]].concat(),
        &["needs --drbd=9"],
    );
    flags(
        &["--tie-breaker", "c"],
        &["--tie-breaker=c is not HOST=ADDRESS"],
    );
    flags(
        &["--tie-breaker", "a=10.2.0.3"],
        &["name=a is given to two machines"],
    );
    flags(
        &["--tie-breaker", "c=10.2.0.2"],
        &["10.2.0.2 is an address of two things"],
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
    let said = given(ONE, TWO, VIP, &["--secret-file", &short]);
    said.ends_with(78)
        .has(&["holds 7 bytes, and a secret has at least 32"]);
    assert!(!said.err.contains("hidden"), "{said:?}");
    let same = put(&[b'k'; 40]);
    flags(&["--secret-file", &same], &["one byte over and over"]);
    let huge = put(&vec![b'a'; 100_000]);
    flags(&["--secret-file", &huge], &["has more than 4096 bytes"]);
    let binary = put(&[&[0xff; 32][..], &[0xfe; 32]].concat());
    flags(&["--secret-file", &binary], &["--secret-file="]);
    flags(
        &["--secret-file", "/nonexistent"],
        &["--secret-file=/nonexistent does not read"],
    );
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let given = ["--pki", "p", "--gateway", "g", "--fence-command", "f"];
    flags(&given, &["--pki=p", "--gateway=g", "--fence-command=f"]);
}
