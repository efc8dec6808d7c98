//! One etcd of a version on loopback, and the program under test beside it.

#![allow(dead_code, reason = "no test file uses all of it")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::s3::free_port;

/// The folder with one folder for each version of etcd.
fn etcds() -> PathBuf {
    let cache = std::env::var_os("ETCD_REJOIN_CACHE").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME")).join(".cache/etcd-rejoin");
    cache.unwrap_or_else(home).join("etcd")
}

/// The etcds that are tested: Debian's 3.4, an early and a late 3.5, and each further one that is there.
pub fn versions() -> Vec<String> {
    let entries = std::fs::read_dir(etcds()).expect("tests/setup/etcd.sh");
    let names = entries.map(|entry| {
        entry
            .expect("an entry")
            .file_name()
            .into_string()
            .expect("UTF-8")
    });
    let further = names.filter(|name| name.starts_with(|c: char| c.is_ascii_digit()));
    ["bookworm", "trixie", "sid"]
        .into_iter()
        .map(String::from)
        .chain(further)
        .collect()
}

/// A program of that etcd.
pub fn program(version: &str, name: &str) -> PathBuf {
    let path = etcds().join(version).join(name);
    assert!(
        path.exists(),
        "{path:?} is missing: run tests/setup/etcd.sh"
    );
    path
}

/// What restores a snapshot there.
pub fn restorer(version: &str) -> Command {
    let name = if version == "bookworm" {
        "etcdctl"
    } else {
        "etcdutl"
    };
    let mut command = Command::new(program(version, name));
    command
        .env("ETCDCTL_API", "3")
        .args(["snapshot", "restore"]);
    command
}

/// An etcd that runs.
pub struct Etcd {
    child: Child,
    /// Which.
    pub version: String,
    /// Its client URL.
    pub url: String,
    dir: tempfile::TempDir,
}

impl Etcd {
    /// A new one.
    pub fn start(version: &str) -> Etcd {
        let dir = tempfile::tempdir().expect("a folder");
        Etcd::on(version, &dir.path().join("data"), dir)
    }

    /// On data that are there.
    pub fn on(version: &str, data_dir: &Path, dir: tempfile::TempDir) -> Etcd {
        let (client, peer) = (free_port(), free_port());
        let [url, peer] = [client, peer].map(|port| format!("http://127.0.0.1:{port}"));
        let log = File::create(dir.path().join("log")).expect("a log");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program(version, "etcd"))
            .args(["--name=n1", &format!("--initial-cluster=n1={peer}")])
            .args([
                format!("--listen-client-urls={url}"),
                format!("--advertise-client-urls={url}"),
            ])
            .args([
                format!("--listen-peer-urls={peer}"),
                format!("--initial-advertise-peer-urls={peer}"),
            ])
            .arg("--data-dir")
            .arg(data_dir)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("setpriv (util-linux) is needed");
        let etcd = Etcd {
            child,
            version: version.into(),
            url,
            dir,
        };
        let end = Instant::now() + Duration::from_secs(60);
        while !etcd.etcdctl(&["endpoint", "health"]).status.success() {
            assert!(Instant::now() < end, "after 60s still not: etcd is healthy");
            std::thread::sleep(Duration::from_millis(50));
        }
        etcd
    }

    /// Its data dir, at rest as a kill leaves it, and the folder that it ends with.
    pub fn killed(mut self) -> (PathBuf, tempfile::TempDir) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let none = tempfile::tempdir().expect("a folder");
        let dir = std::mem::replace(&mut self.dir, none);
        (dir.path().join("data"), dir)
    }

    fn etcdctl(&self, args: &[&str]) -> Output {
        let mut command = Command::new(program(&self.version, "etcdctl"));
        command
            .env_clear()
            .env("ETCDCTL_API", "3")
            .arg(format!("--endpoints={}", self.url))
            .args(args);
        command.output().expect("etcdctl")
    }

    /// What etcdctl prints.
    #[track_caller]
    pub fn ctl(&self, args: &[&str]) -> String {
        let Output {
            status,
            stdout,
            stderr,
        } = self.etcdctl(args);
        assert!(
            status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&stderr)
        );
        String::from_utf8_lossy(&stdout).into_owned()
    }

    /// Some keys, some of them written again, one deleted, and a compaction.
    pub fn fill(&self) {
        for n in 0..20 {
            self.ctl(&["put", &format!("key/{}", n % 8), &format!("value {n}")]);
        }
        self.ctl(&["del", "key/3"]);
        self.ctl(&["compact", "9"]);
    }

    /// Keys of a size that compresses badly, as many MiB.
    pub fn fill_mib(&self, mib: usize) {
        let mut seed = 1_u64;
        let mut byte = || {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            b"0123456789abcdefghijklmnopqrstuv"[(seed >> 59) as usize] as char
        };
        for n in 0..mib * 8 {
            // The longest argument that Linux passes on has 128 KiB.
            let value: String = (0..120 << 10).map(|_| byte()).collect();
            self.ctl(&["put", &format!("large/{n}"), &value]);
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program under test, with these variables and nothing else in its environment.
pub struct Ours {
    env: Vec<(String, String)>,
    scratch: tempfile::TempDir,
}

/// What the program said, and how it ended.
#[derive(Debug)]
pub struct Said {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ours {
    /// Beside this etcd, with a store.
    pub fn new(etcd: &Etcd, store: &str) -> Ours {
        let folder = program(&etcd.version, "etcd")
            .parent()
            .expect("a folder")
            .display()
            .to_string();
        Ours::alone(store)
            .with("ETCDCTL_ENDPOINTS", &etcd.url)
            .with("PATH", &format!("{folder}:/usr/bin:/bin"))
    }

    /// Beside no etcd.
    pub fn alone(store: &str) -> Ours {
        let ours = Ours {
            env: Vec::new(),
            scratch: tempfile::tempdir().expect("a folder"),
        };
        ours.with("REJOIN_STORE", store)
            .with("ETCDCTL_ENDPOINTS", "http://127.99.99.99:9")
            .with("REJOIN_LOG_FORMAT", "text")
    }

    /// With a variable.
    pub fn with(mut self, name: &str, value: &str) -> Ours {
        self.env.push((name.into(), value.into()));
        self
    }

    /// With several.
    pub fn with_all(self, env: Vec<(&'static str, String)>) -> Ours {
        env.into_iter()
            .fold(self, |ours, (name, value)| ours.with(name, &value))
    }

    /// Not started yet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_etcd-rejoin-snapshot"));
        command
            .env_clear()
            .envs(self.env.iter().cloned())
            .env("TMPDIR", self.scratch.path())
            .args(args);
        command
    }

    /// Runs it to its end.
    pub fn run(&self, args: &[&str]) -> Said {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(args).output().expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        // Nothing is left where it may put things meanwhile.
        let left: Vec<_> = std::fs::read_dir(self.scratch.path())
            .expect("a folder")
            .collect();
        assert!(left.is_empty(), "{args:?} leaves {left:?}");
        Said {
            code: status.code().unwrap_or(-1),
            out: text(&stdout),
            err: text(&stderr),
        }
    }

    /// Runs it; it has to end well.
    #[track_caller]
    pub fn well(&self, args: &[&str]) -> String {
        let said = self.run(args);
        assert_eq!(said.code, 0, "{args:?}: {said:?}");
        said.out
    }

    /// Runs it; it has to end well, and prints JSON.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let out = self.well(&[args, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?}: {error}: {out}"))
    }

    /// Runs it; it has to end with this code, and these words on stderr.
    #[track_caller]
    pub fn fails(&self, args: &[&str], code: i32, words: &str) -> Said {
        let said = self.run(args);
        assert!(
            said.code == code && said.err.contains(words),
            "{args:?}: wanted {code} and {words:?}: {said:?}"
        );
        said
    }
}
