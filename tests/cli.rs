//! What a person at the command line sees: help, mistakes, status, exit codes. No cluster is needed.
//!
//! etcd comes from `tests/setup/etcd.sh` where it is the real one.

mod support;

#[path = "cli/commands.rs"]
mod commands;
#[path = "cli/files.rs"]
mod files;
#[path = "cli/mistakes.rs"]
mod mistakes;
#[path = "cli/running.rs"]
mod running;
#[path = "support/said.rs"]
mod said;
#[path = "cli/status.rs"]
mod status;
#[path = "cli/two_nodes.rs"]
mod two_nodes;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assert_cmd::Command;
use tempfile::TempDir;

use said::Said;
use support::addresses::Addresses;

/// The settings of a call: nothing but what is set here.
pub(crate) struct Call {
    command: Command,
    dir: TempDir,
}

/// A call in an empty directory, with the environment of a minimal image.
pub(crate) fn call(args: &[&str]) -> Call {
    let dir = support::files::scratch();
    let mut command = Command::new(env!("CARGO_BIN_EXE_etcd-rejoin"));
    command
        .args(args)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("REJOIN_LOG_FORMAT", "text")
        .env("ETCD_DATA_DIR", dir.path().join("data"))
        .current_dir(dir.path())
        .timeout(Duration::from_secs(20));
    Call { command, dir }
}

impl Call {
    pub(crate) fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn unset(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Writes a file into its directory, and names it in a variable.
    pub(crate) fn file(self, variable: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.dir.path().join("file");
        std::fs::write(&path, content).unwrap();
        self.env(variable, path)
    }

    /// A stand-in for etcd that prints its arguments and environment, and ends with 7.
    pub(crate) fn stand_in(self) -> Self {
        let script = "#!/bin/sh\necho \"args: $*\"\nenv\nexit 7\n";
        let path = executable(self.dir.path(), "etcd", script);
        self.env("REJOIN_ETCD", path)
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn run(&mut self) -> Said {
        self.command.output().unwrap().into()
    }
}

/// Writes a program.
pub(crate) fn executable(dir: &Path, name: &str, script: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.join(name);
    support::executable(&path, script);
    path
}

/// The settings of member 1 of two.
pub(crate) fn of_two(call: Call, addresses: &Addresses) -> Call {
    let (one, two) = (addresses.host(1), addresses.host(2));
    call.env("ETCD_NAME", "n1")
        .env(
            "ETCD_INITIAL_CLUSTER",
            format!("n1=http://{one}:2380,n2=http://{two}:2380"),
        )
        .env("ETCD_LISTEN_PEER_URLS", format!("http://{one}:2380"))
        .env("ETCD_LISTEN_CLIENT_URLS", format!("http://{one}:2379"))
        .env("ETCD_ADVERTISE_CLIENT_URLS", format!("http://{one}:2379"))
}
