//! A real etcd on an address of its own, for tests of the data dir. Ends with the test.

#![allow(dead_code)] // each test binary uses a part of it

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use etcd_rejoin::decide::Identity;
use etcd_rejoin::membership::{ClusterId, MemberId};
use serde_json::{Value, json};

use crate::support::Version;

/// Longer than anything takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A loopback address that no other test uses.
pub fn address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let pid = std::process::id();
    loop {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let first = 64 + n % 64 + pid / 65_536 % 2 * 64;
        let address = format!("127.{first}.{}.{}", pid / 256 % 256, pid % 256);
        // After 64 addresses they come again: an etcd of another test may still run there.
        if TcpListener::bind((address.as_str(), 2379)).is_ok() {
            return address;
        }
    }
}

/// Waits until something is there.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A running etcd.
pub struct Etcd {
    child: Child,
    address: String,
    log: PathBuf,
    http: ureq::Agent,
}

impl Etcd {
    /// Starts member `n1` of a cluster of its own.
    pub fn start(version: Version, data: &Path, more: &[&str]) -> Etcd {
        Etcd::start_at(version, data, &address(), "", more)
    }

    /// Starts member `n1` at an address; `others` are further members, as `,n2=URL`.
    pub fn start_at(
        version: Version,
        data: &Path,
        address: &str,
        others: &str,
        more: &[&str],
    ) -> Etcd {
        let log = data.with_extension("log");
        let out = File::create(&log).unwrap();
        let (client, peer) = (
            format!("http://{address}:2379"),
            format!("http://{address}:2380"),
        );
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(version.etcd())
            .args(["--name", "n1", "--data-dir"])
            .arg(data)
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args([
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
            ])
            .args(["--initial-cluster", &format!("n1={peer}{others}")])
            // A member by itself elects itself ten times as fast.
            .args(["--heartbeat-interval", "10", "--election-timeout", "100"])
            .args(more)
            .stdin(Stdio::null())
            .stderr(out.try_clone().unwrap())
            .stdout(out)
            .spawn()
            .expect("setpriv (util-linux) runs");
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(20)))
            .proxy(None)
            .http_status_as_error(false);
        let (http, address) = (config.build().into(), address.to_string());
        Etcd {
            child,
            address,
            log,
            http,
        }
    }

    /// What it printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it serves.
    pub fn healthy(mut self) -> Etcd {
        let url = format!("http://{}:2379/health", self.address);
        wait_for("a healthy etcd", || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "etcd ended: {ended:?}\n{}", self.log());
            self.http
                .get(&url)
                .call()
                .ok()
                .filter(|answer| answer.status() == 200)
        });
        self
    }

    /// Whether it becomes healthy, else ends by itself.
    pub fn serves(&mut self) -> bool {
        let url = format!("http://{}:2379/health", self.address);
        wait_for("an etcd that serves or ends", || {
            match self.child.try_wait().unwrap() {
                Some(_) => Some(false),
                None => (self.http.get(&url).call().ok())
                    .filter(|answer| answer.status() == 200)
                    .map(|_| true),
            }
        })
    }

    /// Waits until it ends by itself.
    pub fn ended(&mut self) -> ExitStatus {
        wait_for("the end of etcd", || self.child.try_wait().unwrap())
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whose it says it is, on its peer port.
    pub fn identity(&self) -> Identity {
        let url = format!("http://{}:2380/members", self.address);
        let mut answer = self.http.get(url).call().unwrap();
        let cluster = answer.headers()["X-Etcd-Cluster-Id"].to_str().unwrap();
        let cluster: ClusterId = cluster.parse().unwrap();
        let members: Value = serde_json::from_reader(answer.body_mut().as_reader()).unwrap();
        let member = MemberId(members[0]["id"].as_u64().unwrap());
        Identity { member, cluster }
    }

    /// Sends a request to the gateway.
    pub fn post(&self, path: &str, body: &Value) -> Value {
        let url = format!("http://{}:2379/v3/{path}", self.address);
        let mut answer = self.http.post(url).send(body.to_string()).unwrap();
        let status = answer.status();
        let value: Value = serde_json::from_reader(answer.body_mut().as_reader()).unwrap();
        assert_eq!(status, 200, "{path}: {value}");
        value
    }

    /// Writes `count` keys from `first` on, each with so many bytes, a hundred in each transaction.
    pub fn put(&self, first: usize, count: usize, size: usize) {
        let keys: Vec<usize> = (first..first + count).collect();
        for keys in keys.chunks(100.min(1_000_000 / size.max(1)).max(1)) {
            let put = |n: &usize| {
                let value = vec![*n as u8; size + n % 7];
                json!({"requestPut": {"key": base64(key(*n).as_bytes()), "value": base64(&value)}})
            };
            let puts: Vec<Value> = keys.iter().map(put).collect();
            self.post("kv/txn", &json!({ "success": puts }));
        }
    }

    /// How many keys it holds.
    pub fn count(&self) -> u64 {
        let all = json!({"key": "AA==", "range_end": "AA==", "count_only": true});
        let answer = self.post("kv/range", &all);
        answer["count"]
            .as_str()
            .map_or(0, |count| count.parse().unwrap())
    }

    /// Deletes the keys from `first` up to `end`, and compacts what they were.
    pub fn delete(&self, first: usize, end: usize) {
        let range =
            json!({"key": base64(key(first).as_bytes()), "range_end": base64(key(end).as_bytes())});
        let answer = self.post("kv/deleterange", &range);
        let revision = &answer["header"]["revision"];
        self.post(
            "kv/compaction",
            &json!({"revision": revision, "physical": true}),
        );
    }

    /// Kills it, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

fn key(n: usize) -> String {
    format!("key-{n:08}")
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0u32, |bits, i| {
            bits << 8 | u32::from(*chunk.get(i).unwrap_or(&0))
        });
        for i in 0..4 {
            match i <= chunk.len() {
                true => text.push(DIGITS[(bits >> (18 - 6 * i) & 63) as usize] as char),
                false => text.push('='),
            }
        }
    }
    text
}

/// Copies a data dir as it lies there.
pub fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp")
        .args(["-a", "--sparse=always"])
        .arg(from)
        .arg(to)
        .status()
        .unwrap();
    assert!(done.success());
}
