//! etcd's configuration file, as people and as enemies write it; and other files that are none.

use std::time::{Duration, Instant};

use crate::call;

/// A file that is refused, with what is said about it; at once, and without much memory.
fn refused(content: impl AsRef<[u8]>, why: &str) {
    let begin = Instant::now();
    let said = call(&["status"]).file("ETCD_CONFIG_FILE", content).run();
    said.ends_with(78).has(&["ETCD_CONFIG_FILE=", why]);
    assert!(said.err.len() < 1000, "{}", said.err.len());
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_configuration_file_that_is_none_is_named() {
    refused("\x7fELF\x00\x01", "is not an etcd configuration");
    refused(b"name: \xff\xfe", "is not text");
    refused(vec![b' '; 3 << 20], "has 3145728 bytes");
    refused("- a\n- b\n", "is not a map");
    refused("name: a\n---\nname: b\n", "several documents");
    refused("name: [", "is not an etcd configuration");
}

/// etcd would end at once, when this member has left the cluster already.
#[test]
fn a_configuration_file_that_etcd_would_not_take_is_a_mistake() {
    refused("name: yes\n", "name: true is no text");
    refused(
        "pre-vote: 'yes'\nData-Dir: /d\n",
        "Data-Dir is written data-dir; pre-vote: \"yes\" is neither true nor false",
    );
}

/// Read as if it were right, it would lead to another data dir than etcd's: intact data would look lost.
#[test]
fn a_key_that_etcd_does_not_know_is_passed_over_and_named() {
    let said = call(&["status"])
        .file("ETCD_CONFIG_FILE", "name: n1\ndata_dir: /nowhere/x\n")
        .run();
    said.has(&["n1.etcd", "does not know the key data_dir"]);
}

#[test]
fn a_hostile_configuration_file_costs_nothing() {
    refused("a: &a [x]\nb: *a\n", "aliases");
    refused("<<:\n  data-dir: /elsewhere\nname: n1\n", "merges keys");
    refused("name: \"\"\n", "name is empty");
    refused(
        "initial-cluster-state: \"\"\n",
        "initial-cluster-state is empty",
    );
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for n in 1..30 {
        let again = format!("*a{0}, ", n - 1).repeat(9);
        laughs += &format!("a{n}: &a{n} [{again}]\n");
    }
    refused(laughs, "aliases");
    refused(
        "a: ".to_string() + &"[".repeat(400_000),
        "is not an etcd configuration",
    );
    let closed = format!("a: {}{}", "[".repeat(400_000), "]".repeat(400_000));
    refused(closed, "is not an etcd configuration");
    refused("- ".repeat(400_000), "nested too deep");
    refused("? ".repeat(400_000), "nested too deep");
    let deep: String = (0..900).map(|n| " ".repeat(n) + "a:\n").collect();
    refused(deep, "nested too deep");
}

#[test]
fn a_file_that_never_ends_or_never_begins_is_not_read() {
    let fifo = tempfile::tempdir().unwrap();
    let path = fifo.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let path = path.display().to_string();
    for file in ["/dev/zero", "/dev/stdin", &path] {
        for name in [
            "ETCD_CONFIG_FILE",
            "REJOIN_PASSWORD_FILE",
            "ETCD_PEER_CERT_FILE",
        ] {
            let said = call(&["status"])
                .env("REJOIN_USER", "u")
                .env(name, file)
                .run();
            said.ends_with(78)
                .has(&[&format!("{name}={file} is not a regular file")]);
        }
    }
    let said = call(&["status"]).env("ETCD_CONFIG_FILE", "/etc").run();
    said.ends_with(78)
        .has(&["ETCD_CONFIG_FILE=/etc is a directory"]);
}

#[test]
fn a_missing_file_has_the_name_it_was_given_by() {
    let said = call(&["status"]).env("ETCD_CONFIG_FILE", "/nowhere").run();
    said.ends_with(78)
        .has(&["ETCD_CONFIG_FILE=/nowhere does not read"]);
    let said = call(&["--config-file=/nowhere"]).run();
    said.ends_with(78)
        .has(&["--config-file=/nowhere does not read"]);
    let said = call(&["status"])
        .env("REJOIN_USER", "u")
        .env("REJOIN_PASSWORD_FILE", "/nowhere");
    let said = { said }.run();
    said.ends_with(78)
        .has(&["REJOIN_PASSWORD_FILE=/nowhere does not read"]);
}

#[test]
fn a_configuration_file_is_the_only_configuration() {
    let mut call = call(&["status", "--json"])
        .env("ETCD_NAME", "other")
        .env("REJOIN_AS", "voter");
    call = call.file("ETCD_CONFIG_FILE", "name: n1\ndata-dir: here\n");
    let said = call.run();
    said.ends_with(0)
        .has(&["etcd ignores ETCD_DATA_DIR, ETCD_NAME beside"]);
    let status: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(status["name"], "n1");
    assert_eq!(status["data_dir"]["path"], "here");
}
