//! What the environment says: which store, which etcd, as whom. Read once; all mistakes reported together. Nobody else
//! reads the environment.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use etcd_rejoin_host::access::{Credentials, TlsFiles};
use etcd_rejoin_host::logging::{LogConfig, level};
use etcd_rejoin_host::program;

use crate::store::{BucketPlace, Credentialed, Place};

/// Variables that are set, and not empty.
pub type OwnVariables = BTreeMap<String, String>;

/// Every variable that is read here, and what it means. Those of etcd and etcdctl are looked at in the order given.
pub const VARIABLES: &[(&str, &str)] = &[
    (
        "REJOIN_STORE",
        "where snapshots live: an absolute path, or `s3://BUCKET/PREFIX`; one cluster's alone",
    ),
    (
        "REJOIN_STORE_CACERT",
        "the CA of the object store's certificate; else AWS_CA_BUNDLE, else the machine's bundle",
    ),
    (
        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN",
        "the credentials",
    ),
    (
        "AWS_SHARED_CREDENTIALS_FILE, AWS_PROFILE",
        "the same from a file, which is read again when it changes",
    ),
    (
        "AWS_ROLE_ARN, AWS_WEB_IDENTITY_TOKEN_FILE",
        "the same by web identity (IRSA)",
    ),
    (
        "AWS_CONTAINER_CREDENTIALS_FULL_URI, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "the same by EKS pod identity",
    ),
    (
        "AWS_REGION, AWS_ENDPOINT_URL, AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
        "where the bucket is; the path style is the default",
    ),
    (
        "AWS_SERVER_SIDE_ENCRYPTION, AWS_SSE_KMS_KEY_ID",
        "how the store encrypts: `AES256`, `aws:kms`",
    ),
    (
        "ETCDCTL_ENDPOINTS, ETCD_ADVERTISE_CLIENT_URLS",
        "the etcd to save; else http://127.0.0.1:2379",
    ),
    (
        "REJOIN_CACERT, ETCDCTL_CACERT, ETCD_TRUSTED_CA_FILE",
        "the CA of etcd's certificate; else the machine's bundle",
    ),
    (
        "REJOIN_CERT, ETCDCTL_CERT, ETCD_CLIENT_CERT_FILE, ETCD_CERT_FILE",
        "our certificate",
    ),
    (
        "REJOIN_KEY, ETCDCTL_KEY, ETCD_CLIENT_KEY_FILE, ETCD_KEY_FILE",
        "its key",
    ),
    (
        "REJOIN_USER, ETCDCTL_USER",
        "the etcd user that we are, where authentication is on; it needs the root role",
    ),
    (
        "REJOIN_PASSWORD, REJOIN_PASSWORD_FILE, ETCDCTL_PASSWORD",
        "its password",
    ),
    (
        "ETCD_PEER_TRUSTED_CA_FILE, ETCD_PEER_CERT_FILE, ETCD_PEER_KEY_FILE",
        "as members have them: `recover` asks at peer URLs; ETCD_PEER_CLIENT_CERT_FILE and its key come before",
    ),
    (
        "ETCD_INITIAL_CLUSTER",
        "members that `recover` asks, beside those that the store knows of",
    ),
    (
        "REJOIN_ETCD",
        "the etcd that a drill and a restore run: a path, or a name on PATH; with it comes what restores",
    ),
    (
        "REJOIN_LOG",
        "how much to log: `error`, `warn`, `info`, `debug`",
    ),
    ("REJOIN_LOG_FORMAT", "`text` or `json`"),
];

/// The table of the book.
pub fn table() -> String {
    let mut table = String::from("| variable | meaning |\n|---|---|\n");
    for (names, meaning) in VARIABLES {
        let names: Vec<String> = names.split(", ").map(|name| format!("`{name}`")).collect();
        table += &format!("| {} | {meaning} |\n", names.join(", "));
    }
    table
}

/// What is settled.
#[derive(Debug)]
pub struct SnapshotSettings {
    /// The store.
    pub place: Place,
    /// How we speak to an object store.
    pub store_tls: TlsFiles,
    /// How we speak to etcd.
    pub etcd: EtcdAccess,
    /// How we speak at peer URLs.
    pub peer_tls: TlsFiles,
    /// The initial cluster, as a member is given it: names and peer URLs.
    pub initial: Vec<(String, String)>,
    /// The etcd of a drill: a path, or a name on PATH.
    pub etcd_program: String,
    /// Where programs are looked for.
    pub search: OsString,
    /// How to log.
    pub log: LogConfig,
}

/// Which etcd, and who we are there.
#[derive(Clone, Debug)]
pub struct EtcdAccess {
    /// Client URLs.
    pub endpoints: Vec<String>,
    /// Whom we trust, and our certificate.
    pub tls: TlsFiles,
    /// Our user.
    pub user: Option<Credentials>,
}

/// Our own environment. What is not UTF-8 is no setting of ours.
pub fn own() -> OwnVariables {
    let all = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    all.filter(|(_, value)| !value.is_empty()).collect()
}

/// How to log; known where the rest is wrong, too.
pub fn log_config(env: &OwnVariables) -> LogConfig {
    LogConfig {
        level: env
            .get("REJOIN_LOG")
            .and_then(|word| level(word))
            .unwrap_or(log::LevelFilter::Info),
        json: env
            .get("REJOIN_LOG_FORMAT")
            .is_some_and(|format| format == "json"),
    }
}

/// Reads variables; words of the command line that say the same were put over them. The error is the list of all
/// mistakes.
pub fn read(env: &OwnVariables) -> Result<SnapshotSettings, Vec<String>> {
    let mut reader = SettingsReader {
        env,
        mistakes: Vec::new(),
    };
    let place = reader.place();
    let (ca, bundle) = (
        reader.file(&["REJOIN_STORE_CACERT", "AWS_CA_BUNDLE"]),
        reader.file(&["SSL_CERT_FILE"]),
    );
    let store_tls = TlsFiles {
        ca,
        bundle,
        ..TlsFiles::default()
    };
    let etcd = EtcdAccess {
        endpoints: reader.endpoints(),
        tls: reader.etcd_tls(),
        user: reader.user(),
    };
    let (peer_tls, initial) = (reader.peer_tls(), reader.initial());
    match (place, reader.mistakes) {
        (Some(place), mistakes) if mistakes.is_empty() => Ok(SnapshotSettings {
            place,
            store_tls,
            etcd,
            peer_tls,
            initial,
            etcd_program: env
                .get("REJOIN_ETCD")
                .cloned()
                .unwrap_or_else(|| "etcd".into()),
            search: program::search_path(env.get("PATH").map(OsStr::new)),
            log: log_config(env),
        }),
        (_, mistakes) => Err(mistakes),
    }
}

struct SettingsReader<'a> {
    env: &'a OwnVariables,
    mistakes: Vec<String>,
}

impl SettingsReader<'_> {
    /// The first of these that is set.
    fn first<'b>(&self, names: &[&'b str]) -> Option<(&'b str, String)> {
        names
            .iter()
            .find_map(|name| Some((*name, self.env.get(*name)?.clone())))
    }

    fn file(&mut self, names: &[&str]) -> Option<PathBuf> {
        let (name, path) = self.first(names)?;
        if let Err(error) = std::fs::File::open(&path) {
            self.mistakes
                .push(format!("{name}={path} does not read: {error}"));
        }
        Some(path.into())
    }

    fn place(&mut self) -> Option<Place> {
        let wanted = "write an absolute path, or s3://BUCKET/PREFIX";
        let Some(text) = self.env.get("REJOIN_STORE") else {
            self.mistakes.push(format!(
                "REJOIN_STORE is not set, and no --store is given: {wanted}"
            ));
            return None;
        };
        let Some(below) = text.strip_prefix("s3://") else {
            let path = Path::new(text);
            if !path.is_absolute() {
                self.mistakes
                    .push(format!("REJOIN_STORE={text} is no place: {wanted}"));
                return None;
            }
            return Some(Place::Directory(path.into()));
        };
        let (bucket, prefix) = below.split_once('/').unwrap_or((below, ""));
        let prefix = prefix.trim_matches('/');
        if bucket.is_empty() {
            self.mistakes
                .push(format!("REJOIN_STORE={text} names no bucket: {wanted}"));
            return None;
        }
        let aws = self.env.iter().filter(|(name, _)| name.starts_with("AWS_"));
        Some(Place::Bucket(BucketPlace {
            bucket: bucket.into(),
            prefix: prefix.into(),
            aws: aws
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            patience: None,
            credentials: self.credentials_file(),
        }))
    }

    /// A file of credentials: the one that is named, else the one that the AWS command line writes; not where the
    /// environment has credentials of another kind.
    fn credentials_file(&mut self) -> Option<Credentialed> {
        let profile = self
            .env
            .get("AWS_PROFILE")
            .cloned()
            .unwrap_or_else(|| "default".into());
        if self.env.contains_key("AWS_ACCESS_KEY_ID") {
            return None;
        }
        if let Some(file) = self.file(&["AWS_SHARED_CREDENTIALS_FILE"]) {
            return Some(Credentialed { file, profile });
        }
        let others = [
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        ];
        let file = Path::new(self.env.get("HOME")?).join(".aws/credentials");
        let unclaimed = self.first(&others).is_none() && file.is_file();
        unclaimed.then_some(Credentialed { file, profile })
    }

    fn endpoints(&self) -> Vec<String> {
        let given = self.first(&["ETCDCTL_ENDPOINTS", "ETCD_ADVERTISE_CLIENT_URLS"]);
        let given = given.map_or_else(|| "http://127.0.0.1:2379".into(), |(_, value)| value);
        let urls = given
            .split(',')
            .map(str::trim)
            .filter(|url| !url.is_empty());
        urls.map(String::from).collect()
    }

    fn etcd_tls(&mut self) -> TlsFiles {
        let ca = self.file(&["REJOIN_CACERT", "ETCDCTL_CACERT", "ETCD_TRUSTED_CA_FILE"]);
        let (cert, key) = self.pair(&[
            ("REJOIN_CERT", "REJOIN_KEY"),
            ("ETCDCTL_CERT", "ETCDCTL_KEY"),
            ("ETCD_CLIENT_CERT_FILE", "ETCD_CLIENT_KEY_FILE"),
            ("ETCD_CERT_FILE", "ETCD_KEY_FILE"),
        ]);
        let none = ca.is_none() && self.first(&["ETCD_CERT_FILE", "ETCD_KEY_FILE"]).is_none();
        TlsFiles {
            ca,
            bundle: self.file(&["SSL_CERT_FILE"]),
            cert,
            key,
            insecure: none && self.is_true("ETCD_AUTO_TLS"),
        }
    }

    fn peer_tls(&mut self) -> TlsFiles {
        let ca = self.file(&["ETCD_PEER_TRUSTED_CA_FILE"]);
        let (cert, key) = self.pair(&[
            ("ETCD_PEER_CLIENT_CERT_FILE", "ETCD_PEER_CLIENT_KEY_FILE"),
            ("ETCD_PEER_CERT_FILE", "ETCD_PEER_KEY_FILE"),
        ]);
        let own = ["ETCD_PEER_CERT_FILE", "ETCD_PEER_KEY_FILE"];
        let none = self.first(&own).is_none();
        TlsFiles {
            ca,
            bundle: self.file(&["SSL_CERT_FILE"]),
            cert,
            key,
            insecure: none && self.is_true("ETCD_PEER_AUTO_TLS"),
        }
    }

    /// The first pair of which a half is set.
    fn pair(&mut self, pairs: &[(&str, &str)]) -> (Option<PathBuf>, Option<PathBuf>) {
        let mut given = pairs.iter();
        let given = given.find(|(cert, key)| self.first(&[cert, key]).is_some());
        let Some((cert_name, key_name)) = given else {
            return (None, None);
        };
        let (cert, key) = (self.file(&[cert_name]), self.file(&[key_name]));
        if cert.is_some() != key.is_some() {
            self.mistakes.push(format!(
                "{cert_name} and {key_name} belong together: set both"
            ));
        }
        (cert, key)
    }

    fn is_true(&self, name: &str) -> bool {
        let value = self.env.get(name);
        value.is_some_and(|value| value == "true" || value == "1")
    }

    /// What does not read is a member's own mistake, and said there.
    fn initial(&self) -> Vec<(String, String)> {
        let given = self.env.get("ETCD_INITIAL_CLUSTER");
        let given = given.map(String::as_str).unwrap_or_default().split(',');
        let pairs = given.filter_map(|pair| pair.trim().split_once('='));
        pairs.map(|(name, url)| (name.into(), url.into())).collect()
    }

    fn user(&mut self) -> Option<Credentials> {
        if let Some(user) = self.env.get("REJOIN_USER").cloned() {
            let password = self
                .env
                .get("REJOIN_PASSWORD")
                .cloned()
                .or_else(|| self.password_file());
            if password.is_none() {
                self.mistakes
                    .push("REJOIN_USER has no password: set REJOIN_PASSWORD_FILE".into());
            }
            return Some(Credentials {
                user,
                password: password?,
            });
        }
        let user = self.env.get("ETCDCTL_USER")?;
        let (user, password) = match (user.split_once(':'), self.env.get("ETCDCTL_PASSWORD")) {
            (_, Some(password)) => (user.as_str(), password.as_str()),
            (Some((user, password)), None) => (user, password),
            (None, None) => {
                self.mistakes.push(
                    "ETCDCTL_USER has no password: write USER:PASSWORD, or set ETCDCTL_PASSWORD"
                        .into(),
                );
                return None;
            }
        };
        Some(Credentials {
            user: user.into(),
            password: password.into(),
        })
    }

    fn password_file(&mut self) -> Option<String> {
        let path = self.env.get("REJOIN_PASSWORD_FILE")?;
        match std::fs::read_to_string(path) {
            Ok(text) => Some(text.trim_end_matches(['\r', '\n']).into()),
            Err(error) => {
                self.mistakes.push(format!(
                    "REJOIN_PASSWORD_FILE={path} does not read: {error}"
                ));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(env: &[(&str, &str)]) -> OwnVariables {
        env.iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect()
    }

    #[test]
    fn a_store_is_a_directory_or_a_prefix_of_a_bucket() {
        for (text, shown) in [
            ("/backup", "/backup"),
            ("s3://b/p/q/", "s3://b/p/q"),
            ("s3://b", "s3://b/"),
        ] {
            let settings = read(&variables(&[("REJOIN_STORE", text)])).unwrap();
            assert_eq!(settings.place.to_string(), shown);
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let env = [
            ("REJOIN_STORE", "backup"),
            ("REJOIN_CERT", "/etc/passwd"),
            ("REJOIN_CACERT", "/nonexistent"),
            ("ETCDCTL_USER", "root"),
        ];
        let mistakes = read(&variables(&env)).unwrap_err();
        let begins = [
            "REJOIN_STORE=backup is no place",
            "REJOIN_CACERT=/nonexistent",
            "REJOIN_CERT and REJOIN_KEY",
            "ETCDCTL_USER",
        ];
        assert_eq!(mistakes.len(), begins.len(), "{mistakes:?}");
        for (mistake, begin) in mistakes.iter().zip(begins) {
            assert!(mistake.starts_with(begin), "{mistake}");
        }
    }

    #[test]
    fn a_member_and_its_sidecar_take_the_same_environment() {
        let env = [
            ("REJOIN_STORE", "/backup"),
            (
                "ETCD_ADVERTISE_CLIENT_URLS",
                "http://n1:2379,http://n1b:2379",
            ),
            ("ETCDCTL_USER", "root:a:b"),
        ];
        let etcd = read(&variables(&env)).unwrap().etcd;
        assert_eq!(etcd.endpoints, ["http://n1:2379", "http://n1b:2379"]);
        let user = etcd.user.unwrap();
        assert_eq!(
            (user.user.as_str(), user.password.as_str()),
            ("root", "a:b")
        );
    }
}
