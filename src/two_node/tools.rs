//! The real tools, asked whether they would take a file: `drbdadm` as a dry run, `keepalived -t`.
//! Neither changes anything, nor needs a kernel module.

use std::io::{PipeReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::plan::Grammar;
use crate::error::{Context, Error};

/// How long a tool may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// More words than this nobody reads.
const MOST: usize = 64 * 1024;

/// Where Debian and others keep them; not every PATH has these.
const PLACES: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin";

/// What a tool says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It takes it.
    Accepts,
    /// It does not; its own words.
    Refuses(String),
    /// It cannot be asked here, and why.
    NotAsked(String),
}

/// Asks `drbdadm` to bring up the resource as that host would, without doing it.
pub fn drbd(file: &Path, grammar: Grammar, host: &str, resource: &str) -> Verdict {
    let args = ["-c".as_ref(), file.as_os_str(), "-d".as_ref()];
    let Some(mut command) = tool("drbdadm") else {
        return Verdict::NotAsked("drbdadm is not installed here".into());
    };
    let version = match grammar {
        Grammar::V84 => "8.4.11",
        Grammar::V9 => "9.2.0",
    };
    command
        .args(args)
        .args(["up", resource])
        .env("DRBD_DRIVER_VERSION_OVERRIDE", version)
        .env("__DRBD_NODE__", host);
    verdict(command)
}

/// Asks `drbdadm` whether it reads a machine's whole configuration.
pub fn drbd_reads(file: &Path, grammar: Option<Grammar>) -> Verdict {
    let Some(mut command) = tool("drbdadm") else {
        return Verdict::NotAsked("drbdadm is not installed here".into());
    };
    match grammar {
        Some(Grammar::V84) => command.env("DRBD_DRIVER_VERSION_OVERRIDE", "8.4.11"),
        Some(Grammar::V9) => command.env("DRBD_DRIVER_VERSION_OVERRIDE", "9.2.0"),
        None => return Verdict::NotAsked("which DRBD the machine has is not known".into()),
    };
    let args = ["-c".as_ref(), file.as_os_str(), "-d".as_ref()];
    command.args(args).arg("dump");
    verdict(command)
}

/// Asks `keepalived` whether it would take the file. It looks for the interfaces, too.
pub fn keepalived(file: &Path, interfaces: &[&str]) -> Verdict {
    let absent = |name: &&&str| !Path::new("/sys/class/net").join(name).exists();
    if let Some(name) = interfaces.iter().find(absent) {
        return Verdict::NotAsked(format!("there is no interface {name} here"));
    }
    let Some(mut command) = tool("keepalived") else {
        return Verdict::NotAsked("keepalived is not installed here".into());
    };
    command.arg("-t").arg("-f").arg(file);
    match verdict(command) {
        // Our program may not be in its place yet, and a file can be right before that.
        Verdict::Refuses(words)
            if (words.split("; ")).all(|line| line.ends_with("since not found/accessible")) =>
        {
            Verdict::Accepts
        }
        other => other,
    }
}

fn tool(name: &str) -> Option<Command> {
    let path: PathBuf = which::which_in(name, Some(PLACES), "/").ok()?;
    let mut command = Command::new(path);
    command
        .env_clear()
        .env("PATH", PLACES)
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    Some(command)
}

fn verdict(mut command: Command) -> Verdict {
    let name = command.get_program().to_string_lossy().into_owned();
    match run(&mut command) {
        Ok((Some(0), _)) => Verdict::Accepts,
        Ok((Some(code), words)) if words.is_empty() => {
            Verdict::Refuses(format!("{name} ended with {code}, without a word"))
        }
        Ok((Some(_), words)) => Verdict::Refuses(words),
        Ok((None, words)) => Verdict::NotAsked(format!("{name} did not end by itself: {words}")),
        Err(error) => Verdict::NotAsked(error.to_string()),
    }
}

/// Runs it to its end, or to the end of our patience: exit code and words.
fn run(command: &mut Command) -> Result<(Option<i32>, String), Error> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let what = || format!("cannot run {shown}");
    let (reader, writer) = std::io::pipe().context(what)?;
    let mut child = command
        .stdout(writer.try_clone().context(what)?)
        .stderr(writer)
        .spawn()
        .context(what)?;
    // The command keeps our ends of the pipe open, and with them the reader.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let end = Instant::now() + PATIENCE;
    let words = read(reader, end);
    let code = wait(&mut child, end).context(what)?;
    Ok((code, spoken(&words)))
}

fn read(mut reader: PipeReader, end: Instant) -> Vec<u8> {
    let (mut words, mut buffer) = (Vec::new(), [0; 4096]);
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        let timeout = Timespec::try_from(left).ok();
        let ready = poll(&mut [PollFd::new(&reader, PollFlags::IN)], timeout.as_ref());
        match ready {
            Ok(0) => break,
            Err(rustix::io::Errno::INTR) => continue,
            Ok(_) | Err(_) => {}
        }
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                let room = MOST.saturating_sub(words.len()).min(n);
                words.extend_from_slice(&buffer[..room]);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    words
}

fn wait(child: &mut Child, end: Instant) -> std::io::Result<Option<i32>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code());
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The lines that say something.
fn spoken(words: &[u8]) -> String {
    let noise = ["found __DRBD_NODE__", "PRETENDING that I am", "modinfo"];
    let words = String::from_utf8_lossy(words);
    let lines = words
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !noise.iter().any(|noise| line.contains(noise)));
    lines.take(20).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_never_ends_is_ended() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo words; exec >&- 2>&-; sleep 60"]);
        let begin = Instant::now();
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        let code = wait(&mut child, begin + Duration::from_millis(100)).unwrap();
        assert_eq!(code, None);
        assert!(begin.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn words_and_exit_code_come_back_and_are_bounded() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo one; echo two >&2; exit 10"]);
        assert_eq!(run(&mut command).unwrap(), (Some(10), "one; two".into()));
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "head -c 1000000 /dev/zero; exit 0"]);
        let (code, words) = run(&mut command).unwrap();
        assert_eq!(code, Some(0));
        assert!(words.len() <= MOST * 3, "{}", words.len());
    }
}
