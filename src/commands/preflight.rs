//! Before anything is changed: could etcd start here at all? A full disk or a port in use is no reason
//! to leave the cluster.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::fs::{Access, access, statvfs};

use super::{Exit, ports};
use crate::config::Config;
use crate::decide::{DataDir, JoinAs, Observation, Reason};
use crate::mount;
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
    let path = (config.launch.env.iter()).find(|(name, _)| name == "PATH");
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
    let kind = |path: &Path| {
        let mut head = [0; 20];
        File::open(path)
            .and_then(|mut file| file.read_exact(&mut head))
            .ok()?;
        head.starts_with(b"\x7fELF")
            .then_some((head[4], head[18], head[19]))
    };
    match (kind(program), kind(Path::new("/proc/self/exe"))) {
        (Some(its), Some(ours)) => its != ours,
        (None, _) | (_, None) => false,
    }
}

/// Whether etcd knows the flags that it was given: it ends with 2 on one that it does not, and by then the
/// member was removed. `--version` comes after that (etcd `etcdmain/config.go`, `parse`).
///
/// Asked once in a run; without flags there is nothing to ask.
fn flags(config: &Config, stop: &Stop) -> Result<(), String> {
    static ANSWER: OnceLock<Result<(), String>> = OnceLock::new();
    if config.launch.flags.is_empty() {
        return Ok(());
    }
    let ask = || {
        let Ok(program) = program(config) else {
            // Said where etcd is started, with its own exit code.
            return Ok(());
        };
        let mut command = Command::new(&program);
        let words = config.launch.flags.iter().flat_map(|flag| &flag.words);
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

/// Whether etcd could start here, with what it is given; the error says what stands in its way.
///
/// `peer_ports` tries the peer ports too; not while we listen there ourselves. Once `stop` is raised, what is
/// said means nothing.
pub fn surroundings(
    config: &Config,
    data: &DataDir,
    peer_ports: bool,
    stop: &Stop,
) -> Result<(), String> {
    client_url(config)?;
    flags(config, stop)?;
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
    !is_link && mount::is_mount_point(path).unwrap_or(false)
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
