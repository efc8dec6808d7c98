//! etcds on loopback, and the program under test beside them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::certs::Ca;

/// How long a condition may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for a condition.
#[track_caller]
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "after {PATIENCE:?} still not: {what}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// A program of an etcd, by its Debian suite.
fn program(suite: &str, name: &str) -> PathBuf {
    let cache = std::env::var_os("ETCD_REJOIN_CACHE").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/etcd-rejoin");
    let path = cache
        .unwrap_or_else(home)
        .join("etcd")
        .join(suite)
        .join(name);
    assert!(
        path.exists(),
        "{path:?} is missing: run tests/setup/etcd.sh"
    );
    path
}

/// An address of this machine's loopback for each etcd: ports are etcd's own.
fn address() -> String {
    use std::sync::atomic::{AtomicU8, Ordering};
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let id = std::process::id();
    // Other tests use 127.20 to 127.219.
    format!(
        "127.{}.{}.{}",
        220 + id % 30,
        id / 30 % 250,
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// A cluster of one.
pub struct Lone {
    child: Child,
    suite: &'static str,
    address: String,
    /// Its client URL.
    pub url: String,
    /// Flags of etcdctl.
    access: Vec<String>,
    dir: tempfile::TempDir,
}

impl Lone {
    /// One with an empty data dir.
    pub fn start(suite: &'static str) -> Lone {
        Lone::at(suite, address(), "http", &[], Vec::new())
    }

    /// Its disk is lost, and it is founded again where it was.
    pub fn anew(self) -> Lone {
        let (suite, address) = (self.suite, self.address.clone());
        drop(self);
        Lone::at(suite, address, "http", &[], Vec::new())
    }

    /// One that takes clients with a certificate alone. `ca.crt`, `client.crt` and `client.key` are made there.
    pub fn secured(suite: &'static str, certs: &Path) -> Lone {
        let address = address();
        let ca = Ca::new(certs, "test-ca");
        let server = ca.server("server", &[&address]);
        let client = ca.client("client", None);
        let file = |path: &Path| path.display().to_string();
        let flags = [
            format!("--cert-file={}", file(&server.cert)),
            format!("--key-file={}", file(&server.key)),
            format!("--trusted-ca-file={}", file(&ca.cert())),
            "--client-cert-auth".into(),
        ];
        let access = vec![
            format!("--cacert={}", file(&ca.cert())),
            format!("--cert={}", file(&client.cert)),
            format!("--key={}", file(&client.key)),
        ];
        Lone::at(suite, address, "https", &flags, access)
    }

    fn at(
        suite: &'static str,
        address: String,
        scheme: &str,
        flags: &[String],
        access: Vec<String>,
    ) -> Lone {
        let dir = tempfile::tempdir().unwrap();
        let (url, peer) = (
            format!("{scheme}://{address}:2379"),
            format!("http://{address}:2380"),
        );
        let initial = format!("n1={peer}");
        let child = etcd(suite, dir.path(), "n1", &url, &peer, &initial, flags);
        let etcd = Lone {
            child,
            suite,
            address,
            url,
            access,
            dir,
        };
        wait_for("etcd is healthy", || {
            etcd.etcdctl(&["endpoint", "health"]).status.success()
        });
        etcd
    }

    fn etcdctl(&self, args: &[&str]) -> Output {
        etcdctl(self.suite, &self.url, &self.access, args)
    }

    #[track_caller]
    fn ctl(&self, args: &[&str]) {
        let done = self.etcdctl(args);
        assert!(
            done.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }

    /// So many keys, of any kind.
    pub fn fill(&self, keys: usize) {
        for n in 0..keys {
            self.ctl(&["put", &format!("key/{n}"), "value"]);
        }
    }

    /// So many MiB that do not compress.
    pub fn fill_mib(&self, mib: usize) {
        let path = self.dir.path().join("value");
        for n in 0..mib {
            let mut random = File::open("/dev/urandom").unwrap();
            std::io::copy(
                &mut std::io::Read::take(&mut random, 1 << 20),
                &mut File::create(&path).unwrap(),
            )
            .unwrap();
            let mut put = Command::new(program(self.suite, "etcdctl"));
            put.env_clear()
                .env("ETCDCTL_API", "3")
                .arg(format!("--endpoints={}", self.url));
            put.args(["put", &format!("large/{n}")])
                .stdin(File::open(&path).unwrap())
                .stdout(Stdio::null());
            assert!(put.status().unwrap().success());
        }
    }

    /// Turns authentication on.
    pub fn with_users(&self, user: &str, password: &str) {
        self.ctl(&["user", "add", &format!("{user}:{password}")]);
        self.ctl(&["auth", "enable"]);
    }
}

impl Drop for Lone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Three members.
pub struct Founders {
    members: Vec<(Child, String)>,
    suite: &'static str,
    _dir: tempfile::TempDir,
}

impl Founders {
    /// Founds a cluster.
    pub fn start(suite: &'static str) -> Founders {
        let dir = tempfile::tempdir().unwrap();
        let addresses: Vec<String> = (0..3).map(|_| address()).collect();
        let initial: Vec<String> = addresses
            .iter()
            .enumerate()
            .map(|(n, address)| format!("n{n}=http://{address}:2380"))
            .collect();
        let mut founders = Founders {
            members: Vec::new(),
            suite,
            _dir: dir,
        };
        for (n, address) in addresses.iter().enumerate() {
            let (url, peer) = (
                format!("http://{address}:2379"),
                format!("http://{address}:2380"),
            );
            let folder = founders._dir.path().join(n.to_string());
            fs::create_dir(&folder).unwrap();
            let child = etcd(
                suite,
                &folder,
                &format!("n{n}"),
                &url,
                &peer,
                &initial.join(","),
                &[],
            );
            founders.members.push((child, url));
        }
        for (_, url) in &founders.members {
            wait_for("a member is healthy", || {
                etcdctl(suite, url, &[], &["endpoint", "health"])
                    .status
                    .success()
            });
        }
        founders
    }

    /// The leader's client URL and ID.
    pub fn leader(&self) -> (String, String) {
        for (_, url) in &self.members {
            let said = etcdctl(
                self.suite,
                url,
                &[],
                &["endpoint", "status", "--write-out=json"],
            )
            .stdout;
            let said: Value = serde_json::from_slice(&said).unwrap();
            let status = &said[0]["Status"];
            if status["leader"] == status["header"]["member_id"] {
                return (
                    url.clone(),
                    format!("{:x}", status["leader"].as_u64().unwrap()),
                );
            }
        }
        panic!("there is no leader");
    }
}

impl Drop for Founders {
    fn drop(&mut self) {
        for (child, _) in &mut self.members {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn etcd(
    suite: &str,
    dir: &Path,
    name: &str,
    url: &str,
    peer: &str,
    initial: &str,
    flags: &[String],
) -> Child {
    let log = File::create(dir.join("log")).unwrap();
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program(suite, "etcd"));
    command
        .arg(format!("--name={name}"))
        .arg(format!("--data-dir={}", dir.join("data").display()));
    command.args([
        format!("--listen-client-urls={url}"),
        format!("--advertise-client-urls={url}"),
    ]);
    command.args([
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
    ]);
    command
        .arg(format!("--initial-cluster={initial}"))
        .args(flags)
        .env_clear();
    let command = command
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    command.spawn().expect("setpriv (util-linux) is needed")
}

fn etcdctl(suite: &str, url: &str, access: &[String], args: &[&str]) -> Output {
    let mut command = Command::new(program(suite, "etcdctl"));
    command
        .env_clear()
        .env("ETCDCTL_API", "3")
        .arg(format!("--endpoints={url}"));
    command.args(access).args(args).output().unwrap()
}

/// The program, with these variables and no others.
pub struct Ours {
    env: Vec<(String, String)>,
}

/// How it ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ours {
    /// Beside this etcd, with this store.
    pub fn new(url: &str, store: &Path) -> Ours {
        let ours = Ours { env: Vec::new() };
        ours.with("ETCDCTL_ENDPOINTS", url)
            .with("REJOIN_STORE", store.to_str().unwrap())
    }

    /// Another with the same variables.
    pub fn like(other: &Ours) -> Ours {
        Ours {
            env: other.env.clone(),
        }
    }

    /// One variable more.
    pub fn with(mut self, name: &str, value: &str) -> Ours {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Not started yet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_etcd-rejoin-snapshot"));
        command
            .env_clear()
            .envs(self.env.iter().cloned())
            .args(args);
        command
    }

    /// Runs it to its end.
    pub fn run(&self, args: &[&str]) -> Ended {
        let done = self.command(args).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ended {
            code: done.status.code().unwrap_or(-1),
            out: text(&done.stdout),
            err: text(&done.stderr),
        }
    }

    /// It has to end well. What it prints.
    #[track_caller]
    pub fn well(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_eq!(ended.code, 0, "{args:?}: {ended:?}");
        ended.out
    }

    /// The same as JSON.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.well(&[args, &["--json"]].concat())).unwrap()
    }

    /// It has to end with this code and these words.
    #[track_caller]
    pub fn fails(&self, args: &[&str], code: i32, words: &str) -> Ended {
        let ended = self.run(args);
        assert!(
            ended.code == code && ended.err.contains(words),
            "{args:?}: wanted {code}, {words:?}: {ended:?}"
        );
        ended
    }

    /// A sidecar.
    pub fn every(&self, args: &[&str]) -> Sidecar {
        let log = tempfile::NamedTempFile::new().unwrap();
        let child = self
            .command(args)
            .stdout(Stdio::null())
            .stderr(log.reopen().unwrap())
            .spawn()
            .unwrap();
        Sidecar { child, log }
    }
}

/// A program that runs until it is stopped.
pub struct Sidecar {
    child: Child,
    log: tempfile::NamedTempFile,
}

impl Sidecar {
    /// What it has said so far.
    pub fn said(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap()
    }

    /// Asks it to stop, and waits for that.
    #[track_caller]
    pub fn stop(mut self) {
        let kill = Command::new("kill")
            .args(["-s", "TERM", &self.child.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
        assert!(self.child.wait().unwrap().success(), "{}", self.said());
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
