//! Are the configurations of two machines, as `config two-node` writes them, what DRBD and keepalived
//! take, and does `config check` name what is dangerous? No kernel module is needed.

#[path = "two_node/check.rs"]
mod check;
#[path = "two_node/examples.rs"]
mod examples;
#[path = "two_node/machine.rs"]
mod machine;
#[path = "two_node/mistakes.rs"]
mod mistakes;
#[path = "two_node/tools.rs"]
mod tools;
#[path = "two_node/written.rs"]
mod written;

use std::path::Path;
use std::time::Duration;

use assert_cmd::Command;

/// What a call printed, and its exit code.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: i32,
}

impl Said {
    #[track_caller]
    pub(crate) fn has(&self, parts: &[&str]) -> &Self {
        for part in parts {
            let there = self.out.contains(part) || self.err.contains(part);
            assert!(there, "{part:?} is not in {self:#?}");
        }
        self
    }

    #[track_caller]
    pub(crate) fn ends_with(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }
}

/// Our program with these words.
pub(crate) fn call(words: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_etcd-rejoin"))
        .args(words)
        .env_clear()
        .timeout(Duration::from_secs(60))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said {
        out: text(&output.stdout),
        err: text(&output.stderr),
        code: output.status.code().unwrap_or(-1),
    }
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

/// `config two-node` into that folder, with these words on top.
pub(crate) fn two_node(dir: &Path, more: &[&str]) -> Said {
    let start = ["config", "two-node", "--dir", dir.to_str().unwrap()];
    call(&[&start, INPUTS, more].concat())
}

pub(crate) fn read(dir: &Path, name: &str) -> String {
    let path = dir.join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}
