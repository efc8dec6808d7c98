//! Before anything is changed: what would etcd find here? Looks, and does not say what follows from it.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{Access, access, statvfs};

use crate::config::Config;
use crate::datadir::lookup;
use crate::decide::{
    self, DataDir, Decision, Dir, MinorVersion, Observation, Quorate, Surroundings, Versions,
};
use crate::gateway::Client;
use crate::mounts;
use crate::ports;
use crate::program::run_or_kill;
use crate::signals::Stop;
use etcd_rejoin_host::exit::Exit;

/// How long etcd may take to say its version.
const FLAGS: Duration = Duration::from_secs(5);

/// The etcd program, found and executable.
pub fn program(config: &Config) -> Result<PathBuf, (Exit, String)> {
    let path = (config.passed_on.env.iter()).find(|(name, _)| name == "PATH");
    let path = path.map(|(_, value)| value.clone());
    let named = &config.etcd;
    let here = std::env::current_dir().unwrap_or_else(|_| "/".into());
    let shown = named.display();
    let found = which::which_in(named, path.as_ref(), here).map_err(|_| {
        let is_path = named.components().count() > 1;
        match (is_path, is_path && named.exists()) {
            (true, true) => (
                Exit(126),
                format!("cannot run etcd: REJOIN_ETCD={shown} is not executable"),
            ),
            (true, false) => (
                Exit(127),
                format!("cannot run etcd: REJOIN_ETCD={shown} does not exist"),
            ),
            (false, _) => (
                Exit(127),
                format!(
                    "cannot run etcd: no {shown} in PATH={}: set REJOIN_ETCD to where it is",
                    path.unwrap_or_default().display()
                ),
            ),
        }
    })?;
    if is_ourselves(&found) {
        let shown = found.display();
        return Err((
            Exit(126),
            format!(
                "cannot run etcd: {shown} is etcd-rejoin itself: set REJOIN_ETCD to where etcd is"
            ),
        ));
    }
    match is_of_another_machine(&found) {
        true => Err((
            Exit(126),
            format!(
                "cannot run etcd: {} was built for another kind of processor",
                found.display()
            ),
        )),
        false => Ok(found),
    }
}

/// Whether it leads to our own file: we would hand over to ourselves, and wait for ourselves to let go of the data
/// dir.
fn is_ourselves(program: &Path) -> bool {
    let id = |path: &Path| std::fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    match (id(program), id(Path::new("/proc/self/exe"))) {
        (Ok(its), Ok(ours)) => its == ours,
        (Err(_), _) | (_, Err(_)) => false,
    }
}

/// Whether it is an ELF file of another class or processor than we are (elf(5)). A script, and what does not
/// read, is left to the kernel.
fn is_of_another_machine(program: &Path) -> bool {
    match (elf(program), elf(Path::new("/proc/self/exe"))) {
        (Some(its), Some(ours)) => its != ours,
        (None, _) | (_, None) => false,
    }
}

/// Class and processor of an ELF file; none where it is another kind of file.
fn elf(path: &Path) -> Option<(u8, u8, u8)> {
    let mut head = [0; 20];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut head))
        .ok()?;
    head.starts_with(b"\x7fELF")
        .then_some((head[4], head[18], head[19]))
}

/// What etcd says where it does not know a flag that it was given: it ends with 2 then, and after a step the
/// member would be removed already. It reads `--version` after the others (etcd `etcdmain/config.go`, `parse`).
///
/// Asked once in a run; without flags there is nothing to ask.
fn flags_refused(config: &Config, stop: &Stop) -> Option<String> {
    static ANSWER: OnceLock<Option<String>> = OnceLock::new();
    if config.passed_on.flags.is_empty() {
        return None;
    }
    let ask = || {
        // That there is none is said where etcd is started, with its own exit code.
        let program = program(config).ok()?;
        let mut command = Command::new(&program);
        let words = config.passed_on.flags.iter().flat_map(|flag| &flag.words);
        command.env_clear().args(words).arg("--version");
        match run_or_kill(&mut command, FLAGS, &|| stop.raised().is_some()) {
            Ok(ran) if ran.code == 2 => {
                let said = ran.err.lines().chain(ran.out.lines());
                let said = said.map(str::trim).find(|line| !line.is_empty());
                Some(said.unwrap_or("it ends with 2").into())
            }
            // Whatever else it says: what it is started with is for the start to show.
            Ok(_) | Err(_) => None,
        }
    };
    ANSWER.get_or_init(ask).clone()
}

/// The version of the etcd program, major and minor, and as it says it. None where it does not say, and of a script:
/// that may pass no flag on, and start an etcd.
///
/// Asked once in a run.
fn version(config: &Config, stop: &Stop) -> Option<(MinorVersion, String)> {
    static ANSWER: OnceLock<Option<(MinorVersion, String)>> = OnceLock::new();
    let ask = || {
        let program = program(config).ok().filter(|path| elf(path).is_some())?;
        let mut command = Command::new(program);
        command.env_clear().arg("--version");
        let ran = run_or_kill(&mut command, FLAGS, &|| stop.raised().is_some()).ok()?;
        said_version(&ran.out)
    };
    ANSWER.get_or_init(ask).clone()
}

/// The version of the etcd program, major and minor. None where it does not say. Asked once in a run.
pub fn minor_version(config: &Config, stop: &Stop) -> Option<MinorVersion> {
    version(config, stop).map(|(version, _)| version)
}

/// Asks for the version while the others are asked what they hold: without data a rejoin may be due, which needs it.
///
/// To be waited for before etcd takes our place: nobody would reap its child then.
pub fn ask_version(config: &Arc<Config>, stop: &Stop) -> Option<JoinHandle<()>> {
    let wal = (config.wal_dir.clone()).unwrap_or_else(|| config.data_dir.join("member/wal"));
    if wal.exists() || !config.policy.has_others() {
        return None;
    }
    let (config, stop) = (config.clone(), stop.clone());
    let ask = move || {
        version(&config, &stop);
    };
    // Without a thread it is asked when it is needed.
    std::thread::Builder::new().spawn(ask).ok()
}

/// What `etcd --version` says in its first line (etcd `etcdmain/config.go`, `parse`).
fn said_version(out: &str) -> Option<(MinorVersion, String)> {
    let said = out.lines().next()?.strip_prefix("etcd Version: ")?.trim();
    let mut numbers = said.split('.').map(|number| number.parse().ok());
    Some(((numbers.next()??, numbers.next()??).into(), said.into()))
}

/// The version of the cluster, by the first of its members that says it; and whether it is being downgraded, which
/// matters only where it is newer than our etcd.
fn cluster_version(
    config: &Config,
    own: MinorVersion,
    peers: &Client,
    quorate: &Quorate,
    stop: &Stop,
) -> Option<(MinorVersion, bool)> {
    let ours = &config.policy.peer_urls;
    let others = (quorate.members.iter()).filter(|member| !member.has_peer_url(ours));
    let urls: Vec<String> = others.flat_map(|member| member.peer_urls.clone()).collect();
    let (peers, deadline) = (peers.clone(), Instant::now() + config.timeout);
    let ask = move || {
        let heard = |url: &String| Some((url.clone(), peers.cluster_version(url, deadline).ok()?));
        let (url, cluster) = urls.iter().find_map(heard)?;
        let cluster = MinorVersion::from(cluster);
        let downgraded = own < cluster && peers.is_downgraded(&url, deadline).unwrap_or(false);
        Some((cluster, downgraded))
    };
    stop.wait_for(ask).ok().flatten()
}

/// The versions that matter for what was decided: etcd is asked for its own only then.
fn versions(
    config: &Config,
    seen: &Observation,
    decision: &Decision,
    peers: &Client,
    stop: &Stop,
) -> (Versions, String) {
    let damaged = match seen.counts_as() {
        DataDir::Damaged { .. } => written_for(config),
        DataDir::Own(_) | DataDir::Empty => None,
    };
    let joins = matches!(decision, Decision::Do(step, _) if step.counts_on_a_start());
    let quorate = seen.quorate.as_ref().filter(|_| joins);
    if damaged.is_none() && quorate.is_none() {
        return Default::default();
    }
    let Some((etcd, said)) = version(config, stop) else {
        return Default::default();
    };
    let cluster = quorate.and_then(|quorate| cluster_version(config, etcd, peers, quorate, stop));
    let versions = Versions {
        etcd: Some(etcd),
        damaged,
        cluster: cluster.map(|(cluster, _)| cluster),
        downgraded: cluster.is_some_and(|(_, downgraded)| downgraded),
    };
    (versions, said)
}

/// The version that the database was written for. From 3.6 on it says so.
fn written_for(config: &Config) -> Option<MinorVersion> {
    let database = File::open(config.data_dir.join("member/snap/db")).ok()?;
    lookup::storage_version(&database)
        .ok()?
        .ok()?
        .map(MinorVersion::from)
}

/// What etcd would find here, with what it is given. Once `stop` is raised, it means nothing.
///
/// `peer_ports` tries the peer ports too; not while we listen there ourselves.
pub fn surroundings(
    config: &Config,
    seen: &Observation,
    decision: &Decision,
    peers: &Client,
    peer_ports: bool,
    stop: &Stop,
) -> Surroundings {
    let member = config.data_dir.join("member");
    let wal = (config.wal_dir.clone()).unwrap_or_else(|| member.join("wal"));
    let (versions, etcd) = versions(config, seen, decision, peers, stop);
    Surroundings {
        flags_refused: flags_refused(config, stop),
        ports: ports::unbindable(config, peer_ports, stop),
        wal_mount: Some(wal).filter(|path| is_mount_point(path)),
        member_mount: Some(member).filter(|path| is_mount_point(path)),
        etcd,
        versions,
        ..at_rest(config)
    }
}

/// Why this member could not come back if its data were lost or damaged, as far as that shows here and beside an
/// etcd that runs: nobody is asked, and a restart is not held up by it.
pub fn rejoin_fails(config: &Config, seen: &Observation) -> Option<String> {
    decide::rejoin_fails(&config.policy, seen, &at_rest(config))
}

/// As far as it shows without asking anybody.
fn at_rest(config: &Config) -> Surroundings {
    let mut dirs = vec![dir(&config.data_dir, true, database(config))];
    if let Some(wal) = &config.wal_dir {
        dirs.push(dir(wal, true, 0));
        // A new WAL is made beside its place, and an old one is set aside there.
        dirs.extend(wal.parent().map(|beside| dir(beside, false, 0)));
    }
    Surroundings {
        advertises_no_client_url: config.advertises_no_client_url,
        dirs,
        ..Surroundings::default()
    }
}

/// What the database takes on the disk, in bytes; 0 where there is none.
fn database(config: &Config) -> u64 {
    let file = std::fs::metadata(config.data_dir.join("member/snap/db"));
    file.map_or(0, |file| file.len().min(file.blocks().saturating_mul(512)))
}

/// Where nothing is known of mounts, nothing is forbidden; and a link can be moved wherever it leads.
fn is_mount_point(path: &Path) -> bool {
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
    !is_link && mounts::is_mount_point(path).unwrap_or(false)
}

fn dir(dir: &Path, wal: bool, database: u64) -> Dir {
    let existing = (dir.ancestors().find(|dir| dir.exists())).unwrap_or(Path::new("."));
    Dir {
        path: existing.into(),
        free: free(existing),
        wal,
        database,
    }
}

fn free(dir: &Path) -> Result<u64, String> {
    let shown = dir.display();
    access(dir, Access::WRITE_OK).map_err(|error| format!("cannot write to {shown}: {error}"))?;
    let space = statvfs(dir).map_err(|error| format!("cannot look at {shown}: {error}"))?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
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
