//! The roving member: the volume is the other crate's, the member on it is this program again, as a child and
//! without what makes it a rover.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use super::Exit;
use crate::error::{Context, Error};
use crate::handover::{self, Called, Etcd};
use crate::rover::rove;
use crate::rover::settings::{Rover, VARIABLES};
use crate::signals::Stop;

/// Owns the volume until told to end, or until the member has ended.
pub fn run(rover: &Rover, called: &Called, stop: &Stop) -> Exit {
    let (called, settings) = (called.clone(), rover.clone());
    let start = move || start(&settings, &called);
    rove::rove(rover, crate::VERSION, Box::new(start), stop)
}

fn start(rover: &Rover, called: &Called) -> Result<Pid, Error> {
    if let Some(user) = rover.etcd_user {
        let shown = rover.mount.display();
        give(&rover.mount, user).context(|| format!("cannot give {shown} to the member's user"))?;
    }
    let env = called.env.iter().filter(|variable| passed_on(variable));
    let program = Etcd {
        program: PathBuf::from("/proc/self/exe"),
        arg0: called.name.clone(),
        args: called.words.clone(),
        env: env.cloned().collect(),
    };
    handover::spawn(&program, &called.name, None, rover.etcd_user)
}

/// What the ordinary entrypoint on the volume gets of our environment.
fn passed_on((name, _): &(OsString, OsString)) -> bool {
    !VARIABLES.iter().any(|ours| name == ours)
}

/// Gives all that lies there to this user and group. What is theirs already is left as it is; links are not followed.
fn give(path: &Path, (user, group): (u32, u32)) -> io::Result<()> {
    let meta = path.symlink_metadata()?;
    if (meta.uid(), meta.gid()) != (user, group) {
        lchown(path, Some(user), Some(group))?;
    }
    if meta.is_dir() {
        for entry in path.read_dir()? {
            give(&entry?.path(), (user, group))?;
        }
    }
    Ok(())
}
