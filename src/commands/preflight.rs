//! Before anything is changed: could etcd start here at all? A full disk or a port in use is no reason
//! to leave the cluster.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{Access, access, statvfs};

use super::{Exit, ports};
use crate::config::Config;
use crate::datadir::lookup;
use crate::decide::{DataDir, Decision, JoinAs, Observation, Quorate, Reason};
use crate::gateway::Client;
use crate::mounts;
use crate::program::run_or_kill;
use crate::signals::Stop;

/// etcd preallocates a WAL file of this size before it starts.
///
/// Source: etcd `server/storage/wal/wal.go`, `SegmentSizeBytes`.
const WAL_SIZE: u64 = 64 << 20;

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

/// Whether etcd knows the flags that it was given: it ends with 2 on one that it does not, and by then the
/// member was removed. `--version` comes after that (etcd `etcdmain/config.go`, `parse`).
///
/// Asked once in a run; without flags there is nothing to ask.
fn flags(config: &Config, stop: &Stop) -> Result<(), String> {
    static ANSWER: OnceLock<Result<(), String>> = OnceLock::new();
    if config.passed_on.flags.is_empty() {
        return Ok(());
    }
    let ask = || {
        let Ok(program) = program(config) else {
            // Said where etcd is started, with its own exit code.
            return Ok(());
        };
        let mut command = Command::new(&program);
        let words = config.passed_on.flags.iter().flat_map(|flag| &flag.words);
        command.env_clear().args(words).arg("--version");
        match run_or_kill(&mut command, FLAGS, &|| stop.raised().is_some()) {
            Ok(ran) if ran.code == 2 => {
                let said = ran.err.lines().chain(ran.out.lines());
                let said = said.map(str::trim).find(|line| !line.is_empty());
                Err(format!(
                    "etcd does not take its command line: {}",
                    said.unwrap_or("it ends with 2")
                ))
            }
            // Whatever else it says: what it is started with is for the start to show.
            Ok(_) | Err(_) => Ok(()),
        }
    };
    ANSWER.get_or_init(ask).clone()
}

/// The version of the etcd program, major and minor, and as it says it. None where it does not say, and of a script:
/// that may pass no flag on, and start an etcd.
///
/// Asked once in a run.
fn version(config: &Config, stop: &Stop) -> Option<((u64, u64), String)> {
    static ANSWER: OnceLock<Option<((u64, u64), String)>> = OnceLock::new();
    let ask = || {
        let program = program(config).ok().filter(|path| elf(path).is_some())?;
        let mut command = Command::new(program);
        command.env_clear().arg("--version");
        let ran = run_or_kill(&mut command, FLAGS, &|| stop.raised().is_some()).ok()?;
        said_version(&ran.out)
    };
    ANSWER.get_or_init(ask).clone()
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
fn said_version(out: &str) -> Option<((u64, u64), String)> {
    let said = out.lines().next()?.strip_prefix("etcd Version: ")?.trim();
    let mut numbers = said.split('.').map(|number| number.parse().ok());
    Some(((numbers.next()??, numbers.next()??), said.into()))
}

/// Whether etcd would join this cluster, by its version: it does not where the cluster's is newer than its own, but
/// for one minor version in a downgrade (etcd `server/etcdserver/cluster_util.go`, `isCompatibleWithCluster`). By
/// then it has been removed and added. A newer etcd joins.
///
/// Nobody who says the version of the cluster keeps us from nothing.
fn version_fits(
    config: &Config,
    peers: &Client,
    quorate: &Quorate,
    stop: &Stop,
) -> Result<(), String> {
    let Some((own, said)) = version(config, stop) else {
        return Ok(());
    };
    let ours = &config.policy.peer_urls;
    let others = (quorate.members.iter()).filter(|member| !member.has_peer_url(ours));
    let urls: Vec<String> = others.flat_map(|member| member.peer_urls.clone()).collect();
    let (peers, deadline) = (peers.clone(), Instant::now() + config.timeout);
    let too_new = move || {
        let heard = |url: &String| Some((url.clone(), peers.cluster_version(url, deadline).ok()?));
        let (url, cluster) = urls.iter().find_map(heard)?;
        let downgraded = || peers.is_downgraded(&url, deadline).unwrap_or(false);
        let fits = own >= cluster || (own.0, own.1 + 1) == cluster && downgraded();
        (!fits).then_some(cluster)
    };
    match stop.wait_for(too_new) {
        Ok(Some((major, minor))) => Err(format!(
            "etcd {said} does not join a cluster of version {major}.{minor}: run one that is as new here too"
        )),
        Ok(None) | Err(_) => Ok(()),
    }
}

/// Whether damaged data was written by a newer etcd than this one, which does not read it (etcd
/// `server/storage/schema/migration.go`, `newPlan`): what looks like damage may be none. From 3.6 on it says so.
fn data_fits(config: &Config, data: &DataDir, stop: &Stop) -> Result<(), String> {
    let DataDir::Damaged { .. } = data else {
        return Ok(());
    };
    let database = File::open(config.data_dir.join("member/snap/db")).ok();
    let written = database.and_then(|file| lookup::storage_version(&file).ok()?.ok()?);
    let Some(written) = written else {
        return Ok(());
    };
    match version(config, stop) {
        Some((own, said)) if own < written => Err(format!(
            "etcd {said} does not read data of version {}.{}: run one that is as new",
            written.0, written.1
        )),
        Some(_) | None => Ok(()),
    }
}

/// What keeps etcd from starting here, or from joining the cluster where the step that was decided counts on that.
pub fn hindered(
    config: &Config,
    seen: &Observation,
    decision: &Decision,
    peers: &Client,
    peer_ports: bool,
    stop: &Stop,
) -> Option<String> {
    let joins = matches!(decision, Decision::Do(step, _) if step.counts_on_a_start());
    let quorate = seen.quorate.as_ref().filter(|_| joins);
    surroundings(config, &seen.data, peer_ports, stop)
        .and_then(|()| quorate.map_or(Ok(()), |quorate| version_fits(config, peers, quorate, stop)))
        .err()
}

/// Whether etcd could start here, with what it is given; the error says what stands in its way.
///
/// `peer_ports` tries the peer ports too; not while we listen there ourselves. Once `stop` is raised, what is
/// said means nothing.
fn surroundings(
    config: &Config,
    data: &DataDir,
    peer_ports: bool,
    stop: &Stop,
) -> Result<(), String> {
    client_url(config)?;
    flags(config, stop)?;
    data_fits(config, data, stop)?;
    ports::bindable(config, peer_ports, stop)?;
    disk(config)?;
    movable(config, data)
}

/// Why this member could not come back if its data were lost or damaged, as far as that shows here and beside an
/// etcd that runs: nobody is asked, and a restart is not held up by it.
pub fn rejoin_fails(config: &Config, seen: &Observation) -> Option<String> {
    let policy = &config.policy;
    if !policy.has_others() || policy.join == JoinAs::Never {
        return None;
    }
    if let Some(why) = &seen.refused {
        return Some(why.clone());
    }
    if !policy.peer_urls_given {
        return Some(Reason::PeerUrlsNotGiven.row().cure.into());
    }
    (client_url(config).and_then(|()| disk(config))).err()
}

fn client_url(config: &Config) -> Result<(), String> {
    match config.advertises_no_client_url {
        true => Err("ETCD_ADVERTISE_CLIENT_URLS is missing, and etcd does not start without it beside ETCD_LISTEN_CLIENT_URLS: write the URLs at which clients reach this member".into()),
        false => Ok(()),
    }
}

fn disk(config: &Config) -> Result<(), String> {
    // What lies there is set aside and kept, and the others send as much again.
    writable(&config.data_dir, WAL_SIZE + database(config))?;
    if let Some(dir) = &config.wal_dir {
        writable(dir, WAL_SIZE)?;
        // A new WAL is made beside its place, and an old one is set aside there.
        dir.parent().map_or(Ok(()), |beside| writable(beside, 0))?;
    }
    Ok(())
}

/// What the database takes on the disk, in bytes; 0 where there is none.
fn database(config: &Config) -> u64 {
    let file = std::fs::metadata(config.data_dir.join("member/snap/db"));
    file.map_or(0, |file| file.len().min(file.blocks().saturating_mul(512)))
}

/// etcd makes its WAL beside its place, removes what is there, and renames it (etcd
/// `server/storage/wal/wal.go`, `renameWAL`). At a mount point it removes what is in it, the join note too,
/// and then ends with "device or resource busy": each start would remove and add the member again.
fn movable(config: &Config, data: &DataDir) -> Result<(), String> {
    let member = config.data_dir.join("member");
    let wal = (config.wal_dir.clone()).unwrap_or_else(|| member.join("wal"));
    let cure = "it is a mount point of its own: mount one level higher and use a folder in it";
    if is_mount_point(&wal) {
        let wal = wal.display();
        return Err(format!("etcd cannot make its WAL in {wal}: {cure}"));
    }
    // What lies there is set aside before there can be another WAL.
    match *data != DataDir::Empty && is_mount_point(&member) {
        true => Err(format!("cannot set {} aside: {cure}", member.display())),
        false => Ok(()),
    }
}

/// Where nothing is known of mounts, nothing is forbidden; and a link can be moved wherever it leads.
fn is_mount_point(path: &Path) -> bool {
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
    !is_link && mounts::is_mount_point(path).unwrap_or(false)
}

fn writable(dir: &Path, needed: u64) -> Result<(), String> {
    let existing = dir
        .ancestors()
        .find(|dir| dir.exists())
        .unwrap_or(Path::new("."));
    let shown = existing.display();
    access(existing, Access::WRITE_OK)
        .map_err(|error| format!("cannot write to {shown}: {error}"))?;
    let space = statvfs(existing).map_err(|error| format!("cannot look at {shown}: {error}"))?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    let beside = match needed > WAL_SIZE {
        true => ", beside the old data, which is kept",
        false => "",
    };
    match free < needed {
        true => Err(format!(
            "{shown} has {} MiB left, etcd needs {} to start{beside}",
            free >> 20,
            needed.div_ceil(1 << 20)
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_what_etcd_says_first() {
        let said = said_version("etcd Version: 3.5.16\nGit SHA: f20bbadd4\nGo Version: go1.23\n");
        assert_eq!(said, Some(((3, 5), "3.5.16".into())));
        let alpha = said_version("etcd Version: 3.8.0-alpha.0\n");
        assert_eq!(alpha, Some(((3, 8), "3.8.0-alpha.0".into())));
        for none in ["", "etcd Version: new\n", "etcdctl version: 3.5.16\n"] {
            assert_eq!(said_version(none), None);
        }
    }
}
