//! What the user said, before it is checked: variables, etcd's flags and its configuration file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use etcd_rejoin_host::of_variables;
use serde_json::{Map, Value};

use super::{StatefulSet, file, flags, foreign, values, variables};
use crate::rover;
use crate::text::{listed, shorten};

of_variables! {
    /// etcd's settings that we need, all of them as text. etcd's own defaults apply where none is given.
    #[derive(Debug, Default)]
    pub struct EtcdSettings {
        pub name: Option<String>,
        pub data_dir: Option<String>,
        pub wal_dir: Option<String>,
        pub initial_cluster: Option<String>,
        pub initial_cluster_state: Option<String>,
        pub initial_cluster_token: Option<String>,
        pub initial_advertise_peer_urls: Option<String>,
        pub listen_peer_urls: Option<String>,
        pub listen_client_urls: Option<String>,
        pub listen_client_http_urls: Option<String>,
        pub listen_metrics_urls: Option<String>,
        pub advertise_client_urls: Option<String>,
        pub other_peers_client_urls: Option<String>,
        pub discovery: Option<String>,
        pub discovery_srv: Option<String>,
        pub discovery_srv_name: Option<String>,
        pub discovery_endpoints: Option<String>,
        pub discovery_token: Option<String>,
        pub discovery_config: Option<String>,
        pub proxy: Option<String>,
        pub cert_file: Option<String>,
        pub key_file: Option<String>,
        pub client_cert_file: Option<String>,
        pub client_key_file: Option<String>,
        pub trusted_ca_file: Option<String>,
        pub auto_tls: Option<String>,
        pub peer_cert_file: Option<String>,
        pub peer_key_file: Option<String>,
        pub peer_client_cert_file: Option<String>,
        pub peer_client_key_file: Option<String>,
        pub peer_trusted_ca_file: Option<String>,
        pub peer_client_cert_auth: Option<String>,
        pub peer_auto_tls: Option<String>,
        pub force_new_cluster: Option<String>,
        pub quota_backend_bytes: Option<String>,
        pub heartbeat_interval: Option<String>,
        pub election_timeout: Option<String>,
        pub logger: Option<String>,
        pub log_format: Option<String>,
    }
}

of_variables! {
    /// Our own settings, all of them as text.
    #[derive(Debug, Default)]
    pub struct RejoinSettings {
        pub bootstrap: Option<String>,
        pub r#as: Option<String>,
        pub data: Option<String>,
        pub data_keep: Option<String>,
        pub ignore: Option<String>,
        pub wait: Option<String>,
        pub timeout: Option<String>,
        pub cacert: Option<String>,
        pub cert: Option<String>,
        pub key: Option<String>,
        pub user: Option<String>,
        pub password: Option<String>,
        pub password_file: Option<String>,
        pub etcd: Option<String>,
        pub log: Option<String>,
        pub log_format: Option<String>,
        pub store: Option<String>,
        pub recover: Option<String>,
        pub metrics_file: Option<String>,
    }
}

/// Everything the user said, and how etcd gets its part of it.
#[derive(Debug, Default)]
pub struct Raw {
    /// etcd's settings.
    pub etcd: EtcdSettings,
    /// Ours.
    pub rejoin: RejoinSettings,
    /// Ours of two machines.
    pub rover: rover::settings::Variables,
    /// The environment for etcd, without our own variables and without what etcd would trip over.
    pub env: Vec<(OsString, OsString)>,
    /// etcd's flags.
    pub flags: Vec<flags::Flag>,
    /// etcd's configuration file, if it has one.
    pub file: Option<(PathBuf, Map<String, Value>)>,
    /// How the user named what a variable stands for, where that is not the variable.
    pub named: BTreeMap<String, String>,
    /// The whole environment, where somebody else is to read it too.
    pub given: Vec<(OsString, OsString)>,
    /// The StatefulSet that some of these were derived from.
    pub set: Option<StatefulSet>,
    /// What is wrong so far.
    pub mistakes: Vec<String>,
    /// What is odd, but no reason to stop.
    pub warnings: Vec<String>,
}

/// Values by the names of their variables.
type Named = BTreeMap<String, String>;

const MOST_MISTAKES: usize = 4;
const OTHERS: &str = "ETCD_OTHER_PEERS_CLIENT_URLS";
/// etcd computes all IDs with the token, and takes an empty one for what it is: but not from a variable.
const MAY_BE_EMPTY: &str = "initial-cluster-token";

/// Reads variables and etcd's command line; opens the configuration file if one is named.
pub fn read(env: impl IntoIterator<Item = (OsString, OsString)>, words: &[OsString]) -> Raw {
    let mut raw = Raw::default();
    match flags::parse(words) {
        Ok(flags) => raw.flags = flags,
        Err(mistake) => raw.mistakes.push(mistake),
    }
    let (mut etcd, rejoin) = raw.sort(env);
    raw.merge_flags(&mut etcd);
    let of_file = |flag: &flags::Flag| flag.name == "config-file" && !flag.value.is_empty();
    // It reads none of them beside its configuration file.
    if !etcd.contains_key("ETCD_CONFIG_FILE") && !raw.flags.iter().any(of_file) {
        raw.mistakes.extend(values::wrong_variables(&etcd));
    }
    raw.mistakes.extend(values::wrong_flags(&raw.flags));
    let others = etcd.remove(OTHERS);
    (raw.env).extend((etcd.iter()).map(|(name, value)| (name.into(), value.into())));
    raw.take_flags(&mut etcd);
    if let Some(path) = etcd.get("ETCD_CONFIG_FILE").map(PathBuf::from) {
        raw.use_file(path, &mut etcd);
    }
    if let Some(others) = others {
        etcd.insert(OTHERS.into(), others);
    }
    raw.etcd = EtcdSettings::of_variables("ETCD_", &etcd);
    raw.rejoin = RejoinSettings::of_variables("REJOIN_", &rejoin);
    raw.rover = rover::settings::Variables::of_variables(&rejoin);
    raw
}

impl Raw {
    /// etcd's variables and ours, each by its name. What is neither is for etcd as it stands, but for what other
    /// images of etcd heed.
    fn sort(&mut self, env: impl IntoIterator<Item = (OsString, OsString)>) -> (Named, Named) {
        let mut etcd = BTreeMap::new();
        let mut rejoin = BTreeMap::new();
        let mut foreign = foreign::Foreign::default();
        for (name, value) in env {
            let Some(text) = name.to_str() else {
                self.env.push((name, value));
                continue;
            };
            let of_etcd = text.starts_with("ETCD_");
            let ours = text.starts_with("REJOIN_");
            if foreign.takes(text, &value.to_string_lossy()) {
                if !of_etcd {
                    self.env.push((name, value));
                }
                continue;
            }
            if !of_etcd && !ours {
                self.env.push((name, value));
                continue;
            }
            if variables::of_a_service(text, value.to_str().unwrap_or_default()) {
                self.env.push((name, value));
                continue;
            }
            if ours && !variables::VARIABLES.iter().any(|known| known.name == text) {
                self.mistakes.push(unknown(text));
                continue;
            }
            // An empty ETCD_X counts as unset, but etcd warns about it; so it does not get it.
            if value.is_empty() {
                continue;
            }
            let Some(value_text) = value.to_str() else {
                // No value here: it may be a password.
                self.mistakes
                    .push(format!("{text} is not UTF-8: write it anew"));
                continue;
            };
            if of_etcd && text != OTHERS && is_near(text) {
                let why = "is no variable of etcd, which ignores it: did you mean";
                self.warnings.push(format!("{text} {why} {OTHERS}?"));
            }
            if ours {
                rejoin.insert(text.to_string(), value_text.to_string());
            } else {
                etcd.insert(text.to_string(), value_text.to_string());
            }
        }
        let ignored = rejoin.get("REJOIN_IGNORE").map(String::as_str);
        let (warnings, mistakes) = foreign.said(|name| listed(ignored).any(|word| word == name));
        self.warnings.extend(warnings);
        self.mistakes.extend(mistakes);
        (etcd, rejoin)
    }

    /// Flags count as their variables do; an empty one means etcd's default.
    fn take_flags(&mut self, etcd: &mut Named) {
        for flag in &self.flags {
            match (flag.name.as_str(), flag.value.is_empty()) {
                ("name", true) => self
                    .mistakes
                    .push("--name= is empty: give it a name".into()),
                // The one of them that etcd does not take.
                ("initial-cluster-state", true) => {
                    let why = "is empty: write new or existing";
                    self.mistakes
                        .push(format!("--initial-cluster-state= {why}"));
                }
                // etcd's own defaults hold: for --data-dir and --wal-dir above all.
                (name, true) if name != MAY_BE_EMPTY => {
                    etcd.remove(&flag.variable());
                }
                (_, _) => {
                    etcd.insert(flag.variable(), flag.value.clone());
                }
            }
            (self.named).insert(flag.variable(), format!("--{}", flag.name));
        }
    }

    /// A variable beside its flag is fatal to etcd, even with the same value: then the flag stays.
    fn merge_flags(&mut self, etcd: &mut Named) {
        for flag in &self.flags {
            let variable = flag.variable();
            match etcd.remove(&variable) {
                Some(value) if value != flag.value => self.mistakes.push(format!(
                    "{variable}={} and --{}={} contradict each other: give one of them",
                    shorten(&value),
                    flag.name,
                    shorten(&flag.value)
                )),
                Some(_) | None => {}
            }
        }
    }

    /// With a configuration file etcd ignores every other flag and variable.
    fn use_file(&mut self, path: PathBuf, etcd: &mut Named) {
        match file::read(&path) {
            Ok(map) => {
                let ignored: Vec<_> = (etcd.keys())
                    .filter(|name| *name != "ETCD_CONFIG_FILE")
                    .cloned()
                    .collect();
                if !ignored.is_empty() {
                    self.warnings.push(format!(
                        "etcd ignores {} beside its configuration file {}",
                        ignored.join(", "),
                        path.display()
                    ));
                }
                etcd.clear();
                self.named.clear();
                for (flag, value) in file::settings(&map) {
                    // No key of etcd's has one: it starts without that setting, and so do we.
                    if flag.contains('_') {
                        let (path, key) = (path.display(), shorten(&flag));
                        let right = key.replace('_', "-");
                        self.warnings.push(format!(
                            "{path}: etcd does not know the key {key}, and ignores it: write {right}"
                        ));
                    } else if value.is_empty() && matches!(&*flag, "name" | "initial-cluster-state")
                    {
                        let variable = "ETCD_CONFIG_FILE";
                        let file = path.display();
                        let why = format!(
                            "{variable}={file}: {flag} is empty: give it a value, or leave it out"
                        );
                        self.mistakes.push(why);
                    } else if !value.is_empty() || flag == MAY_BE_EMPTY {
                        let named = format!("{}: {flag}", path.display());
                        self.named.insert(flags::variable(&flag), named);
                        etcd.insert(flags::variable(&flag), value);
                    }
                }
                self.file = Some((path, map));
            }
            Err(why) => {
                let variable = "ETCD_CONFIG_FILE";
                let named = self.named.get(variable).map_or(variable, |name| name);
                let path = shorten(&path.display().to_string());
                self.mistakes.push(format!("{named}={path} {why}"));
            }
        }
    }
}

fn is_near(name: &str) -> bool {
    // Each character too many or too few is a mistake; the environment is full of other names.
    let near = name.chars().count().abs_diff(OTHERS.len()) <= MOST_MISTAKES;
    near && strsim::damerau_levenshtein(name, OTHERS) <= MOST_MISTAKES
}

fn unknown(name: &str) -> String {
    let name = &shorten(name);
    match variables::nearest(name) {
        Some(known) => format!("{name} is not a variable of etcd-rejoin: did you mean {known}?"),
        None => format!("{name} is not a variable of etcd-rejoin: `etcd-rejoin --help` lists them"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Overrides};
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    use std::path::Path;

    fn read(env: &[(&str, &[u8])], words: &[&str]) -> Result<Config, Vec<String>> {
        let env = env
            .iter()
            .map(|(name, value)| (name.into(), OsString::from_vec(value.to_vec())));
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        Config::read(env, &words, &Overrides::default())
    }

    #[test]
    fn an_empty_flag_means_etcds_default() {
        let words = ["--name=n1", "--data-dir=", "--wal-dir", ""];
        let config = read(&[], &words).unwrap();
        assert_eq!(config.data_dir, Path::new("n1.etcd"));
        assert_eq!(config.wal_dir, None);
    }

    /// The IDs are those that etcd 3.4.23, 3.5.16 and 3.5.30 list.
    #[test]
    fn an_empty_token_is_one_but_not_in_a_variable() {
        let dir = tempfile::tempdir().unwrap();
        let file = |text: &str| {
            let path = dir.path().join("etcd.yml");
            let url = "http://127.79.1.3:2380";
            let rest = format!("name: n1\ninitial-advertise-peer-urls: {url}\n");
            let cluster = format!("initial-cluster: n1={url}\n");
            std::fs::write(&path, format!("{text}\n{rest}{cluster}")).unwrap();
            let config = read(&[], &["--config-file", path.to_str().unwrap()]);
            config.unwrap().policy.static_cluster.to_string()
        };
        assert_eq!(file("initial-cluster-token: ''"), "619542dd90534082");
        assert_eq!(file("initial-cluster-token: ~"), "bc99d3e3f5e88735");
        let given =
            |env: &[(&str, &[u8])], words: &[&str]| read(env, words).unwrap().policy.static_cluster;
        let empty = given(&[], &["--initial-cluster-token="]);
        assert_eq!(empty, given(&[], &["--initial-cluster-token", ""]));
        let default = given(&[("ETCD_INITIAL_CLUSTER_TOKEN", b"")], &[]);
        assert_eq!(default, given(&[], &[]));
        assert_ne!(empty, default);
    }

    #[test]
    fn what_cannot_be_empty_is_named() {
        for (words, part) in [
            (["--name="], "--name="),
            (["--initial-cluster-state="], "--initial-cluster-state="),
            (
                ["--initial-advertise-peer-urls=,"],
                "--initial-advertise-peer-urls=",
            ),
        ] {
            let mistakes = read(&[], &words).unwrap_err().join(", ");
            assert!(mistakes.contains(part), "{mistakes}");
        }
    }

    #[test]
    fn a_peer_url_is_given_by_its_setting_or_by_our_own_entry() {
        let given = |env: &[(&str, &[u8])], words: &[&str]| {
            read(env, words).unwrap().policy.peer_urls_given
        };
        let cluster = "ETCD_INITIAL_CLUSTER";
        assert!(given(&[(cluster, b"default=http://a:1")], &[]));
        assert!(given(&[(cluster, b"default=http://localhost:2380")], &[]));
        assert!(given(
            &[("ETCD_INITIAL_ADVERTISE_PEER_URLS", b"http://a:1")],
            &[]
        ));
        assert!(given(&[], &["--initial-advertise-peer-urls=http://a:1"]));
        assert!(!given(&[(cluster, b"n1=http://a:1")], &[]));
        assert!(!given(
            &[("ETCD_OTHER_PEERS_CLIENT_URLS", b"http://a:2")],
            &[]
        ));
    }

    /// Beside a configuration file no variable could tell etcd what our own entry says.
    #[test]
    fn a_configuration_file_gives_a_peer_url_by_its_own_key_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etcd.yml");
        for (text, given) in [
            ("initial-cluster: n1=http://a:1", false),
            ("initial-cluster: n1=http://localhost:2380", true),
            ("initial-advertise-peer-urls: http://a:1", true),
        ] {
            std::fs::write(&path, format!("name: n1\n{text}\n")).unwrap();
            let words = [format!("--config-file={}", path.display())];
            let policy = read(&[], &[&words[0]]).unwrap().policy;
            assert_eq!(policy.peer_urls_given, given, "{text}");
        }
    }

    #[test]
    fn a_boolean_flag_swallows_no_other_one() {
        let words = ["--initial-election-tick-advance", "--data-dir", "/d"];
        assert_eq!(read(&[], &words).unwrap().data_dir, Path::new("/d"));
        let words = ["--not-known-here", "--data-dir=/d"];
        assert!(read(&[], &words).is_err());
    }

    #[test]
    fn a_password_that_does_not_read_is_not_shown() {
        let mistakes = read(&[("REJOIN_PASSWORD", b"secret\xff")], &[]).unwrap_err();
        assert!(!mistakes.join(", ").contains("secret"), "{mistakes:?}");
    }
}
