//! Are the configurations of two machines, as `two-node config` writes them, what DRBD and keepalived
//! take, and does `two-node check` name what is dangerous? No kernel module is needed.

#[path = "two_node/check.rs"]
mod check;
#[path = "two_node/examples.rs"]
mod examples;
#[path = "two_node/machine.rs"]
mod machine;
#[path = "two_node/mistakes.rs"]
mod mistakes;
#[path = "support/said.rs"]
mod said;
#[path = "two_node/tools.rs"]
mod tools;
#[path = "two_node/written.rs"]
mod written;

use std::path::Path;
use std::time::Duration;

use assert_cmd::Command;

pub(crate) use said::Said;

/// Our program with these words.
pub(crate) fn call(words: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_etcd-rejoin"))
        .args(words)
        .env_clear()
        .timeout(Duration::from_secs(60))
        .output()
        .unwrap();
    output.into()
}

/// The handful of inputs.
pub(crate) const INPUTS: &[&str] = &[
    "--machine",
    "name=node1,lan=10.1.0.1,replication=10.2.0.1,disk=/dev/vg0/etcd",
    "--machine",
    "name=node2,lan=10.1.0.2,replication=10.2.0.2,disk=/dev/vg0/etcd",
    "--virtual-ip",
    "10.1.0.100/24",
    "--interface",
    "nosuch0",
];

/// The same with addresses of IPv6; the interface follows.
pub(crate) const INPUTS_V6: &[&str] = &[
    "--drbd",
    "9",
    "--without-fencing",
    "--machine",
    "name=a,lan=fd00:1::1,replication=fd00:2::1,disk=/dev/sdb",
    "--machine",
    "name=b,lan=fd00:1::2,replication=fd00:2::2,disk=/dev/sdb",
    "--virtual-ip",
    "fd00:1::64/64",
    "--interface",
];

/// `two-node config` into that folder, with these words on top, without fencing unless they say
/// what decides about a lost machine.
pub(crate) fn two_node(dir: &Path, more: &[&str]) -> Said {
    let start = ["two-node", "config", "--dir", dir.to_str().unwrap()];
    let shapes = ["--fence-command", "--tie-breaker", "--without-fencing"];
    let shape: &[&str] = match more.iter().any(|word| shapes.contains(word)) {
        true => &[],
        false => &["--without-fencing"],
    };
    call(&[&start, INPUTS, more, shape].concat())
}

pub(crate) fn read(dir: &Path, name: &str) -> String {
    let path = dir.join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}
