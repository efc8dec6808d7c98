//! Before anything is changed: what would etcd find here? Looks, and does not say what follows from it.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::fs::{Access, access, statvfs};

use crate::config::Config;
use crate::decide::{self, Dir, Observation, Surroundings};
use crate::mounts;
use crate::ports;
use crate::program::run_or_kill;
use crate::signals::Stop;
use etcd_rejoin_host::exit::Exit;

/// How long etcd may take to say what it is asked on its command line.
pub(super) const FLAGS: Duration = Duration::from_secs(5);

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
pub(super) fn elf(path: &Path) -> Option<(u8, u8, u8)> {
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

/// What etcd would find here, with what it is given; without the versions. Once `stop` is raised, it means nothing.
///
/// `peer_ports` tries the peer ports too; not while we listen there ourselves.
pub fn surroundings(config: &Config, peer_ports: bool, stop: &Stop) -> Surroundings {
    let member = config.data_dir.join("member");
    let wal = (config.wal_dir.clone()).unwrap_or_else(|| member.join("wal"));
    Surroundings {
        flags_refused: flags_refused(config, stop),
        ports: ports::unbindable(config, peer_ports, stop),
        wal_mount: Some(wal).filter(|path| is_mount_point(path)),
        member_mount: Some(member).filter(|path| is_mount_point(path)),
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
