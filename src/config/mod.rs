//! The configuration: read once, checked once, all mistakes reported together.
//!
//! Two stages: `Raw` is what the user said, [`Config`] is where nothing is left to check.

pub mod env_file;
pub mod file;
pub mod flags;
mod foreign;
mod kinds;
mod launch;
mod log_config;
mod parse;
mod raw;
mod reach;
mod scalar;
mod urls;
mod values;
pub mod variables;
mod words;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::datadir::resolved;
use crate::decide::{JoinsOnly, Policy};
use crate::gateway::Credentials;
use crate::membership::MemberId;
use crate::rover::settings::{self, Rover};
use crate::tls::TlsFiles;
pub use foreign::foreign_table;
pub use launch::Launch;
pub use log_config::LogConfig;
use parse::Checker;

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
    /// How long etcd waits before it calls an election.
    pub election_timeout: Duration,
    /// How long `quorum` waits for the rest.
    pub bootstrap_wait: Duration,
    /// How long to wait for others; `None` is for ever.
    pub wait: Option<Duration>,
    /// One look at the cluster.
    pub timeout: Duration,
    /// The etcd program, as the user named it.
    pub etcd: PathBuf,
    /// The volume that this member roves on, if it does.
    pub rover: Option<Rover>,
    /// How etcd is started.
    pub launch: Launch,
    /// What is odd, but no reason to stop.
    pub warnings: Vec<String>,
}

/// Flags of `run` that say the same as a variable of ours: flag, variable, value. The flag wins.
#[derive(Clone, Debug, Default)]
pub struct Overrides(pub Vec<(&'static str, &'static str, String)>);

impl Config {
    /// Reads the environment and etcd's flags. The error is the list of all mistakes.
    pub fn read(
        env: impl IntoIterator<Item = (OsString, OsString)>,
        words: &[OsString],
        overrides: &Overrides,
    ) -> Result<Config, Vec<String>> {
        Config::check(Config::raw(env, words, overrides))
    }

    /// The same, and how to log, which is known where the rest is wrong too. `terminal`: a person reads the log as
    /// it is written.
    pub fn read_with_log(
        env: impl IntoIterator<Item = (OsString, OsString)>,
        words: &[OsString],
        overrides: &Overrides,
        terminal: bool,
    ) -> (LogConfig, Result<Config, Vec<String>>) {
        let raw = Config::raw(env, words, overrides);
        (LogConfig::of(&raw, terminal), Config::check(raw))
    }

    fn raw(
        env: impl IntoIterator<Item = (OsString, OsString)>,
        words: &[OsString],
        overrides: &Overrides,
    ) -> raw::Raw {
        let given = |wanted: &OsString| (overrides.0.iter()).any(|(_, name, _)| wanted == name);
        let env = (env.into_iter())
            .filter(|(name, _)| !given(name))
            .chain((overrides.0.iter()).map(|(_, name, value)| (name.into(), value.into())));
        let mut raw = raw::read(env, words);
        for (flag, name, _) in &overrides.0 {
            raw.named.insert(name.to_string(), flag.to_string());
        }
        raw
    }

    fn check(raw: raw::Raw) -> Result<Config, Vec<String>> {
        let mut check = Checker {
            mistakes: raw.mistakes,
            warnings: raw.warnings,
            named: raw.named,
            restated: Vec::new(),
        };
        let (etcd, rejoin) = (raw.etcd, raw.rejoin);
        let name = etcd.name.unwrap_or("default".into());
        if name.contains([',', '=']) {
            let why = "has a comma or =: etcd reads neither in a name of ETCD_INITIAL_CLUSTER";
            check.mistake("ETCD_NAME", &name, why);
        }
        let token = etcd.initial_cluster_token.unwrap_or("etcd-cluster".into());
        let urls = |check: &mut Checker, variable: &str, value: Option<String>, default: &str| {
            check.urls(variable, value.as_deref().unwrap_or(default))
        };
        let given = (etcd.initial_cluster.as_deref())
            .and_then(|text| check.initial_cluster("ETCD_INITIAL_CLUSTER", text));
        let advertised = etcd.initial_advertise_peer_urls.is_some();
        let mut peer_urls = urls(
            &mut check,
            "ETCD_INITIAL_ADVERTISE_PEER_URLS",
            etcd.initial_advertise_peer_urls,
            "http://localhost:2380",
        );
        if peer_urls.is_empty() {
            let why = "names no URL: write http://HOST:PORT";
            check.mistake("ETCD_INITIAL_ADVERTISE_PEER_URLS", "", why);
        }
        let mut launch = Launch {
            env: raw.env,
            flags: raw.flags,
            file: raw.file,
            file_changed: false,
        };
        // The only value that can work: etcd would be fatal with its default beside this cluster.
        if let Some(ours) = given.as_ref().and_then(|cluster| cluster.get(&name))
            && !advertised
            && launch.file.is_none()
            && ours != peer_urls
        {
            peer_urls = ours.to_vec();
            launch.say("ETCD_INITIAL_ADVERTISE_PEER_URLS", &peer_urls.join(","));
        }
        // Beside a configuration file etcd keeps its default, whatever the initial cluster says of us.
        let peer_urls_given = advertised
            || (given.as_ref().and_then(|cluster| cluster.get(&name)))
                .is_some_and(|ours| ours == peer_urls);
        // etcd's own default cluster has our advertised URLs only under another name than `default`.
        if given.is_none() && advertised && launch.file.is_none() {
            let alone = urls::alone(&name, &peer_urls).to_string();
            launch.say("ETCD_INITIAL_CLUSTER", &alone);
        }
        let initial = given.unwrap_or_else(|| urls::alone(&name, &peer_urls));
        let outside = check.outside(&name, &peer_urls, &initial);
        if let Some(proxy) = etcd
            .proxy
            .filter(|proxy| !["", "off"].contains(&proxy.as_str()))
        {
            let why = "makes a proxy, which is no member: run that etcd without this entrypoint";
            check.mistake("ETCD_PROXY", &proxy, why);
        }
        for (variable, value) in [
            ("ETCD_DISCOVERY", etcd.discovery),
            ("ETCD_DISCOVERY_SRV", etcd.discovery_srv),
            ("ETCD_DISCOVERY_SRV_NAME", etcd.discovery_srv_name),
            ("ETCD_DISCOVERY_ENDPOINTS", etcd.discovery_endpoints),
            ("ETCD_DISCOVERY_TOKEN", etcd.discovery_token),
            ("ETCD_DISCOVERY_CONFIG", etcd.discovery_config),
        ] {
            if let Some(value) = value {
                check.mistake(
                    variable,
                    &value,
                    "is not supported: name the members in ETCD_INITIAL_CLUSTER",
                );
            }
        }
        if check.boolean("ETCD_FORCE_NEW_CLUSTER", etcd.force_new_cluster.as_deref()) {
            check.mistake("ETCD_FORCE_NEW_CLUSTER", "true", "would make a running cluster's members leave: use it by hand, without this entrypoint");
        }
        let election_timeout = check.intervals(
            etcd.heartbeat_interval.as_deref(),
            etcd.election_timeout.as_deref(),
        );
        // etcd does not get these: a slash or a comma at the end is no harm.
        let others = etcd.other_peers_client_urls.map(|urls| {
            let urls = urls.split(',').map(|url| url.trim().trim_end_matches('/'));
            urls.filter(|url| !url.is_empty())
                .collect::<Vec<_>>()
                .join(",")
        });
        let other_client_urls = urls(&mut check, "ETCD_OTHER_PEERS_CLIENT_URLS", others, "");
        let joins_only = match etcd.initial_cluster_state.as_deref() {
            None | Some("new") => outside,
            Some("existing") => Some(JoinsOnly::State),
            Some(other) => {
                check.mistake(
                    "ETCD_INITIAL_CLUSTER_STATE",
                    other,
                    "is neither new nor existing",
                );
                None
            }
        };
        let keep = match rejoin.data.as_deref() {
            None | Some("quarantine") => None,
            Some("delete") => Some(()),
            Some(other) => {
                check.mistake("REJOIN_DATA", other, "is neither quarantine nor delete");
                None
            }
        };
        let keep_count = check.number("REJOIN_DATA_KEEP", rejoin.data_keep.as_deref(), 1);
        let (ignored, ignored_urls) = check.ignored(rejoin.ignore.as_deref());
        let static_id = initial.static_id(&name, &token).unwrap_or(MemberId(0));
        let policy = Policy {
            static_cluster: initial.static_cluster_id(&token),
            static_id,
            static_others: (initial.iter())
                .filter(|(other, urls)| {
                    *other != name && !urls.iter().any(|url| peer_urls.contains(url))
                })
                .filter_map(|(other, _)| initial.static_id(other, &token))
                .collect(),
            bootstrap: check.bootstrap(rejoin.bootstrap.as_deref()),
            join: check.join_as(rejoin.join_as.as_deref()),
            joins_only,
            listens_wide: false,
            knows_others: !other_client_urls.is_empty(),
            keep: keep.map(|()| keep_count),
            peer_urls,
            peer_urls_given,
            initial,
            name,
        };
        let data_dir =
            (etcd.data_dir).map_or_else(|| format!("{}.etcd", policy.name).into(), PathBuf::from);
        let wal_dir = etcd.wal_dir.map(PathBuf::from);
        let dirs = [
            ("ETCD_DATA_DIR", data_dir.as_path()),
            ("ETCD_WAL_DIR", wal_dir.as_deref().unwrap_or(Path::new(""))),
        ];
        if let Some(wal) = &wal_dir
            && resolved(&data_dir).starts_with(resolved(wal))
        {
            let why = format!(
                "holds the data dir {}: etcd would delete it when it makes its WAL there",
                data_dir.display()
            );
            check.mistake("ETCD_WAL_DIR", &wal.display().to_string(), &why);
        }
        let (rover, remarks) = settings::check(&raw.rover, dirs);
        check.remarks(remarks);
        // etcd ignores it where it was given certificates.
        let peer_auto = etcd.peer_cert_file.is_none() && etcd.peer_key_file.is_none();
        let client_auto =
            etcd.cert_file.is_none() && etcd.key_file.is_none() && rejoin.cacert.is_none();
        let peer_tls = check.tls(
            [("ETCD_PEER_TRUSTED_CA_FILE", etcd.peer_trusted_ca_file)],
            [("ETCD_PEER_CERT_FILE", etcd.peer_cert_file)],
            [("ETCD_PEER_KEY_FILE", etcd.peer_key_file)],
            (
                "ETCD_PEER_AUTO_TLS",
                etcd.peer_auto_tls.as_deref(),
                peer_auto,
            ),
        );
        let peer_client_tls = match (etcd.peer_client_cert_file, etcd.peer_client_key_file) {
            (None, None) => peer_tls.clone(),
            (cert, key) => TlsFiles {
                ca: peer_tls.ca.clone(),
                insecure: peer_tls.insecure,
                ..check.tls(
                    [],
                    [("ETCD_PEER_CLIENT_CERT_FILE", cert)],
                    [("ETCD_PEER_CLIENT_KEY_FILE", key)],
                    ("ETCD_PEER_AUTO_TLS", None, false),
                )
            },
        };
        let client_tls = check.tls(
            [
                ("REJOIN_CACERT", rejoin.cacert),
                ("ETCD_TRUSTED_CA_FILE", etcd.trusted_ca_file),
            ],
            [
                ("REJOIN_CERT", rejoin.cert),
                ("ETCD_CLIENT_CERT_FILE", etcd.client_cert_file),
                ("ETCD_CERT_FILE", etcd.cert_file),
            ],
            [
                ("REJOIN_KEY", rejoin.key),
                ("ETCD_CLIENT_KEY_FILE", etcd.client_key_file),
                ("ETCD_KEY_FILE", etcd.key_file),
            ],
            ("ETCD_AUTO_TLS", etcd.auto_tls.as_deref(), client_auto),
        );
        check.log(rejoin.log.as_deref(), rejoin.log_format.as_deref());
        let mut config = Config {
            advertises_no_client_url: etcd.listen_client_urls.is_some()
                && etcd.advertise_client_urls.is_none()
                && launch.file.is_none(),
            data_dir,
            wal_dir,
            ignored,
            ignored_urls,
            rover,
            cluster_digest: policy.initial.digest(),
            token_digest: crate::membership::digest(&token),
            listen_peer_urls: check.listen_urls(
                "ETCD_LISTEN_PEER_URLS",
                etcd.listen_peer_urls.as_deref(),
                "http://localhost:2380",
            ),
            listen_client_urls: check.listen_urls(
                "ETCD_LISTEN_CLIENT_URLS",
                etcd.listen_client_urls.as_deref(),
                "http://localhost:2379",
            ),
            listen_client_http_urls: check.listen_urls(
                "ETCD_LISTEN_CLIENT_HTTP_URLS",
                etcd.listen_client_http_urls.as_deref(),
                "",
            ),
            listen_metrics_urls: check.listen_urls(
                "ETCD_LISTEN_METRICS_URLS",
                etcd.listen_metrics_urls.as_deref(),
                "",
            ),
            advertise_client_urls: urls(
                &mut check,
                "ETCD_ADVERTISE_CLIENT_URLS",
                etcd.advertise_client_urls,
                "http://localhost:2379",
            ),
            other_client_urls,
            peer_tls,
            peer_client_tls,
            peer_client_auth: check.boolean(
                "ETCD_PEER_CLIENT_CERT_AUTH",
                etcd.peer_client_cert_auth.as_deref(),
            ),
            client_tls,
            credentials: check.credentials(
                rejoin.user,
                rejoin.password,
                rejoin.password_file.as_deref().map(Path::new),
            ),
            election_timeout,
            bootstrap_wait: (check
                .duration("REJOIN_BOOTSTRAP_WAIT", rejoin.bootstrap_wait.as_deref()))
            .unwrap_or(Duration::from_secs(30)),
            wait: match rejoin.wait.as_deref() {
                Some("forever") => None,
                other => check.duration("REJOIN_WAIT", other),
            },
            timeout: check.timeout(rejoin.timeout.as_deref()),
            etcd: rejoin.etcd.map_or_else(|| "etcd".into(), PathBuf::from),
            launch,
            policy,
            warnings: Vec::new(),
        };
        let here = |url: &String| reach::is_loopback(url);
        config.policy.listens_wide = !config.listen_peer_urls.iter().all(here);
        let reached = reach::Urls {
            listen_peer: &config.listen_peer_urls,
            listen_client: &config.listen_client_urls,
            advertise_client: &config.advertise_client_urls,
            peer: &config.policy.peer_urls,
        };
        check.reach(&config.policy.name, &config.policy.initial, &reached);
        // etcd 3.4 cannot listen at one URL twice, and none founds a cluster that names one twice, or this
        // member with a blank.
        for (variable, value) in check.restated {
            if variable != "ETCD_OTHER_PEERS_CLIENT_URLS" {
                config.launch.say_instead(&variable, &value);
            }
        }
        config.warnings = check.warnings;
        match check.mistakes.is_empty() {
            true => Ok(config),
            false => Err(check.mistakes),
        }
    }

    /// The other members of the initial cluster, by name, with their peer URLs.
    pub fn other_members(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.policy
            .initial
            .iter()
            .filter(|(name, _)| *name != self.policy.name)
    }
}
