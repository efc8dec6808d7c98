//! One pod: its volumes, its container, its probes, its end. As a kubelet does it, for pods of one container.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::api::text;
use super::dns::DOMAIN;
use super::docker::{LABEL, docker, logs, try_docker};
use super::kubelet::{Killed, Kubelet, now};

const LOOK: Duration = Duration::from_millis(100);
/// A probe that does not hold yet is tried again so soon.
const SOON: Duration = Duration::from_secs(1);
/// Between the end of a container and the next one.
const BACKOFF: Duration = Duration::from_secs(1);

/// Where a member notes that it left, with our manifests.
const NOTE: &str = "/var/lib/etcd/data/rejoin-left";

/// A pod on its node.
pub struct Pod {
    kubelet: Arc<Kubelet>,
    uid: String,
    name: String,
    namespace: String,
    node: String,
    /// As the server had it first: what is wanted of a pod does not change.
    spec: Value,
    address: String,
    /// Of this pod alone.
    dir: PathBuf,
    began: String,
}

/// A container that was started.
struct Running {
    name: String,
    /// Of its first process, as this machine sees it.
    pid: String,
    attempt: usize,
    started: bool,
    ready: bool,
    failures: u64,
    next: BTreeMap<&'static str, Instant>,
}

/// How a pod's container came to its end.
enum Ended {
    /// By itself, or by its liveness probe: it is started again.
    Restart,
    /// With its pod.
    Over,
}

impl Pod {
    pub fn new(kubelet: Arc<Kubelet>, pod: Value) -> Pod {
        let at = |path| text(&pod, path).to_string();
        let (uid, name, namespace) = (
            at("/metadata/uid"),
            at("/metadata/name"),
            at("/metadata/namespace"),
        );
        Pod {
            node: at("/spec/nodeName"),
            dir: kubelet
                .dir
                .join(format!("{namespace}-{name}-{}", &uid[..8])),
            address: kubelet.next_address(),
            began: now(),
            spec: pod["spec"].clone(),
            kubelet,
            uid,
            name,
            namespace,
        }
    }

    /// From its creation to its end.
    pub fn live(&self) {
        fs::create_dir_all(&self.dir).unwrap();
        let Some(volumes) = self.volumes() else {
            return;
        };
        for attempt in 0.. {
            let mut running = match self.start(attempt, &volumes) {
                Ok(running) => running,
                Err(why) => {
                    eprintln!("{} of {}: {why}", self.name, self.namespace);
                    std::thread::sleep(BACKOFF);
                    match self.is_unwanted() {
                        true => break,
                        false => continue,
                    }
                }
            };
            self.report(&running, "Running");
            let ended = self.watch(&mut running);
            self.keep_log(&running);
            try_docker(&["rm", "--force", "--volumes", &running.name]);
            match ended {
                Ended::Restart => std::thread::sleep(BACKOFF),
                Ended::Over => break,
            }
        }
        // Gone from the node, then from the server.
        let gone = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}});
        let _ = self.kubelet.api.delete(&self.path(), &gone);
    }

    fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/pods/{}", self.namespace, self.name)
    }

    /// Whether its node has been told to end it; a lost one hears nothing.
    fn is_unwanted(&self) -> bool {
        let gone = || match self.kubelet.pod(&self.uid) {
            Some(pod) => !pod["metadata"]["deletionTimestamp"].is_null(),
            None => true,
        };
        self.kubelet.is_over() || (!self.kubelet.is_lost(&self.node) && gone())
    }

    /// Each volume's folder by its name, once all are there; `None` where the pod's time is over before.
    fn volumes(&self) -> Option<BTreeMap<String, PathBuf>> {
        let mut folders = BTreeMap::new();
        for volume in self.spec["volumes"].as_array().into_iter().flatten() {
            let folder = loop {
                match self.volume(volume) {
                    Some(folder) => break folder,
                    None if self.is_unwanted() => {
                        let gone =
                            json!({"gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}});
                        let _ = self.kubelet.api.delete(&self.path(), &gone);
                        return None;
                    }
                    None => std::thread::sleep(LOOK),
                }
            };
            folders.insert(text(volume, "/name").to_string(), folder);
        }
        Some(folders)
    }

    fn volume(&self, volume: &Value) -> Option<PathBuf> {
        let of = |kind: &str, name: &str| {
            let path = format!("/api/v1/namespaces/{}/{kind}/{name}", self.namespace);
            self.kubelet.api.get(&path).ok()
        };
        let claim = text(volume, "/persistentVolumeClaim/claimName");
        if !claim.is_empty() {
            let claim = of("persistentvolumeclaims", claim)?;
            let name = text(&claim, "/spec/volumeName");
            let volume = self
                .kubelet
                .api
                .get(&format!("/api/v1/persistentvolumes/{name}"))
                .ok()?;
            let folder = PathBuf::from(text(&volume, "/spec/hostPath/path"));
            self.kubelet.note_volume(&folder);
            fs::create_dir_all(&folder).ok()?;
            let group = self
                .spec
                .pointer("/securityContext/fsGroup")
                .and_then(Value::as_u64);
            chown(&folder, None, group.map(|group| group as u32)).ok()?;
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o2775)).ok()?;
            return Some(folder);
        }
        let folder = self.dir.join(text(volume, "/name"));
        fs::create_dir_all(&folder).ok()?;
        let secret = text(volume, "/secret/secretName");
        if !secret.is_empty() {
            let secret = of("secrets", secret)?;
            for (name, value) in secret["data"].as_object()? {
                fs::write(folder.join(name), from_base64(value.as_str()?)).ok()?;
            }
        }
        Some(folder)
    }

    fn container(&self) -> &Value {
        &self.spec["containers"][0]
    }

    /// The variables that its container sees.
    fn env(&self) -> BTreeMap<String, String> {
        let mut env = BTreeMap::from([
            (
                "KUBERNETES_SERVICE_HOST".into(),
                self.kubelet.gateway.clone(),
            ),
            ("KUBERNETES_SERVICE_PORT".into(), "6443".into()),
            ("HOSTNAME".into(), self.name.clone()),
        ]);
        for entry in self.container()["env"].as_array().into_iter().flatten() {
            let value = match text(entry, "/valueFrom/fieldRef/fieldPath") {
                "" => text(entry, "/value").to_string(),
                "metadata.name" => self.name.clone(),
                "metadata.namespace" => self.namespace.clone(),
                "status.podIP" => self.address.clone(),
                other => panic!("a field that no pod here asks for: {other}"),
            };
            let value = env.iter().fold(value, |value, (name, known)| {
                value.replace(&format!("$({name})"), known)
            });
            env.insert(text(entry, "/name").into(), value);
        }
        env
    }

    fn start(
        &self,
        attempt: usize,
        volumes: &BTreeMap<String, PathBuf>,
    ) -> Result<Running, String> {
        let file = |name: &str, content: String| {
            let path = self.dir.join(name);
            fs::write(&path, content).unwrap();
            path.display().to_string()
        };
        let service = format!(
            "{}.{}.{DOMAIN}",
            text(&self.spec, "/subdomain"),
            self.namespace
        );
        let (pod, address) = (&self.name, &self.address);
        let hosts = file(
            "hosts",
            format!("127.0.0.1\tlocalhost\n{address}\t{pod}.{service}\t{pod}\n"),
        );
        let resolv = file(
            "resolv.conf",
            format!(
                "nameserver {}\nsearch {}.{DOMAIN} {DOMAIN} cluster.local\noptions ndots:5\n",
                self.kubelet.gateway, self.namespace
            ),
        );
        let name = format!(
            "{}-{}-{pod}-{}-{attempt}",
            self.kubelet.network,
            self.namespace,
            &self.uid[..8]
        );
        let mut args: Vec<String> = ["run", "--detach", "--name", &name]
            .map(String::from)
            .to_vec();
        let mut add = |option: &str, value: String| args.extend([option.to_string(), value]);
        add("--label", format!("{LABEL}={}", std::process::id()));
        add("--network", self.kubelet.network.clone());
        add("--ip", address.clone());
        add("--hostname", pod.clone());
        add("--volume", format!("{hosts}:/etc/hosts"));
        add("--volume", format!("{resolv}:/etc/resolv.conf"));
        let ended = file("termination-log", String::new());
        let _ = fs::set_permissions(&ended, fs::Permissions::from_mode(0o666));
        add("--volume", format!("{ended}:/dev/termination-log"));
        for mount in self.container()["volumeMounts"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let folder = volumes[text(mount, "/name")].display();
            let how = if mount["readOnly"] == true { ":ro" } else { "" };
            add(
                "--volume",
                format!("{folder}:{}{how}", text(mount, "/mountPath")),
            );
        }
        for (name, value) in self.env() {
            add("--env", format!("{name}={value}"));
        }
        let context = &self.spec["securityContext"];
        if let (Some(user), Some(group)) = (
            context["runAsUser"].as_u64(),
            context["runAsGroup"].as_u64(),
        ) {
            add("--user", format!("{user}:{group}"));
        }
        let own = &self.container()["securityContext"];
        for dropped in own
            .pointer("/capabilities/drop")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            add("--cap-drop", dropped.as_str().unwrap().into());
        }
        if own["allowPrivilegeEscalation"] == false {
            add("--security-opt", "no-new-privileges".into());
        }
        if own["readOnlyRootFilesystem"] == true {
            args.push("--read-only".into());
        }
        // Whatever it is called there: no image can be pulled.
        args.push(self.kubelet.image.clone());
        let words = |field: &str| {
            self.container()[field]
                .as_array()
                .cloned()
                .unwrap_or_default()
        };
        args.extend(
            words("args")
                .iter()
                .filter_map(|word| word.as_str().map(String::from)),
        );
        let done = try_docker(&args.iter().map(String::as_str).collect::<Vec<_>>());
        if !done.status.success() {
            return Err(String::from_utf8_lossy(&done.stderr).into());
        }
        let pid = docker(&["inspect", "--format", "{{.State.Pid}}", &name]);
        Ok(Running {
            name,
            pid,
            attempt,
            started: false,
            ready: false,
            failures: 0,
            next: BTreeMap::new(),
        })
    }

    /// Probes it until it ends.
    fn watch(&self, running: &mut Running) -> Ended {
        loop {
            if self.is_unwanted() {
                self.end(running);
                return Ended::Over;
            }
            // A folder of a process that has ended, and was waited for, is not there.
            if !Path::new(&format!("/proc/{}/exe", running.pid)).exists() {
                self.report(running, "Running");
                return Ended::Restart;
            }
            if !running.started {
                running.started = self.holds(running, "startupProbe", SOON) == Some(true);
                if running.started {
                    self.report(running, "Running");
                }
            } else {
                let before = running.ready;
                let pause = if before { Duration::from_secs(5) } else { SOON };
                running.ready = self
                    .holds(running, "readinessProbe", pause)
                    .unwrap_or(before);
                if running.ready != before {
                    self.report(running, "Running");
                }
                let lives = self.holds(running, "livenessProbe", Duration::from_secs(10));
                running.failures = match lives {
                    Some(true) => 0,
                    Some(false) => running.failures + 1,
                    None => running.failures,
                };
                let most = self.container()["livenessProbe"]["failureThreshold"].as_u64();
                if running.failures >= most.unwrap_or(3) {
                    running.failures = 0;
                    running.ready = false;
                    self.report(running, "Running");
                    self.stop(running, Duration::from_secs(self.grace()));
                    return Ended::Restart;
                }
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Whether a probe holds; `None` where it is not its time yet. Without a probe it holds.
    fn holds(&self, running: &mut Running, probe: &'static str, pause: Duration) -> Option<bool> {
        let now = Instant::now();
        if running.next.get(probe).is_some_and(|next| now < *next) {
            return None;
        }
        running.next.insert(probe, now + pause);
        let words = &self.container()[probe]["exec"]["command"];
        if words.is_null() {
            return Some(true);
        }
        let limit = self.container()[probe]["timeoutSeconds"]
            .as_u64()
            .unwrap_or(1);
        Some(self.exec(running, words, Duration::from_secs(limit), || false))
    }

    /// Runs a command inside of the container, without Docker, which takes longer: whether it succeeds in time.
    fn exec(
        &self,
        running: &Running,
        words: &Value,
        limit: Duration,
        killed: impl Fn() -> bool,
    ) -> bool {
        let words = words.as_array().into_iter().flatten();
        let words: Vec<&str> = words.filter_map(Value::as_str).collect();
        let context = &self.spec["securityContext"];
        let id = |name: &str| context[name].as_u64().unwrap_or(0).to_string();
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.join("exec.log"));
        let log = log.unwrap();
        let child = Command::new("/usr/bin/nsenter")
            .args([
                "--all",
                "--target",
                &running.pid,
                "--setuid",
                &id("runAsUser"),
                "--setgid",
                &id("runAsGroup"),
            ])
            .args(&words)
            .env_clear()
            .envs(self.env())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        let child = child.expect("nsenter (util-linux) is needed");
        wait_or_kill(child, limit, killed)
    }

    fn grace(&self) -> u64 {
        let now = self.kubelet.pod(&self.uid);
        let grace = now.and_then(|pod| pod["metadata"]["deletionGracePeriodSeconds"].as_u64());
        grace
            .or(self.spec["terminationGracePeriodSeconds"].as_u64())
            .unwrap_or(30)
    }

    /// Ends the container of a pod that is to go; at the end of all tests without asking it.
    fn end(&self, running: &Running) {
        if !self.kubelet.is_over() {
            self.stop(running, Duration::from_secs(self.grace()));
        }
    }

    /// Pre-stop, SIGTERM, and SIGKILL after the grace.
    fn stop(&self, running: &Running, grace: Duration) {
        let until = Instant::now() + grace;
        let hook = &self.container()["lifecycle"]["preStop"]["exec"]["command"];
        if !hook.is_null() {
            let killed = self.kubelet.faults().pre_stop.get(&self.namespace).copied();
            let (limit, by_note) = match killed {
                Some(Killed::After(limit)) => (limit, false),
                Some(Killed::Noted) => (grace, true),
                Some(Killed::Never) | None => (grace, false),
            };
            let note = format!("/proc/{}/root{NOTE}", running.pid);
            let begun = Instant::now();
            self.exec(running, hook, limit, || {
                by_note && Path::new(&note).exists()
            });
            self.kubelet.note_hook(&self.namespace, begun.elapsed());
        }
        let left = until
            .saturating_duration_since(Instant::now())
            .as_secs()
            .max(2);
        try_docker(&["stop", "--time", &left.to_string(), &running.name]);
    }

    /// What becomes of a container's words when it is gone.
    fn keep_log(&self, running: &Running) {
        let said = logs(&[&running.name]);
        let _ = fs::write(self.dir.join(format!("{}.log", running.attempt)), said);
    }

    fn report(&self, running: &Running, phase: &str) {
        let is = |value: bool| if value { "True" } else { "False" };
        let now = now();
        let condition = |kind: &str, value: bool| json!({"type": kind, "status": is(value), "lastTransitionTime": now});
        let container = json!({
            "name": self.container()["name"], "image": self.container()["image"], "imageID": "",
            "containerID": format!("docker://{}", running.name), "ready": running.ready, "started": running.started,
            "restartCount": running.attempt, "state": {"running": {"startedAt": now}},
        });
        let status = json!({
            "metadata": {"uid": self.uid},
            "status": {
                "phase": phase, "podIP": self.address, "podIPs": [{"ip": self.address}], "hostIP": self.kubelet.gateway,
                "startTime": self.began, "containerStatuses": [container],
                "conditions": [
                    condition("Initialized", true),
                    condition("Ready", running.ready),
                    condition("ContainersReady", running.ready),
                ],
            },
        });
        if !self.kubelet.is_lost(&self.node) {
            let _ = self
                .kubelet
                .api
                .patch(&format!("{}/status", self.path()), &status);
        }
    }
}

/// Whether it succeeds within this time; else it is killed, and what it runs in a namespace of its own with it.
fn wait_or_kill(mut child: Child, limit: Duration, killed: impl Fn() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if Instant::now() < end && !killed() => {
                std::thread::sleep(Duration::from_millis(2));
            }
            _ => break,
        }
    }
    let pid = child.id();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    for inside in children.unwrap_or_default().split_whitespace() {
        let _ = Command::new("kill").args(["-9", inside]).status();
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}

/// What the server writes so: the content of a Secret.
pub fn from_base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut out, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for byte in text.bytes() {
        let Some(digit) = DIGITS.iter().position(|digit| *digit == byte) else {
            continue;
        };
        bits = bits << 6 | digit as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}
