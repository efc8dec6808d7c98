//! A process of a test: it logs to a file, and nothing of it outlives the test.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};

use super::{PATIENCE, wait_for};

/// A running process with a process group of its own.
#[derive(Debug)]
pub struct Process {
    child: Child,
    exited: Option<ExitStatus>,
}

impl Process {
    /// Starts `program`; what it prints is appended to `log`.
    ///
    /// The kernel kills it when the thread of the test ends, however that ends.
    pub fn spawn(program: &Path, setup: impl FnOnce(&mut Command), log: &Path) -> Self {
        let out = OpenOptions::new().append(true).create(true).open(log);
        let out = out.unwrap_or_else(|e| panic!("cannot open {}: {e}", log.display()));
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("REJOIN_LOG_FORMAT", "text");
        setup(&mut command);
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .process_group(0)
            .spawn()
            .expect("setpriv (util-linux) is needed");
        Process {
            child,
            exited: None,
        }
    }

    /// Its process ID, also after an `exec`.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn group(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32).expect("a process has a positive ID")
    }

    /// The name of the program that it is now.
    pub fn comm(&self) -> String {
        fs::read_to_string(format!("/proc/{}/comm", self.pid()))
            .unwrap_or_default()
            .trim()
            .to_string()
    }

    /// How it ended, as a shell would say it; `None` while it runs.
    pub fn code(&mut self) -> Option<i32> {
        if self.exited.is_none() {
            self.exited = self.child.try_wait().unwrap();
        }
        let status = self.exited?;
        status.code().or(status.signal().map(|s| 128 + s))
    }

    /// Sends a signal to it alone.
    pub fn signal(&self, signal: Signal) {
        if self.exited.is_none() {
            let _ = kill_process(self.group(), signal);
        }
    }

    /// Sends a signal to it and its children.
    pub fn signal_group(&self, signal: Signal) {
        let _ = kill_process_group(self.group(), signal);
    }

    /// Stops it and its children, and waits until the kernel has stopped every thread of them: the signal itself
    /// only asks for it.
    #[track_caller]
    pub fn pause(&self) {
        self.signal_group(Signal::STOP);
        let group = self.child.id();
        wait_for("it is stopped", PATIENCE, || {
            let mut processes = numbers(Path::new("/proc"));
            processes.all(|path| stat(&path, 2) != Some(group.to_string()) || is_stopped(&path))
        });
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self, timeout: Duration) -> i32 {
        let end = Instant::now() + timeout;
        loop {
            if let Some(code) = self.code() {
                return code;
            }
            assert!(Instant::now() < end, "after {timeout:?} it still runs");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills it alone, as a kernel short of memory does; no child of it may stay behind.
    #[track_caller]
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait(PATIENCE / 2);
        let group = self.group();
        wait_for(
            "the children of a killed process are gone",
            PATIENCE / 2,
            || test_kill_process_group(group).is_err(),
        );
    }
}

/// The processes, or threads, of a folder of `/proc`.
fn numbers(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| {
        path.file_name()
            .is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit())
    })
}

/// Whether the kernel has stopped every thread of this process, a folder of `/proc`.
pub fn is_stopped(process: &Path) -> bool {
    let stopped = |path: PathBuf| matches!(stat(&path, 0).as_deref(), Some("T" | "Z") | None);
    numbers(&process.join("task")).all(stopped)
}

/// A word of `stat` behind the name: 0 is the state, 2 the process group.
fn stat(path: &Path, word: usize) -> Option<String> {
    let text = fs::read_to_string(path.join("stat")).ok()?;
    let words = text.rsplit_once(") ")?.1;
    words.split(' ').nth(word).map(str::to_string)
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal_group(Signal::KILL);
        let _ = self.child.wait();
    }
}

/// A log file that grows; reads what was written after a mark.
#[derive(Clone, Debug)]
pub struct Log {
    /// Where it lies.
    pub path: PathBuf,
    mark: usize,
}

impl Log {
    /// An empty log.
    pub fn new(path: PathBuf) -> Self {
        Log { path, mark: 0 }
    }

    fn all(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.path).unwrap_or_default()).into_owned()
    }

    /// What was written since the mark.
    pub fn text(&self) -> String {
        self.all().split_off(self.mark)
    }

    /// From here on.
    pub fn mark(&mut self) {
        self.mark = self.all().len();
    }

    /// The lines since the mark that hold `part`.
    pub fn lines(&self, part: &str) -> Vec<String> {
        let text = self.text();
        let lines = text.lines().filter(|line| line.contains(part));
        lines.map(str::to_string).collect()
    }

    /// Whether a line since the mark gives this reason.
    pub fn has_reason(&self, reason: &str) -> bool {
        has_word(&self.text(), &format!("reason={reason}"))
    }

    /// The reasons that were given since the mark.
    pub fn reasons(&self) -> BTreeSet<String> {
        let ours = self.ours().join(" ");
        let reasons = ours.split_whitespace();
        let reasons = reasons.filter_map(|word| word.strip_prefix("reason="));
        reasons.map(str::to_string).collect()
    }

    /// The program's own lines since the mark.
    pub fn ours(&self) -> Vec<String> {
        let text = self.text();
        let ours = text.lines().filter(|line| is_ours(line));
        ours.map(str::to_string).collect()
    }

    /// What a person wants to see of it: the program's own lines, and the last ones of etcd.
    pub fn tail(&self) -> String {
        let text = self.all();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.len().saturating_sub(15);
        let mut tail = String::new();
        for (i, line) in lines.iter().enumerate() {
            if i >= last || is_ours(line) {
                tail.extend(line.chars().take(400));
                tail.push('\n');
            }
        }
        tail
    }
}

/// Whether the program wrote this line, and not etcd.
fn is_ours(line: &str) -> bool {
    line.split_whitespace()
        .nth(1)
        .is_some_and(|word| matches!(word, "ERROR" | "WARN" | "INFO" | "DEBUG"))
}

/// Whether `word` stands in `text`, and is not the beginning of a longer word.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let next = text[at + word.len()..].chars().next();
        !next.is_some_and(|c| c.is_ascii_alphanumeric() || c == '-')
    })
}
