//! A stand-in for the kubelets of all nodes: registers them, and runs each of their pods as a Docker container.
//!
//! Startup and readiness are asked once a second until they hold: a test has less patience than a node.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::api::{Api, text};
use super::dns::{self, Names, Zone};
use super::pod::Pod;

/// How often it looks at what the server wants.
const LOOK: Duration = Duration::from_millis(300);
/// How often a node says that it is there.
const HEARTBEAT: Duration = Duration::from_secs(4);

/// How many nodes there are, and how many of them are for the set whose nodes are lost alone.
const NODES: usize = 10;
const DOOMED: usize = 4;

/// What a test breaks.
#[derive(Default)]
pub struct Faults {
    /// Nodes that nobody hears of, and that hear of nothing. What runs there goes on.
    pub lost: BTreeSet<String>,
    /// How the names of a namespace are answered, where not as they are.
    pub names: BTreeMap<String, Names>,
    /// When the pre-stop hooks of a namespace are killed.
    pub pre_stop: BTreeMap<String, Killed>,
}

/// When a pre-stop is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Killed {
    Never,
    /// As soon as it has noted that this member left.
    Noted,
    After(Duration),
}

/// All nodes.
pub struct Kubelet {
    pub api: Api,
    /// Of everything that it writes.
    pub dir: PathBuf,
    pub network: String,
    pub image: String,
    pub gateway: String,
    pods: Mutex<BTreeMap<String, Value>>,
    zone: Mutex<Zone>,
    faults: Mutex<Faults>,
    /// How long the last pre-stop hook of a namespace ran.
    hooks: Mutex<BTreeMap<String, Duration>>,
    /// The folders of the volumes that pods have had.
    volumes: Mutex<BTreeSet<PathBuf>>,
    addresses: AtomicU32,
    over: AtomicBool,
}

impl Kubelet {
    pub fn new(api: &Api, dir: &Path, network: &str, image: &str, gateway: &str) -> Arc<Kubelet> {
        Arc::new(Kubelet {
            api: api.clone(),
            dir: dir.into(),
            network: network.into(),
            image: image.into(),
            gateway: gateway.into(),
            pods: Mutex::default(),
            zone: Mutex::default(),
            faults: Mutex::default(),
            hooks: Mutex::default(),
            volumes: Mutex::default(),
            addresses: AtomicU32::new(10),
            over: AtomicBool::new(false),
        })
    }

    /// Its threads, until the end: DNS, heartbeats, and one for each pod.
    pub fn run(this: &Arc<Kubelet>) -> Vec<JoinHandle<()>> {
        let socket = UdpSocket::bind((this.gateway.as_str(), 53)).unwrap();
        let (names, beats, pods) = (this.clone(), this.clone(), this.clone());
        vec![
            std::thread::spawn(move || {
                let how = |namespace: &str| names.faults().names.get(namespace).copied();
                let zone = || names.zone.lock().unwrap().clone();
                dns::serve(&socket, || names.is_over(), zone, how);
            }),
            std::thread::spawn(move || beats.beat()),
            std::thread::spawn(move || Kubelet::follow(&pods)),
        ]
    }

    /// Ends its threads; each pod's thread removes its container.
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Removes the volumes that were left.
    pub fn clear(&self) {
        for volume in std::mem::take(&mut *self.volumes.lock().unwrap()) {
            let _ = fs::remove_dir_all(&volume);
            // What has them all, once it is empty.
            let _ = volume.parent().map(fs::remove_dir);
        }
    }

    /// What a test breaks, to be changed.
    pub fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap()
    }

    pub fn node_name(n: usize) -> String {
        format!("node-{n}")
    }

    /// The pod as the server has it now, on a node that hears of it; `None` where it is gone.
    pub fn pod(&self, uid: &str) -> Option<Value> {
        self.pods.lock().unwrap().get(uid).cloned()
    }

    pub fn is_lost(&self, node: &str) -> bool {
        self.faults().lost.contains(node)
    }

    /// The addresses that a name has.
    pub fn addresses_of(&self, name: &str) -> Vec<Ipv4Addr> {
        self.zone
            .lock()
            .unwrap()
            .get(name)
            .cloned()
            .unwrap_or_default()
    }

    /// No address is handed out twice.
    pub fn next_address(&self) -> String {
        let n = self.addresses.fetch_add(1, Ordering::Relaxed);
        let gateway: Ipv4Addr = self.gateway.parse().unwrap();
        Ipv4Addr::from(u32::from(gateway) + n).to_string()
    }

    pub fn note_volume(&self, folder: &Path) {
        self.volumes.lock().unwrap().insert(folder.into());
    }

    /// A pre-stop hook of this namespace has run so long.
    pub fn note_hook(&self, namespace: &str, took: Duration) {
        self.hooks.lock().unwrap().insert(namespace.into(), took);
    }

    /// How long the last pre-stop hook of this namespace ran.
    pub fn hook(&self, namespace: &str) -> Option<Duration> {
        self.hooks.lock().unwrap().get(namespace).copied()
    }

    fn beat(&self) {
        for n in 0..NODES {
            let name = Kubelet::node_name(n);
            let doomed = n >= NODES - DOOMED;
            let taints = match doomed {
                true => json!([{"key": "doomed", "value": "true", "effect": "NoSchedule"}]),
                false => json!([]),
            };
            let labels = json!({"kubernetes.io/hostname": name, "doomed": doomed.to_string()});
            let node = json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": name, "labels": labels},
                "spec": {"taints": taints}});
            self.api.post("/api/v1/nodes", &node).unwrap();
        }
        let mut next = Instant::now();
        while !self.is_over() {
            if Instant::now() >= next {
                next = Instant::now() + HEARTBEAT;
                for name in (0..NODES).map(Kubelet::node_name) {
                    if !self.is_lost(&name) {
                        let _ = self
                            .api
                            .patch(&format!("/api/v1/nodes/{name}/status"), &node_status());
                    }
                }
            }
            std::thread::sleep(LOOK);
        }
    }

    fn follow(this: &Arc<Kubelet>) {
        let mut threads: BTreeMap<String, JoinHandle<()>> = BTreeMap::new();
        while !this.is_over() {
            if let Some(pods) = this.api.list("/api/v1/pods") {
                let all = pods
                    .into_iter()
                    .map(|pod| (text(&pod, "/metadata/uid").to_string(), pod));
                *this.pods.lock().unwrap() = all.collect();
            }
            if let Some(endpoints) = this.api.list("/api/v1/endpoints") {
                *this.zone.lock().unwrap() = dns::zone(&endpoints);
            }
            let pods = this.pods.lock().unwrap().clone();
            for (uid, pod) in pods {
                let node = text(&pod, "/spec/nodeName");
                if !node.is_empty() && !threads.contains_key(&uid) && !this.is_lost(node) {
                    let kubelet = this.clone();
                    threads.insert(
                        uid,
                        std::thread::spawn(move || Pod::new(kubelet, pod).live()),
                    );
                }
            }
            std::thread::sleep(LOOK);
        }
        for thread in threads.into_values() {
            let _ = thread.join();
        }
    }
}

/// As a node says it.
fn node_status() -> Value {
    let now = now();
    let room = json!({"cpu": "64", "memory": "256Gi", "pods": "100", "ephemeral-storage": "100Gi"});
    let ready = json!({"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "it is",
        "lastHeartbeatTime": now, "lastTransitionTime": now});
    json!({"status": {"capacity": room, "allocatable": room, "conditions": [ready]}})
}

/// The time as the API server wants it.
pub fn now() -> String {
    let seconds = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
    // Days since 1970 as a date: H. Hinnant's `civil_from_days`.
    let days = seconds.div_euclid(86400) + 719_468;
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + days.div_euclid(146_097) * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}
