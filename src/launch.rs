//! What etcd is started with: the user's environment and flags, completed by the decision.

use std::ffi::OsString;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::config::{Config, file};
use crate::decide::Begin;
use crate::error::{Context, Error};
use crate::handover::Etcd;
use crate::membership::InitialCluster;

/// Flags that would overrule the decision.
const DECIDED: &[&str] = &[
    "initial-cluster",
    "initial-cluster-state",
    "discovery",
    "discovery-srv",
];

/// etcd's command line and environment for this decision.
///
/// Writes a private copy of etcd's configuration file where there is one and it has to say otherwise.
pub fn etcd(config: &Config, program: &Path, begin: &Begin) -> Result<Etcd, Error> {
    let mut env = config.launch.env.clone();
    let mut flags = config.launch.flags.clone();
    match (begin, &config.launch.file) {
        // etcd ignores state and initial cluster beside its own WAL.
        (Begin::WithData, _) => {}
        // A configuration file that allows founding says `new`, or nothing, which is the same.
        (Begin::New, Some(_)) => {}
        (Begin::New, None) => {
            if !flags
                .iter()
                .any(|flag| flag.name == "initial-cluster-state")
            {
                set(&mut env, "ETCD_INITIAL_CLUSTER_STATE", "new");
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
                    let copy = write_copy(config, &text)?;
                    flags.retain(|flag| flag.name != "config-file");
                    set(&mut env, "ETCD_CONFIG_FILE", &copy.to_string_lossy());
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
        etcd(&config, Path::new("/usr/bin/etcd"), begin).unwrap()
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
