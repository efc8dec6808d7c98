//! Raw settings become the configuration, where nothing is left to check; or a list of all mistakes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ourselves::Ourselves;
use super::parse::Checker;
use super::passed_on::PassedOn;
use super::raw::{EtcdSettings, Raw, RejoinSettings};
use super::{StatefulSet, reach};
use crate::access::{Credentials, TlsFiles};
use crate::decide::{JoinsOnly, Policy, Recover};
use crate::membership::digest;
use crate::path::resolved;
use crate::rover::settings::{self, Rover};

/// Where everybody looks for the machine's CA bundle.
const BUNDLE: &str = "SSL_CERT_FILE";

/// Where snapshots are kept, and found again.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// A directory or a bucket.
    pub place: String,
    /// What the user gave: the program that speaks to the store reads its own part of it.
    pub env: Vec<(OsString, OsString)>,
}

/// Everything that is fixed for the life of the process.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the user wants, as `decide` takes it.
    pub policy: Policy,
    /// etcd's data dir.
    pub data_dir: PathBuf,
    /// etcd's WAL dir, where it is not in the data dir.
    pub wal_dir: Option<PathBuf>,
    /// Where old data may lie beside a first start.
    pub ignored: Vec<PathBuf>,
    /// Which of our peer URLs may seem to lead elsewhere.
    pub ignored_urls: Vec<String>,
    /// A digest of the initial cluster, the same on every member that was given the same.
    pub cluster_digest: String,
    /// A digest of the cluster token.
    pub token_digest: String,
    /// Where etcd listens for peers, and we in its place before it runs.
    pub listen_peer_urls: Vec<String>,
    /// Where etcd listens for clients.
    pub listen_client_urls: Vec<String>,
    /// Where etcd serves HTTP, if not at its client URLs.
    pub listen_client_http_urls: Vec<String>,
    /// Where etcd serves its figures, beside its client URLs.
    pub listen_metrics_urls: Vec<String>,
    /// What etcd publishes.
    pub advertise_client_urls: Vec<String>,
    /// ETCD_LISTEN_CLIENT_URLS is given, and nothing to publish: etcd does not start so. Beside a configuration
    /// file it does.
    pub advertises_no_client_url: bool,
    /// Client URLs of other members, as far as the user gave them.
    pub other_client_urls: Vec<String>,
    /// How we answer at our peer URLs, as etcd will.
    pub peer_tls: TlsFiles,
    /// How we speak to the peer URLs of others.
    pub peer_client_tls: TlsFiles,
    /// Whether peers must show a certificate.
    pub peer_client_auth: bool,
    /// How we speak to client URLs.
    pub client_tls: TlsFiles,
    /// etcd's user.
    pub credentials: Option<Credentials>,
    /// How large the database may become, in bytes, where that is said.
    pub quota: Option<u64>,
    /// How long etcd waits before it calls an election.
    pub election_timeout: Duration,
    /// How long to wait for others; `None` is for ever.
    pub wait: Option<Duration>,
    /// One look at the cluster.
    pub timeout: Duration,
    /// The etcd program, as the user named it.
    pub etcd: PathBuf,
    /// Where snapshots are, if that is said.
    pub store: Option<StoreSettings>,
    /// Where figures for Prometheus are written.
    pub metrics_file: Option<PathBuf>,
    /// The StatefulSet that this member is of, if it says so.
    pub set: Option<StatefulSet>,
    /// The volume that this member roves on, if it does.
    pub rover: Option<Rover>,
    /// What etcd gets of what the user gave for it.
    pub passed_on: PassedOn,
    /// What is odd, but no reason to stop.
    pub warnings: Vec<String>,
}

impl Config {
    /// The other members of the initial cluster, by name, with their peer URLs.
    pub fn other_members(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.policy
            .initial
            .iter()
            .filter(|(name, _)| *name != self.policy.name)
    }

    /// Where our own etcd answers clients, seen from here.
    pub fn own_client_urls(&self) -> Vec<String> {
        let listen = match self.listen_client_http_urls.as_slice() {
            [] => &self.listen_client_urls,
            http => http,
        };
        let mut urls: Vec<String> = listen.iter().map(|url| here(url)).collect();
        // A certificate may name the advertised host only.
        for url in &self.advertise_client_urls {
            if url.starts_with("https:") && !urls.contains(url) {
                urls.push(url.clone());
            }
        }
        urls
    }

    /// Where our own etcd answers its peers, seen from here; where a certificate names the advertised host only, that.
    pub fn own_peer_urls(&self) -> Vec<String> {
        let listen = self.listen_peer_urls.iter().map(|url| here(url));
        listen.chain(self.policy.peer_urls.clone()).collect()
    }
}

/// Where that listens for us.
fn here(url: &str) -> String {
    url.replace("://0.0.0.0:", "://127.0.0.1:")
        .replace("://[::]:", "://[::1]:")
        .replace("://:", "://127.0.0.1:")
}

/// Checks everything. The error is the list of all mistakes.
pub fn check(raw: Raw) -> Result<Config, Vec<String>> {
    let mut check = Checker {
        mistakes: raw.mistakes,
        warnings: raw.warnings,
        named: raw.named,
        restated: Vec::new(),
    };
    let (etcd, rejoin) = (raw.etcd, raw.rejoin);
    let bundle = bundle(&raw.env);
    let mut passed_on = PassedOn {
        env: raw.env,
        flags: raw.flags,
        file: raw.file,
        file_changed: false,
    };
    let ourselves = check.ourselves(&etcd, &mut passed_on);
    check.unsupported(&etcd);
    let election_timeout = check.intervals(
        etcd.heartbeat_interval.as_deref(),
        etcd.election_timeout.as_deref(),
    );
    let other_client_urls = check.other_client_urls(etcd.other_peers_client_urls.as_deref());
    let token_digest = digest(&ourselves.token);
    let (ignored, ignored_urls) = check.ignored(rejoin.ignore.as_deref());
    let mut policy = check.policy(ourselves, &etcd, &rejoin, raw.set.as_ref());
    policy.knows_others = !other_client_urls.is_empty();
    let (data_dir, wal_dir) = check.dirs(&etcd, &policy.name);
    let dirs = [
        ("ETCD_DATA_DIR", data_dir.as_path()),
        ("ETCD_WAL_DIR", wal_dir.as_deref().unwrap_or(Path::new(""))),
    ];
    let (rover, remarks) = settings::check(&raw.rover, dirs, &passed_on.env);
    check.remarks(remarks);
    let certificates = check.certificates(&etcd, &rejoin, bundle);
    check.log(rejoin.log.as_deref(), rejoin.log_format.as_deref());
    let listen = check.all_listen_urls(&etcd);
    policy.listens_wide = !(listen.peer.iter()).all(|url| reach::is_loopback(url));
    let advertised = (etcd.advertise_client_urls.as_deref()).unwrap_or("http://localhost:2379");
    let advertise_client_urls = check.urls("ETCD_ADVERTISE_CLIENT_URLS", advertised);
    let reached = reach::Urls {
        listen_peer: &listen.peer,
        listen_client: &listen.client,
        advertise_client: &advertise_client_urls,
        peer: &policy.peer_urls,
    };
    let mut config = Config {
        store: check.store(rejoin.store.as_deref(), raw.given),
        advertises_no_client_url: etcd.listen_client_urls.is_some()
            && etcd.advertise_client_urls.is_none()
            && passed_on.file.is_none(),
        peer_client_auth: check.boolean(
            "ETCD_PEER_CLIENT_CERT_AUTH",
            etcd.peer_client_cert_auth.as_deref(),
        ),
        credentials: check.credentials(
            (rejoin.user, rejoin.password),
            rejoin.password_file.as_deref().map(Path::new),
        ),
        wait: match rejoin.wait.as_deref() {
            Some("forever") => None,
            other => check.duration("REJOIN_WAIT", other),
        },
        timeout: check.timeout(rejoin.timeout.as_deref()),
        warnings: {
            check.reach(&policy.name, &policy.initial, &reached);
            check.warnings
        },
        cluster_digest: policy.initial.digest(),
        listen_peer_urls: listen.peer,
        listen_client_urls: listen.client,
        listen_client_http_urls: listen.client_http,
        listen_metrics_urls: listen.metrics,
        etcd: rejoin.etcd.map_or_else(|| "etcd".into(), PathBuf::from),
        policy,
        data_dir,
        wal_dir,
        ignored,
        ignored_urls,
        token_digest,
        advertise_client_urls,
        other_client_urls,
        peer_tls: certificates.peer,
        peer_client_tls: certificates.peer_client,
        client_tls: certificates.client,
        election_timeout,
        quota: etcd
            .quota_backend_bytes
            .and_then(|bytes| bytes.parse().ok()),
        metrics_file: rejoin.metrics_file.map(PathBuf::from),
        set: raw.set,
        rover,
        passed_on,
    };
    restate(&mut config.passed_on, check.restated);
    config.passed_on.keep_back(config.store.is_some());
    match check.mistakes.is_empty() {
        true => Ok(config),
        false => Err(check.mistakes),
    }
}

/// etcd 3.4 cannot listen at one URL twice, and none founds a cluster that names one twice, or this member with a
/// blank.
fn restate(passed_on: &mut PassedOn, restated: Vec<(String, String)>) {
    for (variable, value) in restated {
        if variable != "ETCD_OTHER_PEERS_CLIENT_URLS" {
            passed_on.say_instead(&variable, &value);
        }
    }
}

/// The machine's CA bundle, where the environment names it.
fn bundle(env: &[(OsString, OsString)]) -> Option<PathBuf> {
    let named = (env.iter()).find(|(name, value)| name == BUNDLE && !value.is_empty());
    named.map(|(_, path)| PathBuf::from(path))
}

/// Where etcd listens.
struct Listen {
    peer: Vec<String>,
    client: Vec<String>,
    client_http: Vec<String>,
    metrics: Vec<String>,
}

impl Checker {
    /// What etcd can do, and no member that this entrypoint brings back.
    fn unsupported(&mut self, etcd: &EtcdSettings) {
        if let Some(proxy) = (etcd.proxy.as_deref()).filter(|proxy| !["", "off"].contains(proxy)) {
            let why = "makes a proxy, which is no member: run that etcd without this entrypoint";
            self.mistake("ETCD_PROXY", proxy, why);
        }
        for (variable, value) in [
            ("ETCD_DISCOVERY", &etcd.discovery),
            ("ETCD_DISCOVERY_SRV", &etcd.discovery_srv),
            ("ETCD_DISCOVERY_SRV_NAME", &etcd.discovery_srv_name),
            ("ETCD_DISCOVERY_ENDPOINTS", &etcd.discovery_endpoints),
            ("ETCD_DISCOVERY_TOKEN", &etcd.discovery_token),
            ("ETCD_DISCOVERY_CONFIG", &etcd.discovery_config),
        ] {
            if let Some(value) = value {
                let why = "is not supported: name the members in ETCD_INITIAL_CLUSTER";
                self.mistake(variable, value, why);
            }
        }
        if self.boolean("ETCD_FORCE_NEW_CLUSTER", etcd.force_new_cluster.as_deref()) {
            let why = "would make a running cluster's members leave: use it by hand, without this entrypoint";
            self.mistake("ETCD_FORCE_NEW_CLUSTER", "true", why);
        }
    }

    /// etcd does not get these: a slash or a comma at the end is no harm.
    fn other_client_urls(&mut self, given: Option<&str>) -> Vec<String> {
        let urls = given.unwrap_or_default().split(',');
        let urls = urls.map(|url| url.trim().trim_end_matches('/'));
        let urls: Vec<&str> = urls.filter(|url| !url.is_empty()).collect();
        self.urls("ETCD_OTHER_PEERS_CLIENT_URLS", &urls.join(","))
    }

    /// Of a StatefulSet whose replicas nobody can be asked for.
    fn without_access(&mut self, set: Option<&StatefulSet>) {
        if let Some(set) = set.filter(|set| set.api.is_none()) {
            let dir = set.account.display();
            self.warnings.push(format!(
                "no Kubernetes API server can be asked how many replicas StatefulSet {} wants ({dir} has no token, or KUBERNETES_SERVICE_HOST is not set): a first start waits for the initial members, and for whoever the headless service names, and for nobody else who came later",
                set.name
            ));
        }
    }

    /// What the user wants. What is said of other members' client URLs, and of where we listen, is not in it yet.
    fn policy(
        &mut self,
        ourselves: Ourselves,
        etcd: &EtcdSettings,
        rejoin: &RejoinSettings,
        set: Option<&StatefulSet>,
    ) -> Policy {
        self.without_access(set);
        let Ourselves {
            name,
            token,
            peer_urls,
            peer_urls_given,
            initial,
            outside,
        } = ourselves;
        let joins_only = match etcd.initial_cluster_state.as_deref() {
            None | Some("new") => outside,
            Some("existing") => Some(JoinsOnly::State),
            Some(other) => {
                let why = "is neither new nor existing";
                self.mistake("ETCD_INITIAL_CLUSTER_STATE", other, why);
                None
            }
        };
        let deletes = match rejoin.data.as_deref() {
            None | Some("quarantine") => false,
            Some("delete") => true,
            Some(other) => {
                self.mistake("REJOIN_DATA", other, "is neither quarantine nor delete");
                false
            }
        };
        let keep = self.number("REJOIN_DATA_KEEP", rejoin.data_keep.as_deref(), 1);
        Policy {
            bootstrap: self.bootstrap(rejoin.bootstrap.as_deref()),
            join: self.join_as(rejoin.r#as.as_deref()),
            joins_only,
            keep: deletes.then_some(keep),
            ordinal: set.map(|set| set.ordinal),
            recover: self.recover(rejoin),
            token: rejoin.store.is_some().then(|| token.clone()),
            peer_urls,
            peer_urls_given,
            initial,
            name,
            ..Policy::default()
        }
        .with_ids_of(&token)
    }

    /// Whether a cluster that lost everything comes back by itself.
    fn recover(&mut self, rejoin: &RejoinSettings) -> Recover {
        let recover = match rejoin.recover.as_deref() {
            None | Some("hold") => Recover::Hold,
            Some("auto") => Recover::Auto,
            Some(other) => {
                self.mistake("REJOIN_RECOVER", other, "is neither hold nor auto");
                Recover::Hold
            }
        };
        if recover == Recover::Auto && rejoin.store.is_none() {
            let words = "REJOIN_RECOVER=auto has no effect: REJOIN_STORE is not set";
            self.warnings.push(words.into());
        }
        recover
    }

    /// Where snapshots are, and what the program that speaks to it is run with.
    fn store(
        &mut self,
        place: Option<&str>,
        env: Vec<(OsString, OsString)>,
    ) -> Option<StoreSettings> {
        let place = place?;
        if !place.starts_with('/') && !place.starts_with("s3://") {
            let why = "is no place: write an absolute path, or s3://BUCKET/PREFIX";
            self.mistake("REJOIN_STORE", place, why);
        }
        Some(StoreSettings {
            place: place.into(),
            env,
        })
    }

    /// The data dir, and the WAL dir where it is not in that.
    fn dirs(&mut self, etcd: &EtcdSettings, name: &str) -> (PathBuf, Option<PathBuf>) {
        let data_dir = etcd.data_dir.clone();
        let data_dir = data_dir.map_or_else(|| format!("{name}.etcd").into(), PathBuf::from);
        let wal_dir = etcd.wal_dir.clone().map(PathBuf::from);
        if let Some(wal) = &wal_dir
            && resolved(&data_dir).starts_with(resolved(wal))
        {
            let why = format!(
                "holds the data dir {}: etcd would delete it when it makes its WAL there",
                data_dir.display()
            );
            self.mistake("ETCD_WAL_DIR", &wal.display().to_string(), &why);
        }
        (data_dir, wal_dir)
    }

    fn all_listen_urls(&mut self, etcd: &EtcdSettings) -> Listen {
        let mut urls = |variable, value: &Option<String>, default| {
            self.listen_urls(variable, value.as_deref(), default)
        };
        Listen {
            peer: urls(
                "ETCD_LISTEN_PEER_URLS",
                &etcd.listen_peer_urls,
                "http://localhost:2380",
            ),
            client: urls(
                "ETCD_LISTEN_CLIENT_URLS",
                &etcd.listen_client_urls,
                "http://localhost:2379",
            ),
            client_http: urls(
                "ETCD_LISTEN_CLIENT_HTTP_URLS",
                &etcd.listen_client_http_urls,
                "",
            ),
            metrics: urls("ETCD_LISTEN_METRICS_URLS", &etcd.listen_metrics_urls, ""),
        }
    }
}
