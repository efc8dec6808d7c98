//! What entrypoints tell each other before any etcd runs, over real sockets: real processes, hostile
//! askers and hostile answers. The test itself plays the other member where that is enough.

mod support;

#[path = "assembly/answers.rs"]
mod answers;
#[path = "assembly/askers.rs"]
mod askers;
#[path = "assembly/callers.rs"]
mod callers;
#[path = "assembly/together.rs"]
mod together;
#[path = "assembly/twins.rs"]
mod twins;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use support::addresses::Addresses;
use support::process::{Log, Process};
use support::{PATIENCE, files, wait_for};

/// The resource.
pub(crate) const PATH: &str = etcd_rejoin::assembly::PATH;

/// Some members of one initial cluster, each with a volume; etcd is a stand-in that says so and stays.
pub(crate) struct Members {
    pub(crate) addresses: Addresses,
    pub(crate) dir: TempDir,
    names: Vec<String>,
    pub(crate) scheme: &'static str,
}

impl Members {
    pub(crate) fn new(n: u8) -> Self {
        let dir = files::scratch();
        let script = "#!/bin/sh\necho STAND-IN \"$@\"\nexec sleep 600\n";
        support::executable(&dir.path().join("etcd"), script);
        Members {
            addresses: Addresses::take(),
            dir,
            names: (1..=n).map(|n| format!("n{n}")).collect(),
            scheme: "http",
        }
    }

    pub(crate) fn peer_url(&self, n: u8) -> String {
        format!("{}://{}:2380", self.scheme, self.addresses.host(n))
    }

    pub(crate) fn initial(&self) -> String {
        let all = (1..).zip(&self.names);
        let all: Vec<String> = all
            .map(|(n, name)| format!("{name}={}", self.peer_url(n)))
            .collect();
        all.join(",")
    }

    pub(crate) fn data_dir(&self, n: u8) -> PathBuf {
        self.dir.path().join(format!("data{n}"))
    }

    pub(crate) fn env(&self, n: u8) -> BTreeMap<String, String> {
        let url = self.peer_url(n);
        let client = url.replace(":2380", ":2379");
        let etcd = self.dir.path().join("etcd");
        let pairs = [
            ("ETCD_NAME", format!("n{n}")),
            ("ETCD_DATA_DIR", self.data_dir(n).display().to_string()),
            ("ETCD_INITIAL_CLUSTER", self.initial()),
            ("ETCD_INITIAL_ADVERTISE_PEER_URLS", url.clone()),
            ("ETCD_LISTEN_PEER_URLS", url),
            ("ETCD_LISTEN_CLIENT_URLS", client.clone()),
            ("ETCD_ADVERTISE_CLIENT_URLS", client),
            ("REJOIN_ETCD", etcd.display().to_string()),
            ("REJOIN_TIMEOUT", "500ms".into()),
        ];
        pairs.map(|(name, value)| (name.to_string(), value)).into()
    }

    /// Starts member `n` with some settings of its own.
    pub(crate) fn start(&self, n: u8, more: &[(&str, &str)]) -> Started {
        let mut env = self.env(n);
        env.extend(
            more.iter()
                .map(|(name, value)| (name.to_string(), value.to_string())),
        );
        self.start_in(&[env!("CARGO_BIN_EXE_etcd-rejoin")], n, &env)
    }

    /// Starts this command in the environment.
    pub(crate) fn start_in(
        &self,
        words: &[&str],
        n: u8,
        env: &BTreeMap<String, String>,
    ) -> Started {
        let mut log = Log::new(self.dir.path().join(format!("log{n}")));
        log.mark();
        let setup = |command: &mut std::process::Command| {
            command.args(&words[1..]).envs(env);
        };
        let process = Process::spawn(Path::new(words[0]), setup, &log.path);
        Started { process, log }
    }
}

/// A running member.
pub(crate) struct Started {
    pub(crate) process: Process,
    pub(crate) log: Log,
}

impl Started {
    #[track_caller]
    pub(crate) fn wait_log(&mut self, part: &str) {
        let what = format!("the log says {part:?}");
        wait_for(&what, PATIENCE, || {
            let said = self.log.text().contains(part);
            let code = self.process.code();
            assert!(
                said || code.is_none(),
                "ended with {code:?}: {}",
                self.log.text()
            );
            said
        });
    }

    #[track_caller]
    pub(crate) fn wait_reason(&mut self, reason: &str) {
        let what = format!("reason={reason}");
        wait_for(&what, PATIENCE, || self.log.has_reason(reason));
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- log:\n{}", self.log.tail());
        }
    }
}
