//! Which versions of etcd meet here: the program's, the data's, the other members', the cluster's. Asks, and does not
//! say what follows from it.

use std::process::Command;
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Instant;

use super::preflight::{FLAGS, elf, program};
use super::unread;
use crate::config::Config;
use crate::datadir::Volume;
use crate::decide::{
    DataDir, Decision, Heard, MinorVersion, Observation, Surroundings, Traps, Versions,
    counts_on_versions,
};
use crate::gateway::{Client, SaidVersions};
use crate::membership::Member;
use crate::program::run_or_kill;
use crate::signals::Stop;

/// The version of the etcd program, major and minor, and as it says it. None where it does not say, and of a script:
/// that may pass no flag on, and start an etcd.
///
/// Asked once in a run, and not where this very file was started on this data before: running it costs more than all
/// else of a restart.
pub(super) fn of_program(config: &Config, stop: &Stop) -> Option<(MinorVersion, String)> {
    static ANSWER: OnceLock<Option<(MinorVersion, String)>> = OnceLock::new();
    let ask = || {
        let program = program(config).ok().filter(|path| elf(path).is_some())?;
        if let Some(said) = volume(config).noted_etcd(&program) {
            return Some((MinorVersion::read(&said)?, said));
        }
        let mut command = Command::new(program);
        command.env_clear().arg("--version");
        let ran = run_or_kill(&mut command, FLAGS, &|| stop.raised().is_some()).ok()?;
        said_version(&ran.out)
    };
    ANSWER.get_or_init(ask).clone()
}

/// The same without its words.
pub fn minor_version(config: &Config, stop: &Stop) -> Option<MinorVersion> {
    of_program(config, stop).map(|(version, _)| version)
}

/// Asks for the version while the data is read and the others are asked what they hold: a start needs it. `first`:
/// and names the settings that this etcd does not read.
///
/// To be waited for before etcd takes our place: nobody would reap its child then.
pub fn ask(config: &Arc<Config>, stop: &Stop, first: bool) -> Option<JoinHandle<()>> {
    let (config, stop) = (config.clone(), stop.clone());
    let ask = move || {
        let etcd = of_program(&config, &stop);
        // No setting has lost its name up to 3.5, and a kubeadm member has such names: etcd need not be asked.
        if first && etcd.is_none_or(|(etcd, _)| etcd >= (3, 6).into()) {
            unread::warn(&config, &stop);
        }
    };
    // Without a thread it is asked when it is needed.
    std::thread::Builder::new().spawn(ask).ok()
}

/// What `etcd --version` says in its first line (etcd `etcdmain/config.go`, `parse`).
fn said_version(out: &str) -> Option<(MinorVersion, String)> {
    let said = out.lines().next()?.strip_prefix("etcd Version: ")?.trim();
    Some((MinorVersion::read(said)?, said.into()))
}

/// For which version the data here was written, if it says so.
fn of_data(config: &Config) -> Option<MinorVersion> {
    volume(config).written_for()
}

fn volume(config: &Config) -> Volume {
    Volume::new(&config.data_dir, config.wal_dir.as_deref())
}

/// The surroundings with the versions that matter for what was decided. etcd is asked for its own only then, and the
/// others for theirs where a step is due or a minor version begins.
pub(super) fn meeting(
    config: &Config,
    seen: &Observation,
    decision: &Decision,
    peers: &Client,
    stop: &Stop,
    around: Surroundings,
) -> Surroundings {
    let data = match seen.counts_as() {
        DataDir::Own(_) | DataDir::Damaged { .. } => of_data(config),
        DataDir::Empty => None,
    };
    let due = counts_on_versions(decision);
    let joins = match decision {
        Decision::Do(step, _) => step.counts_on_a_start() && seen.quorate.is_some(),
        Decision::Start(..) => due && seen.data == DataDir::Empty,
        Decision::Wait(_) | Decision::Refuse(_) | Decision::Done(_) => false,
    };
    if data.is_none() && !joins {
        return around;
    }
    let Some((etcd, said)) = of_program(config, stop) else {
        return around;
    };
    let begins = due && data.is_some_and(|data| data < etcd);
    let running = match begins || joins {
        true => running(config, seen, peers, stop),
        false => Vec::new(),
    };
    // One that has just started may not know the cluster's yet.
    let first = (running.iter().filter(|_| joins)).max_by_key(|member| member.said.cluster);
    let cluster = first.map(|first| MinorVersion::from(first.said.cluster));
    Surroundings {
        etcd: said,
        versions: Versions {
            etcd: Some(etcd),
            data,
            with_next: (config.passed_on.setting("next-cluster-version-compatible")).as_deref()
                == Some("true"),
            traps: match begins {
                true => traps(config, etcd, stop),
                false => Traps::default(),
            },
            cluster,
            downgraded: first.is_some_and(|first| is_downgraded(config, first, peers, stop)),
        },
        running: (running.into_iter())
            .map(|member| (member.name, member.said.etcd))
            .collect(),
        ..around
    }
}

/// What lies in the data. What does not read is for etcd to judge.
fn traps(config: &Config, etcd: MinorVersion, stop: &Stop) -> Traps {
    let passed_on = &config.passed_on;
    // 3.7 knows the old name no more.
    let old = (passed_on.setting("experimental-max-learners")).filter(|_| etcd <= (3, 6).into());
    let most = passed_on.setting("max-learners").or(old);
    let most = most.and_then(|most| most.parse().ok()).unwrap_or(1);
    let volume = volume(config);
    let traps = match stop.wait_for(move || volume.traps(most)) {
        Ok(Ok(traps)) => traps,
        Ok(Err(error)) => {
            log::debug!("{error}");
            Traps::default()
        }
        Err(_) => Traps::default(),
    };
    let skips = passed_on.setting("v2-deprecation").as_deref() == Some("write-only-skip-check");
    Traps {
        v2_content: traps.v2_content && !skips,
        ..traps
    }
}

/// Another member that runs, and what it says.
struct Running {
    /// Its name, or a peer URL where it has none.
    name: String,
    /// The versions.
    said: SaidVersions,
    url: String,
}

/// The other members that answer, in the order in which they are listed. Who was silent just now is not asked again.
fn running(config: &Config, seen: &Observation, peers: &Client, stop: &Stop) -> Vec<Running> {
    let (tx, rx) = channel();
    let deadline = Instant::now() + config.timeout;
    for (at, (name, urls)) in others(config, seen).into_iter().enumerate() {
        let (tx, peers) = (tx.clone(), peers.clone());
        let ask = move || {
            let answer = |url: &String| Some((url.clone(), peers.versions(url, deadline).ok()?));
            if let Some((url, said)) = urls.iter().find_map(answer) {
                let _ = tx.send((at, Running { name, said, url }));
            }
        };
        // Without a thread it counts as silent.
        let _ = std::thread::Builder::new().spawn(ask);
    }
    drop(tx);
    let mut heard = Vec::new();
    while let Ok(answer) = stop.receive(&rx, deadline) {
        heard.push(answer);
    }
    heard.sort_by_key(|(at, _)| *at);
    heard.into_iter().map(|(_, running)| running).collect()
}

/// All versions that meet here, to be shown.
pub struct Met {
    /// The etcd program's, as it says it.
    pub etcd: Option<String>,
    /// The data's.
    pub data: Option<String>,
    running: Vec<Running>,
}

impl Met {
    /// Asks for all of them.
    pub fn of(config: &Config, seen: &Observation, peers: &Client, stop: &Stop) -> Met {
        Met {
            etcd: of_program(config, stop).map(|(_, said)| said),
            data: of_data(config).map(|version| version.to_string()),
            running: running(config, seen, peers, stop),
        }
    }

    /// What this member runs, by its name.
    pub fn runs(&self, name: &str) -> Option<&str> {
        let member = self.running.iter().find(|member| member.name == name);
        member.map(|member| member.said.etcd.as_str())
    }

    /// The cluster's, as its first member says it; none before a leader has decided.
    pub fn cluster(&self) -> Option<String> {
        let version = MinorVersion::from(self.running.first()?.said.cluster);
        (version.major > 0).then(|| version.to_string())
    }

    /// In one line; the other members' stand with them.
    pub fn to_text(&self) -> String {
        let etcd = self.etcd.as_deref().unwrap_or("of an unknown version");
        let data = self.data.as_ref().map(|data| format!(", data of {data}"));
        let cluster = self
            .cluster()
            .map(|cluster| format!(", cluster of {cluster}"));
        let (data, cluster) = (data.unwrap_or_default(), cluster.unwrap_or_default());
        format!("etcd {etcd} here{data}{cluster}")
    }
}

/// Names and peer URLs of the others, as the cluster lists them, else as the initial cluster does.
fn others(config: &Config, seen: &Observation) -> Vec<(String, Vec<String>)> {
    let ours = &config.policy.peer_urls;
    let committed = seen
        .quorate
        .as_ref()
        .map(|quorate| quorate.members.as_slice());
    let listed = committed.or_else(|| seen.views().next().map(|(_, members)| members));
    let named = |member: &Member| {
        let name = Some(&member.name).filter(|name| !name.is_empty());
        let name = name.or(member.peer_urls.first()).cloned();
        (name.unwrap_or_default(), member.peer_urls.clone())
    };
    let others: Vec<_> = match listed {
        Some(members) => (members.iter())
            .filter(|member| !member.has_peer_url(ours) && member.started())
            .map(named)
            .collect(),
        None => (config.other_members())
            .map(|(name, urls)| (name.into(), urls.to_vec()))
            .collect(),
    };
    let is_silent = |name: &String| {
        let silent = |heard: &Heard| matches!(heard, Heard::Silent(_));
        (seen.peers.iter()).any(|peer| peer.name == *name && silent(&peer.heard))
    };
    others
        .into_iter()
        .filter(|(name, _)| !is_silent(name))
        .collect()
}

fn is_downgraded(config: &Config, member: &Running, peers: &Client, stop: &Stop) -> bool {
    let (url, peers) = (member.url.clone(), peers.clone());
    let deadline = Instant::now() + config.timeout;
    let ask = move || peers.is_downgraded(&url, deadline).unwrap_or(false);
    stop.wait_for(ask).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_what_etcd_says_first() {
        let said = said_version("etcd Version: 3.5.16\nGit SHA: f20bbadd4\nGo Version: go1.23\n");
        assert_eq!(said, Some(((3, 5).into(), "3.5.16".into())));
        let alpha = said_version("etcd Version: 3.8.0-alpha.0\n");
        assert_eq!(alpha, Some(((3, 8).into(), "3.8.0-alpha.0".into())));
        for none in ["", "etcd Version: new\n", "etcdctl version: 3.5.16\n"] {
            assert_eq!(said_version(none), None);
        }
    }
}
