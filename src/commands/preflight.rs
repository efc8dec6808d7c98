//! Before anything is changed: could etcd start here at all? A full disk or a port in use is no reason
//! to leave the cluster.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::fs::{Access, access, statvfs};

use super::{Exit, ports};
use crate::config::Config;
use crate::program::run_or_kill;

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
fn flags(config: &Config) -> Result<(), String> {
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
        match run_or_kill(&mut command, FLAGS) {
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
/// `peer_ports` tries the peer ports too; not while we listen there ourselves.
pub fn surroundings(config: &Config, peer_ports: bool) -> Result<(), String> {
    flags(config)?;
    ports::bindable(config, peer_ports)?;
    let dirs = [Some(config.data_dir.as_path()), config.wal_dir.as_deref()];
    dirs.into_iter().flatten().try_for_each(writable)
}

fn writable(dir: &Path) -> Result<(), String> {
    let existing = dir
        .ancestors()
        .find(|dir| dir.exists())
        .unwrap_or(Path::new("."));
    let shown = existing.display();
    access(existing, Access::WRITE_OK)
        .map_err(|error| format!("cannot write to {shown}: {error}"))?;
    let space = statvfs(existing).map_err(|error| format!("cannot look at {shown}: {error}"))?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    match free < WAL_SIZE {
        true => Err(format!(
            "{shown} has {} MiB left, etcd needs 64 to start",
            free >> 20
        )),
        false => Ok(()),
    }
}
