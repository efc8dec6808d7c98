//! The real `drbdadm` and `keepalived` take what is written, and refuse what is not right.
//! Debian's packages drbd-utils and keepalived; no module and no root is needed.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{INPUTS, INPUTS_V6, call, read, two_node};

/// A tool that has to be there.
fn tool(name: &str) -> PathBuf {
    let folders = ["/usr/sbin", "/sbin", "/usr/bin"];
    let path = folders.map(|folder| Path::new(folder).join(name));
    let found = path.into_iter().find(|path| path.exists());
    found.unwrap_or_else(|| panic!("no {name}: install Debian's drbd-utils and keepalived"))
}

/// `drbdadm`'s dry run of `verb` as that host, under that version's grammar.
fn dry_run(file: &Path, version: &str, host: &str, verb: &str) -> (i32, String) {
    let output = Command::new(tool("drbdadm"))
        .args(["-c", file.to_str().unwrap(), "-d", verb, "etcd"])
        .env("DRBD_DRIVER_VERSION_OVERRIDE", version)
        .env("__DRBD_NODE__", host)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output.status.code().unwrap_or(-1), text)
}

#[test]
fn drbdadm_takes_both_grammars_as_either_machine() {
    let dir = tempfile::tempdir().unwrap();
    for (grammar, version) in [("8.4", "8.4.11"), ("9", "9.2.0")] {
        let out = dir.path().join(grammar);
        two_node(&out, &["--drbd", grammar])
            .ends_with(0)
            .has(&["drbdadm accepts"]);
        for node in ["node1", "node2"] {
            let file = out.join(node).join("etcd.res");
            for verb in ["up", "create-md", "primary", "secondary", "down"] {
                let (code, text) = dry_run(&file, version, node, verb);
                assert_eq!(code, 0, "{grammar} {node} {verb}: {text}");
            }
            let (_, text) = dry_run(&file, version, node, "up");
            for option in [
                "--fencing=resource-and-stonith",
                "--protocol=C",
                "--ping-int=2",
                "--cram-hmac-alg=sha256",
                "--c-min-rate=40M",
            ] {
                assert!(text.contains(option), "{grammar}: no {option} in {text}");
            }
            assert_eq!(text.contains("--auto-promote=no"), grammar == "9", "{text}");
        }
    }
}

#[test]
fn each_grammar_is_refused_by_the_other_version() {
    let dir = tempfile::tempdir().unwrap();
    for (grammar, other) in [("8.4", "9.2.0"), ("9", "8.4.11")] {
        let out = dir.path().join(grammar);
        two_node(&out, &["--drbd", grammar]).ends_with(0);
        let (code, text) = dry_run(&out.join("node1/etcd.res"), other, "node1", "up");
        assert_eq!(code, 10, "{text}");
    }
}

#[test]
fn drbdadm_takes_a_tie_breaker_on_all_three_machines() {
    let dir = tempfile::tempdir().unwrap();
    two_node(
        dir.path(),
        &["--drbd", "9", "--tie-breaker", "node3=10.2.0.3"],
    )
    .ends_with(0);
    for node in ["node1", "node2", "node3"] {
        let file = dir.path().join(node).join("etcd.res");
        let (code, text) = dry_run(&file, "9.2.0", node, "up");
        assert_eq!(code, 0, "{node}: {text}");
        assert!(text.contains("--quorum=majority"), "{text}");
    }
}

/// An interface that VRRP can run on. keepalived wants it to exist.
fn interface() -> String {
    let all = std::fs::read_dir("/sys/class/net").unwrap();
    let mut names: Vec<String> = all
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| {
            name != "lo"
                && Path::new("/sys/class/net")
                    .join(name)
                    .join("address")
                    .exists()
        })
        .collect();
    names.sort();
    // One that is not only there, but an ordinary one, where there is such.
    let ordinary = names.iter().find(|name| name.starts_with('e'));
    let any = ordinary.or(names.first()).cloned();
    any.expect("keepalived is asked about an interface: this machine has none but lo")
}

#[test]
fn keepalived_takes_what_is_written() {
    let interface = interface();
    let mut inputs = INPUTS.to_vec();
    inputs.pop();
    inputs.push(&interface);
    for (n, more) in [
        &["--drbd", "8.4", "--without-fencing"][..],
        &[
            "--drbd",
            "9",
            "--without-fencing",
            "--gateway",
            "10.1.0.254",
        ],
    ]
    .into_iter()
    .enumerate()
    {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join(n.to_string());
        let start = ["two-node", "config", "--dir", out.to_str().unwrap()];
        call(&[&start, inputs.as_slice(), more].concat())
            .ends_with(0)
            .has(&["keepalived accepts"]);
        // Where the programs are in place, it has nothing to say at all.
        let text = read(&out, "node1/keepalived.conf")
            .replace("/usr/bin/etcd-rejoin", "/bin/true")
            .replace("/usr/bin/ping", "/bin/true");
        let file = out.join("in-place.conf");
        std::fs::write(&file, text).unwrap();
        let output = Command::new(tool("keepalived"))
            .arg("-t")
            .arg("-f")
            .arg(&file)
            .output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert_eq!(said.trim(), "");
    }
}

#[test]
fn keepalived_takes_ipv6() {
    let interface = interface();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let start = ["two-node", "config", "--dir", out.to_str().unwrap()];
    call(&[&start, INPUTS_V6, &[&interface]].concat())
        .ends_with(0)
        .has(&["keepalived accepts", "drbdadm accepts"]);
}

#[test]
fn a_tool_that_could_not_be_asked_is_named() {
    let dir = tempfile::tempdir().unwrap();
    two_node(dir.path(), &["--drbd", "8.4"])
        .ends_with(0)
        .has(&["keepalived was not asked", "no interface nosuch0 here"]);
}
