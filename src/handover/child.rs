//! The child that becomes etcd: our own binary again, which dies with its parent and then execs.
//!
//! Only a process itself can ask for a signal at its parent's death, so between fork and etcd one
//! program of ours runs for a moment. The setting survives that second exec (prctl(2),
//! PR_SET_PDEATHSIG), unless etcd is set-user-ID or has file capabilities.

use std::ffi::OsStr;
use std::io::PipeWriter;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use etcd_rejoin_host::tied;
use rustix::process::{Pid, getegid};

use super::{Etcd, exec};
use crate::error::{Context, Error};

/// The hidden first argument of the process between us and etcd.
pub(super) const CHILD: &str = "__child";

/// Starts this program as a child of this thread, and kills it when the thread ends. Its standard error
/// is `stderr`, else ours. `name` is our own; `user` is the user and group that it runs as, else ours.
pub fn spawn(
    etcd: &Etcd,
    name: &OsStr,
    stderr: Option<PipeWriter>,
    user: Option<(u32, u32)>,
) -> Result<Pid, Error> {
    // The link leads to our very file, even if it was replaced or deleted meanwhile. Where /proc is
    // missing, `current_exe` fails too, and our own name is the only trace.
    let ourselves = Path::new("/proc/self/exe");
    let start = |program: &Path, by_fork: bool| {
        let mut command = Command::new(program);
        command.arg0(name).arg(CHILD);
        command.arg(std::process::id().to_string());
        command.arg(&etcd.program).arg(&etcd.arg0).args(&etcd.args);
        command.env_clear();
        command.envs(etcd.env.iter().map(|(name, value)| (name, value)));
        if let Some((user, group)) = user {
            command.uid(user).gid(group);
        } else if by_fork {
            // Changes nothing but the way: std then forks. glibc's posix_spawn leaves signals 32 and
            // 33 ignored (sysdeps/unix/sysv/linux/spawni.c), and glibc lets nobody undo that.
            command.gid(getegid().as_raw());
        }
        if let Some(stderr) = &stderr {
            command.stderr(stderr.try_clone()?);
        }
        command.spawn()
    };
    let child = start(ourselves, true)
        // Some sandboxes let nobody set a group, not even the same one.
        .or_else(|_| start(ourselves, false))
        .or_else(|error| start(Path::new(name), false).map_err(|_| error))
        .context(|| "cannot start a child".into())?;
    Ok(Pid::from_child(&child))
}

/// What the process between us and etcd does; its exit code if it cannot become etcd.
pub(super) fn become_etcd(parent: &OsStr, etcd: &Etcd) -> i32 {
    // No etcd outlives its parent. etcd's WAL is made for SIGKILL.
    if let Err(why) = tied::die_with(parent) {
        eprintln!("etcd-rejoin: {why}");
        return 1;
    }
    let error = exec(etcd);
    // Read by the parent, which knows these words.
    eprintln!("etcd-rejoin: {error}");
    error.exit_code()
}
