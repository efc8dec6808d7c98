//! A control plane of its own: etcd, API server, controllers, scheduler, and a network for the pods. Shared by the tests
//! that run at the same time; the last one takes it down.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use etcd_rejoin::access::TlsFiles;
use tempfile::TempDir;

use super::api::{Api, text};
use super::docker::{LABEL, image, try_docker};
use super::kubelet::Kubelet;
use super::support::addresses::Addresses;
use super::support::certs::Ca;
use super::support::process::Process;
use super::support::{Version, wait_for};

/// How long the plane may take to stand.
const PATIENCE: Duration = Duration::from_secs(180);
/// The controllers that a StatefulSet needs, and those that meddle with its pods.
const CONTROLLERS: &str = "statefulset,endpoint,disruption,namespace,serviceaccount,serviceaccount-token,\
    persistentvolume-binder,pvc-protection,pv-protection,garbagecollector,nodelifecycle,podgc";
const PORT: u16 = 6443;
/// Who may do everything.
const TOKEN: &str = "administrator";

/// What runs. Its fields are dropped in this order.
pub struct Plane {
    pub api: Api,
    pub kubelet: Arc<Kubelet>,
    kubectl: PathBuf,
    config: PathBuf,
    network: String,
    pods: Vec<JoinHandle<()>>,
    processes: Option<(Sender<()>, JoinHandle<()>)>,
    server: String,
    dir: TempDir,
}

impl Plane {
    /// The one that stands, or a new one.
    pub fn shared() -> Arc<Plane> {
        static STANDS: Mutex<Weak<Plane>> = Mutex::new(Weak::new());
        let mut stands = STANDS
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(plane) = stands.upgrade() {
            return plane;
        }
        let plane = Arc::new(Plane::start());
        *stands = Arc::downgrade(&plane);
        plane
    }

    fn start() -> Plane {
        let programs = programs();
        let image = image("sid");
        let (network, gateway) = network();
        let dir = tempfile::Builder::new()
            .prefix("er-kube")
            .tempdir()
            .unwrap();
        let at = dir.path();
        let ca = Ca::new(at, "kubernetes");
        ca.server("server", &[&gateway, "kubernetes.default.svc"]);
        ca.server("accounts", &["accounts"]);
        let url = format!("https://{gateway}:{PORT}");
        let config = at.join("admin.conf");
        let tokens = format!("{TOKEN},admin,admin,\"system:masters\"\n");
        fs::write(at.join("tokens.csv"), tokens).unwrap();
        fs::write(&config, kubeconfig(&url, &ca.cert())).unwrap();
        let addresses = Addresses::take();
        let api = Api::new(&format!("http://{}:8001", addresses.host(2)));
        let mut plane = Plane {
            kubelet: Kubelet::new(&api, at, &network, &image, &gateway),
            api: api.clone(),
            kubectl: programs.join("kubectl"),
            config,
            network,
            server: url,
            pods: Vec::new(),
            processes: Some(processes(&programs, at, &gateway, &api, addresses)),
            dir,
        };
        wait_for("the API server is ready", PATIENCE, || api.is_ready());
        plane.pods = Kubelet::run(&plane.kubelet);
        let account = "/api/v1/namespaces/default/serviceaccounts/default";
        let has_token = || {
            plane
                .api
                .get(account)
                .is_ok_and(|account| !account["secrets"].is_null())
        };
        wait_for("the controllers run", PATIENCE, has_token);
        plane.kubectl(&["apply", "-f", "-"], STORAGE).unwrap();
        plane
    }

    /// What the API server itself answers to whoever shows this token: status and body.
    pub fn answer(&self, token: &str, path: &str) -> (u16, Vec<u8>) {
        let files = TlsFiles {
            ca: Some(self.dir.path().join("ca.crt")),
            ..TlsFiles::default()
        };
        let client = etcd_rejoin::gateway::Client::new(&files, None).unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        let url = format!("{}{path}", self.server);
        client
            .get_as(&url, &format!("Bearer {token}"), end)
            .unwrap()
    }

    /// `kubectl ARGS`, with this as its input: what it prints.
    pub fn kubectl(&self, args: &[&str], input: &str) -> Result<String, String> {
        let file = tempfile::NamedTempFile::new_in(self.dir.path()).unwrap();
        fs::write(file.path(), input).unwrap();
        let mut command = Command::new(&self.kubectl);
        command.args(args).env_clear().env("HOME", self.dir.path());
        command.env("KUBECONFIG", &self.config);
        command.stdin(fs::File::open(file.path()).unwrap());
        let done = command.output().unwrap();
        match done.status.success() {
            true => Ok(String::from_utf8_lossy(&done.stdout).into()),
            false => Err(format!(
                "kubectl {args:?}: {}",
                String::from_utf8_lossy(&done.stderr)
            )),
        }
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        let volumes = self.api.list("/api/v1/persistentvolumes");
        for volume in volumes.into_iter().flatten() {
            let folder = text(&volume, "/spec/hostPath/path");
            self.kubelet.note_volume(Path::new(folder));
        }
        self.kubelet.end();
        for pods in self.pods.drain(..) {
            let _ = pods.join();
        }
        if let Some((over, thread)) = self.processes.take() {
            drop(over);
            let _ = thread.join();
        }
        if std::env::var_os("ETCD_REJOIN_KEEP").is_some() {
            eprintln!("kept: {}", self.dir.path().display());
            self.dir.disable_cleanup(true);
        }
        self.kubelet.clear();
        try_docker(&["network", "rm", &self.network]);
    }
}

/// Volumes are folders of this machine. One whose claim is gone stays: who is lost may still have it.
const STORAGE: &str = r#"
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: folders
  annotations:
    storageclass.kubernetes.io/is-default-class: "true"
provisioner: kubernetes.io/host-path
reclaimPolicy: Retain
"#;

/// A network with addresses of our own choice: its name, and the address that this machine has in it.
fn network() -> (String, String) {
    let pid = std::process::id();
    let (name, label) = (format!("er{pid}-kube"), format!("{LABEL}={pid}"));
    for n in 0..50 {
        let (x, y) = (100 + (pid + n) % 100, (pid + n) / 100 % 250);
        let subnet = format!("--subnet=10.{x}.{y}.0/24");
        let made = try_docker(&["network", "create", "--label", &label, &subnet, &name]);
        if made.status.success() {
            return (name, format!("10.{x}.{y}.1"));
        }
        // Another network has it.
    }
    panic!("no network from 10.100.0.0/24 on is free");
}

/// Where `tests/setup/kube.sh` has put them.
fn programs() -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/setup/kube.sh");
    let made = Command::new(script).output().expect("kube.sh runs");
    let errors = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "tests/setup/kube.sh: {errors}");
    String::from_utf8(made.stdout).unwrap().trim().into()
}

fn kubeconfig(url: &str, ca: &Path) -> String {
    let ca = ca.display();
    format!(
        r#"{{"apiVersion":"v1","kind":"Config","current-context":"it",
        "clusters":[{{"name":"it","cluster":{{"server":"{url}","certificate-authority":"{ca}"}}}}],
        "users":[{{"name":"it","user":{{"token":"{TOKEN}"}}}}],
        "contexts":[{{"name":"it","context":{{"cluster":"it","user":"it"}}}}]}}"#
    )
}

/// Starts all four in a thread of their own, and ends them when the sender is dropped: the kernel kills them with it.
fn processes(
    programs: &Path,
    dir: &Path,
    gateway: &str,
    api: &Api,
    addresses: Addresses,
) -> (Sender<()>, JoinHandle<()>) {
    let (over, until) = channel::<()>();
    let (programs, dir) = (programs.to_owned(), dir.to_owned());
    let (gateway, api) = (gateway.to_string(), api.clone());
    let thread = std::thread::spawn(move || {
        let (etcd, file) = (addresses.host(1), |name: &str| {
            dir.join(name).display().to_string()
        });
        let spawn = |program: &Path, args: String| {
            let log = dir.join(program.file_name().unwrap()).with_extension("log");
            let args: Vec<String> = args.split_whitespace().map(String::from).collect();
            let setup = |command: &mut Command| {
                command.args(args).current_dir(&dir);
            };
            Process::spawn(program, setup, &log)
        };
        let (config, ca, accounts) = (file("admin.conf"), file("ca.crt"), file("accounts.key"));
        let _etcd = spawn(
            &Version::newest().etcd(),
            format!(
                "--data-dir=state --unsafe-no-fsync --log-level=warn --listen-client-urls=http://{etcd}:2379 \
                 --advertise-client-urls=http://{etcd}:2379 --listen-peer-urls=http://{etcd}:2380"
            ),
        );
        let _server = spawn(
            &programs.join("kube-apiserver"),
            format!(
                "--etcd-servers=http://{etcd}:2379 --bind-address={gateway} --advertise-address={gateway} \
                 --secure-port={PORT} --endpoint-reconciler-type=none --service-cluster-ip-range=10.99.0.0/16 \
                 --tls-cert-file={} --tls-private-key-file={} --token-auth-file={} --authorization-mode=RBAC \
                 --service-account-key-file={} --service-account-signing-key-file={accounts} \
                 --service-account-issuer=https://kubernetes.default.svc --allow-privileged=true",
                file("server.crt"),
                file("server.key"),
                file("tokens.csv"),
                file("accounts.crt"),
            ),
        );
        let _proxy = spawn(
            &programs.join("kubectl"),
            format!(
                "--kubeconfig={config} proxy --address={} --port=8001 --accept-hosts=.*",
                addresses.host(2)
            ),
        );
        // They give up where it is not ready soon.
        wait_for("the API server is ready", PATIENCE, || api.is_ready());
        let _controllers = spawn(
            &programs.join("kube-controller-manager"),
            format!(
                "--kubeconfig={config} --port=0 --secure-port=0 --leader-elect=false --root-ca-file={ca} \
                 --service-account-private-key-file={accounts} --enable-hostpath-provisioner=true \
                 --node-monitor-period=2s --node-monitor-grace-period=15s --node-eviction-rate=10 \
                 --secondary-node-eviction-rate=10 --concurrent-statefulset-syncs=5 \
                 --controllers={}",
                CONTROLLERS.replace(' ', "")
            ),
        );
        let _scheduler = spawn(
            &programs.join("kube-scheduler"),
            format!("--kubeconfig={config} --port=0 --secure-port=0 --leader-elect=false"),
        );
        // Until the other end is dropped.
        let _ = until.recv();
    });
    (over, thread)
}
