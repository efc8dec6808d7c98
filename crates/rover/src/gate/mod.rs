//! The gate: what keepalived wishes last. A hint, never a fence: only DRBD's evidence promotes.
//!
//! `etcd-rejoin notify`, keepalived's notify script, writes a file.
//!
//! What a dead keepalived leaves: nothing is said when both its processes are killed, and the virtual
//! address stays on the interface (measured with keepalived 2.2.7). So its last wish stands. A second
//! machine that becomes master meanwhile finds this one Primary, and waits. A check that is not run any more
//! shows it.

mod notify;
mod reader;
mod stamp;
pub mod tokens;

pub use notify::{GateEvent, notify};
pub use reader::GateReader;
pub use stamp::Stamp;

use std::fmt;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::table::Gate;
use etcd_rejoin_host::error::{Context, Error};

/// A gate file holds one short line.
const MAX_SIZE: u64 = 4096;

/// One wish, as the gate file has it.
///
/// `MASTER 181467.2210 5a1c...-....` : state, stamp, boot ID, name; more words may follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// What is wished.
    pub gate: Gate,
    /// When it was said.
    pub stamp: Stamp,
    /// In which boot of this machine.
    pub boot: String,
    /// By which VRRP instance or group.
    pub name: String,
}

impl Wish {
    /// Reads the line of a gate file.
    pub fn parse(text: &str) -> Option<Wish> {
        let line = text.strip_suffix('\n')?;
        let mut words = line.splitn(4, ' ');
        Some(Wish {
            gate: gate(words.next()?)?,
            stamp: Stamp::parse(words.next()?)?,
            boot: words.next().filter(|boot| !boot.is_empty())?.into(),
            name: words.next()?.into(),
        })
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (stamp, boot, name) = (self.stamp, &self.boot, &self.name);
        writeln!(f, "{} {stamp} {boot} {name}", word(self.gate))
    }
}

/// A state as keepalived writes it; `None` for anything else.
///
/// Source: keepalived `vrrp_notify.c`. A deleted instance has no address any more.
fn gate(word: &str) -> Option<Gate> {
    match word {
        "MASTER" => Some(Gate::Master),
        "BACKUP" => Some(Gate::Backup),
        "FAULT" => Some(Gate::Fault),
        "STOP" | "DELETED" => Some(Gate::Stop),
        _ => None,
    }
}

fn word(gate: Gate) -> &'static str {
    match gate {
        Gate::Master => "MASTER",
        Gate::Backup => "BACKUP",
        Gate::Fault => "FAULT",
        Gate::Stop => "STOP",
        Gate::Unknown => "UNKNOWN",
    }
}

/// What the gate file says; `None` where there is none. The error is what it holds instead.
fn read_wish(path: &Path) -> Result<Option<Wish>, String> {
    // Without waiting, whatever lies there.
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblock)
        .open(path);
    let file = match file {
        Err(error) if missing(&error) => return Ok(None),
        file => file.map_err(|error| format!("does not open: {error}"))?,
    };
    let mut bytes = Vec::new();
    (file.take(MAX_SIZE).read_to_end(&mut bytes))
        .map_err(|error| format!("does not read: {error}"))?;
    let wish = std::str::from_utf8(&bytes).ok().and_then(Wish::parse);
    wish.map(Some)
        .ok_or_else(|| "holds no wish of keepalived".into())
}

/// Writes a small file that every user may read, whole or not at all, whatever the umask: keepalived
/// starts its scripts with 0177. Nothing is synced: what it says ends with this boot.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Error> {
    let temporary = beside(path, ".tmp");
    let written = || -> io::Result<()> {
        match std::fs::remove_file(&temporary) {
            Err(error) if !missing(&error) => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = File::create_new(&temporary)?;
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(&temporary, path)
    };
    written().context(|| format!("cannot write {}", path.display()))
}

/// The gate's directory may be gone since the last boot: it lies on a tmpfs.
pub(crate) fn make_dir(path: &Path) -> Result<(), Error> {
    let Some(dir) = path.parent() else {
        return Ok(());
    };
    match std::fs::create_dir(dir) {
        Ok(()) => (std::fs::set_permissions(dir, Permissions::from_mode(0o755)))
            .context(|| format!("cannot open {} to all", dir.display())),
        // There already, or it shows at the file itself what is wrong.
        Err(_) => Ok(()),
    }
}

/// Whether an error says that nothing lies there.
fn missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// The gate's path with an ending.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_os_string();
    path.push(ending);
    path.into()
}

/// The ID of this boot of the machine, the same inside and outside of a container.
pub fn boot_id() -> Result<String, Error> {
    let path = "/proc/sys/kernel/random/boot_id";
    let text = std::fs::read_to_string(path).context(|| format!("cannot read {path}"))?;
    Ok(text.trim().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_wish_reads_back_as_it_was_written() {
        let wish = Wish {
            gate: Gate::Master,
            stamp: Stamp {
                ticks: 18146722,
                pid: 4711,
            },
            boot: "5a1c".into(),
            name: "VI 1".into(),
        };
        assert_eq!(Wish::parse(&wish.to_string()), Some(wish));
    }

    #[test]
    fn a_torn_line_is_no_wish() {
        for text in [
            "",
            "MASTER",
            "MASTER 1.2 boot etcd",
            "MASTER x boot etcd\n",
            "UP 1.2 b e\n",
        ] {
            assert_eq!(Wish::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = Wish::parse(&text);
        }
    }
}
