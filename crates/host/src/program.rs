//! Another program, run to its end: with a time limit, and with bounded output. No shell.

use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::SIGCHLD;

/// How much of each stream is kept, where nothing else is said. The rest is read and dropped, so that nobody blocks on
/// us.
const KEPT: usize = 1 << 20;
/// How often an end without a word is noticed.
const TICK: Duration = Duration::from_millis(5);
/// How long after SIGTERM comes SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
/// How long we wait for what cannot die: a process in the kernel does not hear SIGKILL.
const BURIAL: Duration = Duration::from_secs(1);
/// How long a pipe may stay open after the program's end: what it left behind may hold it for ever.
const LEFTOVERS: Duration = Duration::from_millis(200);

/// Where administrators' programs are, beside PATH: a service's PATH often has no sbin.
const SBIN: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin";

/// How it ended, and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// The exit code; 128 + n if signal n ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// More was said than is kept.
    pub cut: bool,
}

/// Why there is no end to tell of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotRun {
    /// It is not installed.
    NotFound,
    /// It could not be started.
    Failed(String),
    /// It took longer than this, and was killed.
    TimedOut(Duration),
    /// It was given up for something else, and killed.
    GivenUp,
}

impl std::fmt::Display for NotRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NotRun::NotFound => f.write_str("is not installed"),
            NotRun::Failed(why) => write!(f, "cannot be run: {why}"),
            NotRun::TimedOut(limit) => write!(f, "had not ended after {limit:?}"),
            NotRun::GivenUp => f.write_str("was given up"),
        }
    }
}

/// The search path of administrators' programs: PATH, then the usual places.
pub fn search_path(path: Option<&OsStr>) -> OsString {
    let mut all = path.unwrap_or_default().to_os_string();
    if !all.is_empty() {
        all.push(":");
    }
    all.push(SBIN);
    all
}

/// Finds a program by its name.
pub fn find(name: &str, search: &OsStr) -> Result<PathBuf, NotRun> {
    which::which_in(name, Some(search), "/").map_err(|_| NotRun::NotFound)
}

/// A command with nothing in its environment but the search path and `LC_ALL=C`.
pub fn command(program: &Path, search: &OsStr) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", search)
        .env("LC_ALL", "C")
        .current_dir("/");
    command
}

/// Runs it to its end. `give_up` is asked now and then; yes ends it as the time limit does: SIGTERM to
/// its process group, SIGKILL 2 s later.
pub fn run(
    command: &mut Command,
    limit: Duration,
    give_up: &dyn Fn() -> bool,
) -> Result<Ran, NotRun> {
    ended(command, limit, GRACE, KEPT, give_up)
}

/// Runs it to its end; at the time limit, or where it is given up, it is killed at once, with what it started.
/// For who is waited for itself.
pub fn run_or_kill(
    command: &mut Command,
    limit: Duration,
    give_up: &dyn Fn() -> bool,
) -> Result<Ran, NotRun> {
    run_or_kill_keeping(command, limit, KEPT, give_up)
}

/// The same, and so many bytes of each stream are kept.
pub fn run_or_kill_keeping(
    command: &mut Command,
    limit: Duration,
    kept: usize,
    give_up: &dyn Fn() -> bool,
) -> Result<Ran, NotRun> {
    ended(command, limit, Duration::ZERO, kept, give_up)
}

fn ended(
    command: &mut Command,
    limit: Duration,
    grace: Duration,
    kept: usize,
    give_up: &dyn Fn() -> bool,
) -> Result<Ran, NotRun> {
    // Whoever started us may have ignored SIGCHLD, and an exec passes that on: then we cannot wait for a
    // child, and drbdadm cannot for its own and ends with 0 whatever happened (measured). A handler
    // makes it the default again in a child.
    let noticed = Arc::new(AtomicBool::new(false));
    let handler = signal_hook::flag::register(SIGCHLD, noticed);
    let ran = start(command, limit, grace, kept, give_up);
    if let Ok(handler) = handler {
        signal_hook::low_level::unregister(handler);
    }
    ran
}

fn start(
    command: &mut Command,
    limit: Duration,
    grace: Duration,
    kept: usize,
    give_up: &dyn Fn() -> bool,
) -> Result<Ran, NotRun> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => NotRun::NotFound,
        _ => NotRun::Failed(error.to_string()),
    })?;
    let ran = follow(&mut child, limit, kept, give_up);
    if ran.is_err() {
        bury(&mut child, grace);
    }
    ran
}

fn follow(
    child: &mut Child,
    limit: Duration,
    kept: usize,
    give_up: &dyn Fn() -> bool,
) -> Result<Ran, NotRun> {
    let failed = |error: std::io::Error| NotRun::Failed(error.to_string());
    let deadline = Instant::now() + limit;
    let mut out = Stream::new(child.stdout.take(), kept).map_err(failed)?;
    let mut err = Stream::new(child.stderr.take(), kept).map_err(failed)?;
    let mut ended: Option<(ExitStatus, Instant)> = None;
    // Who is given up soon is let go of soon: a restart waits for that.
    let mut tick = TICK / 8;
    loop {
        wait_readable(&out, &err, tick);
        tick = (tick * 2).min(TICK);
        out.drain();
        err.drain();
        if ended.is_none() {
            let status = child.try_wait().map_err(failed)?;
            ended = status.map(|status| (status, Instant::now() + LEFTOVERS));
            if ended.is_some() {
                // What it said last may have come after the read above.
                continue;
            }
        }
        if let Some((status, leftovers)) = ended {
            if (out.from.is_none() && err.from.is_none()) || Instant::now() >= leftovers {
                return Ok(Ran {
                    code: status
                        .code()
                        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
                    cut: out.cut || err.cut,
                    out: String::from_utf8_lossy(&out.kept).into_owned(),
                    err: String::from_utf8_lossy(&err.kept).into_owned(),
                });
            }
        } else if Instant::now() >= deadline {
            return Err(NotRun::TimedOut(limit));
        } else if give_up() {
            return Err(NotRun::GivenUp);
        }
    }
}

/// Ends it and what it started; gives up on what does not die.
fn bury(child: &mut Child, grace: Duration) {
    let group = Pid::from_child(child);
    for (signal, patience) in [(Signal::TERM, grace), (Signal::KILL, BURIAL)] {
        // Gone already is what we want.
        let _ = kill_process_group(group, signal);
        let deadline = Instant::now() + patience;
        let mut pause = TICK / 32;
        while Instant::now() < deadline {
            match child.try_wait() {
                // What is killed is gone within the first of them, as a rule.
                Ok(None) => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(TICK);
                }
                Ok(Some(_)) | Err(_) => {
                    let _ = kill_process_group(group, Signal::KILL);
                    return;
                }
            }
        }
    }
}

struct Stream<T> {
    from: Option<T>,
    kept: Vec<u8>,
    most: usize,
    cut: bool,
}

impl<T: Read + AsFd> Stream<T> {
    fn new(from: Option<T>, most: usize) -> std::io::Result<Self> {
        if let Some(pipe) = &from {
            let flags = rustix::fs::fcntl_getfl(pipe)?;
            rustix::fs::fcntl_setfl(pipe, flags | OFlags::NONBLOCK)?;
        }
        Ok(Stream {
            from,
            kept: Vec::new(),
            most,
            cut: false,
        })
    }

    /// Reads what is there now; a talker without end is left after a while.
    fn drain(&mut self) {
        let mut buffer = [0; 8192];
        for _ in 0..64 {
            let Some(pipe) = &mut self.from else { return };
            match pipe.read(&mut buffer) {
                Ok(0) => self.from = None,
                Ok(n) => {
                    let room = self.most.saturating_sub(self.kept.len()).min(n);
                    self.kept.extend_from_slice(&buffer[..room]);
                    self.cut |= room < n;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.from = None,
            }
        }
    }
}

fn wait_readable<A: AsFd, B: AsFd>(out: &Stream<A>, err: &Stream<B>, tick: Duration) {
    let mut fds = Vec::with_capacity(2);
    fds.extend(out.from.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
    fds.extend(err.from.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
    let tick = Timespec::try_from(tick).ok();
    // An interrupted wait is a short one.
    let _ = poll(&mut fds, tick.as_ref());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration, give_up: &dyn Fn() -> bool) -> Result<Ran, NotRun> {
        let search = search_path(None);
        let mut command = command(&find("sh", &search).unwrap(), &search);
        run(command.args(["-c", script]), limit, give_up)
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn the_end_and_both_streams_are_told_apart() {
        let ran = sh("echo out; echo err >&2; exit 17", LONG, &|| false).unwrap();
        assert_eq!((ran.code, ran.cut), (17, false));
        assert_eq!((&*ran.out, &*ran.err), ("out\n", "err\n"));
        let killed = sh("kill -9 $$", LONG, &|| false).unwrap();
        assert_eq!(killed.code, 137);
    }

    #[test]
    fn a_talker_is_cut_and_does_not_block() {
        let ran = sh("head -c 3000000 /dev/zero", LONG, &|| false).unwrap();
        assert_eq!((ran.code, ran.cut, ran.out.len()), (0, true, KEPT));
    }

    #[test]
    fn a_program_that_does_not_end_is_ended_with_what_it_started() {
        let begun = Instant::now();
        let limit = Duration::from_millis(50);
        let ran = sh("sleep 60 & sleep 60", limit, &|| false);
        assert_eq!(ran, Err(NotRun::TimedOut(limit)));
        assert_eq!(sh("sleep 60", LONG, &|| true), Err(NotRun::GivenUp));
        assert!(begun.elapsed() < LONG);
    }

    #[test]
    fn who_may_be_killed_gets_no_grace() {
        let begun = Instant::now();
        let search = search_path(None);
        let mut command = command(&find("sh", &search).unwrap(), &search);
        let limit = Duration::from_millis(100);
        command.args(["-c", "trap '' TERM; sleep 60 & wait"]);
        let ran = run_or_kill(&mut command, limit, &|| false);
        assert_eq!(ran, Err(NotRun::TimedOut(limit)));
        let ran = run_or_kill(&mut command, LONG, &|| begun.elapsed() > 2 * limit);
        assert_eq!(ran, Err(NotRun::GivenUp));
        assert!(begun.elapsed() < GRACE);
    }

    #[test]
    fn what_it_leaves_behind_does_not_hold_us() {
        let begun = Instant::now();
        let ran = sh("sleep 30 & echo done", LONG, &|| false).unwrap();
        assert_eq!(&*ran.out, "done\n");
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn the_environment_is_empty_but_for_the_path_and_the_language() {
        let ran = sh(
            "env | sort | grep -v -e ^_= -e ^PWD= -e SHLVL",
            LONG,
            &|| false,
        )
        .unwrap();
        assert_eq!(ran.out, format!("LC_ALL=C\nPATH={SBIN}\n"));
    }

    #[test]
    fn a_missing_program_is_told() {
        assert_eq!(
            find("etcd-rejoin-no-such-program", &search_path(None)),
            Err(NotRun::NotFound)
        );
    }
}
