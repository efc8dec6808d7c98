//! A StatefulSet of our manifests in a namespace of its own, under a client that writes all the time.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::api::text;
use super::dns::{DOMAIN, Names};
use super::docker::try_docker;
use super::kubelet::Killed;
use super::plane::Plane;
use super::pod::from_base64;
use super::support::writer::Acked;
use super::support::{Client, Listed, Version, wait_for};

/// How long a set may take to become whole: several members, on two processors.
pub const PATIENCE: Duration = Duration::from_secs(150);

/// The set `etcd` of a namespace.
pub struct Set {
    pub plane: Arc<Plane>,
    pub namespace: String,
    acked: Acked,
    over: Arc<AtomicBool>,
    writer: Option<JoinHandle<()>>,
    /// Since then the longest gap between two writes counts.
    gap: Arc<Mutex<Gap>>,
}

/// The longest time without an acknowledged write.
struct Gap {
    last: Instant,
    longest: Duration,
}

impl Set {
    /// Applies our manifests as they are, but for the size that the set begins with; waits until it is whole.
    pub fn new(namespace: &str, size: usize) -> Set {
        let mut set = Set::applied(namespace, size);
        set.wait_whole(size);
        set.write();
        set
    }

    /// The same, without waiting.
    pub fn applied(namespace: &str, size: usize) -> Set {
        Set::with(namespace, size, |manifests| manifests)
    }

    /// The same on nodes that a test loses: no other set is there.
    pub fn doomed(namespace: &str, size: usize) -> Set {
        // A pod of a lost node is given up at once.
        let there = |manifests: String| {
            let before = "      containers:\n";
            assert!(manifests.contains(before), "{manifests}");
            let lost = ["not-ready", "unreachable"].map(|word| {
                format!(
                    "      - {{key: node.kubernetes.io/{word}, operator: Exists, effect: NoExecute, tolerationSeconds: 1}}\n"
                )
            });
            let there = format!(
                "      nodeSelector: {{doomed: \"true\"}}\n      tolerations:\n      - {{key: doomed, operator: Exists}}\n{}",
                lost.concat()
            );
            manifests.replace(before, &format!("{there}{before}"))
        };
        let mut set = Set::with(namespace, size, there);
        set.wait_whole(size);
        set.write();
        set
    }

    fn with(namespace: &str, size: usize, changed: impl FnOnce(String) -> String) -> Set {
        let plane = Plane::shared();
        let set = Set {
            plane,
            namespace: namespace.into(),
            acked: Acked::default(),
            over: Arc::default(),
            writer: None,
            gap: Arc::new(Mutex::new(Gap {
                last: Instant::now(),
                longest: Duration::ZERO,
            })),
        };
        set.kubectl(&["create", "namespace", namespace], "");
        set.kubectl(&["apply", "-f", "-"], &changed(manifests(&set.plane, size)));
        set
    }

    #[track_caller]
    fn kubectl(&self, args: &[&str], input: &str) -> String {
        let namespace = format!("--namespace={}", self.namespace);
        let args = [&[namespace.as_str()], args].concat();
        match self.plane.kubectl(&args, input) {
            Ok(said) => said,
            Err(why) => panic!("{why}"),
        }
    }

    pub fn scale(&self, replicas: usize) {
        let replicas = format!("--replicas={replicas}");
        self.kubectl(&["scale", "statefulset", "etcd", &replicas], "");
    }

    /// From now on each pre-stop is killed then.
    pub fn kill_pre_stop(&self, killed: Killed) {
        let mut faults = self.plane.kubelet.faults();
        faults.pre_stop.insert(self.namespace.clone(), killed);
    }

    /// How long the last pre-stop ran.
    pub fn pre_stop_took(&self) -> Duration {
        self.plane.kubelet.hook(&self.namespace).unwrap_or_default()
    }

    /// From now on nobody hears of this node, or does again.
    pub fn lose_node(&self, node: &str, lost: bool) {
        let mut faults = self.plane.kubelet.faults();
        match lost {
            true => faults.lost.insert(node.into()),
            false => faults.lost.remove(node),
        };
    }

    /// How names are answered from now on; `None` as they are.
    pub fn names(&self, how: Option<Names>) {
        let mut faults = self.plane.kubelet.faults();
        match how {
            Some(how) => faults.names.insert(self.namespace.clone(), how),
            None => faults.names.remove(&self.namespace),
        };
    }

    fn path(&self, kind: &str, name: &str) -> String {
        format!("/api/v1/namespaces/{}/{kind}/{name}", self.namespace)
    }

    /// The pod of this ordinal, as the server has it.
    pub fn pod(&self, ordinal: usize) -> Option<Value> {
        self.plane
            .api
            .get(&self.path("pods", &format!("etcd-{ordinal}")))
            .ok()
    }

    pub fn uid(&self, ordinal: usize) -> String {
        self.pod(ordinal)
            .map_or_else(String::new, |pod| text(&pod, "/metadata/uid").into())
    }

    /// Deletes a pod as `kubectl delete` does; with `grace` 0 by force.
    pub fn delete_pod(&self, ordinal: usize, grace: Option<u64>) {
        let body = grace.map_or(json!({}), |grace| json!({"gracePeriodSeconds": grace}));
        let path = self.path("pods", &format!("etcd-{ordinal}"));
        self.plane.api.delete(&path, &body).unwrap();
    }

    /// The node that a pod is on.
    pub fn node(&self, ordinal: usize) -> String {
        self.pod(ordinal)
            .map_or_else(String::new, |pod| text(&pod, "/spec/nodeName").into())
    }

    /// Waits until another pod has the place of this one.
    #[track_caller]
    pub fn wait_replaced(&self, ordinal: usize, uid: &str) {
        wait_for("it is another pod", PATIENCE, || {
            let now = self.uid(ordinal);
            !now.is_empty() && now != uid
        });
    }

    /// What `kubectl rollout restart` changes: each pod is made anew, one after the other.
    pub fn update(&self, word: &str) {
        let changed =
            json!({"spec": {"template": {"metadata": {"annotations": {"changed": word}}}}});
        let path = format!(
            "/apis/apps/v1/namespaces/{}/statefulsets/etcd",
            self.namespace
        );
        self.plane.api.patch(&path, &changed).unwrap();
    }

    /// Deletes the claim of a pod: it goes when no pod has it any more.
    pub fn delete_claim(&self, ordinal: usize) {
        let path = self.path("persistentvolumeclaims", &format!("data-etcd-{ordinal}"));
        self.plane.api.delete(&path, &json!({})).unwrap();
    }

    /// What drains do: asks for the eviction of a pod, as often as the budget refuses it.
    #[track_caller]
    pub fn evict(&self, ordinal: usize) {
        let name = format!("etcd-{ordinal}");
        let eviction = json!({"apiVersion": "policy/v1beta1", "kind": "Eviction",
            "metadata": {"name": name, "namespace": self.namespace}});
        let path = format!("{}/eviction", self.path("pods", &name));
        let before = self.uid(ordinal);
        wait_for("the pod is evicted", PATIENCE, || {
            self.plane.api.post(&path, &eviction).is_ok()
        });
        self.wait_replaced(ordinal, &before);
    }

    /// The pods' addresses that the client service has: of those that are ready.
    fn clients(
        plane: &Plane,
        namespace: &str,
        known: &mut BTreeMap<String, Client>,
    ) -> Vec<Client> {
        let at = plane
            .kubelet
            .addresses_of(&format!("etcd-client.{namespace}.{DOMAIN}"));
        let client = |address| {
            let url = format!("http://{address}:2379");
            known
                .entry(url.clone())
                .or_insert_with(|| Client::gateway(&url))
                .clone()
        };
        at.into_iter().map(client).collect()
    }

    /// The client of a pod.
    fn client(&self, ordinal: usize) -> Option<Client> {
        self.client_url(ordinal).map(|url| Client::gateway(&url))
    }

    fn client_url(&self, ordinal: usize) -> Option<String> {
        let pod = self.pod(ordinal)?;
        let address = text(&pod, "/status/podIP");
        (!address.is_empty()).then(|| format!("http://{address}:2379"))
    }

    /// Makes this member the leader.
    #[track_caller]
    pub fn lead(&self, ordinal: usize) {
        wait_for("it leads", PATIENCE, || {
            let own = self
                .client(ordinal)
                .and_then(|client| client.id_and_leader().ok());
            let Some((own, leader)) = own else {
                return false;
            };
            let urls: Vec<String> = (0..5).filter_map(|n| self.client_url(n)).collect();
            let mut command = Command::new(Version::newest().etcdctl());
            command.args([
                "--endpoints",
                &urls.join(","),
                "move-leader",
                &format!("{own:x}"),
            ]);
            own == leader || command.output().is_ok_and(|done| done.status.success())
        });
    }

    /// The members as the one in this pod sees them.
    pub fn members(&self, ordinal: usize) -> Vec<Listed> {
        let members = self
            .client(ordinal)
            .and_then(|client| client.members().ok());
        members.unwrap_or_default()
    }

    pub fn is_ready(&self, ordinal: usize) -> bool {
        let pod = self.pod(ordinal).unwrap_or_default();
        let conditions = pod["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        pod["metadata"]["deletionTimestamp"].is_null()
            && conditions
                .iter()
                .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    }

    /// Waits until there are exactly these pods, each ready, each a voter that the cluster knows by its name, and no
    /// other member.
    #[track_caller]
    pub fn wait_whole(&self, size: usize) {
        let wanted: Vec<String> = (0..size).map(|n| format!("etcd-{n}")).collect();
        let mut said = String::new();
        let begun = Instant::now();
        loop {
            let unready: Vec<usize> = (0..size).filter(|n| !self.is_ready(*n)).collect();
            let too_many = self.pod(size).is_some();
            let mut names: Vec<String> = Vec::new();
            if unready.is_empty() && !too_many {
                let members = self.members(0);
                names.extend(members.iter().map(|member| member.name.clone()));
                names.sort();
                if names == wanted
                    && members
                        .iter()
                        .all(|member| member.started && !member.learner)
                {
                    return;
                }
            }
            let now =
                format!("not ready: {unready:?}, one too many: {too_many}, members: {names:?}");
            if now != said {
                eprintln!("{}: {now}", self.namespace);
                said = now;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{} is not whole: {said}",
                self.namespace
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until a container of this pod has said these words.
    #[track_caller]
    pub fn wait_said(&self, ordinal: usize, uid: &str, words: &str) {
        let name = format!("a container of etcd-{ordinal} says {words:?}");
        wait_for(&name, PATIENCE, || self.said(ordinal, uid).contains(words));
    }

    /// The token of this ServiceAccount.
    pub fn token(&self, account: &str) -> String {
        let mut token = String::new();
        wait_for("it has a token", PATIENCE, || {
            let account = self
                .plane
                .api
                .get(&self.path("serviceaccounts", account))
                .unwrap_or_default();
            let secret = self.path("secrets", text(&account, "/secrets/0/name"));
            let secret = self.plane.api.get(&secret).unwrap_or_default();
            token = String::from_utf8(from_base64(text(&secret, "/data/token"))).unwrap();
            !token.is_empty()
        });
        token
    }

    /// What the containers of this pod say that run now.
    pub fn said(&self, ordinal: usize, uid: &str) -> String {
        let containers = self.containers(ordinal, uid);
        let logs = containers.iter().map(|name| super::docker::logs(&[name]));
        logs.collect()
    }

    /// The containers of this pod by name: of one uid, or of each with an empty one.
    pub fn containers(&self, ordinal: usize, uid: &str) -> Vec<String> {
        let filter = format!(
            "name={}-{}-etcd-{ordinal}-{}",
            self.plane.kubelet.network,
            self.namespace,
            uid.get(..8).unwrap_or_default()
        );
        let listed = try_docker(&["ps", "--filter", &filter, "--format", "{{.Names}}"]);
        String::from_utf8_lossy(&listed.stdout)
            .lines()
            .map(String::from)
            .collect()
    }

    /// Begins to write, all the time, through whoever is ready.
    pub fn write(&mut self) {
        let (plane, namespace) = (self.plane.clone(), self.namespace.clone());
        let (acked, over, gap) = (self.acked.clone(), self.over.clone(), self.gap.clone());
        *self.gap.lock().unwrap() = Gap {
            last: Instant::now(),
            longest: Duration::ZERO,
        };
        self.writer = Some(std::thread::spawn(move || {
            let mut known = BTreeMap::new();
            let mut n = 0;
            while !over.load(Ordering::Relaxed) {
                let mut clients = Set::clients(&plane, &namespace, &mut known);
                let first = n % clients.len().max(1);
                clients.rotate_left(first);
                if acked.put(&clients, &format!("key-{n}"), "value").is_ok() {
                    let mut gap = gap.lock().unwrap();
                    gap.longest = gap.longest.max(gap.last.elapsed());
                    gap.last = Instant::now();
                }
                n += 1;
                std::thread::sleep(Duration::from_millis(50));
            }
        }));
    }

    /// The longest gap between two acknowledged writes since it was asked for last.
    pub fn gap(&self) -> Duration {
        let mut gap = self.gap.lock().unwrap();
        let longest = gap.longest.max(gap.last.elapsed());
        gap.longest = Duration::ZERO;
        longest
    }

    /// The step that this was has stopped the writes for no longer than a change of the leader takes here.
    #[track_caller]
    pub fn wrote_on(&self, what: &str) {
        let gap = self.gap();
        println!(
            "{}: {what}: the longest gap of the writes was {gap:?}",
            self.namespace
        );
        assert!(
            gap < Duration::from_secs(15),
            "{}: {what}: no write for {gap:?}",
            self.namespace
        );
    }

    /// Ends the writer; each acknowledged write must be on each member.
    #[track_caller]
    pub fn verify(&mut self, size: usize) {
        self.wait_whole(size);
        wait_for("a few writes", PATIENCE, || self.acked.all().len() > 10);
        self.over.store(true, Ordering::Relaxed);
        if let Some(writer) = self.writer.take() {
            writer.join().unwrap();
        }
        let acked = self.acked.all();
        for ordinal in 0..size {
            let client = self.client(ordinal).unwrap();
            let mut missing = 0;
            // A follower may be a moment behind.
            wait_for(
                "all acknowledged writes are there",
                Duration::from_secs(30),
                || {
                    let there = client.everything().unwrap_or_default();
                    missing = acked
                        .iter()
                        .filter(|(key, value)| there.get(*key) != Some(value))
                        .count();
                    missing == 0
                },
            );
        }
        println!("{}: {} writes, all there", self.namespace, acked.len());
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
        if std::thread::panicking() {
            for ordinal in 0..7 {
                for name in self.containers(ordinal, "") {
                    let said = super::docker::logs(&[&name]);
                    let ours = said
                        .lines()
                        .filter(|line| line.contains(r#""caller":"etcd-rejoin""#));
                    let ours: Vec<&str> = ours.collect();
                    let from = ours.len().saturating_sub(25);
                    eprintln!("---- {name}\n{}", ours[from..].join("\n"));
                }
            }
        }
        let path = format!("/api/v1/namespaces/{}", self.namespace);
        let _ = self.plane.api.delete(&path, &json!({}));
    }
}

/// What `kubectl apply -k examples/kubernetes` applies. Kubernetes 1.20 lacks policy/v1.
fn manifests(plane: &Plane, size: usize) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/kubernetes");
    let shown = plane.kubectl(&["kustomize", folder], "").unwrap();
    let replaced = shown
        .replace("apiVersion: policy/v1\n", "apiVersion: policy/v1beta1\n")
        .replace("replicas: 3\n", &format!("replicas: {size}\n"))
        .replace("value: \"3\"\n", &format!("value: \"{size}\"\n"));
    assert_ne!(shown, replaced);
    replaced
}
