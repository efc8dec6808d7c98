//! What etcd is started with: the user's environment and flags, completed by the decision.

use std::ffi::OsString;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config::flags::Flag;
use crate::config::{Config, file};
use crate::decide::Begin;
use crate::error::{Context, Error};
use crate::handover::Etcd;
use crate::membership::InitialCluster;

const STATE: &str = "initial-cluster-state";
const TOKEN: &str = "initial-cluster-token";

/// Flags that would overrule the decision.
const DECIDED: &[&str] = &["initial-cluster", STATE, "discovery", "discovery-srv"];

/// etcd's command line and environment for this decision.
///
/// Writes a private copy of etcd's configuration file where there is one and it has to say otherwise.
///
/// `token`: what a new cluster has for its token, where that is not what the user gave.
pub fn etcd(
    config: &Config,
    program: &Path,
    begin: &Begin,
    token: Option<&str>,
) -> Result<Etcd, Error> {
    let mut env = config.passed_on.env.clone();
    let mut flags = config.passed_on.flags.clone();
    match (begin, &config.passed_on.file) {
        (Begin::WithData, Some((_, map))) if config.passed_on.file_changed => {
            let text = Value::Object(map.clone()).to_string();
            use_copy(config, &text, &mut flags, &mut env)?;
        }
        // etcd ignores state and initial cluster beside its own WAL.
        (Begin::WithData, _) => {}
        // State `existing` is for later: this volume is one of those that found the cluster.
        (Begin::New, None) => {
            flags.retain(|flag| flag.name != STATE);
            set(&mut env, "ETCD_INITIAL_CLUSTER_STATE", "new");
            if let Some(token) = token {
                flags.retain(|flag| flag.name != TOKEN);
                set(&mut env, "ETCD_INITIAL_CLUSTER_TOKEN", token);
            }
        }
        // A file that says nothing says `new`.
        (Begin::New, Some((_, map))) => {
            let otherwise = map.get(STATE).is_some_and(|state| state != "new");
            if otherwise || config.passed_on.file_changed || token.is_some() {
                let mut map = map.clone();
                map.insert(STATE.into(), "new".into());
                if let Some(token) = token {
                    map.insert(TOKEN.into(), token.into());
                }
                let text = Value::Object(map).to_string();
                use_copy(config, &text, &mut flags, &mut env)?;
            }
        }
        (Begin::Existing { id, members }, file) => {
            let cluster = InitialCluster::of(members, *id, &config.policy.name).to_string();
            match file {
                None => {
                    flags.retain(|flag| !DECIDED.contains(&flag.name.as_str()));
                    set(&mut env, "ETCD_INITIAL_CLUSTER_STATE", "existing");
                    set(&mut env, "ETCD_INITIAL_CLUSTER", &cluster);
                }
                Some((_, map)) => {
                    let text = file::with_decision(map, "existing", &cluster);
                    use_copy(config, &text, &mut flags, &mut env)?;
                }
            }
        }
    }
    Ok(Etcd {
        program: program.to_path_buf(),
        arg0: config.etcd.clone().into_os_string(),
        args: flags.into_iter().flat_map(|flag| flag.words).collect(),
        env,
    })
}

fn set(env: &mut Vec<(OsString, OsString)>, name: &str, value: &str) {
    env.retain(|(known, _)| known != name);
    env.push((name.into(), value.into()));
}

fn use_copy(
    config: &Config,
    text: &str,
    flags: &mut Vec<Flag>,
    env: &mut Vec<(OsString, OsString)>,
) -> Result<(), Error> {
    let copy = write_copy(config, text)?;
    flags.retain(|flag| flag.name != "config-file");
    set(env, "ETCD_CONFIG_FILE", &copy.to_string_lossy());
    Ok(())
}

/// The copy lies in `member/`, where etcd minds no unknown file; it may hold secrets.
fn write_copy(config: &Config, text: &str) -> Result<PathBuf, Error> {
    let dir = config.data_dir.join("member");
    let path = dir.join("rejoin-config.json");
    let attempt = || format!("cannot write {}", path.display());
    std::fs::create_dir_all(&dir).context(attempt)?;
    let mut options = std::fs::OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path);
    std::io::Write::write_all(&mut file.context(attempt)?, text.as_bytes()).context(attempt)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;
    use crate::membership::{Member, MemberId};

    fn launched(begin: &Begin, words: &[&str]) -> Etcd {
        let env = [
            ("PATH", "/bin"),
            ("REJOIN_PASSWORD", "secret"),
            ("REJOIN_USER", "root"),
            ("ETCD_OTHER_PEERS_CLIENT_URLS", "http://b:2379"),
            ("ETCD_INITIAL_CLUSTER_STATE", "new"),
            ("ETCD_WAL_DIR", ""),
        ];
        let env = env.map(|(name, value)| (name.into(), value.into()));
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let config = Config::read(env, &words, &Overrides::default()).unwrap();
        etcd(&config, Path::new("/usr/bin/etcd"), begin, None).unwrap()
    }

    fn existing() -> Begin {
        let member = Member {
            id: MemberId(7),
            name: String::new(),
            peer_urls: vec!["http://a:2380".into()],
            client_urls: vec![],
            learner: false,
        };
        Begin::Existing {
            id: MemberId(7),
            members: vec![member],
        }
    }

    fn get(etcd: &Etcd, name: &str) -> Option<String> {
        let mut all = etcd.env.iter().filter(|(known, _)| known == name);
        let value = all
            .next()
            .map(|(_, value)| value.to_str().unwrap().to_string());
        assert!(all.next().is_none(), "{name} twice");
        value
    }

    #[test]
    fn no_secret_and_no_empty_variable_reaches_etcd() {
        let etcd = launched(&Begin::WithData, &[]);
        assert_eq!(get(&etcd, "REJOIN_PASSWORD"), None);
        assert_eq!(get(&etcd, "ETCD_OTHER_PEERS_CLIENT_URLS"), None);
        assert_eq!(get(&etcd, "ETCD_WAL_DIR"), None);
        assert_eq!(get(&etcd, "PATH").unwrap(), "/bin");
    }

    #[test]
    fn no_variable_of_ours_stands_beside_an_empty_flag() {
        for (empty, given, variable) in [
            (
                "--initial-cluster=",
                "--initial-advertise-peer-urls=http://a:2380",
                "ETCD_INITIAL_CLUSTER",
            ),
            (
                "--initial-advertise-peer-urls=",
                "--initial-cluster=default=http://a:2380",
                "ETCD_INITIAL_ADVERTISE_PEER_URLS",
            ),
        ] {
            let etcd = launched(&Begin::WithData, &[empty, given]);
            assert!(get(&etcd, variable).is_some(), "{variable}");
            assert_eq!(etcd.args, [given]);
        }
    }

    /// A founding goes on with state `existing` in the settings, too.
    #[test]
    fn founding_overrules_what_the_flags_say() {
        let words = [
            "--initial-cluster-state=existing",
            "--initial-cluster-token=t",
            "--name=default",
        ];
        let words = words.map(OsString::from);
        let config = Config::read([], &words, &Overrides::default()).unwrap();
        let etcd = etcd(
            &config,
            Path::new("/usr/bin/etcd"),
            &Begin::New,
            Some("t-1"),
        )
        .unwrap();
        assert_eq!(etcd.args, ["--name=default"]);
        assert_eq!(get(&etcd, "ETCD_INITIAL_CLUSTER_STATE").unwrap(), "new");
        assert_eq!(get(&etcd, "ETCD_INITIAL_CLUSTER_TOKEN").unwrap(), "t-1");
    }

    #[test]
    fn joining_overrules_what_the_environment_says() {
        let etcd = launched(&existing(), &[]);
        assert_eq!(
            get(&etcd, "ETCD_INITIAL_CLUSTER_STATE").unwrap(),
            "existing"
        );
        assert_eq!(
            get(&etcd, "ETCD_INITIAL_CLUSTER").unwrap(),
            "default=http://a:2380"
        );
    }

    /// etcd 3.4 cannot listen at one URL twice, and 3.5 founds no cluster that names one twice.
    #[test]
    fn etcd_gets_each_url_once() {
        let (url, twice) = (
            "http://127.0.0.1:1",
            "http://127.0.0.1:1,http://127.0.0.1:1",
        );
        let listen = format!("--listen-peer-urls={twice}");
        let cluster = format!("--initial-cluster=default={url},default={url}");
        let etcd = launched(&Begin::New, &[&listen, "--name=default", &cluster]);
        assert_eq!(get(&etcd, "ETCD_LISTEN_PEER_URLS").unwrap(), url);
        let cluster = format!("default={url}");
        assert_eq!(get(&etcd, "ETCD_INITIAL_CLUSTER").unwrap(), cluster);
        assert_eq!(etcd.args, ["--name=default"]);
    }

    #[test]
    fn a_configuration_file_that_names_a_url_twice_is_copied_with_each_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etcd.yml");
        let (url, twice) = (
            "http://127.0.0.1:1",
            "http://127.0.0.1:1,http://127.0.0.1:1",
        );
        let data = dir.path().join("data");
        let text = format!(
            "data-dir: {}\nlisten-peer-urls: {twice}\nmax-wals: 7\n",
            data.display()
        );
        std::fs::write(&path, text).unwrap();
        let word = OsString::from(format!("--config-file={}", path.display()));
        let config = Config::read([], &[word], &Overrides::default()).unwrap();
        let etcd = etcd(
            &config,
            Path::new("/usr/bin/etcd"),
            &Begin::New,
            Some("t-1"),
        )
        .unwrap();
        assert!(etcd.args.is_empty());
        let copy = file::read(Path::new(&get(&etcd, "ETCD_CONFIG_FILE").unwrap())).unwrap();
        assert_eq!(copy["listen-peer-urls"], url);
        assert_eq!(copy["initial-cluster-token"], "t-1");
        assert_eq!((copy["max-wals"].as_u64(), copy.len()), (Some(7), 5));
    }

    #[test]
    fn joining_overrules_what_the_flags_say() {
        let words = [
            "--initial-cluster=default=http://a:2380",
            "--initial-advertise-peer-urls=http://a:2380",
            "--name",
            "default",
        ];
        let etcd = launched(&existing(), &words);
        assert_eq!(
            etcd.args,
            [
                "--initial-advertise-peer-urls=http://a:2380",
                "--name",
                "default"
            ]
        );
    }
}
